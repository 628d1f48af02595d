r"""Breaks rendered tool calls the way models break them, in each syntax.

corruptions("json", "any", ())["missing_name"]('{"name": "a", "arguments": {}}', Random(0))
-> '{"arguments": {}}'
corruptions("hermes", "any", ())["missing_tag"]("<tool_call>\n{...}\n</tool_call>", Random(0))
-> "\n{...}\n</tool_call>"
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Final

from fmtharness.evaluators.json.corruptions import CORRUPTIONS as JSON_CORRUPTIONS
from fmtharness.evaluators.json.scanner import SPACE
from fmtharness.evaluators.json.tool_call_faults import Calls
from fmtharness.evaluators.json.tool_call_syntax import SYNTAXES, Syntax
from fmtharness.evaluators.rendering import dumped
from fmtharness.harness.contracts import Corruption
from fmtharness.harness.surroundings import CORRUPTIONS as AROUND

_Call = dict[str, Any]
_Change = Callable[[_Call, Random, str], None]
"""Changes a call in place; the last argument is the key of its arguments."""
# A call may have no array whose bracket to change.
_IN_JSON: Final = {
    name: way for name, way in JSON_CORRUPTIONS.items() if name != "mismatched_bracket"
}


def corruptions(syntax: str, calls: Calls, tools: tuple[str, ...]) -> Mapping[str, Corruption]:
    """The ways to break a text in this syntax, by their labels."""
    how = SYNTAXES[syntax]

    def unknown_tool(call: _Call, rng: Random, key: str) -> None:
        call["name"] = "".join(tools) + rng.choice(["_tool", "_v2"])

    changes = dict(_CHANGES) | ({"unknown_tool": unknown_tool} if tools else {})
    if syntax == "json":
        ways: dict[str, Corruption] = {
            **_IN_JSON,
            **{label: _in_one_call(change) for label, change in changes.items()},
            "wrong_root": _wrong_root,
            "no_call": lambda text, rng: "[]",
            "call_not_object": _call_not_object,
            "tag_around": _tag_around,
            "python_call": _python_call,
        }
        if calls != "any":
            ways["wrong_count"] = _wrong_count
        return ways
    ways = {name: _in_one_piece(how, way) for name, way in _IN_JSON.items()}
    ways |= AROUND
    ways |= {
        "no_json": JSON_CORRUPTIONS["no_json"],
        "truncated": _truncated(how),
        "tag_around": lambda text, rng: text + rng.choice(["<|im_end|>", "</s>\n<|eot_id|>"]),
    }
    if syntax == "mistral_args":
        ways |= {
            "arguments_not_object": _in_one_piece(how, lambda text, rng: f"[{text}]"),
            "arguments_in_string": _in_one_piece(how, lambda text, rng: dumped(text)),
            "name_not_text": lambda text, rng: _changed_name(text, rng, lambda name: ""),
            "missing_tag": lambda text, rng: _without(text, rng, ("[ARGS]", "[TOOL_CALLS]")),
        }
        if tools:
            ways["unknown_tool"] = lambda text, rng: _changed_name(
                text, rng, lambda name: "".join(tools) + "_v2"
            )
    else:
        ways |= {label: _in_one_written(how, change) for label, change in changes.items()}
        ways["wrong_root"] = _in_one_piece(how, lambda text, rng: f"[{text}]")
    if syntax == "mistral":
        ways |= {
            "no_call": lambda text, rng: how.write([]),
            "call_not_object": _in_one_piece(how, _call_not_object),
            "wrong_root": _in_one_piece(how, _wrong_root),
            "bad_call_id": _in_one_written(how, _bad_call_id),
            "missing_tag": lambda text, rng: text.replace("[TOOL_CALLS]", "", 1),
        }
    if syntax == "hermes":
        ways["missing_tag"] = lambda text, rng: text.replace("<tool_call>", "", 1)
    if syntax in ("hermes", "mistral_args"):
        ways["text_between"] = lambda text, rng: text + rng.choice([" and ", ",\n"]) + text
    if calls == "one":
        ways["wrong_count"] = lambda text, rng: how.write(_read(how, text) * 2)
    return ways


def _read(how: Syntax, text: str) -> list[_Call]:
    """The calls of a valid text, with the syntax's own key."""
    found: list[_Call] = []
    for piece in how.frame(text).pieces:
        value = json.loads(text[piece.start : piece.end])
        if piece.name:
            value = {"name": text[slice(*piece.name)], "arguments": value}
        found += value if isinstance(value, list) else [value]
    return found


def _in_one_piece(how: Syntax, way: Corruption) -> Corruption:
    """Breaks the JSON of one call, and leaves what stands around it."""

    def in_one_piece(text: str, rng: Random) -> str | None:
        piece = rng.choice(how.frame(text).pieces)
        inner = text[piece.start : piece.end]
        bare = inner.strip(SPACE)
        start = piece.start + inner.index(bare[0])
        broken = way(bare, rng)
        return None if broken is None else text[:start] + broken + text[start + len(bare) :]

    return in_one_piece


def _in_one_written(how: Syntax, change: _Change) -> Corruption:
    def in_one_written(text: str, rng: Random) -> str:
        calls = _read(how, text)
        change(rng.choice(calls), rng, how.rules.key)
        return how.write(calls)

    return in_one_written


def _truncated(how: Syntax) -> Corruption:
    """Ends the text within the JSON of one call; between two, what is left would be valid."""

    def truncated(text: str, rng: Random) -> str:
        piece = rng.choice(how.frame(text).pieces)
        inner = text[piece.start : piece.end]
        start = piece.start + len(inner) - len(inner.lstrip(SPACE))
        return text[: rng.randrange(start + 1, piece.start + len(inner.rstrip(SPACE)))]

    return truncated


def _without(text: str, rng: Random, tags: Sequence[str]) -> str:
    return text.replace(rng.choice(tags), "", 1)


def _changed_name(text: str, rng: Random, new: Callable[[str], str]) -> str:
    return re.sub(
        r"\[TOOL_CALLS\](.*?)\[ARGS\]",
        lambda found: f"[TOOL_CALLS]{new(found[1])}[ARGS]",
        text,
        count=1,
    )


def _in_one_call(change: _Change) -> Corruption:
    def in_one_call(text: str, rng: Random) -> str:
        value = json.loads(text)
        change(value if isinstance(value, dict) else rng.choice(value), rng, "arguments")
        return dumped(value)

    return in_one_call


def _missing_name(call: _Call, rng: Random, key: str) -> None:
    name = call.pop("name")
    if rng.random() < 0.5:
        call[rng.choice(["function", "tool", "tool_name"])] = name


def _missing_arguments(call: _Call, rng: Random, key: str) -> None:
    arguments = call.pop(key)
    if rng.random() < 0.5:
        other = "parameters" if key == "arguments" else "arguments"
        call[rng.choice([other, "args", "input"])] = arguments


def _unexpected_key(call: _Call, rng: Random, key: str) -> None:
    if rng.random() < 0.5:
        call[rng.choice(["type", "call_id"])] = "function"
    else:
        call["function"] = dict(call)
        del call["name"], call[key]


def _name_not_text(call: _Call, rng: Random, key: str) -> None:
    call["name"] = rng.choice([None, "", {"name": call["name"]}])


def _arguments_not_object(call: _Call, rng: Random, key: str) -> None:
    call[key] = rng.choice([None, [call[key]], list(call[key].values())])


def _arguments_in_string(call: _Call, rng: Random, key: str) -> None:
    call[key] = dumped(call[key])


def _bad_call_id(call: _Call, rng: Random, key: str) -> None:
    call["id"] = rng.choice(["", "call_1", 7, None])


_CHANGES: Final[dict[str, _Change]] = {
    function.__name__.removeprefix("_"): function
    for function in (
        _missing_name,
        _missing_arguments,
        _unexpected_key,
        _name_not_text,
        _arguments_not_object,
        _arguments_in_string,
    )
}


def _calls(text: str) -> list[_Call]:
    value = json.loads(text)
    return value if isinstance(value, list) else [value]


def _wrong_root(text: str, rng: Random) -> str:
    return dumped(rng.choice(_calls(text))["name"])


def _wrong_count(text: str, rng: Random) -> str:
    return dumped(_calls(text)[0]) if text.startswith("[") else f"[{text}]"


def _call_not_object(text: str, rng: Random) -> str:
    call = rng.choice(_calls(text))
    return dumped(rng.choice([[call["name"]], [call["name"], call["arguments"]]]))


def _tag_around(text: str, rng: Random) -> str:
    tags = ["<tool_call>\n{}\n</tool_call>", "<|python_tag|>{}", "[TOOL_CALLS] {}"]
    return rng.choice(tags).replace("{}", text)


def _python_call(text: str, rng: Random) -> str | None:
    call = rng.choice(_calls(text))
    if not re.fullmatch(r"[A-Za-z_]\w*", call["name"], re.ASCII):
        return None
    arguments = ", ".join(f"{key}={value!r}" for key, value in call["arguments"].items())
    written = f"{call['name']}({arguments})"
    return rng.choice([written, f"[{written}]"])
