"""One server: requests through the official client, paced, and repeated where that may help.

reply = await Server("http://127.0.0.1:8080/v1", Limits(...), key=None, key_env="OPENAI_API_KEY")
    .ask({"model": "m", "messages": [...]}, extra={})          Reply(text="{}", seconds=0.4, ...)

A 429, a 5xx, a timeout, a broken connection or half a body is asked again, later each time; after
the last time UnansweredError is raised, which concerns one Example. What no repetition can mend
raises ConfigError, which ends the run. No message holds the key or a part of the prompt.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections.abc import AsyncIterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from fmtharness.harness.backends.server.reply import (
    BrokenReplyError,
    Reply,
    reply_of,
)
from fmtharness.harness.backends.server.stream import DONE, events_of, says_something, whole
from fmtharness.harness.errors import ConfigError, RefusedError
from fmtharness.harness.text import one_line

AGAIN = frozenset({408, 409, 425, 429})
"""The statuses below 500 after which a request is sent again."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
"""Seconds before the second attempt, doubled before each later one up to the longest."""
MOST_ASKED = 600.0
"""If a server asks to wait for more seconds than this, it is not waited for."""
ONE_PROMPT = frozenset({"content_filter", "context_length_exceeded", "exceed_context_size_error"})
"""The codes of a refusal that concerns one prompt, not the options."""
TOO_LONG = re.compile(
    r"context (length|window|size)|(prompt|input|message)s?\b[^.]*\btoo long|input token count"
    r"|longer than the model|too many (input )?tokens|`inputs`|reduce the length",
    re.IGNORECASE,
).search
"""What servers without such a code say of a prompt that is too long: vLLM, SGLang, vendors."""
CONNECT = 10.0
"""Seconds in which a connection must stand, at most half of those of a request."""
QUOTA = "insufficient_quota"
SECRET, SECRET_IN_ANSWERS = 4, 16
"""Shorter keys are placeholders, such as `ollama`, which ordinary texts may hold, too."""
WINDOW = 24
"""This many consecutive characters of a prompt are a quotation, not a coincidence."""

sleep, now = asyncio.sleep, time.monotonic


class UnansweredError(Exception):
    """The server gave no answer to one request; the text is why."""


class Limits(NamedTuple):
    """How a server is asked."""

    timeout: float
    """Seconds that one attempt may take."""
    retries: int
    per_minute: float | None
    """Requests a minute, attempts included; None for any number."""


class Fault(NamedTuple):
    """Why an attempt failed, and what it means."""

    said: str
    again: bool = True
    """Whether another attempt may succeed."""
    stops: bool = False
    """Whether every other request would fail like this."""
    refused: bool = False
    """Whether it is the options of the request that fail."""
    asked_wait: float | None = None
    """Seconds that the server asks to wait."""
    way_out: str = ""


class Pace:
    """Spreads requests evenly over time, and holds all of them while the server asks to wait."""

    def __init__(self, per_minute: float | None) -> None:
        self.gap = 60 / per_minute if per_minute else 0.0
        self.next = 0.0
        self.first = asyncio.Lock()
        """Held by the request whose turn is next."""

    async def turn(self) -> None:
        """Wait for the next turn."""
        async with self.first:
            while (wait := self.next - now()) > 0:  # it may be held meanwhile
                await sleep(wait)
            self.next = max(self.next, now()) + self.gap

    def hold(self, seconds: float) -> None:
        """Let no turn begin for this many seconds."""
        self.next = max(self.next, now() + seconds)


class Server:
    """The client of one server, and what its requests share."""

    def __init__(self, base_url: str, limits: Limits, *, key: str | None, key_env: str) -> None:
        from openai import AsyncOpenAI, Timeout

        if key is not None and not (key.isascii() and key.isprintable()):
            raise ConfigError(
                f"server {base_url}: the environment variable {key_env} has characters that no key "
                f"has; set it to the server's key, or unset it"
            )
        self.base_url, self.limits, self.key, self.key_env = base_url, limits, key, key_env
        self.pace = Pace(limits.per_minute)
        self.reached = False
        """Whether it has ever answered."""
        timeout = Timeout(limits.timeout, connect=min(CONNECT, limits.timeout / 2))
        self.client = AsyncOpenAI(
            base_url=base_url, api_key=key or "none", max_retries=0, timeout=timeout
        )

    async def ask(self, body: Mapping[str, Any], extra: Mapping[str, Any]) -> Reply:
        """The answer. Raises UnansweredError, and ConfigError for what would fail each request."""
        for attempt in range(self.limits.retries + 1):
            await self.pace.turn()
            try:
                reply = await self._attempt(body, extra)
            except Exception as error:
                fault = self._fault(error)
                if fault is None:
                    raise
            else:
                self.reached = True
                return self._clean(reply)
            said = self.safe(fault.said, body["messages"])
            last = attempt == self.limits.retries
            if fault.stops:
                kind = RefusedError if fault.refused else ConfigError
                raise kind(f"server {self.base_url}: {said}; {fault.way_out}")
            if fault.asked_wait is not None and fault.asked_wait > MOST_ASKED:
                raise UnansweredError(f"{said}; the server asks to wait {fault.asked_wait:,.0f} s")
            if last or not fault.again:
                times = f" at the last of {attempt + 1} attempts" if attempt else ""
                raise UnansweredError(f"{said}{times}")
            if fault.asked_wait is not None:
                self.pace.hold(fault.asked_wait)
            await sleep(max(fault.asked_wait or 0.0, backoff(attempt)))
        raise AssertionError("the last attempt returns or raises")

    async def close(self) -> None:
        """Close all connections."""
        await self.client.close()

    def safe(self, text: str, messages: list[dict[str, Any]]) -> str:
        """A sentence without the key, and without what a server quotes from the prompt."""
        head, quote, told = self.hidden(text).partition(" (")
        if quote and any(_quotes(told, str(each.get("content") or "")) for each in messages):
            return head
        return one_line(head + quote + told)

    def hidden(self, text: str, least: int = SECRET) -> str:
        """The text with `[key]` in place of the key, if the key has at least `least` characters."""
        if self.key is None or len(self.key) < least:
            return text
        return text.replace(self.key, "[key]")

    def _clean(self, reply: Reply) -> Reply:
        """The reply with the key hidden, should the server have sent it back."""
        least = SECRET_IN_ANSWERS
        return reply._replace(
            text=self.hidden(reply.text, least),
            reasoning=reply.reasoning and self.hidden(reply.reasoning, least),
            finish_reason=reply.finish_reason and self.hidden(reply.finish_reason, least),
            calls=tuple(
                (self.hidden(name, least), self.hidden(given, least)) for name, given in reply.calls
            ),
        )

    async def _attempt(self, body: Mapping[str, Any], extra: Mapping[str, Any]) -> Reply:
        create: Any = self.client.chat.completions
        first = None
        began = now()
        async with asyncio.timeout(self.limits.timeout):
            if body.get("stream"):
                asked = create.with_streaming_response.create(**body, extra_body=extra)
                async with asked as response:
                    reply, first = await _streamed(response)
            else:
                raw = await create.with_raw_response.create(**body, extra_body=extra)
                reply = reply_of(json.loads(raw.content))
        seconds = now() - began
        return reply._replace(
            seconds=seconds, first_token_seconds=None if first is None else first - began
        )

    def _fault(self, error: Exception) -> Fault | None:
        """What a failed attempt means; None for an error that is not the server's."""
        import openai

        if isinstance(error, openai.APIStatusError):
            self.reached = True
            return self._fault_of_status(error)
        cause = error.__cause__
        if type(cause).__name__ in ("ConnectError", "ConnectTimeout"):
            said = f"it cannot be reached ({str(cause) or 'it takes no connection'})"
            way_out = "start it, or check base_url"
            return Fault(said, stops=not self.reached, way_out=way_out)
        if isinstance(error, TimeoutError | openai.APITimeoutError):
            return Fault(f"no whole answer came within {self.limits.timeout:g} s")
        if isinstance(error, openai.APIConnectionError):
            return Fault(f"the connection broke ({cause or error})")
        if isinstance(error, BrokenReplyError):
            return Fault(f"no chat completion came ({error})")
        if isinstance(error, openai.APIError):
            return Fault(f"the answer ended with an error ({error.message})")
        broken = isinstance(error, ValueError | RecursionError)
        if broken and not isinstance(error, UnicodeEncodeError):
            return Fault("its answer is not JSON, was cut off, or nests too deep")
        return None

    def _fault_of_status(self, error: Any) -> Fault:
        status, code, told = error.status_code, *_told(error.body)
        said = f"status {status} ({told})" if told else f"status {status}"
        if code in ONE_PROMPT or status == 413 or (status in (400, 422) and TOO_LONG(told)):
            return Fault(said, again=False)
        if code != QUOTA and (status in AGAIN or status >= 500):
            return Fault(said, asked_wait=asked_wait(error.response.headers))
        if status in (401, 403):
            if self.key:
                way_out = f"check the key in the environment variable {self.key_env}"
            else:
                way_out = f"set the environment variable {self.key_env}, which api_key_env names"
        elif status == 404:
            way_out = "check base_url, which often ends in /v1, and model"
        elif code == QUOTA:
            way_out = "the account has no quota left"
        else:
            way_out = "check the server's options, such as model, response_format and extra_body"
        return Fault(said, stops=True, refused=status in (400, 422), way_out=way_out)


async def _streamed(response: Any) -> tuple[Reply, float | None]:
    """The reply of a stream, and when its first token came. A server may answer in one piece."""
    if "json" in response.headers.get("content-type", ""):
        return reply_of(json.loads(b"".join([part async for part in _read(response)]))), None
    chunks, first, ended = [], None, False
    async for event in events_of(_read(response)):
        if event == DONE:
            ended = True
            break
        chunks.append(event)
        if first is None and says_something(event):
            first = now()
    return reply_of(whole(chunks, ended=ended)), first


async def _read(response: Any) -> AsyncIterator[bytes]:
    """The pieces of a body; what breaks in the middle raises what the client raises elsewhere."""
    from openai import APIConnectionError

    try:
        async for part in response.iter_bytes():
            yield part
    except Exception as error:
        raise APIConnectionError(request=response.http_request) from error


def backoff(attempt: int) -> float:
    """Seconds to wait after the attempt, counted from 0: doubled each time, less up to a half."""
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(attempt, 10)) * random.uniform(0.5, 1.0)


def asked_wait(headers: Mapping[str, str]) -> float | None:
    """The seconds of a Retry-After, given as a number or as a date; None without one."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, seconds) if seconds == seconds else None


def _told(body: Any) -> tuple[str | None, str]:
    """The code and the message of an error's body, in the shapes that servers write."""
    if isinstance(body, str):
        return None, "" if body.lstrip().startswith("<") else body.strip()
    if not isinstance(body, Mapping):
        return None, ""
    code = body.get("code") if isinstance(body.get("code"), str) else body.get("type")
    told = body.get("message") or body.get("detail") or body.get("error") or ""
    if isinstance(told, list) and told and isinstance(told[0], Mapping):
        told = told[0].get("msg") or ""
    return code if isinstance(code, str) else None, told if isinstance(told, str) else ""


def _quotes(told: str, content: str) -> bool:
    """Whether a text holds the content, or a long piece of it."""
    if len(content) < WINDOW:
        return bool(content) and content in told
    pieces = (told[start : start + WINDOW] for start in range(len(told) - WINDOW + 1))
    return any(piece in content for piece in pieces)
