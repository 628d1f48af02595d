"""Products with the frozen weight of one or several layers, kept as a CPU's kernels take it.

    multiply(x, weight, bias)        x W' + b     for W (out, in) from weight()
    multiply_back(gradient, weight)  g W

oneDNN, which computes bf16 products on a CPU, sorts a weight into blocks at each product; a weight
that never changes can be kept so.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from harness.engine.rounding import agree

PART = 400
"""A weight is kept in blocks where it takes less than one in so many bytes of main memory.

Such rules must not hang on what else runs: blocks and plain weights differ in rounding.
"""
ROWS = 1024
"""Rows of the products that weights are sorted for; others are computed, too."""


class Floats:
    """A weight that is held as floats, (out, in)."""

    def __init__(self, held: Callable[[], torch.Tensor]) -> None:
        self._held = held
        self._sorted: dict[bool, torch.Tensor | None] = {}

    def __call__(self) -> torch.Tensor:
        return self._held()

    def sorted(self, x: torch.Tensor, *, back: bool) -> torch.Tensor | None:
        """In oneDNN's blocks, for products of x with W' or, `back`, with W; None where not kept."""
        if x.device.type != "cpu" or x.dtype != torch.bfloat16:
            return None
        if back not in self._sorted:
            self._sorted[back] = _sorted(self().t() if back else self())
        return self._sorted[back]


def multiply(
    x: torch.Tensor, weight: Callable[[], torch.Tensor], bias: torch.Tensor | None
) -> torch.Tensor:
    """x (T, in) -> (T, out)."""
    if isinstance(weight, Floats) and (blocks := weight.sorted(x, back=False)) is not None:
        return _product(x, blocks, bias)
    return torch.nn.functional.linear(x, weight(), bias)


def multiply_back(gradient: torch.Tensor, weight: Callable[[], torch.Tensor]) -> torch.Tensor:
    """gradient (T, out) -> (T, in)."""
    if isinstance(weight, Floats) and (blocks := weight.sorted(gradient, back=True)) is not None:
        return _product(gradient, blocks, None)
    return gradient @ weight()


def _product(x: torch.Tensor, blocks: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    made: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, blocks, bias, "none", [], "")
    return made


@torch.inference_mode(False)  # generation may be the first to ask, and training the next
def _sorted(weight: torch.Tensor) -> torch.Tensor | None:
    """None where torch or the machine cannot, or where memory is better left alone."""
    if not _can_sort() or weight.nbytes > _main_memory() / PART:
        return None
    with torch.no_grad():
        made: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), ROWS)
    return made


@cache
def _can_sort() -> bool:
    """Whether torch has these operations, which it keeps for its compiler, and they are right."""
    operations: Any = torch.ops.mkldnn
    try:
        if not operations._is_mkldnn_bf16_supported():
            return False
        generator = torch.Generator().manual_seed(0)
        x, weight, bias = (
            torch.randn(shape, generator=generator).bfloat16() for shape in ((5, 64), (48, 64), 48)
        )
        blocks = operations._reorder_linear_weight(weight, ROWS)
        return agree(_product(x, blocks, bias), torch.nn.functional.linear(x, weight, bias))
    except (AttributeError, RuntimeError, TypeError):
        return False


@cache
def _main_memory() -> int:
    """In bytes."""
    import psutil  # type: ignore[import-untyped]  # accelerate brings it

    return int(psutil.virtual_memory().total)
