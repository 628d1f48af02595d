"""Base against adapter on the same Examples: the rates side by side, then each one's change.

metric               base [95%]                   tuned [95%]                  change [95%] ...
format_success_rate  0.410 [0.319, 0.508] 41/100  0.980 [0.930, 0.994] 98/100  +0.570 [...] ...

The change of a headline rate has its interval and its test if it is a share of passes or of
failures; other rates have the plain difference.
"""

from __future__ import annotations

import itertools
import re
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from fmtharness.harness.contracts import Evaluator, Rate, formats_of, rates_of
from fmtharness.harness.judging.statistics import Paired, mcnemar
from fmtharness.harness.judging.tally import OUTCOMES, Slice, Tally, slices_of, tally
from fmtharness.harness.records import Completion, Example, Metric, Verdict
from fmtharness.harness.report.tables import (
    COMPLETIONS,
    counted,
    grouped,
    named,
    shown,
    stop_matrix,
    table,
    telling,
)
from fmtharness.harness.text import MOST_OF_A_TEXT, cut, one_line, printable
from fmtharness.harness.text import markdown as as_markdown

SIDES = ("base [95%]", "tuned [95%]", "change [95%]")
TEST = ("fixed", "broken", "p (McNemar)")


class Answered(NamedTuple):
    """One side of a comparison; both sides hold the same Examples in the same order."""

    completions: Sequence[Completion]
    verdicts: Sequence[Verdict]

    @property
    def n(self) -> int:
        """How many completions a prompt has."""
        return 1 + max((each.sample for each in self.completions), default=0)


def rates_side_by_side(
    evaluators: Sequence[Evaluator], base: Answered, tuned: Answered, *, markdown: bool = False
) -> str:
    """Every rate before and after; for a headline that is a share of passes, also the paired test.

    The test and the change with its interval use the Examples that both sides could score; of
    several completions of a prompt, the first.
    """
    sums = _sums(evaluators, base, tuned)
    before, after = (each.metrics() for each in sums)
    rows = []
    for evaluator in evaluators:
        metrics = zip(before[evaluator.name], after[evaluator.name], strict=True)
        for place, (old, new) in enumerate(metrics):
            headline = rates_of(evaluator)[0] if place == 0 else None
            pairs = _scored_twice(evaluator.name, base.verdicts, tuned.verdicts)
            rows.append([evaluator.name, old.name, *_row(old, new, headline, pairs.values())])
    rows += [[COMPLETIONS, *row] for row in _of_completions(base, tuned)]
    headers = ["evaluator", "metric", *SIDES, *TEST]
    if sums[0].pooled():
        return table(headers, grouped(rows), markdown=markdown)
    return table(headers[1:], [row[1:] for row in rows], markdown=markdown)


def formats_side_by_side(
    evaluators: Sequence[Evaluator], base: Answered, tuned: Answered, *, markdown: bool = False
) -> str:
    """The headline rates that formats share, format by format; empty if there is one format."""
    sums = _sums(evaluators, base, tuned)
    before, after = (each.metrics() for each in sums)
    rows = []
    for old, new in zip(*(each.pooled() for each in sums), strict=True):
        shared: Rate | None = None
        pooled: list[tuple[bool, bool]] = []
        for each in evaluators:
            headline = rates_of(each)[0]
            if headline.name != old.name:
                continue
            pairs = _scored_twice(each.name, base.verdicts, tuned.verdicts).values()
            shared = headline
            pooled += pairs
            sides = before[each.name][0], after[each.name][0]
            formats = ", ".join(sorted(formats_of(each) or ()))
            rows.append([old.name, formats, *_row(*sides, headline, pairs)])
        if shared:
            rows.append([old.name, "all", *_row(old, new, shared, pooled)])
    rows += [[name, "all", *cells] for name, *cells in _of_completions(base, tuned)] if rows else []
    headers = ["metric", "format", *SIDES, *TEST]
    return table(headers, grouped(rows), markdown=markdown) if rows else ""


def _sums(
    evaluators: Sequence[Evaluator],
    base: Answered,
    tuned: Answered,
    examples: Mapping[str, Example] | None = None,
) -> list[Tally]:
    n = max(base.n, tuned.n)
    return [tally(evaluators, each.verdicts, examples, n=n) for each in (base, tuned)]


def _of_completions(base: Answered, tuned: Answered) -> list[list[str]]:
    """The rows of the completions' own rates, of reasoning and interventions, if a side has any."""
    n = max(base.n, tuned.n)
    sums = Tally((), n=n), Tally((), n=n)
    for side, arm in zip(sums, (base, tuned), strict=True):
        for completion in arm.completions:
            side.count(completion)
    sides = [side.of_completions() for side in sums]
    names = dict.fromkeys(metric.name for side in sides for metric in side)
    old, new = sums
    return [[name, *_row(old.own(name), new.own(name), None, ())] for name in names]


def _row(
    old: Metric, new: Metric, headline: Rate | None, pairs: Iterable[tuple[bool, bool]]
) -> list[str]:
    """A rate on both sides and its change, with its test if it is a headline rate."""
    change, test = difference(old, new), ["", "", ""]
    if headline:
        found = paired(pairs)
        change = signed(change_of(headline, found)) or change
        test = [str(found.fixed), str(found.broken), f"{found.p_value:.2g}"]
    return [*(f"{shown(side)} {counted(side)}" for side in (old, new)), change, *test]


def stops_side_by_side(
    evaluators: Sequence[Evaluator], base: Answered, tuned: Answered, *, markdown: bool = False
) -> str:
    """Why each side's completions ended, by outcome: "never stopped" is not "malformed"."""
    sides = [tally(evaluators, arm.verdicts, None, arm.completions) for arm in (base, tuned)]
    rows = []
    for evaluator in evaluators:
        matrices = [stop_matrix(side, evaluator.name) for side in sides]
        for reason in dict.fromkeys(itertools.chain(*matrices)):
            counts = [matrix.get(reason, {}).get(o, 0) for matrix in matrices for o in OUTCOMES]
            rows.append([evaluator.name, reason, *map(str, counts)])
    columns = [f"{side} {outcome}" for side in ("base", "tuned") for outcome in OUTCOMES]
    return table(["evaluator", "finish_reason", *columns], grouped(rows), markdown=markdown)


def slices_side_by_side(
    evaluators: Sequence[Evaluator],
    examples: Sequence[Example],
    base: Answered,
    tuned: Answered,
    *,
    markdown: bool = False,
) -> str:
    """Each evaluator's headline rate before and after by slice; empty if there are no slices."""
    known = {example.id: example for example in examples}
    members: dict[Slice, list[str]] = defaultdict(list)
    for example in examples:
        for each in slices_of(example):
            members[each].append(example.id)
    before, after = _sums(evaluators, base, tuned, known)
    tables = []
    for evaluator in evaluators:
        headline = rates_of(evaluator)[0]
        pairs = _scored_twice(evaluator.name, base.verdicts, tuned.verdicts)
        later = after.sliced(evaluator.name)
        rows = []
        for dimension, values in telling(before.sliced(evaluator.name)).items():
            for value, (old, *_) in values.items():
                if value not in later.get(dimension, {}):
                    continue  # a side without an answer in this slice has nothing to compare
                new = later[dimension][value][0]
                inside = {i: pairs[i] for i in members[dimension, value] if i in pairs}
                found = paired(inside.values())
                change = signed(change_of(headline, found)) or difference(old, new)
                sides = [f"{shown(side)} {counted(side)}" for side in (old, new)]
                rows.append([dimension, named(value), *sides, change])
        if rows:
            title = f"{evaluator.name}: {headline.name}"
            headers = ["dimension", "value", f"{title}, {SIDES[0]}", *SIDES[1:]]
            tables.append(table(headers, grouped(rows), markdown=markdown))
    return "\n\n".join(tables)


def difference(old: Metric, new: Metric) -> str:
    """The plain difference of two rates; empty if one has no value."""
    if old.value is None or new.value is None:
        return ""
    return f"{new.value - old.value:+.3f}"


def change_of(headline: Rate, found: Paired) -> tuple[float, float, float] | None:
    """The paired difference of a rate of passes or of failures with its interval; else None."""
    if found.difference is None or found.low is None or found.high is None:
        return None
    if headline == Rate(headline.name, "failed"):
        return 0 - found.difference, 0 - found.high, 0 - found.low
    if headline == Rate(headline.name, "passed"):
        return found.difference, found.low, found.high
    return None


def signed(change: tuple[float, float, float] | None) -> str:
    """`+0.570 [+0.463, +0.659]`, or nothing."""
    return "{:+.3f} [{:+.3f}, {:+.3f}]".format(*change) if change else ""


def paired(pairs: Iterable[tuple[bool, bool]]) -> Paired:
    """The test of pairs that passed, or not, before and after."""
    known = list(pairs)
    return mcnemar([before for before, _ in known], [after for _, after in known])


def _scored_twice(
    evaluator: str, base: Iterable[Verdict], tuned: Iterable[Verdict]
) -> dict[str, tuple[bool, bool]]:
    """Whether an Example passed before and after, by id."""
    old, new = first_passes(base)[evaluator], first_passes(tuned)[evaluator]
    return {i: (old[i], new[i]) for i in old if i in new}


def first_passes(verdicts: Iterable[Verdict]) -> dict[str, dict[str, bool]]:
    """Whether the first scored completion of each prompt passed, by evaluator and id."""
    found: dict[str, dict[str, bool]] = defaultdict(dict)
    for each in verdicts:
        if each.passed is not None:
            found[each.evaluator].setdefault(each.id, each.passed)
    return found


def diffs(
    examples: Sequence[Example], base: Answered, tuned: Answered, n: int, *, markdown: bool = False
) -> str:
    """Before and after of n Examples, those whose verdicts changed first."""
    before, after = _by_id(base), _by_id(tuned)
    ranked = sorted(examples, key=lambda e: before[e.id][1] == after[e.id][1])
    show = _markdown if markdown else _text
    return "\n\n".join(show(e, before[e.id], after[e.id]) for e in ranked[:n])


Side = tuple[Completion, Mapping[str, str]]


def _by_id(arm: Answered) -> dict[str, Side]:
    judged: dict[str, dict[str, str]] = {}
    for verdict in arm.verdicts:
        said = "passed" if verdict.passed else ", ".join(verdict.labels) or "failed"
        judged.setdefault(verdict.id, {}).setdefault(verdict.evaluator, said)
    firsts = (each for each in arm.completions if not each.sample)
    return {each.example_id: (each, judged.get(each.example_id, {})) for each in firsts}


def _sides(example: Example, base: Side, tuned: Side) -> list[tuple[str, str]]:
    parts = [("prompt", example.prompt[-1].content)]
    if example.completion is not None:
        parts.append(("target", example.completion))
    for name, (completion, verdicts) in (("base", base), ("tuned", tuned)):
        said = "; ".join(f"{evaluator}: {labels}" for evaluator, labels in verdicts.items())
        parts.append((f"{name} ({completion.finish_reason or 'text'}; {said})", completion.text))
    return parts


def _text(example: Example, base: Side, tuned: Side) -> str:
    lines = [f"== {one_line(example.id)}"]
    for heading, text in _sides(example, base, tuned):
        safe = printable(cut(text, MOST_OF_A_TEXT))
        lines += [f"{one_line(heading)}:", textwrap.indent(safe, "    ", lambda _: True)]
    return "\n".join(lines)


def _markdown(example: Example, base: Side, tuned: Side) -> str:
    lines = [f"### {as_markdown(example.id)}"]
    for heading, text in _sides(example, base, tuned):
        safe = printable(cut(text, MOST_OF_A_TEXT))
        # A fence longer than any in the text keeps a fenced completion inside its block.
        ticks = max(map(len, re.findall("`+", safe)), default=0)
        fence = "`" * max(4, ticks + 1)
        lines += ["", f"**{as_markdown(heading)}**", "", f"{fence}text", safe, fence]
    return "\n".join(lines)
