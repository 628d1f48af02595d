"""Compares a completion's value with its Example's: content, beside what the format rates say.

    Example value {"a": 1, "b": ["x", "y"]}, text '{"b": ["x", "z"], "a": 1.0}'
    -> failed, counts fields_expected 3, fields_predicted 3, fields_correct 2

A field is a leaf with its path, list indices included; an empty object or array is a leaf. Numbers
compare by value (1 is 1.0), true and false are no numbers, and the order of keys does not matter.
A text that strict JSON rejects counts as a miss: it predicts no field, whatever stands in it.
"""

from __future__ import annotations

from typing import ClassVar, Final

from evaluators.json_format import JsonFormat
from evaluators.json_paths import leaves, same_leaf
from harness.contracts import Options, Rate
from harness.records import Completion, Example, Problem, Verdict

_STRICT: Final = JsonFormat(root="any")


class JsonMatch(Options):
    """Passes a completion whose JSON value equals the Example's.

    Example value {"a": 1}, text '{"a": 2}' -> failed, label wrong_value, fields_correct 0 of 1
    """

    name: ClassVar[str] = "json_match"
    metric: ClassVar[str] = "exact_match_rate"
    needs_example: ClassVar[bool] = True
    rates: ClassVar[tuple[Rate, ...]] = (
        Rate("exact_match_rate", "passed"),
        Rate("field_precision", "fields_correct", "fields_predicted"),
        Rate("field_recall", "fields_correct", "fields_expected"),
    )

    def evaluate(self, example: Example | None, completion: Completion) -> Verdict:
        """Compare one completion with its Example."""
        if example is None:
            raise ValueError("json_match needs the Example that the completion answers")
        expected = leaves(example.value)
        parsed = _STRICT.parse(completion.text)
        predicted = leaves(parsed.value) if parsed.ok else {}
        correct = sum(
            path in expected and same_leaf(leaf, expected[path]) for path, leaf in predicted.items()
        )
        problem = None
        if not parsed.ok:
            problem = ("not_strict", "the text is not strict JSON, so it predicts no field")
        elif not correct == len(expected) == len(predicted):
            problem = (
                "wrong_value",
                f"{correct} of {len(expected)} fields are right, {len(predicted)} were given",
            )
        problems = (Problem(*problem, 0, len(completion.text)),) if problem else ()
        return Verdict(
            id=completion.example_id,
            evaluator=self.name,
            passed=not problems,
            labels=tuple(found.label for found in problems),
            problems=problems,
            counts={
                "fields_expected": len(expected),
                "fields_predicted": len(predicted),
                "fields_correct": correct,
            },
        )
