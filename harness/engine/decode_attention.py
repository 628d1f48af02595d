"""Attention while decoding: no copies of keys, and no plans.

    use(model)                  where the model attends by torch's scaled_dot_product_attention
    with ready_kernels():       inside, torch chooses among kernels that need no plan

Under a mask transformers repeats keys and values for each query head that shares them (5.17 does,
5.23 no longer), and reads all that was written so far once more for it. Of one token, these heads
can be asked as tokens of one head instead: the same products, with no copy. cuDNN, torch's first
choice on some GPUs, plans anew for each size of batch and prompt, which took 50 ms on an H200.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from harness.engine.quiet import quiet_transformers

NAME = "fmtharness_decode"


def use(model: Any) -> None:
    """Let the model attend so, unless another way of its own was chosen for it."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    if getattr(model.config, "_attn_implementation", None) != "sdpa":
        return
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    with quiet_transformers():  # some models say that they cannot, and go on as before
        model.set_attn_implementation(NAME)


def ready_kernels() -> AbstractContextManager[None]:
    """Inside, attention of a size that was not seen before takes no longer than of any other."""
    made: AbstractContextManager[None] = sdpa_kernel(
        [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    )
    return made


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """query, key, value (rows, heads, tokens, size) -> (rows, tokens, heads, size)."""
    rows, heads, tokens, size = query.shape
    keys = key.shape[1]
    # A mask with heads of its own, or what else a model adds, is left to transformers.
    plain = attention_mask is not None and attention_mask.shape[1] == 1
    if tokens > 1 or heads == keys or not plain or kwargs.get("position_bias") is not None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        whole: Any = sdpa_attention_forward
        return whole(module, query, key, value, attention_mask, **kwargs)  # type: ignore[no-any-return]
    asked = query.reshape(rows, keys, heads // keys, size)
    made = scaled_dot_product_attention(
        asked, key, value, attn_mask=attention_mask, scale=kwargs.get("scaling")
    )
    return made.reshape(rows, 1, heads, -1), None
