"""A random source whose every draw is the same on any machine and any Python version.

    Dice("7/train/0").choice(("a", "b", "c"))  ->  the same letter, always

Python promises only that `random()` repeats for a seed; how `choice`, `sample` or `shuffle` use it
may change. Dice derives them from `random()` alone. It is a `Random`, so that a Format's
corruptions can draw from it too.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableSequence, Sequence
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")


class Dice(Random):
    """A `Random` that derives its draws from `random()`; counts up to 2**53."""

    def below(self, stop: int) -> int:
        """A whole number from 0 to stop - 1."""
        return int(self.random() * stop)

    def between(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + self.below(high - low + 1)

    def chance(self, probability: float) -> bool:
        """True with this probability; never at 0, always at 1."""
        return self.random() < probability

    def weighted(self, weights: Mapping[str, float]) -> str:
        """A key, as often as its share of the positive weights says."""
        names = [name for name, weight in weights.items() if weight > 0]
        left = self.random() * sum(weights[name] for name in names)
        for name in names:
            left -= weights[name]
            if left < 0:
                return name
        return names[-1]

    def choice(self, seq: Any) -> Any:
        return seq[self.below(len(seq))]

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        span = range(start) if stop is None else range(start, stop, step)
        return span[self.below(len(span))]

    def randint(self, a: int, b: int) -> int:
        return self.between(a, b)

    def shuffle(self, x: MutableSequence[Any]) -> None:
        for last in range(len(x) - 1, 0, -1):
            other = self.below(last + 1)
            x[last], x[other] = x[other], x[last]

    def sample(self, population: Sequence[T], k: int, *, counts: Any = None) -> list[T]:
        if counts is not None:
            raise NotImplementedError("repeat the members instead of counting them")
        rest = list(population)
        self.shuffle(rest)
        return rest[:k]

    def choices(
        self, population: Any, weights: Any = None, *, cum_weights: Any = None, k: int = 1
    ) -> list[Any]:
        if weights is not None or cum_weights is not None:
            raise NotImplementedError("use Dice.weighted")
        return [self.choice(population) for _ in range(k)]
