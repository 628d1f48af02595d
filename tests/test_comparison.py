"""Base against tuned: the paired table and the texts before and after."""

from __future__ import annotations

from harness.comparison import Arm, diffs, rates_side_by_side
from harness.records import Completion, Example
from tests.fakes import Picky, example, verdict

FENCED = "`````\nx\n`````"


def arm(name: str, *passed: bool | None, text: str = "text of") -> Arm:
    return Arm(
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
    # e4 was unscored before, so it is no pair; e0 and e1 were fixed, e3 broke: p = 2 * 4/8.
    assert cells[3:] == ["+0.267", "2", "1", "1"]


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
    base = Arm(arm("base", True).completions, [verdict("e0", "picky", None)])
    assert "base (stop; picky: unscored)" in diffs(examples(1), base, arm("tuned", True), 1)


def test_markdown_keeps_fences_inside() -> None:
    base, tuned = arm("base", True, text=FENCED), arm("tuned", True)
    lines = diffs(examples(1), base, tuned, 1, markdown=True).splitlines()
    start = lines.index("`````", lines.index("**base (stop; picky: passed)**"))
    assert lines[start - 1] == "``````text"
    assert "``````" in lines[start:]
    assert "````text" in lines, "other texts keep the usual fence"
