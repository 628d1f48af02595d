"""Causal attention of a prefix tree's rows on a CPU in bf16: torch's products and C kernels.

    attend_rows_in_c(projected, cos, sin, packed, heads, kernels)     as rows.attend_rows

Each kernel (`harness.engine.kernels.cpu`) does in one pass over memory what `rows` does in several
operations: gather the operands of the products, softmax, and scatter their results.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from trainers.attention.heads import Heads
from trainers.batch.packed import Packed


def attend_rows_in_c(
    projected: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    packed: Packed,
    heads: Heads,
    kernels: Any,
) -> torch.Tensor:
    """projected (T, all * size) is overwritten; cos and sin (T, size) as in `rotary`."""
    attended: torch.Tensor = _RowsInC.apply(  # type: ignore[no-untyped-call]
        projected, cos, sin, packed, heads, kernels
    )
    return attended


class _RowsInC(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        projected: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        packed: Packed,
        heads: Heads,
        kernels: Any,
    ) -> torch.Tensor:
        each = projected.detach().view(len(projected), heads.all, heads.size)
        turned = each[:, : heads.turned]
        kernels.turn(turned, turned, cos, sin)  # in place: nothing else reads the projection
        out = each.new_empty(len(each), heads.queries, heads.size)
        saved = []
        for block, bias in _blocks(packed, heads, kernels):
            (query, key, value), (query_wide, key_wide, value_wide) = kernels.split(block, each)
            scores = torch.bmm(query_wide, key_wide.transpose(1, 2))
            softmax = kernels.softmax(scores, bias, heads.scale)  # scores become fp32 softmax, too
            kernels.join(block, torch.bmm(scores, value_wide), out)
            saved += [query, key, value, softmax]
        ctx.save_for_backward(cos, sin, *saved)
        ctx.packed, ctx.heads, ctx.kernels = packed, heads, kernels
        return out.flatten(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        cos, sin, *saved = ctx.saved_tensors
        heads: Heads = ctx.heads
        kernels = ctx.kernels
        grad_output = gradient.contiguous()
        tokens = len(grad_output)
        by_each = grad_output.new_empty(tokens, heads.all, heads.size)
        sums = grad_output.new_zeros(tokens, 2 * heads.keys, heads.size, dtype=torch.float32)
        for index, (block, _) in enumerate(_blocks(ctx.packed, heads, kernels)):
            query, key, value, softmax = saved[4 * index : 4 * index + 4]
            by_attended = kernels.join_back(block, grad_output)
            by_softmax = torch.bmm(by_attended, value.transpose(1, 2))
            by_score = kernels.softmax_back(by_softmax, softmax, heads.scale)
            by_key = torch.bmm(by_score.transpose(1, 2), query)
            by_value = torch.bmm(softmax.transpose(1, 2), by_attended)
            kernels.split_back(block, torch.bmm(by_score, key), by_key, by_value, by_each, sums)
        kernels.sum_up(sums, by_each)
        turned = by_each[:, : heads.turned]
        kernels.turn(turned, turned, cos, sin, back=True)
        return by_each.flatten(1), None, None, None, None, None


def _blocks(packed: Packed, heads: Heads, kernels: Any) -> Iterator[tuple[Any, torch.Tensor]]:
    """Each block as the kernels' struct, with its bias (R, m, n)."""
    first = 0
    for block in packed.blocks:
        rows, m, n = block.bias.shape
        sizes = first, rows, n, m, heads.queries, heads.keys, heads.size
        yield kernels.Block.of(packed.tokens, packed.slots, *sizes), block.bias
        first += rows * n
