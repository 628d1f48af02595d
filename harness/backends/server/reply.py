"""A server's chat completion as a Reply, and a Reply as a Completion.

reply_of({"choices": [{"message": {"content": "{}"}, "finish_reason": "stop"}], "usage": {...}})
    Reply(text="{}", reasoning=None, calls=(), finish_reason="stop", prompt_tokens=12, ...)

Servers leave things out and invent others: what is missing or null is None, and only what cannot be
an answer at all raises BrokenReplyError, after which the request is sent again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from fmtharness.harness.formats import for_example
from fmtharness.harness.plugins import component
from fmtharness.harness.records import Completion, Example, FinishReason

REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "tool_calls": "stop",
    "function_call": "stop",
    "length": "length",
    "max_tokens": "length",
    "content_filter": "error",
    "error": "error",
    "abort": "error",
}
"""What servers call the end of an answer, and what a Completion calls it."""
THOUGHTS = ("reasoning_content", "reasoning")
"""Where servers put what stood in think tags."""
TOOL_CALL = "tool_call"


class BrokenReplyError(Exception):
    """A body that holds no whole chat completion; its text says what is wrong with it."""


class Reply(NamedTuple):
    """What a server answered."""

    text: str
    reasoning: str | None
    calls: tuple[tuple[str, str], ...]
    """Name and arguments of each tool call; the arguments are text that should be JSON."""
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    seconds: float | None = None
    first_token_seconds: float | None = None


def reply_of(data: Any) -> Reply:
    """The first choice of a chat completion. Raises BrokenReplyError."""
    choice = min(choices_of(data), key=index_of)
    message = choice.get("message")
    if not isinstance(message, Mapping):
        raise BrokenReplyError("its answer has a choice without a message")
    usage = as_table(data.get("usage"))
    reason = choice.get("finish_reason")
    return Reply(
        text=as_text(message.get("content")) or as_text(message.get("refusal")),
        reasoning=next(filter(None, (as_text(message.get(key)) for key in THOUGHTS)), None),
        calls=tuple(_calls(message)),
        finish_reason=reason if isinstance(reason, str) else None,
        prompt_tokens=as_count(usage.get("prompt_tokens")),
        completion_tokens=as_count(usage.get("completion_tokens")),
    )


def choices_of(data: Any) -> list[Mapping[str, Any]]:
    """The choices of a completion or a chunk, at least one. Raises BrokenReplyError."""
    if not isinstance(data, Mapping):
        raise BrokenReplyError("its body is no JSON object")
    if told := data.get("error"):
        message = told.get("message") if isinstance(told, Mapping) else told
        raise BrokenReplyError(f"it answered with an error: {message}")
    choices = [each for each in as_list(data.get("choices")) if isinstance(each, Mapping)]
    if not choices:
        raise BrokenReplyError("its answer has no choices")
    return choices


def index_of(choice: Mapping[str, Any]) -> int:
    """The index of a choice, or of a call; 0 if it has none."""
    return as_count(choice.get("index")) or 0


def completion_of(reply: Reply, example: Example) -> Completion:
    """The Completion that is judged.

    Tool calls that the server has read are written out again, in the syntax that the Example asks
    for, behind the text that came with them.
    """
    text = reply.text
    reasoning, unclosed = reply.reasoning, False
    if reasoning is None:
        reasoning, text, unclosed = _split(text)
    if reply.calls:
        text = "\n".join(part for part in (text, _written(reply.calls, example)) if part)
    reason = REASONS.get(reply.finish_reason or "")
    filtered = "the server's content filter cut the answer off"
    ended = f"the server ended the answer with {reply.finish_reason!r}"
    error = None
    if reason == "error":
        error = filtered if reply.finish_reason == "content_filter" else ended
    return Completion(
        example_id=example.id,
        sample=example.sample,
        text=text,
        reasoning=reasoning,
        unclosed=unclosed or (reason == "length" and reasoning is not None and not text),
        finish_reason=reason,
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        error=error,
        seconds=reply.seconds,
        first_token_seconds=reply.first_token_seconds,
    )


def _split(text: str) -> tuple[str | None, str, bool]:
    """The reasoning of a text that begins with a think tag, as of a local model's."""
    from fmtharness.harness.engine.reasoning import PAIRS, split

    tags = next((each for each in PAIRS if text.lstrip().startswith(each.open)), None)
    return split(text, tags) if tags else (None, text, False)


def _written(calls: tuple[tuple[str, str], ...], example: Example) -> str:
    """The calls as text; arguments that are not JSON stay as they are, for the judge to see."""
    parts = [f'{{"name": {_quoted(name)}, "arguments": {given}}}' for name, given in calls]
    as_json = parts[0] if len(parts) == 1 else f"[{', '.join(parts)}]"
    if example.format != TOOL_CALL or not example.format_options:
        return as_json
    try:
        target = for_example(component("formats", TOOL_CALL)(), example)
        return str(target.render(json.loads(as_json)))
    except (ValueError, RecursionError):
        return as_json


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


def _calls(message: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    given = as_list(message.get("tool_calls"))
    if old := as_table(message.get("function_call")):
        given = [{"function": old}]
    for each in given:
        function = as_table(as_table(each).get("function"))
        arguments = function.get("arguments")
        if arguments is not None and not isinstance(arguments, str):  # as Ollama's own API does
            arguments = json.dumps(arguments, ensure_ascii=False)
        yield str(function.get("name") or ""), (arguments or "{}")


def as_text(content: Any) -> str:
    """A content's text: a string, null, or a list of parts."""
    if isinstance(content, list):
        return "".join(as_text(as_table(part).get("text")) for part in content)
    return content if isinstance(content, str) else ""


def as_table(value: Any) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def as_list(value: Any) -> list[Any]:
    """The value if it is an array, else an empty one."""
    return value if isinstance(value, list) else []


def as_count(value: Any) -> int | None:
    """The value if it is an integer, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None
