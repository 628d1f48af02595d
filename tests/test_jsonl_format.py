"""JSON Lines: what passes, what each broken text is labelled with, and that it is fast."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmtharness.evaluators.json.lines import JsonlFormat
from fmtharness.harness.surroundings import MOST_OF_ONE_LABEL
from fmtharness.harness.testing import check_format
from fmtharness.harness.testing.promises import is_linear
from tests.strategies import at_least, broken_texts, json_values, mutated_texts, written_texts

STRICT = JsonlFormat()
OBJECTS = JsonlFormat(root="object")


def spans(text: str, judge: JsonlFormat = STRICT) -> list[tuple[str, str]]:
    return [
        (problem.label, text[problem.start : problem.end]) for problem in judge.parse(text).problems
    ]


def test_the_format_keeps_its_promises() -> None:
    check_format(STRICT)


@pytest.mark.slow
def test_lenient_options_keep_the_promises() -> None:
    check_format(JsonlFormat(unique_keys=False, unicode_scalars=False, max_depth=2))


lines = written_texts(json_values(5)).map(lambda pair: pair[0].replace("\n", " ").replace("\r", ""))
texts = st.lists(lines, min_size=1, max_size=4).map("\n".join)


def references(text: str) -> list[Any]:
    """The values as the standard library reads the lines; ValueError where it does not."""

    def unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(members)) < len(members):
            raise ValueError("repeated key")
        return dict(members)

    def constant(name: str) -> None:
        raise ValueError(name)

    if text.replace("\r\n", "\n").count("\r"):
        raise ValueError("a carriage return alone")
    text.encode()
    split = text.split("\n")
    read = [
        json.loads(line, object_pairs_hook=unique, parse_constant=constant)
        for line in (split if split[-1] else split[:-1])
    ]
    json.dumps(read, ensure_ascii=False).encode()
    if not read or (len(read) == 1 and isinstance(read[0], list)):
        raise ValueError("no lines, or an array around them")
    return read


@at_least(400)
@given(texts | mutated_texts(texts) | mutated_texts(st.lists(broken_texts()).map("\n".join)))
def test_it_agrees_with_the_standard_library_line_by_line(text: str) -> None:
    parsed = STRICT.parse(text)
    try:
        expected = references(text)
    except ValueError:
        assert not parsed.ok
    else:
        assert json.dumps(parsed.value) == json.dumps(expected), parsed.problems


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}\n', [{"a": 1}]),
        ('{"a": 1}\r\n{"a": 2}\r\n', [{"a": 1}, {"a": 2}]),
        (' 1 \n\t"x"', [1, "x"]),
        ('"a\u2028b\x85"', ["a\u2028b\x85"]),
        ("[1]\n[2]", [[1], [2]]),
    ],
)
def test_what_passes(text: str, value: Any) -> None:
    assert STRICT.parse(text).value == value


ROWS = '{"a": 1}\n{"a": 2}'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [("empty", "")]),
        ("\n", [("empty", "\n")]),
        ("\ufeff" + ROWS, [("byte_order_mark", "\ufeff")]),
        ("Here:\n" + ROWS, [("text_before", "Here:")]),
        (ROWS + "\n\nDone.", [("text_after", "Done.")]),
        (f"```jsonl\n{ROWS}\n```", [("code_fence", "```jsonl"), ("code_fence", "```")]),
        ("I do not know.", [("no_value", "I do not know.")]),
        ("\n" + ROWS, [("blank_line", "\n")]),
        ('{"a": 1}\n \n{"a": 2}\n\n', [("blank_line", " \n"), ("blank_line", "\n")]),
        ('[{"a": 1}, {"a": 2}]', [("array_around", '[{"a": 1}, {"a": 2}]')]),
        ('[\n  {"a": 1}\n]\n', [("array_around", '[\n  {"a": 1}\n]')]),
        ('{\n  "a": 1\n}\n{"a": 2}', [("line_breaks_in_value", '{\n  "a": 1\n}')]),
        (
            '{\n "a": 1\n}, {\n "a": 2\n},\n',
            [
                ("line_breaks_in_value", '{\n "a": 1\n}'),
                ("comma_between", ","),
                ("line_breaks_in_value", '{\n "a": 2\n}'),
                ("comma_between", ","),
            ],
        ),
        (
            '{\n "a": True\n}\n{"a": 2}',
            [("line_breaks_in_value", '{\n "a": True\n}'), ("python_literal", "True")],
        ),
        ('{"a": 1},\n{"a": 2},', [("comma_between", ","), ("comma_between", ",")]),
        ('{"a": True},\n1', [("python_literal", "True"), ("comma_between", ",")]),
        ('{"a": 1,\n{"a": 2}', [("truncated", "")]),
        ('{"a":\n{"a": 2}\n{"a": 3}', [("truncated", "")]),
        ('{"a": 1}\n{"a": 2', [("truncated", "")]),
        ('{"a": 1}{"a": 2}\n3', [("multiple_roots", '{"a": 2}')]),
        ('{"a": 1}\nOslo\n3', [("no_json", "Oslo")]),
        ('{"a": 1, "a": 2}', [("duplicate_key", '"a"')]),
        ("1\r2\n3", [("stray_carriage_return", "\r"), ("text_after", "\r2")]),
        ("1. {}\n2. {}", [("text_before", "1."), ("text_before", "2.")]),
        ("01\n2", [("leading_zero", "01")]),
        (
            '{"a":\n1} {"a":\n2}',
            [
                ("line_breaks_in_value", '{"a":\n1}'),
                ("multiple_roots", '{"a":'),
                ("line_breaks_in_value", '{"a":\n2}'),
            ],
        ),
        (
            '{"a":\n1} or so\n2',
            [
                ("line_breaks_in_value", '{"a":\n1}'),
                ("text_after", "or so"),
            ],
        ),
        ("1\n2\r", [("stray_carriage_return", "\r")]),
    ],
)
def test_each_problem_has_its_label_and_span(text: str, expected: list[tuple[str, str]]) -> None:
    assert spans(text) == expected


def test_the_root_of_a_line() -> None:
    assert spans('{"a": 1}\n[2]\n"x"', OBJECTS) == [("wrong_root", "[2]"), ("wrong_root", '"x"')]
    assert JsonlFormat(root="array").parse("[1, 2]").value == [[1, 2]]
    with pytest.raises(ValueError):
        STRICT.render([[1, 2]])
    with pytest.raises(ValueError):
        OBJECTS.render(["x"])
    for judge in (OBJECTS, JsonlFormat(root="array")):
        assert "wrong_root" in judge.corruptions()


@pytest.mark.parametrize(
    ("line", "ok"),
    [
        ('{"city": "Oslo", "nights": 4, "tags": ["a", "b"]}', True),
        ('"Oslo"', True),
        ('{"city": "Oslo", "nights": 4, "nights": 5}', False),
        ('{"city": "Oslo"},', False),
        ("{'city': 'Oslo'}", False),
        ('{\n  "city": "Oslo",\n  "nights": 4\n}', False),
        ('{"city": [', False),
        ("[\n1\n,", False),
        ("", False),
    ],
)
def test_many_lines_take_linear_time(line: str, ok: bool) -> None:
    assert is_linear(STRICT.parse, f"{line}\n")
    parsed = STRICT.parse(f"{line}\n" * 10_000)
    assert parsed.ok == ok
    labels = [problem.label for problem in parsed.problems]
    assert all(labels.count(label) <= MOST_OF_ONE_LABEL for label in labels)


def test_depth_is_counted_by_line() -> None:
    flat = JsonlFormat(max_depth=1)
    assert flat.parse("[]\n[]\n{}").ok
    assert spans("[]\n[[]]", flat) == [("too_deep", "[")]
    deep = "[" * 5000 + "]" * 5000
    assert JsonlFormat(max_depth=5000).parse(f"{deep}\n{deep}").ok


def test_the_instruction_names_the_shape_and_no_value() -> None:
    asked = "Answer in JSON Lines, with one JSON object per line, and nothing else."
    assert STRICT.instruction([{"city": "Oslo"}]) == asked
    assert STRICT.instruction(["Oslo"]) == asked.replace("object", "value")


@pytest.mark.parametrize("value", [[], {}, "x", None, {"rows": []}, [{1: 2}], ["\ud800"]])
def test_what_would_not_come_back_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):
        STRICT.render(value)
