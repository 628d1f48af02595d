"""What stands around calls, and outside of their JSON, is one fault with one label."""

from __future__ import annotations

import time

import pytest

from fmtharness.evaluators.json.tool_call import ToolCallFormat
from fmtharness.harness.testing.promises import is_linear

CALL = '{"name": "ring", "arguments": {"at": 4}}'
TAGGED = f"<tool_call>{CALL}</tool_call>"
ARGS = '[TOOL_CALLS]ring[ARGS]{"at": 4}'
LLAMA = '{"name": "ring", "parameters": {"at": 4}}'


def spans(text: str, syntax: str, tools: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    judge = ToolCallFormat(syntax=syntax, tools=tools)  # type: ignore[arg-type]
    found = judge.parse(text).problems
    return [(problem.label, text[problem.start : problem.end]) for problem in found]


@pytest.mark.parametrize(
    ("syntax", "text", "comments"),
    [
        ("hermes", f"{TAGGED}\n/* done */", ["/* done */"]),
        ("hermes", f"// a call\n{TAGGED}\n# the `other` one\n{TAGGED}", None),
        ("mistral", f"# a call\n[TOOL_CALLS] [{CALL}]", ["# a call"]),
        ("mistral_args", f"{ARGS} // done", ["// done"]),
        ("mistral_args", f"{ARGS}\n/* one */ /* two */\n{ARGS}", ["/* one */", "/* two */"]),
        ("llama", f"{LLAMA}\n/* done */; {LLAMA}", ["/* done */"]),
        ("llama", f"# a call\n<|python_tag|>{LLAMA}", ["# a call"]),
    ],
)
def test_a_comment_beside_tags_is_a_comment(
    syntax: str, text: str, comments: list[str] | None
) -> None:
    wanted = comments or ["// a call", "# the `other` one"]
    assert spans(text, syntax) == [("comment", comment) for comment in wanted]


def test_a_comment_within_prose_is_prose() -> None:
    prose = "# Note\nIt rings."
    assert spans(f"{ARGS}\n{prose}", "mistral_args") == [("text_after", prose)]


@pytest.mark.parametrize(
    ("syntax", "text", "expected"),
    [
        ("json", "[ring(at=4)]\n\nThis calls `ring` once: `ring`", ["python_call", "text_after"]),
        ("json", "`ring(at=4)`", ["code_fence", "python_call"]),
        ("json", "Call `ring` so:\n```\nring(at=4)\n```", None),
        ("hermes", f"{TAGGED}\nThat is `ring`.", ["text_after"]),
        ("hermes", f"`{TAGGED}`", ["code_fence"]),
    ],
)
def test_a_backtick_is_a_fence_only_beside_a_call(
    syntax: str, text: str, expected: list[str] | None
) -> None:
    wanted = expected or ["code_fence", "python_call", "text_before"]
    found = spans(text, syntax)
    assert sorted({label for label, _ in found}) == wanted
    assert ("code_fence", "`") not in found or text.startswith("`")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('find_room\n{"city": "Oslo"}', [("missing_name", "find_room")]),
        ('f: {"a": 1}', [("missing_name", "f")]),
        ('find_room\n{"type": "suite", "id": 4}', [("missing_name", "find_room")]),
        (
            '```json\nroom.find\n{"a": 1}\n```',
            [("code_fence", "```json"), ("missing_name", "room.find")],
        ),
        ("f {'a': 1}", [("missing_name", "f"), ("single_quotes", "'a'")]),
        (
            'f\n{"a": 1}\ng\n{"b": 2}\n',
            [("missing_name", "f"), ("missing_name", "g"), ("multiple_roots", '{"b": 2}')],
        ),
    ],
)
def test_a_name_before_its_arguments(text: str, expected: list[tuple[str, str]]) -> None:
    assert spans(text, "json") == expected


def test_a_name_before_its_arguments_in_other_syntaxes() -> None:
    text = 'f\n{"a": 1}'
    assert spans(text, "llama") == [("missing_name", "f")]
    assert spans(text, "hermes") == [("missing_tag", ""), ("missing_name", "f")]
    assert spans(text, "mistral_args") == [("missing_tag", "")]
    assert spans(f"<tool_call>{text}</tool_call>", "hermes") == [("missing_name", "f")]


@pytest.mark.parametrize("word", ["Sure!", "json", "Answer:", "Here it is:"])
def test_a_word_before_json_is_no_name(word: str) -> None:
    wanted = ["missing_arguments", "missing_name", "text_before"]
    assert sorted(label for label, _ in spans(f'{word}\n{{"a": 1}}', "json")) == wanted


def test_names_before_arguments_are_names_of_tools() -> None:
    assert spans('ring {"a": 1}', "json", ("ring",)) == [("missing_name", "ring")]
    wanted = [("missing_name", "ring_it"), ("unknown_tool", "ring_it")]
    assert spans('ring_it {"a": 1}', "json", ("ring",)) == wanted
    assert ("text_before", "Sure") in spans('Sure {"a": 1}', "json", ("ring",))


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ('{"name": , "arguments": {}}', ","),
        ('[{"name": "f", "arguments": }]', "}"),
        ('{"name": "f", "arguments": {"a": }}', "}"),
    ],
)
def test_a_missing_value_is_nothing_else(text: str, span: str) -> None:
    assert spans(text, "json") == [("missing_value", span)]


def test_a_type_that_names_the_tool_stands_in_place_of_the_name() -> None:
    assert spans('{"type": "room.find", "arguments": {}}', "json") == [("missing_name", '"type"')]
    assert ("unexpected_key", '"type"') in spans('{"type": "function", "arguments": {}}', "json")


def test_strings_with_code_in_json_are_no_calls_of_python() -> None:
    text = '[{"name": "f", "arguments": {"a":"print(\\"x\\", end=\\"\\")", "b": "c"}}]'
    assert spans(text, "python") == [("bad_python", text)]
    assert spans("Sure.\n\n[()]", "python") == [("text_before", "Sure."), ("bad_python", "[()]")]


@pytest.mark.parametrize("syntax", ["json", "hermes", "llama", "mistral", "mistral_args"])
def test_arguments_that_code_passes_on_are_no_call(syntax: str) -> None:
    text = 'data = {"city": "Oslo"}\nprint(find_room(data))'
    wanted = [("text_before", 'data = {"city": "Oslo"}'), ("python_call", text.split("\n")[1])]
    assert spans(text, syntax) == wanted


def test_calls_behind_an_open_quote_are_told_apart() -> None:
    text = '{"name": "f", "parameters": {"a": "x, "b": 4}}; {"name": "g", "parameters": {}}'
    assert spans(text, "llama") == [("unclosed_quote", '"x')]


def test_a_tag_behind_an_open_quote_is_a_tag() -> None:
    text = '<tool_call>\n{"name": "f", "arguments": {\'a": 1, \'b\': 2}}\n</tool_call>\n"'
    assert ("tag_around", "</tool_call>") in spans(text, "json")


@pytest.mark.parametrize("syntax", ["json", "hermes", "llama", "mistral_args", "python"])
@pytest.mark.parametrize(
    "unit",
    [
        'f {"a": 1} ',
        '{"a": "}; {"a": ',
        "}; {'a': ",
        "/* a */ ",
        "`f` ",
        '"\\"',
        'f{"a":1},g',
        "f {",
    ],
)
def test_time_is_linear(syntax: str, unit: str) -> None:
    judge = ToolCallFormat(syntax=syntax)  # type: ignore[arg-type]
    assert is_linear(judge.parse, unit)
    assert is_linear(lambda text: judge.parse(f"<tool_call>{text}"), unit)


def test_a_cut_call_behind_another_leaves_its_faults() -> None:
    text = '{"name": "f", "arguments": {}}\n{"name": "g", "arg'
    assert {label for label, _ in spans(text, "llama")} >= {"missing_arguments", "truncated"}


@pytest.mark.parametrize(
    ("syntax", "unit"), [("llama", '};{"a":'), ("python", "[f("), ("json", "{")]
)
def test_hostile_texts_take_a_second_or_two(syntax: str, unit: str) -> None:
    judge = ToolCallFormat(syntax=syntax)  # type: ignore[arg-type]
    text = unit * (200_000 // len(unit))
    start = time.process_time()
    assert not judge.parse(text).ok
    assert time.process_time() - start < 2
