"""Which cure? One row for each arm: its rates, its retention, and what one of its answers costs.

arm          format_success_rate  exact_match_rate  against base [95%] ...      p  tokens  seconds
base         0.010 [0.003, 0.036] 0.000 [...]                                        91.2    0.31
constrained  0.990 [0.964, 0.997] 0.120 [...]       +0.980 [+0.948, ...]   3e-59     60.0    0.44

Below it stands which arms cannot be told apart, and how many prompts that would take.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from fmtharness.harness.judging.statistics import Paired, pairs_needed
from fmtharness.harness.records import Metric
from fmtharness.harness.report.arms import Answers, pairs_of
from fmtharness.harness.report.comparison import change_of, paired, signed
from fmtharness.harness.report.retention import Retained
from fmtharness.harness.report.tables import named, shown, table

SIGNIFICANT = 0.05
DIFFERENCES = (0.01, 0.02, 0.05, 0.10)
"""The differences that a plan is made for."""
KEPT = ("unasked_format_rate", "loop_rate", "perplexity_ratio")


class Cure(NamedTuple):
    """One arm, and what its answers cost."""

    name: str
    answers: Answers
    retained: Retained | None
    tokens: float | None
    """Mean tokens of an answer."""
    seconds: float | None
    """Wall time over prompts: many may have been answered at once."""
    cost: float | None
    """For 1,000 prompts, where the backend has prices."""

    @property
    def headlines(self) -> list[Metric]:
        """The headline rate of each evaluator; one of several formats is pooled."""
        tally = self.answers.tally
        pooled = {each.name: each for each in tally.pooled()}
        first = [metrics[0] for metrics in tally.metrics().values()]
        return [*{each.name: pooled.get(each.name, each) for each in first}.values()]


def cures_table(cures: Sequence[Cure], *, markdown: bool = False) -> str:
    """A row for each arm; the others are tested against the first by the first rate."""
    first = cures[0]
    rates = [each.name for each in first.headlines]
    kept = [name for name in KEPT if any(name in _numbers(each) for each in cures)]
    costs = [name for name in ("tokens", "seconds", "cost") if any(getattr(c, name) for c in cures)]
    rows = []
    for cure in cures:
        by_name = {each.name: each for each in cure.headlines}
        test = None if cure is first else _test(first, cure)
        row = [named(cure.name), *(shown(by_name[name]) for name in rates)]
        row += [_change(first, test), f"{test.p_value:.2g}" if test else ""]
        row += [_number(_numbers(cure).get(name)) for name in kept]
        rows.append(row + [_number(getattr(cure, name)) for name in costs])
    titles = {"seconds": "seconds/prompt", "tokens": "tokens/answer", "cost": "cost/1,000"}
    headers = ["arm", *(f"{name} [95%]" for name in rates)]
    headers += [f"against {named(first.name)} [95%]", "p (McNemar)", *kept]
    return table([*headers, *(titles[name] for name in costs)], rows, markdown=markdown)


def told_apart(cures: Sequence[Cure]) -> str:
    """Which arms these prompts cannot tell apart, and how many prompts would; empty if none."""
    lines = []
    for one, other in itertools.combinations(cures, 2):
        test, n = _test(one, other), _pairs(one, other)
        if test.p_value < SIGNIFICANT or not n or test.difference is None:
            continue
        said = f"{one.name} and {other.name} cannot be told apart on {n} prompts"
        change = f" ({signed((test.difference, test.low or 0.0, test.high or 0.0))})"
        if test.difference == 0:
            lines.append(f"{said}{change}.")
            continue
        needed = pairs_needed((test.fixed + test.broken) / n, test.difference)
        lines.append(f"{said}{change}; a difference of that size would take about {needed:,}.")
    return "\n".join(lines)


def plan(cures: Sequence[Cure]) -> str:
    """For each arm against the first, how many prompts would show differences of several sizes."""
    first, rows = cures[0], []
    for cure in cures[1:]:
        test, n = _test(first, cure), _pairs(first, cure)
        share = (test.fixed + test.broken) / n if n else 0.0
        needed = [f"{pairs_needed(max(share, each), each):,}" for each in DIFFERENCES]
        rows.append([named(cure.name), f"{share:.3f}", *needed])
    headers = ["arm", f"judged unlike {named(first.name)}"]
    return table([*headers, *(f"+/- {each:.2f}" for each in DIFFERENCES)], rows)


def _numbers(cure: Cure) -> dict[str, float]:
    return cure.retained.numbers if cure.retained else {}


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _test(one: Cure, other: Cure) -> Paired:
    return paired(pairs_of(one.answers, other.answers, _judges(one)))


def _pairs(one: Cure, other: Cure) -> int:
    return len(pairs_of(one.answers, other.answers, _judges(one)))


def _judges(cure: Cure) -> list[str]:
    """The evaluators whose headline is the arm's first rate."""
    rates = cure.answers.tally.rates
    first = next(iter(rates.values()))[0].name
    return [name for name, (headline, *_) in rates.items() if headline.name == first]


def _change(first: Cure, test: Paired | None) -> str:
    headline = next(iter(first.answers.tally.rates.values()))[0]
    return signed(change_of(headline, test)) if test else ""
