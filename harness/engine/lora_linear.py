"""Linear layers with their LoRA adapters as one autograd function.

    group_layers(model, patches)     every peft layer on a plain or 4-bit base computes
                                     y = x W' + b + s (x A') B'

The same terms as in peft's forward, without its casts and extra passes over the activations.
Layers with the same input (q, k and v; gate and up) form one Group: their W are concatenated by
rows, and so are their A, so that two matrix products serve all. A 4-bit W is dequantized for each
product and not kept.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

from fmtharness.harness.engine.patching import Patches

TOGETHER = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Names of sibling layers that have the same input."""


class _Made(threading.local):
    """The outputs that this thread's last call computed for the other layers of a Group."""

    def __init__(self) -> None:
        self.given: torch.Tensor | None = None
        self.waiting: dict[int, torch.Tensor] = {}


class Group:
    """Layers with the same input; the first one called computes the outputs of all.

    `layers` are peft's. `down` (sum of ranks, in) holds their A; `ups` their B, (out, rank) each.
    """

    def __init__(self, layers: Sequence[Any]) -> None:
        self.layers = tuple(layers)
        bases = [layer.base_layer for layer in layers]
        self.sizes = [base.out_features for base in bases]
        self.weight, self.bias = _weight(bases), _bias(bases)
        self.scales = [layer.scaling[_adapter(layer)] for layer in layers]
        self.working: tuple[torch.Tensor, Sequence[torch.Tensor]] | None = None
        self._made = _Made()

    def factors(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """peft's parameters: A (rank, in) and B (out, rank) of each layer."""
        names = [_adapter(layer) for layer in self.layers]
        pairs = list(zip(self.layers, names, strict=True))
        return [m.lora_A[n].weight for m, n in pairs], [m.lora_B[n].weight for m, n in pairs]

    def compute_with(self, down: torch.Tensor, ups: Sequence[torch.Tensor]) -> None:
        """Compute with these tensors instead of peft's parameters, which keep their dtype."""
        self.working = (down, ups)

    def settle(self, dtype: torch.dtype) -> None:
        """Compute with copies of the current parameters in this dtype."""
        with torch.no_grad():
            self.compute_with(*self._converted(dtype))

    def _converted(self, dtype: torch.dtype) -> tuple[torch.Tensor, Sequence[torch.Tensor]]:
        downs, ups = self.factors()
        return torch.cat(downs).to(dtype), [up.to(dtype) for up in ups]

    def __call__(self, index: int, x: torch.Tensor) -> torch.Tensor:
        """The output of the layer of this index."""
        if len(self.layers) == 1:
            return self.whole(x)
        here = self._made
        if x is here.given and index in here.waiting:
            made = here.waiting.pop(index)
            if not here.waiting:
                here.given = None
            return made
        every: Sequence[torch.Tensor] = torch.split(self.whole(x), self.sizes, -1)
        here.waiting = {i: made for i, made in enumerate(every) if i != index}
        here.given = x
        return every[index]

    def weights(self, dtype: torch.dtype) -> tuple[torch.Tensor, Sequence[torch.Tensor]]:
        """A of all layers (sum of ranks, in) and B (out, rank) of each, as used in the products."""
        return self.working or self._converted(dtype)

    @property
    def drops(self) -> bool:
        """Whether dropout is applied to the adapter's input."""
        return not isinstance(
            self.layers[0].lora_dropout[_adapter(self.layers[0])], torch.nn.Identity
        )

    def whole(self, x: torch.Tensor) -> torch.Tensor:
        """The concatenated outputs of all layers: (..., in) -> (..., sum of out)."""
        down, ups = self.weights(x.dtype)
        dropout = self.layers[0].lora_dropout[_adapter(self.layers[0])]
        dropped = dropout(x) if self.drops else None
        made: torch.Tensor = _LoraLinears.apply(  # type: ignore[no-untyped-call]
            x, dropped, self.weight, self.bias, self.scales, down, *ups
        )
        return made


def side_by_side(layers: Sequence[Any], x: torch.Tensor) -> torch.Tensor:
    """The concatenated outputs of layers with the same input: (..., in) -> (..., sum of out)."""
    group = group_of(layers)
    return group.whole(x) if group else torch.cat([layer(x) for layer in layers], -1)


def group_of(layers: Sequence[Any]) -> Group | None:
    """The Group of exactly these layers, or None."""
    group = getattr(layers[0].forward, "func", None)
    return group if isinstance(group, Group) and group.layers == tuple(layers) else None


class _LoraLinears(torch.autograd.Function):
    """y = x W' + b, plus s_i (z A_i') B_i' in the columns of layer i, for x and z (..., in).

    z is x after dropout, or None without dropout. `weight` returns W (out, in).
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        dropped: torch.Tensor | None,
        weight: Callable[[], torch.Tensor],
        bias: torch.Tensor | None,
        scales: Sequence[float],
        down: torch.Tensor,
        *ups: torch.Tensor,
    ) -> torch.Tensor:
        rows = x.reshape(-1, x.shape[-1])
        adapted = rows if dropped is None else dropped.reshape(rows.shape)
        out = linear(rows, weight(), bias)
        narrow = add_adapters(out, adapted, scales, down, ups)
        ctx.save_for_backward(adapted, narrow, down, *ups)
        ctx.weight, ctx.scales, ctx.shape = weight, scales, x.shape
        return out.view(*x.shape[:-1], out.shape[-1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        adapted, narrow, down, *ups = ctx.saved_tensors
        flat = gradient.reshape(-1, gradient.shape[-1])
        for_narrow, for_ups = adapter_gradients(flat, narrow, ctx.scales, ups)
        for_x = for_dropped = None
        if ctx.needs_input_grad[0]:
            for_x = flat @ ctx.weight()
        if ctx.needs_input_grad[1]:
            for_dropped = (for_narrow @ down).view(ctx.shape)
        elif for_x is not None:
            for_x.addmm_(for_narrow, down)
        for_x = None if for_x is None else for_x.view(ctx.shape)
        return for_x, for_dropped, None, None, None, for_narrow.t() @ adapted, *for_ups


def add_adapters(
    out: torch.Tensor,
    x: torch.Tensor,
    scales: Sequence[float],
    down: torch.Tensor,
    ups: Sequence[torch.Tensor],
) -> torch.Tensor:
    """Add s_i (x A_i') B_i' in place to the columns of layer i; returns x A' (T, sum of ranks)."""
    narrow = x @ down.t()
    for part, thin, up, scale in zip(*_parts(out, narrow, ups), ups, scales, strict=True):
        part.addmm_(thin, up.t(), alpha=scale)
    return narrow


def adapter_gradients(
    gradient: torch.Tensor,
    narrow: torch.Tensor,
    scales: Sequence[float],
    ups: Sequence[torch.Tensor],
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """From the gradient of the outputs (T, out): those of x A' (T, sum of ranks) and of each B."""
    for_narrow = torch.empty_like(narrow)
    for_ups = []
    parts, into = _parts(gradient, for_narrow, ups)
    thins = torch.split(narrow, [up.shape[1] for up in ups], dim=1)
    for part, thin, up, scale, target in zip(parts, thins, ups, scales, into, strict=True):
        # With beta = 0 the previous content is not read.
        torch.addmm(target, part, up, beta=0, alpha=scale, out=target)
        empty = gradient.new_empty(1, 1)
        if part.is_cuda:
            for_ups.append(torch.addmm(empty, part.t(), thin, beta=0, alpha=scale))
        else:  # on a CPU 20% faster than the transposed product
            for_ups.append(torch.addmm(empty, thin.t(), part, beta=0, alpha=scale).t())
    return for_narrow, for_ups


def _parts(
    wide: torch.Tensor, narrow: torch.Tensor, ups: Sequence[torch.Tensor]
) -> tuple[Sequence[torch.Tensor], Sequence[torch.Tensor]]:
    """Views of each layer's columns in the outputs (T, out) and in x A' (T, sum of ranks)."""
    return (
        torch.split(wide, [up.shape[0] for up in ups], dim=1),
        torch.split(narrow, [up.shape[1] for up in ups], dim=1),
    )


def group_layers(model: torch.nn.Module, patches: Patches) -> None:
    """Replace the forward of every peft LoRA layer on a frozen linear base by the fused one.

    Layers of LoRA variants (DoRA and the like) keep peft's forward.
    """
    from peft.tuners.lora.layer import LoraLayer

    for parent in list(model.modules()):
        plain = {
            name: layer
            for name, layer in parent.named_children()
            if isinstance(layer, LoraLayer) and _is_plain(layer)
        }
        for names in TOGETHER:
            if plain.keys() >= set(names) and _are_alike([plain[name] for name in names]):
                _group([plain.pop(name) for name in names], patches)
        for layer in plain.values():
            _group([layer], patches)


def _group(layers: Sequence[Any], patches: Patches) -> None:
    group = Group(layers)
    for index, layer in enumerate(layers):
        why = "layers with one input, and their adapters, in one product"
        patches.replace(layer, "forward", partial(group, index), why)


def groups(model: torch.nn.Module) -> list[Group]:
    """The Groups of a model, in the order of its layers."""
    forwards = [getattr(module.forward, "func", None) for module in model.modules()]
    return list(dict.fromkeys(each for each in forwards if isinstance(each, Group)))


def _adapter(layer: Any) -> str:
    (name,) = layer.lora_A
    return str(name)


def _are_alike(layers: Sequence[Any]) -> bool:
    """Whether the layers may form a Group: same kind and input size, and no dropout."""
    kinds = {(_is_4bit(layer.base_layer), layer.base_layer.in_features) for layer in layers}
    still = all(
        isinstance(layer.lora_dropout[_adapter(layer)], torch.nn.Identity) for layer in layers
    )
    return still and len(kinds) == 1


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


def _weight(bases: Sequence[Any]) -> Callable[[], torch.Tensor]:
    """Returns a function that gives the layers' weights, dequantized and concatenated by rows."""
    if _is_4bit(bases[0]):
        return partial(_expanded, bases)
    if len(bases) == 1:
        return lambda: bases[0].weight
    parts = [base.weight.data for base in bases]
    whole = torch.cat(parts)
    for base, part in zip(bases, torch.split(whole, [len(p) for p in parts]), strict=True):
        base.weight.data = part
    return lambda: whole


def _expanded(bases: Sequence[Any]) -> torch.Tensor:
    if len(bases) == 1:
        return _floats(bases[0])
    sizes = [base.out_features for base in bases]
    weight = bases[0].weight
    whole: torch.Tensor = weight.new_empty(
        sum(sizes), bases[0].in_features, dtype=weight.quant_state.dtype
    )
    for base, part in zip(bases, torch.split(whole, sizes), strict=True):
        _floats(base, part)
    return whole


def _floats(base: Any, out: torch.Tensor | None = None) -> torch.Tensor:
    """The dequantized weight of a 4-bit layer, written into `out` if given."""
    from bitsandbytes.functional import dequantize_4bit

    held = base.weight.data, base.weight.quant_state
    if out is None:
        made: torch.Tensor = dequantize_4bit(*held)
        return made
    if out.is_cuda:
        dequantize_4bit(*held, out=out)
    else:
        out.copy_(dequantize_4bit(*held))  # on a CPU bitsandbytes has no `out`
    return out


def _bias(bases: Sequence[Any]) -> torch.Tensor | None:
    given = [base.bias.data for base in bases if base.bias is not None]
    if not given:
        return None
    none = [given[0].new_zeros(base.out_features) for base in bases]
    return torch.cat(
        [n if b.bias is None else b.bias.data for b, n in zip(bases, none, strict=True)]
    )
