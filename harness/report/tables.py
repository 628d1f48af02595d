"""Tables for people, as text or as Markdown, and the same as plain data for `--json`.

evaluator    metric               value [95% interval]  count   by family [95%]
json_strict  format_success_rate  0.970 [0.915, 0.990]  97/100  [0.871, 0.994]

After the rates come the finish reasons and the slices. Tables of two sides are in
fmtharness.harness.report.comparison.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from fmtharness.harness.judging.tally import OUTCOMES, Tally
from fmtharness.harness.records import Metric
from fmtharness.harness.text import markdown as as_markdown
from fmtharness.harness.text import one_line, visible

STOPS = ("stop", "length", "error")
"""The finish reasons in the order of the table; others follow, `unknown` among them."""
COMPLETIONS = "completions"
"""Takes the place of an evaluator for a rate of the completions themselves."""
WIDEST = 40
MOST_OF_A_REASON = 1_000


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, markdown: bool = False) -> str:
    """Rows under headers; all cells are text, and shown as one line each."""
    style, shows = ("github", as_markdown) if markdown else ("simple", one_line)
    cells = [[shows(cell) for cell in row] for row in rows]
    return tabulate(cells, [*map(shows, headers)], tablefmt=style, disable_numparse=True)


def shown(metric: Metric) -> str:
    """`0.970 [0.915, 0.990]`, or `-` if nothing was scored."""
    value, low, high = metric.value, metric.low, metric.high
    if value is None or low is None or high is None:
        return "-"
    # Enough digits that an interval never looks 0 wide, and 0.9999 does not look like 1.
    for digits in range(3, 10):
        ends = f"{low:.{digits}f}", f"{value:.{digits}f}", f"{high:.{digits}f}"
        if ends[0] != ends[2] and (float(ends[1]) in (0, 1)) == (value in (0, 1)):
            break
    return f"{ends[1]} [{ends[0]}, {ends[2]}]"


def counted(metric: Metric) -> str:
    """`97/100`."""
    return f"{metric.numerator}/{metric.denominator}"


def named(value: str) -> str:
    """A slice's value on one line, cut if it is long; a tag may hold any text."""
    line = visible(" ".join(value.split()))
    return line if len(line) <= WIDEST else line[: WIDEST - 3] + "..."


def metrics_table(tally: Tally, *, slices: bool = True, markdown: bool = False) -> str:
    """The rates of one set of Verdicts, the labels, unscored counts, finish reasons and slices."""
    parts = [_rates(tally, markdown), "\n".join(remarks(tally)), _stops(tally, markdown)]
    if slices:
        parts += [_slices(tally, name, markdown) for name in tally.rates]
    return "\n\n".join(filter(None, parts))


def _rates(tally: Tally, markdown: bool) -> str:
    rows = [["all formats", m.name, shown(m), counted(m)] for m in tally.pooled()]
    for evaluator, metrics in tally.metrics().items():
        by_family = tally.clustered(evaluator)
        for metric in metrics:
            row = [evaluator, metric.name, shown(metric), counted(metric)]
            if interval := by_family.get(metric.name):
                row.append(f"[{interval.low:.3f}, {interval.high:.3f}]")
            rows.append(row)
    for metric in tally.of_completions():
        rows.append([COMPLETIONS, metric.name, shown(metric), counted(metric)])
    headers = ["evaluator", "metric", "value [95% interval]", "count"]
    if any(len(row) > len(headers) for row in rows):
        headers.append("by family [95%]")
    return table(headers, rows, markdown=markdown)


def remarks(tally: Tally) -> list[str]:
    """The labels by evaluator, the most frequent first, and what is unscored."""
    lines = []
    for evaluator, labels in tally.labels.items():
        if labels:
            ranked = sorted(labels.items(), key=lambda item: (-item[1], item[0]))
            counted = ", ".join(f"{one_line(label)} {count}" for label, count in ranked)
            lines.append(f"{evaluator} labels: {counted}")
    return [*lines, *unscored_lines(tally)]


def unscored_lines(tally: Tally) -> list[str]:
    """For each evaluator with unscored Verdicts: how many, and the reason of the first."""
    return [
        f"{evaluator}: {tally.counts[evaluator]['unscored']} unscored, the first because "
        f"{one_line(reason, MOST_OF_A_REASON)}"
        for evaluator, reason in tally.reason.items()
    ]


def _stops(tally: Tally, markdown: bool) -> str:
    """The stop matrix; empty if no finish reason is known."""
    found = {evaluator: stop_matrix(tally, evaluator) for evaluator in tally.stops}
    if all(reason == "unknown" for matrix in found.values() for reason in matrix):
        return ""
    rows = [
        [evaluator, reason, *map(str, outcomes.values())]
        for evaluator, matrix in found.items()
        for reason, outcomes in matrix.items()
    ]
    return table(["evaluator", "finish_reason", *OUTCOMES], rows, markdown=markdown)


def stop_matrix(tally: Tally, evaluator: str) -> dict[str, dict[str, int]]:
    """By finish reason how many passed, failed and were unscored."""
    counts = tally.stops[evaluator]
    others = sorted({reason for reason, _ in counts} - {*STOPS})
    return {
        reason: {outcome: counts[reason, outcome] for outcome in OUTCOMES}
        for reason in (*STOPS, *others)
        if any(counts[reason, outcome] for outcome in OUTCOMES)
    }


def _slices(tally: Tally, evaluator: str, markdown: bool) -> str:
    """The headline rate by slice; empty if no dimension has two values."""
    rows = [
        [dimension, named(value), shown(metrics[0]), counted(metrics[0])]
        for dimension, values in telling(tally.sliced(evaluator)).items()
        for value, metrics in values.items()
    ]
    if not rows:
        return ""
    headline = tally.rates[evaluator][0].name
    headers = ["dimension", "value", f"{evaluator}: {headline} [95% interval]", "count"]
    return table(headers, grouped(rows), markdown=markdown)


def telling(slices: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The dimensions with two values or more; one value would only repeat the overall rate."""
    return {dimension: values for dimension, values in slices.items() if len(values) > 1}


def grouped(rows: Sequence[list[str]]) -> list[list[str]]:
    """The rows, with the first cell shown only where it changes."""
    firsts = ["", *(row[0] for row in rows)]
    return [
        ["" if row[0] == above else row[0], *row[1:]]
        for row, above in zip(rows, firsts, strict=False)
    ]


def metrics_json(tally: Tally) -> Mapping[str, object]:
    """The same as plain data for `--json`, with every rate in every slice.

    Under `completions` are their own rates: of reasoning, of a grammar's interventions.
    """
    document: dict[str, dict[str, object]] = {}
    for evaluator, metrics in tally.metrics().items():
        document[evaluator] = {
            "metrics": _plain(metrics),
            "labels": dict(tally.labels[evaluator]),
            "scored": tally.counts[evaluator]["scored"],
            "unscored": tally.counts[evaluator]["unscored"],
            "stops": stop_matrix(tally, evaluator),
            "slices": {
                dimension: {value: _plain(metrics) for value, metrics in values.items()}
                for dimension, values in tally.sliced(evaluator).items()
            },
        }
        if by_family := tally.clustered(evaluator):
            document[evaluator]["clustered"] = {
                name: interval._asdict() for name, interval in by_family.items()
            }
    if own := tally.of_completions():
        document[COMPLETIONS] = {"metrics": _plain(own)}
    return document


def _plain(metrics: Sequence[Metric]) -> dict[str, dict[str, float | int | None]]:
    return {
        metric.name: {
            "value": metric.value,
            "numerator": metric.numerator,
            "denominator": metric.denominator,
            "low": metric.low,
            "high": metric.high,
        }
        for metric in metrics
    }
