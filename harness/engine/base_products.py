"""Matrix products with a frozen weight W (out, in), prepacked for oneDNN on a CPU.

    multiply(x, weight, bias)        x W^T + b    for W = weight()
    multiply_back(gradient, weight)  g W          the gradient w.r.t. x

For bf16 on a CPU, oneDNN reorders the weight into its blocked layout at every product. A frozen
weight can be reordered once and kept.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from harness.engine.rounding import agree

PART = 400
"""Prepack a weight only if it takes at most 1/PART of total main memory.

Total and not free memory: packed and plain weights round differently, so the choice must not depend
on what else is running.
"""
ROWS = 1024
"""Batch size hint for oneDNN's layout; products with other batch sizes work too."""


class Floats:
    """An unquantized weight (out, in)."""

    def __init__(self, held: Callable[[], torch.Tensor]) -> None:
        self._held = held
        self._sorted: dict[bool, torch.Tensor | None] = {}

    def __call__(self) -> torch.Tensor:
        return self._held()

    def sorted(self, x: torch.Tensor, *, back: bool) -> torch.Tensor | None:
        """W packed for x W^T, or with `back` for x W; None if this weight is not packed."""
        if x.device.type != "cpu" or x.dtype != torch.bfloat16:
            return None
        if back not in self._sorted:
            self._sorted[back] = _sorted(self().t() if back else self())
        return self._sorted[back]


def multiply(
    x: torch.Tensor, weight: Callable[[], torch.Tensor], bias: torch.Tensor | None
) -> torch.Tensor:
    """x (T, in), bias (out,) or None -> x W^T + b (T, out)."""
    if isinstance(weight, Floats) and (packed := weight.sorted(x, back=False)) is not None:
        return _product(x, packed, bias)
    return torch.nn.functional.linear(x, weight(), bias)


def multiply_back(gradient: torch.Tensor, weight: Callable[[], torch.Tensor]) -> torch.Tensor:
    """gradient (T, out) -> g W (T, in)."""
    if isinstance(weight, Floats) and (packed := weight.sorted(gradient, back=True)) is not None:
        return _product(gradient, packed, None)
    return gradient @ weight()


def _product(x: torch.Tensor, packed: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    out: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
    return out


@torch.inference_mode(False)  # generation may pack a weight that training uses later
def _sorted(weight: torch.Tensor) -> torch.Tensor | None:
    """The packed weight; None if torch or the CPU lacks the operations, or it is too large."""
    if not _can_sort() or weight.nbytes > _main_memory() / PART:
        return None
    with torch.no_grad():
        packed: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), ROWS)
    return packed


@cache
def _can_sort() -> bool:
    """Whether torch has these private operations (of torch.compile) and they compute correctly."""
    operations: Any = torch.ops.mkldnn
    try:
        if not operations._is_mkldnn_bf16_supported():
            return False
        generator = torch.Generator().manual_seed(0)
        x, weight, bias = (
            torch.randn(shape, generator=generator).bfloat16() for shape in ((5, 64), (48, 64), 48)
        )
        packed = operations._reorder_linear_weight(weight, ROWS)
        return agree(_product(x, packed, bias), torch.nn.functional.linear(x, weight, bias))
    except (AttributeError, RuntimeError, TypeError):
        return False


@cache
def _main_memory() -> int:
    """Total main memory in bytes."""
    import psutil  # type: ignore[import-untyped]  # a dependency of accelerate

    return int(psutil.virtual_memory().total)
