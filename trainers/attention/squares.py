"""Causal attention of packed rows without flash kernels, as a batch padded to one length.

    attend_squares(projected, cos, sin, packed, heads)     (T, all heads) -> (T, query heads)

Rows are padded on the right, so the causal mask hides the padding. Passes of one Shape then have
tensors of one size, as a CUDA graph needs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import scaled_dot_product_attention

from fmtharness.trainers.attention.heads import Heads
from fmtharness.trainers.attention.rotary import turn, turn_back
from fmtharness.trainers.batch.packed import Packed


def attend_squares(
    projected: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    packed: Packed,
    heads: Heads,
) -> torch.Tensor:
    """projected (T, all * size) is overwritten; cos and sin (T, size) as in `rotary`."""
    squares: torch.Tensor = _Squares.apply(  # type: ignore[no-untyped-call]
        projected, cos, sin, packed.tokens, packed.slots, heads
    )
    each = squares.view(-1, packed.length, heads.all, heads.size)
    query, key, value = heads.split(each)
    attended = scaled_dot_product_attention(
        query.transpose(1, 2),
        _for_each_query(key, heads).transpose(1, 2),
        _for_each_query(value, heads).transpose(1, 2),
        is_causal=True,
        scale=heads.scale,
        enable_gqa=_shares_keys(query),
    )
    in_rows = attended.transpose(1, 2).reshape(-1, heads.queries * heads.size)
    return move(in_rows, packed.slots, packed.tokens)


def move(rows: torch.Tensor, there: torch.Tensor, back: torch.Tensor) -> torch.Tensor:
    """rows[there], with gradient[back] as its gradient: a gather instead of a scatter-add."""
    moved: torch.Tensor = _Move.apply(rows, there, back)  # type: ignore[no-untyped-call]
    return moved


class _Squares(torch.autograd.Function):
    """Rotate queries and keys, and move every token to its place in the padded batch."""

    @staticmethod
    def forward(
        ctx: Any,
        projected: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        there: torch.Tensor,
        back: torch.Tensor,
        heads: Heads,
    ) -> torch.Tensor:
        ctx.save_for_backward(cos, sin, back)
        ctx.heads = heads
        each = projected.view(len(projected), heads.all, heads.size)
        turn(each[:, : heads.turned], cos, sin)  # in place: nothing else reads the projection
        return projected.index_select(0, there)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        cos, sin, back = ctx.saved_tensors
        heads: Heads = ctx.heads
        by_projected = gradient.index_select(0, back)
        each = by_projected.view(len(by_projected), heads.all, heads.size)
        turn_back(each[:, : heads.turned], cos, sin)
        return by_projected, None, None, None, None, None


class _Move(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rows: torch.Tensor, there: torch.Tensor, back: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(back)
        return rows.index_select(0, there)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (back,) = ctx.saved_tensors
        return gradient.index_select(0, back), None, None


def _shares_keys(query: torch.Tensor) -> bool:
    """Whether torch's fast kernels support grouped-query attention; on GPUs, since Ampere."""
    if not query.is_cuda:
        return True
    return query.dtype != torch.float32 and torch.cuda.get_device_capability(query.device) >= (8, 0)


def _for_each_query(heads_of: torch.Tensor, heads: Heads) -> torch.Tensor:
    """(R, length, keys, size), repeated per query head without grouped-query kernels."""
    if _shares_keys(heads_of):
        return heads_of
    return heads_of.repeat_interleave(heads.queries // heads.keys, 2)
