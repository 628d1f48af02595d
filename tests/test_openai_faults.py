"""Backend `openai` where a server fails: what is asked again, when, and what ends the run."""

from __future__ import annotations

import itertools
import json
import socket
import time
from email.utils import formatdate
from typing import Any

import pytest

from fmtharness.harness.backends.openai import OpenAI
from fmtharness.harness.backends.server import client
from fmtharness.harness.errors import ConfigError
from tests import fake_server
from tests.asking import ask, ask_one, backend, cache, server, waits
from tests.fake_server import Act, FakeServer, answer, body, status
from tests.fakes import example

pytest.importorskip("openai", reason="the extra [servers] is not installed")
__all__ = ["cache", "server", "waits"]


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


def patience(fault: str) -> dict[str, float]:
    """Little only where the time decides, since a busy machine is slow by itself."""
    return {"timeout_seconds": 0.6} if fault == "slow body" else {}


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_passes(server: FakeServer, fault: str) -> None:
    server.script = [FAULTS[fault], answer('{"a": 1}')]
    found = ask_one(backend(server, **patience(fault)))
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
    good, bad, other = ask(backend(server, max_retries=1, **patience(fault)), *examples)
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
        {
            "object": "error",
            "message": "This model's maximum context length is 4096 tokens. However, you requested "
            "9000 tokens in the messages, Please reduce the length of the messages.",
            "type": "BadRequestError",
            "code": 400,
        },
        {"error": {"message": "The input (9000 tokens) is longer than the model's context length"}},
        {"error": {"message": "prompt is too long: 9000 tokens > 4096 maximum", "code": 400}},
        {"error": {"message": "The input token count (9000) exceeds the maximum of 4096"}},
        {"message": "`inputs` must have less than 4096 tokens. Given: 9000", "type": "validation"},
    ],
)
def test_a_prompt_that_is_too_long_is_one_error(server: FakeServer, refusal: Any) -> None:
    server.script = [body(json.dumps(refusal), 400)]
    found = ask_one(backend(server))
    told = refusal.get("error", refusal)["message"]
    assert found.error == f"server {server.url}: status 400 ({told})"
    assert ask_one(backend(server)).text == "{}"


def test_a_body_that_is_too_large_is_one_error(server: FakeServer) -> None:
    server.script = [status(413, "Payload Too Large")]
    assert ask_one(backend(server)).error


def test_a_server_that_is_not_there(server: FakeServer) -> None:
    gone = FakeServer()
    gone.http.server_close()
    began = time.monotonic()
    with pytest.raises(ConfigError, match=r"cannot be reached .*; start it, or check base_url"):
        ask_one(backend(gone))
    assert time.monotonic() - began < 5


def test_a_host_that_takes_no_connection() -> None:
    """One that lets packets go is as little there as one that refuses them."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        address = silent.getsockname()
        full = [socket.socket() for _ in range(4)]
        try:
            for each in full:
                each.setblocking(False)
                each.connect_ex(address)  # the queue of connections is full now
            asked = OpenAI(base_url=f"http://127.0.0.1:{address[1]}", model="m", timeout_seconds=1)
            with pytest.raises(
                ConfigError, match=r"reached \(it takes no connection\); start it, or"
            ):
                ask_one(asked)
        finally:
            for each in full:
                each.close()


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


@pytest.mark.parametrize("per_minute", [None, 600])
def test_while_one_waits_no_other_begins(server: FakeServer, per_minute: float | None) -> None:
    began: list[float] = []

    def reply(_: object) -> Act:
        began.append(time.monotonic())
        return answer() if len(began) > 1 else status(429, headers={"Retry-After": "1"})

    server.reply = reply
    asked = backend(server, concurrency=3 if per_minute else 1, requests_per_minute=per_minute)
    ask(asked, *[example(f"eval-{n}") for n in range(4)])
    assert len(began) == 5
    assert began[1] - began[0] > 0.9, "those whose turn was near wait, too"
    if per_minute:
        assert all(two - one > 0.08 for one, two in itertools.pairwise(began))


def test_a_very_long_wait_is_an_error(server: FakeServer, waits: list[float]) -> None:
    server.script = [status(429, "daily limit", headers={"Retry-After": "7200"})]
    found = ask_one(backend(server))
    assert found.error and "(daily limit); the server asks to wait 7,200 s" in found.error
    assert waits == []


def test_requests_per_minute(server: FakeServer, waits: list[float]) -> None:
    ask(backend(server, requests_per_minute=60), *[example(f"eval-{n}") for n in range(4)])
    assert [round(wait) for wait in waits] == [1, 1, 1]
