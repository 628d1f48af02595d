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

    Rows of one length come together, or `by_text` those that begin alike; a row that is longer than
    a pass is one of its own. Where rows allow it, there are a multiple of `multiple_of` passes.
    """
    rows = sorted(batch) if by_text else sorted(batch, key=lambda row: -len(row.ids))
    total = sum(len(row.ids) for row in rows)
    longest = max((len(row.ids) for row in rows), default=0)
    least = multiple_of * max(1, math.ceil(total / max_tokens / multiple_of))
    for count in itertools.count(least, multiple_of):
        passes = _cut(rows, total / count)
        if all(sum(len(row.ids) for row in part) <= max(max_tokens, longest) for part in passes):
            return passes
    raise AssertionError("a pass for each row always fits")


def _cut(rows: Sequence[Encoded], size: float) -> list[list[Encoded]]:
    """Parts of about `size` tokens: a row goes where its middle lies."""
    parts: dict[int, list[Encoded]] = {}
    before = 0
    for row in rows:
        parts.setdefault(int((before + len(row.ids) / 2) / size), []).append(row)
        before += len(row.ids)
    return list(parts.values())
