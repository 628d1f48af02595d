"""A chat server on 127.0.0.1 that answers as it is told, faults included.

with FakeServer() as server:
    server.script = [status(500), answer("{}")]      what the next requests get, one after the other
    OpenAI(base_url=server.url, model="m").complete(...)
    server.requests[-1]["messages"]

After the script it answers each request with `server.reply(request)`.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Act = Callable[["Handler"], None]
"""What the server does with one request."""
MODEL = "m"


def completion(content: Any = "{}", reason: Any = "stop", **message: Any) -> dict[str, Any]:
    """A chat completion of 12 tokens of prompt and 3 of answer."""
    told = {"role": "assistant", "content": content, **message}
    return {
        "object": "chat.completion",
        "model": MODEL,
        "choices": [{"index": 0, "message": told, "finish_reason": reason}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
    }


def answer(content: Any = "{}", reason: Any = "stop", **message: Any) -> Act:
    return body(json.dumps(completion(content, reason, **message)))


def body(text: str, code: int = 200, headers: Mapping[str, str] | None = None) -> Act:
    """Any body as JSON, whole."""

    def act(handler: Handler) -> None:
        handler.start(code, len(text.encode()), headers)
        handler.wfile.write(text.encode())

    return act


def status(code: int, message: str = "no", headers: Mapping[str, str] | None = None) -> Act:
    return body(json.dumps({"error": {"message": message, "code": None}}), code, headers)


def truncated(handler: Handler) -> None:
    """Half of the body that the headers promise."""
    text = json.dumps(completion()).encode()
    handler.start(200, len(text))
    handler.wfile.write(text[: len(text) // 2])
    handler.close_connection = True


def reset(handler: Handler) -> None:
    """Ends the connection with RST and no answer."""
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.rfile.close()
    handler.wfile.close()
    handler.connection.close()
    handler.close_connection = True


def slow(handler: Handler) -> None:
    """A byte now and then, so that no read by itself takes long."""
    text = json.dumps(completion()).encode()
    handler.start(200, len(text))
    for byte in text:
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()
        if handler.fake.closing.wait(0.05):
            return


def chunks(*deltas: Mapping[str, Any], reason: str | None = "stop", done: bool = True) -> Act:
    """A stream; without `done` it is cut before its end."""

    def act(handler: Handler) -> None:
        sent: list[Any] = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
        if done:
            sent.append({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
            sent.append({"choices": [], "usage": completion()["usage"]})
        handler.stream([f"data: {json.dumps(each)}\n\n" for each in sent])
        if done:
            handler.stream(["data: [DONE]\n\n"])
        handler.close_connection = True

    return act


def as_asked(request: Mapping[str, Any], content: str, reason: str = "stop", **message: Any) -> Act:
    """An answer, streamed where the request says so."""
    if request.get("stream"):
        return chunks({"content": content, **message}, reason=reason)
    return answer(content, reason, **message)


def crowded(alone: Act, together: Act, patience: float = 0.05) -> Act:
    """One answer to a request that is open alone for so many seconds, and another beside others."""

    def act(handler: Handler) -> None:
        until = time.monotonic() + patience
        while handler.fake.open < 2 and time.monotonic() < until:
            time.sleep(0.002)
        (together if handler.fake.open > 1 else alone)(handler)

    return act


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    fake: FakeServer
    started = False

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        sent = self.rfile.read(length)
        if len(sent) < length:  # the client has left
            self.close_connection = True
            return
        asked = json.loads(sent)
        self.started = False
        if self.path == "/tokenize":
            tokens = self.fake.tokens
            told = tokens and json.dumps({"tokens": tokens(asked["content"])})
            (body(told) if told else status(404))(self)
            return
        with self.fake.lock:
            self.fake.requests.append(asked)
            self.fake.headers.append({name.lower(): text for name, text in self.headers.items()})
            self.fake.open += 1
            self.fake.most_open = max(self.fake.most_open, self.fake.open)
            act = self.fake.script.pop(0) if self.fake.script else None
        try:
            (act or self.fake.reply(asked))(self)
        except OSError:
            self.close_connection = True
        finally:
            with self.fake.lock:
                self.fake.open -= 1

    def start(self, code: int, length: int, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def stream(self, events: Iterable[str]) -> None:
        if not self.started:
            self.started = True
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
        for event in events:
            self.wfile.write(event.encode())
            self.wfile.flush()

    def log_message(self, *_: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    """A client that leaves in the middle is no error."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class FakeServer:
    """The server, from entering the context to leaving it."""

    def __init__(self) -> None:
        self.script: list[Act] = []
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.open = self.most_open = 0
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self.reply: Callable[[dict[str, Any]], Act] = lambda _: answer()
        self.tokens: Callable[[str], list[int]] | None = None
        handler = type("Bound", (Handler,), {"fake": self})
        self.http = _Server(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    def __enter__(self) -> FakeServer:
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.http.shutdown()
        self.http.server_close()


def after(seconds: float, act: Act) -> Act:
    """The same, but later."""

    def later(handler: Handler) -> None:
        time.sleep(seconds)
        act(handler)

    return later
