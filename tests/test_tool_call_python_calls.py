"""Calls written as Python's statements, broken JSON that means a call, and single faults."""

from __future__ import annotations

import pytest

from fmtharness.evaluators.json.tool_call import ToolCallFormat
from fmtharness.evaluators.json.tool_call_statements import runs
from fmtharness.harness.testing.promises import is_linear

SYNTAXES = ("json", "hermes", "llama", "mistral", "mistral_args")


def labels(text: str, syntax: str = "json", **options: object) -> set[str]:
    judge = ToolCallFormat(syntax=syntax, **options)  # type: ignore[arg-type]
    return {problem.label for problem in judge.parse(text).problems}


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(
    "text",
    [
        *("[f(a='x'), g(b='y')]", "f(a=1);", "[\n  f(a=1),\n  g(b=2),\n]", 'f(a={"b": 1})'),
        *("f(a=[1, 2]);", "f()", "mod.f(a=1)", "print(f(a=1))", "f(a=1)\ng(b=2)", "r = f(a=1)"),
        *("await f(a=1)", "f('x')", "f(a=true, b=null)", "f({'a': 1})", "[f(a=1))]", "f(a=g(1))"),
        *("[f({'a': 1})] + [g({'b': 2})]", "f(t='Schindler's List')", "f(a=1); g(b=[2]);"),
        *("[get\\_x(a\\_b=1)]", "f(a=1)['x']", "f(a=new Q('x', \"y\"))", "f(a=1)  # why"),
    ],
)
def test_a_call_as_in_python_is_one_fault(text: str, syntax: str) -> None:
    assert labels(text, syntax) == {"python_call"}
    assert labels(f"```python\n{text}\n```", syntax) == {"code_fence", "python_call"}
    assert labels(f"Here is the call:\n\n{text}", syntax) == {"text_before", "python_call"}
    assert labels(f"{text}\n\nThis gets it.", syntax) == {"text_after", "python_call"}


@pytest.mark.parametrize(
    "text",
    [
        *("int main(void)", "the function foo(a, b) returns", "I cannot (yet)", "Item(s)"),
        "You can call get_weather(city='Paris') to find out.",
        "The `book(nights)` function is not what you need.",
    ],
)
def test_a_call_that_is_only_spoken_of_is_none(text: str) -> None:
    assert labels(text) == {"no_json"}


def test_a_call_of_a_tool_counts_within_a_sentence() -> None:
    text = "You can call get_weather(city='Paris') to find out."
    assert labels(text, tools=("get_weather",)) == {"text_before", "python_call", "text_after"}
    assert labels(text, tools=("book",)) == {"no_json"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[f(a='x'", {"python_call", "truncated"}),
        ("[{'name': 'x', 'parameters': {}}]", {"single_quotes", "missing_arguments"}),
        ("```\n[{'name': 'x', 'args': {}}]\n```", {"code_fence", "single_quotes"}),
        ('{"name": "x", "parameters": {"a": True,}}', {"python_literal", "trailing_comma"}),
        ('{name: "x", "parameters": {}}', {"unquoted_key"}),
        ('{"name": "x", // this\n "parameters": {}}', {"comment"}),
        ('{"name": "x", "parameters": {"a": 1', {"truncated"}),
        ('{"tool": "f", "arguments": {}}', {"missing_name"}),
        ('{"name": "f", "city": "Oslo"}', {"missing_arguments"}),
        ('{"f": {"city": "Oslo"}}', {"unexpected_key"}),
        ('{"type": "function", "function": {"name": "f", "arguments": {}}}', {"unexpected_key"}),
        ('{"tool_calls": [{"name": "f", "arguments": {}}]}', {"unexpected_key"}),
        ('["f", {"city": "Oslo"}]', {"call_not_object"}),
        ('{"city": "Oslo", "days": 2}', {"missing_name", "missing_arguments"}),
        ('{"name": "f", "arguments": {"code": "\nprint(x)\n"}}', {"raw_control_character"}),
    ],
)
def test_the_structure_of_what_is_meant(text: str, expected: set[str]) -> None:
    if "parameters" in text or "args" in text:
        expected = expected | ({"missing_arguments"} if "truncated" not in expected else set())
    assert labels(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, {"bad_python"}) for text in ("f(a=1)", "f(a=1); g()", "print(f(a=1))")),
        *((text, {"bad_python"}) for text in ("[f(a: 1)]", "[f\\_x(a=1)]", "['f(a=1)']")),
        ('{"name": "f", "arguments": {}}', {"bad_python"}),
        ('```json\n[{"name": "f", "arguments": {}}]\n```', {"code_fence", "bad_python"}),
        ("I cannot.", {"no_json"}),
        ("[f(a=1)", {"truncated"}),
        ("[f(a=1)]]", {"text_after"}),
        ("[f(a=1))]", {"unexpected_character"}),
        ("[f(a=x)]", {"not_literal"}),
        ("[f(1)]", {"positional_argument"}),
        ("[f(a=1, a=2)]", {"duplicate_key"}),
    ],
)
def test_each_fault_of_pythons_syntax_is_named_once(text: str, expected: set[str]) -> None:
    assert labels(text, "python") == expected


@pytest.mark.parametrize(
    ("text", "syntax"),
    [
        ("total[ARGS]{}", "mistral_args"),
        ('<function_call>{"name": "f", "arguments": {}}</function_call>', "hermes"),
        ('<tool_call>\n{"name": "f", "arguments": {}}\n<tool_call>', "hermes"),
    ],
)
def test_a_wrong_tag_is_a_missing_one(text: str, syntax: str) -> None:
    assert labels(text, syntax) == {"missing_tag"}


@pytest.mark.parametrize(
    "unit", ["f(", "f(a='", "x = ", "print(", "f(a=1), ", "f(f)\n", "[f(", "'", "f(a)[", '"""']
)
def test_calls_are_found_in_linear_time(unit: str) -> None:
    assert is_linear(runs, unit)
    assert is_linear(ToolCallFormat().parse, unit)
