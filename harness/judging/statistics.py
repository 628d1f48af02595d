"""Intervals for rates and for their differences, and the test of a change; all of them 95%.

wilson(129, 150)                                            ->  (0.7954, 0.9066)
clustered([(50, 50), (49, 50), (30, 50)]).low, .high        ->   0.2091, 0.9930
paired_difference(both=20, fixed=12, broken=2, neither=16)  ->  (0.0562, 0.3292)

Nothing here corrects for many intervals or tests read at once.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import structs

from fmtharness.harness.records import Metric


@functools.lru_cache(maxsize=4096)
def wilson(numerator: int, denominator: int) -> tuple[float, float]:
    """The Wilson 95% score interval of a proportion (Wilson 1927), as scipy computes it."""
    from scipy.stats import binomtest

    interval = binomtest(numerator, denominator).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def rate(name: str, numerator: int, denominator: int) -> Metric:
    """A Metric from two counts; without a value if the denominator is 0."""
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


class Clustered(NamedTuple):
    """An interval of a rate that allows for correlation inside a task family."""

    families: int
    design_effect: float
    """The rate's variance by families over its variance if all draws were independent."""
    effective_n: float
    """The equivalent number of independent draws; at most the denominator."""
    low: float
    high: float


def clustered(counts: Sequence[tuple[int, int]]) -> Clustered | None:
    """The interval of sum(numerators) / sum(denominators), from both of them for each family.

    None if fewer than two families have a denominator. The variance is the cluster-robust one of a
    ratio (Cochran 1977, "Sampling Techniques", 6.3), with t on families - 1 degrees. It becomes an
    effective n, at most n (Korn and Graubard 1998, "Confidence intervals for proportions with small
    expected number of positive counts estimated from survey data"), and the interval is Wilson's at
    that n: never 0 wide, and never inside Wilson's at n. At 0% and 100% the families show no
    variance, which does not mean that there is none: there the design effect is taken as 1 and only
    t widens the interval.
    """
    known = [(numerator, denominator) for numerator, denominator in counts if denominator]
    if len(known) < 2:
        return None
    from scipy.stats import t

    families = len(known)
    total, n = sum(numerator for numerator, _ in known), sum(size for _, size in known)
    value = total / n
    residuals = math.fsum((numerator - value * size) ** 2 for numerator, size in known)
    variance = families / (families - 1) * residuals / n**2
    independent = value * (1 - value) / n
    design_effect = variance / independent if 0 < total < n else 1.0
    few_families = float(t.ppf(0.975, n - 1) / t.ppf(0.975, families - 1)) ** 2
    effective_n = min(float(n), n * few_families / design_effect) if design_effect else float(n)
    if effective_n == n:
        return Clustered(families, design_effect, effective_n, *wilson(total, n))
    low, high = _wilson(value, effective_n)
    # At 0% and 100% rounding may leave the rate itself just outside.
    return Clustered(families, design_effect, effective_n, min(low, value), max(high, value))


def by_prompt(metric: Metric, counts: Sequence[tuple[int, int]]) -> Metric:
    """The rate with an interval that allows for the likeness of several answers to one prompt.

    `counts` has the numerator and the denominator of each prompt. One prompt alone counts as one
    draw.
    """
    if metric.value is None:
        return metric
    found = clustered(counts)
    low, high = (found.low, found.high) if found else _wilson(metric.value, 1.0)
    return structs.replace(metric, low=min(low, metric.value), high=max(high, metric.value))


def pass_at_k(n: int, passed: int, k: int) -> float:
    """The unbiased estimate of how often at least one of k answers passes, from n of which some do.

    Chen et al. 2021, "Evaluating Large Language Models Trained on Code", section 2.1; k <= n.
    """
    return 1 - math.comb(n - passed, k) / math.comb(n, k)


def all_at_k(n: int, passed: int, k: int) -> float:
    """The same for all of k answers."""
    return math.comb(passed, k) / math.comb(n, k)


def _wilson(value: float, n: float) -> tuple[float, float]:
    """Wilson's interval at an n that is not an integer, which scipy does not accept."""
    from scipy.stats import norm

    z2 = float(norm.ppf(0.975)) ** 2
    middle = (value + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (value * (1 - value) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    return middle - half, middle + half


def paired_difference(both: int, fixed: int, broken: int, neither: int) -> tuple[float, float]:
    """The interval of the rate after minus the rate before, on the same Examples.

    `both` passed before and after, `fixed` only after, `broken` only before, `neither` never; at
    least one is not 0. Method 10 of Newcombe 1998, "Improved confidence intervals for the
    difference between binomial proportions based on paired data": the Wilson limits of the two
    rates, joined through their correlation, which is shrunk by a continuity correction.
    """
    n = both + fixed + broken + neither
    passed_before, passed_after = both + broken, both + fixed
    before, after = passed_before / n, passed_after / n
    before_low, before_high = wilson(passed_before, n)
    after_low, after_high = wilson(passed_after, n)
    cross: float = both * neither - fixed * broken
    if cross > 0:
        cross = max(cross - n / 2, 0)
    spread = passed_before * (n - passed_before) * passed_after * (n - passed_after)
    correlation = cross / math.sqrt(spread) if spread else 0.0

    def joined(one: float, other: float) -> float:
        return math.sqrt(one**2 - 2 * correlation * one * other + other**2)

    difference = (fixed - broken) / n
    low = difference - joined(after - after_low, before_high - before)
    high = difference + joined(after_high - after, before - before_low)
    return max(low, -1.0), min(high, 1.0)


class Paired(NamedTuple):
    """The same Examples judged before and after: what changed, by how much, and with which p.

    `difference` is the share of passes after minus before, with its interval; all three are None
    without a pair.
    """

    fixed: int
    broken: int
    p_value: float
    difference: float | None
    low: float | None
    high: float | None


def mcnemar(before: Sequence[bool], after: Sequence[bool]) -> Paired:
    """McNemar's exact test (McNemar 1947) and the difference with its interval.

    The test is a binomial test of the discordant pairs against 1/2.
    """
    from scipy.stats import binomtest

    pairs = Counter(zip(before, after, strict=True))
    both, neither = pairs[True, True], pairs[False, False]
    fixed, broken = pairs[False, True], pairs[True, False]
    changed = fixed + broken
    p_value = float(binomtest(fixed, changed).pvalue) if changed else 1.0
    if not pairs:
        return Paired(0, 0, p_value, None, None, None)
    low, high = paired_difference(both, fixed, broken, neither)
    return Paired(fixed, broken, p_value, (fixed - broken) / pairs.total(), low, high)


def pairs_needed(discordant: float, difference: float) -> int:
    """How many pairs McNemar's test needs to find a difference of two rates, at p < 0.05.

    `discordant` is the share of pairs that the two sides judge differently, at least
    |difference| > 0. The power is 0.8. Connor 1987, "Sample size for testing differences in
    proportions for the paired-sample design".
    """
    from scipy.stats import norm

    size, power = float(norm.ppf(0.975)), float(norm.ppf(0.8))
    spread = math.sqrt(max(0.0, discordant - difference**2))
    return math.ceil((size * math.sqrt(discordant) + power * spread) ** 2 / difference**2)
