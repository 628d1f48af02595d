"""What constrained decoding allows of JSON: as JSON Schemas, and as Lark for JSON Lines.

    schema_for(example, "object")   {"type": "object"}, or the Example's tag json_schema
    calls_of((), example, "one")    {"type": "object", "properties": {"name": ..., ...}, ...}

A grammar does not rule out repeated keys that no schema names, nor count how deep a value nests.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from fmtharness.harness.records import Example

_ONE_LINE: Final = {"x-guidance": {"whitespace_pattern": " ", "lenient": True}}
_SCALARS: Final = ["string", "number", "boolean", "null"]


def schema_for(example: Example | None, root: str) -> dict[str, Any]:
    """The Example's schema, with this root if it states no type; else the root alone."""
    typed = {} if root == "any" else {"type": root}
    own = example.tags.get("json_schema") if example else None
    return {**typed, **own} if isinstance(own, dict) else typed


def lines_of(root: str) -> str:
    """A Lark grammar of JSON Lines; one array alone would count as an array in place of lines."""
    every = ["object", "array", *_SCALARS] if root == "any" else [root]
    first = [kind for kind in every if kind != "array" or root == "array"]
    rules = [
        'start: first ("\\n" line)* "\\n"?',
        f"first: %json {json.dumps({'type': first, **_ONE_LINE})}",
        f"line: %json {json.dumps({'type': every, **_ONE_LINE})}",
    ]
    if root == "any":
        rules[0] += ' | array ("\\n" line)+ "\\n"?'
        rules.append(f"array: %json {json.dumps({'type': 'array', **_ONE_LINE})}")
    return "\n".join(rules)


def calls_of(names: Sequence[str], example: Example | None, calls: str) -> dict[str, Any]:
    """The schema of a call, or of several, with the names and the Example's tools."""
    tools = (
        {each["function"]["name"]: each["function"] for each in example.tools} if example else {}
    )
    known = [*(names or tools)]
    each = [_call(name, tools.get(name, {}).get("parameters")) for name in known]
    call = {"anyOf": each} if each else _call(None, None)
    several = {"type": "array", "items": call, "minItems": 1}
    return call if calls == "one" else several if calls == "several" else {"anyOf": [call, several]}


def _call(name: str | None, parameters: Any) -> dict[str, Any]:
    # A reference of the parameters would point from the root of another schema.
    own = isinstance(parameters, dict) and '"$ref"' not in json.dumps(parameters)
    return {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1} if name is None else {"const": name},
            "arguments": {"type": "object", **parameters} if own else {"type": "object"},
        },
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }
