"""From Completions to Verdicts.

judge(evaluators, examples, completions)  yields a completion's Verdict of each evaluator in turn

An evaluator that raises or takes too long, or a row that cannot be read, gives an unscored Verdict
that says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import structs

from fmtharness.harness.contracts import Evaluator, applies, formats_of, needs_example, rates_of
from fmtharness.harness.judging import limit
from fmtharness.harness.records import BrokenRow, Completion, Example, Problem, Verdict

TRUNCATED = {"truncated": 1, "empty": 0}
"""What a text that ends inside think tags counts as, for an evaluator that counts it."""


def judge(
    evaluators: Sequence[Evaluator],
    examples: Mapping[str, Example],
    completions: Iterable[Completion | BrokenRow],
) -> Iterator[Verdict]:
    """Yield the Verdicts of each Completion in turn, in the evaluators' order."""
    formats = formats_asked(examples)
    for completion in completions:
        yield from verdicts_on(completion, evaluators, examples, formats)


def formats_asked(examples: Mapping[str, Example]) -> frozenset[str]:
    """The formats of the Examples; empty if no Example is known.

    If Examples set options, the empty name is included: a completion without a known Example is
    then judged by no format, since its options are unknown.
    """
    known = examples.values()
    return frozenset(each.format for each in known) | {"" for each in known if each.format_options}


def verdicts_on(
    row: Completion | BrokenRow,
    evaluators: Sequence[Evaluator],
    examples: Mapping[str, Example],
    formats: frozenset[str],
) -> list[Verdict]:
    """One Verdict of each evaluator that judges the format of the Example, if that is known.

    The Verdict is unscored for a broken row, for a Completion that holds an error, and if the
    evaluator raises, takes longer than the time limit, returns something other than its own Verdict
    on this Completion, or lacks the Example it needs. It is also unscored if the evaluator judges
    only some of the `formats` and the Completion's Example is not known.
    """
    if isinstance(row, BrokenRow):
        unread = Completion(example_id=str(row.line), text="")
        reason = f"line {row.line} is no completion: {row.reason}"
        return [_unscored(evaluator, unread, reason) for evaluator in evaluators]
    example = examples.get(row.example_id)
    if row.error is not None:
        return [_unscored(each, row, row.error) for each in evaluators if applies(each, example)]
    ask = _unfinished if row.unclosed else _judge_one
    if example is None and len(formats) > 1:
        return [
            ask(each, None, row)
            if formats <= (formats_of(each) or formats)
            else _unscored(each, row, "there is no Example with this id to tell its format")
            for each in evaluators
        ]
    if example is None:
        return [ask(each, None, row) for each in evaluators]
    return [ask(each, example, row) for each in evaluators if applies(each, example)]


def _unfinished(evaluator: Evaluator, example: Example | None, completion: Completion) -> Verdict:
    """The Verdict on a text that ends inside think tags, which is `truncated` in every format.

    Thoughts are no answer, so the evaluator counts as for an empty one. It passes where its
    headline is a share of failures, such as of duplicates, since what it looks for is not there.
    """
    verdict = _judge_one(evaluator, example, structs.replace(completion, text=""))
    if verdict.passed is None:
        return verdict
    end = len(completion.text)
    seeks_faults = rates_of(evaluator)[0].numerator == "failed"
    return structs.replace(
        verdict,
        passed=verdict.passed and seeks_faults,
        labels=("truncated",),
        problems=(Problem("truncated", "the text ends inside think tags", end, end),),
        counts=verdict.counts | {k: n for k, n in TRUNCATED.items() if k in verdict.counts},
    )


def _judge_one(evaluator: Evaluator, example: Example | None, completion: Completion) -> Verdict:
    if example is None and needs_example(evaluator):
        return _unscored(evaluator, completion, "there is no Example with this id to compare with")
    count = limit.calls
    count[0] += 1
    limit.watched()
    try:
        if limit.skipped and count[0] in limit.skipped:
            raise limit.TimeLimit
        verdict = evaluator.evaluate(example, completion)
        count[0] += 1
    except (Exception, SystemExit) as error:
        count[0] += 1
        reason = f"{evaluator.name} raised {type(error).__name__}: {_said(error)}"
        return _unscored(evaluator, completion, reason)
    except limit.TimeLimit:
        count[0] += 1
        return _unscored(evaluator, completion, f"{evaluator.name} {limit.reason()}")
    except BaseException:  # Ctrl-C
        count[0] += 1
        raise
    name, asked = evaluator.name, completion.example_id
    if (
        isinstance(verdict, Verdict)
        and verdict.evaluator == name
        and verdict.id == asked
        and _well_formed(verdict)
    ):
        return verdict
    reason = f"{name} returned {_said(verdict):.200} and not its Verdict on {asked!r}"
    return _unscored(evaluator, completion, reason)


def _said(thing: object) -> str:
    """The thing as text, even if its own `str` fails."""
    try:
        return repr(thing) if isinstance(thing, Verdict) else str(thing)
    except Exception:
        return f"a {type(thing).__name__} that cannot be shown"


def _well_formed(verdict: Verdict) -> bool:
    """Whether its fields have their types; a Struct does not check this when it is made."""
    labels, problems, counts = verdict.labels, verdict.problems, verdict.counts
    return (
        (verdict.passed is None or isinstance(verdict.passed, bool))
        and isinstance(labels, (tuple, list))
        and isinstance(problems, (tuple, list))
        and isinstance(counts, dict)
        and (not labels or all(isinstance(label, str) for label in labels))
        and (not counts or all(isinstance(count, int) for count in counts.values()))
        and (not problems or all(map(_is_problem, problems)))
    )


def _is_problem(problem: object) -> bool:
    return (
        isinstance(problem, Problem)
        and isinstance(problem.label, str)
        and isinstance(problem.message, str)
        and isinstance(problem.start, int)
        and isinstance(problem.end, int)
    )


def _unscored(evaluator: Evaluator, completion: Completion, reason: str) -> Verdict:
    problem = Problem("unscored", reason, 0, len(completion.text))
    return Verdict(
        id=completion.example_id,
        evaluator=evaluator.name,
        passed=None,
        labels=("unscored",),
        problems=(problem,),
    )
