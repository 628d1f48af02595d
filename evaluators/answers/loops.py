"""Judges whether an answer degenerates into repetition, in any format or none.

'It was late. It was late. It was late. ...' -> failed, label loop at 0:116
'la la la, and then the song went on'        -> passed
"""

from __future__ import annotations

from typing import ClassVar

from fmtharness.harness.contracts import Options, Rate
from fmtharness.harness.records import Completion, Example, Problem, Verdict


class Loops(Options):
    """Fails a completion that degenerates into repetition.

    'It was late. ' nine times -> failed, label loop at 0:116, message 'a cycle of 4 words and
    signs stands there 9 times in a row'
    """

    name: ClassVar[str] = "loops"
    metric: ClassVar[str] = "loop_rate"
    needs_format: ClassVar[bool] = False
    rates: ClassVar[tuple[Rate, ...]] = (Rate("loop_rate", "failed"),)

    def evaluate(self, example: Example | None, completion: Completion) -> Verdict:
        """Judge one completion; an Example is not needed."""
        from fmtharness.evaluators.answers.repetition import repetition  # numpy takes a while

        found = repetition(completion.text)
        return Verdict(
            id=completion.example_id,
            evaluator=self.name,
            passed=found is None,
            labels=("loop",) if found else (),
            problems=(Problem("loop", found.message, found.start, found.end),) if found else (),
        )
