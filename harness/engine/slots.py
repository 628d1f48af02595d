"""Decoding on a GPU without launching kernels: slots that prompts enter and leave, and one graph.

    slots = slots_for(model, prompts, waiting, count=64, length=512)      None where it cannot run
    decode_in_slots(slots, prompts, waiting, budgets, stop_ids)
        yields Generated(place, ids, finish_reason) as rows finish

Each slot has keys and values of its own, up to the longest prompt with its budget, and a position.
A step computes the next token of all slots, and is one CUDA graph whatever their positions are.
Slots that come free are filled again, a quarter of them at a time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any
from weakref import WeakSet

import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from harness.engine import decode_attention
from harness.engine.cuda_graphs import borrowed, captured, nothing_read
from harness.engine.encoding import Generated
from harness.engine.fused_layers import fuse_norms
from harness.progress import say
from harness.records import FinishReason

PREFILLED = 4096
"""Tokens of prompts that are computed at a time."""
ALIGNED = 64
"""Attention kernels ask for masks whose rows begin at multiples of a few bytes."""
SHARE = 4
"""New prompts wait until one slot in so many is free: computing prompts holds up the others."""
APART = 0.1
"""How far apart rounding may take a model's logits, as a share of their spread; what all of them
have in common changes no choice. bf16 in 30 layers: up to 0.03; a position off by one: 0.14."""
_unfit: WeakSet[Any] = WeakSet()
"""Models that slots were tried on in vain."""
_ready: WeakSet[Any] = WeakSet()
"""Models whose steps take few kernels."""


def fits_slots(model: Any) -> bool:
    """Whether the model's layers all look at all tokens before, by transformers' own cache."""
    layers = DynamicCache(config=model.config).layers
    return (
        _on_gpu(model)
        and model not in _unfit
        and getattr(model, "_can_compile_fullgraph", False)
        and len(layers) > 0
        and all(type(layer) is DynamicLayer for layer in layers)
    )


def _on_gpu(model: Any) -> bool:
    return bool(next(model.parameters()).device.type == "cuda")


def slots_for(
    model: Any, prompts: Sequence[Sequence[int]], waiting: Sequence[int], *, count: int, length: int
) -> Slots | None:
    """Slots that were tried on the shortest prompts; None, after a sentence, where that failed."""
    trial = {slot: prompts[place] for slot, place in zip(range(count), waiting[-2:], strict=False)}
    try:
        if model not in _ready:
            decode_attention.use(model)
            fuse_norms(model)
            _ready.add(model)
        with borrowed():
            slots = Slots(model, count, length)
        slots.enter(trial)
        if slots.are_right(trial):
            return slots
        why = "it computes something else with them"
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # what a graph cannot hold, a mask that a model does not take
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
    _unfit.add(model)
    say(f"generate: this model decodes without CUDA graphs ({why})")
    return None


def decode_in_slots(
    slots: Slots,
    prompts: Sequence[Sequence[int]],
    waiting: Sequence[int],
    budgets: Mapping[int, int],
    stop_ids: Collection[int],
) -> Iterator[Generated]:
    """The continuations of the prompts at the places in `waiting`, as they finish."""
    coming = list(reversed(waiting))
    free = list(range(slots.count))
    held: dict[int, tuple[int, list[int]]] = {}
    while coming or held:
        if coming and len(free) >= max(1, slots.count // SHARE):
            entering = {free.pop(): coming.pop() for _ in range(min(len(free), len(coming)))}
            slots.enter({slot: prompts[place] for slot, place in entering.items()})
            held |= {slot: (place, []) for slot, place in entering.items()}
        tokens = slots.step()
        for slot, (place, written) in list(held.items()):
            reason: FinishReason | None = None
            if tokens[slot] in stop_ids:
                reason = "stop"
            else:
                written.append(tokens[slot])
                reason = "length" if len(written) == budgets[place] else None
            if reason:
                del held[slot]
                free.append(slot)
                yield Generated(place, written, reason)


class Slots:
    """The keys and values of `count` rows of up to `length` tokens, and the step as a graph.

    A slot's last token is not among them: the step computes it, and then takes the likeliest next.
    """

    def __init__(self, model: Any, count: int, length: int) -> None:
        self._model, self.count = model, count
        self._length = -(-length // ALIGNED) * ALIGNED
        device = next(model.parameters()).device
        self._ids = torch.zeros(count, 1, dtype=torch.int64, device=device)
        self._at = torch.zeros(count, 1, dtype=torch.int64, device=device)
        self._columns = torch.arange(self._length, device=device)
        self._layers: list[_SlotLayer] = []
        self._graph: torch.cuda.CUDAGraph | None = None

    def enter(self, prompts: Mapping[int, Sequence[int]]) -> None:
        """Compute the prompts, each in its slot, but for their last tokens."""
        todo = sorted(prompts, key=lambda slot: -len(prompts[slot]))
        while todo:
            width = max(1, len(prompts[todo[0]]) - 1)
            together = max(1, PREFILLED // width)
            with borrowed(), decode_attention.ready_kernels():
                self._prefill({slot: prompts[slot] for slot in todo[:together]}, width)
            todo = todo[together:]

    def _prefill(self, prompts: Mapping[int, Sequence[int]], width: int) -> None:
        device = self._ids.device
        # What is filled up at the right comes after all that a prompt looks at; the step that
        # reaches its place writes over it.
        filled = [[*prompt[:-1], *[0] * (width - len(prompt) + 1)] for prompt in prompts.values()]
        cache: Any = DynamicCache(config=self._model.config)
        self._model(
            input_ids=torch.tensor(filled, device=device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        rows = torch.tensor(list(prompts), device=device)
        self._layers = self._layers or [self._layer(layer) for layer in cache.layers]
        for layer, made in zip(self._layers, cache.layers, strict=True):
            for kept, new in zip(layer.each, (made.keys, made.values), strict=True):
                kept[rows, :, :width] = new
        last = [[prompt[-1], len(prompt) - 1] for prompt in prompts.values()]
        self._ids[rows], self._at[rows] = torch.tensor(last, device=device)[:, None].unbind(-1)

    def _layer(self, made: Any) -> _SlotLayer:
        both = made.keys, made.values  # whose sizes differ in some models
        keys, values = (
            one.new_zeros(self.count, one.shape[1], self._length, one.shape[3]) for one in both
        )
        return _SlotLayer(keys, values, self._at)

    def step(self) -> list[int]:
        """The next token of each slot; those of empty slots mean nothing."""
        if self._ids.is_cuda:
            if self._graph is None:
                self._graph = captured(self._advance)
            self._graph.replay()
        else:
            self._advance()
        tokens: list[int] = self._ids[:, 0].tolist()
        return tokens

    def _advance(self) -> None:
        self._ids.copy_(self._logits().argmax(-1, keepdim=True))
        self._at.add_(1).clamp_(max=self._length - 1)

    def _logits(self) -> torch.Tensor:
        """(count, V)"""
        dtype = self._model.dtype
        # As numbers that are added: else each layer would make them of what is true and false.
        mask = torch.zeros_like(self._columns, dtype=dtype).where(
            self._columns <= self._at, torch.finfo(dtype).min
        )
        logits: torch.Tensor = self._model(
            input_ids=self._ids,
            attention_mask=mask[:, None, None],
            position_ids=self._at,
            past_key_values=Cache(layers=[*self._layers]),
            use_cache=True,
            logits_to_keep=1,
        ).logits
        return logits[:, -1]

    def are_right(self, prompts: Mapping[int, Sequence[int]]) -> bool:
        """Whether the next logits of some slots are those of the model without a cache.

        And whether the step, which is taken, chooses their largest.
        """
        rows = list(prompts)
        with borrowed():
            found = self._logits()[rows].float()
            for logits, prompt in zip(found, prompts.values(), strict=True):
                whole = torch.tensor([prompt], device=self._ids.device)
                with decode_attention.ready_kernels():
                    made = self._model(input_ids=whole, use_cache=False, logits_to_keep=1).logits
                expected = made[0, -1].float()
                if not (logits - expected).std() <= APART * expected.std():
                    return False
            with nothing_read():
                self._logits()
        tokens = self.step()
        chosen = found[range(len(rows)), [tokens[row] for row in rows]]
        return bool((found.amax(-1) - chosen <= APART * found.std(-1)).all())


class _SlotLayer(DynamicLayer):
    """One layer's keys and values, (count, heads, length, size), written at each row's position."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, at: torch.Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.each = keys, values
        self.keys, self.values = self.each
        self.is_initialized = True
        self._places = torch.arange(len(keys), device=keys.device), at[:, 0]

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        rows, at = self._places
        for kept, new in zip(self.each, (key_states, value_states), strict=True):
            kept[rows, :, at] = new[:, :, 0]
        return self.each
