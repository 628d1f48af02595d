"""Linear layers with their low-rank adapters as one differentiable step.

    fuse(model)     every peft layer on a plain or 4-bit base computes  y = x W' + b + s (x A') B'

Same terms as peft's own forward, without the copies between types and the extra passes over the
activations. Layers that are given the same input (queries, keys and values; gate and up) are one
Group: their A stand below each other, so x meets them in one product. A 4-bit W is expanded where
it is used and not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch.autograd.function import once_differentiable

TOGETHER = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Names of layers that are given the same input, one after the other."""


class Group:
    """Layers with one input; the first that is called computes for all.

    `layers` are peft's; `down` (ranks, in) holds their A, `ups` their B (out, rank each).
    """

    def __init__(self, layers: Sequence[Any]) -> None:
        self.layers = layers
        self.expand = [_expander(layer.base_layer) for layer in layers]
        self.biases = [layer.base_layer.bias for layer in layers]
        self.scales = [layer.scaling[_adapter(layer)] for layer in layers]
        self.working: tuple[torch.Tensor, Sequence[torch.Tensor]] | None = None
        self._given: torch.Tensor | None = None
        self._waiting: dict[int, torch.Tensor] = {}
        for index, layer in enumerate(layers):
            layer.forward = partial(self, index)

    def factors(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """peft's own weights: each layer's A (rank, in), and each layer's B (out, rank)."""
        names = [_adapter(layer) for layer in self.layers]
        pairs = list(zip(self.layers, names, strict=True))
        return [m.lora_A[n].weight for m, n in pairs], [m.lora_B[n].weight for m, n in pairs]

    def compute_with(self, down: torch.Tensor, ups: Sequence[torch.Tensor]) -> None:
        """Use these in place of peft's own weights, which keep their type."""
        self.working = (down, ups)

    def settle(self, dtype: torch.dtype) -> None:
        """Compute with copies of the weights as they are now, in the model's type."""
        with torch.no_grad():
            self.compute_with(*self._converted(dtype))

    def _converted(self, dtype: torch.dtype) -> tuple[torch.Tensor, Sequence[torch.Tensor]]:
        downs, ups = self.factors()
        return torch.cat(downs).to(dtype), [up.to(dtype) for up in ups]

    def __call__(self, index: int, x: torch.Tensor) -> torch.Tensor:
        """The output of the layer of this index."""
        if x is self._given and index in self._waiting:
            made = self._waiting.pop(index)
            if not self._waiting:
                self._given = None
            return made
        every = self._compute(x)
        self._waiting = {i: made for i, made in enumerate(every) if i != index}
        self._given = x if self._waiting else None
        return every[index]

    def _compute(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        down, ups = self.working or self._converted(x.dtype)
        dropout = self.layers[0].lora_dropout[_adapter(self.layers[0])]
        dropped = None if isinstance(dropout, torch.nn.Identity) else dropout(x)
        made: tuple[torch.Tensor, ...] = _LoraLinears.apply(  # type: ignore[no-untyped-call]
            x, dropped, self.expand, self.biases, self.scales, down, *ups
        )
        return made


class _LoraLinears(torch.autograd.Function):
    """y_i = x W_i' + b_i + s_i (z A_i') B_i' for x, z (..., in), W_i (out_i, in), all A_i as one.

    z is x after dropout, None where it is x itself; each W_i comes from a function.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        dropped: torch.Tensor | None,
        expand: Sequence[Callable[[], torch.Tensor]],
        biases: Sequence[torch.Tensor | None],
        scales: Sequence[float],
        down: torch.Tensor,
        *ups: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        rows = x.reshape(-1, x.shape[-1])
        adapted = rows if dropped is None else dropped.reshape(rows.shape)
        narrow = adapted @ down.t()
        parts = torch.split(narrow, [up.shape[1] for up in ups], dim=1)
        outs = [
            torch.nn.functional.linear(rows, weight(), bias).addmm_(part, up.t(), alpha=scale)
            for weight, bias, part, up, scale in zip(
                expand, biases, parts, ups, scales, strict=True
            )
        ]
        ctx.save_for_backward(adapted, narrow, down, *ups)
        ctx.expand, ctx.scales, ctx.shape = expand, scales, x.shape
        return tuple(out.view(*x.shape[:-1], out.shape[-1]) for out in outs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        adapted, narrow, down, *ups = ctx.saved_tensors
        flat = [gradient.reshape(-1, gradient.shape[-1]) for gradient in gradients]
        ranks = [up.shape[1] for up in ups]
        thin = torch.empty_like(narrow)
        thins, parts = torch.split(thin, ranks, dim=1), torch.split(narrow, ranks, dim=1)
        for_ups = []
        for gradient, up, scale, into, part in zip(
            flat, ups, ctx.scales, thins, parts, strict=True
        ):
            # With beta = 0 what stands there before is not read.
            torch.addmm(into, gradient, up, beta=0, alpha=scale, out=into)
            empty = gradient.new_empty(1, 1)
            for_ups.append(torch.addmm(empty, gradient.t(), part, beta=0, alpha=scale))
        for_x = for_dropped = None
        if ctx.needs_input_grad[0]:
            for_x = flat[0] @ ctx.expand[0]()
            for gradient, weight in zip(flat[1:], ctx.expand[1:], strict=True):
                for_x.addmm_(gradient, weight())
        if ctx.needs_input_grad[1]:
            for_dropped = (thin @ down).view(ctx.shape)
        elif for_x is not None:
            for_x.addmm_(thin, down)
        for_x = None if for_x is None else for_x.view(ctx.shape)
        return for_x, for_dropped, None, None, None, thin.t() @ adapted, *for_ups


def fuse(model: torch.nn.Module) -> list[Group]:
    """Give every peft layer with a frozen linear base the fused forward; returns their groups.

    Layers on another variant of LoRA keep peft's own.
    """
    from peft.tuners.lora.layer import LoraLayer

    groups = []
    for parent in list(model.modules()):
        plain = {
            name: layer
            for name, layer in parent.named_children()
            if isinstance(layer, LoraLayer) and _is_plain(layer)
        }
        for names in TOGETHER:
            # Each layer of a group would draw a dropout of its own.
            if plain.keys() >= set(names) and not any(map(_drops, plain.values())):
                groups.append(Group([plain.pop(name) for name in names]))
        groups += [Group([layer]) for layer in plain.values()]
    return groups


def _adapter(layer: Any) -> str:
    (name,) = layer.lora_A
    return str(name)


def _drops(layer: Any) -> bool:
    return not isinstance(layer.lora_dropout[_adapter(layer)], torch.nn.Identity)


def _is_plain(module: Any) -> bool:
    base, adapters = module.base_layer, list(getattr(module, "lora_A", ()))
    known = type(base) is torch.nn.Linear or _is_4bit(base)
    return (
        known
        and not base.weight.requires_grad
        and len(adapters) == 1
        and not module.lora_variant
        and module.lora_B[adapters[0]].bias is None
    )


def _is_4bit(base: Any) -> bool:
    kind = type(base)
    return kind.__module__.startswith("bitsandbytes") and kind.__name__ == "Linear4bit"


def _expander(base: Any) -> Callable[[], torch.Tensor]:
    """What gives a linear layer's weight as floats."""
    if not _is_4bit(base):
        return lambda: base.weight
    from bitsandbytes.functional import dequantize_4bit

    return lambda: dequantize_4bit(base.weight.data, base.weight.quant_state)
