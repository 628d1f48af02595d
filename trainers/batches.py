"""Which Examples stand behind each optimizer step, and how they are cut into passes.

    Order(rows, per_step=16, seed=0).batch(3)    the rows of step 3, the same on every machine
    micro_batches(batch, max_tokens=2048)        passes of nearly equal size

The order depends on the seed and the epoch alone; how a batch is cut does not change its gradient.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence

from harness.encoding import Encoded


class Order:
    """The rows of each optimizer step, epoch after epoch, each in an order of its own."""

    def __init__(self, rows: Sequence[Encoded], per_step: int, seed: int) -> None:
        self._rows, self._per_step, self._seed = rows, per_step, seed
        self.steps_per_epoch = math.ceil(len(rows) / per_step)
        self._epoch = -1
        self._shuffled: list[int] = []

    def batch(self, step: int) -> list[Encoded]:
        """The rows of a step, counted from 1; the last of an epoch may be fewer."""
        epoch, place = divmod(step - 1, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            self._shuffled = list(range(len(self._rows)))
            random.Random(f"{self._seed}/{epoch}").shuffle(self._shuffled)
        start = place * self._per_step
        return [self._rows[index] for index in self._shuffled[start : start + self._per_step]]


def micro_batches(
    batch: Sequence[Encoded], max_tokens: int, *, by_text: bool = False, multiple_of: int = 1
) -> list[list[Encoded]]:
    """Cut a batch into few passes of at most `max_tokens` tokens, alike in size.

    Rows of one length come together, or `by_text` those that begin alike, whose beginnings then
    count once; a row that is longer than a pass is one of its own. Where rows allow it, there are
    a multiple of `multiple_of` passes.
    """
    rows = sorted(batch) if by_text else sorted(batch, key=lambda row: -len(row.ids))
    sizes = _own_tokens(rows) if by_text else [len(row.ids) for row in rows]
    total = sum(len(row.ids) for row in rows)
    longest = max((len(row.ids) for row in rows), default=0)
    least = multiple_of * max(1, math.ceil(total / max_tokens / multiple_of))
    for count in itertools.count(least, multiple_of):
        passes = _cut(rows, sizes, sum(sizes) / count)
        if all(sum(len(row.ids) for row in part) <= max(max_tokens, longest) for part in passes):
            return passes
    raise AssertionError("a pass for each row always fits")


def _own_tokens(rows: Sequence[Encoded]) -> list[int]:
    """How many tokens each row has beyond what its prompt and the row before begin with."""
    sizes = []
    before: list[int] = []
    for row in rows:
        pairs = zip(row.ids[: row.prompt_length], before, strict=False)
        sizes.append(len(row.ids) - len(list(itertools.takewhile(lambda p: p[0] == p[1], pairs))))
        before = row.ids
    return sizes


def _cut(rows: Sequence[Encoded], sizes: Sequence[int], most: float) -> list[list[Encoded]]:
    """Parts of about this size: a row goes where its middle lies."""
    parts: dict[int, list[Encoded]] = {}
    before = 0
    for row, size in zip(rows, sizes, strict=True):
        parts.setdefault(int((before + size / 2) / most), []).append(row)
        before += size
    return list(parts.values())
