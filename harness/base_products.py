"""Products with the frozen weight of one or several layers, kept as a CPU's kernels take it.

    multiply(x, weight, bias)        x W' + b     for W (out, in) from weight()
    multiply_back(gradient, weight)  g W

oneDNN, which computes bf16 products on a CPU, sorts a weight into blocks at each product; a weight
that never changes can be kept so.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any

import torch

SHARE = 8
"""The part of main memory that sorted weights may take: one in so many."""
ROWS = 1024
"""Rows of the products that weights are sorted for; others are computed, too."""
_taken = 0


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
            made = self._sorted[back] = _sorted(self().t() if back else self())
            if made is not None:
                weakref.finalize(self, _take, -self().nbytes)
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
    operations: Any = torch.ops.mkldnn
    can = torch._C._has_mkldnn and hasattr(operations, "_linear_pointwise")
    if not can or not operations._is_mkldnn_bf16_supported():
        return None
    if _taken + weight.nbytes > _main_memory() / SHARE:
        return None
    _take(weight.nbytes)
    with torch.no_grad():
        made: torch.Tensor = operations._reorder_linear_weight(weight.contiguous(), ROWS)
    return made


def _take(size: int) -> None:
    global _taken
    _taken += size


def _main_memory() -> int:
    """In bytes; none known is none."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 0
