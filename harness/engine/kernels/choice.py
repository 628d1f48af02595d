"""Selects the fused kernels for a tensor's device and dtype.

    kernels(x)              the module triton or cpu beside this one, or None
    training_kernels(x)     the same where its kernels for gradients are right, too

Both need a C compiler at first use; Triton is installed with torch on Linux. Before first use on a
device, every kernel is compared with torch's own operations on a small example; those for gradients
by themselves, since generation does without them and each takes a while to build.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
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


def training_kernels(x: torch.Tensor) -> Any:
    """What `kernels` gives, if its kernels for gradients can be built and agree, too; else None."""
    own = kernels(x)
    if own is None:
        return None
    right = _tried(x.device, x.dtype, backward=True) if x.is_cuda else _compiled(backward=True)
    return own if right else None


@cache
def _tried(device: torch.device, dtype: torch.dtype, *, backward: bool = False) -> Any:
    if importlib.util.find_spec("triton") is None:
        return None
    try:
        from fmtharness.harness.engine.kernels import triton as triton_kernels

        with torch.no_grad(), torch.cuda.device(device):
            right = (gradients_are_right if backward else are_right)(triton_kernels, device, dtype)
    except Exception as error:  # compilation can fail in many ways, and torch is the fallback
        reason = _reason(error)
        say(
            f"model: Triton cannot build its kernels here ({reason}); "
            f"using torch's, which are slower"
        )
        return None
    return triton_kernels if right else None


@cache
def _compiled(*, backward: bool = False) -> Any:
    from fmtharness.harness.engine.kernels import cpu as cpu_kernels

    if cpu_kernels.compiler() is None:
        return None
    check = gradients_are_right if backward else are_right
    try:
        with torch.no_grad():
            right = check(cpu_kernels, torch.device("cpu"), torch.bfloat16)
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


def are_right(kernels: Any, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether each kernel without a gradient agrees with torch's own operations on an example.

    torch computes the reference in fp32; the tolerance is that of `dtype` in `engine.rounding`.
    The norm's rows have one of the commonest sizes, for which Triton then builds it only once.
    """
    randn = _numbers(device, dtype)
    both = randn(3, 2 * 1040)
    gate, up = both.float().chunk(2, -1)
    pairs = [(kernels.gate(both), silu(gate) * up)]

    x, weight, epsilon = randn(3, 880), randn(880), 0.5
    normed = rms_norm(x.float(), (880,), weight.float(), epsilon)
    pairs += [(kernels.norm(x, weight, epsilon)[0], normed), _turned(kernels, randn, back=False)]
    return all(agree(found, expected.to(dtype)) for found, expected in pairs)


@torch.inference_mode(False)  # the check needs autograd, and generation may be the first caller
def gradients_are_right(kernels: Any, device: torch.device, dtype: torch.dtype) -> bool:
    """The same of the kernels that compute gradients."""
    randn = _numbers(device, dtype)
    both, grad_output = randn(3, 2 * 1040), randn(3, 1040)
    with torch.enable_grad():
        leaf = both.to(torch.float32, copy=True).requires_grad_()
        gate, up = leaf.chunk(2, -1)
        gated = silu(gate) * up
        (grad_both,) = torch.autograd.grad(gated, leaf, grad_output.float())
    found, recomputed = kernels.gate_back(both, grad_output)
    pairs = [(recomputed, gated), (found, grad_both)]

    x, weight, grad_output, epsilon = randn(3, 1040), randn(1040), randn(3, 1040), 0.5
    with torch.enable_grad():
        leaf = x.to(torch.float32, copy=True).requires_grad_()
        normed = rms_norm(leaf, (1040,), weight.float(), epsilon)
        (grad_x,) = torch.autograd.grad(normed, leaf, grad_output.float())
    _, inverse = kernels.norm(x, weight, epsilon)
    pairs.append((kernels.norm_back(x, weight, inverse, grad_output), grad_x))
    pairs.append(_turned(kernels, randn, back=True))

    logits, labels = 3 * randn(3, 5000), torch.tensor([4999, -100, 7], device=device)
    with torch.enable_grad():
        leaf = logits.to(torch.float32, copy=True).requires_grad_()
        losses = cross_entropy(leaf, labels, reduction="none")
        (grad_logits,) = torch.autograd.grad(losses.sum(), leaf)
    kernel_losses = kernels.loss_rows(logits, labels)
    pairs.append((logits, grad_logits))  # loss_rows overwrites the logits with their gradient
    losses_agree = agree(kernel_losses, losses)
    return losses_agree and all(agree(found, expected.to(dtype)) for found, expected in pairs)


def _numbers(device: torch.device, dtype: torch.dtype) -> Callable[..., torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return lambda *shape: torch.randn(shape, generator=generator).to(device, dtype)


def _turned(
    kernels: Any, randn: Callable[..., torch.Tensor], *, back: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Some heads turned, or turned back, by the kernel and by torch."""
    x, cos, sin = randn(3, 24, 64), randn(3, 64), randn(3, 64)
    rotated, sine = x[:, :17].float(), sin[:, None].float()
    rolled = -rotate_half(rotated * sine) if back else rotate_half(rotated) * sine
    out = x.clone()
    kernels.turn(out[:, :17], out[:, :17], cos, sin, back=back)
    return out, torch.cat([rotated * cos[:, None].float() + rolled, x[:, 17:].float()], 1)


def rotate_half(x: torch.Tensor) -> torch.Tensor:
    """(-second half, first half) of the last dimension, as rotary position embeddings need it."""
    first, second = x.chunk(2, -1)
    return torch.cat([-second, first], -1)
