"""Rows of token ids, one behind the other in one sequence, as the tensors of one forward pass.

    pack([Encoded([5, 6, 7, 2], prompt_length=2)], SHAPE)
        ids [[5, 6, 7, 2, 0]], positions [[0, 1, 2, 3, 0]], labels [7, 2] after tokens 1 and 2

A Shape bounds what a pass holds: passes of one Shape have tensors of one size, which is what a
CUDA graph needs. Labels are found by position, never by token id: pad may be the stop token.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from harness.engine.encoding import Encoded

if TYPE_CHECKING:
    import torch

LONGEST = 1.05
"""A bucket is at most this much longer than any of its passes."""


class Shape(NamedTuple):
    """How many tokens, rows and labels a pass has room for, and how long each row may be."""

    tokens: int
    rows: int
    length: int
    labels: int

    def part(self, tokens: int) -> Shape:
        """One of fewer tokens, with as many rows and labels for each."""
        rows, labels = (math.ceil(each * tokens / self.tokens) for each in (self.rows, self.labels))
        return Shape(tokens, rows, self.length, labels)


class Block(NamedTuple):
    """R rows of like length that attend together: the last m of n places each to all n.

    Shorter rows stand at the right. `bias` is -inf where a place may not be looked at; what a
    filled up place attends to is never used.
    """

    bias: torch.Tensor  # (R, m, n) fp32
    n: int


class Shared(NamedTuple):
    """The places of tokens that several rows share: what comes back to them is added up."""

    tokens: torch.Tensor  # (S,)
    places: torch.Tensor  # (E,)
    of: torch.Tensor  # (E,) the index into `tokens` of what stands in each place


class Packed(NamedTuple):
    """One pass: T tokens of R rows, N labels, P places in which rows attend; all int64.

    `tokens` says which token stands in each place and `slots` at which place each token attends.
    Without `blocks` the places are squares of `length`, one for each row; what is beyond a row is
    the last token and the last place, which hold nothing: their gradients are zero. There `starts`
    says where each row begins and the last ends, with a last one of what is filled up.
    """

    ids: torch.Tensor  # (1, T)
    positions: torch.Tensor  # (1, T)
    slots: torch.Tensor  # (T,)
    tokens: torch.Tensor  # (P,)
    before: torch.Tensor  # (N,) the token that predicts each label
    labels: torch.Tensor  # (N,) -100 where there is none
    starts: torch.Tensor | None = None  # (R + 2,)
    length: int = 0
    blocks: tuple[Block, ...] = ()
    shared: Shared | None = None

    flat: torch.Tensor | None = None  # the first seven side by side, which are views of it

    @property
    def longest(self) -> int:
        """A bound on the rows' length, the filled up one's too, that depends on sizes alone."""
        return max(self.length, math.ceil(self.ids.shape[1] * (1 - 1 / LONGEST)) + 1)

    @property
    def sizes(self) -> tuple[int, ...]:
        """What passes that one graph can replay have in common."""
        parts = self.ids[0], self.positions[0], self.slots, self.tokens, self.before, self.labels
        return (*map(len, parts), 0 if self.starts is None else len(self.starts), self.length)

    def to(self, device: torch.device) -> Packed:
        """On a GPU in one copy, while the host goes on where the memory is pinned."""
        if self.flat is None:  # a tree, which is for CPUs
            return self
        return _views(self.flat.to(device, non_blocking=True), self.sizes)


def _views(flat: torch.Tensor, sizes: Sequence[int]) -> Packed:
    """A Packed whose parts lie side by side in `flat`."""
    import torch

    *each, length = sizes
    ids, positions, slots, tokens, before, labels, starts = torch.split(flat, each)
    parts = (ids[None], positions[None], slots, tokens, before, labels, starts)
    return Packed(*parts, length=length, flat=flat)


def shape_of(rows: Sequence[Encoded]) -> Shape:
    """The smallest Shape for these rows, with the token and the place that hold nothing."""
    sizes = [len(row.ids) for row in rows]
    labels = sum(len(row.ids) - row.prompt_length for row in rows)
    return Shape(sum(sizes) + 1, len(rows), max(sizes) + 1, labels)


def buckets(shapes: Iterable[Shape]) -> dict[Shape, Shape]:
    """A few Shapes for many: each one's bucket, at most 5% more tokens than it needs."""
    found: dict[Shape, Shape] = {}
    waiting = sorted(set(shapes), reverse=True)
    while waiting:
        longest = waiting[0].tokens
        members = [shape for shape in waiting if shape.tokens * LONGEST >= longest]
        bucket = Shape(*map(max, zip(*members, strict=True)))
        found |= dict.fromkeys(members, bucket)
        waiting = waiting[len(members) :]
    return found


def pack(rows: Sequence[Encoded], shape: Shape, *, pin: bool = False) -> Packed:
    """The rows as tensors in memory, filled up to the shape; in pinned memory for a GPU."""
    import torch

    tokens, count, length, labels = shape
    sizes = [len(row.ids) for row in rows]
    ids = [token for row in rows for token in row.ids]
    positions = [place for size in sizes for place in range(size)]
    slots = [index * length + place for index, size in enumerate(sizes) for place in range(size)]
    places = [tokens - 1] * (count * length)
    for token, slot in enumerate(slots):
        places[slot] = token
    before: list[int] = []
    targets: list[int] = []
    start = 0
    for row, size in zip(rows, sizes, strict=True):
        before += range(start + row.prompt_length - 1, start + size - 1)
        targets += row.ids[row.prompt_length :]
        start += size
    missing = tokens - len(ids)
    spare = max(0, labels - len(targets))
    more = count - len(rows)
    starts = [*itertools.accumulate(sizes, initial=0), *[start] * more, tokens]
    parts = (
        ids + [0] * missing,
        positions + [0] * missing,
        slots + [count * length - 1] * missing,
        places,
        before + [tokens - 1] * spare,
        targets + [-100] * spare,
        starts,
    )
    flat = torch.tensor([number for part in parts for number in part])
    return _views(flat.pin_memory() if pin else flat, [*map(len, parts), length])
