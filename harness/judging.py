"""From Completions to Verdicts, and from Verdicts to Metrics.

judge(evaluators, examples, completions)  yields one Verdict per completion and evaluator
tally.add(verdict); tally.metrics()       sums them, in constant memory
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness.contracts import Evaluator, Rate, rates_of
from harness.errors import PluginError, UserError
from harness.records import BrokenRow, Completion, Example, Metric, Problem, Verdict
from harness.statistics import rate


def judge(
    evaluators: Sequence[Evaluator],
    examples: Mapping[str, Example],
    completions: Iterable[Completion | BrokenRow],
) -> Iterator[Verdict]:
    """Yield the Verdicts of each Completion in turn, in the evaluators' order."""
    for completion in completions:
        yield from verdicts_on(completion, evaluators, examples)


def verdicts_on(
    row: Completion | BrokenRow, evaluators: Sequence[Evaluator], examples: Mapping[str, Example]
) -> list[Verdict]:
    """One Verdict of each evaluator.

    A broken row, and an evaluator that raises, that returns no Verdict of its own on this
    Completion, or that lacks the Example it needs, give an unscored Verdict.
    """
    if isinstance(row, BrokenRow):
        unread = Completion(example_id=str(row.line), text="")
        reason = f"line {row.line} is no completion: {row.reason}"
        return [_unscored(evaluator, unread, reason) for evaluator in evaluators]
    example = examples.get(row.example_id)
    return [_judge_one(evaluator, example, row) for evaluator in evaluators]


def _judge_one(evaluator: Evaluator, example: Example | None, completion: Completion) -> Verdict:
    if example is None and getattr(evaluator, "needs_example", False):
        return _unscored(evaluator, completion, "there is no Example with this id to compare with")
    try:
        verdict = evaluator.evaluate(example, completion)
    except Exception as error:
        reason = f"{evaluator.name} raised {type(error).__name__}: {error}"
        return _unscored(evaluator, completion, reason)
    own = (evaluator.name, completion.example_id)
    if not isinstance(verdict, Verdict) or (verdict.evaluator, verdict.id) != own:
        reason = f"{evaluator.name} returned {verdict!r:.200} and not its Verdict on {own[1]!r}"
        return _unscored(evaluator, completion, reason)
    return verdict


def _unscored(evaluator: Evaluator, completion: Completion, reason: str) -> Verdict:
    problem = Problem("unscored", reason, 0, len(completion.text))
    return Verdict(
        id=completion.example_id,
        evaluator=evaluator.name,
        passed=None,
        labels=("unscored",),
        problems=(problem,),
    )


def distinct(evaluators: Sequence[Evaluator]) -> Sequence[Evaluator]:
    """The same evaluators; a UserError where two would mix their verdicts under one name."""
    twice = [name for name, n in Counter(e.name for e in evaluators).items() if n > 1]
    if twice:
        raise UserError(f"evaluator {twice[0]!r} is given twice; give each once")
    return evaluators


class Tally:
    """Sums of Verdicts: per evaluator the counters, the labels and the first unscored reason."""

    def __init__(self, evaluators: Sequence[Evaluator]) -> None:
        self.evaluators = distinct(evaluators)
        self.counts: dict[str, Counter[str]] = {e.name: Counter() for e in evaluators}
        self.labels: dict[str, Counter[str]] = {e.name: Counter() for e in evaluators}
        self.reason: dict[str, str] = {}

    def add(self, verdict: Verdict) -> None:
        """Count one Verdict in."""
        counts = self.counts[verdict.evaluator]
        if verdict.passed is None:
            counts["unscored"] += 1
            reasons = [problem.message for problem in verdict.problems] or ["it gave no reason"]
            self.reason.setdefault(verdict.evaluator, reasons[0])
            return
        counts.update(verdict.counts)
        counts["scored"] += 1
        counts["passed" if verdict.passed else "failed"] += 1
        self.labels[verdict.evaluator].update(dict.fromkeys(verdict.labels, 1))

    def merge(self, other: Tally) -> None:
        """Count another's Verdicts in, as if they came after these."""
        for name in self.counts:
            self.counts[name].update(other.counts[name])
            self.labels[name].update(other.labels[name])
        self.reason = other.reason | self.reason

    def __getstate__(self) -> dict[str, Any]:
        """Without the evaluators: some of their classes are made while running."""
        return {**self.__dict__, "evaluators": ()}

    def metrics(self) -> dict[str, list[Metric]]:
        """Per evaluator its rates, headline first.

        Raises PluginError where a rate's numerator is no part of its denominator.
        """
        return {
            evaluator.name: [self._rate(evaluator.name, each) for each in rates_of(evaluator)]
            for evaluator in self.evaluators
        }

    def _rate(self, evaluator: str, each: Rate) -> Metric:
        counts = self.counts[evaluator]
        numerator, denominator = counts[each.numerator], counts[each.denominator]
        if not 0 <= numerator <= denominator:
            raise PluginError(
                f"evaluator {evaluator!r}: {each.name} is {each.numerator} / {each.denominator} = "
                f"{numerator} / {denominator}, which is no share; count part of the denominator"
            )
        return rate(each.name, numerator, denominator)

    @property
    def unscored(self) -> int:
        """How many Verdicts are no judgement."""
        return sum(counts["unscored"] for counts in self.counts.values())


def tally(evaluators: Sequence[Evaluator], verdicts: Iterable[Verdict]) -> Tally:
    """The sums of all the Verdicts."""
    sums = Tally(evaluators)
    for verdict in verdicts:
        sums.add(verdict)
    return sums
