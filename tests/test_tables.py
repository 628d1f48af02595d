"""The tables and the JSON document of one tally: stops, slices, intervals by family."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import msgspec
import pytest

from fmtharness.harness.judging.statistics import rate
from fmtharness.harness.judging.tally import Tally, tally
from fmtharness.harness.records import Completion, Example
from fmtharness.harness.report.tables import (
    grouped,
    metrics_json,
    metrics_table,
    named,
    shown,
    table,
)
from tests.fakes import Picky, example, verdict


class Second(Picky):
    """Another evaluator with the same metric."""

    name: ClassVar[str] = "second"


def tagged(name: str, **tags: Any) -> Example:
    return msgspec.structs.replace(example(name), tags=tags)


def rows(text: str, first: str) -> list[list[str]]:
    """The cells of the table whose header starts with this."""
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(first))
    found = []
    for line in lines[at + 2 :]:
        if not line:
            break
        found.append(line.split())
    return found


def judged(finish_reasons: list[Any], **tags: list[Any]) -> Tally:
    """Six verdicts of picky: e0 and e1 failed, e2 to e4 passed, e5 unscored."""
    known = {
        f"e{i}": tagged(f"e{i}", **{name: values[i] for name, values in tags.items()})
        for i in range(6)
    }
    passed = [False, False, True, True, True, None]
    answers = [
        Completion(example_id=name, text="", finish_reason=reason)
        for name, reason in zip(known, finish_reasons, strict=True)
    ]
    verdicts = [verdict(name, "picky", p) for name, p in zip(known, passed, strict=True)]
    return tally([Picky()], verdicts, known if tags else {}, answers)


STOPS = ["length", "length", "stop", "stop", None, "error"]
FAMILIES = ["edit", "table", "edit", "edit", "table", "table"]


def test_without_tags_and_reasons_there_is_only_the_first_table() -> None:
    shown = metrics_table(judged([None] * 6))
    assert shown.split("\n\n")[1:] == ["picky: 1 unscored, the first because it rained"]
    assert rows(shown, "evaluator") == [
        ["picky", "short_rate", "0.600", "[0.231,", "0.882]", "3/5"]
    ]


def test_stop_matrix() -> None:
    sums = judged(STOPS)
    assert rows(metrics_table(sums), "evaluator    finish_reason") == [
        ["picky", "stop", "2", "0", "0"],
        ["picky", "length", "0", "2", "0"],
        ["picky", "error", "0", "0", "1"],
        ["picky", "unknown", "1", "0", "0"],
    ]
    stops: Any = metrics_json(sums)["picky"]
    assert stops["stops"]["length"] == {"passed": 0, "failed": 2, "unscored": 0}
    assert list(stops["stops"]) == ["stop", "length", "error", "unknown"]


def test_slices() -> None:
    sums = judged(STOPS, family=FAMILIES, hard_negatives=[["fence"], [], [], [], [], []])
    shown = metrics_table(sums)
    assert "picky: short_rate [95% interval]" in shown
    assert rows(shown, "dimension") == [
        ["family", "edit", "0.667", "[0.208,", "0.939]", "2/3"],
        ["table", "0.500", "[0.095,", "0.905]", "1/2"],
        ["hard_negative", "fence", "0.000", "[0.000,", "0.793]", "0/1"],
        ["none", "0.750", "[0.301,", "0.954]", "3/4"],
    ], "format has one value and tells nothing"
    assert "dimension" not in metrics_table(sums, slices=False)
    document: Any = metrics_json(sums)["picky"]
    assert list(document["slices"]) == ["format", "family", "hard_negative"]
    metric = document["slices"]["family"]["edit"]["short_rate"]
    assert list(metric) == ["value", "numerator", "denominator", "low", "high"]
    assert (metric["numerator"], metric["denominator"]) == (2, 3)


def test_the_interval_by_family() -> None:
    sums = judged(STOPS, family=FAMILIES)
    header, _, row = metrics_table(sums).splitlines()[:3]
    assert header.split("  ")[-1].strip() == "by family [95%]"
    found: Any = metrics_json(sums)["picky"]
    clustered = found["clustered"]["short_rate"]
    assert set(clustered) == {"families", "design_effect", "effective_n", "low", "high"}
    assert row.endswith(f"[{clustered['low']:.3f}, {clustered['high']:.3f}]")
    assert clustered["families"] == 2 and clustered["low"] < 0.231 and clustered["high"] > 0.882
    alone = judged(STOPS, family=["edit"] * 6)
    assert "by family" not in metrics_table(alone)
    assert "clustered" not in str(metrics_json(alone)["picky"])


def test_two_evaluators_with_one_metric_keep_their_names() -> None:
    known = {"a": tagged("a", family="x"), "b": tagged("b", family="y")}
    verdicts = [verdict(i, e, True) for i in known for e in ("picky", "second")]
    shown = metrics_table(tally([Picky(), Second()], verdicts, known))
    assert "picky: short_rate" in shown and "second: short_rate" in shown


def test_markdown() -> None:
    shown = metrics_table(judged(STOPS, family=FAMILIES), markdown=True)
    tables = [part.splitlines() for part in shown.split("\n\n") if part.startswith("|")]
    assert len(tables) == 3
    assert all(lines[1].startswith("|--") for lines in tables)


def test_a_wild_tag_stays_on_its_line() -> None:
    assert named("a\n| b\t c") == "a | b c"
    assert named("x" * 90) == "x" * 37 + "..."
    sums = judged(STOPS, family=["a\nb", "y" * 500, *FAMILIES[2:]])
    assert all(len(line) < 120 for line in metrics_table(sums).splitlines())
    assert json.loads(json.dumps(metrics_json(sums))) == metrics_json(sums)


@pytest.mark.parametrize(
    ("firsts", "shown"),
    [("aabb", ["a", "", "b", ""]), ("aba", ["a", "b", "a"]), ("", [])],
)
def test_grouped(firsts: str, shown: list[str]) -> None:
    assert [row[0] for row in grouped([[first, "x"] for first in firsts])] == shown


@pytest.mark.parametrize(
    ("numerator", "denominator", "text"),
    [
        (97, 100, "0.970 [0.915, 0.990]"),
        (0, 0, "-"),
        (30_000, 30_000, "1.0000 [0.9999, 1.0000]"),
        (30_000, 30_001, "0.99997 [0.99981, 0.99999]"),
        (1, 1_000_000, "0.000001 [0.000000, 0.000006]"),
    ],
)
def test_an_interval_is_never_shown_as_0_wide(numerator: int, denominator: int, text: str) -> None:
    assert shown(rate("x", numerator, denominator)) == text


def test_a_bar_in_a_cell_stays_in_its_cell() -> None:
    assert table(["x", "y"], [["a|b", "c"]], markdown=True).splitlines()[-1].count("\\|") == 1
