"""Causal attention of packed rows on a CPU, one row after the other, by plain products.

    attend_rows(projected, cos, signed, rows, heads)     (T, all heads) -> (T, query heads)

Rows of a few hundred tokens are too short for torch's blockwise kernels to pay: in bf16 these
products measured five times as fast, forward and backward together.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch.autograd.function import once_differentiable

from trainers.packing import Row
from trainers.rotary import turn, turn_back


class Heads(NamedTuple):
    """How a projection is made up: query heads, as many of keys and of values, and their size."""

    queries: int
    keys: int
    size: int
    scale: float

    @property
    def turned(self) -> int:
        """The heads that rotary positions turn."""
        return self.queries + self.keys

    @property
    def all(self) -> int:
        return self.queries + 2 * self.keys


def attend_rows(
    projected: torch.Tensor,
    cos: torch.Tensor,
    signed: torch.Tensor,
    rows: Sequence[Row],
    heads: Heads,
) -> torch.Tensor:
    """projected (T, all * size) is overwritten; cos and signed (T, size)."""
    attended: torch.Tensor = _RowAttention.apply(  # type: ignore[no-untyped-call]
        projected, cos, signed, rows, heads
    )
    return attended


class _RowAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        projected: torch.Tensor,
        cos: torch.Tensor,
        signed: torch.Tensor,
        rows: Sequence[Row],
        heads: Heads,
    ) -> torch.Tensor:
        each = projected.detach().view(len(projected), heads.all, heads.size)
        turn(each[:, : heads.turned], cos, signed)  # no one else has the projection
        out = projected.new_empty(len(projected), heads.queries * heads.size)
        shares = []
        for row in rows:
            query, key, value = _of_row(each, row, heads)
            share = torch.softmax(_scores(query, key, row, heads), -1)
            _put(out.view(len(out), heads.queries, -1), row, share @ value, heads)
            shares.append(share)
        ctx.save_for_backward(each, cos, signed, *shares)
        ctx.rows, ctx.heads = rows, heads
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        each, cos, signed, *shares = ctx.saved_tensors
        heads: Heads = ctx.heads
        by_out = gradient.view(len(gradient), heads.queries, heads.size)
        found = torch.empty_like(each)
        # Tokens that rows have in common are keys and values of several.
        others = each.new_zeros(len(each), 2 * heads.keys, heads.size, dtype=torch.float32)
        for row, share in zip(ctx.rows, shares, strict=True):
            query, key, value = _of_row(each, row, heads)
            of_row = _queries(by_out[row.start : row.stop], heads)
            by_share = of_row @ value.transpose(1, 2)
            by_score = torch.ops.aten._softmax_backward_data(by_share, share, -1, share.dtype)
            by_score.mul_(heads.scale)
            _put(found[:, : heads.queries], row, by_score @ key, heads)
            by_key, by_value = by_score.transpose(1, 2) @ query, share.transpose(1, 2) @ of_row
            both = torch.cat([by_key, by_value]).transpose(0, 1).float()
            others.index_add_(0, row.path, both)
        found[:, heads.queries :] = others
        turn_back(found[:, : heads.turned], cos, signed)
        return found.view(len(found), -1), None, None, None, None


def _of_row(
    each: torch.Tensor, row: Row, heads: Heads
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries (keys, group * m, size), keys and values (keys, n, size) of one row."""
    query = _queries(each[row.start : row.stop, : heads.queries], heads)
    others = each[:, heads.queries :].index_select(0, row.path).transpose(0, 1)
    return query, others[: heads.keys], others[heads.keys :]


def _queries(of_tokens: torch.Tensor, heads: Heads) -> torch.Tensor:
    """(m, queries, size) as (keys, group * m, size): heads that share a key are one product."""
    split = of_tokens.view(len(of_tokens), heads.keys, -1, heads.size)
    return split.permute(1, 2, 0, 3).reshape(heads.keys, -1, heads.size)


def _put(into: torch.Tensor, row: Row, of_queries: torch.Tensor, heads: Heads) -> None:
    """The inverse of `_queries`, into a row's place in (T, queries, size)."""
    m = row.stop - row.start
    split = of_queries.view(heads.keys, -1, m, heads.size).permute(2, 0, 1, 3)
    into[row.start : row.stop].view(m, heads.keys, -1, heads.size).copy_(split)


def _scores(query: torch.Tensor, key: torch.Tensor, row: Row, heads: Heads) -> torch.Tensor:
    """(keys, group * m, n), -inf where a token is later than the one that asks."""
    m, n = row.stop - row.start, len(row.path)
    scores = torch.baddbmm(
        query.new_empty(1, 1, 1), query, key.transpose(1, 2), beta=0, alpha=heads.scale
    )
    later = _later(-(-n // 256) * 256, query.dtype)[n - m : n, :n]
    scores.view(heads.keys, -1, m, n).add_(later)
    return scores


@lru_cache(maxsize=4)
def _later(length: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.full((length, length), -torch.inf, dtype=dtype).triu(1)
