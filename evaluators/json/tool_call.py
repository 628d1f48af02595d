"""Tool calls as a Format: the strict JSON by which chat models call a tool.

    parse('{"name": "book", "arguments": {"nights": 4}}')
    -> Parsed(value={"name": "book", "arguments": {"nights": 4}})
    parse('{"name": "book", "parameters": {}}')
    -> problems missing_arguments at 0:34, unexpected_key at 17:29

Whether the arguments fit the tool is not checked here; the evaluator json_schema can check it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any, ClassVar, Final, Literal, NamedTuple

from pydantic import Field

from fmtharness.evaluators.json.corruptions import CORRUPTIONS as JSON_CORRUPTIONS
from fmtharness.evaluators.json.format import JsonFormat
from fmtharness.evaluators.json.labels import LABELS as JSON_LABELS
from fmtharness.evaluators.json.places import places
from fmtharness.evaluators.json.scanner import SPACE
from fmtharness.evaluators.rendering import checked, dumped
from fmtharness.harness.contracts import Corruption, Options, Parsed, Shape
from fmtharness.harness.matching import Path
from fmtharness.harness.records import Problem
from fmtharness.harness.surroundings import bounded, shifted

_OWN_LABELS: Final = {
    "missing_name": "a call has no key 'name'",
    "missing_arguments": "a call has no key 'arguments'",
    "unexpected_key": "a call has a key besides 'name' and 'arguments'",
    "name_not_text": "a call's name is not a text of one character or more",
    "arguments_not_object": "a call's arguments are not an object",
    "arguments_in_string": "a call's arguments are JSON inside a string, not an object",
    "unknown_tool": "a call's name is none of `tools`",
    "no_call": "the array of calls is empty",
    "call_not_object": "an element of the array of calls is not an object",
    "wrong_count": "one call stands where an array of calls is asked for, or the other way round",
    "tag_around": "a tag of a chat template stands around the call",
    "python_call": "the call is written as in Python, not as JSON",
}
_TAG: Final = (
    r"</?(?:tool_?calls?|function(?:_calls?)?|functions)(?:=[\w.-]*+)?>"
    r"|<\|/?[\w-]++\|>|\[/?(?:TOOL_CALLS?|TOOL_REQUEST)\]"
)
_STRING_OR_TAG: Final = re.compile(rf'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|({_TAG})', re.DOTALL)
_PYTHON_CALL: Final = re.compile(
    r"\s*+(?:`{3,}+\w*+\s++)?(?:print\()?((?:\[\s*+)?[A-Za-z_][\w.]*+\()"
).match


class ToolCallFormat(Options):
    """Strict JSON that calls tools: an object with `name` and `arguments`, or an array of them.

    parse('[{"name": "ring", "arguments": {}}]')
    -> Parsed(value=[{"name": "ring", "arguments": {}}])
    parse('<tool_call>{"name": "ring", "arguments": {}}</tool_call>')
    -> problems tag_around at 0:11 and 44:56
    """

    name: ClassVar[str] = "tool_call"
    title: ClassVar[str] = "a tool call"
    shapes: ClassVar[frozenset[Shape]] = frozenset({"call"})
    labels: ClassVar[Mapping[str, str]] = {**JSON_LABELS, **_OWN_LABELS}
    evaluators: ClassVar[tuple[str, ...]] = ("duplicate_json_objects", "extras")

    calls: Literal["one", "several", "any"] = "any"
    """Whether the root is one call, an array of one call or more, or either."""
    tools: tuple[str, ...] = ()
    """The names that may be called; without any, every name may."""
    max_depth: int = Field(default=64, ge=1)
    """How many objects and arrays may be open at once."""

    def instruction(self, value: Any) -> str:
        """One sentence that asks for one call or for an array of calls, and nothing else."""
        keys = 'the keys "name" and "arguments"'
        if isinstance(value, list):
            what = f"one JSON array of tool calls, each an object with {keys},"
        else:
            what = f"one tool call, a JSON object with {keys},"
        return f"Answer with {what} and nothing else."

    def render(self, value: Any) -> str:
        """The call or the calls on one line."""
        return checked(self, dumped(value), value)

    def parse(self, text: str) -> Parsed:
        """The call or the list of calls, or all problems."""
        judge = JsonFormat(root="any", max_depth=self.max_depth)
        parsed = judge.parse(text)
        if parsed.ok:
            problems = self._problems(text, parsed.value)
            return Parsed(problems=bounded(problems)) if problems else parsed
        tags = [match.span(1) for match in _STRING_OR_TAG.finditer(text) if match[1]]
        without = _blanked(text, tags)
        if not without.strip():
            without = text
        diagnosis = judge.diagnose(without)
        found = [*diagnosis.problems, *(_problem("tag_around", *span) for span in tags)]
        if call := _PYTHON_CALL(without):
            end = len(without.rstrip(SPACE + "`"))
            if without[:end].endswith((")", ")]")):
                found.append(_problem("python_call", call.start(1), end))
        inner = text[diagnosis.start : diagnosis.end]
        parsed = judge.parse(inner)
        if parsed.ok:
            found += shifted(self._problems(inner, parsed.value), diagnosis.start)
        return Parsed(problems=bounded(found))

    def corruptions(self) -> Mapping[str, Corruption]:
        """Ways to break JSON objects and calls; each is named by the label `parse` gives it."""
        in_json = dict(JSON_CORRUPTIONS)
        del in_json["mismatched_bracket"]  # a call may have no array whose bracket to change
        ways: dict[str, Corruption] = {
            **in_json,
            **{label: _in_one_call(change) for label, change in _CALL_CORRUPTIONS.items()},
            "wrong_root": _wrong_root,
            "no_call": lambda text, rng: "[]",
            "call_not_object": _call_not_object,
            "tag_around": _tag_around,
            "python_call": _python_call,
        }
        if self.tools:
            ways["unknown_tool"] = _in_one_call(self._unknown_tool)
        if self.calls != "any":
            ways["wrong_count"] = _wrong_count
        return ways

    def _problems(self, text: str, value: Any) -> tuple[Problem, ...]:
        """The problems that keep the value of a strict JSON text from being calls."""
        faults = list(self._faults(value))
        found = places(text, (fault.path for fault in faults)) if faults else {}
        problems = []
        for fault in faults:
            place = found[fault.path]
            key = place.key if fault.label == "unexpected_key" else None
            problems.append(Problem(fault.label, fault.message, *(key or place[:2])))
        return tuple(problems)

    def _faults(self, value: Any) -> Iterator[_Fault]:
        if not isinstance(value, dict | list):
            yield _Fault("wrong_root", "the value is neither a call nor an array of calls", ())
        elif isinstance(value, dict):
            if self.calls == "several":
                yield _Fault("wrong_count", "one call stands where an array is asked for", ())
            yield from self._faults_of_call(value, ())
        else:
            if self.calls == "one":
                yield _Fault("wrong_count", "an array stands where one call is asked for", ())
            if not value:
                yield _Fault("no_call", _OWN_LABELS["no_call"], ())
            for index, call in enumerate(value):
                if isinstance(call, dict):
                    yield from self._faults_of_call(call, (index,))
                else:
                    yield _Fault("call_not_object", _OWN_LABELS["call_not_object"], (index,))

    def _faults_of_call(self, call: dict[str, Any], path: Path) -> Iterator[_Fault]:
        def fault(label: str, *steps: str, message: str | None = None) -> _Fault:
            return _Fault(label, message or _OWN_LABELS[label], (*path, *steps))

        for key in call:
            if key not in ("name", "arguments"):
                message = f"a call has the keys 'name' and 'arguments', not {key!r:.60}"
                yield fault("unexpected_key", key, message=message)
        name = call.get("name")
        if "name" not in call:
            yield fault("missing_name")
        elif not isinstance(name, str) or not name:
            yield fault("name_not_text", "name")
        elif self.tools and name not in self.tools:
            message = f"{name!r:.60} is none of the tools: {', '.join(self.tools):.200}"
            yield fault("unknown_tool", "name", message=message)
        arguments = call.get("arguments")
        if "arguments" not in call:
            yield fault("missing_arguments")
        elif isinstance(arguments, str):
            yield fault("arguments_in_string", "arguments")
        elif not isinstance(arguments, dict):
            yield fault("arguments_not_object", "arguments")

    def _unknown_tool(self, call: dict[str, Any], rng: Random) -> None:
        call["name"] = "".join(self.tools) + rng.choice(["_tool", "_v2"])


class _Fault(NamedTuple):
    label: str
    message: str
    path: Path
    """The span of the wrong value, or of the value whose key is wrong."""


def _problem(label: str, start: int, end: int) -> Problem:
    return Problem(label, _OWN_LABELS[label], start, end)


def _blanked(text: str, spans: list[tuple[int, int]]) -> str:
    """The text with spaces in place of the spans, so that what is left stays where it is."""
    pieces = []
    last = 0
    for start, end in spans:
        pieces += [text[last:start], " " * (end - start)]
        last = end
    return "".join([*pieces, text[last:]])


def _in_one_call(change: Callable[[dict[str, Any], Random], None]) -> Corruption:
    def in_one_call(text: str, rng: Random) -> str:
        value = json.loads(text)
        change(value if isinstance(value, dict) else rng.choice(value), rng)
        return dumped(value)

    return in_one_call


def _missing_name(call: dict[str, Any], rng: Random) -> None:
    name = call.pop("name")
    if rng.random() < 0.5:
        call[rng.choice(["function", "tool", "tool_name"])] = name


def _missing_arguments(call: dict[str, Any], rng: Random) -> None:
    arguments = call.pop("arguments")
    if rng.random() < 0.5:
        call[rng.choice(["parameters", "args", "input"])] = arguments


def _unexpected_key(call: dict[str, Any], rng: Random) -> None:
    if rng.random() < 0.5:
        call[rng.choice(["type", "id"])] = "function"
    else:
        call["function"] = dict(call)
        del call["name"], call["arguments"]


def _name_not_text(call: dict[str, Any], rng: Random) -> None:
    call["name"] = rng.choice([None, "", {"name": call["name"]}])


def _arguments_not_object(call: dict[str, Any], rng: Random) -> None:
    call["arguments"] = rng.choice([None, [call["arguments"]], list(call["arguments"].values())])


def _arguments_in_string(call: dict[str, Any], rng: Random) -> None:
    call["arguments"] = dumped(call["arguments"])


_CALL_CORRUPTIONS: Final = {
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


def _calls(text: str) -> list[dict[str, Any]]:
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
