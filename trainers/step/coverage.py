"""How much of a model its adapter reaches, and how much of it is quantized, in one line.

coverage(model, quantized=106168320)
    "the adapter is on 79% of the model's 134.5M weights, and 79% are in 4 bits; without an adapter:
    embed_tokens (21%)"
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Any

import torch

SHOWN = 3
"""How many kinds of weights without an adapter are named."""
LEAST = 0.01
"""The share of all weights that such a kind must exceed."""


def coverage(model: Any, quantized: int) -> str:
    """The sentence for a peft model; `quantized` of its weights are, or were, in 4 bits.

    A weight that two layers share counts once. Routed experts that are one tensor get no adapter,
    and are not quantized.
    """
    base = {id(w): (name, w) for name, w in model.named_parameters() if not _is_adapter(name)}
    reached: set[int] = set()
    for module in model.modules():
        if hasattr(module, "lora_A") and hasattr(module, "base_layer"):
            reached |= {id(weight) for weight in module.base_layer.parameters()}
    sizes = {key: _size(weight) for key, (_, weight) in base.items()}
    total = sum(sizes.values())
    without: Counter[str] = Counter()
    for key, (name, _) in base.items():
        if key not in reached:
            without[_kind(name)] += sizes[key]
    share = sum(size for key, size in sizes.items() if key in reached) / total
    large = [
        f"{kind} ({n / total:.0%})" for kind, n in without.most_common(SHOWN) if n > LEAST * total
    ]
    rest = f"; without an adapter: {', '.join(large)}" if large else ""
    bits = f", and {quantized / total:.0%} are in 4 bits" if quantized else ""
    return f"the adapter is on {share:.0%} of the model's {_count(total)} weights{bits}{rest}"


def _is_adapter(name: str) -> bool:
    return ".lora_" in name


def _size(weight: torch.Tensor) -> int:
    """The number of weights; a 4-bit tensor holds two in a byte."""
    state = getattr(weight, "quant_state", None)
    return weight.numel() if state is None else math.prod(state.shape)


def _kind(name: str) -> str:
    """base_model.model.model.layers.3.mlp.experts.down_proj -> mlp.experts.down_proj"""
    parts = re.split(r"\.\d+\.", name)[-1].removesuffix(".weight").removesuffix(".bias").split(".")
    named = [part for part in parts if part not in ("base_model", "model", "base_layer")]
    return ".".join(named)


def _count(weights: int) -> str:
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if weights >= size:
            return f"{weights / size:.1f}{unit}"
    return str(weights)
