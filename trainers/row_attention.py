"""Attention inside each row of a packed sequence.

    use(model)      rows of 120 and 90 tokens attend as two causal squares, not under one mask

transformers' own way is one square of 210 x 210 under a block mask; the numbers are the same. On a
CPU each row is a square of its own length; on a GPU all rows are squares of one length, filled up
on the right, where causality hides what is filled in.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable

NAME = "fmtharness_rows"


def use(model: Any) -> None:
    """Let the model attend row by row wherever it is given a Packed as `packed`."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, _mask)
    model.set_attn_implementation(NAME)


def _mask(*arguments: Any, **kwargs: Any) -> Any:
    from transformers.masking_utils import sdpa_mask

    # Without padding no mask is needed: rows are kept apart below.
    return None if kwargs.get("attention_mask") is None else sdpa_mask(*arguments, **kwargs)


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    packed: Any = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """query, key, value: (1, heads, tokens, size) -> (1, tokens, heads, size)."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    attend: Any = sdpa_attention_forward

    if packed is None:
        whole: tuple[torch.Tensor, None] = attend(
            module, query, key, value, attention_mask, **kwargs
        )
        return whole
    if packed.sizes:
        # In fp32, which measured about a tenth faster than bf16 at these lengths.
        in_fp32 = (tensor.float().split(packed.sizes, dim=2) for tensor in (query, key, value))
        rows = [attend(module, *row, None, **kwargs)[0] for row in zip(*in_fp32, strict=True)]
        return torch.cat(rows, dim=1).to(query.dtype), None
    squares = [
        _Move.apply(tensor.transpose(1, 2).flatten(0, 1), packed.tokens, packed.slots)
        .unflatten(0, (-1, packed.length))
        .transpose(1, 2)
        for tensor in (query, key, value)
    ]
    attended = attend(module, *squares, None, **kwargs)[0]
    return _Move.apply(attended.flatten(0, 1), packed.slots, packed.tokens)[None], None


class _Move(torch.autograd.Function):
    """rows[there]; the gradient comes back as gradient[back], so nothing is added up."""

    @staticmethod
    def forward(
        ctx: Any, rows: torch.Tensor, there: torch.Tensor, back: torch.Tensor
    ) -> torch.Tensor:
        ctx.back = back
        return rows.index_select(0, there)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return gradient.index_select(0, ctx.back), None, None
