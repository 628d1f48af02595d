"""Backend `openai` with `stream = true`."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.asking import ask_one, backend, cache, server, waits
from tests.fake_server import Act, FakeServer, Handler, answer, body, chunks, completion, status

pytest.importorskip("openai", reason="the extra [servers] is not installed")
__all__ = ["cache", "server", "waits"]


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


def sent(*events: str, pause: float = 0.0) -> Act:
    """A stream of these bytes, written out."""

    def act(handler: Handler) -> None:
        for event in events:
            handler.stream([event])
            time.sleep(pause)
        handler.close_connection = True

    return act


def delta(content: Any, reason: str | None = None, index: int = 0) -> dict[str, Any]:
    return {"index": index, "delta": {"content": content}, "finish_reason": reason}


def event(*choices: dict[str, Any]) -> str:
    return f"data: {json.dumps({'choices': choices})}\n\n"


@pytest.mark.usefixtures("waits")
def test_what_ends_a_stream(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    """A finish reason does, and `[DONE]`; the end of the connection does not."""
    asked = backend(server, stream=True, max_retries=0, cache=False)
    server.script = [sent(event(delta("{}")), "data: [DONE]\n\n")]
    found = ask_one(asked)
    assert (found.text, found.finish_reason, found.error) == ("{}", None, None)
    assert "answers ended with no finish reason; they are judged" in capsys.readouterr().err
    server.script = [sent(event(delta("{}", "stop")))]
    assert ask_one(asked).text == "{}"
    server.script = [sent(event(delta("{}")))]
    assert "its stream ended in the middle" in str(ask_one(asked).error)
    server.script = [sent("data: [DONE]\n\n")]
    assert "its stream ended in the middle" in str(ask_one(asked).error)


def test_a_stream_in_any_pieces(server: FakeServer) -> None:
    """Comments, other line ends, characters and surrogate pairs in two pieces, and other fields."""
    whole = event(delta("\u00e9\ud83d")) + event(delta("\ude00\ud83d", "stop"))
    told = ": hello\r\n\r\nid: 1\r\nretry: 9\r\n" + whole.replace("\n", "\r\n")
    told += "data:[DONE]\r\n\r\n"

    def act(handler: Handler) -> None:
        handler.stream([])
        for byte in told.replace("\\u00e9", "\u00e9").encode():
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
        handler.close_connection = True

    server.script = [act]
    assert ask_one(backend(server, stream=True)).text == "\u00e9\U0001f600\ud83d"


def test_an_answer_in_one_piece_though_a_stream_was_asked_for(server: FakeServer) -> None:
    server.script = [answer('{"a": 1}')]
    found = ask_one(backend(server, stream=True))
    assert (found.text, found.finish_reason) == ('{"a": 1}', "stop")
    assert found.first_token_seconds is None and len(server.requests) == 1


def test_only_the_first_choice_is_read(server: FakeServer) -> None:
    first, other = delta('{"a"'), delta("XX", "length", index=1)
    server.script = [sent(event(first, other), event(other), event(delta(": 1}", "stop")))]
    found = ask_one(backend(server, stream=True))
    assert (found.text, found.finish_reason) == ('{"a": 1}', "stop")
    two = completion("second")["choices"][0] | {"index": 1}
    both = completion("first") | {"choices": [two, *completion("first")["choices"]]}
    server.script = [body(json.dumps(both))]
    assert ask_one(backend(server)).text == "first"


def test_odd_chunks_cost_no_warnings(server: FakeServer, recwarn: pytest.WarningsRecorder) -> None:
    parts = [{"type": "text", "text": "{}"}]
    server.script = [sent(event(delta(parts, "stop")), "data: [DONE]\n\n")]
    assert ask_one(backend(server, stream=True)).text == "{}"
    assert not [each for each in recwarn if "Pydantic" in str(each.message)]


@pytest.mark.usefixtures("waits")
def test_an_error_event(server: FakeServer) -> None:
    server.script = [sent('event: error\ndata: {"message": "out of memory"}\n\n')]
    found = ask_one(backend(server, stream=True, max_retries=0))
    assert "it answered with an error: out of memory" in str(found.error)


@pytest.mark.usefixtures("waits")
def test_a_chunked_stream_that_is_cut(server: FakeServer) -> None:
    def act(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        told = event(delta("{}")).encode()
        handler.wfile.write(f"{len(told):x}\r\n".encode() + told + b"\r\n40\r\n: half")
        handler.close_connection = True

    server.script = [act]
    found = ask_one(backend(server, stream=True, max_retries=0))
    assert "the connection broke" in str(found.error)
