"""Attention for decode steps with grouped-query attention, without copying keys and values.

    use(model, patches)         sets it on a model whose attention implementation is "sdpa"
    with ready_kernels():       inside, SDPA does not use cuDNN

With a mask, transformers repeats keys and values for each query head of a group (5.17 does, 5.23
does not), which reads and writes the whole KV cache again. For a single query token, the query
heads of a group can be passed as tokens of one head instead: the same products without the copy.
cuDNN, torch's first choice on some GPUs, builds a new plan for each batch size and prompt length;
that took 50 ms on an H200.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.engine.quiet import quiet_transformers

NAME = "fmtharness_decode"


def use(model: Any, patches: Patches) -> None:
    """Set `attend` as the model's attention; no effect if its implementation is not "sdpa"."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    if getattr(model.config, "_attn_implementation", None) != "sdpa":
        return
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    with quiet_transformers():  # models without support log a warning and keep their own
        patches.attend_by(model, NAME, "decode steps without copies of shared keys and values")


def ready_kernels() -> AbstractContextManager[None]:
    """Inside: SDPA uses every backend but cuDNN, so a new shape has no planning cost."""
    backends: AbstractContextManager[None] = sdpa_kernel(
        [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    )
    return backends


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Scaled dot-product attention, with the signature of transformers' AttentionInterface.

    query (B, heads, T, size), key and value (B, KV heads, S, size) -> (B, T, heads, size), and
    None in place of the attention weights.
    """
    batch, heads, tokens, size = query.shape
    kv_heads = key.shape[1]
    # Masks that differ by head and position biases are left to transformers.
    plain = attention_mask is not None and attention_mask.shape[1] == 1
    if tokens > 1 or heads == kv_heads or not plain or kwargs.get("position_bias") is not None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        fallback: Any = sdpa_attention_forward
        return fallback(module, query, key, value, attention_mask, **kwargs)  # type: ignore[no-any-return]
    grouped = query.reshape(batch, kv_heads, heads // kv_heads, size)
    out = scaled_dot_product_attention(
        grouped, key, value, attn_mask=attention_mask, scale=kwargs.get("scaling")
    )
    return out.reshape(batch, 1, heads, -1), None
