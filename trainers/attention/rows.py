"""Causal attention of a prefix tree's rows on a CPU, by batched products of similar rows.

    attend_rows(projected, cos, sin, packed, heads)     (T, all heads) -> (T, query heads)

For rows of a few hundred tokens torch's blockwise attention kernels do not pay: these products were
five times as fast, forward and backward together. Scores and softmax are fp32 in the forward pass:
in bf16 the loss of a trained model was 1% off.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from fmtharness.harness.engine.torch_private import softmax_back
from fmtharness.trainers.attention.heads import Heads
from fmtharness.trainers.attention.rotary import turn, turn_back
from fmtharness.trainers.batch.packed import Block, Packed


def attend_rows(
    projected: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    packed: Packed,
    heads: Heads,
) -> torch.Tensor:
    """projected (T, all * size) is overwritten; cos and sin (T, size) as in `rotary`."""
    attended: torch.Tensor = _RowAttention.apply(  # type: ignore[no-untyped-call]
        projected, cos, sin, packed, heads
    )
    return attended


class _RowAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        projected: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        packed: Packed,
        heads: Heads,
    ) -> torch.Tensor:
        each = projected.detach().view(len(projected), heads.all, heads.size)
        turn(each[:, : heads.turned], cos, sin)  # in place: nothing else reads the projection
        at_places = each.index_select(0, packed.tokens)
        out = each.new_empty(len(at_places), heads.queries, heads.size)
        saved = []
        for block, part, of_block in _blocks(packed, at_places, out):
            query = _queries(part[:, :, : heads.queries], block, heads)
            key, value = _others(part[:, :, heads.queries :])
            softmax = torch.softmax(_scores(query, key, block, heads), -1)
            _put(of_block, softmax @ value.float(), block, heads)
            saved += [query, key, value, softmax.to(query.dtype)]
        ctx.save_for_backward(cos, sin, *saved)
        ctx.packed, ctx.heads = packed, heads
        return out.index_select(0, packed.slots).flatten(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        cos, sin, *saved = ctx.saved_tensors
        heads: Heads = ctx.heads
        packed: Packed = ctx.packed
        by_out = _at_slots(gradient.view(-1, heads.queries, heads.size), packed)
        at_places = gradient.new_empty(len(by_out), heads.all, heads.size)
        for index, (block, part, of_block) in enumerate(_blocks(packed, by_out, at_places)):
            query, key, value, softmax = saved[4 * index : 4 * index + 4]
            by_attended = _queries(part, block, heads)
            by_softmax = by_attended @ value.transpose(1, 2)
            by_score = softmax_back(by_softmax, softmax)
            by_score.mul_(heads.scale)
            _put(of_block[:, :, : heads.queries], by_score @ key, block, heads)
            by_key = by_score.transpose(1, 2) @ query
            by_value = softmax.transpose(1, 2) @ by_attended
            of_others = of_block[:, :, heads.queries :].transpose(1, 2)
            for target, made in zip(of_others.chunk(2, 1), (by_key, by_value), strict=True):
                target.copy_(made.view(target.shape))
        by_each = at_places.index_select(0, packed.slots)
        _sum_shared(by_each[:, heads.queries :], at_places[:, heads.queries :], packed)
        turn_back(by_each[:, : heads.turned], cos, sin)
        return by_each.flatten(1), None, None, None, None


def _blocks(
    packed: Packed, *at_places: torch.Tensor
) -> Iterator[tuple[Block, torch.Tensor, torch.Tensor]]:
    """Each block with its part of two tensors (P, ...), viewed as (R, n, ...)."""
    sizes = [len(block.bias) * block.n for block in packed.blocks]
    parts = zip(*(torch.split(tensor, sizes) for tensor in at_places), strict=True)
    for block, (one, other) in zip(packed.blocks, parts, strict=True):
        yield (
            block,
            torch.unflatten(one, 0, (-1, block.n)),
            torch.unflatten(other, 0, (-1, block.n)),
        )


def _queries(of_places: torch.Tensor, block: Block, heads: Heads) -> torch.Tensor:
    """The last m of (R, n, queries, size) as (R * keys, group * m, size).

    The query heads of one key head are rows of the same product.
    """
    own = of_places[:, block.n - block.bias.shape[1] :]
    split = torch.unflatten(own, 2, (heads.keys, -1)).permute(0, 2, 3, 1, 4)
    return split.reshape(len(own) * heads.keys, -1, heads.size)


def _put(into: torch.Tensor, of_queries: torch.Tensor, block: Block, heads: Heads) -> None:
    """The inverse of `_queries`: write to the last m of (R, n, queries, size)."""
    rows, m, _ = block.bias.shape
    split = of_queries.view(rows, heads.keys, -1, m, heads.size).permute(0, 3, 1, 2, 4)
    torch.unflatten(into[:, block.n - m :], 2, (heads.keys, -1)).copy_(split)


def _others(of_places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values, (R * keys, n, size) each, from (R, n, 2 * keys, size)."""
    rows, n, both, size = of_places.shape
    split = torch.unflatten(of_places, 2, (2, both // 2)).permute(2, 0, 3, 1, 4)
    key, value = split.reshape(2, rows * both // 2, n, size)
    return key, value


def _scores(query: torch.Tensor, key: torch.Tensor, block: Block, heads: Heads) -> torch.Tensor:
    """Scaled and masked scores (R * keys, group * m, n) in fp32."""
    rows, m, n = block.bias.shape
    bias = block.bias[:, None, None]
    group = heads.queries // heads.keys
    # Always a copy, which the product is added to in place: the bias is used again.
    each = bias.expand(rows, heads.keys, group, m, n).clone(memory_format=torch.contiguous_format)
    scores = each.view(rows * heads.keys, group * m, n)
    return scores.baddbmm_(query.float(), key.float().transpose(1, 2), alpha=heads.scale)


def _at_slots(of_tokens: torch.Tensor, packed: Packed) -> torch.Tensor:
    """(T, ...) as (P, ...), zero at the places where no token is a query."""
    at_places = of_tokens.new_zeros(len(packed.tokens), *of_tokens.shape[1:])
    return at_places.index_copy_(0, packed.slots, of_tokens)


def _sum_shared(of_tokens: torch.Tensor, at_places: torch.Tensor, packed: Packed) -> None:
    """Set the gradient of each token that rows share to the fp32 sum over its places."""
    shared = packed.shared
    if shared is None or not len(shared.tokens):
        return
    parts = at_places.index_select(0, shared.places).float()
    sums = parts.new_zeros(len(shared.tokens), *parts.shape[1:]).index_add_(0, shared.of, parts)
    of_tokens[shared.tokens] = sums.to(of_tokens.dtype)
