"""Which Examples stand behind each optimizer step, and how they are cut into passes.

    Order(rows, per_step=16, seed=0).batch(3)    the rows of step 3, the same on every machine
    split_by_process(batch, count=2)             those of each process
    micro_batches(batch, max_tokens=2048)        passes of nearly equal size

The order depends on the seed and the epoch alone; how a batch is cut does not change its gradient.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence

from harness.engine.encoding import Encoded

EVEN = 0.01
"""How much less the lightest of several passes may take than the heaviest."""
TRIED = 8
"""Exchanges that are looked at before passes are left as they are."""
LOOKED_AT = 1000
"""Places that a token looks at which take as long as the token itself, on a CPU."""
LABELS = 3
"""Labels that take as long in the head as a token in the layers, on a CPU."""


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


def split_by_process(batch: Sequence[Encoded], count: int) -> list[list[Encoded]]:
    """The rows of so many processes, which wait for the one with the most tokens.

    The longest first, each to the process that has the fewest so far.
    """
    made: list[list[Encoded]] = [[] for _ in range(count)]
    tokens = [0] * count
    for row in sorted(batch, key=lambda row: -len(row.ids)):
        least = tokens.index(min(tokens))
        made[least].append(row)
        tokens[least] += len(row.ids)
    return made


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
    most = max([max_tokens, *(len(row.ids) for row in rows)])
    least = multiple_of * max(1, math.ceil(total / max_tokens / multiple_of))
    for count in itertools.count(least, multiple_of):
        passes = _cut(rows, sizes, sum(sizes) / count)
        if _hold(passes, most):
            even = _evened(passes) if by_text else passes
            return even if _hold(even, most) else passes
    raise AssertionError("a pass for each row always fits")


def _hold(passes: Sequence[Sequence[Encoded]], most: int) -> bool:
    return all(sum(len(row.ids) for row in part) <= most for part in passes)


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


def _evened(passes: Sequence[list[Encoded]]) -> list[list[Encoded]]:
    """The passes after exchanges of single rows, the one that takes longest first."""
    made = sorted(passes, key=_work, reverse=True)
    while len(made) > 1 and _work(made[-1]) < (1 - EVEN) * _work(made[0]):
        heavy, *others, light = made
        most = _work(heavy)
        likely = itertools.islice(_exchanges(heavy, light), TRIED)
        better = next((both for both in likely if max(map(_work, both)) < most), None)
        if better is None:
            break
        made = sorted([*others, *better], key=_work, reverse=True)
    return made


def _exchanges(
    heavy: list[Encoded], light: list[Encoded]
) -> Iterator[tuple[list[Encoded], list[Encoded]]]:
    """Both after one row went over, perhaps for one that came back; the likeliest to be even first.

    How even is reckoned row by row, which is off where rows that are exchanged begin alike.
    """
    of_heavy, of_light = _work(heavy), _work(light)
    going = [
        (i, of_heavy - _work(_without(heavy, i)), _work([*light, row]) - of_light)
        for i, row in enumerate(heavy)
    ]
    coming: list[tuple[int | None, float, float]] = [(None, 0.0, 0.0)]
    coming += [
        (j, of_light - _work(_without(light, j)), _work([*heavy, row]) - of_heavy)
        for j, row in enumerate(light)
    ]
    reckoned = [
        (max(of_heavy - left + taken, of_light + given - back), i, j)
        for (i, left, given), (j, back, taken) in itertools.product(going, coming)
    ]
    for _, i, j in sorted(reckoned, key=lambda each: each[0]):
        if j is None:
            yield _without(heavy, i), [*light, heavy[i]]
        else:
            yield [*_without(heavy, i), light[j]], [*_without(light, j), heavy[i]]


def _without(rows: Sequence[Encoded], index: int) -> list[Encoded]:
    return [row for i, row in enumerate(rows) if i != index]


def _work(rows: Sequence[Encoded]) -> float:
    """What a pass of these rows takes on a CPU, in tokens."""
    ordered = sorted(rows)
    own = _own_tokens(ordered)
    return sum(
        size * (1 + len(row.ids) / LOOKED_AT) + (len(row.ids) - row.prompt_length) / LABELS
        for row, size in zip(ordered, own, strict=True)
    )
