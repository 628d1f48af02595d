"""fp32 kernels in C for decoding on a CPU, with as many threads as torch has.

    product(x, weight, bias)            x W' + b, for weights (out, in) as torch stores them
    attend(projected, cos, sin, ...)    rotary, cache write and attention of new tokens

Both are built as those of `kernels.cpu` are, and share the threads of torch. A product packs a few
columns of the weights at a time and fetches the next ones meanwhile: MKL's products of a few dozen
rows wait for memory. Arguments are not checked: tensors must be fp32 and contiguous unless stated
otherwise. `kernels.decode_choice` decides whether they are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from fmtharness.harness.engine.kernels.cpu import converted, library

SOURCE = Path(__file__).with_suffix(".c")
OPTION = "-fopenmp"


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
    first two dimensions; at, slots (T,): each token's position and its slot, its own index if not
    given. `copies` (from, to, n): what the first n positions of a slot then hold is copied to
    another one before any token attends, in this order.
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


def _call(name: str, *arguments: torch.Tensor | float | None) -> None:
    function = getattr(library(SOURCE, OPTION), name)
    function(*map(converted, arguments), converted(torch.get_num_threads()))
