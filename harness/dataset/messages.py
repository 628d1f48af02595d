"""Chat messages, tools and schemas of a row, in the shapes that the field writes them.

messages([{"role": "developer", "content": [{"type": "text", "text": "Be brief."}]}])
    (Message("system", "Be brief."),)
schema_in({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}})
    {}

What cannot be read raises ValueError with half a sentence, to which the reader adds the place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fmtharness.harness.records import Message
from fmtharness.harness.text import did_you_mean

ROLES: Final[Mapping[str, Any]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
}
"""What the field calls a role, and what chat templates call it."""
NO_FORMAT_ASKED: Final = "text"


def messages(value: Any, what: str = "messages") -> tuple[Message, ...]:
    """A list of chat messages, which may stand in a string as JSON."""
    if isinstance(value, str):
        value = _loaded(value, what)
    if not isinstance(value, list) or not value:
        raise ValueError(f"{what} must be a list of one message or more")
    return tuple([message(each) for each in value])


def message(raw: Any) -> Message:
    """One message with `role` and `content`, or with `from` and `value`."""
    if not isinstance(raw, dict):
        raise ValueError(f"a message must be an object with role and content, not {raw!r:.80}")
    named = raw["role"] if "role" in raw else raw.get("from")
    role = ROLES.get(named) if isinstance(named, str) else None
    if role is None:
        near = did_you_mean(named, ROLES) if isinstance(named, str) else ""
        raise ValueError(f"a message has the role {named!r:.80}{near or ', which is unknown'}")
    content = text_of(raw["content"] if "content" in raw else raw.get("value"))
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
            arguments = _data(arguments)
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
    "response_schema",
    "extra_body",
    "text",
)
"""Keys under which a row may ask for JSON or hold its schema."""


def asked_for(row: Mapping[str, Any]) -> tuple[str | None, dict[str, Any] | None]:
    """The format that a row asks for, `json` or `text`, and its JSON Schema; None if it says none.

    OpenAI's `response_format`, vLLM's `guided_json` and `structured_outputs`, and a bare `schema`.
    """
    for key in ASKS:
        value = row.get(key)
        if value is None or (key == "text" and not isinstance(value, dict)):
            continue
        if isinstance(value, str):
            if not value.lstrip().startswith("{"):
                continue
            value = _loaded(value, key)
        if not isinstance(value, dict):
            continue
        if key in ("extra_body", "structured_outputs", "text"):
            inside = {"extra_body": value, "text": {"response_format": value.get("format")}}
            found = asked_for(inside.get(key, {"json_schema": value.get("json")}))
        else:
            found = _unwrapped(value)
        if found != (None, None):
            return found
    return None, None


def _unwrapped(value: dict[str, Any]) -> tuple[str | None, dict[str, Any] | None]:
    """A schema out of what stands around it."""
    kind = value.get("type")
    if kind == NO_FORMAT_ASKED:
        return NO_FORMAT_ASKED, None
    if kind == "json_schema" and isinstance(value.get("json_schema"), dict):
        value = value["json_schema"]
        kind = value.get("type")
    inner = value.get("schema")
    if isinstance(inner, str):
        inner = _loaded(inner, "schema")
    wrapped = kind in ("json_object", "json_schema") or not {"properties", "type"} & value.keys()
    if isinstance(inner, dict) and wrapped:
        return "json", inner
    if kind in ("json_object", "json_schema"):
        return "json", None
    return "json", value


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
