"""Tool calls in the syntaxes of chat templates: what passes, and each problem's label and span."""

from __future__ import annotations

import ast
import json
import re
from random import Random
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmtharness.evaluators.json.extras import Extras
from fmtharness.evaluators.json.objects import DuplicateJsonObjects
from fmtharness.evaluators.json.tool_call import ToolCallFormat
from fmtharness.generators.tasks import Tasks
from fmtharness.harness.options import build
from fmtharness.harness.records import Completion, Example, Message
from fmtharness.harness.testing import check_format
from fmtharness.harness.testing.promises import is_linear
from tests.strategies import json_objects

SYNTAXES = get_args(ToolCallFormat.model_fields["syntax"].annotation)
IN_TAGS = [syntax for syntax in SYNTAXES if syntax != "json"]
BOOK: dict[str, Any] = {"name": "book", "arguments": {"city": "Oslo", "nights": 4}}
RING: dict[str, Any] = {"name": "ring", "arguments": {}}
BOOK_JSON = json.dumps(BOOK)


def of(syntax: str, **options: Any) -> ToolCallFormat:
    return ToolCallFormat(syntax=syntax, **options)  # type: ignore[arg-type]


def spans(text: str, judge: ToolCallFormat) -> list[tuple[str, str]]:
    return [
        (problem.label, text[problem.start : problem.end]) for problem in judge.parse(text).problems
    ]


@pytest.mark.parametrize("syntax", IN_TAGS)
def test_each_syntax_keeps_its_promises(syntax: str) -> None:
    check_format(of(syntax), examples=10)


@pytest.mark.parametrize("syntax", IN_TAGS)
@pytest.mark.parametrize("options", [{"calls": "one"}, {"tools": ("book", "ring")}])
def test_corruptions_follow_the_options(syntax: str, options: dict[str, Any]) -> None:
    judge = of(syntax, **options)
    label = "wrong_count" if "calls" in options else "unknown_tool"
    assert {label} == judge.corruptions().keys() - of(syntax).corruptions().keys()
    for value in (BOOK, RING) if "calls" in options else (BOOK, RING, [BOOK, RING]):
        text = judge.render(value)
        for name, corrupt in judge.corruptions().items():
            for seed in range(6):
                broken = corrupt(text, Random(seed))
                assert broken is None or name in dict(spans(broken, judge)), (name, broken)


@pytest.mark.parametrize(
    ("syntax", "one", "two"),
    [
        ("json", BOOK_JSON, f"[{BOOK_JSON}, {json.dumps(RING)}]"),
        (
            "hermes",
            f"<tool_call>\n{BOOK_JSON}\n</tool_call>",
            f"<tool_call>\n{BOOK_JSON}\n</tool_call>\n"
            '<tool_call>\n{"name": "ring", "arguments": {}}\n</tool_call>',
        ),
        (
            "llama",
            '{"name": "book", "parameters": {"city": "Oslo", "nights": 4}}',
            '{"name": "book", "parameters": {"city": "Oslo", "nights": 4}}; '
            '{"name": "ring", "parameters": {}}',
        ),
        (
            "mistral",
            f"[TOOL_CALLS] [{BOOK_JSON}]",
            f"[TOOL_CALLS] [{BOOK_JSON}, {json.dumps(RING)}]",
        ),
        (
            "mistral_args",
            '[TOOL_CALLS]book[ARGS]{"city": "Oslo", "nights": 4}',
            '[TOOL_CALLS]book[ARGS]{"city": "Oslo", "nights": 4}[TOOL_CALLS]ring[ARGS]{}',
        ),
        ("python", '[book(city="Oslo", nights=4)]', '[book(city="Oslo", nights=4), ring()]'),
    ],
)
def test_what_is_rendered(syntax: str, one: str, two: str) -> None:
    judge, several = of(syntax), of(syntax, calls="several")
    assert judge.render(BOOK) == one
    assert judge.render([BOOK, RING]) == several.render([BOOK, RING]) == two
    assert judge.parse(one).value == BOOK
    assert judge.parse(two).value == several.parse(two).value == [BOOK, RING]
    if syntax != "json":
        assert several.render([BOOK]) == one and several.parse(one).value == [BOOK]
        with pytest.raises(ValueError, match="a list of one call"):
            judge.render([BOOK])
    for value in (7, [], ["book"], {"name": "book"}, {**BOOK, "id": "123456789"}):
        with pytest.raises(ValueError):
            judge.render(value)


@pytest.mark.parametrize(
    ("syntax", "text", "value"),
    [
        ("hermes", f" <tool_call>{BOOK_JSON}</tool_call>\n\n", BOOK),
        (
            "hermes",
            '<tool_call>{"name": "a", "arguments": {"x": "</tool_call>"}}</tool_call>',
            {"name": "a", "arguments": {"x": "</tool_call>"}},
        ),
        (
            "llama",
            '<|python_tag|>{"name": "ring", "parameters": {}}',
            RING,
        ),
        (
            "llama",
            '{"name": "a", "parameters": {"x": "};{"}};\n{"name": "ring", "parameters": {}}',
            [{"name": "a", "arguments": {"x": "};{"}}, RING],
        ),
        ("mistral", '[TOOL_CALLS][{"name":"ring","arguments":{},"id":"a1B2c3D4e"}]', RING),
        ("mistral_args", "[TOOL_CALLS]ring[CALL_ID]a1B2c3D4e[ARGS]{}", RING),
        ("mistral_args", " [TOOL_CALLS] ring [ARGS] {}\n", RING),
        (
            "mistral_args",
            '[TOOL_CALLS]a[ARGS]{"x": "[TOOL_CALLS]"}',
            {"name": "a", "arguments": {"x": "[TOOL_CALLS]"}},
        ),
        ("python", "<|python_start|>[ring()]<|python_end|>", RING),
        (
            "python",
            "[\n  a.b(x='it\\'s', y=[1, -2.5e3, None], z={\"k\": True, 'é': \"\\x41\\n\"})\n]",
            {
                "name": "a.b",
                "arguments": {
                    "x": "it's",
                    "y": [1, -2500.0, None],
                    "z": {"k": True, "é": "A\n"},
                },
            },
        ),
    ],
)
def test_what_passes(syntax: str, text: str, value: Any) -> None:
    parsed = of(syntax).parse(text)
    assert parsed.ok, parsed.problems
    assert parsed.value == value


@pytest.mark.parametrize(
    ("syntax", "text", "expected"),
    [
        ("hermes", BOOK_JSON, [("missing_tag", "")]),
        (
            "hermes",
            f"{BOOK_JSON}\n</tool_call>",
            [("missing_tag", "")],
        ),
        ("hermes", f"<tool_call>\n{BOOK_JSON}\n", [("truncated", "")]),
        ("hermes", f"<tool_call>\n{BOOK_JSON}\n</tool_", [("truncated", "")]),
        ("hermes", "<tool_c", [("no_json", "<tool_c"), ("truncated", "")]),
        ("hermes", "<tool_call>\n", [("truncated", "")]),
        ("hermes", '<tool_call>{"name": "a"', [("truncated", "")]),
        (
            "hermes",
            f"<tool_call>{BOOK_JSON}<tool_call>{BOOK_JSON}</tool_call>",
            [("missing_tag", "")],
        ),
        (
            "hermes",
            f"<tool_call>{BOOK_JSON}</tool_call>, <tool_call>{BOOK_JSON}</tool_call> Done",
            [("text_between", ","), ("text_after", "Done")],
        ),
        (
            "hermes",
            f"Sure! <tool_call>{BOOK_JSON}</tool_call></tool_call>",
            [("text_before", "Sure!"), ("missing_tag", "</tool_call>")],
        ),
        (
            "hermes",
            f"```\n<tool_call>{BOOK_JSON}</tool_call>\n```",
            [("code_fence", "```"), ("code_fence", "```")],
        ),
        (
            "hermes",
            '<tool_call>{"name": "a", "arguments": {"x": True,}}</tool_call>',
            [("python_literal", "True"), ("trailing_comma", ",")],
        ),
        (
            "hermes",
            '<tool_call>{"name": "a", "arguments": "{}", "id": 1}</tool_call>',
            [("arguments_in_string", '"{}"'), ("unexpected_key", '"id"')],
        ),
        ("hermes", f"<tool_call>[{BOOK_JSON}]</tool_call>", [("wrong_root", f"[{BOOK_JSON}]")]),
        ("hermes", "I cannot.", [("no_json", "I cannot.")]),
        ("hermes", "", [("empty", "")]),
        (
            "hermes",
            f"[TOOL_CALLS] [{BOOK_JSON}]",
            [("missing_tag", "[TOOL_CALLS]")],
        ),
        (
            "llama",
            '{"name": "a", "arguments": {}}',
            [("missing_arguments", '"arguments"')],
        ),
        (
            "llama",
            '{"name": "a", "parameters": {}}; {"name": "b", "parameters": [1]}',
            [("arguments_not_object", "[1]")],
        ),
        ("llama", '{"name": "a", "parameters": {}};', [("text_after", ";")]),
        ("llama", "<|python_tag|>", [("truncated", "")]),
        (
            "llama",
            'Sure <|python_tag|>{"name": "a", "parameters": {}',
            [("text_before", "Sure"), ("truncated", "")],
        ),
        (
            "mistral",
            '[TOOL_CALLS] {"name": "ring", "arguments": {}}',
            [("wrong_root", '{"name": "ring", "arguments": {}}')],
        ),
        ("mistral", "[TOOL_CALLS] []", [("no_call", "[]")]),
        ("mistral", "[TOOL_CALLS] [4]", [("call_not_object", "4")]),
        ("mistral", f"[{BOOK_JSON}]", [("missing_tag", "")]),
        ("mistral", "[TOOL_CALLS]", [("truncated", "")]),
        ("mistral", '[TOOL_CALLS] [{"name"', [("truncated", "")]),
        (
            "mistral",
            '[TOOL_CALLS] [{"name": "a", "arguments": {}, "id": "call_1"}]',
            [("bad_call_id", '"call_1"')],
        ),
        ("mistral_args", "[TOOL_CALLS]ring{}", [("missing_tag", "")]),
        ("mistral_args", "[TOOL_CALLS]ri", [("truncated", "")]),
        ("mistral_args", "[TOOL_CALLS]ring[AR", [("truncated", "")]),
        ("mistral_args", "[TOOL_CALLS]ring[ARGS]", [("truncated", "")]),
        ("mistral_args", "[TOOL_CALLS]ring[ARGS]{}[TOOL", [("truncated", "")]),
        ("mistral_args", "[TOOL_CALLS]ring[ARGS][1]", [("arguments_not_object", "[1]")]),
        ("mistral_args", "[TOOL_CALLS][ARGS]{}", [("name_not_text", "")]),
        ("mistral_args", "[TOOL_CALLS]a b[ARGS]{}", [("name_not_text", "a b")]),
        (
            "mistral_args",
            "[TOOL_CALLS]a[ARGS]{} and [TOOL_CALLS]b[ARGS]{'x': 1}",
            [("text_between", "and"), ("single_quotes", "'x'")],
        ),
        ("python", "[book(4)]", [("positional_argument", "4")]),
        ("python", "[book(n=null)]", [("not_literal", "null")]),
        ("python", "[book(n=(1, 2))]", [("not_literal", "(")]),
        ("python", "[book(n=today())]", [("not_literal", "today(")]),
        ("python", "[book(n=1, n=2)]", [("duplicate_key", "n=")]),
        ("python", "[book(n=1,)]", [("trailing_comma", ",")]),
        ("python", "[book(n=1) ring()]", [("missing_comma", "r")]),
        ("python", "[book(class=1)]", [("bad_python", "class=")]),
        (
            "python",
            '[{"name": "a", "arguments": {}}]',
            [("bad_python", '[{"name": "a", "arguments": {}}]')],
        ),
        ("python", "[book(n='a\nb')]", [("raw_control_character", "'a\nb'")]),
        ("python", "[book(n='\\d')]", [("bad_escape", "'\\d'")]),
        ("python", "[book(n='", [("truncated", "")]),
        ("python", "[book(n=1), ri", [("truncated", "")]),
        ("python", "Sure: [ring()] ok", [("text_before", "Sure:"), ("text_after", "ok")]),
        ("python", "[]", [("no_call", "[]")]),
        (
            "python",
            "ring()",
            [("bad_python", "ring()")],
        ),
    ],
)
def test_each_problem_has_its_label_and_span(
    syntax: str, text: str, expected: list[tuple[str, str]]
) -> None:
    assert sorted(spans(text, of(syntax))) == sorted(expected)


@pytest.mark.parametrize("syntax", IN_TAGS)
def test_options_hold_in_each_syntax(syntax: str) -> None:
    two = of(syntax).render([BOOK, RING])
    assert dict(spans(two, of(syntax, calls="one"))).keys() == {"wrong_count"}
    ((label, span),) = spans(two, of(syntax, tools=("book",)))
    assert label == "unknown_tool" and "ring" in span
    deep = of(syntax).render({"name": "a", "arguments": {"x": [[[[]]]]}})
    assert "too_deep" in dict(spans(deep, of(syntax, max_depth=4)))
    texts = [of(other).render(BOOK) for other in SYNTAXES if other != syntax]
    assert not any(of(syntax).parse(text).ok for text in texts)


names = st.text(max_size=5) | st.sampled_from(["book", "a.b", "get-user", "ring_2"])
calls = st.fixed_dictionaries({"name": names, "arguments": json_objects(3)})


@given(calls | st.lists(calls, max_size=3), st.sampled_from(IN_TAGS))
def test_what_is_rendered_is_read_back(value: Any, syntax: str) -> None:
    listed = value if isinstance(value, list) else [value]
    named = all(re.fullmatch(r"[a-z_]+", call["name"]) for call in listed)
    keys = all(re.fullmatch(r"[a-z_]{3,}", key) for call in listed for key in call["arguments"])
    held = len(listed) != isinstance(value, list) and bool(listed) and named and keys
    try:
        text = of(syntax).render(value)
    except ValueError:
        assert not held
        return
    assert of(syntax).parse(text).value == value


PIECES = st.sampled_from(
    [
        *("[", "]", "(", ")", "{", "}", ",", "=", ":", " ", "f", "f(", "x=", "'a'", '"a"', "\\"),
        *("1", "-2.5", "0x1", "1_0", "True", "None", "null", "'", '"', "f'a'", "b.c(", "*", "\n"),
        *("[f(x=1)", ", y=[1]", "{'k': 2}", ")]", "#", "class=", "lambda: 0", "07", "1e5", "é"),
    ]
)


@given(st.lists(PIECES, max_size=8).map("".join) | calls.map(lambda call: repr([call])))
def test_what_is_accepted_is_what_python_reads(text: str) -> None:
    text = text if text.startswith("[") else f"[f(x={text})]"
    parsed = of("python", calls="several").parse(text)
    if parsed.ok:
        tree = ast.parse(text.strip(), mode="eval").body
        assert isinstance(tree, ast.List)
        read = []
        for call in tree.elts:
            assert isinstance(call, ast.Call) and not call.args
            given = {each.arg: ast.literal_eval(each.value) for each in call.keywords}
            read.append({"name": ast.unparse(call.func), "arguments": given})
        assert parsed.value == read


@pytest.mark.parametrize("syntax", IN_TAGS)
@pytest.mark.parametrize(
    "unit",
    [
        *("<tool_call>", '<tool_call>{"', '<tool_call>{"</tool_call>', "</tool_call>", "};{"),
        *("[TOOL_CALLS]", "[TOOL_CALLS]a[ARGS]", '[TOOL_CALLS]a[ARGS]{"', "[f(", "f(a='\\'"),
        *("<|python_tag|>", "f(x=["),
    ],
)
def test_hostile_texts_take_linear_time(syntax: str, unit: str) -> None:
    assert is_linear(of(syntax).parse, unit)


def asked(value: Any, syntax: str) -> Example:
    return Example(
        id="x",
        prompt=(Message("user", "?"),),
        completion="",
        format="tool_call",
        value=value,
        format_options={"syntax": syntax},
    )


@pytest.mark.parametrize("syntax", IN_TAGS)
def test_the_evaluators_of_every_tool_call_know_the_syntax(syntax: str) -> None:
    two, one = of(syntax).render([BOOK, RING]), of(syntax).render(BOOK)

    def counts(evaluator: Any, value: Any, text: str) -> dict[str, int]:
        found = evaluator.evaluate(asked(value, syntax), Completion(example_id="x", text=text))
        return {**found.counts, "passed": int(found.passed)}

    assert counts(Extras(), BOOK, one)["passed"] == 1
    said = counts(Extras(), BOOK, f"Sure!\n{one}\n\nI hope it helps.")
    assert said["passed"] == 0 and said["text_before"] == said["text_after"] == 1
    assert said["characters_before"] == len("Sure!")
    keys = counts(Extras(), BOOK, of(syntax).render({"name": "a", "arguments": {"town": 1}}))
    assert keys["missing_keys"] == 2 and keys["unexpected_keys"] == 1
    assert counts(DuplicateJsonObjects(), [BOOK, RING], two)["passed"] == 1
    if syntax != "python":  # in which no JSON stands
        assert counts(DuplicateJsonObjects(), BOOK, two)["objects"] == 2


@pytest.mark.parametrize("syntax", IN_TAGS)
def test_training_data_in_each_syntax(syntax: str) -> None:
    rows = list(Tasks(format=f"tool_call:syntax={syntax}").generate("train", 60, Random(3)))
    assert any(isinstance(row.value, list) for row in rows)
    for kind in ("strict", "match"):
        judge = build("evaluators", f"tool_call_{kind}")
        for row in rows:
            assert judge.evaluate(row, Completion(example_id=row.id, text=row.target)).passed
