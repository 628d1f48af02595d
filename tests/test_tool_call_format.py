"""Tool calls: what passes, and what the calls that models really write are labelled with."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmtharness.evaluators.json.tool_call import ToolCallFormat
from fmtharness.harness.surroundings import MOST_OF_ONE_LABEL
from fmtharness.harness.testing import check_format
from tests.strategies import (
    at_least,
    broken_texts,
    json_objects,
    json_values,
    mutated_texts,
    written_texts,
)

ANY = ToolCallFormat()
ONE = ToolCallFormat(calls="one")
SEVERAL = ToolCallFormat(calls="several")
BOOKING = ToolCallFormat(tools=("book", "ring"))
TAGS = [("tag_around", "<tool_call>"), ("tag_around", "</tool_call>")]
CALL = '{"name": "book", "arguments": {"nights": 4}}'


def spans(text: str, judge: ToolCallFormat = ANY) -> list[tuple[str, str]]:
    return [
        (problem.label, text[problem.start : problem.end]) for problem in judge.parse(text).problems
    ]


def test_the_format_keeps_its_promises() -> None:
    check_format(ANY)


def test_the_format_keeps_its_promises_with_one_call() -> None:
    check_format(ONE, examples=30)


@pytest.mark.parametrize(
    ("judge", "value", "label"),
    [
        (BOOKING, json.loads(CALL), "unknown_tool"),
        (ONE, json.loads(CALL), "wrong_count"),
        (SEVERAL, [json.loads(CALL)], "wrong_count"),
    ],
)
def test_corruptions_follow_the_options(judge: ToolCallFormat, value: Any, label: str) -> None:
    assert {label} <= judge.corruptions().keys() - ANY.corruptions().keys()
    text = judge.render(value)
    for name, corrupt in judge.corruptions().items():
        for seed in range(5):
            broken = corrupt(text, Random(seed))
            assert broken is None or name in dict(spans(broken, judge)), (name, broken)


names = st.text(max_size=6)
calls = st.fixed_dictionaries({"name": names, "arguments": json_objects(3)})
near_calls = st.dictionaries(
    st.sampled_from(["name", "arguments", "id"]), names | json_values(3) | json_objects(2)
)
roots = calls | near_calls | st.lists(calls | near_calls | names, max_size=3) | json_values(3)
texts = written_texts(roots).map(lambda pair: pair[0])


def is_call(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and sorted(value) == ["arguments", "name"]
        and isinstance(value["name"], str)
        and value["name"] != ""
        and isinstance(value["arguments"], dict)
    )


@at_least(400)
@given(texts | mutated_texts(texts) | mutated_texts(broken_texts()))
def test_what_is_accepted_is_a_call_as_the_standard_library_reads_it(text: str) -> None:
    for judge in (ANY, ONE, SEVERAL, BOOKING):
        parsed = judge.parse(text)
        if parsed.ok:
            value = json.loads(text)
            assert json.dumps(parsed.value) == json.dumps(value)
            if judge.calls != "any":
                assert isinstance(value, dict) == (judge.calls == "one")
            all_calls = value if isinstance(value, list) else [value]
            assert all_calls
            assert all(map(is_call, all_calls))
            assert all(call["name"] in (judge.tools or [call["name"]]) for call in all_calls)


@given(written_texts(roots))
def test_what_is_a_call_is_accepted(pair: tuple[str, Any]) -> None:
    text, value = pair
    several = isinstance(value, list) and bool(value) and all(map(is_call, value))
    assert ONE.parse(text).ok == is_call(value)
    assert SEVERAL.parse(text).ok == several
    assert ANY.parse(text).ok == (is_call(value) or several)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"arguments": {}}', [("missing_name", '{"arguments": {}}')]),
        ('{"name": "a"}', [("missing_arguments", '{"name": "a"}')]),
        ('{"name": "a", "arguments": {}, "id": 1}', [("unexpected_key", '"id"')]),
        (
            ' {"name": "a", "parameters": {}}',
            [("missing_arguments", '"parameters"')],
        ),
        (
            '{"type": "function", "function": {}}',
            [
                ("missing_name", '{"type": "function", "function": {}}'),
                ("missing_arguments", '{"type": "function", "function": {}}'),
                ("unexpected_key", '"type"'),
            ],
        ),
        ('{"name": "", "arguments": {}}', [("name_not_text", '""')]),
        ('{"name": null, "arguments": {}}', [("name_not_text", "null")]),
        ('{"name": "a", "arguments": [1]}', [("arguments_not_object", "[1]")]),
        ('{"name": "a", "arguments": null}', [("arguments_not_object", "null")]),
        ('{"name": "a", "arguments": "{}"}', [("arguments_in_string", '"{}"')]),
        ("[]", [("no_call", "[]")]),
        (f'[{CALL}, "ring"]', [("call_not_object", '"ring"')]),
        ("4", [("wrong_root", "4")]),
        (f"<tool_call>\n{CALL}\n</tool_call>", TAGS),
        (f"[TOOL_CALLS] [{CALL}]", [("tag_around", "[TOOL_CALLS]")]),
        (
            f"<|python_tag|>{CALL}<|eom_id|>",
            [("tag_around", "<|python_tag|>"), ("tag_around", "<|eom_id|>")],
        ),
        (
            f"<tool_call>{CALL}</tool_call>\n<tool_call>{CALL}</tool_call>",
            [
                ("tag_around", "<tool_call>"),
                ("tag_around", "</tool_call>"),
                ("tag_around", "<tool_call>"),
                ("multiple_roots", CALL),
                ("tag_around", "</tool_call>"),
            ],
        ),
        (f"Sure! <tool_call>{CALL}</tool_call>", [("text_before", "Sure!"), *TAGS]),
        ('<tool_call>{"name": "a"', [("tag_around", "<tool_call>"), ("truncated", "")]),
        (
            '```json\n{"name": "a"}\n```',
            [("code_fence", "```json"), ("missing_arguments", '{"name": "a"}')],
        ),
        ('Hm {"name": "a", "arguments": {"x": "<tool_call>"}}', [("text_before", "Hm")]),
        ("book(n=4)", [("python_call", "book(n=4)")]),
        ("I cannot (yet)", [("no_json", "I cannot (yet)")]),
        ("<tool_call>", [("no_json", "<tool_call>"), ("tag_around", "<tool_call>")]),
    ],
)
def test_each_problem_has_its_label_and_span(text: str, expected: list[tuple[str, str]]) -> None:
    assert sorted(spans(text)) == sorted(expected)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("[book(nights=4), ring()]", 0, 24),
        ("```python\nbook(nights=4)\n```", 10, 24),
        ("<|python_tag|>book(nights=4)", 14, 28),
        ('book({"nights": 4})', 0, 19),
    ],
)
def test_calls_as_in_python(text: str, start: int, end: int) -> None:
    found = [problem for problem in ANY.parse(text).problems if problem.label == "python_call"]
    assert [(problem.start, problem.end) for problem in found] == [(start, end)]


def test_one_and_several() -> None:
    calls = f"[{CALL}, {CALL}]"
    assert ANY.parse(CALL).value == json.loads(CALL)
    assert ANY.parse(calls).value == SEVERAL.parse(calls).value == json.loads(calls)
    assert spans(calls, ONE) == [("wrong_count", calls)]
    assert spans(CALL, SEVERAL) == [("wrong_count", CALL)]
    assert spans("[]", ONE) == [("wrong_count", "[]"), ("no_call", "[]")]
    assert SEVERAL.render(json.loads(calls)) == calls
    values: list[Any] = [json.loads(CALL), []]
    for value in values:
        with pytest.raises(ValueError):
            SEVERAL.render(value)


def test_unknown_tools() -> None:
    assert BOOKING.parse(CALL).ok
    assert spans(CALL.replace("book", "cook"), BOOKING) == [("unknown_tool", '"cook"')]


def test_problems_of_one_label_are_bounded() -> None:
    labels = [label for label, _ in spans("[" + "1, " * 5000 + "{}]")]
    assert labels.count("call_not_object") == MOST_OF_ONE_LABEL
    assert ("missing_name", "{}") in spans("[" + "1, " * 5000 + "{}]")


def test_the_instruction_leaks_no_value() -> None:
    call = json.loads(CALL)
    asked = 'one tool call, a JSON object with the keys "name" and "arguments", and nothing else.'
    assert ANY.instruction(call) == f"Answer with {asked}"
    assert "array" in ANY.instruction([call])
