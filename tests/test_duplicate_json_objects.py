"""Counting objects equals a reference that reads one character at a time."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fmtharness.evaluators.json.objects import DuplicateJsonObjects
from fmtharness.evaluators.json.side_by_side import find_objects
from fmtharness.harness.records import Completion, Example, Message
from tests.references import objects
from tests.strategies import (
    at_least,
    broken_texts,
    json_objects,
    mutated_texts,
    prose,
    written_texts,
)

texts = written_texts(json_objects(4)).map(lambda pair: pair[0])
rows = st.lists(st.one_of(texts, prose(), broken_texts()), max_size=5).map("".join)


@at_least(400)
@given(st.one_of(broken_texts(), rows, mutated_texts(rows), mutated_texts(texts)))
@example("{{}")
@example('{"{"{"":1}')
@example('{"\\u{"a":1}')
@example('{"a":1.{}')
@example('{"a":-{}{}')
@example('{"a":1e{}')
@example('{"a":tru{}')
@example('{"a"{}')
@example('{"a" \n{"b"\t:1}')
@example("{ \x0b{}")
def test_it_equals_the_reference(text: str) -> None:
    assert find_objects(text) == objects(text)


@given(st.lists(texts, max_size=5), st.sampled_from(["", "\n", ", ", " and "]))
def test_objects_side_by_side_are_counted(rows: list[str], between: str) -> None:
    assert len(find_objects(between.join(rows))) == len(rows)


@pytest.mark.parametrize(
    ("text", "objects"),
    [
        ('{"items":[{"a":1},{"a":2}', 0),
        ('{"a":1}{"a":1}', 2),
        ('so { it goes {"a":"}"}', 1),
        ('{"rows":[{"a":1},{"a":2}],"ok":True}', 0),
        ('{"a":1,"a":1}', 1),
        ("[{},{}]", 2),
        ("", 0),
    ],
)
def test_the_verdict(text: str, objects: int) -> None:
    verdict = DuplicateJsonObjects().evaluate(None, Completion(example_id="x", text=text))
    assert verdict.counts == {"objects": objects}
    assert verdict.passed is (objects < 2)
    assert verdict.labels == (() if objects < 2 else ("duplicate_objects",))


def test_the_problem_spans_from_the_second_object_on() -> None:
    text = '{"a":1} then {"b":2} and {"c":3}.'
    verdict = DuplicateJsonObjects().evaluate(None, Completion(example_id="x", text=text))
    (problem,) = verdict.problems
    assert text[problem.start : problem.end] == '{"b":2} and {"c":3}'


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        ('[{"a": 1}, {"a": 2}]', True),
        (' [{"a": 1}, {"a": 2}]\n', True),
        ('[{"a": 1}, {"a": 2}] [{"a": 1}]', False),
        ('{"a": 1} {"a": 2}', False),
        ('[{"a": 1}, {"a": 2}', False),
    ],
)
def test_where_an_array_is_asked_for_its_objects_may_stand_side_by_side(
    text: str, passed: bool
) -> None:
    asked = Example(
        id="x",
        prompt=(Message("user", "List them."),),
        completion="[]",
        format="json",
        value=[{"a": 1}, {"a": 2}],
    )
    verdict = DuplicateJsonObjects().evaluate(asked, Completion(example_id="x", text=text))
    assert verdict.passed is passed
    alone = DuplicateJsonObjects().evaluate(None, Completion(example_id="x", text=text))
    assert alone.passed is False
