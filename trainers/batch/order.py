"""The order of the rows in training, their split over processes, and their cut into micro-batches.

    Order(rows, per_step=16, seed=0).batch(3)    the rows of step 3, the same on every machine
    split_by_process(batch, count=2)             the rows of each process
    micro_batches(batch, max_tokens=2048)        passes of nearly equal size

The order depends only on the seed and the epoch. How a batch is cut does not change its gradient
beyond rounding.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence

from fmtharness.harness.engine.encoding import Encoded


class Order:
    """The rows of each optimizer step; every epoch is shuffled anew."""

    def __init__(self, rows: Sequence[Encoded], per_step: int, seed: int) -> None:
        self._rows, self._per_step, self._seed = rows, per_step, seed
        self.steps_per_epoch = math.ceil(len(rows) / per_step)
        self._epoch = -1
        self._shuffled: list[int] = []

    def batch(self, step: int) -> list[Encoded]:
        """The rows of a step, counted from 1; the last step of an epoch may have fewer."""
        epoch, index = divmod(step - 1, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            self._shuffled = list(range(len(self._rows)))
            random.Random(f"{self._seed}/{epoch}").shuffle(self._shuffled)
        start = index * self._per_step
        return [self._rows[i] for i in self._shuffled[start : start + self._per_step]]


def split_by_process(batch: Sequence[Encoded], count: int) -> list[list[Encoded]]:
    """Split a batch over `count` processes, with about the same number of tokens for each.

    Greedy: the longest row first, each to the process that has the fewest tokens so far.
    """
    split: list[list[Encoded]] = [[] for _ in range(count)]
    tokens = [0] * count
    for row in sorted(batch, key=lambda row: -row.tokens):
        rank = tokens.index(min(tokens))
        split[rank].append(row)
        tokens[rank] += row.tokens
    return split


def micro_batches(
    batch: Sequence[Encoded], max_tokens: int, *, by_text: bool = False, multiple_of: int = 1
) -> list[list[Encoded]]:
    """Cut a batch into few passes of similar size, each of at most `max_tokens` tokens.

    Both answers of a pair are in one pass. Rows of similar length go together; with `by_text`,
    rows that share a prompt prefix, which then counts once. A row longer than `max_tokens` raises
    the limit to its own length. The number of passes is a multiple of `multiple_of`, unless there
    are too few rows for that.
    """
    rows = sorted(batch, key=(lambda row: row[:2]) if by_text else (lambda row: (-row.tokens,)))
    sizes = _own_tokens(rows) if by_text else [row.tokens for row in rows]
    total = sum(row.tokens for row in rows)
    limit = max([max_tokens, *(row.tokens for row in rows)])
    fewest = multiple_of * max(1, math.ceil(total / max_tokens / multiple_of))
    for count in itertools.count(fewest, multiple_of):
        passes = _cut(rows, sizes, sum(sizes) / count)
        if _within(passes, limit):
            return passes
    raise AssertionError("a pass for each row always fits")


def _within(passes: Sequence[Sequence[Encoded]], limit: int) -> bool:
    return all(sum(row.tokens for row in part) <= limit for part in passes)


def _own_tokens(rows: Sequence[Encoded]) -> list[int]:
    """The tokens of each row beyond the prefix that its prompt shares with the previous row."""
    sizes = []
    previous: list[int] = []
    for row in rows:
        pairs = zip(row.ids[: row.prompt_length], previous, strict=False)
        shared = len(list(itertools.takewhile(lambda p: p[0] == p[1], pairs)))
        again = 0 if row.rejected is None else row.shared
        sizes.append(row.tokens - shared - again)
        previous = row.ids
    return sizes


def _cut(rows: Sequence[Encoded], sizes: Sequence[int], target: float) -> list[list[Encoded]]:
    """Cut into parts of about `target` tokens; a row belongs to the part its middle falls in."""
    parts: dict[int, list[Encoded]] = {}
    before = 0
    for row, size in zip(rows, sizes, strict=True):
        parts.setdefault(int((before + size / 2) / target), []).append(row)
        before += size
    return list(parts.values())
