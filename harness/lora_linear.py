"""A linear layer with its low-rank adapter as one differentiable step.

    fuse(model)     every peft layer with a plain base computes  y = x W' + b + s (x A') B'

Same terms as peft's own forward, without the copies between types and the extra passes over the
activations.
"""

from __future__ import annotations

import types
from typing import Any

import torch
from torch.autograd.function import once_differentiable


class _LoraLinear(torch.autograd.Function):
    """y = x W' + b + s (x A') B' for x (..., in), W (out, in), A (r, in), B (out, r)."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        down: torch.Tensor,
        up: torch.Tensor,
        scaling: float,
    ) -> torch.Tensor:
        rows = x.reshape(-1, x.shape[-1])
        narrow = rows @ down.t()
        out = torch.nn.functional.linear(rows, weight, bias).addmm_(narrow, up.t(), alpha=scaling)
        ctx.save_for_backward(rows, weight, down, up, narrow)
        ctx.scaling, ctx.shape = scaling, x.shape
        return out.view(*x.shape[:-1], out.shape[-1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        rows, weight, down, up, narrow = ctx.saved_tensors
        gradient = gradient.reshape(-1, gradient.shape[-1])
        thin = (gradient @ up).mul_(ctx.scaling)
        for_x = None
        if ctx.needs_input_grad[0]:
            for_x = (gradient @ weight).addmm_(thin, down).view(ctx.shape)
        for_up = (gradient.t() @ narrow).mul_(ctx.scaling)
        return for_x, None, None, thin.t() @ rows, for_up, None


def fuse(model: torch.nn.Module) -> int:
    """Give every peft layer whose base is a plain linear the fused forward; returns how many.

    Layers with dropout, with a quantized base or on another variant of LoRA keep peft's own.
    """
    from peft.tuners.lora.layer import Linear

    fused = 0
    for module in model.modules():
        if isinstance(module, Linear) and _is_plain(module):
            module.forward = types.MethodType(_forward, module)  # type: ignore[method-assign]
            fused += 1
    return fused


def _is_plain(module: Any) -> bool:
    adapters = list(module.lora_A)
    return (
        type(module.base_layer) is torch.nn.Linear
        and not module.base_layer.weight.requires_grad
        and len(adapters) == 1
        and not module.lora_variant
        and isinstance(module.lora_dropout[adapters[0]], torch.nn.Identity)
        and module.lora_B[adapters[0]].bias is None
    )


def _forward(module: Any, x: torch.Tensor) -> torch.Tensor:
    (name,) = module.lora_A
    weight = module.base_layer.weight
    # Master weights stay fp32 for the optimizer; the products run in the base's type.
    down = module.lora_A[name].weight.to(weight.dtype)
    up = module.lora_B[name].weight.to(weight.dtype)
    out: torch.Tensor = _LoraLinear.apply(  # type: ignore[no-untyped-call]
        x.to(weight.dtype), weight, module.base_layer.bias, down, up, module.scaling[name]
    )
    return out
