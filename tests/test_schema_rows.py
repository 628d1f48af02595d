"""Rows with a JSON Schema beside rows without one, and tool calls in every syntax."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fmtharness.evaluators.json.schema import JsonSchema
from fmtharness.evaluators.json.tool_call import ToolCallFormat
from fmtharness.harness.cli import main
from fmtharness.harness.contracts import applies, lacks, needs_example
from fmtharness.harness.judging.verdicts import judge
from fmtharness.harness.records import Completion, Example

STEPS = {
    "type": "object",
    "properties": {"steps": {"type": "array", "items": {"$ref": "#/$defs/step"}}},
    "required": ["steps"],
    "additionalProperties": False,
    "$defs": {"step": {"type": "object", "required": ["why"]}},
}
OLD = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {
        "city": {"type": "string", "nullable": True},
        "at": {"$ref": "#/definitions/pair"},
    },
    "definitions": {"pair": {"items": [{"type": "number"}], "additionalItems": False}},
    "x-order": ["city"],
}


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["eval", *map(str, arguments)])


def write(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def request(name: str, schema: Any = None) -> dict[str, Any]:
    body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": name}]}
    if schema is not None:
        wrapped = {"name": "answer", "strict": True, "schema": schema}
        body["response_format"] = {"type": "json_schema", "json_schema": wrapped}
    return {"custom_id": name, "body": body}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = [request("a", STEPS), request("b", OLD), request("c")]
    rows[2]["body"]["response_format"] = {"type": "text"}
    write(tmp_path / "asked.jsonl", rows)
    texts = {"a": '{"steps": [{}]}', "b": '{"city": null, "at": [1, 2]}', "c": "{}"}
    write(tmp_path / "t.jsonl", [{"id": name, "text": text} for name, text in texts.items()])
    return tmp_path


def test_a_row_without_a_schema_is_left_out_and_counted(files: Path) -> None:
    given = ("--data", "asked.jsonl", "--completions", "t.jsonl", "--format", "json", "--json")
    done = call(*given, "--verdicts", "v.jsonl")
    assert done.exit_code == 0, done.output
    rate = json.loads(done.stdout)["json_schema"]
    assert (rate["metrics"]["schema_valid_rate"]["denominator"], rate["unscored"]) == (2, 0)
    note = "1 of 3 rows have no schema or readable target, which json_schema leaves out"
    assert note in done.stderr
    found = [json.loads(line) for line in Path("v.jsonl").read_text().splitlines()]
    said = [
        (row["id"], problem["message"])
        for row in found
        for problem in row["problems"]
        if row["evaluator"] == "json_schema"
    ]
    assert said == [
        ("a", '/steps/0: the key "why" is missing'),
        (
            "b",
            '/city: expected a string, got null ("nullable" is no keyword of JSON Schema; allow '
            'the type "null")',
        ),
        ("b", "/at/1: only 1 item may stand in this array"),
    ]
    for processes in ("1", "2"):
        again = call(*given, "--evaluator", "json_schema", "--processes", processes)
        assert json.loads(again.stdout)["json_schema"] == rate


def test_without_any_schema_it_is_a_user_s_error(files: Path) -> None:
    write(Path("bare.jsonl"), [request("a"), request("b")])
    for data, words in {
        ("--data", "bare.jsonl", "--format", "json"): (
            "'json_schema' can judge no row of bare.jsonl, since none has a schema or readable "
            "target; name another evaluator"
        ),
        (): "'json_schema' has no schema: name one with --schema, or rows that have one",
    }.items():
        done = call("--completions", "t.jsonl", "--evaluator", "json_schema", *data)
        assert (done.exit_code, done.stdout) == (2, ""), done.output
        assert words in done.stderr
    done = CliRunner().invoke(main, ["check", "--evaluator", "json_schema", "--text", "{}"])
    assert done.exit_code == 2 and "has no schema: name one with --schema" in done.stderr


def test_a_schema_of_the_command_line_wins_and_says_what_the_root_is(files: Path) -> None:
    Path("list.json").write_text('{"type": "array", "items": {"type": "integer"}}')
    write(Path("l.jsonl"), [{"id": "a", "text": "[1]"}, {"id": "b", "text": "[1.5]"}])
    write(Path("p.jsonl"), [{"id": name, "prompt": name} for name in "ab"])
    for more in ([], ["--data", "p.jsonl"], ["--data", "asked.jsonl", "--form", "openai-batch"]):
        done = call("--completions", "l.jsonl", "--schema", "list.json", "--json", *more)
        found = json.loads(done.stdout)
        assert found["json_strict"]["metrics"]["format_success_rate"]["value"] == 1
        assert found["json_schema"]["metrics"]["schema_valid_rate"]["numerator"] == 1
    both = ("--evaluator", "json_schema", "--schema", "list.json")
    assert call("--completions", "l.jsonl", *both).exit_code == 0


def test_what_an_example_lacks() -> None:
    own, named = JsonSchema(), JsonSchema(schema=True)
    bare = Example(id="1", prompt=(), format="json")
    held = Example(id="1", prompt=(), format="json", tags={"json_schema": {}})
    assert (lacks(own, bare), lacks(own, held)) == ("schema or readable target", "")
    assert [applies(own, each) for each in (bare, held, None)] == [False, True, True]
    assert (lacks(named, bare), needs_example(named), needs_example(own)) == ("", False, True)
    completion = Completion(example_id="1", text="{}")
    assert [*judge([own], {"1": bare}, [completion])] == []
    [stranger] = judge([own], {"2": held}, [completion])
    assert stranger.passed is None, "nobody knows what it lacks"


CALLS = [
    {"name": "book", "arguments": {"city": "Oslo", "nights": "x"}},
    {"name": "ring", "arguments": {"at": [1, {"é": "y"}]}},
]
TAGGED = {
    "json": "{}",
    "hermes": "\n<tool_call>\n{}\n</tool_call>\n",
    "llama": "<|python_tag|>{}",
    "mistral": "[TOOL_CALLS] {}",
    "mistral_args": "{}",
    "python": "<|python_start|>{}<|python_end|>",
}
ARGUMENTS = {
    "properties": {
        "nights": {"type": "integer"},
        "at": {"items": {"additionalProperties": {"type": "number"}}},
    },
    "required": [],
}
OF_A_CALL = {"type": "object", "properties": {"name": {"type": "string"}, "arguments": ARGUMENTS}}


@pytest.mark.parametrize("syntax", TAGGED)
@pytest.mark.parametrize("calls", [CALLS[:1], CALLS], ids=["one", "two"])
def test_tool_calls_in_every_syntax_fail_at_their_place(syntax: Any, calls: Any) -> None:
    several = len(calls) > 1
    text = ToolCallFormat(syntax=syntax).render(calls if several else calls[0])
    if syntax in ("llama", "python"):
        text = TAGGED[syntax].replace("{}", text)
    schema = {"type": "array", "items": OF_A_CALL} if several else OF_A_CALL
    example = Example(
        id="1",
        prompt=(),
        format="tool_call",
        format_options={"syntax": syntax},
        tags={"json_schema": schema},
    )
    verdict = JsonSchema().evaluate(example, Completion(example_id="1", text=text))
    found = [(each.message, text[each.start : each.end]) for each in verdict.problems]
    path = "/0" if several else ""
    due = [(f'{path}/arguments/nights: expected an integer, got "x" (a string)', '"x"')]
    if several:
        due.append(('/1/arguments/at/1/é: expected a number, got "y" (a string)', '"y"'))
    assert found == due
    right = text.replace('"x"', "3").replace('"y"', "4")
    assert JsonSchema().evaluate(example, Completion(example_id="1", text=right)).passed
    broken = JsonSchema().evaluate(example, Completion(example_id="1", text=f"Sure! {text}"))
    assert broken.labels == ("not_strict",)
