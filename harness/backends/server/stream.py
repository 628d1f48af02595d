"""A streamed chat completion: its events, and all of them as one whole.

[each async for each in events_of(parts)]      the data of each event, up to `[DONE]`
whole([{"choices": [{"delta": {"content": "{}"}}]}, ...], ended=True)
    {"choices": [{"message": {"content": "{}", "tool_calls": []}, "finish_reason": "stop"}], ...}
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from fmtharness.harness.backends.server.reply import (
    THOUGHTS,
    BrokenReplyError,
    as_list,
    as_table,
    as_text,
    choices_of,
    index_of,
)

DONE = "[DONE]"
"""The last event of a stream that was not cut off."""
_LINE_END = re.compile(rb"[\r\n]")


async def events_of(parts: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    """The data of each event, and `DONE` where the stream says so. Raises ValueError for no JSON.

    The data of an event is one line, as of all servers with this API. An event `error` becomes
    `{"error": data}`.
    """
    rest, event = b"", b""
    async for part in parts:
        *lines, rest = _LINE_END.split(rest + part)
        for line in lines:
            name, _, told = line.partition(b":")
            told = told.strip()
            if name == b"event":
                event = told
            elif name == b"data" and told == DONE.encode():
                yield DONE
                return
            elif name == b"data":
                data = json.loads(told)
                is_error = event == b"error" and "error" not in as_table(data)
                yield {"error": data} if is_error else data
            elif not line:
                event = b""


def whole(chunks: Iterable[Any], *, ended: bool) -> dict[str, Any]:
    """The chunks of a stream as one chat completion. Raises BrokenReplyError for half of one.

    A stream without a finish reason is whole if it `ended` with DONE.
    """
    texts: dict[str, list[str]] = {}
    calls: dict[int, dict[str, str]] = {}
    reason, usage, answered = None, None, False
    for chunk in chunks:
        usage = as_table(chunk).get("usage") or usage
        if isinstance(chunk, Mapping) and not (chunk.get("choices") or chunk.get("error")):
            continue
        choice = next((each for each in choices_of(chunk) if index_of(each) == 0), None)
        if choice is None:
            continue
        answered = True
        reason = choice.get("finish_reason") or reason
        delta = as_table(choice.get("delta"))
        for key in ("content", "refusal", *THOUGHTS):
            if text := as_text(delta.get(key)):
                texts.setdefault(key, []).append(text)
        for each in map(as_table, as_list(delta.get("tool_calls"))):
            call = calls.setdefault(index_of(each), {"name": "", "arguments": ""})
            for key, part in as_table(each.get("function")).items():
                if key in call and isinstance(part, str):
                    call[key] += part
    if reason is None and not (ended and answered):
        raise BrokenReplyError("its stream ended in the middle")
    message: dict[str, Any] = {key: joined(parts) for key, parts in texts.items()}
    message["tool_calls"] = [{"function": calls[index]} for index in sorted(calls)]
    return {"choices": [{"message": message, "finish_reason": reason}], "usage": usage}


def joined(parts: Iterable[str]) -> str:
    """The parts as one text, in which the halves of a surrogate pair are one character again."""
    text = "".join(parts)
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def says_something(chunk: Any) -> bool:
    """Whether a chunk of a stream has a first piece of text, of reasoning or of a call."""
    choices = as_list(as_table(chunk).get("choices")) or [{}]
    delta = as_table(as_table(choices[0]).get("delta"))
    return any(delta.get(key) for key in ("content", "refusal", "tool_calls", *THOUGHTS))
