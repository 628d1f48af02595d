"""What an audit found: one row for each promise that a model or its server makes.

promise                       answers  broken  outcome  remarks
same answer at concurrency 8       40      13  broken   13 texts differ; 2 also when asked again
strict JSON under json_object      18       2  broken   duplicate_key 2; cut off: 20 of 22 fail

    same("same answer streamed", whole, streamed)
    -> Finding("same answer streamed", 40, "broken", "1 text differs", (Case("eval-3", ...),))

All of it is computed from answers that are there already. What has no answer is in no row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from fmtharness.harness.records import Completion
from fmtharness.harness.report.tables import table
from fmtharness.harness.text import one_line

Outcome = Literal["kept", "broken", "note", "no difference", "not shown"]
"""`note` is something to know that nobody promises; `not shown` is a promise that no
answer puts to the test, since a mode was refused or no answer came that far."""
TRUNCATED = "truncated"
TokenCounts = Callable[[Sequence[str]], Sequence[int] | None]
"""Counts the tokens of texts; None if that cannot be known."""


class Answer(NamedTuple):
    """One Completion, and what the strict judge says of it."""

    completion: Completion
    passed: bool | None = None
    """None if nothing judges it, or if it could not be judged."""
    labels: tuple[str, ...] = ()
    unscored: str = ""
    """Why it could not be judged."""

    @property
    def missing(self) -> str:
        """Why there is no answer; empty if there is one."""
        if self.completion.error is None and self.completion.finish_reason != "error":
            return ""
        return self.completion.error or "it ended with an error"

    @property
    def stopped(self) -> bool:
        """Whether its finish reason is `stop`."""
        return self.completion.finish_reason == "stop"

    @property
    def at_length(self) -> bool:
        """Whether its finish reason is `length`."""
        return self.completion.finish_reason == "length"

    @property
    def cut_off(self) -> bool:
        """Whether its text ends in the middle of a value."""
        return TRUNCATED in self.labels


class Asked(NamedTuple):
    """The answers of all prompts in one mode, by the Example's id."""

    mode: str
    answers: Mapping[str, Answer]
    limit: int
    """The most new tokens that it asked for."""
    guarantee: str = ""
    """What the answers were held to, such as `json_object`; empty for nothing."""
    refused: str = ""
    """Why the mode has no answers at all."""

    @property
    def present(self) -> dict[str, Answer]:
        """The answers that are there."""
        return {name: each for name, each in self.answers.items() if not each.missing}


class Case(NamedTuple):
    """One Example for which a promise is broken: the answer, or two that differ, by their mode."""

    id: str
    answers: tuple[tuple[str, Answer], ...]


class Finding(NamedTuple):
    """What became of one promise."""

    promise: str
    answers: int
    """How many answers, or pairs of answers, show it."""
    outcome: Outcome
    remarks: str = ""
    cases: tuple[Case, ...] = ()

    @property
    def broken(self) -> int:
        """How many of them break it; of a `note`, how many it is about."""
        return len(self.cases)


def same(promise: str, first: Asked, other: Asked, *, again: Finding | None = None) -> Finding:
    """Whether two modes gave the same answers: text, reasoning and finish reason.

    `again` is the same question about the first mode asked twice; it shows what changes anyway.
    """
    if other.refused:
        return not_shown(promise, other.refused)
    pairs = {
        name: (each, other.present[name])
        for name, each in first.present.items()
        if name in other.present
    }
    cases = tuple(
        Case(name, ((first.mode, one), (other.mode, two)))
        for name, (one, two) in pairs.items()
        if _said(one) != _said(two)
    )
    texts = sum(one[1].completion.text != two[1].completion.text for _, (one, two) in cases)
    remarks = [f"{texts} {'text differs' if texts == 1 else 'texts differ'}"] if texts else []
    if rest := len(cases) - texts:
        remarks.append(f"{rest} only in reasoning or finish reason")
    if again is not None and cases:
        known = {case.id for case in again.cases}
        remarks.append(f"{sum(case.id in known for case in cases)} also when asked again")
    return _found(promise, len(pairs), cases, remarks)


def strict(promise: str, asked: Asked) -> Finding:
    """Whether each answer under a guarantee that said `stop` passes the strict judge.

    One that ended otherwise, as at the limit, was promised nothing; the remarks count it apart.
    """
    if asked.refused:
        return not_shown(promise, asked.refused)
    judged = {name: each for name, each in asked.present.items() if each.passed is not None}
    stopped = {name: each for name, each in judged.items() if each.stopped}
    failed = {name: each for name, each in stopped.items() if not each.passed}
    cases = tuple(Case(name, ((asked.mode, each),)) for name, each in failed.items())
    remarks = [_labels(failed.values())] if failed else []
    others = [each for each in judged.values() if not each.stopped]
    for how, ended in (
        ("at the limit", [each for each in others if each.at_length]),
        ("with neither `stop` nor `length`", [each for each in others if not each.at_length]),
    ):
        fail = [each for each in ended if not each.passed]
        labels = f" ({_labels(fail)})" if fail else ""
        if ended:
            remarks.append(f"beside them {len(ended)} {how}, of which {len(fail)} fail{labels}")
    return _found(promise, len(stopped), cases, remarks)


def whole(promise: str, modes: Iterable[Asked]) -> Finding:
    """Whether what said `stop` under a guarantee ends where a value ends."""
    modes = [*modes]
    stopped, cases = _cases(modes, lambda each: each.stopped, lambda each: each.cut_off, held=True)
    free, ended = _cases(modes, lambda each: each.stopped, lambda each: each.cut_off, held=False)
    remarks = [f"without a guarantee {len(ended)} of {free}"] if free else []
    return _found(promise, stopped, cases, remarks)


def complete_at_limit(what: str, modes: Iterable[Asked]) -> Finding:
    """How many answers said `length` and are complete: a note, for only the limit is promised."""
    modes = [*modes]
    answers, cases = _cases(modes, lambda each: each.at_length, lambda each: bool(each.passed))
    return Finding(what, answers, "note", "they pass the strict judge" if cases else "", cases)


def within_limit(promise: str, modes: Iterable[Asked]) -> Finding:
    """Whether no answer has more tokens than were asked for, where the server counts them."""
    counted = 0
    cases: list[Case] = []
    for asked in modes:
        for name, each in asked.present.items():
            if (tokens := each.completion.completion_tokens) is not None:
                counted += 1
                if tokens > asked.limit:
                    cases.append(Case(name, ((asked.mode, each),)))
    return _found(promise, counted, tuple(cases), [] if counted else ["no tokens are counted"])


def without_reasoning(promise: str, on: Asked, off: Asked) -> Finding:
    """Whether answers with thinking off have no reasoning, and whether the switch does much."""
    if on.refused or off.refused:
        return not_shown(promise, on.refused or off.refused)
    thought = [each for each in on.present.values() if each.completion.reasoning]
    cases = tuple(
        Case(name, ((off.mode, each),))
        for name, each in off.present.items()
        if each.completion.reasoning
    )
    changed = same(promise, on, off)
    if changed.answers and not changed.cases:
        return Finding(
            promise,
            len(off.present),
            "broken" if cases else "no difference",
            "all answers are the same with thinking on and off",
            cases,
        )
    remarks = [f"with thinking on {len(thought)} of {len(on.present)} have reasoning"]
    remarks.append(f"{changed.broken} of {changed.answers} answers differ between on and off")
    return _found(promise, len(off.present), cases, remarks)


def counts(what: str, modes: Iterable[Asked], tokens_of: TokenCounts) -> Finding:
    """How many counts of tokens differ from the text by more than a stop token: a note.

    A text may be cut into other tokens than the model wrote, so that a few say little. Answers with
    reasoning are left out.
    """
    found = [
        (asked.mode, name, each)
        for asked in modes
        for name, each in asked.present.items()
        if each.completion.completion_tokens is not None and each.completion.reasoning is None
    ]
    own = tokens_of([each.completion.text for _, _, each in found]) if found else None
    if own is None:
        return not_shown(what, "nothing here counts the tokens of a text as the model does")
    differences = [
        (each.completion.completion_tokens or 0) - number
        for (_, _, each), number in zip(found, own, strict=True)
    ]
    cases = tuple(
        Case(name, ((mode, each),))
        for (mode, name, each), difference in zip(found, differences, strict=True)
        if difference not in (0, 1)
    )
    by_mode = Counter(case.answers[0][0] for case in cases)
    remarks = ", ".join(f"{mode} {count}" for mode, count in by_mode.items())
    if cases:
        remarks += f"; {min(differences):+d} to {max(differences):+d} tokens"
    return Finding(what, len(found), "note", remarks, cases)


def not_shown(promise: str, why: str) -> Finding:
    """The row of a promise that nothing shows."""
    return Finding(promise, 0, "not shown", why)


def audit_table(findings: Sequence[Finding]) -> str:
    """One row for each promise."""
    rows = [
        [each.promise, str(each.answers), str(each.broken), each.outcome, each.remarks]
        if each.outcome != "not shown"
        else [each.promise, "-", "-", each.outcome, each.remarks]
        for each in findings
    ]
    return table(["promise", "answers", "broken", "outcome", "remarks"], rows)


def audit_json(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """The same as plain data, with the ids of what breaks each promise and their labels."""
    return [
        {
            "promise": each.promise,
            "answers": each.answers,
            "broken": each.broken,
            "outcome": each.outcome,
            "remarks": each.remarks,
            "labels": dict(_label_counts(case.answers[-1][1] for case in each.cases)),
            "ids": [case.id for case in each.cases],
        }
        for each in findings
    ]


def case_rows(findings: Iterable[Finding]) -> Iterable[dict[str, Any]]:
    """A row for each pair that differs and each answer that breaks a promise, with its texts."""
    for finding in findings:
        for case in finding.cases:
            yield {
                "promise": finding.promise,
                "outcome": finding.outcome,
                "id": case.id,
                "answers": [
                    {
                        "mode": mode,
                        "text": each.completion.text,
                        "reasoning": each.completion.reasoning,
                        "finish_reason": each.completion.finish_reason,
                        "completion_tokens": each.completion.completion_tokens,
                        "labels": list(each.labels),
                    }
                    for mode, each in case.answers
                ],
            }


def missing_lines(modes: Iterable[Asked]) -> list[str]:
    """For each mode whose answers are not all there, or not all judged: how many, and why."""
    lines = []
    for asked in modes:
        whys = [each.missing or each.unscored for each in asked.answers.values()]
        if found := [why for why in whys if why]:
            lines.append(
                f"{asked.mode}: {len(found)} of {len(whys)} answers are missing or unscored, the "
                f"first because {one_line(found[0])}"
            )
    return lines


def _cases(
    modes: Iterable[Asked],
    shows: Callable[[Answer], bool],
    breaks: Callable[[Answer], bool],
    *,
    held: bool | None = None,
) -> tuple[int, tuple[Case, ...]]:
    """How many answers show something, and those of them that break it.

    `held` chooses the modes with a guarantee, or those without one.
    """
    found = [
        (asked.mode, name, each)
        for asked in modes
        if held is None or bool(asked.guarantee) == held
        for name, each in asked.present.items()
        if shows(each)
    ]
    return len(found), tuple(
        Case(name, ((mode, each),)) for mode, name, each in found if breaks(each)
    )


def _found(
    promise: str, answers: int, cases: tuple[Case, ...], remarks: Sequence[str] = ()
) -> Finding:
    if not answers:
        return not_shown(promise, "; ".join(remarks) or "no answer shows it")
    return Finding(promise, answers, "broken" if cases else "kept", "; ".join(remarks), cases)


def _said(answer: Answer) -> tuple[str, str | None, str | None]:
    completion = answer.completion
    return completion.text, completion.reasoning, completion.finish_reason


def _label_counts(answers: Iterable[Answer]) -> list[tuple[str, int]]:
    """The labels, the most frequent first."""
    counted = Counter(label for each in answers for label in each.labels)
    return sorted(counted.items(), key=lambda item: (-item[1], item[0]))


def _labels(answers: Iterable[Answer]) -> str:
    return ", ".join(f"{label} {count}" for label, count in _label_counts(answers))
