"""Decoder layers of the plain Llama shape with few kernels a decode step.

    fuse_steps(model, patches)      True where every layer is replaced, for slots alone

A step's layer is eight kernels: norm, q, k and v in one product, one kernel for rotary positions,
cache write and attention (`kernels.decode`), the output product added to the residual, and the same
for the feed-forward layer. transformers needs about forty. The sums of the residual are rounded
once, not twice. A layer is replaced only if its step agrees with its own forward on an example. A
prefill in slots takes the same products; other forward passes are the layer's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers.cache_utils import Cache, DynamicCache

from fmtharness.harness.engine.cuda_graphs import is_lent
from fmtharness.harness.engine.fused_layers import GATED, open_gate, plain_norm
from fmtharness.harness.engine.kernels.choice import kernels, rotate_half
from fmtharness.harness.engine.kernels.decode_choice import (
    decode_kernel,
    decode_tools,
    plain_product,
)
from fmtharness.harness.engine.lora_linear import group_of
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.engine.rounding import apart, measured
from fmtharness.harness.engine.slot_layers import PromptLayer, SlotLayer, TokensLayer

LAYER = {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}
"""The child modules of a plain decoder layer."""
ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj"}
"""The child modules of a plain attention layer."""
TRIED = (5, 17, 0)
"""The positions of the example's rows."""
_plain: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()
"""Layers that were tried, and whether they are plain."""
unfused: WeakSet[Any] = WeakSet()
"""Models that did not decode right with fused steps."""


class Product(NamedTuple):
    """Linear layers with one input as one product: y = x W' + b + (x A') B'.

    Without adapters `down` (sum of ranks, in) and `up` (out, sum of ranks) are None; `up` has the
    scaled B of each layer, and zeros elsewhere.
    """

    weight: Callable[[], torch.Tensor]
    bias: torch.Tensor | None
    down: torch.Tensor | None = None
    up: torch.Tensor | None = None
    multiply: Callable[..., torch.Tensor] = plain_product

    def __call__(self, x: torch.Tensor, into: torch.Tensor | None = None) -> torch.Tensor:
        """(rows, in) -> (rows, out); added in place to `into`, if that is given."""
        made = self.multiply(x, self.weight(), self.bias, into)
        if self.down is not None and self.up is not None:
            self.multiply(self.multiply(x, self.down), self.up, None, made)
        return made


class Parts(NamedTuple):
    """What a layer's step computes with."""

    layer: Any
    norms: Sequence[Callable[[torch.Tensor], torch.Tensor]]
    """Before attention, and before the feed-forward layer."""
    projected: Product
    attended: Product
    opened: Product
    gate: Callable[[torch.Tensor], torch.Tensor]
    down: Product
    attend: Callable[..., torch.Tensor]
    """The kernel of `kernels.decode_choice`, with the number of query heads and the scale."""
    queries: int
    kv_heads: int
    scale: float

    def step(
        self, hidden: torch.Tensor, turns: tuple[torch.Tensor, torch.Tensor], cached: SlotLayer
    ) -> torch.Tensor:
        """hidden (rows, 1, width), which is overwritten; turns: cos and sin (rows, 1, size)."""
        rows = len(hidden)
        residual = hidden.view(rows, -1)
        projected = self.projected(self.norms[0](residual))
        cos, sin = (each.reshape(rows, -1) for each in turns)
        slots, at = cached.places
        more: dict[str, Any] = {}
        if isinstance(cached, TokensLayer):
            more = {"slots": slots, "copies": cached.copies}
        attended = self.attend(projected, cos, sin, cached.keys, cached.values, at, **more)
        self._rest(attended, residual)
        return hidden

    def prefill(
        self, hidden: torch.Tensor, turns: tuple[torch.Tensor, torch.Tensor], cached: PromptLayer
    ) -> torch.Tensor:
        """hidden (rows, T, width), which is overwritten; turns: cos and sin (rows, T, size)."""
        rows, tokens, width = hidden.shape
        residual, size = hidden.view(-1, width), turns[0].shape[-1]
        each = self.projected(self.norms[0](residual)).view(len(residual), -1, size)
        kv_heads = self.kv_heads
        turned = each[:, : self.queries + kv_heads]
        _turn(turned, *(turn.reshape(-1, size) for turn in turns))
        split = each.view(rows, tokens, -1, size).transpose(1, 2)
        query, keys, values = torch.split(split, [self.queries, kv_heads, kv_heads], 1)
        cached.keys, cached.values = keys, values
        if keys.dtype == torch.float32:  # whose kernels know no shared keys
            copies = self.queries // kv_heads
            keys, values = (x.repeat_interleave(copies, 1) for x in (keys, values))
        attended = scaled_dot_product_attention(
            query, keys, values, is_causal=True, scale=self.scale, enable_gqa=keys is cached.keys
        )
        self._rest(attended.transpose(1, 2).reshape(len(residual), -1), residual)
        return hidden

    def _rest(self, attended: torch.Tensor, residual: torch.Tensor) -> None:
        self.attended(attended, residual)
        opened = self.opened(self.norms[1](residual))
        self.down(self.gate(opened), residual)


def _turn(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> None:
    """Rotate x (T, heads, size) in place by cos and sin (T, size)."""
    if own := kernels(x):
        own.turn(x, x, cos, sin)
    else:
        by_sin = rotate_half(x) * sin[:, None]
        x.mul_(cos[:, None]).add_(by_sin)


def fuse_steps(model: Any, patches: Patches) -> bool:
    """Replace the decode steps of every decoder layer; False, and nothing, where one is not plain.

    Call it when norms are fused. Adapters must not change until `patches` are undone.
    """
    rotary = [m for m in model.modules() if type(m).__name__.endswith("RotaryEmbedding")]
    layers = [m for m in model.modules() if {name for name, _ in m.named_children()} == LAYER]
    if (
        model in unfused
        or len(rotary) != 1
        or len(layers) != len(DynamicCache(config=model.config).layers)
    ):
        return False
    every = [parts for layer in layers if (parts := _parts(layer, model.dtype))]
    if len(every) < len(layers):
        return False
    if not all(_agrees(parts, rotary[0], model.dtype) for parts in every):
        return False
    for parts in every:
        step = partial(_forward, parts, parts.layer.forward)
        patches.replace(parts.layer, "forward", step, "few kernels a decode step")
    return True


def has_fused_steps(model: Any) -> bool:
    """Whether `fuse_steps` replaced the layers of this model."""
    return bool(_fused_parts(model))


def fused_heads(model: Any) -> list[tuple[int, int]]:
    """The number of KV heads and their size in each layer with fused steps."""
    every = sorted(_fused_parts(model), key=lambda parts: parts.layer.self_attn.layer_idx)
    return [(parts.kv_heads, parts.layer.self_attn.head_dim) for parts in every]


def _fused_parts(model: Any) -> list[Parts]:
    forwards = [m.forward for m in model.modules()]
    return [each.args[0] for each in forwards if getattr(each, "func", None) is _forward]


def sum_in_fp32(model: Any, patches: Patches) -> None:
    """Add the parts of a long product in fp32: results depend less on how many rows there are."""
    matmul: Any = torch.backends.cuda.matmul
    for name in (
        "allow_bf16_reduced_precision_reduction",
        "allow_fp16_reduced_precision_reduction",
    ):
        undo = partial(setattr, matmul, name, getattr(matmul, name))
        patches.changed(model, name, undo, "products of few and of many rows round alike")
        setattr(matmul, name, False)


def _forward(parts: Parts, own: Any, hidden_states: torch.Tensor, **kwargs: Any) -> Any:
    cache = kwargs.get("past_key_values")
    index = parts.layer.self_attn.layer_idx
    cached = cache.layers[index] if cache is not None and index < len(cache.layers) else None
    turns = kwargs.get("position_embeddings")
    if turns is not None and isinstance(cached, SlotLayer):
        return parts.step(hidden_states, turns, cached)
    if turns is not None and isinstance(cached, PromptLayer):
        return parts.prefill(hidden_states, turns, cached)
    return own(hidden_states, **kwargs)


def _parts(layer: Any, dtype: torch.dtype) -> Parts | None:
    """The products of a layer of the plain shape, and the kernel for its heads; else None."""
    attention, mlp = layer.self_attn, layer.mlp
    names = [{name for name, _ in each.named_children()} for each in (attention, mlp)]
    if names != [ATTENTION, GATED]:
        return None
    try:
        size, scale, _ = attention.head_dim, attention.scaling, attention.layer_idx
        queries, kv_heads = (
            each.out_features // size for each in (attention.q_proj, attention.k_proj)
        )
    except AttributeError:
        return None
    device = next(layer.parameters()).device
    kernel = decode_kernel(device, dtype, queries, kv_heads, size)
    if kernel is None or getattr(attention, "sliding_window", None):
        return None
    products = [
        made
        for each in (
            [attention.q_proj, attention.k_proj, attention.v_proj],
            [attention.o_proj],
            [mlp.gate_proj, mlp.up_proj],
            [mlp.down_proj],
        )
        if (made := _product(each, dtype))
    ]
    if len(products) < 4:
        return None
    projected, attended, opened, down = products
    tools = decode_tools(device, dtype)
    norms = [_norm(each, tools) for each in (layer.input_layernorm, layer.post_attention_layernorm)]
    gate = tools.gate if tools else open_gate
    attend = partial(kernel, queries=queries, scale=scale)
    return Parts(
        layer,
        norms,
        projected,
        attended,
        opened,
        gate,
        down,
        attend,
        queries,
        kv_heads,
        scale,
    )


def _norm(module: Any, tools: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    plain = plain_norm(module) if tools else None
    return partial(tools.norm, weight=plain[0], epsilon=plain[1]) if plain else module


def _product(layers: Sequence[Any], dtype: torch.dtype) -> Product | None:
    """Layers as one Product; None for kinds that it does not know, or other dtypes."""
    group = group_of(layers)
    groups = [group] if group else [group_of([layer]) for layer in layers]
    if any(each.drops or each.weight().dtype != dtype for each in groups if each):
        return None
    bases = [
        each.layers[0].base_layer if each else b for each, b in zip(groups, layers, strict=False)
    ]
    if group:
        weight, bias = group.weight, group.bias
    elif all(_is_linear(base, dtype) for base in bases):
        weight, bias = _whole(bases), _biases(bases)
    else:
        return None
    known = weight()
    own = decode_tools(known.device, dtype) if known.is_contiguous() else None
    multiply = own.product if own else plain_product
    if not any(groups):
        return Product(weight, bias, multiply=multiply)
    downs, ups = list[torch.Tensor](), list[torch.Tensor]()
    for each, base in zip(groups, bases, strict=True):
        if each:
            down, some = each.weights(dtype)
            downs.append(down)
            ups += [scale * up for scale, up in zip(each.scales, some, strict=True)]
        else:
            ups.append(base.weight.new_zeros(base.out_features, 0))
    whole: torch.Tensor = torch.block_diag(*ups)  # type: ignore[no-untyped-call]
    return Product(weight, bias, torch.cat(downs), whole, multiply)


def _is_linear(layer: Any, dtype: torch.dtype) -> bool:
    plain = type(layer) is torch.nn.Linear and "forward" not in vars(layer)
    return plain and layer.weight.dtype == dtype


def _biases(layers: Sequence[Any]) -> torch.Tensor | None:
    if all(each.bias is None for each in layers):
        return None
    zeros = [each.weight.new_zeros(each.out_features) for each in layers]
    return torch.cat(
        [z if each.bias is None else each.bias for each, z in zip(layers, zeros, strict=True)]
    )


def _whole(layers: Sequence[Any]) -> Callable[[], torch.Tensor]:
    """Returns a function that gives the layers' weights, concatenated by rows, without a copy.

    The weights become views of one tensor and stay so. Graphs of a training keep the addresses of
    weights: while it lends its memory, weights that lie apart are copied at each call.
    """
    weights = [each.weight for each in layers]
    if len(weights) == 1:
        return lambda: weights[0]
    first, end = weights[0], weights[0].data_ptr()
    joined = True
    for weight in weights:
        joined &= weight.is_contiguous() and weight.data_ptr() == end
        joined &= weight.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
        end += weight.nbytes
    if not joined and is_lent():
        return lambda: torch.cat(weights)
    with torch.inference_mode(False), torch.no_grad():  # the model may be trained later
        if not joined:
            whole = torch.cat([weight.data for weight in weights])
            parts = torch.split(whole, [len(weight) for weight in weights])
            for weight, part in zip(weights, parts, strict=True):
                weight.data = part
        shape = sum(map(len, weights)), first.shape[1]
        view = first.data.as_strided(shape, (first.shape[1], 1))
    return lambda: view


def _agrees(parts: Parts, rotary: Any, dtype: torch.dtype) -> bool:
    """Whether the step agrees with the layer's own forward, output and cache, on random rows."""
    if parts.layer not in _plain:
        try:
            _plain[parts.layer] = _distance(parts, rotary, dtype) <= 1
        except (AttributeError, RuntimeError, TypeError, ValueError):  # it is called differently
            _plain[parts.layer] = False
    return _plain[parts.layer]


def _distance(parts: Parts, rotary: Any, dtype: torch.dtype) -> float:
    layer, attention = parts.layer, parts.layer.self_attn
    device = next(layer.parameters()).device
    generator = torch.Generator().manual_seed(0)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).to(device, dtype)

    at = torch.tensor(TRIED, device=device)
    rows, size, columns = len(at), attention.head_dim, 64
    hidden = randn(rows, 1, attention.q_proj.in_features)
    shape = rows, attention.k_proj.out_features // size, columns, size
    held = randn(*shape), randn(*shape)
    turns = rotary(hidden, position_ids=at[:, None])
    if turns[0].shape != (rows, 1, size) or turns[0].dtype != dtype:
        return float("inf")
    seen = torch.arange(columns, device=device) <= at[:, None]
    mask = torch.zeros(rows, columns, device=device, dtype=dtype)
    mask = mask.masked_fill(~seen, torch.finfo(dtype).min)[:, None, None]

    def run(step: Callable[..., Any]) -> list[torch.Tensor]:
        keys, values = (each.clone() for each in held)
        cached = SlotLayer(keys, values, (torch.arange(rows, device=device), at))
        made = step(cached)
        return [made, keys, values]

    def own(cached: SlotLayer) -> Any:
        return layer(
            hidden.clone(),
            attention_mask=mask,
            position_ids=at[:, None],
            past_key_values=Cache(layers=[cached] * (attention.layer_idx + 1)),
            use_cache=True,
            position_embeddings=turns,
        )

    measure = measured(layer, lambda: run(own))
    return apart(measure, run(lambda cached: parts.step(hidden.clone(), turns, cached)))
