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
from collections.abc import Iterator, Sequence

from harness.engine.encoding import Encoded

EVEN = 0.01
"""Stop exchanging rows once the cheapest pass costs at most 1% less than the most expensive."""
TRIED = 8
"""Stop exchanging rows after this many exchanges that do not make the passes more even."""
ATTENDED = 1000
"""Attending to this many positions costs as much as the rest of a token's layers, on a CPU."""
LABELS = 3
"""The head on this many labels costs as much as the layers on one token, on a CPU."""


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
    for row in sorted(batch, key=lambda row: -len(row.ids)):
        rank = tokens.index(min(tokens))
        split[rank].append(row)
        tokens[rank] += len(row.ids)
    return split


def micro_batches(
    batch: Sequence[Encoded], max_tokens: int, *, by_text: bool = False, multiple_of: int = 1
) -> list[list[Encoded]]:
    """Cut a batch into few passes of similar size, each of at most `max_tokens` tokens.

    Rows of similar length go into one pass; with `by_text`, rows that share a prompt prefix, which
    then counts once. A row longer than `max_tokens` raises the limit to its own length. The number
    of passes is a multiple of `multiple_of`, unless there are too few rows for that.
    """
    rows = sorted(batch) if by_text else sorted(batch, key=lambda row: -len(row.ids))
    sizes = _own_tokens(rows) if by_text else [len(row.ids) for row in rows]
    total = sum(len(row.ids) for row in rows)
    limit = max([max_tokens, *(len(row.ids) for row in rows)])
    fewest = multiple_of * max(1, math.ceil(total / max_tokens / multiple_of))
    for count in itertools.count(fewest, multiple_of):
        passes = _cut(rows, sizes, sum(sizes) / count)
        if _within(passes, limit):
            balanced = _balanced(passes) if by_text else passes
            return balanced if _within(balanced, limit) else passes
    raise AssertionError("a pass for each row always fits")


def _within(passes: Sequence[Sequence[Encoded]], limit: int) -> bool:
    return all(sum(len(row.ids) for row in part) <= limit for part in passes)


def _own_tokens(rows: Sequence[Encoded]) -> list[int]:
    """The tokens of each row beyond the prefix that its prompt shares with the previous row."""
    sizes = []
    previous: list[int] = []
    for row in rows:
        pairs = zip(row.ids[: row.prompt_length], previous, strict=False)
        sizes.append(len(row.ids) - len(list(itertools.takewhile(lambda p: p[0] == p[1], pairs))))
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


def _balanced(passes: Sequence[list[Encoded]]) -> list[list[Encoded]]:
    """Exchange single rows between passes until they cost about the same; most expensive first."""
    ordered = sorted(passes, key=_cost, reverse=True)
    while len(ordered) > 1 and _cost(ordered[-1]) < (1 - EVEN) * _cost(ordered[0]):
        heavy, *others, light = ordered
        highest = _cost(heavy)
        candidates = itertools.islice(_exchanges(heavy, light), TRIED)
        better = next((pair for pair in candidates if max(map(_cost, pair)) < highest), None)
        if better is None:
            break
        ordered = sorted([*others, *better], key=_cost, reverse=True)
    return ordered


def _exchanges(
    heavy: list[Encoded], light: list[Encoded]
) -> Iterator[tuple[list[Encoded], list[Encoded]]]:
    """Both passes after a row moved from `heavy` to `light`, alone or in exchange for another.

    Exchanges are sorted by the estimated cost of the more expensive pass. The estimate adds up the
    effect of each row alone, which is off where the two exchanged rows share a prefix.
    """
    heavy_cost, light_cost = _cost(heavy), _cost(light)
    leaving = [
        (i, heavy_cost - _cost(_without(heavy, i)), _cost([*light, row]) - light_cost)
        for i, row in enumerate(heavy)
    ]
    returning: list[tuple[int | None, float, float]] = [(None, 0.0, 0.0)]
    returning += [
        (j, light_cost - _cost(_without(light, j)), _cost([*heavy, row]) - heavy_cost)
        for j, row in enumerate(light)
    ]
    estimated = [
        (max(heavy_cost - saved + taken, light_cost + added - freed), i, j)
        for (i, saved, added), (j, freed, taken) in itertools.product(leaving, returning)
    ]
    for _, i, j in sorted(estimated, key=lambda exchange: exchange[0]):
        if j is None:
            yield _without(heavy, i), [*light, heavy[i]]
        else:
            yield [*_without(heavy, i), light[j]], [*_without(light, j), heavy[i]]


def _without(rows: Sequence[Encoded], index: int) -> list[Encoded]:
    return [row for i, row in enumerate(rows) if i != index]


def _cost(rows: Sequence[Encoded]) -> float:
    """The time of a pass of these rows on a CPU, in units of one token's layers."""
    ordered = sorted(rows)
    own = _own_tokens(ordered)
    return sum(
        size * (1 + len(row.ids) / ATTENDED) + (len(row.ids) - row.prompt_length) / LABELS
        for row, size in zip(ordered, own, strict=True)
    )
