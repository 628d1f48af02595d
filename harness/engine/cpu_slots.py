"""Slots on a CPU: a decode step computes only the rows and the columns in use.

    use_products(model, patches)        products that are fast for a few dozen rows
    slots = CpuSlots(model, 64, 300)    as `engine.slots.Slots`, without a graph

Its shapes may change with every step: it attends to no more columns than the longest row has, and
rows without a prompt are neither entered nor computed once no prompt waits. With fused steps a
prefill is a step over the tokens of all entering prompts, without padding, and what a prompt shares
with the beginning of one in another slot is copied from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
import psutil  # type: ignore[import-untyped]  # a dependency of accelerate
import torch

from fmtharness.harness.engine import slots
from fmtharness.harness.engine.decode_check import without_head
from fmtharness.harness.engine.fused_decode import fused_heads
from fmtharness.harness.engine.kernels.decode_choice import decode_tools
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.engine.slot_layers import TokensLayer
from fmtharness.harness.engine.slots import Cached, Slots

PASS = 256
"""Most tokens of one pass of a prefill."""
MEMORY_SHARE = 4
"""Keys and values may take 1/MEMORY_SHARE of the memory that is available."""

Copy = tuple[int, int, int]
"""From the first slot to the second, the keys and values of this many first tokens."""


class CpuSlots(Slots):
    """Slots whose decode step computes the first rows alone, up to the last one that has a prompt.

    `count` is smaller than asked for where the cache would take too much memory.
    """

    share: ClassVar[int] = 16
    """Rows that wait cost nothing but the efficiency of a larger product."""

    @staticmethod
    def prepare(model: Any, patches: Patches) -> None:
        """Also use products that are fast for few rows."""
        Slots.prepare(model, patches)
        use_products(model, patches)

    def __init__(self, model: Any, count: int, length: int) -> None:
        super().__init__(model, count, length)
        self._rows = 0
        if self._fused:
            shapes = [(1, heads, 0, size) for heads, size in fused_heads(model)]
            empty = [torch.empty(shape, dtype=model.dtype) for shape in shapes]
            self._layers = self._allocated([(each, each) for each in empty])
        self._held = np.full((self.count, self._length), -1)

    def enter(self, prompts: Mapping[int, Sequence[int]]) -> None:
        """Prefill slots with prompts, without their last tokens. `prompts`: slot -> token ids."""
        if not self._fused:
            super().enter(prompts)
            return
        self._held[list(prompts)] = -1
        tokens, copies = list[tuple[int, int, int]](), list[tuple[int, Copy]]()
        for slot, prompt in prompts.items():
            source, shared = self._source(prompt)
            if shared:
                copies.append((len(tokens), (source, slot, shared)))
            last = len(prompt) - 1
            tokens += [(slot, at, prompt[at]) for at in range(shared, last)]
            self._held[slot, :last] = prompt[:last]
        for begin in range(0, len(tokens), PASS):
            now = [copy for at, copy in copies if begin <= at < begin + PASS]
            self._fill(tokens[begin : begin + PASS], now)
        self._begin(prompts)

    def _source(self, prompt: Sequence[int]) -> tuple[int, int]:
        """The slot that shares the most first tokens with the prompt, and how many.

        One token at least is left to compute: a pass over tokens does the copies.
        """
        most = max(0, len(prompt) - 2)
        same = self._held[:, :most] == np.array(prompt[:most], dtype=np.int64)
        shared = np.logical_and.accumulate(same, 1).sum(1)
        source = int(shared.argmax())
        return source, int(shared[source])

    def _fill(self, tokens: Sequence[tuple[int, int, int]], copies: Sequence[Copy]) -> None:
        """Compute the keys and values of tokens: (slot, position, id)."""
        slots, at, ids = torch.tensor(tokens).t().contiguous()
        mask = torch.zeros(len(ids), 1, dtype=self.model.dtype)
        layers: list[Any] = [TokensLayer(*both, (slots, at), copies) for both in self._layers]
        with without_head(self.model):
            self._fed(ids[:, None], at[:, None], mask, layers)

    def _begin(self, prompts: Mapping[int, Sequence[int]]) -> None:
        super()._begin(prompts)
        self._rows = max(self._rows, *(slot + 1 for slot in prompts))

    def _allocated(self, prefilled: Sequence[Cached]) -> list[Cached]:
        both = [each for layer in prefilled for each in layer]
        row = sum(x.shape[1] * x.shape[3] * x.itemsize for x in both) * self._length
        room = psutil.virtual_memory().available // MEMORY_SHARE // row
        self.count = max(len(both[0]), min(self.count, room))
        return super()._allocated(prefilled)

    def _in_use(self) -> tuple[int, int]:
        return self._rows, int(self._at[: self._rows].max()) + 1

    def packed(self, lines: dict[int, int]) -> dict[int, int]:
        """Move the last rows into free slots, so that the active ones are the first."""
        count = len(lines)
        free = [slot for slot in range(count) if slot not in lines]
        moved = dict(lines)
        for slot in [slot for slot in lines if slot >= count]:
            to = free.pop()
            self._move(slot, to)
            moved[to] = moved.pop(slot)
        self._rows = count
        return moved

    def _move(self, slot: int, to: int) -> None:
        used = int(self._at[slot])
        self._held[to] = self._held[slot]
        for layer in self._layers:
            for cached in layer:
                cached[to, :, :used] = cached[slot, :, :used]
        for each in (self._ids, self._at, *([self._numbers] if self._sampling else [])):
            each[to] = each[slot]


def kind_for(model: Any) -> type[Slots]:
    """The kind of slots for the model's device."""
    return slots.Slots if slots.on_gpu(model) else CpuSlots


def use_products(model: Any, patches: Patches) -> None:
    """Compute linear layers by the products of `kernels.cpu_decode`, where they can be used.

    Weights stay as they are, so that a training computes the same bits as without an evaluation.
    """
    tools = decode_tools(next(model.parameters()).device, model.dtype)
    if tools is None:
        return
    for module in model.modules():
        plain = type(module) is torch.nn.Linear and "forward" not in vars(module)
        if plain and module.weight.dtype == model.dtype and module.weight.is_contiguous():
            forward = partial(_multiplied, module, tools.product)
            patches.replace(module, "forward", forward, "a faster product of few rows")


def _multiplied(
    layer: torch.nn.Linear, product: Callable[..., torch.Tensor], x: torch.Tensor
) -> torch.Tensor:
    rows = x.reshape(-1, x.shape[-1]).contiguous()
    return product(rows, layer.weight, layer.bias).view(*x.shape[:-1], -1)
