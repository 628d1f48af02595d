r"""Breaks rendered tool calls the way models break them, in each syntax.

corruptions("json", "any", (), 64)["missing_name"]('{"name": "a", "arguments": {}}', Random(0))
-> '{"arguments": {}}'
corruptions("hermes", "any", (), 64)["missing_tag"]("<tool_call>\n{...}\n</tool_call>", Random(0))
-> "\n{...}\n</tool_call>"
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Final

from fmtharness.evaluators.json.format import JsonFormat
from fmtharness.evaluators.json.scanner import SPACE
from fmtharness.evaluators.json.tool_call_faults import Calls
from fmtharness.evaluators.json.tool_call_syntax import SYNTAXES, Syntax
from fmtharness.evaluators.possessive import re
from fmtharness.evaluators.rendering import dumped
from fmtharness.harness.contracts import Corruption
from fmtharness.harness.surroundings import CORRUPTIONS as AROUND

_Call = dict[str, Any]
_Change = Callable[[_Call, Random, str], None]
"""Changes a call in place; the last argument is the key of its arguments."""


def corruptions(
    syntax: str, calls: Calls, tools: tuple[str, ...], max_depth: int
) -> Mapping[str, Corruption]:
    """The ways to break a text in this syntax, by their labels."""
    how = SYNTAXES[syntax]
    in_json = {
        **JsonFormat(root="any", max_depth=max_depth).corruptions(),
        "wrong_brackets": _wrong_brackets(max_depth),
        "mismatched_bracket": lambda text, rng: re.sub(r"\}(?=[\s}\]]*\Z)", "]", text, count=1),
    }

    def unknown_tool(call: _Call, rng: Random, key: str) -> None:
        call["name"] = _other_name(rng, tools)

    def too_deep(call: _Call, rng: Random, key: str) -> None:
        call[key]["path"] = _nested(rng, max_depth)

    changes = dict(_CHANGES) | ({"unknown_tool": unknown_tool} if tools else {})
    if max_depth <= _DEEPEST:
        changes["too_deep"] = too_deep
    if syntax == "json":
        ways: dict[str, Corruption] = {
            **in_json,
            **{label: _in_one_call(change) for label, change in changes.items()},
            "wrong_root": _wrong_root,
            "no_call": lambda text, rng: "[]",
            "call_not_object": _call_not_object,
            "tag_around": _tag_around,
            "python_call": lambda text, rng: _python_call(_calls(text), rng),
        }
        if calls != "any":
            ways["wrong_count"] = _wrong_count
        return _of_several_calls_only(ways, calls)
    ways = {name: _in_one_piece(how, way) for name, way in in_json.items()}
    ways |= AROUND
    ways |= {
        "no_json": in_json["no_json"],
        "truncated": _truncated(how),
        "tag_around": lambda text, rng: text + rng.choice(_ENDS),
        "python_call": _python_call_of(how),
    }
    if syntax == "mistral_args":
        ways |= {
            "arguments_not_object": _in_one_piece(how, lambda text, rng: f"[{text}]"),
            "arguments_in_string": _in_one_piece(how, lambda text, rng: dumped(text)),
            "name_not_text": lambda text, rng: _changed_name(text, rng, lambda name: ""),
            "missing_tag": lambda text, rng: _without(text, rng, ("[ARGS]", "[TOOL_CALLS]")),
            "too_deep": _in_one_piece(how, lambda text, rng: _deep_arguments(text, rng, max_depth)),
        }
        if tools:
            ways["unknown_tool"] = lambda text, rng: _changed_name(
                text, rng, lambda name: _other_name(rng, tools)
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
            "missing_tag": lambda text, rng: text.replace(
                "[TOOL_CALLS]", rng.choice(["", "[TOOL_CALL]", "<|python_tag|>", "<tool_call>"]), 1
            ),
        }
    if syntax == "hermes":
        ways["missing_tag"] = _missing_tag_of_hermes
    if syntax in ("hermes", "mistral_args"):
        ways["text_between"] = lambda text, rng: text + rng.choice(_BETWEEN) + text
    if calls == "one":
        ways["wrong_count"] = lambda text, rng: how.write(_read(how, text) * 2)
    return _of_several_calls_only(ways, calls)


def _of_several_calls_only(ways: dict[str, Corruption], calls: Calls) -> dict[str, Corruption]:
    """Without the ways to break an array of calls where one call is asked for."""
    arrays = ("no_call", "call_not_object", "text_between") if calls == "one" else ()
    return {label: way for label, way in ways.items() if label not in arrays}


def _wrong_brackets(max_depth: int) -> Corruption:
    """Writes an array of the arguments as a tuple or a set; it adds one where none is."""
    in_other_brackets = JsonFormat(root="any", max_depth=max_depth).corruptions()["wrong_brackets"]

    def wrong_brackets(text: str, rng: Random) -> str | None:
        value = json.loads(text)
        calls = value if isinstance(value, list) else [value]
        for call in calls:
            key = next(
                (key for key in ("arguments", "parameters") if "name" in call and key in call), ""
            )
            arguments = call[key] if key else call
            if isinstance(arguments, dict):
                arguments["at"] = rng.choice(
                    [[48.2, 16.4], ["a", "b"], [1, 2, 3], [[0, 1], [2, 3]]]
                )
        return in_other_brackets(dumped(value), rng)

    return wrong_brackets


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


def _renamed(call: _Call, key: str, new: str) -> None:
    """Put another key in place of one, where it stands."""
    members = list(call.items())
    call.clear()
    call.update((new if name == key else name, value) for name, value in members)


def _missing_name(call: _Call, rng: Random, key: str) -> None:
    if rng.random() < 0.3:
        del call["name"]
    else:
        words = ["function", "tool", "tool_name", "function_name", "Name", "action", "api"]
        _renamed(call, "name", rng.choice(words))


def _missing_arguments(call: _Call, rng: Random, key: str) -> None:
    way = rng.random()
    if way < 0.2:
        del call[key]
    elif way < 0.4 and _loose(call[key]):
        call.update(call.pop(key))
    else:
        other = "parameters" if key == "arguments" else "arguments"
        words = [other, other, "args", "input", "params", "kwargs", "tool_input", key.title()]
        _renamed(call, key, rng.choice(words))


def _loose(arguments: _Call) -> bool:
    """Whether arguments that stand beside the name cannot be taken for other keys of a call."""
    return bool(arguments) and not {"name", "id", "type"} & arguments.keys()


def _unexpected_key(call: _Call, rng: Random, key: str) -> None:
    way = rng.random()
    if way < 0.5:
        added = {"type": "function", "call_id": "call_1", "description": "Runs it.", "id": 1}
        name = rng.choice([*added][: 3 if key == "arguments" else 4])
        call[name] = added[name]
        return
    inside = dict(call)
    call.clear()
    if way < 0.6 and inside["name"] not in ("name", key):
        call[inside["name"]] = inside[key]
    elif way < 0.7:
        call["tool_calls"] = [inside]
    else:
        if way < 0.85:
            call["type"] = "function"
        call["function"] = inside


def _name_not_text(call: _Call, rng: Random, key: str) -> None:
    call["name"] = rng.choice([None, "", {"name": call["name"]}])


def _arguments_not_object(call: _Call, rng: Random, key: str) -> None:
    call[key] = rng.choice([None, [call[key]], list(call[key].values())])


def _arguments_in_string(call: _Call, rng: Random, key: str) -> None:
    call[key] = dumped(call[key])


def _bad_call_id(call: _Call, rng: Random, key: str) -> None:
    call["id"] = rng.choice(["", "call_1", "call_a1B2c3D4e", "a1B2c3D4", "a1B2-3D4e", 7, None])


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
    calls = _calls(text)
    call = rng.choice(calls)
    wrong = rng.choice(
        [
            [call["name"]],
            [call["name"], call["arguments"]],
            [[call]],
            [*calls, call["name"]],
            [*calls, None],
            [f"{call['name']}()"],
        ]
    )
    return dumped(wrong)


def _tag_around(text: str, rng: Random) -> str:
    tags = [
        "<tool_call>\n{}\n</tool_call>",
        "<tool_call>{}",
        "{}\n</tool_call>",
        "<function_call> {}",
        "<tools>\n{}\n</tools>",
        "<|python_tag|>{}",
        "[TOOL_CALLS] {}",
        *(f"{{}}{end}" for end in _ENDS),
    ]
    return rng.choice(tags).replace("{}", text, 1)


_ENDS: Final = ("<|im_end|>", "</s>", "<|eot_id|>", "\n<|eom_id|>", "</s>\n<|eot_id|>")
_BETWEEN: Final = (" and ", ",\n", "\nThen:\n", "\n\nNow the second one:\n")
_DEEPEST: Final = 100
"""Beyond this depth no text is nested."""


def _missing_tag_of_hermes(text: str, rng: Random) -> str:
    way = rng.random()
    if way < 0.4 or text.count("<tool_call>") > 1:
        return text.replace("<tool_call>", "", 1)
    if way < 0.7:
        return text.replace("<tool_call>", "").replace("</tool_call>", "").strip()
    name = rng.choice(["function_call", "tool_calls", "tools", "functions"])
    return text.replace("<tool_call>", f"<{name}>", 1).replace("</tool_call>", f"</{name}>", 1)


def _other_name(rng: Random, tools: tuple[str, ...]) -> str:
    """A name that no tool has, and that is like one of theirs."""
    like = [f"{rng.choice(tools)}{end}" for end in ("_tool", "_v2", "_1")]
    like += [f"{start}{rng.choice(tools)}" for start in ("functions.", "get_", "tools.")]
    return next(name for name in (rng.choice(like), f"{''.join(tools)}_1") if name not in tools)


def _nested(rng: Random, max_depth: int) -> Any:
    """A value in which `max_depth` arrays or objects are open at once."""
    value: Any = "x"
    for _ in range(max_depth):
        value = {"next": value} if rng.random() < 0.5 else [value]
    return value


def _deep_arguments(text: str, rng: Random, max_depth: int) -> str:
    return dumped({**json.loads(text), "path": _nested(rng, max_depth)})


_NAME: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII).fullmatch


def _python_call(calls: Sequence[_Call], rng: Random) -> str | None:
    """The calls as Python's statements, in one of the ways in which models write them."""
    wrong = [name for call in calls for name in (call["name"], *call["arguments"])]
    if not all(map(_NAME, wrong)):
        return None
    literal = rng.choice([repr, repr, dumped])
    written = []
    for call in calls:
        arguments = [f"{key}={literal(value)}" for key, value in call["arguments"].items()]
        if call["arguments"] and rng.random() < 0.2:
            arguments = [literal(call["arguments"])]
        elif rng.random() < 0.1:
            arguments = [literal(value) for value in call["arguments"].values()]
        between = ",\n    " if rng.random() < 0.1 else ", "
        written.append(f"{call['name']}({between.join(arguments)})")
    if len(written) == 1 and rng.random() < 0.5:
        forms = ["{};", "print({})", "result = {}", "await {}", "functions.{}", "{}"]
        return rng.choice(forms).replace("{}", written[0], 1)
    lines = ",\n    ".join(written)
    joined = [", ".join(written)] * 3 + ["; ".join(written), "\n".join(written)]
    return rng.choice([f"[{joined[0]}]", f"[\n    {lines}\n]", *joined])


def _python_call_of(how: Syntax) -> Corruption:
    def python_call(text: str, rng: Random) -> str | None:
        calls = [
            {"name": call["name"], "arguments": call[how.rules.key]} for call in _read(how, text)
        ]
        written = _python_call(calls, rng)
        if written is None or not how.tags or rng.random() < 0.5:
            return written
        closing = f"\n{how.tags[1]}" if how.tags[-1].startswith("</") else ""
        return f"{how.tags[0]}{rng.choice(['', ' ', chr(10)])}{written}{closing}"

    return python_call
