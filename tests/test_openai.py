"""Backend `openai`: requests, and what their answers become."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fmtharness.harness.backends.openai import OpenAI
from fmtharness.harness.contracts import ModelOptions
from fmtharness.harness.errors import ConfigError, UserError
from fmtharness.harness.options import check
from fmtharness.harness.records import Example, Message
from tests import fake_server
from tests.asking import KEY, ask, ask_one, backend, cache, server, waits
from tests.fake_server import MODEL, Act, FakeServer, after, answer, status
from tests.fakes import example

pytest.importorskip("openai", reason="the extra [servers] is not installed")
__all__ = ["cache", "server", "waits"]


def test_request_and_answer(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    server.script = [answer('{"a": 1}')]
    options = {"api_key_env": "MY_KEY", "seed": 3, "top_p": 0.5, "stop": ("\n",)}
    prices = {"input_price": 2.0, "output_price": 10.0}
    found = ask_one(backend(server, extra_body={"top_k": 4}, **options, **prices))
    assert (found.example_id, found.text, found.finish_reason) == ("eval-0", '{"a": 1}', "stop")
    assert (found.prompt_tokens, found.completion_tokens, found.error) == (12, 3, None)
    assert found.cost == pytest.approx((12 * 2 + 3 * 10) / 1e6)
    assert found.seconds is not None and 0 < found.seconds < 5
    assert found.first_token_seconds is None
    assert server.requests == [
        {
            "model": MODEL,
            "messages": [{"role": "user", "content": "What is eval-0?"}],
            "max_tokens": 128,
            "temperature": 0.0,
            "top_p": 0.5,
            "seed": 3,
            "stop": ["\n"],
            "top_k": 4,
        }
    ]
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


def test_a_server_without_keys_is_sent_none(server: FakeServer) -> None:
    assert ask_one(backend(server)).text == "{}"
    assert server.headers[0]["authorization"] == "Bearer none"


ENDS: dict[str, tuple[Act, dict[str, Any]]] = {
    "length": (answer('{"a', "length"), {"text": '{"a', "finish_reason": "length"}),
    "null": (answer(None), {"text": "", "finish_reason": "stop"}),
    "unknown": (answer("{}", "weird"), {"text": "{}", "finish_reason": None, "error": None}),
    "parts": (answer([{"type": "text", "text": "{}"}]), {"text": "{}"}),
    "refusal": (answer(None, refusal="No."), {"text": "No.", "finish_reason": "stop"}),
    "reasoning": (answer("{}", reasoning_content="Hm."), {"text": "{}", "reasoning": "Hm."}),
    "think tags": (answer("<think>\nHm.\n</think>\n\n{}"), {"text": "{}", "reasoning": "Hm."}),
    "open think tags": (answer("<think>Hm", "length"), {"text": "<think>Hm", "unclosed": True}),
    "only reasoning": (
        answer(None, "length", reasoning_content="Hm"),
        {"text": "", "reasoning": "Hm", "unclosed": True},
    ),
    "a tag inside": (answer('{"a": "<think>"}'), {"text": '{"a": "<think>"}', "reasoning": None}),
}


@pytest.mark.parametrize("end", ENDS)
def test_how_an_answer_ends(server: FakeServer, end: str) -> None:
    act, wanted = ENDS[end]
    server.script = [act]
    found = ask_one(backend(server))
    assert {key: getattr(found, key) for key in wanted} == wanted


def test_an_unknown_finish_reason_is_told(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.script = [answer("{}", "weird")]
    ask_one(backend(server))
    assert "the finish reason 'weird', which is unknown" in capsys.readouterr().err


def test_a_filtered_answer_is_an_error(server: FakeServer) -> None:
    server.script = [answer("{", "content_filter")]
    found = ask_one(backend(server))
    assert found.finish_reason == "error"
    assert found.error and found.error.endswith("the server's content filter cut the answer off")


CALL = {"id": "1", "type": "function", "function": {"name": "book", "arguments": '{"n": 4}'}}
BROKEN = {"id": "2", "type": "function", "function": {"name": "ring", "arguments": '{"n": }'}}


@pytest.mark.parametrize(
    ("calls", "options", "content", "text"),
    [
        ([CALL], {}, None, '{"name": "book", "arguments": {"n": 4}}'),
        ([CALL], {}, "Sure.", 'Sure.\n{"name": "book", "arguments": {"n": 4}}'),
        (
            [CALL, CALL],
            {},
            None,
            '[{"name": "book", "arguments": {"n": 4}}, {"name": "book", "arguments": {"n": 4}}]',
        ),
        ([BROKEN], {"syntax": "hermes"}, None, '{"name": "ring", "arguments": {"n": }}'),
        (
            [CALL],
            {"syntax": "hermes"},
            "",
            '<tool_call>\n{"name": "book", "arguments": {"n": 4}}\n</tool_call>',
        ),
    ],
)
def test_tool_calls_are_written_out(
    server: FakeServer, calls: Any, options: Any, content: str | None, text: str
) -> None:
    tool = {"type": "function", "function": {"name": "book", "parameters": {"type": "object"}}}
    asked = Example(
        id="eval-0",
        prompt=(Message("user", "Book."),),
        format="tool_call",
        tools=(tool,),
        format_options=options,
    )
    server.script = [answer(content, "tool_calls", tool_calls=calls)]
    found = ask_one(backend(server), asked)
    assert (found.text, found.finish_reason) == (text, "stop")
    assert server.requests[0]["tools"] == [tool]


def test_calls_in_the_prompt(server: FakeServer) -> None:
    call = {"type": "function", "function": {"name": "book", "arguments": {"n": 4}}}
    prompt = (
        Message("user", "Book."),
        Message("assistant", "", (call, {**call, "id": "own"})),
        Message("tool", "ok"),
        Message("tool", "no", tool_call_id="own", name="book"),
    )
    ask_one(backend(server), Example(id="eval-0", prompt=prompt, format="none"))
    _, called, first, second = server.requests[0]["messages"]
    assert [each["id"] for each in called["tool_calls"]] == ["call_1", "own"]
    assert called["tool_calls"][0]["function"] == {"name": "book", "arguments": '{"n": 4}'}
    assert first == {"role": "tool", "content": "ok", "tool_call_id": "call_1"}
    assert second == {"role": "tool", "content": "no", "tool_call_id": "own", "name": "book"}


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
HELD = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}
OBJECT = {"type": "json_object"}


@pytest.mark.parametrize(
    ("kind", "more", "wanted"),
    [
        ("text", {"tags": {"json_schema": SCHEMA}}, None),
        ("json_object", {}, OBJECT),
        ("json_object", {"format": "csv"}, None),
        ("json_object", {"format": "none"}, None),
        ("json_object", {"format_options": {"root": "array"}}, None),
        ("json_schema", {"tags": {"json_schema": SCHEMA}}, HELD),
        ("json_schema", {"tags": {"json_schema": SCHEMA}, "format": "csv"}, None),
        ("json_schema", {"tags": {"json_schema": True}}, OBJECT),
        ("json_schema", {}, OBJECT),
    ],
)
def test_response_format(server: FakeServer, kind: Any, more: Any, wanted: Any) -> None:
    asked = Example(**{"id": "e", "prompt": (Message("user", "?"),), "format": "json", **more})
    ask_one(backend(server, response_format=kind), asked)
    assert server.requests[0].get("response_format") == wanted


def test_many_at_once(server: FakeServer) -> None:
    def reply(asked: dict[str, Any]) -> Act:
        number = int(asked["messages"][0]["content"].removeprefix("What is eval-").rstrip("?"))
        return after(0.01 * (7 - number % 8), answer(str(number)))

    server.reply = reply
    found = ask(backend(server, concurrency=4), *[example(f"eval-{n}") for n in range(24)])
    assert [each.text for each in found] == [str(n) for n in range(24)]
    assert server.most_open == 4


class _Rows(list[Example]):
    """Examples that count how many were looked at."""

    looked = 0

    def __iter__(self) -> Iterator[Example]:
        for each in super().__iter__():
            self.looked += 1
            yield each


def test_few_examples_are_in_memory(server: FakeServer) -> None:
    rows = _Rows(example(f"eval-{n}") for n in range(100))
    answers = backend(server, concurrency=3)._answers(rows)
    next(answers)
    assert rows.looked <= 7
    answers.close()  # type: ignore[attr-defined]


def test_leaving_cancels_what_is_open(server: FakeServer) -> None:
    server.script = [answer(), *[fake_server.slow] * 5]
    answers = backend(server, concurrency=3)._answers([example(f"eval-{n}") for n in range(6)])
    next(answers)
    began = time.monotonic()
    answers.close()  # type: ignore[attr-defined]
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("code", [401, 500])
@pytest.mark.usefixtures("waits")
def test_neither_key_nor_prompt_is_told(
    server: FakeServer,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    cache: Path,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    secret = "The patient's name is Ada Lopez of Riga."
    server.script = [answer(f"You sent {KEY}."), *[status(code, f"bad key {KEY}")] * 2]
    asked = Example(id="e", prompt=(Message("user", secret),), format="json")
    found = ask(backend(server, max_retries=1, concurrency=1), example())
    said = [found[0].text]
    server.script.append(status(code, f"bad key {KEY}"))
    for _ in range(2):
        try:
            said.append(ask_one(backend(server, max_retries=0), asked).error or "")
        except ConfigError as error:
            said.append(str(error))
        server.script = [status(code, f"cannot read: {secret}")]
    told = "\n".join(said) + capsys.readouterr().err
    assert "bad key [key]" in told and "You sent [key]." in told
    assert KEY not in told and "Ada Lopez" not in told
    for file in cache.rglob("*"):
        assert file.is_dir() or KEY.encode() not in file.read_bytes()


def test_no_part_of_an_answer_holds_the_key(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    call = {"function": {"name": KEY, "arguments": json.dumps({"a": KEY})}}
    server.script = [answer(KEY, f"end {KEY}", tool_calls=[call], reasoning=KEY)]
    found = ask_one(backend(server))
    told = str(found) + capsys.readouterr().err
    assert KEY not in told and "the finish reason 'end [key]'" in told


def test_a_short_placeholder_is_no_secret(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    server.script = [answer('{"x": 1}')]
    assert ask_one(backend(server)).text == '{"x": 1}'


def test_a_key_that_is_none(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-\u00e9t\u00e9-0123456789")
    with pytest.raises(ConfigError, match="variable OPENAI_API_KEY has characters") as told:
        ask_one(backend(server))
    assert "0123456789" not in str(told.value)


def test_half_of_a_surrogate_pair(server: FakeServer) -> None:
    asked = Example(id="e", prompt=(Message("user", "\ud83d"),), format="json")
    found = ask_one(backend(server), asked)
    assert found.error and found.error.endswith("its prompt has half of a surrogate pair")
    assert not server.requests


def test_an_adapter_is_an_error(server: FakeServer) -> None:
    with pytest.raises(UserError, match="cannot put the adapter tuned on its model"):
        [*backend(server).complete([example()], ModelOptions(), Path("tuned"))]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"base_url": "localhost:8080"}, "base_url = .*it must be an address, such as"),
        ({"base_url": "ftp://host/v1"}, "it must be an address, such as"),
        ({"base_url": f"https://me:{KEY}@host/v1"}, "without a user, a password or a query"),
        ({"base_url": f"https://host/v1?key={KEY}"}, "without a user, a password or a query"),
        ({"model": ""}, "model"),
        ({"base_url": "http://127.0.0.1:99999/v1"}, "base_url"),
        ({"base_url": "http://127.0.0.1:abc/v1"}, "base_url"),
        ({"base_url": " http://127.0.0.1/v1"}, "without blanks and line breaks"),
        ({"base_url": "http://127.0.0.1/v1\n"}, "without blanks and line breaks"),
        ({"base_url": "http://127.0.0.1/\0"}, "without blanks and line breaks"),
        ({"extra_body": {"stream": True}}, "'stream' is set by fmtharness"),
        ({"extra_body": {"temperature": 1}}, "'temperature' is no key of extra_body; set temper"),
        ({"extra_body": {"max_completion_tokens": 1}}, "set max_new_tokens"),
        ({"extra_body": {"x": float("nan")}}, "sent as JSON, which cannot hold it"),
        (
            {"response_format": "json_object", "extra_body": {"response_format": {}}},
            "both set response_format",
        ),
        ({"api_key_env": KEY}, "must be the name of an environment variable"),
        ({"input_price": 1.0}, "input_price and output_price belong together"),
        ({"api_key": KEY}, "has no key 'api_key', did you mean 'api_key_env'"),
    ],
)
def test_options_that_do_not_fit(table: dict[str, Any], said: str) -> None:
    whole = {"base_url": "http://127.0.0.1/v1", "model": MODEL, **table}
    found, faults = check(OpenAI, whole, "my.toml: [eval]")
    assert found is None and len(faults) == 1
    assert faults[0].startswith("my.toml: ")
    assert KEY not in faults[0]
    assert re.search(said, faults[0])


HOLDS_REQUESTS = """
import asyncio
from fmtharness.harness.backends.server.loop import as_they_finish

async def work(seconds):
    await asyncio.sleep(seconds)

def main():
    answers = as_they_finish(work, [0, 60, 60], most=2)
    next(answers)
    error = OSError()
    error.again = error
    raise error

main()
"""


def test_a_script_ends_though_its_error_holds_requests() -> None:
    """The reference to itself lets it live until the interpreter ends."""
    done = subprocess.run(
        [sys.executable, "-c", HOLDS_REQUESTS], capture_output=True, check=False, timeout=30
    )
    assert done.returncode == 1 and b"OSError" in done.stderr
