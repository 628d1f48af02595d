"""What stands around the value, and which keys are missing or invented."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from fmtharness.evaluators.json.extras import Extras
from fmtharness.evaluators.json.format import JsonFormat
from fmtharness.harness.contracts import rates_of
from fmtharness.harness.records import Completion, Example, FinishReason, Message, Verdict
from tests.strategies import broken_texts, json_objects, prose

VALUE = {"a": 1, "b": [{"c": 2}, {"c": 3, "d": 4}]}


def judged(text: str, value: Any = None, finish_reason: FinishReason | None = None) -> Verdict:
    prompt = (Message("user", "?"),)
    example = Example(id="x", prompt=prompt, completion="", format="json", value=value)
    completion = Completion(example_id="x", text=text, finish_reason=finish_reason)
    return Extras().evaluate(None if value is None else example, completion)


@pytest.mark.parametrize(
    ("text", "labels", "counts"),
    [
        ('{"a": 1}', (), {"characters_before": 0, "characters_after": 0}),
        ('  {"a": 1}\n', (), {"characters_before": 0, "characters_after": 0}),
        (
            'Here you go: {"a": 1}',
            ("text_before",),
            {"characters_before": 12, "text_before": 1, "text_after": 0},
        ),
        ('{"a": 1}\nDone.', ("text_after",), {"characters_after": 5, "text_after": 1}),
        (
            '```json\n{"a": 1}\n```',
            ("code_fence",),
            {"code_fence": 1, "characters_before": 7, "characters_after": 3, "text_before": 0},
        ),
        ('{"a": 1}{"a": 1}', ("multiple_roots",), {"multiple_roots": 1, "characters_after": 8}),
        ('{"a": 1, "b": tru', (), {"truncated": 1, "compared": 0}),
        ('{"a": True,}', (), {"truncated": 0, "compared": 0}),
        ("", (), {"empty": 1}),
        ("I cannot do that.", ("no_json",), {"text_after": 1, "characters_after": 17}),
    ],
)
def test_what_stands_around(text: str, labels: tuple[str, ...], counts: dict[str, int]) -> None:
    verdict = judged(text)
    assert verdict.labels == labels
    assert verdict.passed is not bool(labels)
    assert counts.items() <= verdict.counts.items()


@pytest.mark.parametrize(
    ("text", "missing", "unexpected"),
    [
        ('{"a": 9, "b": [{"c": 1, "d": 2}]}', 0, 0),
        ('Sure! {"a": 9, "b": [{"c": 1, "d": 2}]}', 0, 0),
        ('{"a": 9}', 3, 0),
        ('{"a": 9, "b": [], "e": {"f": 1}}', 2, 2),
        ('{"a": 9, "b": {"c": 1, "d": 1}}', 2, 2),
    ],
)
def test_keys_by_path(text: str, missing: int, unexpected: int) -> None:
    counts = judged(text, VALUE).counts
    assert counts["compared"] == 1
    assert (counts["missing_keys"], counts["unexpected_keys"]) == (missing, unexpected)
    assert counts["with_missing_keys"] == (missing > 0)
    assert counts["with_unexpected_keys"] == (unexpected > 0)


def test_without_an_example_no_keys_are_compared() -> None:
    assert judged('{"a": 1}').counts["compared"] == 0


def test_a_stop_for_length_is_a_truncation() -> None:
    assert judged('{"a": 1}', finish_reason="length").counts["truncated"] == 1
    assert judged('{"a": 1}', finish_reason="stop").counts["truncated"] == 0


@given(json_objects(4), prose(), prose())
def test_characters_are_those_of_the_prose(value: Any, before: str, after: str) -> None:
    verdict = judged(f"{before}\n{JsonFormat().render(value)}\n{after}", value)
    assert verdict.counts["characters_before"] == len(before)
    assert verdict.counts["characters_after"] == len(after)
    assert verdict.counts["missing_keys"] == verdict.counts["unexpected_keys"] == 0


@given(broken_texts())
def test_every_rate_has_its_counters(text: str) -> None:
    verdict = judged(text)
    derived = {"passed", "failed", "scored"}
    for rate in rates_of(Extras):
        assert {rate.numerator, rate.denominator} <= derived | verdict.counts.keys()
