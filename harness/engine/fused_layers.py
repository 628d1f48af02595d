"""Fused forward and backward passes for a peft model's layers, with unchanged results.

    fuse(model, patches)     LoRA linear layers, RMS norms, gated feed-forward layers

transformers computes these in many small kernels. A module is replaced only if the fused version
agrees with it on a small input: norms that add 1 to their weight, or feed-forward layers that scale
their output, stay as they are. Whether the whole model still computes the same, `engine.rounding`
tells those who fuse it.
"""

from __future__ import annotations

import copy
from types import MethodType
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear, rms_norm, silu

from fmtharness.harness.engine.kernels.choice import kernels, training_kernels
from fmtharness.harness.engine.lora_linear import (
    Group,
    adapter_gradients,
    add_adapters,
    group_layers,
    group_of,
    side_by_side,
)
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.engine.rounding import apart, measured

GATED = {"gate_proj", "up_proj", "down_proj", "act_fn"}
"""The child modules of a gated feed-forward layer."""
_plain_norms: WeakKeyDictionary[torch.nn.Module, bool] = WeakKeyDictionary()
"""Norms that were tried, and whether they are plain: evaluations fuse them again and again."""


def fuse(model: Any, patches: Patches) -> None:
    """Fuse all layers of the plain kinds; layers of LoRA variants keep peft's forward."""
    group_layers(model, patches)
    fuse_norms(model, patches)
    fuse_mlps(model, model.dtype, patches)


def fuse_norms(model: torch.nn.Module, patches: Patches) -> int:
    """Fuse RMS norms, y = w x / sqrt(mean(x^2) + eps); returns how many."""
    fused = 0
    for module in model.modules():
        if not type(module).__name__.endswith("RMSNorm"):
            continue
        if module not in _plain_norms:
            _plain_norms[module] = _is_plain_norm(module)
        if _plain_norms[module]:
            patches.replace(module, "forward", MethodType(_norm, module), "one kernel for a norm")
            fused += 1
    return fused


def plain_norm(module: Any) -> tuple[torch.Tensor, float] | None:
    """The weight and epsilon of an RMS norm that `fuse_norms` found plain, else None."""
    return (module.weight, _epsilon(module)) if _plain_norms.get(module) else None


def fuse_mlps(model: torch.nn.Module, dtype: torch.dtype, patches: Patches) -> int:
    """Fuse feed-forward layers, y = (silu(x G') * x U') D'; returns how many."""
    fused = 0
    for module in model.modules():
        if {name for name, _ in module.named_children()} == GATED and _is_plain_mlp(module, dtype):
            why = "one kernel for the gate; less is kept for the gradient"
            patches.replace(module, "forward", MethodType(_mlp, module), why)
            fused += 1
    return fused


def _is_plain_norm(module: Any) -> bool:
    weight = getattr(module, "weight", None)
    if not isinstance(weight, torch.Tensor) or weight.dim() != 1 or not _epsilon(module):
        return False
    wide = copy.deepcopy(module).float()  # in bf16 a weight of 40 and one of 41 are much the same
    rows = torch.linspace(-3, 2, 2 * len(weight), device=weight.device).view(2, -1)
    with torch.no_grad():
        plain = _normed(rows, wide.weight, _epsilon(wide), None)[0]  # a kernel is tried by itself
        return torch.allclose(plain, wide(rows), rtol=1e-5, atol=1e-6)


def _is_plain_mlp(module: Any, dtype: torch.dtype) -> bool:
    device = next(module.parameters()).device
    x = torch.linspace(-3, 2, 2 * module.gate_proj.in_features, device=device)
    rows = x.view(1, 2, -1).to(dtype)
    with torch.no_grad():
        opens = torch.allclose(module.act_fn(x), silu(x), rtol=1e-5, atol=1e-6)
        own = measured(module, lambda: [module(rows)])
        return opens and apart(own, [_mlp(module, rows)]) <= 1


def _epsilon(module: Any) -> float:
    return float(getattr(module, "variance_epsilon", getattr(module, "eps", None)) or 0)


def _norm(module: Any, x: torch.Tensor) -> torch.Tensor:
    weight, epsilon = module.weight, _epsilon(module)
    made: torch.Tensor
    if weight.requires_grad or weight.dtype != x.dtype:
        made = weight * rms_norm(x, weight.shape, None, epsilon)
    elif x.requires_grad:
        made = _RmsNorm.apply(x, weight, epsilon)  # type: ignore[no-untyped-call]
    else:  # calling an autograd function takes longer than its kernel
        made = _normed(x, weight, epsilon, kernels(x))[0]
    return made


def _normed(
    x: torch.Tensor, weight: torch.Tensor, epsilon: float, own: Any
) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """The norm, and what its gradient needs: rows and 1 / sqrt(...) of each, or x alone."""
    if own:
        rows = x.reshape(-1, x.shape[-1]).contiguous()
        made, inverse = own.norm(rows, weight, epsilon)
        return made.view(x.shape), (rows, inverse)
    return rms_norm(x, weight.shape, None, epsilon).mul_(weight), (x,)


class _RmsNorm(torch.autograd.Function):
    """w x / sqrt(mean(x^2) + eps), w frozen; rounds before the product by w, like transformers."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        made, (rows, *inverses) = _normed(x, weight, epsilon, training_kernels(x))
        ctx.epsilon = epsilon
        ctx.save_for_backward(rows, weight, *inverses)
        return made

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        x, weight, *inverses = ctx.saved_tensors
        if inverses:
            come = gradient.reshape(x.shape).contiguous()
            found = training_kernels(x).norm_back(x, weight, *inverses, come)
            return found.view(gradient.shape), None, None
        # The backward pass of torch's rms_norm takes five times as long on a CPU.
        wide = x.to(torch.float32, copy=True)  # x may be a view of what others still need
        length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        inverse = length.square_().div_(x.shape[-1]).add_(ctx.epsilon).rsqrt_()
        wide.mul_(inverse)
        by_normed = (gradient * weight).float()
        along = (by_normed * wide).mean(-1, keepdim=True)
        return by_normed.addcmul_(wide, along, value=-1).mul_(inverse).to(x.dtype), None, None


def _mlp(module: Any, x: torch.Tensor) -> torch.Tensor:
    both = side_by_side((module.gate_proj, module.up_proj), x)
    last = group_of([module.down_proj])
    anew = both.is_cuda or training_kernels(
        both
    )  # without kernels, recomputing costs more than keeping it
    if last is None or last.drops or not anew:
        gate: Any = _Gate.apply
        return module.down_proj(gate(both))  # type: ignore[no-any-return]
    return gated_linear(both, last)


def gated_linear(both: torch.Tensor, layer: Group) -> torch.Tensor:
    """A linear layer applied to silu(g) u, for [g, u] concatenated: (..., 2 n) -> (..., out)."""
    down, (up,) = layer.weights(both.dtype)
    made: torch.Tensor = _GatedLinear.apply(both, layer, down, up)  # type: ignore[no-untyped-call]
    return made


class _Gate(torch.autograd.Function):
    """silu(g) u for [g, u] concatenated: (..., 2 n) -> (..., n)."""

    @staticmethod
    def forward(ctx: Any, both: torch.Tensor) -> torch.Tensor:
        rows = both.view(-1, both.shape[-1])
        if own := training_kernels(both):
            ctx.save_for_backward(rows)
            made = own.gate(rows)
        else:
            gate, up = rows.chunk(2, -1)
            opened = silu(gate)
            ctx.save_for_backward(rows, opened)
            made = opened * up
        return made.view(*both.shape[:-1], -1)  # type: ignore[no-any-return]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        rows, *opened = ctx.saved_tensors
        come = gradient.reshape(len(rows), -1)
        if own := training_kernels(rows):
            found, _ = own.gate_back(rows, come)
        else:
            found = _gate_back(rows, opened[0], come)
        return found.view(*gradient.shape[:-1], -1)  # type: ignore[no-any-return]


class _GatedLinear(torch.autograd.Function):
    """The gate and the down projection; saves the gate's input and recomputes its output.

    The output would be a fifth of a layer's saved activations.
    """

    @staticmethod
    def forward(
        ctx: Any, both: torch.Tensor, layer: Group, down: torch.Tensor, up: torch.Tensor
    ) -> torch.Tensor:
        gated = open_gate(both.view(-1, both.shape[-1]))
        out = linear(gated, layer.weight(), layer.bias)
        narrow = add_adapters(out, gated, layer.scales, down, (up,))
        ctx.save_for_backward(both, narrow, down, up)
        ctx.layer = layer
        return out.view(*both.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        both, narrow, down, up = ctx.saved_tensors
        flat = gradient.reshape(-1, gradient.shape[-1])
        for_narrow, (for_up,) = adapter_gradients(flat, narrow, ctx.layer.scales, (up,))
        for_gated = (flat @ ctx.layer.weight()).addmm_(for_narrow, down)
        rows = both.view(len(flat), -1)
        if own := training_kernels(both):
            for_both, gated = own.gate_back(rows, for_gated)
        else:
            gate, up = rows.chunk(2, -1)
            opened = silu(gate)
            for_both, gated = _gate_back(rows, opened, for_gated), opened * up
        return for_both.view(both.shape), None, for_narrow.t() @ gated, for_up


def open_gate(both: torch.Tensor) -> torch.Tensor:
    """silu(g) u for [g, u] concatenated, without a gradient: (T, 2 n) -> (T, n)."""
    if own := kernels(both):
        return own.gate(both)  # type: ignore[no-any-return]
    gate, up = both.chunk(2, -1)
    return silu(gate).mul_(up)


def _gate_back(both: torch.Tensor, opened: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """The gradient of [g, u] (..., 2 n), from silu(g) and the gradient of the output (..., n)."""
    gate, up = both.chunk(2, -1)
    found = torch.empty_like(both)
    for_gate, for_up = found.chunk(2, -1)
    torch.mul(gradient, opened, out=for_up)
    torch.ops.aten.silu_backward.grad_input(gradient * up, gate, grad_input=for_gate)
    return found
