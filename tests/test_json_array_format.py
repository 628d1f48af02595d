"""A JSON array: strict JSON with another root."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmtharness.evaluators.json.array import JsonArrayFormat
from fmtharness.evaluators.json.format import JsonFormat
from fmtharness.harness.testing import check_format
from tests.strategies import broken_texts, json_values, mutated_texts, written_texts

STRICT = JsonArrayFormat()


def test_the_format_keeps_its_promises() -> None:
    check_format(STRICT)


@pytest.mark.slow
def test_lenient_options_keep_the_promises() -> None:
    check_format(JsonArrayFormat(unique_keys=False, unicode_scalars=False, max_depth=3))


@given(written_texts(st.lists(json_values(6), max_size=4)))
def test_an_array_comes_back_as_the_standard_library_reads_it(pair: tuple[str, Any]) -> None:
    assert json.dumps(STRICT.parse(pair[0]).value) == json.dumps(json.loads(pair[0]))


@given(mutated_texts(broken_texts()))
def test_it_says_what_json_says(text: str) -> None:
    assert STRICT.parse(text) == JsonFormat(root="array").parse(text)


def test_the_options_are_those_of_json() -> None:
    assert JsonArrayFormat(unique_keys=False).parse('[{"a": 1, "a": 2}]').value == [{"a": 2}]
    assert JsonArrayFormat(unicode_scalars=False).parse('["\\ud800"]').ok
    deep = JsonArrayFormat(max_depth=1).parse("[[]]").problems
    assert [(problem.label, problem.start) for problem in deep] == [("too_deep", 1)]


@pytest.mark.parametrize(
    "value", [{"rows": [{"a": 1}]}, "x", [{1: 2}], [{1, 2}], [float("nan")], ["\ud800"], [object()]]
)
def test_what_would_not_come_back_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):
        STRICT.render(value)


def test_a_value_too_deep_to_write_is_refused() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(ValueError):
        STRICT.render(value)


def test_the_instruction_names_the_shape_and_no_value() -> None:
    table = [{"city": "Oslo"}, {"city": "Riga"}]
    assert STRICT.instruction(table) == "Answer with one JSON array of objects and nothing else."
    assert STRICT.instruction(["Oslo"]) == "Answer with one JSON array of values and nothing else."
