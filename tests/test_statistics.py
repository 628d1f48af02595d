"""Intervals against published values, and the exact test against sums done by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.statistics import mcnemar, rate, wilson


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
