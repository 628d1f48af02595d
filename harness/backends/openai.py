"""Backend that asks a server for Completions, by the chat completions API that most of them have.

OpenAI(base_url="http://127.0.0.1:8080/v1", model="m").complete(examples, ModelOptions(), None)
    yields Completion(example_id="eval-0", text='{"a": 1}', finish_reason="stop", seconds=0.41, ...)

llama.cpp's server, Ollama, vLLM, SGLang and vendors take the same request; docs/servers.md says in
what they differ. The client is the package `openai`, of the extra `[servers]`.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import msgspec
from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from fmtharness.harness.backends.server.cache import RequestCache
from fmtharness.harness.backends.server.client import Limits, Server, UnansweredError
from fmtharness.harness.backends.server.counting import tokens_of
from fmtharness.harness.backends.server.loop import as_they_finish
from fmtharness.harness.backends.server.reply import REASONS, completion_of
from fmtharness.harness.backends.server.request import (
    ResponseFormat,
    messages_of,
    response_format_of,
)
from fmtharness.harness.contracts import ModelOptions, Options
from fmtharness.harness.errors import ConfigError
from fmtharness.harness.files import digest
from fmtharness.harness.options import PLACED
from fmtharness.harness.progress import progress, say
from fmtharness.harness.records import Completion, Example
from fmtharness.harness.requirements import needs

MILLION = 1_000_000
REFUSED = (
    "the base_url of backend openai must be an address alone, without a user, a password or a "
    "query; name the environment variable of an API key with api_key_env"
)
NO_NAME = (
    "api_key_env of backend openai must be the name of an environment variable, such as "
    "OPENAI_API_KEY, and not the key itself"
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*").fullmatch
OWN = frozenset({"messages", "model", "n", "stream", "stream_options", "tools"})
"""Keys of a request that `extra_body` cannot set."""
OPTIONS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "stop": "stop",
    "max_tokens": "max_new_tokens",
    "max_completion_tokens": "max_new_tokens",
}
"""Keys that an option sets, so that `extra_body` cannot, either."""


class OpenAI(Options):
    """Asks a server with an OpenAI-compatible API, as many prompts at once as it is allowed.

    `{"id": "eval-0", "prompt": [...]}` becomes `{"example_id": "eval-0", "text": "{\\"a\\": 1}",
    "finish_reason": "stop", "prompt_tokens": 31, "completion_tokens": 6, "seconds": 0.4}`.
    """

    name: ClassVar[str] = "openai"
    remote: ClassVar[bool] = True
    incidental: ClassVar[frozenset[str]] = frozenset(
        {"api_key_env", "concurrency", "timeout_seconds", "max_retries", "requests_per_minute"}
    )

    base_url: str
    """The server's address, such as `http://127.0.0.1:8080/v1`, without a key in it."""
    model: str = Field(min_length=1)
    """The server's name for the model; a server of one model takes any."""
    api_key_env: str = "OPENAI_API_KEY"
    """The environment variable that holds the API key; a server without keys needs none."""
    concurrency: int = Field(default=8, ge=1, le=1000)
    """How many requests are open at once."""
    timeout_seconds: float = Field(default=120.0, gt=0)
    """Seconds that one request may take, to its last byte."""
    max_retries: int = Field(default=6, ge=0, le=100)
    """How often a request is sent again after a 429, a 5xx, a timeout or a broken connection."""
    requests_per_minute: float | None = Field(default=None, gt=0)
    """The most requests that are begun in a minute; any number if not set."""
    max_new_tokens: int = Field(default=128, ge=1)
    """Maximum new tokens; a longer completion is cut off with finish_reason `length`."""
    max_tokens_key: str = Field(default="max_tokens", pattern=r"^max(_completion)?_tokens$")
    """What the server calls them: `max_tokens`, or `max_completion_tokens`."""
    temperature: float = Field(default=0.0, ge=0)
    """The temperature of sampling; with 0 the likeliest token is taken."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """Sample from the likeliest tokens of this total probability; the server's default if unset."""
    seed: int | None = None
    """The seed of sampling; each further completion of a prompt takes the next one."""
    stop: tuple[str, ...] = ()
    """Texts at which a completion ends."""
    stream: bool = False
    """Stream the answers, which measures the time to the first token."""
    response_format: ResponseFormat = "text"
    """What Examples in JSON are held to: nothing, an object, or their JSON Schema, if they have one
    (else an object). Other formats are never held to anything."""
    strict_schema: bool = True
    """What `strict` says beside a schema; some vendors refuse many schemas if it is true."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """More keys of the request, such as `{ top_k = 40 }` or `{ chat_template_kwargs = {...} }`."""
    input_price: float | None = Field(default=None, ge=0)
    """The price of a million tokens of prompts, in any currency."""
    output_price: float | None = Field(default=None, ge=0)
    """The price of a million tokens of completions."""
    cache: bool = True
    """Whether what was asked before is taken from the cache, and new answers go into it."""

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        if any(each.isspace() or not each.isprintable() for each in url):
            raise ValueError("it must be an address, without blanks and line breaks")
        parts = urlsplit(url)
        if "@" in parts.netloc or parts.query or parts.fragment:
            # Not a ValueError, whose sentence would show the address.
            raise PydanticCustomError(PLACED, REFUSED)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("it must be an address, such as 'http://127.0.0.1:8080/v1'")
        _ = parts.port  # raises ValueError for one that is none
        return url.rstrip("/")

    @field_validator("extra_body")
    @classmethod
    def _has_no_own_key(cls, extra: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(OWN & extra.keys()):
            raise ValueError(f"{taken[0]!r} is set by fmtharness, so extra_body cannot set it")
        if taken := sorted(OPTIONS.keys() & extra.keys()):
            raise ValueError(f"{taken[0]!r} is no key of extra_body; set {OPTIONS[taken[0]]}")
        try:
            json.dumps(extra, allow_nan=False)
        except (ValueError, TypeError) as error:
            raise ValueError(f"it is sent as JSON, which cannot hold it ({error})") from None
        return extra

    @field_validator("api_key_env")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not _NAME(name):  # it may be a key
            raise PydanticCustomError(PLACED, NO_NAME)
        return name

    @model_validator(mode="after")
    def _fits_together(self) -> OpenAI:
        if self.response_format != "text" and "response_format" in self.extra_body:
            raise ValueError("response_format and extra_body both set response_format; keep one")
        if (self.input_price is None) != (self.output_price is None):
            raise ValueError("input_price and output_price belong together; give both")
        return self

    @property
    def source(self) -> str:
        """Where the Completions come from, in a few words."""
        return f"server {self.base_url}, model {self.model}"

    def complete(
        self, examples: Sequence[Example], model: ModelOptions, adapter: Path | None
    ) -> Iterator[Completion]:
        """Yield one Completion per Example, as they finish; the server has its own model.

        One that got no answer has the finish_reason `error`. Raises ConfigError for an adapter, and
        where the server would refuse every request.
        """
        needs(f"backend {self.name}", "openai")
        if adapter is not None:
            raise ConfigError(
                f"backend {self.name}: server {self.base_url} cannot put the adapter {adapter} on "
                f"its model; let it serve the tuned model, and leave the adapter out"
            )
        yield from (each for _, each in self._answers(examples))

    def _answers(self, examples: Sequence[Example]) -> Iterator[tuple[int, Completion]]:
        """The index of each Example and its Completion, as they finish."""
        with ExitStack() as stack:
            asking = _Asking(self)
            stack.callback(asking.end)
            bar = stack.enter_context(progress(len(examples), "ask", unit="completion"))
            most = 2 * self.concurrency  # so that a caller who takes time leaves no request idle
            asked = as_they_finish(asking.answer, enumerate(examples), most, asking.server.close)
            # If the caller stops early, the requests end before the cache that they write to.
            for index, answer in stack.enter_context(closing(asked)):
                bar.advance()
                yield index, answer

    def body(self, example: Example) -> dict[str, Any]:
        """The request for an Example, without what `extra_body` adds."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": messages_of(example.prompt),
            self.max_tokens_key: self.max_new_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "seed": self.seed,
            "stop": list(self.stop) or None,
            "tools": list(example.tools) or None,
            "response_format": response_format_of(
                example, self.response_format, strict=self.strict_schema
            ),
        }
        if self.stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return {key: value for key, value in body.items() if value is not None}

    def tokens_of(self, texts: Sequence[str]) -> list[int] | None:
        """How many tokens the server counts in each text; None if it has no way to count them."""
        key = os.environ.get(self.api_key_env, "").strip() or None
        return tokens_of(texts, self.base_url, self.model, key)

    def cost(self, prompt_tokens: int | None, completion_tokens: int | None) -> float | None:
        """What an answer costs; None without prices or counts."""
        if self.input_price is None or self.output_price is None:
            return None
        if prompt_tokens is None or completion_tokens is None:
            return None
        read, written = prompt_tokens * self.input_price, completion_tokens * self.output_price
        return (read + written) / MILLION


class _Asking:
    """What the requests of one call share: the client, the cache, and what there is to report."""

    def __init__(self, options: OpenAI) -> None:
        self.options = options
        self.server = Server(
            options.base_url,
            Limits(options.timeout_seconds, options.max_retries, options.requests_per_minute),
            key=os.environ.get(options.api_key_env, "").strip() or None,
            key_env=options.api_key_env,
        )
        self.cache = RequestCache() if options.cache else None
        self.slots = asyncio.Semaphore(options.concurrency)
        self.asked = 0
        self.unanswered: dict[int, Completion] = {}
        self.unknown: set[str | None] = set()

    async def answer(self, item: tuple[int, Example]) -> tuple[int, Completion]:
        """The Completion of one Example, from the cache or else the server."""
        index, example = item
        try:
            body = self.options.body(example)
            request = _digest(self.options, body)
        except UnicodeEncodeError:
            return self._failed(index, example, "its prompt has half of a surrogate pair")
        self.asked += 1
        draw = max(example.draw, example.sample)  # some callers only tell the sample
        if draw and self.options.seed is not None:
            body["seed"] = self.options.seed + draw
        key = digest([request, draw])
        found = self.cache.get(key) if self.cache else None
        cached = found is not None
        if found is None:
            async with self.slots:
                try:
                    reply = await self.server.ask(body, self.options.extra_body)
                except UnansweredError as error:
                    return self._failed(index, example, str(error))
            found = completion_of(reply, example)
            if reply.finish_reason not in REASONS:
                self.unknown.add(reply.finish_reason)
            if found.error is not None:
                return self._failed(index, example, found.error)
            if self.cache:
                self.cache.put(key, found)
        cost = self.options.cost(found.prompt_tokens, found.completion_tokens)
        known = msgspec.structs.replace(
            found, example_id=example.id, sample=example.sample, cost=cost, cached=cached
        )
        return index, known

    def _failed(self, index: int, example: Example, why: str) -> tuple[int, Completion]:
        error = f"server {self.options.base_url}: {why}"
        failed = Completion(
            example_id=example.id,
            sample=example.sample,
            text="",
            finish_reason="error",
            error=error,
        )
        self.unanswered[index] = failed
        return index, failed

    def end(self) -> None:
        """Close the cache, and report what was not as it should be."""
        if self.cache:
            self.cache.close()
        if self.unknown:
            named = sorted(repr(each) for each in self.unknown if each is not None)
            known = f"the finish reason {', '.join(named)}, which is unknown" if named else ""
            none = "no finish reason" if None in self.unknown else ""
            ended = " or ".join(filter(None, [none, known]))
            say(
                f"server {self.options.base_url}: answers ended with {ended}; they are judged as "
                f"they are"
            )
        if self.unanswered:
            first = self.unanswered[min(self.unanswered)]
            say(
                f"ask: {len(self.unanswered)} of {self.asked} prompts have no answer and "
                f"are unscored; the first is Example {first.example_id}: {first.error}"
            )


def _digest(options: OpenAI, body: dict[str, Any]) -> str:
    """A hash of what is sent where, in its order: that of a schema's keys may shape an answer."""
    sent = [options.base_url, body, options.extra_body]
    return digest(json.dumps(sent, ensure_ascii=False))
