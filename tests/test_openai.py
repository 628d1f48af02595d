"""Backend `openai` against a server that answers as it is told."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from fmtharness.harness.backends.openai import OpenAI
from fmtharness.harness.backends.server import client
from fmtharness.harness.backends.server.cache import RequestCache
from fmtharness.harness.contracts import ModelOptions
from fmtharness.harness.errors import ConfigError, UserError
from fmtharness.harness.options import check
from fmtharness.harness.records import Completion, Example, Message
from fmtharness.harness.run.sources import in_order
from tests import fake_server
from tests.fake_server import MODEL, Act, FakeServer, after, answer, body, chunks, status
from tests.fakes import example

pytest.importorskip("openai", reason="the extra [servers] is not installed")

KEY = "sk-secret-0123456789"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder, no key, and no proxy between the client and the server."""
    monkeypatch.setenv("FMTHARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between attempts, which take no time."""
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr(client, "sleep", sleep)
    return found


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as started:
        yield started


def backend(server: FakeServer, **options: Any) -> OpenAI:
    return OpenAI(base_url=server.url, model=MODEL, **options)


def ask(asked: OpenAI, *examples: Example) -> list[Completion]:
    wanted = examples or (example(),)
    return [*in_order(wanted, asked.complete(wanted, ModelOptions(), None))]


def ask_one(asked: OpenAI, of: Example | None = None) -> Completion:
    (found,) = ask(asked, of or example())
    return found


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


FAULTS: dict[str, Act] = {
    "500": status(500),
    "503 while the model is loaded": status(503, "Loading model"),
    "408": status(408),
    "429": status(429),
    "reset": fake_server.reset,
    "slow body": fake_server.slow,
    "truncated body": fake_server.truncated,
    "wrong JSON": body('{"choices": [tru'),
    "no JSON": body("<html>Bad gateway</html>"),
    "JSON too deep": body("[" * 100_000 + "]" * 100_000),
    "no object": body("[]"),
    "no choices": body('{"choices": []}'),
    "choice without a message": body('{"choices": [{"index": 0}]}'),
    "error with status 200": body('{"error": {"message": "overloaded"}}'),
}
"""After each of these the request is sent again."""


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_passes(server: FakeServer, fault: str) -> None:
    server.script = [FAULTS[fault], answer('{"a": 1}')]
    found = ask_one(backend(server, timeout_seconds=0.4))
    assert (found.text, found.error, found.finish_reason) == ('{"a": 1}', None, "stop")
    assert len(server.requests) == 2


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_stays(
    server: FakeServer, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It costs the one Completion, and one sentence says so."""

    def reply(asked: dict[str, Any]) -> Act:
        return FAULTS[fault] if "eval-1" in asked["messages"][0]["content"] else answer()

    server.reply = reply
    examples = [example(f"eval-{n}") for n in range(3)]
    good, bad, other = ask(backend(server, timeout_seconds=0.3, max_retries=1), *examples)
    assert good.text == other.text == "{}"
    assert (bad.example_id, bad.text, bad.finish_reason) == ("eval-1", "", "error")
    assert bad.error and bad.error.startswith(f"server {server.url}: ")
    assert bad.error.endswith("at the last of 2 attempts") and "\n" not in bad.error
    assert "1 of 3 prompts have no answer and are unscored" in capsys.readouterr().err
    assert len(server.requests) == 4


STOPS = {
    400: "check the server's options",
    401: "set the environment variable OPENAI_API_KEY",
    403: "set the environment variable OPENAI_API_KEY",
    404: "check base_url, which often ends in /v1, and model",
    422: "check the server's options",
}


@pytest.mark.parametrize("code", STOPS)
def test_a_refusal_stops_the_run(server: FakeServer, code: int) -> None:
    server.reply = lambda _: status(code, "model 'm' not found")
    with pytest.raises(ConfigError) as told:
        ask(backend(server), *[example(f"eval-{n}") for n in range(50)])
    said = f"server {server.url}: status {code} (model 'm' not found); {STOPS[code]}"
    assert str(told.value).startswith(said)
    assert len(server.requests) <= 16


@pytest.mark.parametrize(
    "refusal",
    [
        {"error": {"code": "context_length_exceeded", "message": "too long"}},
        {"error": {"code": 400, "type": "exceed_context_size_error", "message": "too long"}},
    ],
)
def test_a_prompt_that_is_too_long_is_one_error(server: FakeServer, refusal: Any) -> None:
    server.script = [body(json.dumps(refusal), 400)]
    found = ask_one(backend(server))
    assert found.error == f"server {server.url}: status 400 (too long)"


def test_a_server_that_is_not_there(server: FakeServer) -> None:
    gone = FakeServer()
    gone.http.server_close()
    began = time.monotonic()
    with pytest.raises(ConfigError, match=r"cannot be reached .*; start it, or check base_url"):
        ask_one(backend(gone))
    assert time.monotonic() - began < 5


@pytest.mark.usefixtures("waits")
def test_no_quota_is_not_waited_for(server: FakeServer) -> None:
    server.script = [body('{"error": {"code": "insufficient_quota", "message": "pay"}}', 429)]
    with pytest.raises(ConfigError, match=r"status 429 \(pay\); the account has no quota left"):
        ask_one(backend(server))


def test_waits_grow_and_are_asked_for(server: FakeServer, waits: list[float]) -> None:
    server.script = [status(500)] * 5
    assert ask_one(backend(server)).error is None
    assert len(waits) == 5
    for attempt, wait in enumerate(waits):
        assert 0.25 * 2**attempt <= wait <= 0.5 * 2**attempt
    assert client.backoff(2000) <= client.LONGEST_WAIT


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after(server: FakeServer, waits: list[float], as_date: bool) -> None:
    text = formatdate(time.time() + 41, usegmt=True) if as_date else "40"
    server.script = [status(429, headers={"Retry-After": text})]
    assert ask_one(backend(server)).error is None
    assert waits and 38 < waits[0] <= 41


def test_while_one_waits_no_other_begins(server: FakeServer, waits: list[float]) -> None:
    server.script = [status(429, headers={"Retry-After": "40"})]
    ask(backend(server, concurrency=1), *[example(f"eval-{n}") for n in range(2)])
    assert [round(wait) for wait in waits] == [40, 40, 40], "its own, its turn, and the other's"


def test_a_very_long_wait_is_an_error(server: FakeServer, waits: list[float]) -> None:
    server.script = [status(429, "daily limit", headers={"Retry-After": "7200"})]
    found = ask_one(backend(server))
    assert found.error and "(daily limit); the server asks to wait 7,200 s" in found.error
    assert waits == []


def test_requests_per_minute(server: FakeServer, waits: list[float]) -> None:
    ask(backend(server, requests_per_minute=60), *[example(f"eval-{n}") for n in range(4)])
    assert [round(wait) for wait in waits] == [1, 2, 3]


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


def test_a_stream(server: FakeServer) -> None:
    server.script = [
        chunks(
            {"role": "assistant"},
            {"reasoning_content": "Hm."},
            {"content": '{"a"'},
            {"content": ": 1}"},
        )
    ]
    found = ask_one(backend(server, stream=True))
    assert (found.text, found.reasoning, found.finish_reason) == ('{"a": 1}', "Hm.", "stop")
    assert (found.prompt_tokens, found.completion_tokens) == (12, 3)
    assert found.seconds and found.first_token_seconds
    assert 0 < found.first_token_seconds <= found.seconds
    assert server.requests[0]["stream_options"] == {"include_usage": True}


def test_calls_in_a_stream(server: FakeServer) -> None:
    def part(index: int, **function: str) -> dict[str, Any]:
        return {"tool_calls": [{"index": index, "function": function}]}

    server.script = [
        chunks(
            part(0, name="book", arguments=""),
            part(0, arguments='{"n"'),
            part(1, name="ring", arguments="{}"),
            part(0, arguments=": 4}"),
            reason="tool_calls",
        )
    ]
    found = ask_one(backend(server, stream=True))
    assert json.loads(found.text) == [
        {"name": "book", "arguments": {"n": 4}},
        {"name": "ring", "arguments": {}},
    ]


STREAM_FAULTS: dict[str, Act] = {
    "cut": chunks({"content": '{"a"'}, done=False),
    "empty": chunks(done=False),
    "half an event": lambda handler: handler.stream(['data: {"choices": [{"del']),
    "wrong JSON": lambda handler: handler.stream(['data: {"choices": [{]\n\n']),
    "too deep": lambda handler: handler.stream(["data: " + "[" * 99_999 + "]" * 99_999 + "\n\n"]),
    "error": lambda handler: handler.stream(['data: {"error": {"message": "out of memory"}}\n\n']),
    "500": status(500),
    "500, too deep": body("[" * 100_000, 500),
}


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize("fault", STREAM_FAULTS)
def test_a_stream_with_a_fault(server: FakeServer, fault: str) -> None:
    server.script = [STREAM_FAULTS[fault], chunks({"content": "{}"})]
    assert ask_one(backend(server, stream=True)).text == "{}"
    server.reply = lambda _: STREAM_FAULTS[fault]
    found = ask_one(backend(server, stream=True, max_retries=1, cache=False))
    assert found.finish_reason == "error" and found.text == ""


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


@pytest.mark.parametrize("leave", ["closed", "raised"])
def test_the_cache_outlives_the_requests(
    server: FakeServer, leave: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[bool] = []

    def close(_: RequestCache) -> None:
        closed.append(any(each.name == "requests" for each in threading.enumerate()))

    monkeypatch.setattr(RequestCache, "close", close)
    answers = backend(server, concurrency=3)._answers([example(f"eval-{n}") for n in range(20)])
    next(answers)
    if leave == "closed":
        answers.close()  # type: ignore[attr-defined]
    else:
        with pytest.raises(KeyboardInterrupt):
            answers.throw(KeyboardInterrupt)  # type: ignore[attr-defined]
    assert closed == [False]


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


def test_nothing_is_asked_twice(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.script = [answer('"\\ud83d"')]
    first = ask_one(backend(server))
    again = ask_one(backend(server, concurrency=2, input_price=1.0, output_price=1.0))
    assert (again.text, again.seconds) == (first.text, first.seconds)
    assert first.cost is None and again.cost == pytest.approx(15e-6)
    assert len(server.requests) == 1
    assert "requests: 1 answers were known" in capsys.readouterr().err
    assert ask_one(backend(server), example("other")).example_id == "other"


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.5},
        {"seed": 1},
        {"max_new_tokens": 5},
        {"stop": ("x",)},
        {"response_format": "json_object"},
        {"extra_body": {"top_k": 1}},
        {"stream": True},
        {"cache": False},
    ],
    ids=str,
)
def test_what_shapes_an_answer_is_asked_anew(server: FakeServer, options: Any) -> None:
    server.reply = lambda asked: chunks({"content": "{}"}) if asked.get("stream") else answer()
    ask_one(backend(server))
    ask_one(backend(server, **options))
    assert len(server.requests) == 2
    ask_one(backend(server, **options))
    assert len(server.requests) == (3 if "cache" in options else 2)


def test_samples_of_one_prompt(server: FakeServer) -> None:
    texts = iter("abcdef")
    server.reply = lambda _: answer(next(texts))
    asked = backend(server, seed=7, concurrency=1)
    first = ask(asked, example(), example(), example())
    assert [each.text for each in first] == ["a", "b", "c"]
    assert [each["seed"] for each in server.requests] == [7, 8, 9]
    assert [each.text for each in ask(asked, *[example()] * 4)] == ["a", "b", "c", "d"]


def test_a_sample_has_its_own_seed_and_cache_entry_also_when_asked_alone(
    server: FakeServer,
) -> None:
    texts = iter("abcdef")
    server.reply = lambda _: answer(next(texts))
    asked = backend(server, seed=7, temperature=0.5, concurrency=1)
    samples = [structs.replace(example(), sample=k) for k in range(3)]
    first = ask(asked, samples[0], samples[2])
    assert sorted((each.sample, each.text) for each in first) == [(0, "a"), (2, "b")]
    again = ask(asked, samples[1], samples[2])
    assert sorted((each.sample, each.text) for each in again) == [(1, "c"), (2, "b")]
    assert [each["seed"] for each in server.requests] == [7, 9, 8]


@pytest.mark.usefixtures("waits")
def test_errors_are_not_kept(server: FakeServer) -> None:
    server.script = [status(500)]
    assert ask_one(backend(server, max_retries=0)).error
    assert ask_one(backend(server, max_retries=0)).text == "{}"


def test_a_broken_cache_costs_a_line(
    server: FakeServer, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = cache / "requests" / "answers.sqlite"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"no database at all, but long enough to be read as one" * 20)
    assert ask_one(backend(server)).text == "{}"
    assert "cannot be used" in capsys.readouterr().err


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
        ({"extra_body": {"stream": True}}, "'stream' is set by fmtharness"),
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
