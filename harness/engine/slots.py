"""Greedy decoding with continuous batching, where each decode step is one CUDA graph replay.

    slots = slots_for(model, patches, prompts, waiting, count=64, length=512)   or None
    decode_in_slots(slots, prompts, waiting, budgets, stop_ids)
        yields Generated(place, ids, finish_reason) as rows finish

Each slot has a static KV cache for `length` tokens and its own position. A decode step computes the
next token of all slots; its shapes do not depend on the positions, so one graph serves all steps.
Finished rows free their slots, which are refilled once a quarter of them are free.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from fmtharness.harness.engine import decode_attention
from fmtharness.harness.engine.cuda_graphs import borrowed, captured, nothing_read
from fmtharness.harness.engine.decode_check import centered, not_finite, uncached
from fmtharness.harness.engine.encoding import Generated
from fmtharness.harness.engine.fused_layers import fuse_norms
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.engine.rounding import ROOM, Own, apart
from fmtharness.harness.progress import say
from fmtharness.harness.records import FinishReason
from fmtharness.harness.text import first_line

PREFILLED = 4096
"""Maximum prompt tokens, with padding, of one prefill pass."""
ALIGNED = 64
"""The cache length is rounded up to this: attention kernels need masks with aligned rows."""
SHARE = 4
"""Prefill once 1/SHARE of the slots are free, because a prefill delays the other rows."""
_moves: WeakKeyDictionary[Any, dict[int, list[tuple[float, float]]]] = WeakKeyDictionary()
"""How far rounding moves a model's logits, by the number of prompts."""
_unfit: WeakSet[Any] = WeakSet()
"""Models for which slots failed."""


def fits_slots(model: Any) -> bool:
    """Whether slots support the model: on a GPU, compilable, and full attention in every layer."""
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
    model: Any,
    patches: Patches,
    prompts: Sequence[Sequence[int]],
    waiting: Sequence[int],
    *,
    count: int,
    length: int,
) -> Slots | None:
    """Slots for `count` rows of up to `length` tokens, checked on the two shortest prompts.

    The model must stay patched while the slots are in use.
    `waiting` holds indices into `prompts`, longest prompt first. Returns None and prints the reason
    if the check fails. Raises torch.OutOfMemoryError.
    """
    trial = {slot: prompts[place] for slot, place in zip(range(count), waiting[-2:], strict=False)}
    with borrowed(), decode_attention.ready_kernels():
        own = _own(model, list(trial.values()))
    try:
        decode_attention.use(model, patches)
        fuse_norms(model, patches)
        with borrowed():
            slots = Slots(model, count, length)
        slots.enter(trial)
        if slots.are_right(list(trial), own):
            return slots
        reason = "its logits in slots differ"
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # such as an operation that a graph cannot capture, or the mask
        reason = first_line(error)
    _unfit.add(model)
    say(f"generate: this model decodes without CUDA graphs ({reason})")
    return None


def _own(model: Any, prompts: Sequence[Sequence[int]]) -> Own:
    """The logits of the prompts' next tokens by the model as it is, without a cache."""
    known = _moves.setdefault(model, {})
    own = uncached(model, prompts, last=1, moves=known.get(len(prompts)))
    known[len(prompts)] = own.moves
    return own


def decode_in_slots(
    slots: Slots,
    prompts: Sequence[Sequence[int]],
    waiting: Sequence[int],
    budgets: Mapping[int, int],
    stop_ids: Collection[int],
) -> Iterator[Generated]:
    """Yield the continuations of the prompts at the indices in `waiting`, as they finish.

    `budgets` maps a prompt's index to its maximum number of new tokens.
    """
    queue = list(reversed(waiting))
    free = list(range(slots.count))
    active: dict[int, tuple[int, list[int]]] = {}
    while queue or active:
        if queue and len(free) >= max(1, slots.count // SHARE):
            entering = {free.pop(): queue.pop() for _ in range(min(len(free), len(queue)))}
            slots.enter({slot: prompts[place] for slot, place in entering.items()})
            active |= {slot: (place, []) for slot, place in entering.items()}
        tokens = slots.step()
        for slot, (place, written) in list(active.items()):
            reason: FinishReason | None = None
            if tokens[slot] < 0:
                raise not_finite(slots.model)
            if tokens[slot] in stop_ids:
                reason = "stop"
            else:
                written.append(tokens[slot])
                reason = "length" if len(written) == budgets[place] else None
            if reason:
                del active[slot]
                free.append(slot)
                yield Generated(place, written, reason)


class Slots:
    """A static KV cache for `count` rows of up to `length` tokens, and the captured decode step.

    The cache does not yet hold a slot's last token: the next step feeds it and picks its successor.
    """

    def __init__(self, model: Any, count: int, length: int) -> None:
        self.model, self.count = model, count
        self._length = -(-length // ALIGNED) * ALIGNED
        device = next(model.parameters()).device
        self._ids = torch.zeros(count, 1, dtype=torch.int64, device=device)
        self._chosen = torch.zeros_like(self._ids)
        self._at = torch.zeros(count, 1, dtype=torch.int64, device=device)
        self._columns = torch.arange(self._length, device=device)
        self._layers: list[_SlotLayer] = []
        self._graph: torch.cuda.CUDAGraph | None = None

    def enter(self, prompts: Mapping[int, Sequence[int]]) -> None:
        """Prefill slots with prompts, without their last tokens. `prompts`: slot -> token ids."""
        todo = sorted(prompts, key=lambda slot: -len(prompts[slot]))
        while todo:
            width = max(1, len(prompts[todo[0]]) - 1)
            batch_size = max(1, PREFILLED // width)
            with borrowed(), decode_attention.ready_kernels():
                self._prefill({slot: prompts[slot] for slot in todo[:batch_size]}, width)
            todo = todo[batch_size:]

    def _prefill(self, prompts: Mapping[int, Sequence[int]], width: int) -> None:
        device = self._ids.device
        # Right padding needs no mask: attention is causal, and decode steps overwrite its keys and
        # values before they attend to those positions.
        padded = [[*prompt[:-1], *[0] * (width - len(prompt) + 1)] for prompt in prompts.values()]
        cache: Any = DynamicCache(config=self.model.config)
        self.model(
            input_ids=torch.tensor(padded, device=device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        rows = torch.tensor(list(prompts), device=device)
        self._layers = self._layers or [self._layer(layer) for layer in cache.layers]
        for layer, prefilled in zip(self._layers, cache.layers, strict=True):
            for cached, new in zip(layer.each, (prefilled.keys, prefilled.values), strict=True):
                cached[rows, :, :width] = new
        last = [[prompt[-1], len(prompt) - 1] for prompt in prompts.values()]
        self._ids[rows], self._at[rows] = torch.tensor(last, device=device)[:, None].unbind(-1)

    def _layer(self, prefilled: Any) -> _SlotLayer:
        both = prefilled.keys, prefilled.values  # in some models with different head sizes
        keys, values = (
            one.new_zeros(self.count, one.shape[1], self._length, one.shape[3]) for one in both
        )
        return _SlotLayer(keys, values, self._at)

    def step(self) -> list[int]:
        """Run one decode step: the next token of each slot, -1 where its logits are not finite.

        Those of empty slots are arbitrary.
        """
        if self._ids.is_cuda:
            if self._graph is None:
                self._graph = captured(self._advance)
            self._graph.replay()
        else:
            self._advance()
        tokens: list[int] = self._chosen[:, 0].tolist()
        return tokens

    def _advance(self) -> None:
        largest, chosen = self._logits().max(-1, keepdim=True)
        self._ids.copy_(chosen)
        self._chosen.copy_(chosen.where(largest.isfinite(), -1))
        self._at.add_(1).clamp_(max=self._length - 1)

    def _logits(self) -> torch.Tensor:
        """The logits of each slot's next token, (count, V)."""
        dtype = self.model.dtype
        # An additive mask, so that SDPA does not convert a boolean one in every layer.
        mask = torch.zeros_like(self._columns, dtype=dtype).where(
            self._columns <= self._at, torch.finfo(dtype).min
        )
        logits: torch.Tensor = self.model(
            input_ids=self._ids,
            attention_mask=mask[:, None, None],
            position_ids=self._at,
            past_key_values=Cache(layers=[*self._layers]),
            use_cache=True,
            logits_to_keep=1,
        ).logits
        return logits[:, -1]

    def are_right(self, rows: Sequence[int], own: Own) -> bool:
        """Whether the decode step agrees with `own`, the centered logits of the next tokens.

        Compares the logits, then runs the step and checks that its tokens have the largest ones.
        """
        with borrowed():
            found = list(centered(self._logits()[list(rows)])[:, None])
            if apart(own, found) > 1:
                return False
            with nothing_read():
                self._logits()
        tokens = self.step()
        return all(
            float(logits.amax() - logits[0, tokens[row]]) <= ROOM * largest
            for row, logits, (largest, _) in zip(rows, found, own.moves, strict=True)
        )


class _SlotLayer(DynamicLayer):
    """One layer's keys and values, (count, KV heads, length, size); `at` has the rows' positions.

    `update` writes one token per row at its position and returns the whole cache.
    """

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
        for cached, new in zip(self.each, (key_states, value_states), strict=True):
            cached[rows, :, at] = new[:, :, 0]
        return self.each
