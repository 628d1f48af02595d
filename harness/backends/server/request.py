"""What an Example asks for, as the messages and options of a chat completion.

messages_of((Message("user", "Ring."), Message("assistant", "", (call,)), Message("tool", "ok")))
    [{"role": "user", "content": "Ring."},
     {"role": "assistant", "content": "", "tool_calls": [{"id": "call_1", ...}]},
     {"role": "tool", "content": "ok", "tool_call_id": "call_1"}]
response_format_of(example, "json_schema", strict=True)
    {"type": "json_schema", "json_schema": {"name": "answer", "schema": {...}, "strict": True}}
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from typing import Any, Literal

from fmtharness.harness.records import Example, Message

ResponseFormat = Literal["text", "json_object", "json_schema"]
SCHEMA = "json_schema"
"""The tag of an Example that has a schema."""


def messages_of(prompt: Iterable[Message]) -> list[dict[str, Any]]:
    """The prompt's turns; a call without an id gets one, and the tool turn after it the same."""
    found: list[dict[str, Any]] = []
    open_calls: deque[str] = deque()
    calls = 0
    for each in prompt:
        turn: dict[str, Any] = {"role": each.role, "content": each.content}
        if each.tool_calls:
            turn["tool_calls"] = []
            open_calls.clear()
        for call in each.tool_calls:
            calls += 1
            own = str(call.get("id") or f"call_{calls}")
            open_calls.append(own)
            turn["tool_calls"].append(_call(call["function"], own))
        if each.role == "tool":
            first = open_calls.popleft() if open_calls else None
            turn["tool_call_id"] = each.tool_call_id or first or f"call_{calls}"
        if each.name is not None:
            turn["name"] = each.name
        found.append(turn)
    return found


def _call(function: dict[str, Any], own: str) -> dict[str, Any]:
    arguments = function.get("arguments", {})
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return {
        "id": own,
        "type": "function",
        "function": {"name": function["name"], "arguments": arguments},
    }


def response_format_of(
    example: Example, kind: ResponseFormat, *, strict: bool
) -> dict[str, Any] | None:
    """What the server is to hold the answer to; None for nothing.

    Only what should be JSON is held to anything. Without a schema, an Example whose root is an
    object is held to an object.
    """
    if kind == "text" or example.format not in ("json", "json_array"):
        return None
    schema = example.tags.get(SCHEMA)
    if kind == "json_schema" and isinstance(schema, dict):
        return {"type": kind, SCHEMA: {"name": "answer", "schema": schema, "strict": strict}}
    is_object = example.format == "json" and example.format_options.get("root") in (None, "object")
    return {"type": "json_object"} if is_object else None
