"""Tables for people: rates with their counts and intervals, as text or as Markdown.

metric               value                  passed  ...
format_success_rate  0.970 [0.915, 0.990]   97/100
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tabulate import tabulate

from harness.judging import Tally
from harness.records import Metric


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, markdown: bool = False) -> str:
    """Rows under headers; the cells are text already."""
    style = "github" if markdown else "simple"
    return tabulate(rows, headers, tablefmt=style, disable_numparse=True)


def shown(metric: Metric) -> str:
    """`0.970 [0.915, 0.990]`, or `-` where nothing was scored."""
    if metric.value is None:
        return "-"
    return f"{metric.value:.3f} [{metric.low:.3f}, {metric.high:.3f}]"


def metrics_table(tally: Tally, *, markdown: bool = False) -> str:
    """Every rate of one set of Verdicts, then the labels and what could not be scored."""
    rows = [
        [evaluator, metric.name, shown(metric), f"{metric.numerator}/{metric.denominator}"]
        for evaluator, metrics in tally.metrics().items()
        for metric in metrics
    ]
    headers = ["evaluator", "metric", "value [95% interval]", "count"]
    lines = [table(headers, rows, markdown=markdown)]
    for evaluator, labels in tally.labels.items():
        if labels:
            ranked = sorted(labels.items(), key=lambda item: (-item[1], item[0]))
            counted = ", ".join(f"{label} {count}" for label, count in ranked)
            lines.append(f"{evaluator} labels: {counted}")
    for evaluator, reason in tally.reason.items():
        unscored = tally.counts[evaluator]["unscored"]
        lines.append(f"{evaluator}: {unscored} unscored, the first because {reason}")
    return "\n\n".join([lines[0], "\n".join(lines[1:])]).rstrip()


def metrics_json(tally: Tally) -> Mapping[str, object]:
    """The same as plain data for `--json`."""
    return {
        evaluator: {
            "metrics": {metric.name: _plain(metric) for metric in metrics},
            "labels": dict(tally.labels[evaluator]),
            "scored": tally.counts[evaluator]["scored"],
            "unscored": tally.counts[evaluator]["unscored"],
        }
        for evaluator, metrics in tally.metrics().items()
    }


def _plain(metric: Metric) -> dict[str, float | int | None]:
    return {
        "value": metric.value,
        "numerator": metric.numerator,
        "denominator": metric.denominator,
        "low": metric.low,
        "high": metric.high,
    }
