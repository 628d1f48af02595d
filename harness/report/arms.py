"""Several arms on the same Examples in one table: each rate with its change against the first arm.

evaluator    metric               arm   value [95%]                  change against base [95%] ...
json_strict  format_success_rate  base  0.410 [0.319, 0.508] 41/100
                                  sft   0.980 [0.930, 0.994] 98/100  +0.570 [+0.463, +0.659] ...

The change of a headline rate has its interval and McNemar's exact test, on the Examples whose
answers of both arms were scored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from fmtharness.harness.contracts import Rate
from fmtharness.harness.judging.statistics import Paired
from fmtharness.harness.judging.tally import OUTCOMES, Tally
from fmtharness.harness.records import Metric
from fmtharness.harness.report.comparison import TEST, change_of, difference, paired, signed
from fmtharness.harness.report.consumers import Consumed
from fmtharness.harness.report.tables import (
    COMPLETIONS,
    counted,
    grouped,
    metrics_json,
    named,
    remarks,
    shown,
    stop_matrix,
    table,
    telling,
)


class Answers(NamedTuple):
    """One arm's sums, and whether its answer to each Example passed, by evaluator and id."""

    tally: Tally
    passed: Mapping[str, Mapping[str, bool]]
    consumers: Mapping[str, Consumed] = MappingProxyType({})
    """What real readers made of them, by evaluator, if they were asked."""

    @property
    def scored(self) -> set[str]:
        """The Examples whose answers an evaluator could judge."""
        return set().union(*self.passed.values())


Arms = Mapping[str, Answers]
"""The arms by name; the others are compared with the first."""


def arms_table(arms: Arms, *, slices: bool = True, markdown: bool = False) -> str:
    """The rates side by side, then labels, unscored counts, finish reasons and slices."""
    parts = [_rates(arms, markdown), _remarks(arms), _stops(arms, markdown)]
    if slices:
        parts += [_slices(arms, evaluator, markdown) for evaluator in _first(arms).tally.rates]
    return "\n\n".join(filter(None, parts))


def arms_json(arms: Arms) -> Mapping[str, object]:
    """Each arm as `metrics_json` has it, and its changes against the first arm."""
    base, *others = arms
    return {
        "arms": {name: metrics_json(arm.tally) for name, arm in arms.items()},
        "against": base,
        "changes": {name: _changes(arms[base], arms[name]) for name in others},
    }


def _first(arms: Arms) -> Answers:
    return next(iter(arms.values()))


def _changes(base: Answers, arm: Answers) -> Mapping[str, object]:
    found = {}
    for evaluator, rates in base.tally.rates.items():
        pairs = pairs_of(base, arm, [evaluator])
        test = paired(pairs)
        change = change_of(rates[0], test)
        found[evaluator] = {
            "metric": rates[0].name,
            "pairs": len(pairs),
            "fixed": test.fixed,
            "broken": test.broken,
            "p_value": test.p_value,
            **dict(zip(("difference", "low", "high"), change or (None,) * 3, strict=True)),
        }
    return found


def pairs_of(base: Answers, arm: Answers, evaluators: Iterable[str]) -> list[tuple[bool, bool]]:
    """Whether each Example passed in both arms, if both could be scored."""
    found = []
    for evaluator in evaluators:
        after = arm.passed.get(evaluator, {})
        before = base.passed.get(evaluator, {})
        found += [(passed, after[name]) for name, passed in before.items() if name in after]
    return found


def _rates(arms: Arms, markdown: bool) -> str:
    rates = _first(arms).tally.rates
    rows: list[list[str]] = []
    for place, metric in enumerate(_first(arms).tally.pooled()):
        owners = [name for name, (headline, *_) in rates.items() if headline.name == metric.name]
        headline = rates[owners[0]][0] if owners else None
        metrics = [arm.tally.pooled()[place] for arm in arms.values()]
        rows += _rows("all formats", arms, metrics, headline, owners)
    for evaluator, (headline, *_) in rates.items():
        columns = zip(*(arm.tally.metrics()[evaluator] for arm in arms.values()), strict=True)
        for place, each in enumerate(columns):
            rows += _rows(evaluator, arms, each, None if place else headline, [evaluator])
    own = [metric.name for arm in arms.values() for metric in arm.tally.of_completions()]
    for name in dict.fromkeys(own):
        found = [arm.tally.own(name) for arm in arms.values()]
        rows += _rows(COMPLETIONS, arms, found, None, [])
    change = f"change against {named(next(iter(arms)))} [95%]"
    headers = ["evaluator", "metric", "arm", "value [95%]", change, "pairs", *TEST]
    return table(headers, _leading(rows), markdown=markdown)


def _rows(
    whose: str,
    arms: Arms,
    metrics: Iterable[Metric],
    headline: Rate | None,
    evaluators: Iterable[str],
) -> list[list[str]]:
    """A rate of each arm, with its test if it is a headline rate."""
    rows: list[list[str]] = []
    base: Metric | None = None
    for (name, arm), metric in zip(arms.items(), metrics, strict=True):
        row = [whose, metric.name, named(name), f"{shown(metric)} {counted(metric)}"]
        if base is None:
            base = metric
            rows.append([*row, *[""] * 5])
            continue
        change, test = difference(base, metric), [""] * 4
        if headline:
            pairs = pairs_of(_first(arms), arm, evaluators)
            result = paired(pairs)
            change = signed(change_of(headline, result)) or change
            test = [str(len(pairs)), *(_tested(result) if pairs else "---")]
        rows.append([*row, change, *test])
    return rows


def _tested(result: Paired) -> list[str]:
    return [str(result.fixed), str(result.broken), f"{result.p_value:.2g}"]


def _leading(rows: list[list[str]]) -> list[list[str]]:
    """The rows, with the first two cells shown only where they change."""
    above = ["", ""]
    found = []
    for row in rows:
        same = [cell == before for cell, before in zip(row, above, strict=False)]
        found.append(["" if same[0] else row[0], "" if all(same) else row[1], *row[2:]])
        above = row[:2]
    return found


def _remarks(arms: Arms) -> str:
    lines = []
    for name, arm in arms.items():
        lines += [f"{named(name)}: {line}" for line in remarks(arm.tally)]
    return "\n".join(lines)


def _stops(arms: Arms, markdown: bool) -> str:
    """The stop matrices; empty if no finish reason is known."""
    rows = []
    known = False
    for evaluator in _first(arms).tally.rates:
        for name, arm in arms.items():
            for reason, outcomes in stop_matrix(arm.tally, evaluator).items():
                rows.append([evaluator, named(name), reason, *map(str, outcomes.values())])
                known |= reason != "unknown"
    headers = ["evaluator", "arm", "finish_reason", *OUTCOMES]
    return table(headers, _leading(rows), markdown=markdown) if known else ""


def _slices(arms: Arms, evaluator: str, markdown: bool) -> str:
    """The headline rate of each arm by slice; empty if no dimension has two values."""
    sides = [arm.tally.sliced(evaluator) for arm in arms.values()]
    rows = []
    for dimension, values in telling(sides[0]).items():
        for value in values:
            found = [side.get(dimension, {}).get(value) for side in sides]
            cells = [f"{shown(each[0])} {counted(each[0])}" if each else "-" for each in found]
            rows.append([dimension, named(value), *cells])
    if not rows:
        return ""
    title = f"{evaluator}: {_first(arms).tally.rates[evaluator][0].name}"
    first, *others = map(named, arms)
    headers = ["dimension", "value", f"{title}, {first} [95%]", *(f"{n} [95%]" for n in others)]
    return table(headers, grouped(rows), markdown=markdown)
