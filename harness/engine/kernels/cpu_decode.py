"""fp32 kernels in C for decoding on a CPU, with as many threads as torch has.

    product(x, weight, bias)            x W' + b, for weights (out, in) as torch stores them
    attend(projected, cos, sin, ...)    rotary, cache write and attention of new tokens
    norm(x, weight, epsilon)            x w / sqrt(mean(x^2) + epsilon)
    gate(both)                          silu(g) u, for [g, u] side by side

They are built as those of `kernels.cpu` are, and share the threads of torch. A product packs a few
columns of the weights at a time and fetches the next ones meanwhile: MKL's products of a few dozen
rows wait for memory. Arguments are not checked: tensors must be fp32 and contiguous unless stated
otherwise. `kernels.decode_choice` decides whether they are used.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

from fmtharness.harness.engine.kernels.cpu import library

SOURCE = Path(__file__).with_suffix(".c")
OPTION = "-fopenmp"
TYPES: dict[str, Any] = {"p": ctypes.c_void_p, "i": ctypes.c_int64, "f": ctypes.c_float}
ARGUMENTS = {
    "product": "ppppiiiii",
    "attend": "pppppppppiiiiiiifi",
    "norm": "pppiifi",
    "gate": "ppiii",
}
"""The types of each kernel's arguments: data pointers, integers and floats."""


def product(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    into: torch.Tensor | None = None,
) -> torch.Tensor:
    """x (T, in), weight (out, in), bias (out,) -> (T, out), added to `into` if that is given."""
    (rows, depth), count = x.shape, len(weight)
    out = x.new_empty(rows, count) if into is None else into
    _call("product", x, weight, bias, out, rows, count, depth, int(into is not None))
    return out


def attend(
    projected: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    at: torch.Tensor,
    *,
    queries: int,
    scale: float,
    slots: torch.Tensor | None = None,
    copies: Sequence[tuple[int, int, int]] = (),
) -> torch.Tensor:
    """The attention of T new tokens (T, queries * size); writes their keys and values.

    projected (T, (queries + 2 KV heads) * size), whose queries and keys are overwritten; cos and
    sin (T, size); keys and values (slots, KV heads, length, size), alike and contiguous but for the
    first two dimensions, with room for `length` rounded up to 64; at, slots (T,): each token's
    position and its slot, which is its own index if not given. `copies` (from, to, n): what the
    first n positions of a slot then hold is copied to another one before any token attends, in
    this order.
    """
    _, kv_heads, _, size = keys.shape
    tokens = len(projected)
    out = projected.new_empty(tokens, queries * size)
    slots = torch.arange(tokens) if slots is None else slots
    moved = torch.tensor(copies, dtype=torch.int64)
    tensors = projected, cos, sin, keys, values, slots, at, moved, out
    sizes = tokens, len(copies), queries, kv_heads, size, keys.stride(0), keys.stride(1)
    _call("attend", *tensors, *sizes, float(scale))
    return out


def norm(x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    """x (T, n), weight (n,) -> (T, n)."""
    out = torch.empty_like(x)
    _call("norm", x, weight, out, *x.shape, epsilon)
    return out


def gate(both: torch.Tensor) -> torch.Tensor:
    """both (T, 2 n) -> silu(g) u (T, n)."""
    rows, n = len(both), both.shape[1] // 2
    out = both.new_empty(rows, n)
    _call("gate", both, out, rows, n)
    return out


def _call(name: str, *arguments: torch.Tensor | float | None) -> None:
    given = [x.data_ptr() if isinstance(x, torch.Tensor) else x for x in arguments]
    _function(name)(*given, torch.get_num_threads())


@cache
def _function(name: str) -> Any:
    function = getattr(library(SOURCE, OPTION), name)
    function.argtypes = [TYPES[each] for each in ARGUMENTS[name]]
    function.restype = None
    return function
