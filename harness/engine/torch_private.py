"""Functions that torch has and does not document, and what happens where they are gone.

Tried with torch 2.11 (CUDA 13) and 2.13 (CPU).

    clear_cublas_workspaces()           without it: the workspaces stay allocated, 64 MiB on an H200
    end_capture(device_index, pool)     without it: torch ended the failed capture itself
    capture_stream()                    without it: None, and nothing is borrowed from a pool
    has_flash(), flash, flash_back      without them: attention in squares
    softmax_back                        without it: the same in three operations
    cpu_has_bf16()                      before torch 2.12 by two private functions, of x86 alone
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import torch


def clear_cublas_workspaces() -> None:
    """Free cuBLAS's workspaces; cuBLAS allocates them again when needed."""
    with suppress(AttributeError):
        torch._C._cuda_clearCublasWorkspaces()


def end_capture(device_index: int, pool: Any) -> None:
    """Take a failed capture's pool from the allocator, which torch does itself from 2.12 on."""
    with suppress(RuntimeError, AttributeError):
        torch._C._cuda_endAllocateToPool(device_index, pool)
        torch._C._cuda_releasePool(device_index, pool)


def capture_stream() -> torch.cuda.Stream | None:
    """The stream of all captures of `torch.cuda.graph`; None before the first."""
    return getattr(torch.cuda.graph, "default_capture_stream", None)


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bf16 numbers; else torch converts them, 3 to 4 times slower."""
    names = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")
    if (capabilities := getattr(torch.cpu, "get_capabilities", None)) is not None:
        return any(capabilities().get(name) for name in names)
    known = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in known)


def has_flash() -> bool:
    """Whether torch has the flash attention kernels for rows of several lengths."""
    names = ("_flash_attention_forward", "_flash_attention_backward")
    return torch.backends.cuda.is_flash_attention_available() and all(
        hasattr(torch.ops.aten, name) for name in names
    )


def flash(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    starts: torch.Tensor,
    longest: int,
    scale: float,
) -> tuple[torch.Tensor, ...]:
    """Causal attention of rows one after the other, and what its backward pass needs.

    query (T, heads, size), key and value (T, KV heads, size), starts (rows + 1,) int32 ->
    out (T, heads, size), the logarithms of the softmax's sums, and the state of dropout.
    """
    out, logsumexp, *rng_state, _ = torch.ops.aten._flash_attention_forward(
        query, key, value, starts, starts, longest, longest, 0.0, True, False, scale=scale
    )
    return out, logsumexp, *rng_state


def flash_back(
    gradient: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    made: tuple[torch.Tensor, ...],
    starts: torch.Tensor,
    longest: int,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The gradients of query, key and value; `made` is what `flash` returned."""
    out, logsumexp, *rng_state = made
    rows = (starts, starts, longest, longest, 0.0, True)
    gradients: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    gradients = torch.ops.aten._flash_attention_backward(
        gradient, query, key, value, out, logsumexp, *rows, *rng_state, scale=scale
    )
    return gradients


def softmax_back(gradient: torch.Tensor, softmax: torch.Tensor) -> torch.Tensor:
    """The gradient of the softmax's input, over the last dimension, from that of its output."""
    own = getattr(torch.ops.aten, "_softmax_backward_data", None)
    if own is None:
        by_input = gradient * softmax
        return by_input.addcmul_(softmax, by_input.sum(-1, keepdim=True), value=-1)
    found: torch.Tensor = own(gradient, softmax, -1, softmax.dtype)
    return found
