"""Decoding with continuous batching: on a GPU each decode step is one CUDA graph replay.

    slots = slots_for(model, patches, prompts, waiting, count=64, length=512)   or None
    decode_in_slots(slots, prompts, waiting, budgets, stop_ids)
        yields Generated(place, ids, finish_reason) as rows finish

Each slot has a static KV cache for `length` tokens and its own position. A decode step computes the
next token of all slots; its shapes do not depend on the positions, so one graph serves all steps.
Finished rows free their slots, which are refilled once a quarter of them are free. On a CPU a step
computes less (`engine.cpu_slots`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar
from weakref import WeakSet

import numpy as np
import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from fmtharness.harness.engine import decode_attention
from fmtharness.harness.engine.cuda_graphs import borrowed, captured, is_lent, nothing_read
from fmtharness.harness.engine.decode_check import centered, next_logits, not_finite, without_head
from fmtharness.harness.engine.encoding import Generated
from fmtharness.harness.engine.fused_decode import (
    fuse_steps,
    has_fused_steps,
    sum_in_fp32,
    unfused,
)
from fmtharness.harness.engine.fused_layers import fuse_norms
from fmtharness.harness.engine.grammar import Matcher, masked
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.engine.rounding import ROOM, Own, apart
from fmtharness.harness.engine.sampling import Sampler, Sampling, choose
from fmtharness.harness.engine.slot_layers import PromptLayer, SlotLayer
from fmtharness.harness.engine.slot_rows import SlotRows
from fmtharness.harness.engine.transfers import Coming, sent
from fmtharness.harness.progress import say
from fmtharness.harness.text import first_line

PREFILLED = 4096
"""Maximum prompt tokens, with padding, of one prefill pass on a CPU."""
PREFILLED_ON_GPU = 16384
"""On a GPU, where launching a short pass takes as long; not in the memory that a training lends."""
ALIGNED = 64
"""The cache length is rounded up to this: attention kernels need masks with aligned rows."""
TRIED = 32
"""Most tokens of a prompt that the check decodes; half as many of a second prompt."""
SHARE = 4
"""Prefill once 1/SHARE of the slots are free, because a prefill delays the other rows."""
Cached = tuple[torch.Tensor, torch.Tensor]
"""One layer's keys and values, (count, KV heads, length, size)."""
_unfit: WeakSet[Any] = WeakSet()
"""Models for which slots failed."""


def fits_slots(model: Any) -> bool:
    """Whether slots support the model: compilable, and full attention in every layer."""
    layers = DynamicCache(config=model.config).layers
    return (
        model not in _unfit
        and getattr(model, "_can_compile_fullgraph", False)
        and len(layers) > 0
        and all(type(layer) is DynamicLayer for layer in layers)
    )


def on_gpu(model: Any) -> bool:
    """Whether the model's weights are on a GPU."""
    return bool(next(model.parameters()).device.type == "cuda")


def slots_for(
    model: Any,
    patches: Patches,
    prompts: Sequence[Sequence[int]],
    waiting: Sequence[int],
    *,
    count: int,
    length: int,
    kind: type[Slots],
) -> Slots | None:
    """Slots for `count` rows of up to `length` tokens, checked on the ends of two prompts.

    The model must stay patched while the slots are in use.
    `waiting` holds indices into `prompts`, longest prompt first. Returns None and prints the reason
    if the check fails. Raises torch.OutOfMemoryError.
    """
    ends = zip(range(count), waiting[-2:], (TRIED, TRIED // 2), strict=False)
    trial = {slot: prompts[place][-most:] for slot, place, most in ends}
    with borrowed(), decode_attention.ready_kernels():
        own = next_logits(model, list(trial.values()))
    kept = len(patches)
    try:
        kind.prepare(model, patches)
        with borrowed():
            slots = kind(model, count, length)
        slots.enter(trial)
        if slots.are_right(list(trial), own):
            return slots
        reason = "its logits in slots differ"
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # such as an operation that a graph cannot capture, or the mask
        reason = first_line(error)
    if has_fused_steps(model):
        unfused.add(model)
        say(f"generate: this model decodes with more kernels a step ({reason})")
        patches.undo(kept)
        return slots_for(model, patches, prompts, waiting, count=count, length=length, kind=kind)
    _unfit.add(model)
    how = "without CUDA graphs" if on_gpu(model) else "without slots"
    say(f"generate: this model decodes {how} ({reason})")
    return None


def decode_in_slots(
    slots: Slots,
    prompts: Sequence[Sequence[int]],
    waiting: Sequence[int],
    budgets: Mapping[int, int],
    stop_ids: Collection[int],
    count: Callable[[int], object] = int,
    matchers: Sequence[Matcher | None] | None = None,
    sampler: Sampler | None = None,
) -> Iterator[Generated]:
    """Yield the continuations of the prompts at the indices in `waiting`, as they finish.

    `budgets` maps a prompt's index to its maximum number of new tokens. `count` is called with the
    number of new tokens of each step. `matchers`: the grammar of each prompt's answer. `sampler`:
    draws the tokens.
    """
    if sampler:
        slots.sample(sampler.sampling)
    held = matchers or [None] * len(prompts)
    queue, free = list(reversed(waiting)), list(range(slots.count))
    rows = SlotRows(slots.count, max(budgets.values(), default=1), stop_ids)
    ahead = slots.runs_ahead and not sampler and not any(held)
    step, launched = 0, deque[Coming]()
    while queue or rows.lines:
        if queue and len(free) >= slots.enough(prompts[queue[-1]]):
            entering = {free.pop(): queue.pop() for _ in range(min(len(free), len(queue)))}
            slots.enter({slot: prompts[place] for slot, place in entering.items()})
            for slot, place in entering.items():
                rows.enter(slot, place, budgets[place], step + len(launched))
                if sampler:
                    slots.draw(slot, sampler.draws(place, budgets[place]))
                if matcher := held[place]:
                    matcher.begin()
        elif not queue:
            rows.lines = slots.packed(rows.lines)
        if ahead:  # a row that has ended computes a token for nothing
            while len(launched) < 1 + rows.go_on(len(launched)):
                launched.append(slots.launch())
            tokens = launched.popleft().read()
        else:
            places = rows.places()
            given = {slot: held[place] for slot, place in places.items()} if matchers else {}
            tokens = np.array(slots.step(given))
        in_use = rows.in_use(step)
        if (tokens[in_use] < 0).any():
            raise not_finite(slots.model)
        count(len(in_use))
        if matchers:
            for slot, place in places.items():
                if tokens[slot] not in stop_ids and (matcher := held[place]):
                    matcher.accept(int(tokens[slot]))
        every = rows.take(tokens, step)
        if ahead and every and not queue:
            slots.rest([ended.slot for ended in every])
        for ended in every:
            free.append(ended.slot)
            yield Generated(ended.place, ended.ids, ended.reason)
        step += 1


class Slots:
    """A static KV cache for `count` rows of up to `length` tokens, and the captured decode step.

    The cache does not yet hold a slot's last token: the next step feeds it and picks its successor.
    """

    share: ClassVar[int] = SHARE

    @staticmethod
    def prepare(model: Any, patches: Patches) -> None:
        """Replace in the model what makes a step slow."""
        decode_attention.use(model, patches)
        fuse_norms(model, patches)
        if on_gpu(model):
            sum_in_fp32(model, patches)
        fuse_steps(model, patches)

    def __init__(self, model: Any, count: int, length: int) -> None:
        self.model, self.count = model, count
        self._length = -(-length // ALIGNED) * ALIGNED
        device = next(model.parameters()).device
        self._ids = torch.zeros(count, 1, dtype=torch.int64, device=device)
        self._chosen = torch.zeros_like(self._ids)
        self._at = torch.zeros(count, 1, dtype=torch.int64, device=device)
        self._columns = torch.arange(self._length, device=device)
        self._slots = torch.arange(count, device=device)
        self._layers: list[Cached] = []
        self._graph: torch.cuda.CUDAGraph | None = None
        self._found = torch.empty(0)
        self._sampling: Sampling | None = None
        self._numbers = torch.empty(0)
        self._fused = has_fused_steps(model)
        wide = device.type == "cuda" and not is_lent()
        self._tokens = PREFILLED_ON_GPU if wide else PREFILLED

    @property
    def runs_ahead(self) -> bool:
        """Whether a step can be launched before the tokens of the last one are read."""
        return self._ids.is_cuda

    def enough(self, prompt: Sequence[int]) -> int:
        """How many free slots make a prefill worth its delay, of prompts such as this one."""
        return max(1, min(self.count // self.share, self._batch_size(len(prompt))))

    def _batch_size(self, width: int) -> int:
        """Prompts of this many tokens in one prefill pass."""
        return max(1, self._tokens // max(1, width))

    def sample(self, sampling: Sampling) -> None:
        """From here on draw the tokens of each row, by the numbers that `draw` gives it."""
        shape = self.count, self._length
        self._numbers = torch.zeros(shape, dtype=torch.float64, device=self._at.device)
        self._sampling, self._graph = sampling, None

    def draw(self, slot: int, numbers: torch.Tensor) -> None:
        """Take these numbers for the next tokens of a slot that was just entered."""
        begin = int(self._at[slot])
        self._numbers[slot, begin : begin + len(numbers)] = numbers.to(self._numbers.device)

    def enter(self, prompts: Mapping[int, Sequence[int]]) -> None:
        """Prefill slots with prompts, without their last tokens. `prompts`: slot -> token ids."""
        todo = sorted(prompts, key=lambda slot: -len(prompts[slot]))
        while todo:
            width = max(1, len(prompts[todo[0]]) - 1)
            batch_size = self._batch_size(width)
            try:
                with borrowed(), decode_attention.ready_kernels():
                    self._prefill({slot: prompts[slot] for slot in todo[:batch_size]}, width)
            except torch.OutOfMemoryError:
                if self._tokens <= PREFILLED:
                    raise
                self._tokens = PREFILLED
                continue
            todo = todo[batch_size:]

    def _prefill(self, prompts: Mapping[int, Sequence[int]], width: int) -> None:
        device = self._ids.device
        # Right padding needs no mask: attention is causal, and decode steps overwrite its keys and
        # values before they attend to those positions.
        padded = [[*prompt[:-1], *[0] * (width - len(prompt) + 1)] for prompt in prompts.values()]
        cache: Any = DynamicCache(config=self.model.config)
        more: dict[str, Any] = {}
        if self._fused:
            cache = Cache(layers=[PromptLayer() for _ in cache.layers])
            more["position_ids"] = self._columns[:width].expand(len(prompts), width)
        with without_head(self.model):
            self.model(
                input_ids=sent(padded, device),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
                **more,
            )
        # In some models keys and values have different head sizes.
        made: list[Cached] = [(layer.keys, layer.values) for layer in cache.layers]
        self._layers = self._layers or self._allocated(made)
        rows = sent(list(prompts), device)
        for layer, prefilled in zip(self._layers, made, strict=True):
            for cached, new in zip(layer, prefilled, strict=True):
                cached[rows, :, :width] = new
        self._begin(prompts)

    def _begin(self, prompts: Mapping[int, Sequence[int]]) -> None:
        """The next step feeds the last tokens of these slots' prompts."""
        last = [[prompt[-1], len(prompt) - 1] for prompt in prompts.values()]
        rows = sent(list(prompts), self._ids.device)
        self._ids[rows], self._at[rows] = sent(last, self._ids.device)[:, None].unbind(-1)

    def packed(self, lines: dict[int, int]) -> dict[int, int]:
        """The rows by slot once no prompt waits: a captured step computes all slots anyway."""
        return lines

    def rest(self, ended: Sequence[int]) -> None:
        """Let slots that no prompt enters attend to as little as possible."""
        self._at[sent(ended, self._at.device)] = 0

    def _allocated(self, prefilled: Sequence[Cached]) -> list[Cached]:
        """Zeros for all slots, in the shapes and types of some rows' keys and values."""

        def zeros(one: torch.Tensor) -> torch.Tensor:
            return one.new_zeros(self.count, one.shape[1], self._length, one.shape[3])

        return [(zeros(keys), zeros(values)) for keys, values in prefilled]

    def _in_use(self) -> tuple[int, int]:
        """How many rows and columns of the cache a step computes: in a captured one, all."""
        return self.count, self._length

    def step(self, matchers: Mapping[int, Matcher | None] | None = None) -> list[int]:
        """Run one decode step: the next token of each slot, -1 where its logits are not finite.

        Those of empty slots are arbitrary. `matchers`: the grammar of a slot's row.
        """
        if matchers:  # they are asked between the logits and the choice, which no graph can hold
            self._advance(matchers)
        elif self._ids.is_cuda:
            self._replay()
        else:
            self._advance()
        tokens: list[int] = self._chosen[:, 0].tolist()
        return tokens

    def launch(self) -> Coming:
        """Begin a decode step, after those begun before, without waiting for it."""
        self._replay()
        return Coming(self._chosen[:, 0])

    def _replay(self) -> None:
        if self._graph is None:
            self._graph = captured(self._compute if self._sampling else self._advance)
        self._graph.replay()
        if self._sampling:  # the graph ends before the choice
            self._take(self._found)

    def _advance(self, matchers: Mapping[int, Matcher | None] = MappingProxyType({})) -> None:
        logits = self._logits()
        if matchers:
            logits = masked(logits, [matchers.get(slot) for slot in range(len(logits))])
        self._take(logits)

    def _compute(self) -> None:
        self._found = self._logits()

    def _take(self, logits: torch.Tensor) -> None:
        """Choose each row's next token, which the next step feeds."""
        largest, chosen = logits.max(-1, keepdim=True)
        rows = len(chosen)
        if self._sampling:
            numbers = self._numbers[:rows].gather(1, self._at[:rows])
            chosen = choose(logits, numbers, self._sampling)
        self._ids[:rows] = chosen
        self._chosen[:rows] = chosen.where(largest.isfinite(), -1)
        self._at[:rows].add_(1).clamp_(max=self._length - 1)

    def _logits(self) -> torch.Tensor:
        """The logits of the next token of each row in use, (rows, V)."""
        rows, columns = self._in_use()
        at, dtype = self._at[:rows], self.model.dtype
        # An additive mask, so that SDPA does not convert a boolean one in every layer. Fused steps
        # read the positions instead, and any mask of four dimensions keeps others from being made.
        seen = self._columns[: 1 if self._fused else columns] <= at
        mask = torch.zeros_like(seen, dtype=dtype).masked_fill(~seen, torch.finfo(dtype).min)
        places = self._slots[:rows], at[:, 0]
        layers: list[Any] = [
            SlotLayer(keys[:rows, :, :columns], values[:rows, :, :columns], places)
            for keys, values in self._layers
        ]
        return self._fed(self._ids[:rows], at, mask, layers)

    def _fed(
        self, ids: torch.Tensor, at: torch.Tensor, mask: torch.Tensor, layers: list[Any]
    ) -> torch.Tensor:
        """The logits after one token a row: ids and at (rows, 1), mask (rows, columns)."""
        logits: torch.Tensor = self.model(
            input_ids=ids,
            attention_mask=mask[:, None, None],
            position_ids=at,
            past_key_values=Cache(layers=layers),
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
