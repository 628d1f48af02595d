"""Rows of token ids packed into one sequence, as the tensors of one forward pass.

    pack([Encoded([5, 6, 7, 2], prompt_length=2)], SHAPE)
        ids [[5, 6, 7, 2, 0]], positions [[0, 1, 2, 3, 0]], labels [7, 2] after tokens 1 and 2

A Shape is the capacity of a pass: passes padded to one Shape have tensors of one size, as a CUDA
graph needs. Labels are found by position, never by token id: the pad token may be the stop token.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from fmtharness.harness.engine.encoding import Encoded

if TYPE_CHECKING:
    import torch

UNPAIRED, ALIKE = -1, -2
"""Sides of labels in rows without a rejected answer, and of labels before two answers differ."""
LONGEST = 1.05
"""A bucket has at most 5% more tokens than any of its passes."""


class Shape(NamedTuple):
    """The capacity of a pass in tokens, rows and labels, and the most tokens of each row."""

    tokens: int
    rows: int
    length: int
    labels: int
    pairs: int = 0
    """Rows of two answers, a chosen and a rejected one; each answer counts in `rows`."""

    def part(self, tokens: int) -> Shape:
        """A Shape of fewer tokens, with rows, labels and pairs in proportion."""
        rows, labels, pairs = (
            math.ceil(each * tokens / self.tokens) for each in (self.rows, self.labels, self.pairs)
        )
        return Shape(tokens, rows, self.length, labels, pairs)


class Block(NamedTuple):
    """R rows of similar length in one batched attention: queries at the last m of n places each.

    Shorter rows are padded on the left. `bias` is added to the scores: -inf for padding and for
    later places. Padding attends to itself, and its output is never used.
    """

    bias: torch.Tensor  # (R, m, n) fp32
    n: int


class Shared(NamedTuple):
    """The E places of the S tokens that several rows share: their gradients are summed."""

    tokens: torch.Tensor  # (S,)
    places: torch.Tensor  # (E,)
    of: torch.Tensor  # (E,) for each place, the index of its token in `tokens`


class Packed(NamedTuple):
    """One pass: T tokens of R rows, N labels, and P places in which attention runs; all int64.

    `tokens` is the token at each place, and `slots` the place where each token is a query.

    With `blocks` (a prefix tree, see `batch.tree`) a token has one place per row that attends to
    it. Without, each row has `length` places, and padding refers to the last token and
    the last place, which are always padding and have zero gradients. `starts` then has the offset
    of each row, the end of the last, and the end of the padding, which is one more row.
    """

    ids: torch.Tensor  # (1, T)
    positions: torch.Tensor  # (1, T)
    slots: torch.Tensor  # (T,)
    tokens: torch.Tensor  # (P,)
    before: torch.Tensor  # (N,) the token whose hidden state predicts each label
    labels: torch.Tensor  # (N,) -100 for padding
    starts: torch.Tensor | None = None  # (R + 2,)
    length: int = 0
    blocks: tuple[Block, ...] = ()
    shared: Shared | None = None
    sides: torch.Tensor | None = None  # (N,) see `sides_of`; (0,) or None without pairs
    references: torch.Tensor | None = None  # (pairs, 2) fp32

    flat: torch.Tensor | None = None  # one tensor of which the others are views

    @property
    def longest(self) -> int:
        """A bound on the length of any row, padding included, that depends on sizes alone."""
        return max(self.length, math.ceil(self.ids.shape[1] * (1 - 1 / LONGEST)) + 1)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes of all tensors: a CUDA graph replays passes of the same sizes."""
        parts = self.ids[0], self.positions[0], self.slots, self.tokens, self.before, self.labels
        more = (self.starts, self.sides, self.references)
        return (*map(len, parts), *(0 if part is None else len(part) for part in more), self.length)

    def to(self, device: torch.device) -> Packed:
        """On the device, in one copy, which is asynchronous from pinned memory."""
        if self.flat is None:  # a prefix tree, which stays on the CPU
            return self
        return _views(self.flat.to(device, non_blocking=True), self.sizes)


def _views(flat: torch.Tensor, sizes: Sequence[int]) -> Packed:
    """A Packed whose tensors are consecutive views of `flat`."""
    import torch

    *each, length = sizes
    ids, positions, slots, tokens, before, labels, starts, sides, bits = torch.split(flat, each)
    return Packed(
        *(ids[None], positions[None], slots, tokens, before, labels, starts),
        length=length,
        sides=sides,
        references=bits.view(torch.float32).view(-1, 2),
        flat=flat,
    )


def sides_of(rows: Sequence[Encoded]) -> list[int]:
    """For each label, its answer: 2 p is the chosen answer of pair p, 2 p + 1 the rejected one.

    ALIKE marks the labels before the two answers differ, and UNPAIRED those outside any pair.

    sides_of([Encoded([5, 6], 1), Encoded([5, 4, 7], 1, [5, 4, 8, 9])])    [-1, -2, 0, 1, 1]
    """
    sides: list[int] = []
    pairs = itertools.count()
    for row in rows:
        if row.rejected is None:
            sides += [UNPAIRED] * (len(row.ids) - row.prompt_length)
            continue
        pair, shared = 2 * next(pairs), row.shared
        sides += [ALIKE] * (shared - row.prompt_length) + [pair] * (len(row.ids) - shared)
        sides += [pair + 1] * (len(row.rejected) - shared)
    return sides


def shape_of(rows: Sequence[Encoded]) -> Shape:
    """The smallest Shape for these rows, with one token and one place for padding."""
    answers = [answer for row in rows for answer in row.answers]
    sizes = [len(row.ids) for row in answers]
    labels = sum(len(row.ids) - row.prompt_length for row in answers)
    pairs = len(answers) - len(rows)
    return Shape(sum(sizes) + 1, len(answers), max(sizes) + 1, labels, pairs)


def buckets(shapes: Iterable[Shape]) -> dict[Shape, Shape]:
    """Map many Shapes to a few: the bucket of each Shape has at most 5% more tokens."""
    found: dict[Shape, Shape] = {}
    remaining = sorted(set(shapes), reverse=True)
    while remaining:
        longest = remaining[0].tokens
        members = [shape for shape in remaining if shape.tokens * LONGEST >= longest]
        bucket = Shape(*map(max, zip(*members, strict=True)))
        found |= dict.fromkeys(members, bucket)
        remaining = remaining[len(members) :]
    return found


def pack(rows: Sequence[Encoded], shape: Shape, *, pin: bool = False) -> Packed:
    """The rows as tensors in host memory, padded to the shape; `pin` for copies to a GPU."""
    import torch

    tokens, count, length, labels, pairs = shape
    sides = sides_of(rows) if pairs else []
    bits = [_bits(row.reference) for row in rows if row.rejected is not None]
    rows = [answer for row in rows for answer in row.answers]
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
        targets += row.labels
        start += size
    missing = tokens - len(ids)
    missing_labels = max(0, labels - len(targets))
    missing_rows = count - len(rows)
    starts = [*itertools.accumulate(sizes, initial=0), *[start] * missing_rows, tokens]
    parts = (
        ids + [0] * missing,
        positions + [0] * missing,
        slots + [count * length - 1] * missing,
        places,
        before + [tokens - 1] * missing_labels,
        targets + [-100] * missing_labels,
        starts,
        sides + [UNPAIRED] * (max(labels, len(sides)) - len(sides) if pairs else 0),
        bits + [0] * (pairs - len(bits)),
    )
    flat = torch.tensor([number for part in parts for number in part])
    return _views(flat.pin_memory() if pin else flat, [*map(len, parts), length])


def _bits(reference: tuple[float, float]) -> int:
    """Two fp32 numbers as the bits of an int64, so that one tensor holds all parts of a pass."""
    bits: int = struct.unpack("=q", struct.pack("=ff", *reference))[0]
    return bits
