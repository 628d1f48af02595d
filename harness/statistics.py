"""Intervals for rates, and the test of a change.

wilson(97, 100)  ->  (0.9155, 0.9897)
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

from harness.records import Metric


@functools.lru_cache(maxsize=4096)
def wilson(numerator: int, denominator: int) -> tuple[float, float]:
    """The Wilson 95% score interval of a proportion (Wilson 1927), as scipy computes it."""
    from scipy.stats import binomtest

    interval = binomtest(numerator, denominator).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def rate(name: str, numerator: int, denominator: int) -> Metric:
    """A Metric from two counts; without a value where the denominator is 0."""
    if denominator == 0:
        return Metric(
            name=name, value=None, numerator=numerator, denominator=0, low=None, high=None
        )
    low, high = wilson(numerator, denominator)
    return Metric(
        name=name,
        value=numerator / denominator,
        numerator=numerator,
        denominator=denominator,
        low=low,
        high=high,
    )


class Paired(NamedTuple):
    """The same Examples judged before and after: who changed sides, and by chance or not."""

    fixed: int
    broken: int
    p_value: float


def mcnemar(before: Sequence[bool], after: Sequence[bool]) -> Paired:
    """McNemar's exact test (McNemar 1947): a binomial test of the discordant pairs against 1/2."""
    from scipy.stats import binomtest

    fixed = sum(b < a for b, a in zip(before, after, strict=True))
    broken = sum(b > a for b, a in zip(before, after, strict=True))
    changed = fixed + broken
    p_value = float(binomtest(fixed, changed).pvalue) if changed else 1.0
    return Paired(fixed, broken, p_value)
