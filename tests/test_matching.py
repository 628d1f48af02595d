"""Content against the Example: exact match and fields."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from fmtharness.evaluators.json.extras import keys
from fmtharness.evaluators.json.format import JsonFormat
from fmtharness.harness.matching import leaves
from fmtharness.harness.options import build
from fmtharness.harness.records import Completion, Example, Message, Verdict
from tests.strategies import json_objects


def judged(value: Any, text: str) -> Verdict:
    example = Example(
        id="x",
        prompt=(Message("user", "?"),),
        completion="",
        format="json",
        value=value,
    )
    verdict = build("evaluators", "json_match:root=any").evaluate(
        example, Completion(example_id="x", text=text)
    )
    assert isinstance(verdict, Verdict)
    return verdict


@pytest.mark.parametrize(
    ("value", "text", "expected", "predicted", "correct"),
    [
        ({"a": 1}, '{"a": 1}', 1, 1, 1),
        ({"a": 1, "b": "x"}, '{"b": "x", "a": 1}', 2, 2, 2),
        ({"a": 1}, '{"a": 1.0}', 1, 1, 1),
        ({"a": 1}, '{"a": true}', 1, 1, 0),
        ({"a": 0}, '{"a": false}', 1, 1, 0),
        ({"a": None}, '{"a": "null"}', 1, 1, 0),
        ({"a": 1}, "{}", 1, 1, 0),
        ({}, "{}", 1, 1, 1),
        ({"a": []}, '{"a": {}}', 1, 1, 0),
        ({"a": ["x", "y"]}, '{"a": ["x", "z", "y"]}', 2, 3, 1),
        ({"a": {"b": 1, "c": 2}}, '{"a": {"b": 1}}', 2, 1, 1),
        ({"a": 1}, '{"a": 1, "b": 2}', 1, 2, 1),
        ({"a": 1}, '```\n{"a": 1}\n```', 1, 0, 0),
        ({"a": 1}, '{"a": 1', 1, 0, 0),
        ({"a.b": 1}, '{"a": {"b": 1}}', 1, 1, 0),
        ([1], "[1]", 1, 1, 1),
        ({"a": 10**25_000}, '{"a": 1' + "0" * 25_000 + "}", 1, 1, 1),
    ],
)
def test_fields(value: Any, text: str, expected: int, predicted: int, correct: int) -> None:
    verdict = judged(value, text)
    assert verdict.counts == {
        "fields_expected": expected,
        "fields_predicted": predicted,
        "fields_correct": correct,
    }
    assert verdict.passed is (expected == predicted == correct)
    assert bool(verdict.labels) is not verdict.passed


@given(json_objects(), json_objects())
def test_an_exact_match_is_equality_and_nothing_else(one: Any, other: Any) -> None:
    assert judged(one, JsonFormat().render(one)).passed
    same_fields = leaves(one).keys() == leaves(other).keys()
    if judged(one, JsonFormat().render(other)).passed:
        assert one == other
        assert same_fields
    assert judged(one, JsonFormat().render(other)).counts["fields_correct"] <= len(leaves(one))


@pytest.mark.parametrize(
    ("value", "text", "said"),
    [
        ({"a": 1, "b": 2}, '{"a": 1, "b": 3}', "1 of 2 fields are right: /b: expected 2, got 3"),
        ({"a": "1"}, '{"a": 1}', '0 of 1 fields are right: /a: expected "1", got 1'),
        ({"a": None, "b": 1}, '{"b": 1}', "1 of 2 fields are right: /a is missing"),
        ({"a": 1}, '{"a": 1, "c/d": []}', "1 of 1 fields are right: /c~1d is not asked for"),
        ({"a": [1, 2]}, '{"a": [1]}', "1 of 2 fields are right: /a/1 is missing"),
        ([], "[1]", "0 of 1 fields are right: the value should be empty; /0 is not asked for"),
        (
            dict.fromkeys("abcde", 1),
            "{}",
            "0 of 5 fields are right: /a is missing; /b is missing; /c is missing; and 3 more",
        ),
        ({"a": {"b": 1}}, '{"a": {}}', "0 of 1 fields are right: /a/b is missing; /a is empty"),
        ({"a": "x" * 900}, '{"a": "y"}', f'0 of 1 fields are right: /a: expected "{"x" * 59}'),
        ({"a": 10**25_000}, '{"a": 1}', "0 of 1 fields are right: /a: expected a number of many"),
    ],
)
def test_a_wrong_value_names_the_fields(value: Any, text: str, said: str) -> None:
    (problem,) = judged(value, text).problems
    assert problem.message.startswith(said)
    assert len(problem.message) < 300


def test_paths() -> None:
    assert leaves({"a": [1, {"b": "x"}], "c": {}}) == {
        ("a", 0): 1,
        ("a", 1, "b"): "x",
        ("c",): {},
    }
    assert keys({"a": [{"b": 1}, {"b": 2, "c": 3}]}) == {("a",), ("a", "*", "b"), ("a", "*", "c")}


def test_depth_beyond_the_recursion_limit_is_walked() -> None:
    value: Any = 1
    for _ in range(2_000):
        value = [value]
    assert list(leaves(value).values()) == [1]
    assert keys(value) == set()
