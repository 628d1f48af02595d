"""Every form of rows, read from a small file: what becomes of it as Examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fmtharness.harness.dataset import FORMS, Source, examples, form_of, rows
from fmtharness.harness.errors import DataError
from fmtharness.harness.records import Example, Message

ASK = "Where is Ada? Answer in JSON."
OSLO = '{"city": "Oslo"}'
USER, SYSTEM = Message("user", ASK), Message("system", "Be brief.")
CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": ASK}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"name": "book", "parameters": {"type": "object", "properties": {}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "book", "arguments": '{"nights": 4}'}}


def said(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}


FILES: dict[str, tuple[dict[str, Any], tuple[Message, ...], str | None]] = {
    "prompt-completion": ({"prompt": ASK, "completion": OSLO}, (USER,), OSLO),
    "preference": ({"prompt": ASK, "chosen": OSLO, "rejected": "Oslo"}, (USER,), OSLO),
    "openai-preference": (
        {
            "input": {"messages": CHAT, "tools": [], "parallel_tool_calls": True},
            "preferred_output": [said(OSLO)],
            "non_preferred_output": [said("Oslo")],
        },
        (SYSTEM, USER),
        OSLO,
    ),
    "messages": ({"messages": [*CHAT, said(OSLO)]}, (SYSTEM, USER), OSLO),
    "sharegpt": (
        {
            "conversations": [
                {"from": "system", "value": "Be brief."},
                {"from": "human", "value": ASK},
                {"from": "gpt", "value": OSLO},
            ]
        },
        (SYSTEM, USER),
        OSLO,
    ),
    "alpaca": (
        {"instruction": "Where is she?", "input": "Ada is in Oslo.", "output": OSLO},
        (Message("user", "Where is she?\n\nAda is in Oslo."),),
        OSLO,
    ),
    "openai-batch": (
        {"custom_id": "r-1", "method": "POST", "body": {"model": "m", "messages": CHAT}},
        (SYSTEM, USER),
        None,
    ),
    "chat-request": ({"model": "m", "messages": CHAT, "temperature": 0}, (SYSTEM, USER), None),
    "prompt": ({"prompt": ASK, "topic": "people"}, (USER,), None),
    "text": ({"text": ASK}, (USER,), None),
    "promptfoo": ({"vars": {"prompt": ASK}}, (USER,), None),
    "lm-eval": (
        {
            "doc_id": 7,
            "doc": {"question": "..."},
            "target": OSLO,
            "arguments": {"gen_args_0": {"arg_0": ASK, "arg_1": {"until": ["\n"]}}},
            "resps": [["Oslo"]],
            "filtered_resps": ["Oslo"],
        },
        (USER,),
        OSLO,
    ),
    "example": (
        {
            "id": "e-1",
            "prompt": [{"role": "user", "content": ASK}],
            "completion": OSLO,
            "format": "json",
        },
        (USER,),
        OSLO,
    ),
}


def write(path: Path, *raw: Any) -> str:
    path.write_text("".join(json.dumps(each) + "\n" for each in raw), encoding="utf-8")
    return str(path)


def read(path: Path, *raw: Any, **options: Any) -> list[Example]:
    return [*examples(Source(write(path / "rows.jsonl", *raw), **options))]


def one(path: Path, raw: Any, **options: Any) -> Example:
    (example,) = read(path, raw, **options)
    return example


def refused(path: Path, *raw: Any, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(path, *raw, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_each_form_has_a_row_here() -> None:
    assert FILES.keys() == FORMS.keys()


@pytest.mark.parametrize("form", FILES)
def test_a_form_is_recognised_and_read(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, prompt, target = FILES[form]
    source = Source(write(tmp_path / "rows.jsonl", raw))
    assert form_of(source) == form
    ((line, kept, example),) = rows(source)
    assert (line, kept, example.prompt, example.completion) == (1, raw, prompt, target)
    assert example.format == "json"
    assert example.value == (msgspec.UNSET if target is None else {"city": "Oslo"})
    note = f"{source.name}: 1 row, read as {FORMS[form].title} ({form})\n"
    assert capsys.readouterr().err == ("" if form == "example" else note)
    assert one(tmp_path, raw, form=form) == example
    assert not capsys.readouterr().err


def test_both_sides_may_be_messages(tmp_path: Path) -> None:
    example = one(tmp_path, {"prompt": CHAT, "completion": [said(OSLO)]})
    assert (example.prompt, example.target) == ((SYSTEM, USER), OSLO)
    pair = one(tmp_path, {"prompt": CHAT, "chosen": [said(OSLO)], "rejected": [said("Oslo")]})
    assert (pair.prompt, pair.target, pair.rejected) == ((SYSTEM, USER), OSLO, "Oslo")


def test_a_preference_whose_conversations_hold_the_prompt(tmp_path: Path) -> None:
    pair = {"chosen": [*CHAT, said(OSLO)], "rejected": [*CHAT, said("Oslo")]}
    for raw in (pair, {"prompt": CHAT, **pair}):
        example = one(tmp_path, raw)
        assert (example.prompt, example.target) == ((SYSTEM, USER), OSLO)
        assert example.rejected == "Oslo"
    beside = one(tmp_path, {"prompt": ASK, "completion": OSLO, "rejected": [said("Oslo")]})
    assert (beside.target, beside.rejected) == (OSLO, "Oslo")
    other = {"chosen": [*CHAT, said(OSLO)], "rejected": [*CHAT[:-1], said("Oslo")]}
    assert "may differ in their last turn only" in refused(tmp_path, other)
    message = refused(tmp_path, {"chosen": "Human: hi", "rejected": "Human: ho"})
    assert "rows.jsonl, line 1: without a prompt, chosen and rejected must be" in message


def test_messages_that_end_with_the_user_are_a_prompt(tmp_path: Path) -> None:
    example = one(tmp_path, {"messages": [*CHAT, said("Why?"), {"role": "user", "content": "So."}]})
    assert example.completion is None and len(example.prompt) == 4


def test_a_developer_is_the_system_and_text_parts_are_joined(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "Be"}, {"type": "text", "text": "brief."}]
    turns = [{"role": "developer", "content": parts}, {"role": "user", "content": ASK}]
    assert one(tmp_path, {"messages": turns}).prompt == (Message("system", "Be\nbrief."), USER)
    turns[1] = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}
    assert "line 1: a message has a part of type 'image_url'" in refused(
        tmp_path, {"messages": turns}
    )


def test_a_system_prompt_may_stand_beside(tmp_path: Path) -> None:
    for raw in (
        {"system": "Be brief.", "prompt": ASK},
        {"system_prompt": "Be brief.", "prompt": ASK, "completion": OSLO},
        {"system": "Be brief.", "conversations": [{"from": "human", "value": ASK}]},
        {"system": "Be brief.", "instruction": ASK, "input": "", "output": OSLO},
    ):
        assert one(tmp_path, raw).prompt == (SYSTEM, USER)


def test_earlier_turns_of_alpaca(tmp_path: Path) -> None:
    raw = {"instruction": ASK, "output": OSLO, "history": [["Hi", "Hello"], ["Who?", "Ada"]]}
    contents = [(each.role, each.content) for each in one(tmp_path, raw).prompt]
    assert contents == [
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("user", "Who?"),
        ("assistant", "Ada"),
        ("user", ASK),
    ]


@pytest.mark.parametrize("tools", [[TOOL], [{"type": "function", "function": TOOL}], None])
@pytest.mark.parametrize("in_text", [False, True])
def test_tools_and_their_turns_are_kept(tools: Any, in_text: bool, tmp_path: Path) -> None:
    turns = [
        {"role": "user", "content": "Book 4 nights."},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "name": "book", "content": "done"},
        said(OSLO),
    ]
    given = json.dumps(tools) if in_text and tools else tools
    example = one(tmp_path, {"messages": turns, "tools": given})
    function = {"name": "book", "arguments": {"nights": 4}}
    call = {"id": "c1", "type": "function", "function": function}
    assert example.tools == (({"type": "function", "function": TOOL},) if tools else ())
    assert example.prompt[1] == Message("assistant", "", (call,))
    assert example.prompt[2] == Message("tool", "done", tool_call_id="c1", name="book")


def test_a_target_of_tool_calls(tmp_path: Path) -> None:
    function = {"name": "book", "arguments": {"nights": 4}}
    for calls, value in (([CALL], function), ([CALL, CALL], [function, function])):
        turns = [{"role": "user", "content": "Book."}, {"role": "assistant", "tool_calls": calls}]
        example = one(tmp_path, {"messages": turns, "tools": [TOOL]})
        assert (example.format, example.value) == ("tool_call", value)
        assert json.loads(example.target) == value
    shared = [
        {"from": "human", "value": "Book."},
        {"from": "function_call", "value": json.dumps(function)},
    ]
    assert one(tmp_path, {"conversations": shared}).value == function
    broken = {"name": "book", "arguments": "{nights"}
    turns = [{"role": "user", "content": "Book."}, {"role": "assistant", "tool_calls": [broken]}]
    example = one(tmp_path, {"messages": turns})
    assert json.loads(example.target) == broken and example.value is msgspec.UNSET
    turns[1] = {"role": "assistant", "content": "Sure.", "tool_calls": [CALL]}
    assert "the answer holds a text and tool calls" in refused(tmp_path, {"messages": turns})


@pytest.mark.parametrize(
    "asking",
    [
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": SCHEMA, "strict": True},
            }
        },
        {"response_format": {"type": "json_object", "schema": SCHEMA}},
        {"json_schema": {"name": "x", "schema": SCHEMA}},
        {"guided_json": SCHEMA},
        {"structured_outputs": {"json": SCHEMA}},
        {"extra_body": {"guided_json": json.dumps(SCHEMA)}},
        {"schema": SCHEMA},
        {"schema": json.dumps(SCHEMA)},
    ],
    ids=str,
)
def test_a_rows_schema(asking: dict[str, Any], tmp_path: Path) -> None:
    for raw in (
        {"prompt": ASK, **asking},
        {"messages": CHAT, "model": "m", **asking},
        {"custom_id": "a", "body": {"messages": CHAT, **asking}},
    ):
        example = one(tmp_path, raw)
        assert (example.format, example.tags["json_schema"]) == ("json", SCHEMA)
        assert example.format_options == {}
    assert one(tmp_path, raw, schema={"type": "array"}).tags["json_schema"] == {"type": "array"}


def test_a_schemas_root_is_the_formats(tmp_path: Path) -> None:
    raw = {"prompt": ASK, "completion": "[1]"}
    for schema, root in (({"type": "array"}, "array"), ({"type": ["object", "array"]}, "any")):
        example = one(tmp_path, {**raw, "schema": schema})
        assert (example.format_options, example.value) == ({"root": root}, [1])
    assert "is not JSON" in refused(tmp_path, {**raw, "schema": "{"})


def test_a_target_is_read_by_its_format_and_a_bad_one_is_kept(tmp_path: Path) -> None:
    raw = {"prompt": ASK, "completion": "city: Oslo\n"}
    example = one(tmp_path, raw, format="yaml")
    assert (example.format, example.value) == ("yaml", {"city": "Oslo"})
    bad = one(tmp_path, raw)
    assert (bad.completion, bad.value) == ("city: Oslo\n", msgspec.UNSET)
    listed = one(tmp_path, {"prompt": ASK, "completion": "[1]"}, format="json:root=array")
    assert (listed.format_options, listed.value) == ({"root": "array"}, [1])
    free = one(tmp_path, {"prompt": "Hi", "completion": "Hello"}, format="none")
    assert (free.format, free.completion, free.value) == ("none", "Hello", msgspec.UNSET)
    asked = {"messages": CHAT, "model": "m", "response_format": {"type": "text"}}
    assert one(tmp_path, asked).format == "none"
    assert "did you mean 'json'" in refused(tmp_path, raw, format="jsn")


def test_a_null_says_that_only_the_prompt_is_known(tmp_path: Path) -> None:
    known, unknown = read(
        tmp_path, {"prompt": ASK, "completion": OSLO}, {"prompt": ASK, "completion": None}
    )
    assert (known.completion, unknown.completion) == (OSLO, None)


def test_ids(tmp_path: Path) -> None:
    given = [{"prompt": ASK}, {"prompt": ASK, "id": "a"}, {"prompt": ASK, "id": 5}]
    given += [{"prompt": ASK, "id": "a"}, {"prompt": ASK}, {"prompt": ASK, "id": "1"}]
    assert [each.id for each in read(tmp_path, *given)] == ["1", "a", "5", "a-4", "5-5", "1-6"]
    own = FILES["example"][0]
    assert "two Examples have the id 'e-1'" in refused(tmp_path, own, own)
    assert one(tmp_path, FILES["openai-batch"][0]).id == "r-1"
    assert one(tmp_path, FILES["lm-eval"][0]).id == "7"


def test_an_example_without_a_value_is_parsed(tmp_path: Path) -> None:
    own = {**FILES["example"][0], "format_options": {"root": "array"}, "completion": "[1]"}
    assert one(tmp_path, own).value == [1]
    assert one(tmp_path, own, format="json:root=object").value is msgspec.UNSET
    assert one(tmp_path, own, schema=SCHEMA).tags == {"json_schema": SCHEMA}


def test_tests_of_promptfoo(tmp_path: Path) -> None:
    config = """
prompts:
  - 'Where is {{ name }}?'
  - '[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "{{name}}"}]'
defaultTest:
  vars: {name: Ada}
tests:
  - vars: {}
    assert: [{type: equals, value: {city: Oslo}}]
  - vars: {name: Bo}
    assert: [{type: is-json, value: {type: array}}]
"""
    path = tmp_path / "promptfooconfig.yaml"
    path.write_text(config)
    found = [*examples(Source(str(path)))]
    assert [each.id for each in found] == ["1", "2", "3", "4"]
    assert found[0].prompt == (Message("user", "Where is Ada?"),)
    assert found[1].prompt == (SYSTEM, Message("user", "Ada"))
    assert (found[0].value, found[2].completion) == ({"city": "Oslo"}, None)
    assert found[2].tags == {"json_schema": {"type": "array"}}
    table = tmp_path / "tests.csv"
    table.write_text("prompt,__expected\nWhere?,Oslo\nWho?,is-json\n")
    told, asked = examples(Source(str(table)))
    assert (told.completion, asked.completion) == ("Oslo", None)
    assert asked.tags == {"json_schema": {"type": "object"}}
    message = refused(tmp_path, {"vars": {"name": "Ada"}})
    assert "promptfoo's tests hold the prompt as vars.prompt" in message
    message = refused(tmp_path, {"vars": {"a": 1}, "template": "{{b}}"})
    assert "{{b}}, which is no var of the test" in message


@pytest.mark.parametrize(
    ("asked", "prompt"),
    [
        ([["Where?", {"until": []}]], (Message("user", "Where?"),)),
        ({"gen_args_0": {"arg_0": [json.dumps(CHAT)]}}, (SYSTEM, USER)),
        ({"gen_args_0": {"arg_0": json.dumps(CHAT)}}, (SYSTEM, USER)),
    ],
)
def test_samples_of_lm_eval(asked: Any, prompt: Any, tmp_path: Path) -> None:
    raw = {"doc_id": 0, "doc": {}, "target": 2, "arguments": asked}
    example = one(tmp_path, raw)
    assert (example.prompt, example.completion) == (prompt, None)


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ({"prompt": ASK}, "line 2: its keys (prompt) are not those of TRL prompt/completion, as"),
        ({"messages": CHAT}, "but those of chat messages (messages): it lacks prompt and comp"),
        ({"prompt": ASK, "chosen": "", "rejected": ""}, "lacks completion; write null"),
        ({"prompt": 4, "completion": OSLO}, "prompt must be a text or a list of messages, not 4"),
        ({"prompt": ASK, "completion": 4}, "completion must be a text or a list of messages"),
        ({"prompt": [], "completion": OSLO}, "prompt must be a list of one message or more"),
        ({"prompt": [{"role": "usr", "content": ""}], "completion": ""}, "did you mean 'user'"),
        ({"prompt": ["a"], "completion": ""}, "a message must be an object with role and content"),
        ({"prompt": ASK, "completion": CHAT}, "completion must end with a turn of the assistant"),
        ([1], "line 2: a row must be an object, not [1]"),
    ],
)
def test_a_row_that_does_not_fit(second: Any, words: str, tmp_path: Path) -> None:
    assert words in refused(tmp_path, {"prompt": ASK, "completion": OSLO}, second)


def test_a_file_of_prompts_with_an_answer_in_it(tmp_path: Path) -> None:
    mixed = ({"prompt": ASK}, {"prompt": ASK, "completion": OSLO})
    message = refused(tmp_path, *mixed)
    assert "line 2: its keys (prompt, completion) are those of TRL prompt/completion" in message
    assert "say form = 'prompt'" in message
    assert [each.completion for each in read(tmp_path, *mixed, form="prompt")] == [None, None]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (
            {"question": "?", "answer": "!"},
            "its keys (question, answer) are those of no form; the nearest is TRL prompt/completi",
        ),
        ({"message": []}, "the nearest is chat messages (messages) with messages: rename the keys"),
        ({"instruction": ASK}, "alpaca instructions (alpaca) with instruction and output"),
        ({"promt": ASK}, "(prompt) with prompt"),
        ({"prompt": ASK, "completon": ""}, "the key 'completon', did you mean 'completion'?"),
        ({"messages": [said("Hi")]}, "there is no turn before the answer"),
        ({}, "its keys (none) are those of no form"),
        ({f"k{n}": 1 for n in range(40)}, "k11, ...) are those"),
    ],
)
def test_a_row_of_no_form(raw: Any, words: str, tmp_path: Path) -> None:
    message = refused(tmp_path, raw)
    assert "rows.jsonl, line 1: " in message and words in message


def test_an_unknown_form_is_named(tmp_path: Path) -> None:
    message = refused(tmp_path, {"prompt": ASK}, form="promt")
    assert "no form is called 'promt', did you mean 'prompt'?" in message


def test_chats_and_requests_go_together(tmp_path: Path) -> None:
    plain, request = {"messages": CHAT}, {"messages": CHAT, "model": "m"}
    for pair in ((plain, request), (request, plain)):
        assert [each.prompt for each in read(tmp_path, *pair)] == [(SYSTEM, USER)] * 2
