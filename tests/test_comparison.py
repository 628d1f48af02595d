"""Base against tuned: the paired table and the texts before and after."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

from fmtharness.harness.contracts import Rate
from fmtharness.harness.records import Completion, Example
from fmtharness.harness.report.comparison import (
    Answered,
    diffs,
    formats_side_by_side,
    rates_side_by_side,
    slices_side_by_side,
    stops_side_by_side,
)
from tests.fakes import Picky, example, verdict

FENCED = "`````\nx\n`````"


def arm(name: str, *passed: bool | None, text: str = "text of") -> Answered:
    return Answered(
        [
            Completion(example_id=f"e{i}", text=f"{text} {name} {i}", finish_reason="stop")
            for i in range(len(passed))
        ],
        [
            verdict(f"e{i}", "picky", p, labels=() if p else ("long", "dull"))
            for i, p in enumerate(passed)
        ],
    )


def examples(n: int) -> list[Example]:
    return [example(f"e{i}") for i in range(n)]


def test_rates_side_by_side() -> None:
    base = arm("base", False, False, False, True, None, True)
    tuned = arm("tuned", True, True, False, False, True, True)
    shown = rates_side_by_side([Picky()], base, tuned)
    header, _, row = shown.splitlines()
    assert "McNemar" in header
    cells = row.split("  ")
    cells = [cell.strip() for cell in cells if cell.strip()]
    assert cells[0] == "short_rate"
    assert cells[1].startswith("0.400 [0.118, 0.769]")
    assert cells[2].startswith("0.667 [0.300, 0.903]")
    # e4 was unscored before, so it is no pair; e0 and e1 were fixed, e3 broke: p = 2 * 4/8, and
    # the change on the five pairs is (2 - 1) / 5.
    change, *test = cells[3:]
    assert re.fullmatch(r"\+0\.200 \[-0\.\d{3}, \+0\.\d{3}\]", change)
    assert test == ["2", "1", "1"]


class JsonPicky(Picky):
    """It judges JSON alone."""

    formats: ClassVar[frozenset[str]] = frozenset({"json"})


class YamlPicky(Picky):
    """It judges YAML alone."""

    name: ClassVar[str] = "picky2"
    formats: ClassVar[frozenset[str]] = frozenset({"yaml"})


def test_formats_side_by_side() -> None:
    def both(*passed: tuple[bool, bool]) -> Answered:
        verdicts = [
            verdict(f"e{i}{name}", name, each)
            for i, pair in enumerate(passed)
            for name, each in zip(("picky", "picky2"), pair, strict=True)
        ]
        return Answered([], verdicts)

    base, tuned = both((False, False), (False, True)), both((True, False), (True, True))
    rows = formats_side_by_side([JsonPicky(), YamlPicky()], base, tuned).splitlines()[2:]
    cells = [[cell.strip() for cell in row.split("  ") if cell.strip()] for row in rows]
    counts = [[part.split("] ")[1] for part in row[-6:-4]] for row in cells]
    assert [row[-7] for row in cells] == ["json", "yaml", "all"]
    assert counts == [["0/2", "2/2"], ["1/2", "1/2"], ["1/4", "3/4"]]
    assert [row[-3:] for row in cells] == [["2", "0", "0.5"], ["0", "0", "1"], ["2", "0", "0.5"]]
    assert "evaluator" in rates_side_by_side([JsonPicky(), YamlPicky()], base, tuned)
    assert formats_side_by_side([JsonPicky()], Answered([], []), Answered([], [])) == ""


class Failing(Picky):
    """Its headline is the share that fails."""

    rates: ClassVar[tuple[Rate, ...]] = (Rate("long_rate", "failed"), Rate("short_rate", "passed"))


class Fields(Picky):
    """Its headline is no share of completions."""

    rates: ClassVar[tuple[Rate, ...]] = (Rate("field_rate", "right", "all"),)


@pytest.mark.parametrize(
    ("evaluator", "changes"),
    [
        (Picky(), ["+0.200 [+0.056, +0.329]"]),
        (Failing(), ["-0.200 [-0.329, -0.056]", "+0.200"]),
        (Fields(), [""]),
    ],
)
def test_the_change_has_the_sign_of_its_rate(evaluator: Picky, changes: list[str]) -> None:
    """20 passed twice, 12 were fixed, 2 broke: in Newcombe's table III, 0.0562 to 0.3292."""
    base = arm("base", *[True] * 20, *[False] * 12, *[True] * 2, *[False] * 16)
    tuned = arm("tuned", *[True] * 32, *[False] * 18)
    shown = rates_side_by_side([evaluator], base, tuned, markdown=True)
    cells = [line.split("|")[4].strip() for line in shown.splitlines()[2:]]
    assert cells == changes
    assert "-0.000" not in rates_side_by_side([evaluator], base, base)


def test_by_slice() -> None:
    families = ["edit", "edit", "table", "table", "table"]
    asked = [
        msgspec.structs.replace(one, tags={"family": family, "strictness": "hard"})
        for one, family in zip(examples(5), families, strict=True)
    ]
    base = arm("base", False, False, False, True, None)
    tuned = arm("tuned", True, True, False, False, True)
    shown = slices_side_by_side([Picky()], asked, base, tuned, markdown=True)
    header, _, *lines = shown.splitlines()
    assert "picky: short_rate, base [95%]" in header
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [row[:4] for row in found] == [
        ["family", "edit", "0.000 [0.000, 0.658] 0/2", "1.000 [0.342, 1.000] 2/2"],
        ["", "table", "0.500 [0.095, 0.905] 1/2", "0.333 [0.061, 0.792] 1/3"],
    ], "strictness has one value and tells nothing"
    assert found[0][4].startswith("+1.000 [")
    assert found[1][4].startswith("-0.500 ["), "two pairs, one of them broke"
    assert slices_side_by_side([Picky()], examples(5), base, tuned) == ""


def test_a_slice_that_one_side_could_not_score() -> None:
    asked = [msgspec.structs.replace(e, tags={"family": e.id}) for e in examples(2)]
    shown = slices_side_by_side([Picky()], asked, arm("b", None, True), arm("t", True, True))
    first = shown.splitlines()[2].split()
    assert first == ["family", "e0", "-", "0/0", "1.000", "[0.207,", "1.000]", "1/1"]


def test_the_table_in_the_readme_adds_up() -> None:
    """Its intervals and tests follow from the counts that it states."""
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    [text] = re.findall(r"<!-- quick-table -->\n```\n(.*?)```", readme, re.DOTALL)
    header, _, *lines = text.splitlines()
    rows = [re.split(r"  +", line) for line in lines]
    assert re.split(r"  +", header)[3] == "change [95%]"
    tested = [row for row in rows if len(row) == 7]
    assert tested
    for name, before, after, change, fixed, broken, p_value in tested:
        failing = name in ("extras_rate", "duplicate_json_objects_rate")
        counts = [[int(n) for n in side.split()[-1].split("/")] for side in (before, after)]
        passed = [n - count if failing else count for count, n in counts]
        n = counts[0][1]
        both = passed[0] - int(broken)
        pairs = [(True, True)] * both + [(False, True)] * int(fixed) + [(True, False)] * int(broken)
        pairs += [(False, False)] * (n - len(pairs))
        evaluator = Failing() if failing else Picky()
        shown = rates_side_by_side(
            [evaluator],
            arm("base", *[before for before, _ in pairs]),
            arm("tuned", *[after for _, after in pairs]),
            markdown=True,
        )
        cells = [cell.strip() for cell in shown.splitlines()[2].strip("|").split("|")]
        assert cells[1:] == [before, after, change, fixed, broken, p_value]
    assert "field_recall" in [row[0] for row in rows]


def test_markdown_table() -> None:
    shown = rates_side_by_side([Picky()], arm("base", True), arm("tuned", True), markdown=True)
    assert shown.splitlines()[1].startswith("|--")
    assert len(shown.splitlines()) == 3


def test_a_side_without_scores_has_a_dash() -> None:
    shown = rates_side_by_side([Picky()], arm("base", None), arm("tuned", True))
    row = shown.splitlines()[-1].split()
    assert row[:2] == ["short_rate", "-"]
    assert row[-3:] == ["0", "0", "1"]


def test_diffs_show_what_changed_first() -> None:
    base, tuned = arm("base", True, False, False), arm("tuned", True, False, True)
    shown = diffs(examples(3), base, tuned, 2)
    headings = [line for line in shown.splitlines() if line.startswith("==")]
    assert headings == ["== e2", "== e0"]
    assert "base (stop; picky: long, dull):\n    text of base 2" in shown
    assert "tuned (stop; picky: passed):\n    text of tuned 2" in shown
    assert 'target:\n    {"a": 1}' in shown
    assert diffs(examples(3), base, tuned, 0) == ""


def test_an_unscored_side_says_so() -> None:
    base = Answered(arm("base", True).completions, [verdict("e0", "picky", None)])
    assert "base (stop; picky: unscored)" in diffs(examples(1), base, arm("tuned", True), 1)


def test_markdown_keeps_fences_inside() -> None:
    base, tuned = arm("base", True, text=FENCED), arm("tuned", True)
    lines = diffs(examples(1), base, tuned, 1, markdown=True).splitlines()
    start = lines.index("`````", lines.index("**base (stop; picky: passed)**"))
    assert lines[start - 1] == "``````text"
    assert "``````" in lines[start:]
    assert "````text" in lines, "other texts keep the usual fence"


def test_a_finish_reason_of_one_side_only() -> None:
    base, tuned = arm("base", False, False), arm("tuned", True, None)
    cut = [msgspec.structs.replace(each, finish_reason="length") for each in base.completions]
    shown = stops_side_by_side([Picky()], Answered(cut, base.verdicts), tuned)
    rows = [line.split() for line in shown.splitlines()[2:]]
    assert rows == [
        ["picky", "length", "0", "2", "0", "0", "0", "0"],
        ["stop", "0", "0", "0", "1", "0", "1"],
    ]
