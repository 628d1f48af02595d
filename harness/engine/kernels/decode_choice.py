"""Selects the kernels for a decode step.

    decode_kernel(device, dtype, 9, 3, 64)      its attention: `kernels.decode.attend` on a GPU,
                                                in fp32 on a CPU `kernels.cpu_decode.attend`
    decode_tools(device, dtype)                 its products, norms and gates: in fp32 on a CPU
                                                `kernels.cpu_decode`

Both are None where there is nothing better than torch, or it cannot be built or is not right.
Before first use each is compared with torch's operations on a small example.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from subprocess import SubprocessError
from typing import Any

import torch
from torch.nn.functional import linear, rms_norm, silu

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
    kernel: Callable[..., torch.Tensor] | None = None
    if device.type == "cuda" and dtype != torch.float64:
        kernel = _tried(device, dtype, queries, kv_heads, size)
    elif device.type == "cpu" and dtype == torch.float32 and size % 2 == 0 and _on_cpu():
        kernel = _tried_on_cpu(queries, kv_heads, size)
    return kernel


def decode_tools(device: torch.device, dtype: torch.dtype) -> Any:
    """The module of kernels for products, norms and gates on this device; None for torch's."""
    return _on_cpu() if device.type == "cpu" and dtype == torch.float32 else None


def plain_product(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    into: torch.Tensor | None = None,
) -> torch.Tensor:
    """x (T, in), weight (out, in), bias (out,) -> (T, out), added in place to `into` if given."""
    if into is None:
        return linear(x, weight, bias)
    into.addmm_(x, weight.t())
    return into if bias is None else into.add_(bias)


@cache
def _on_cpu() -> Any:
    """The module of fp32 kernels for this CPU, if they can be built and are right."""
    from fmtharness.harness.engine.kernels import cpu, cpu_decode

    if cpu.compiler() is None:
        return None
    try:
        right = are_right(cpu_decode)
    except (OSError, AttributeError, SubprocessError) as error:
        reason = first_line(error)
        say(f"generate: the C compiler cannot build kernels here ({reason}); using torch's")
        return None
    return cpu_decode if right else None


@cache
def _tried_on_cpu(queries: int, kv_heads: int, size: int) -> Any:
    attend, device = _on_cpu().attend, torch.device("cpu")
    right = is_right(attend, device, torch.float32, queries, kv_heads, size)
    return attend if right and fills_right(attend, queries, kv_heads, size) else None


@torch.inference_mode()
def are_right(tools: Any) -> bool:
    """Whether products, norms and gates agree with torch's, for sizes of whole tiles and parts."""
    generator = torch.Generator().manual_seed(0)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    pairs = list[tuple[torch.Tensor, torch.Tensor]]()
    for rows, depth, columns in (1, 3, 2), (5, 64, 16), (6, 40, 96), (29, 1610, 50):
        x, weight, bias = randn(rows, depth), randn(columns, depth), randn(columns)
        into = randn(rows, columns)
        for given in None, bias:
            pairs.append((tools.product(x, weight, given), plain_product(x, weight, given)))
            found = tools.product(x, weight, given, into.clone())
            pairs.append((found, plain_product(x, weight, given, into.clone())))
        pairs.append((tools.norm(x, weight[0], 0.5), rms_norm(x, (depth,), weight[0], 0.5)))
        opened, up = (both := randn(rows, 2 * depth)).chunk(2, -1)
        pairs.append((tools.gate(both), silu(opened) * up))
    return all(agree(found, expected) for found, expected in pairs)


@torch.inference_mode()
def fills_right(
    attend: Callable[..., torch.Tensor], queries: int, kv_heads: int, size: int
) -> bool:
    """Whether tokens of two slots at once, the second with a copied beginning, get what `plain`
    gives them one after the other."""
    generator = torch.Generator().manual_seed(0)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    slots, at = torch.tensor([2, 2, 2, 2, 0, 0]), torch.tensor([0, 1, 2, 3, 3, 4])
    projected = randn(len(at), (queries + 2 * kv_heads) * size)
    cos, sin = randn(len(at), size), randn(len(at), size)
    keys, values = randn(3, kv_heads, 64, size), randn(3, kv_heads, 64, size)
    own, made = (keys.clone(), values.clone()), list[torch.Tensor]()
    for i, slot in enumerate(slots.tolist()):
        if i == 4:
            for cached in own:
                cached[0, :, :3] = cached[2, :, :3]
        row, (key, value) = slice(i, i + 1), [cached[slot : slot + 1] for cached in own]
        made.append(
            plain(projected[row], cos[row], sin[row], key, value, at[row], queries, size**-0.5)
        )
    more = {"queries": queries, "scale": size**-0.5, "slots": slots, "copies": [(2, 0, 3)]}
    found = attend(projected, cos, sin, keys, values, at, **more)
    pairs = (found, torch.cat(made)), (keys, own[0]), (values, own[1])
    return all(agree(new, right) for new, right in pairs)


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
        found = attend(projected.clone(), cos, sin, keys, values, at, **more)
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
