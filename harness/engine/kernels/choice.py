"""Selects the fused kernels for a tensor's device and dtype.

    kernels(x)      the module triton or cpu beside this one, or None

Both need a C compiler at first use; Triton is installed with torch on Linux. Before first use on a
device, every kernel is compared with torch's own operations on a small example.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from subprocess import SubprocessError
from typing import Any

import torch
from torch.nn.functional import cross_entropy, rms_norm, silu

from fmtharness.harness.engine.rounding import agree
from fmtharness.harness.progress import say

FEW = 4
"""Maximum torch threads for which the CPU kernels, which use one thread, are faster than torch."""


def kernels(x: torch.Tensor) -> Any:
    """The Triton kernels on CUDA, the C kernels for bf16 on a CPU with few threads, else None.

    None, too, if the kernels cannot be built or do not agree with torch; use torch's operations
    then.
    """
    if x.is_cuda:
        return None if x.dtype == torch.float64 else _tried(x.device, x.dtype)
    on_cpu = x.device.type == "cpu" and x.dtype == torch.bfloat16
    return _compiled() if on_cpu and torch.get_num_threads() <= FEW else None


@cache
def _tried(device: torch.device, dtype: torch.dtype) -> Any:
    if importlib.util.find_spec("triton") is None:
        return None
    try:
        from fmtharness.harness.engine.kernels import triton as triton_kernels

        with torch.no_grad(), torch.cuda.device(device):
            right = are_right(triton_kernels, device, dtype)
    except Exception as error:  # compilation can fail in many ways, and torch is the fallback
        reason = _reason(error)
        say(
            f"model: Triton cannot build its kernels here ({reason}); "
            f"using torch's, which are slower"
        )
        return None
    return triton_kernels if right else None


@cache
def _compiled() -> Any:
    from fmtharness.harness.engine.kernels import cpu as cpu_kernels

    if cpu_kernels.compiler() is None:
        return None
    try:
        with torch.no_grad():
            device = torch.device("cpu")
            right = are_right(cpu_kernels, device, torch.bfloat16)
    except (OSError, AttributeError, SubprocessError) as error:
        reason = _reason(error)
        say(
            f"model: the C compiler cannot build kernels here ({reason}); "
            f"using torch's, which are slower"
        )
        return None
    return cpu_kernels if right else None


def _reason(error: Exception) -> str:
    """The last line of the compiler's stderr, else of the error's message."""
    stderr = getattr(error, "stderr", None)
    output = stderr.decode(errors="replace").strip() if isinstance(stderr, bytes) else ""
    return (output or str(error).strip() or type(error).__name__).splitlines()[-1]


@torch.inference_mode(False)  # the check needs autograd, and generation may be the first caller
def are_right(kernels: Any, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether each kernel agrees with torch's own operations on a small example.

    torch computes the reference in fp32; the tolerance is that of `dtype` in `engine.rounding`.
    """
    generator = torch.Generator().manual_seed(0)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).to(device, dtype)

    both, grad_output = randn(3, 2 * 1040), randn(3, 1040)
    with torch.enable_grad():
        leaf = both.to(torch.float32, copy=True).requires_grad_()
        gate, up = leaf.chunk(2, -1)
        gated = silu(gate) * up
        (grad_both,) = torch.autograd.grad(gated, leaf, grad_output.float())
    found, recomputed = kernels.gate_back(both, grad_output)
    pairs = [(kernels.gate(both), gated), (recomputed, gated), (found, grad_both)]

    x, weight, grad_output, epsilon = randn(3, 1040), randn(1040), randn(3, 1040), 0.5
    with torch.enable_grad():
        leaf = x.to(torch.float32, copy=True).requires_grad_()
        normed = rms_norm(leaf, (1040,), weight.float(), epsilon)
        (grad_x,) = torch.autograd.grad(normed, leaf, grad_output.float())
    out, inverse = kernels.norm(x, weight, epsilon)
    pairs += [(out, normed), (kernels.norm_back(x, weight, inverse, grad_output), grad_x)]

    x, cos, sin = randn(3, 24, 64), randn(3, 64), randn(3, 64)
    rotated, sine = x[:, :17].float(), sin[:, None].float()
    for back in (False, True):
        rolled = -rotate_half(rotated * sine) if back else rotate_half(rotated) * sine
        out = x.clone()
        kernels.turn(out[:, :17], out[:, :17], cos, sin, back=back)
        pairs.append(
            (out, torch.cat([rotated * cos[:, None].float() + rolled, x[:, 17:].float()], 1))
        )

    logits, labels = 3 * randn(3, 5000), torch.tensor([4999, -100, 7], device=device)
    with torch.enable_grad():
        leaf = logits.to(torch.float32, copy=True).requires_grad_()
        losses = cross_entropy(leaf, labels, reduction="none")
        (grad_logits,) = torch.autograd.grad(losses.sum(), leaf)
    kernel_losses = kernels.loss_rows(logits, labels)
    pairs.append((logits, grad_logits))  # loss_rows overwrites the logits with their gradient
    losses_agree = agree(kernel_losses, losses)
    return losses_agree and all(agree(found, expected.to(dtype)) for found, expected in pairs)


def rotate_half(x: torch.Tensor) -> torch.Tensor:
    """(-second half, first half) of the last dimension, as rotary position embeddings need it."""
    first, second = x.chunk(2, -1)
    return torch.cat([-second, first], -1)
