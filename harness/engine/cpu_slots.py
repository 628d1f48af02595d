"""Slots on a CPU: a decode step computes only the rows and the columns in use.

    lay_out(model, patches)             weights in the order that is fast for a few dozen rows
    slots = CpuSlots(model, 64, 300)    as `engine.slots.Slots`, without a graph

Its shapes may change with every step: it attends to no more columns than the longest row has, and
rows without a prompt are neither entered nor computed once no prompt waits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import psutil  # type: ignore[import-untyped]  # a dependency of accelerate
import torch

from fmtharness.harness.engine import slots
from fmtharness.harness.engine.lora_linear import groups
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.engine.slots import Cached, Slots

MEMORY_SHARE = 4
"""Keys and values may take 1/MEMORY_SHARE of the memory that is available."""


class CpuSlots(Slots):
    """Slots whose decode step computes the first rows alone, up to the last one that has a prompt.

    `count` is smaller than asked for where the cache would take too much memory.
    """

    share: ClassVar[int] = 16
    """Rows that wait cost nothing but the efficiency of a larger product."""

    @staticmethod
    def prepare(model: Any, patches: Patches) -> None:
        """Also store the weights in the order that is fast for few rows."""
        Slots.prepare(model, patches)
        lay_out(model, patches)

    def __init__(self, model: Any, count: int, length: int) -> None:
        super().__init__(model, count, length)
        self._rows = 0

    def _prefill(self, prompts: Mapping[int, Sequence[int]], width: int) -> None:
        super()._prefill(prompts, width)
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
        for layer in self._layers:
            for cached in layer:
                cached[to, :, :used] = cached[slot, :, :used]
        for each in (self._ids, self._at, *([self._numbers] if self._sampling else [])):
            each[to] = each[slot]


def kind_for(model: Any) -> type[Slots]:
    """The kind of slots for the model's device."""
    return slots.Slots if slots.on_gpu(model) else CpuSlots


def lay_out(model: Any, patches: Patches) -> None:
    """Store the weights of linear layers by columns: a product of few rows is then faster.

    Only in fp32, for which this is known. Weights that are tied to the embedding stay, since it
    reads rows. Leaving `patches` stores them by rows again.
    """
    if model.dtype != torch.float32:
        return
    embedded = model.get_input_embeddings().weight
    grouped: set[Any] = set()
    for group in groups(model):
        bases = [layer.base_layer for layer in group.layers]
        whole = group.weight()
        if len(bases) > 1 and whole is group.weight():  # else each is dequantized for each product
            grouped |= set(bases)
            _by_columns(group, whole, [base.weight for base in bases], patches)
    # In training an adapter's weights are views of one vector, and must stay so.
    others = grouped.union(*map(_adapters, model.modules()))
    for module in model.modules():
        if type(module) is torch.nn.Linear and module not in others:
            weight = module.weight
            if weight is not embedded and weight.is_contiguous():
                _by_columns(module, weight, [], patches)


def _adapters(layer: Any) -> set[Any]:
    """The modules in a layer of peft's but the one that it adapts."""
    if not hasattr(layer, "base_layer"):
        return set()
    parts = (part for name, part in layer.named_children() if name != "base_layer")
    return {module for part in parts for module in part.modules()}


def _by_columns(
    owner: Any, whole: torch.Tensor, parts: Sequence[torch.Tensor], patches: Patches
) -> None:
    """Store a weight (out, in) by columns, and its `parts`, views of some rows each, too."""

    def store(made: Callable[[torch.Tensor], torch.Tensor]) -> None:
        with torch.inference_mode(False), torch.no_grad():  # training goes on with these weights
            whole.data = made(whole.data)
            split = torch.split(whole.data, [len(part) for part in parts]) if parts else ()
            for part, view in zip(parts, split, strict=True):
                part.data = view

    store(lambda weight: weight.t().contiguous().t())
    why = "stored by columns, faster for few rows"
    patches.changed(owner, "weight", lambda: store(torch.Tensor.contiguous), why)
