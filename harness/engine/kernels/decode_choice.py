"""Selects the kernel for the attention of a decode step.

    decode_kernel(x)      `kernels.decode.attend`, or None where it is not right or cannot be built

Before first use with heads of some shape it is compared with torch's operations on a small example.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from fmtharness.harness.engine.kernels.choice import rotate_half
from fmtharness.harness.engine.rounding import agree
from fmtharness.harness.progress import say
from fmtharness.harness.text import first_line

LARGEST = 256
"""The largest head size that the kernel takes."""


def decode_kernel(
    device: torch.device, dtype: torch.dtype, queries: int, kv_heads: int, size: int
) -> Callable[..., torch.Tensor] | None:
    """The kernel for these numbers of heads and their size; None if there is none."""
    if device.type != "cuda" or dtype == torch.float64:
        return None
    kernel: Callable[..., torch.Tensor] | None = _tried(device, dtype, queries, kv_heads, size)
    return kernel


@cache
def _tried(device: torch.device, dtype: torch.dtype, queries: int, kv_heads: int, size: int) -> Any:
    if importlib.util.find_spec("triton") is None or size > LARGEST or size % 2:
        return None
    try:
        from fmtharness.harness.engine.kernels import decode

        with torch.cuda.device(device):
            right = is_right(decode.attend, device, dtype, queries, kv_heads, size)
    except Exception as error:  # compilation can fail in many ways, and torch is the fallback
        reason = first_line(error)
        say(f"generate: Triton cannot build its attention here ({reason}); using torch's")
        return None
    return decode.attend if right else None


@torch.inference_mode()
def is_right(
    attend: Callable[..., torch.Tensor],
    device: torch.device,
    dtype: torch.dtype,
    queries: int,
    kv_heads: int,
    size: int,
) -> bool:
    """Whether the kernel agrees with `plain` for rows of some lengths, and writes what it does."""
    generator = torch.Generator().manual_seed(0)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).to(device, dtype)

    for length, places in (192, [0, 1, 64, 191, 77]), (1088, [1023, 1024, 1087, 5]):
        at, rows = torch.tensor(places, device=device), len(places)
        projected = randn(rows, (queries + 2 * kv_heads) * size)
        cos, sin = randn(rows, size), randn(rows, size)
        shape = rows, kv_heads, length, size
        keys, values = randn(*shape), randn(*shape)
        own_keys, own_values = keys.clone(), values.clone()
        more = {"queries": queries, "scale": size**-0.5}
        found = attend(projected, cos, sin, keys, values, at, **more)
        expected = plain(projected, cos, sin, own_keys, own_values, at, queries, size**-0.5)
        pairs = (found, expected), (keys, own_keys), (values, own_values)
        if not all(agree(made, right) for made, right in pairs):
            return False
    return True


def plain(
    projected: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    at: torch.Tensor,
    queries: int,
    scale: float,
) -> torch.Tensor:
    """What the kernel computes, by torch's operations: shapes as there."""
    rows, kv_heads, length, size = keys.shape
    each = projected.view(rows, -1, size)
    turned = each * cos[:, None] + rotate_half(each) * sin[:, None]
    places = torch.arange(rows, device=at.device), slice(None), at
    keys[places] = turned[:, queries : queries + kv_heads]
    values[places] = each[:, queries + kv_heads :]
    query = turned[:, :queries].float().view(rows, kv_heads, -1, size)
    scores = scale * query @ keys.float().mT
    seen = torch.arange(length, device=at.device) <= at[:, None]
    weights = scores.masked_fill(~seen[:, None, None], -torch.inf).softmax(-1)
    return (weights @ values.float()).to(projected.dtype).reshape(rows, -1)
