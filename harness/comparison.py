"""Base against adapter on the same Examples: the rates side by side, then what became of each.

metric               base                   tuned                  fixed  broken  p
format_success_rate  0.410 [0.319, 0.508]   0.980 [0.930, 0.994]   57     0       1.4e-17
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from harness.contracts import Evaluator
from harness.judging import tally
from harness.records import Completion, Example, Verdict
from harness.statistics import mcnemar
from harness.tables import shown, table


class Arm(NamedTuple):
    """One side of a comparison; both sides hold the same Examples in the same order."""

    completions: Sequence[Completion]
    verdicts: Sequence[Verdict]


def rates_side_by_side(
    evaluators: Sequence[Evaluator], base: Arm, tuned: Arm, *, markdown: bool = False
) -> str:
    """Every rate before and after; where a headline is a share of passes, also the paired test.

    The test takes the Examples that both sides could score.
    """
    before = tally(evaluators, base.verdicts).metrics()
    after = tally(evaluators, tuned.verdicts).metrics()
    rows = []
    for evaluator in evaluators:
        pairs = zip(before[evaluator.name], after[evaluator.name], strict=True)
        for place, (old, new) in enumerate(pairs):
            change = ""
            if old.value is not None and new.value is not None:
                change = f"{new.value - old.value:+.3f}"
            test = ["", "", ""]
            if place == 0:
                both = _scored_twice(evaluator.name, base.verdicts, tuned.verdicts)
                paired = mcnemar([b for b, _ in both], [a for _, a in both])
                test = [str(paired.fixed), str(paired.broken), f"{paired.p_value:.2g}"]
            rows.append([old.name, shown(old), shown(new), change, *test])
    headers = ["metric", "base [95%]", "tuned [95%]", "change", "fixed", "broken", "p (McNemar)"]
    return table(headers, rows, markdown=markdown)


def _scored_twice(
    evaluator: str, base: Iterable[Verdict], tuned: Iterable[Verdict]
) -> list[tuple[bool, bool]]:
    old = {v.id: v.passed for v in base if v.evaluator == evaluator and v.passed is not None}
    new = {v.id: v.passed for v in tuned if v.evaluator == evaluator and v.passed is not None}
    return [(old[i], new[i]) for i in old if i in new]


def diffs(
    examples: Sequence[Example], base: Arm, tuned: Arm, n: int, *, markdown: bool = False
) -> str:
    """Before and after of n Examples, those whose verdicts changed first."""
    before, after = _by_id(base), _by_id(tuned)
    ranked = sorted(examples, key=lambda e: before[e.id][1] == after[e.id][1])
    show = _markdown if markdown else _text
    return "\n\n".join(show(e, before[e.id], after[e.id]) for e in ranked[:n])


Side = tuple[Completion, Mapping[str, str]]


def _by_id(arm: Arm) -> dict[str, Side]:
    judged: dict[str, dict[str, str]] = {}
    for verdict in arm.verdicts:
        said = "passed" if verdict.passed else ", ".join(verdict.labels) or "failed"
        judged.setdefault(verdict.id, {})[verdict.evaluator] = said
    return {c.example_id: (c, judged.get(c.example_id, {})) for c in arm.completions}


def _sides(example: Example, base: Side, tuned: Side) -> list[tuple[str, str]]:
    parts = [("prompt", example.prompt[-1].content), ("target", example.completion)]
    for name, (completion, verdicts) in (("base", base), ("tuned", tuned)):
        said = "; ".join(f"{evaluator}: {labels}" for evaluator, labels in verdicts.items())
        parts.append((f"{name} ({completion.finish_reason or 'text'}; {said})", completion.text))
    return parts


def _text(example: Example, base: Side, tuned: Side) -> str:
    lines = [f"== {example.id}"]
    for heading, text in _sides(example, base, tuned):
        lines += [f"{heading}:", textwrap.indent(text, "    ", lambda _: True)]
    return "\n".join(lines)


def _markdown(example: Example, base: Side, tuned: Side) -> str:
    lines = [f"### {example.id}"]
    for heading, text in _sides(example, base, tuned):
        # A fence longer than any in the text keeps a fenced completion inside its block.
        ticks = max((len(run) for run in text.split() if set(run) == {"`"}), default=0)
        fence = "`" * max(4, ticks + 1)
        lines += ["", f"**{heading}**", "", f"{fence}text", text, fence]
    return "\n".join(lines)
