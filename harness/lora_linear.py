"""A linear layer with its low-rank adapter as one differentiable step.

    fuse(model)     every peft layer on a plain or 4-bit base computes  y = x W' + b + s (x A') B'

Same terms as peft's own forward, without the copies between types and the extra passes over the
activations. A 4-bit W is expanded where it is used and not kept.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import torch
from torch.autograd.function import once_differentiable


class _LoraLinear(torch.autograd.Function):
    """y = x W' + b + s (z A') B' for x, z (..., in), W (out, in), A (r, in), B (out, r).

    z is x after dropout, None where it is x itself; W comes from a function.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        dropped: torch.Tensor | None,
        weight: Callable[[], torch.Tensor],
        bias: torch.Tensor | None,
        down: torch.Tensor,
        up: torch.Tensor,
        scaling: float,
    ) -> torch.Tensor:
        rows = x.reshape(-1, x.shape[-1])
        adapted = rows if dropped is None else dropped.reshape(rows.shape)
        narrow = adapted @ down.t()
        out = torch.nn.functional.linear(rows, weight(), bias).addmm_(narrow, up.t(), alpha=scaling)
        ctx.save_for_backward(adapted, down, up, narrow)
        ctx.weight, ctx.scaling, ctx.shape = weight, scaling, x.shape
        return out.view(*x.shape[:-1], out.shape[-1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        adapted, down, up, narrow = ctx.saved_tensors
        gradient = gradient.reshape(-1, gradient.shape[-1])
        thin = _scaled(gradient, up, ctx.scaling)
        for_x = for_dropped = None
        if ctx.needs_input_grad[0]:
            for_x = gradient @ ctx.weight()
        if ctx.needs_input_grad[1]:
            for_dropped = (thin @ down).view(ctx.shape)
        elif for_x is not None:
            for_x.addmm_(thin, down)
        for_up = _scaled(gradient.t(), narrow, ctx.scaling)
        for_x = None if for_x is None else for_x.view(ctx.shape)
        return for_x, for_dropped, None, None, thin.t() @ adapted, for_up, None


def _scaled(a: torch.Tensor, b: torch.Tensor, scale: float) -> torch.Tensor:
    """scale * a @ b in one step; with beta = 0 what stands there before is not read."""
    return torch.addmm(a.new_empty(1, 1), a, b, beta=0, alpha=scale)


def fuse(model: torch.nn.Module) -> list[Any]:
    """Give every peft layer with a frozen linear base the fused forward; returns those layers.

    Layers on another variant of LoRA keep peft's own.
    """
    from peft.tuners.lora.layer import LoraLayer

    fused = [m for m in model.modules() if isinstance(m, LoraLayer) and _is_plain(m)]
    for module in fused:
        module.forward = types.MethodType(_forward, module)
    return fused


def factors(layer: Any) -> tuple[torch.nn.Parameter, torch.nn.Parameter]:
    """The layer's low-rank weights: A (r, in) and B (out, r)."""
    (name,) = layer.lora_A
    return layer.lora_A[name].weight, layer.lora_B[name].weight


def compute_with(layer: Any, down: torch.Tensor, up: torch.Tensor) -> None:
    """Let a fused layer use these in place of its own weights, which keep their type."""
    layer.working_factors = (down, up)


def _is_plain(module: Any) -> bool:
    base, adapters = module.base_layer, list(getattr(module, "lora_A", ()))
    return (
        _expander(base) is not None
        and not base.weight.requires_grad
        and len(adapters) == 1
        and not module.lora_variant
        and module.lora_B[adapters[0]].bias is None
    )


def _expander(base: Any) -> Callable[[], torch.Tensor] | None:
    """What gives a linear layer's weight as floats; None for a layer that is not known."""
    if type(base) is torch.nn.Linear:
        return lambda: base.weight
    if type(base).__module__.startswith("bitsandbytes") and type(base).__name__ == "Linear4bit":
        from bitsandbytes.functional import dequantize_4bit

        return lambda: dequantize_4bit(base.weight.data, base.weight.quant_state)
    return None


def _forward(module: Any, x: torch.Tensor) -> torch.Tensor:
    (name,) = module.lora_A
    base, dropout = module.base_layer, module.lora_dropout[name]
    # Master weights stay fp32 for the optimizer; the products run in the activations' type.
    own = getattr(module, "working_factors", None)
    down, up = own or (weight.to(x.dtype) for weight in factors(module))
    dropped = None if isinstance(dropout, torch.nn.Identity) else dropout(x)
    out: torch.Tensor = _LoraLinear.apply(  # type: ignore[no-untyped-call]
        x, dropped, _expander(base), base.bias, down, up, module.scaling[name]
    )
    return out
