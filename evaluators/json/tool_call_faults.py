"""What keeps strict JSON from being tool calls, and the labels of the Format `tool_call`.

    list(faults({"name": "ring"}, Rules()))
    -> [Fault("missing_arguments", "a call has no key 'arguments'", ())]

The label is the same whatever the syntax calls the key; the message names it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

from fmtharness.evaluators.json.labels import LABELS as JSON_LABELS
from fmtharness.evaluators.json.places import places
from fmtharness.evaluators.possessive import re
from fmtharness.harness.matching import Path
from fmtharness.harness.records import Problem

Calls = Literal["one", "several", "any"]

OWN_LABELS: Final[Mapping[str, str]] = {
    "missing_name": "a call has no key 'name'",
    "missing_arguments": "a call has no key 'arguments' ('parameters' in Llama's syntax)",
    "unexpected_key": "a call has a key besides its name and its arguments",
    "name_not_text": "a call's name is not a text of one character or more",
    "arguments_not_object": "a call's arguments are not an object",
    "arguments_in_string": "a call's arguments are JSON inside a string, not an object",
    "bad_call_id": "a call's id is not a text of nine letters and digits",
    "unknown_tool": "a call's name is none of `tools`",
    "no_call": "the array of calls is empty",
    "call_not_object": "an element of the array of calls is not an object",
    "wrong_count": "one call stands where an array of calls is asked for, or the other way round",
    "tag_around": "a tag of a chat template stands around the call",
    "missing_tag": "a tag that the syntax asks for is missing",
    "text_between": "text stands between two calls",
    "python_call": "the call is written as in Python, not as JSON",
    "bad_python": "the text is no list of calls as Python writes them",
    "not_literal": "an argument is not a literal that JSON could hold",
    "positional_argument": "an argument has no name",
}
LABELS: Final[Mapping[str, str]] = {**JSON_LABELS, **OWN_LABELS}

CALL_ID: Final = re.compile(r"[A-Za-z0-9]{9}").fullmatch
"""What Mistral's chat templates take for the id of a call."""


class Rules(NamedTuple):
    """What the JSON of a call may be."""

    root: Literal["object", "array", "any"] = "any"
    """Whether the JSON is one call, an array of calls, or either."""
    key: str = "arguments"
    ids: bool = False
    """Whether a call may have an id."""
    calls: Calls = "any"
    tools: tuple[str, ...] = ()


class Fault(NamedTuple):
    label: str
    message: str
    path: Path
    """The path of the wrong value, or of the value whose key is wrong."""
    of_key: bool = False
    """Whether the key is what is wrong."""


def problem(label: str, start: int, end: int, message: str | None = None) -> Problem:
    """A problem with its label's meaning for a message."""
    return Problem(label, message or LABELS[label], start, end)


def problems(text: str, value: Any, rules: Rules) -> list[Problem]:
    """The problems that keep the value of a strict JSON text from being calls."""
    found = list(faults(value, rules))
    where = places(text, (fault.path for fault in found)) if found else {}
    placed = []
    for fault in found:
        place = where[fault.path]
        key = place.key if fault.of_key else None
        placed.append(Problem(fault.label, fault.message, *(key or place[:2])))
    return placed


def faults(value: Any, rules: Rules) -> Iterator[Fault]:
    """Everything that keeps plain data from being a call, or an array of calls."""
    if isinstance(value, dict) and rules.root != "array":
        if rules.root == "any" and rules.calls == "several":
            yield Fault("wrong_count", "one call stands where an array is asked for", ())
        yield from _faults_of_call(value, (), rules)
    elif isinstance(value, list) and rules.root != "object":
        if rules.calls == "one" and (rules.root == "any" or len(value) > 1):
            yield Fault("wrong_count", "an array stands where one call is asked for", ())
        if not value:
            yield Fault("no_call", LABELS["no_call"], ())
        before: Any = None
        for index, call in enumerate(value):
            if not isinstance(call, dict):
                yield Fault("call_not_object", LABELS["call_not_object"], (index,))
            elif not isinstance(before, str) or _arguments_of(call, rules):
                yield from _faults_of_call(call, (index,), rules)
            # Behind a text stand the arguments of the call that the text names.
            before = call
    else:
        yield Fault("wrong_root", f"the value is {_WANTED[rules.root]}", ())


_WANTED: Final = {
    "any": "neither a call nor an array of calls",
    "object": "not one call",
    "array": "not an array of calls",
}


_NAMES: Final = frozenset(
    [
        "function",
        "tool",
        "tool_name",
        "toolname",
        "function_name",
        "functionname",
        "func",
        "func_name",
        "method",
        "action",
        "api",
        "api_name",
        "fn",
        "operation",
        "endpoint",
        "command",
        "call",
        "tool_call",
        "function_call",
    ]
)
"""What models write in place of the key `name`."""
_KINDS: Final = frozenset(["function", "tool", "call", "tool_call", "function_call", "object"])
"""What stands behind the key `type` where it says what a call is, not what it calls."""
_IDENTIFIER: Final = re.compile(r"[A-Za-z]\w*(?:[._]\w+)+", re.ASCII).fullmatch
_ARGUMENTS: Final = frozenset(
    [
        "arguments",
        "parameters",
        "args",
        "params",
        "input",
        "inputs",
        "kwargs",
        "argument",
        "parameter",
        "tool_input",
        "action_input",
        "tool_args",
        "tool_arguments",
        "tool_parameters",
        "function_args",
        "function_arguments",
        "function_parameters",
    ]
)
"""What models write in place of the key of the arguments."""
_BESIDES: Final = frozenset(
    [
        "id",
        "type",
        "call_id",
        "tool_call_id",
        "index",
        "description",
        "reason",
        "reasoning",
        "thought",
        "explanation",
        "result",
        "response",
        "output",
        "returns",
        "required",
        "status",
    ]
)
"""Keys that models add to a call, and that are not arguments."""


def _name_of(call: dict[str, Any]) -> str | None:
    """The key whose value is the call's name, if there is one."""
    if "name" in call:
        return "name"
    for key, value in call.items():
        if isinstance(value, str) and value and (key.lower() in _NAMES or key.lower() == "name"):
            return key
    kind = call.get("type") if {"arguments", "parameters"} & call.keys() else None
    if isinstance(kind, str) and kind.lower() not in _KINDS and _IDENTIFIER(kind):
        return "type"
    return None


def _arguments_of(call: dict[str, Any], rules: Rules) -> str | None:
    """The key whose value is the call's arguments, if there is one.

    Without a name, `input` and the like are rather one of the arguments themselves.
    """
    if rules.key in call:
        return rules.key
    if _name_of(call) is None and not {"arguments", "parameters"} & call.keys():
        return None
    for key, value in call.items():
        in_text = isinstance(value, str) and value.lstrip().startswith("{")
        if key.lower() in _ARGUMENTS and (in_text or isinstance(value, dict | list)):
            return key
    return None


def _wrapper_of(call: dict[str, Any], rules: Rules) -> str | None:
    """The key inside whose value the call or the calls stand, if it is so."""
    own = [key for key in call if key not in _BESIDES]
    if len(own) != 1 or own[0] in ("name", rules.key):
        return None
    inside = call[own[0]]
    calls = inside if isinstance(inside, list) else [inside]
    fits = calls and all(
        isinstance(each, dict)
        and (("name" in each and _arguments_of(each, rules)) or _wrapper_of(each, rules))
        for each in calls
    )
    return own[0] if fits else None


def _is_call(name: Any, arguments: Any, tools: tuple[str, ...]) -> bool:
    named = isinstance(name, str) and name != "" and (not tools or name in tools)
    return named and isinstance(arguments, dict)


def _faults_of_call(call: dict[str, Any], path: Path, rules: Rules) -> Iterator[Fault]:
    if len(call) == 2 and _is_call(call.get("name"), call.get(rules.key), rules.tools):
        return

    def fault(label: str, *steps: str, message: str | None = None, of_key: bool = False) -> Fault:
        return Fault(label, message or LABELS[label], (*path, *steps), of_key)

    name, arguments = _name_of(call), _arguments_of(call, rules)
    if wrapper := _wrapper_of(call, rules):
        message = f"the call stands inside the key {wrapper!r:.60}"
        yield fault("unexpected_key", wrapper, message=message, of_key=True)
        inside = call[wrapper]
        if isinstance(inside, dict):
            yield from _faults_of_call(inside, (*path, wrapper), rules)
        else:
            for index, each in enumerate(inside):
                yield from _faults_of_call(each, (*path, wrapper, index), rules)
        return
    if len(call) == 1 and not name and not arguments:
        ((key, value),) = call.items()
        if isinstance(value, dict):
            message = f"{key!r:.60} stands as a key, not as the value of 'name'"
            yield fault("unexpected_key", key, message=message, of_key=True)
            for label, message in _of_name(key, rules.tools):
                yield fault(label, key, message=message, of_key=True)
            return
    others = [
        key
        for key in call
        if key not in ("name", name, arguments) and not (rules.ids and key == "id")
    ]
    loose = [key for key in others if key.lower() not in _BESIDES] if not arguments else []
    for key in others:
        if key not in loose:
            message = f"a call has the keys 'name' and {rules.key!r}, not {key!r:.60}"
            yield fault("unexpected_key", key, message=message, of_key=True)
    if rules.ids and "id" in call and not (isinstance(call["id"], str) and CALL_ID(call["id"])):
        yield fault("bad_call_id", "id")
    if name is None:
        yield fault("missing_name")
    elif name != "name":
        message = f"a call has no key 'name'; {name!r:.60} stands in its place"
        yield fault("missing_name", name, message=message, of_key=True)
    for label, message in _of_name(call[name], rules.tools) if name else ():
        yield fault(label, name or "", message=message)
    if arguments is None:
        message = f"a call has no key {rules.key!r}"
        if loose:
            message = f"{message}; {loose[0]!r:.60} stands outside of it"
        yield fault("missing_arguments", message=message)
        return
    if arguments != rules.key:
        message = f"a call has no key {rules.key!r}; {arguments!r:.60} stands in its place"
        yield fault("missing_arguments", arguments, message=message, of_key=True)
    if wrong := _of_arguments(call[arguments]):
        yield fault(wrong, arguments)


def _of_name(name: Any, tools: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if not isinstance(name, str) or not name:
        yield "name_not_text", LABELS["name_not_text"]
    elif tools and name not in tools:
        yield "unknown_tool", f"{name!r:.60} is none of the tools: {', '.join(tools):.200}"


def _of_arguments(arguments: Any) -> str | None:
    if isinstance(arguments, dict):
        return None
    return "arguments_in_string" if isinstance(arguments, str) else "arguments_not_object"


def problems_of_parts(
    name: str, at: int, arguments: Any, start: int, end: int, tools: tuple[str, ...]
) -> list[Problem]:
    """The problems of a call whose name stands outside of the JSON, at `at`."""
    found = [Problem(label, said, at, at + len(name)) for label, said in _of_name(name, tools)]
    if label := _of_arguments(arguments):
        found.append(problem(label, start, end))
    return found
