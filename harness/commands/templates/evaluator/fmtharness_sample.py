"""The evaluator sample: is a completion short enough?

SampleEvaluator(limit=5), '{"a": 1}'  ->  failed, label too_long at 5:8
"""

from typing import ClassVar

from fmtharness.harness import hookimpl
from fmtharness.harness.contracts import Options, Rate
from fmtharness.harness.records import Completion, Example, Problem, Verdict


class SampleEvaluator(Options):
    """Passes a completion of at most `limit` characters: with limit=5, '{"a": 1}' -> failed."""

    name: ClassVar[str] = "sample"
    metric: ClassVar[str] = "short_rate"
    rates: ClassVar[tuple[Rate, ...]] = (
        Rate("short_rate", "passed"),
        Rate("one_line_rate", "one_line"),
    )

    limit: int = 400
    """The most characters that pass."""

    def evaluate(self, example: Example | None, completion: Completion) -> Verdict:
        """Judge one completion; `example` is None if only the text is known."""
        text = completion.text
        problems: tuple[Problem, ...] = ()
        if len(text) > self.limit:
            message = f"the text has {len(text)} characters, of which {self.limit} are allowed"
            problems = (Problem("too_long", message, self.limit, len(text)),)
        return Verdict(
            id=completion.example_id,
            evaluator=self.name,
            passed=not problems,
            labels=tuple(problem.label for problem in problems),
            problems=problems,
            counts={"one_line": int("\n" not in text)},
        )


@hookimpl
def fmtharness_evaluators() -> list[type[SampleEvaluator]]:
    """The evaluators of this distribution."""
    return [SampleEvaluator]
