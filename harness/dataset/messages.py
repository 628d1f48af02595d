"""Chat messages, tools and schemas of a row, in the shapes that are in use.

messages([{"role": "developer", "content": [{"type": "text", "text": "Be brief."}]}])
    (Message("system", "Be brief."),)
asked_for({"response_format": {"type": "text"}})
    (True, None)

What cannot be read raises ValueError with half a sentence, to which the reader adds the place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fmtharness.harness.errors import DataError
from fmtharness.harness.records import Message
from fmtharness.harness.schemas import Schema, schema_of_row
from fmtharness.harness.text import did_you_mean

ROLES: Final[Mapping[str, Any]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
}
"""The names of roles that are in use, and what chat templates call them."""


def messages(value: Any, what: str = "messages") -> tuple[Message, ...]:
    """A list of chat messages, which may stand in a string as JSON."""
    if isinstance(value, str):
        value = _loaded(value, what)
    if not isinstance(value, list) or not value:
        raise ValueError(f"{what} must be a list of one message or more")
    return tuple([message(each) for each in value])


def is_message(raw: Any) -> bool:
    """Whether data is meant as a message; `{"from": "Oslo", "to": "Rome"}` is not."""
    if not isinstance(raw, dict):
        return True  # a list of texts is a mistake, and is reported as one
    said = {"content", "tool_calls", "function_call"}
    return ("role" in raw and not said.isdisjoint(raw)) or {"from", "value"} <= raw.keys()


def message(raw: Any) -> Message:
    """One message with `role` and `content`, or with `from` and `value`."""
    if not isinstance(raw, dict):
        raise ValueError(f"a message must be an object with role and content, not {raw!r:.80}")
    named = raw["role"] if "role" in raw else raw.get("from")
    role = ROLES.get(named.lower()) if isinstance(named, str) else None
    if role is None:
        near = did_you_mean(named.lower(), ROLES) if isinstance(named, str) else ""
        raise ValueError(f"a message has the role {named!r:.80}{near or ', which is unknown'}")
    given = raw["content"] if "content" in raw else raw.get("value")
    content = _result(given) if role == "tool" else text_of(given)
    if named == "function_call" and isinstance(_data(content), dict | list):
        return Message("assistant", "", calls_of(content))
    calls: tuple[dict[str, Any], ...] = ()
    if role == "assistant":
        calls = calls_of(raw.get("tool_calls") or raw.get("function_call") or ())
    if role != "tool":
        return Message(role, content, calls)
    answered, name = raw.get("tool_call_id"), raw.get("name")
    return Message(
        role,
        content,
        tool_call_id=None if answered is None else str(answered),
        name=None if name is None else str(name),
    )


def text_of(content: Any) -> str:
    """A message's content: a text, null, or a list of parts, whose texts are joined by lines."""
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if not isinstance(content, list):
        raise ValueError(f"a message's content must be a text or a list of parts: {content!r:.80}")
    texts = []
    for part in content:
        kind = part.get("type", "text") if isinstance(part, dict) else "text"
        text = part.get("text") if isinstance(part, dict) else part
        if kind not in ("text", "input_text", "output_text") or not isinstance(text, str):
            raise ValueError(f"a message has a part of type {kind!r:.40}; only text can be read")
        texts.append(text)
    return "\n".join(texts)


def _result(content: Any) -> str:
    """What a tool gave: a text or a list of parts, else data, which becomes JSON."""
    try:
        return text_of(content)
    except ValueError:
        if isinstance(content, list) and any(_is_part(each) for each in content):
            raise
        return json.dumps(content, ensure_ascii=False)


def _is_part(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("type"), str)


def calls_of(value: Any) -> tuple[dict[str, Any], ...]:
    """Tool calls as chat templates take them; arguments that are JSON in a string become data."""
    if isinstance(value, str):
        value = _loaded(value, "tool_calls")
    calls = []
    for each in [value] if isinstance(value, dict) else value:
        function = each.get("function", each) if isinstance(each, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise ValueError(f"a tool call must have a name and arguments: {each!r:.80}")
        arguments = function.get("arguments", function.get("parameters"))
        if isinstance(arguments, str):
            arguments = _data(arguments) if arguments.strip() else {}
        called = {"name": function["name"], "arguments": {} if arguments is None else arguments}
        own = {"id": each["id"]} if each.get("id") is not None else {}
        calls.append({**own, "type": "function", "function": called})
    return tuple(calls)


def called(calls: Sequence[Mapping[str, Any]]) -> Any:
    """Tool calls as a value of the Format tool_call: one, or a list of several."""
    plain = [dict(each["function"]) for each in calls]
    return plain[0] if len(plain) == 1 else plain


def tools_of(row: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """A row's `tools` or `functions`, each as `{"type": "function", "function": {...}}`."""
    value = row.get("tools") or row.get("functions") or ()
    if isinstance(value, str):
        value = _loaded(value, "tools") if value.strip() else ()
    found = []
    for each in [value] if isinstance(value, dict) else value:
        if isinstance(each, str):
            each = _loaded(each, "tools")
        function = each.get("function", each) if isinstance(each, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise ValueError(f"a tool must be an object with a name: {each!r:.80}")
        if "function" not in each:
            function = {key: inner for key, inner in function.items() if key != "type"}
        found.append({"type": "function", "function": function})
    return tuple(found)


ASKS: Final = (
    "response_format",
    "json_schema",
    "schema",
    "guided_json",
    "structured_outputs",
    "extra_body",
    "text",
)
"""Keys under which a row may ask for JSON or hold its schema."""


def asked_for(row: Mapping[str, Any]) -> tuple[bool, Schema | None]:
    """Whether a row says that it asks for no format, and its JSON Schema if it has one."""
    try:
        schema = schema_of_row(row)
    except DataError as error:
        raise ValueError(str(error)) from None
    asked = row.get("response_format")
    return isinstance(asked, dict) and asked.get("type") == "text", schema


def _loaded(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{what} is a text that is not JSON: {error}") from None


def _data(text: str) -> Any:
    """What JSON in a text means, or the text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
