"""Which kernels there are for a tensor's device, beside torch's own.

    kernels(x)      the module harness.engine.kernels.triton or harness.engine.kernels.cpu, or None

Both need a C compiler at first use; Triton comes with torch on Linux. Kernels are tried on each
device before anything counts on them.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from subprocess import SubprocessError
from typing import Any

import torch
from torch.nn.functional import cross_entropy, rms_norm, silu

from harness.engine.rounding import agree
from harness.progress import say

FEW = 4
"""Threads up to which one of them is faster with a kernel than all are with torch's operations."""


def kernels(x: torch.Tensor) -> Any:
    """Triton's kernels, or those for bf16 on a CPU, where they give what torch gives; else None."""
    if x.is_cuda:
        return None if x.dtype == torch.float64 else _tried(x.device, x.dtype)
    on_cpu = x.device.type == "cpu" and x.dtype == torch.bfloat16
    return _compiled() if on_cpu and torch.get_num_threads() <= FEW else None


@cache
def _tried(device: torch.device, dtype: torch.dtype) -> Any:
    if importlib.util.find_spec("triton") is None:
        return None
    try:
        from harness.engine.kernels import triton as triton_kernels

        with torch.no_grad(), torch.cuda.device(device):
            right = are_right(triton_kernels, device, dtype)
    except Exception as error:  # compilers fail in many ways, and torch's own kernels will do
        say(f"model: Triton cannot build its kernels here ({_why(error)}); torch's own are slower")
        return None
    return triton_kernels if right else None


@cache
def _compiled() -> Any:
    from harness.engine.kernels import cpu as cpu_kernels

    if cpu_kernels.compiler() is None:
        return None
    try:
        with torch.no_grad():
            device = torch.device("cpu")
            right = are_right(cpu_kernels, device, torch.bfloat16) and softmax_is_right(cpu_kernels)
    except (OSError, AttributeError, SubprocessError) as error:
        why = _why(error)
        say(f"model: the C compiler cannot build kernels here ({why}); torch's own are slower")
        return None
    return cpu_kernels if right else None


def _why(error: Exception) -> str:
    """The last line of what a compiler, else its error, had to say."""
    told = getattr(error, "stderr", None)
    said = told.decode(errors="replace").strip() if isinstance(told, bytes) else ""
    return (said or str(error).strip() or type(error).__name__).splitlines()[-1]


@torch.inference_mode(False)  # generation may be the first to ask, and the trial differentiates
def are_right(kernels: Any, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether each kernel agrees with torch's own operations on a small example."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).to(device, dtype)

    both, come = drawn(3, 2 * 1040), drawn(3, 1040)
    with torch.enable_grad():
        wide = both.to(torch.float32, copy=True).requires_grad_()
        gate, up = wide.chunk(2, -1)
        gated = silu(gate) * up
        (by_both,) = torch.autograd.grad(gated, wide, come.float())
    found, again = kernels.gate_back(both, come)
    pairs = [(kernels.gate(both), gated), (again, gated), (found, by_both)]

    x, weight, come, epsilon = drawn(3, 1040), drawn(1040), drawn(3, 1040), 0.5
    with torch.enable_grad():
        wide = x.to(torch.float32, copy=True).requires_grad_()
        normed = rms_norm(wide, (1040,), weight.float(), epsilon)
        (by_x,) = torch.autograd.grad(normed, wide, come.float())
    made, inverse = kernels.norm(x, weight, epsilon)
    pairs += [(made, normed), (kernels.norm_back(x, weight, inverse, come), by_x)]

    x, cos, signed = drawn(3, 24, 64), drawn(3, 64), drawn(3, 64)
    turning, sine = x[:, :17].float(), signed[:, None].float()
    for back in (False, True):
        rolled = (turning * sine).roll(32, -1) if back else turning.roll(32, -1) * sine
        made = x.clone()
        kernels.turn(made[:, :17], made[:, :17], cos, signed, back=back)
        pairs.append(
            (made, torch.cat([turning * cos[:, None].float() + rolled, x[:, 17:].float()], 1))
        )

    logits, labels = 3 * drawn(3, 5000), torch.tensor([4999, -100, 7], device=device)
    with torch.enable_grad():
        wide = logits.to(torch.float32, copy=True).requires_grad_()
        losses = cross_entropy(wide, labels, reduction="none")
        (by_logits,) = torch.autograd.grad(losses.sum(), wide)
    own_losses = kernels.loss_rows(logits, labels)
    pairs.append((logits, by_logits))
    same = agree(own_losses, losses)
    return same and all(agree(own, other.to(dtype)) for own, other in pairs)


@torch.inference_mode(False)
def softmax_is_right(kernels: Any) -> bool:
    """Whether the softmax of attention and its gradient agree with torch's own operations."""
    generator = torch.Generator().manual_seed(0)
    rows, each, m, n, scale = 2, 3, 5, 37, 0.3
    scores = 9 * torch.randn(rows, each * m, n, generator=generator)
    hidden = torch.arange(n) > torch.arange(n - m, n)[:, None]
    bias = torch.zeros(rows, m, n).masked_fill(hidden, -torch.inf)
    come = torch.randn(scores.shape, generator=generator).bfloat16()
    with torch.enable_grad():
        leaf = scores.clone().requires_grad_()
        expected = torch.softmax(leaf * scale + bias.repeat(1, each, 1), -1)
        (by_scores,) = torch.autograd.grad(expected, leaf, come.float())
    share = kernels.softmax(scores, bias, scale)
    found = kernels.softmax_back(come, share, scale)
    pairs = (scores, expected), (share, expected.bfloat16()), (found, by_scores.bfloat16())
    return all(agree(own, other) for own, other in pairs)
