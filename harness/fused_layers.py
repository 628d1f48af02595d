"""A peft model's layers in few kernels each, with the numbers that they had before.

    fuse(model)     linear layers with adapters, RMS norms, gated feed-forward layers

transformers spells these out in many small steps. Which norms and feed-forward layers are the plain
ones is tried, not assumed: some norms add 1 to their weight, some layers scale their output, and
those stay as they are.
"""

from __future__ import annotations

import types
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import rms_norm, silu

from harness.lora_linear import group_layers, side_by_side

ROUNDING = {torch.bfloat16: 0.03, torch.float16: 0.004, torch.float32: 1e-5}
"""How far two ways to compute one thing may come apart, as a share of its length."""
GATED = {"gate_proj", "up_proj", "down_proj", "act_fn"}
"""The parts of a gated feed-forward layer."""


def fuse(model: Any) -> None:
    """Fuse what is plain; layers on another variant of LoRA keep peft's own forward."""
    group_layers(model)
    fuse_norms(model)
    fuse_mlps(model, model.dtype)


def agree(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether two results are the same but for the rounding of their type."""
    if found.dtype != expected.dtype or found.shape != expected.shape:
        return False
    apart = (found.float() - expected.float()).norm()
    return bool(apart <= ROUNDING[found.dtype] * expected.float().norm())


def fuse_norms(model: torch.nn.Module) -> int:
    """y = w x / sqrt(mean(x^2) + eps) by torch's own function; returns for how many norms."""
    fused = 0
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm") and _is_plain_norm(module):
            module.forward = types.MethodType(_norm, module)
            fused += 1
    return fused


def fuse_mlps(model: torch.nn.Module, dtype: torch.dtype) -> int:
    """y = (silu(x G') * x U') D' with one product for G and U; returns for how many layers."""
    fused = 0
    for module in model.modules():
        if {name for name, _ in module.named_children()} == GATED and _is_plain_mlp(module, dtype):
            module.forward = types.MethodType(_mlp, module)
            fused += 1
    return fused


def _is_plain_norm(module: Any) -> bool:
    weight = getattr(module, "weight", None)
    if not isinstance(weight, torch.Tensor) or weight.dim() != 1 or not _epsilon(module):
        return False
    x = torch.linspace(-3, 2, 2 * len(weight), device=weight.device, dtype=weight.dtype)
    rows = x.view(2, -1)
    with torch.no_grad():
        return agree(_norm(module, rows), module(rows))


def _is_plain_mlp(module: Any, dtype: torch.dtype) -> bool:
    device = next(module.parameters()).device
    x = torch.linspace(-3, 2, 2 * module.gate_proj.in_features, device=device, dtype=dtype)
    rows = x.view(1, 2, -1)
    with torch.no_grad():
        return agree(_mlp(module, rows), module(rows))


def _epsilon(module: Any) -> float:
    return float(getattr(module, "variance_epsilon", getattr(module, "eps", None)) or 0)


def _norm(module: Any, x: torch.Tensor) -> torch.Tensor:
    if x.is_cuda or module.weight.requires_grad or not torch.is_grad_enabled():
        return rms_norm(x, module.weight.shape, module.weight, _epsilon(module))
    made: torch.Tensor = _RmsNorm.apply(  # type: ignore[no-untyped-call]
        x, module.weight, _epsilon(module)
    )
    return made


class _RmsNorm(torch.autograd.Function):
    """torch's norm for a frozen weight, whose own gradient on a CPU takes five times as long."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        ctx.epsilon = epsilon
        return rms_norm(x, weight.shape, weight, epsilon)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        x, weight = ctx.saved_tensors
        wide = x.float()
        length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        inverse = length.square_().div_(x.shape[-1]).add_(ctx.epsilon).rsqrt_()
        wide.mul_(inverse)
        by_normed = (gradient * weight).float()
        along = (by_normed * wide).mean(-1, keepdim=True)
        return by_normed.addcmul_(wide, along, value=-1).mul_(inverse).to(x.dtype), None, None


def _mlp(module: Any, x: torch.Tensor) -> torch.Tensor:
    gate: Any = _Gate.apply
    return module.down_proj(gate(side_by_side((module.gate_proj, module.up_proj), x)))  # type: ignore[no-any-return]


class _Gate(torch.autograd.Function):
    """silu(g) u for g and u side by side: (..., 2 n) -> (..., n)."""

    @staticmethod
    def forward(ctx: Any, both: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(both)
        gate, up = both.chunk(2, -1)
        return silu(gate).mul_(up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (both,) = ctx.saved_tensors
        gate, up = both.chunk(2, -1)
        found = torch.empty_like(both)
        for_gate, for_up = found.chunk(2, -1)
        open_by = silu(gate)
        torch.mul(gradient, open_by, out=for_up)
        torch.mul(gradient, up, out=open_by)
        torch.ops.aten.silu_backward.grad_input(open_by, gate, grad_input=for_gate)
        return found
