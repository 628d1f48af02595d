"""Intervals against published values and simulations, the exact test against sums by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.regression.linear_model import OLS

from fmtharness.harness.judging.statistics import (
    clustered,
    mcnemar,
    paired_difference,
    rate,
    wilson,
)

counts = st.integers(0, 300)
tables = st.tuples(counts, counts, counts, counts).filter(any)
families = st.lists(
    st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    min_size=2,
    max_size=12,
)


@pytest.mark.parametrize(
    ("numerator", "denominator", "low", "high"),
    [
        # Newcombe 1998, "Two-sided confidence intervals for the single proportion", method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        # By Wilson's formula with z = 1.959964 on paper: k = n gives n / (n + z^2).
        (100, 100, 0.9630, 1.0),
        (1, 1, 0.2065, 1.0),
    ],
)
def test_wilson(numerator: int, denominator: int, low: float, high: float) -> None:
    assert wilson(numerator, denominator) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_is_never_empty(counts: tuple[int, int]) -> None:
    numerator, denominator = counts
    low, high = wilson(numerator, denominator)
    assert 0 <= low <= numerator / denominator <= high <= 1
    assert high - low > 0
    assert (low == 0) == (numerator == 0)
    assert (high == 1) == (numerator == denominator)
    mirrored = wilson(denominator - numerator, denominator)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_rate() -> None:
    metric = rate("x", 97, 100)
    assert (metric.name, metric.value, metric.numerator, metric.denominator) == ("x", 0.97, 97, 100)
    assert (metric.low, metric.high) == pytest.approx((0.9155, 0.9897), abs=5e-5)
    nothing = rate("x", 0, 0)
    assert (nothing.value, nothing.low, nothing.high) == (None, None, None)


@pytest.mark.parametrize(
    ("fixed", "broken", "p_value"),
    [
        (10, 2, 158 / 4096),  # 2 * (1 + 12 + 66) / 2^12
        (2, 10, 158 / 4096),
        (5, 0, 2 / 32),
        (1, 0, 1.0),
        (4, 4, 1.0),
        (0, 0, 1.0),
        (57, 0, 2 / 2**57),
    ],
)
def test_mcnemar(fixed: int, broken: int, p_value: float) -> None:
    before = [False] * fixed + [True] * broken + [True, False] * 7
    after = [True] * fixed + [False] * broken + [True, False] * 7
    found = mcnemar(before, after)
    assert (found.fixed, found.broken) == (fixed, broken)
    assert found.p_value == pytest.approx(p_value)


def test_mcnemar_wants_pairs() -> None:
    with pytest.raises(ValueError, match="shorter"):
        mcnemar([True, False], [True])


# Newcombe 1998, "Improved confidence intervals for the difference between binomial proportions
# based on paired data", table III, method 10: cells (both, first only, second only, neither) and
# the limits of first minus second.
TABLE_III = [
    ((36, 12, 2, 0), (0.0569, 0.3404)),
    ((20, 12, 2, 16), (0.0562, 0.3292)),
    ((18, 12, 2, 18), (0.0562, 0.3290)),
    ((36, 14, 0, 0), (0.1528, 0.4167)),
    ((35, 14, 0, 1), (0.1461, 0.4175)),
    ((18, 14, 0, 18), (0.1441, 0.3963)),
    ((2, 97, 1, 0), (0.8721, 0.9854)),
    ((0, 29, 1, 0), (0.6666, 0.9882)),
    ((2, 98, 0, 0), (0.9178, 0.9945)),
    ((1, 98, 0, 1), (0.9171, 0.9916)),
    ((0, 30, 0, 0), (0.8395, 1.0000)),
    ((54, 0, 0, 0), (-0.0664, 0.0664)),
    ((53, 0, 0, 1), (-0.0729, 0.0729)),
    ((30, 0, 0, 24), (-0.0358, 0.0358)),
]


@pytest.mark.parametrize(("cells", "limits"), TABLE_III)
def test_paired_difference_as_published(
    cells: tuple[int, int, int, int], limits: tuple[float, float]
) -> None:
    assert paired_difference(*cells) == pytest.approx(limits, abs=5e-5)


@given(tables)
def test_the_paired_interval_holds_its_estimate(table: tuple[int, int, int, int]) -> None:
    both, fixed, broken, neither = table
    low, high = paired_difference(both, fixed, broken, neither)
    assert -1 <= low < high <= 1
    assert low <= (fixed - broken) / sum(table) <= high
    swapped = paired_difference(both, broken, fixed, neither)
    assert swapped == pytest.approx((-high, -low), abs=1e-12)
    opposite = paired_difference(neither, broken, fixed, both)
    assert opposite == pytest.approx((-high, -low), abs=1e-12)


@pytest.mark.parametrize(
    "shares", [(0.3, 0.2, 0.1, 0.4), (0.05, 0.9, 0.0, 0.05), (0.9, 0.04, 0.02, 0.04)]
)
def test_the_paired_interval_covers(shares: tuple[float, float, float, float]) -> None:
    drawn = np.random.default_rng(7).multinomial(60, shares, size=3000).tolist()
    limits = [paired_difference(*table) for table in drawn]
    true = shares[1] - shares[2]
    covered = np.mean([low <= true <= high for low, high in limits])
    assert 0.94 <= covered <= 0.995


def test_pairs_carry_their_difference() -> None:
    found = mcnemar(
        [True] * 22 + [False] * 28, [True] * 20 + [False] * 2 + [True] * 12 + [False] * 16
    )
    assert (found.fixed, found.broken, found.difference) == (12, 2, 0.2)
    assert (found.low, found.high) == pytest.approx((0.0562, 0.3292), abs=5e-5)
    assert mcnemar([], []) == (0, 0, 1.0, None, None, None)


def test_clustered_is_the_fit_on_single_rows() -> None:
    known = [(9, 10), (12, 30), (25, 25), (1, 8)]
    rows = [
        (float(i < passed), family)
        for family, (passed, size) in enumerate(known)
        for i in range(size)
    ]
    values, groups = (np.array(column) for column in zip(*rows, strict=True))
    fit = OLS(values, np.ones(len(rows))).fit(
        cov_type="cluster", cov_kwds={"groups": groups}, use_t=True
    )
    found = clustered(known)
    assert found is not None
    value, n = 47 / 73, 73
    variance = found.design_effect * value * (1 - value) / n
    assert variance == pytest.approx(fit.bse[0] ** 2, rel=1e-9)
    # t at 97.5% with 3 and 72 degrees, from printed tables.
    assert found.effective_n == pytest.approx(
        n / found.design_effect * (1.9935 / 3.1824) ** 2, rel=1e-3
    )
    # Wilson's limits are where the distance to the value is z standard errors.
    for limit in (found.low, found.high):
        error = (limit * (1 - limit) / found.effective_n) ** 0.5
        assert abs(limit - value) / error == pytest.approx(1.959964, rel=1e-6)


@given(families)
def test_clustered_is_never_narrower_than_wilson(known: list[tuple[int, int]]) -> None:
    total, n = sum(k for k, _ in known), sum(size for _, size in known)
    low, high = wilson(total, n)
    found = clustered([*known, (0, 0)])
    assert found is not None
    assert found.families == len(known), "a family without a denominator tells nothing"
    assert 0 <= found.low <= low + 1e-9 and high - 1e-9 <= found.high <= 1
    assert found.low <= total / n <= found.high
    assert 0 < found.effective_n <= n


def test_clustered_at_the_ends() -> None:
    """No family failed: the variance is 0, and few families still say less than many."""
    few, many = clustered([(50, 50)] * 2), clustered([(5, 5)] * 20)
    assert few is not None and many is not None
    assert few.low < many.low < wilson(100, 100)[0]
    assert few.high == many.high == 1
    nearly = clustered([(5, 5)] * 19 + [(4, 5)])
    assert nearly is not None
    assert many.effective_n == pytest.approx(nearly.effective_n, rel=0.02), "no jump below 100%"
    none = clustered([(0, 5)] * 20)
    assert none is not None
    assert (none.low, none.high) == pytest.approx((1 - many.high, 1 - many.low))


def test_families_that_agree_exactly_give_wilson() -> None:
    assert clustered([(5, 10)] * 4) == pytest.approx((4, 0, 40, *wilson(20, 40)))


@pytest.mark.parametrize("known", [[], [(3, 4)], [(3, 4), (0, 0)]])
def test_one_family_has_no_clustered_interval(known: list[tuple[int, int]]) -> None:
    assert clustered(known) is None


def test_clustered_covers_where_wilson_does_not() -> None:
    """Ten families with rates of their own, around a true rate of 0.7."""
    random = np.random.default_rng(11)
    by_family = by_wilson = 0
    draws = 400
    for _ in range(draws):
        passed = random.binomial(30, random.beta(7, 3, size=10)).tolist()
        found = clustered([(k, 30) for k in passed])
        assert found is not None
        low, high = wilson(sum(passed), 300)
        by_family += found.low <= 0.7 <= found.high
        by_wilson += low <= 0.7 <= high
    assert by_family / draws > 0.92 > 0.85 > by_wilson / draws
