r"""Tool calls as Python writes them, turned into JSON, so that JSON's own judge says what is wrong.

    translated('[book(city="Oslo", ok=True)]').text
    -> '[{"name": "book", "arguments": {"city": "Oslo", "ok": true}}]'
    translated("[book(4)]").problems -> [positional_argument at 6:7]
    written([{"name": "book", "arguments": {"ok": None}}]) -> "[book(ok=None)]"

Nothing is ever evaluated but the escapes of a string. Arguments have names, and literals for
values: strings of one line, JSON's numbers, True, False, None, lists, and dicts with strings for
keys. What Python would take besides (a last comma, a tuple, a set, 1_000) is a problem.
"""

from __future__ import annotations

import ast
import json
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from keyword import iskeyword
from random import Random
from typing import Any, Final, NamedTuple

from fmtharness.evaluators.json.scanner import CHARS, WS
from fmtharness.evaluators.json.tool_call_faults import Calls, problem
from fmtharness.evaluators.json.tool_call_syntax import TAG
from fmtharness.evaluators.possessive import re
from fmtharness.evaluators.rendering import dumped
from fmtharness.harness.contracts import Corruption
from fmtharness.harness.records import Problem
from fmtharness.harness.surroundings import CORRUPTIONS as AROUND

TAGS: Final = ("<|python_start|>", "<|python_end|>")
"""What Llama 4 may write around its calls."""
_WORD: Final = r"[^\W\d]\w*+(?:\\_\w*+)*+"
"""A name; models also write a_b as in Markdown, as a\\_b, which is a problem."""
_TOKEN: Final = re.compile(
    r"(?P<string>'[^'\\]*+(?:\\.[^'\\]*+)*+(?:'|\\?\Z)|\"[^\"\\]*+(?:\\.[^\"\\]*+)*+(?:\"|\\?\Z))"
    rf"|(?=[^\W\d])(?:(?P<call>{_WORD}(?:\.{_WORD})*+){WS}\("
    rf"|(?P<key>{_WORD}){WS}=(?!=)"
    rf"|(?P<colon>{_WORD})(?={WS}:)"
    rf"|(?P<name>{_WORD}(?:\.{_WORD})*+))"
    r"|(?P<number>[-+.0-9][-+.\w]*+)|(?P<open>[\[{(])|(?P<close>[\]})])"
    r"|(?P<space>[ \t\r\n]++)|(?P<other>.)",
    re.DOTALL,
).match
_OUTSIDE: Final = re.compile(rf"(?P<tag>{TAG})|(?P<open>\[)|[^\[<]++|<").match
_BAD_ESCAPE: Final = re.compile(r"(?:[^\\]|\\[\\'\"abfnrtvxuUN0-7])*+\\").match
_FAR: Final = 1000
_CONSTANTS: Final = {"True": "true", "False": "false", "None": "null"}
_PYTHON: Final = {json_word: word for word, json_word in _CONSTANTS.items()}
_STRING_OR_WORD: Final = re.compile(rf'"{CHARS}"|true|false|null').sub
_OPENERS: Final = {"]": "[", "}": "{"}
_CLOSED: Final = {"(": "}}", "tuple": "]"}
"""What a parenthesis closes in the JSON."""
_BACKSLASH: Final = "a backslash stands in a name"
_NAME: Final = re.compile(rf"{_WORD}(?:\.{_WORD})*").fullmatch
_KEY: Final = re.compile(_WORD).fullmatch


class Translated(NamedTuple):
    """The JSON that a text means, and what keeps it from being Python's calls."""

    text: str
    problems: list[Problem]
    starts: list[int]
    """Where each part begins in the JSON, in order."""
    spans: list[tuple[int, int]]
    """Where each part stands in the Python text."""

    def source(self, found: Problem) -> Problem:
        """The problem of the JSON, where it stands in the Python text."""
        if not self.spans:
            return Problem(found.label, found.message, 0, 0)
        start = self._place(found.start, bisect_right(self.starts, found.start) - 1)
        end = self._place(found.end, max(bisect_left(self.starts, found.end) - 1, 0))
        return Problem(found.label, found.message, start, max(start, end))

    def _place(self, at: int, part: int) -> int:
        start, end = self.spans[part]
        stop = self.starts[part + 1] if part + 1 < len(self.starts) else len(self.text)
        size = stop - self.starts[part]
        into = at - self.starts[part]
        return end if into >= size else min(start + into, end)


def translated(text: str, max_depth: int | None = None) -> Translated:
    """The text with each call as a JSON object; what is neither call nor literal stays as it is.

    What stands far deeper than `max_depth` stays as it is, too, which bounds the time.
    """
    deepest = len(text) if max_depth is None else max_depth + _FAR
    parts: list[str] = []
    spans: list[tuple[int, int]] = []
    found: list[Problem] = []
    stack: list[str] = []
    after_key = False
    at = 0
    while at < len(text):
        if len(stack) > deepest:
            parts.append(text[at:])
            spans.append((at, len(text)))
            break
        token = _TOKEN(text, at) if stack else _OUTSIDE(text, at)
        assert token
        start, at = at, token.end()
        kind, written = token.lastgroup, token[0]
        part = written
        if kind == "tag":
            found.append(problem("tag_around", start, at))
            part = " " * len(written)
        elif kind == "call":
            if stack != ["["]:
                message = "an argument is a call, not a literal"
                found.append(problem("not_literal", start, at, message))
            elif "\\" in token["call"]:
                found.append(problem("bad_python", start, at, _BACKSLASH))
            elif any(map(iskeyword, token["call"].split("."))):
                found.append(problem("bad_python", start, at, "a call's name is a word of Python"))
            end = token.end("call")
            parts += ['{"name": ', json.dumps(token["call"], ensure_ascii=False)]
            spans += [(start, end), (start, end)]
            start, part = end, ', "arguments": {'
            stack.append("(")
        elif kind == "colon" and stack[-1] == "(":
            part = json.dumps(written, ensure_ascii=False)
        elif kind == "key":
            if stack[-1] != "(" or iskeyword(token["key"]):
                found.append(problem("bad_python", start, at, "no argument can begin here"))
            elif "\\" in written:
                found.append(problem("bad_python", start, at, _BACKSLASH))
            part = f"{json.dumps(token['key'], ensure_ascii=False)}:"
        elif kind in ("string", "colon", "name", "number", "open"):
            kind = "name" if kind == "colon" else kind
            cut = kind == "name" and at == len(text)
            if cut:
                part = f'"{written}'  # an open string, for it is not known what it would become
            elif kind == "name" and written in _CONSTANTS:
                part = _CONSTANTS[written]
            elif kind == "name":
                message = f"{written!r:.60} is a name, not a literal"
                found.append(problem("not_literal", start, at, message))
                part = "null"
            elif kind == "string":
                part = _string(text, start, at, found)
            elif kind == "open":
                if written == "(":
                    found.append(problem("not_literal", start, at, "parentheses are no literal"))
                    part = "["
                stack.append("tuple" if written == "(" else written)
            inside = len(stack) - (kind == "open")
            if inside == 1 and not cut:
                message = "an element of the list is no call"
                found.append(problem("bad_python", start, at, message))
            elif inside and stack[inside - 1] == "(" and not after_key and not cut:
                message = "an argument has no name"
                found.append(problem("positional_argument", start, at, message))
                part = f'"argument {start}": {part}'
        elif kind == "close":
            if written == ")" and stack[-1] in _CLOSED:
                part = _CLOSED[stack.pop()]
            elif stack[-1] == _OPENERS.get(written):
                stack.pop()
        elif written == ":" and stack and stack[-1] == "(":
            found.append(problem("bad_python", start, at, "a colon stands where = should"))
        if kind != "space":
            after_key = kind == "key" or written == ":"
        parts.append(part)
        spans.append((start, at))
    starts = [0]
    for part in parts:
        starts.append(starts[-1] + len(part))
    return Translated("".join(parts), found, starts[:-1], spans)


def _string(text: str, start: int, end: int, found: list[Problem]) -> str:
    """A string of Python as one of JSON; an unclosed one as far as it goes."""
    quote = text[start]
    inner = text[start + 1 : end]
    if len(inner) == 0 or inner[-1] != quote or end - start < 2 or _escaped_end(inner):
        return json.dumps(inner.rstrip("\\"))[:-1]
    inner = inner[:-1]
    if "\n" in inner or "\r" in inner or "\0" in inner:
        found.append(problem("raw_control_character", start, end))
        return '""'
    if "\\" not in inner:
        return json.dumps(inner, ensure_ascii=False)
    wrong = _BAD_ESCAPE(inner)
    try:
        value = None if wrong else ast.literal_eval(text[start:end])
    except (SyntaxError, ValueError):
        value = None
    if not isinstance(value, str):
        message = "a backslash starts no escape that Python knows"
        found.append(problem("bad_escape", start, end, message))
        return '""'
    return json.dumps(value, ensure_ascii=False)


def _escaped_end(inner: str) -> bool:
    """Whether the quote at the end is escaped, so that it closes nothing."""
    bare = inner[:-1]
    return (len(bare) - len(bare.rstrip("\\"))) % 2 == 1


def written(calls: Sequence[Mapping[str, Any]]) -> str:
    """The calls as Python writes them; ValueError for a name that Python does not have."""
    return f"[{', '.join(map(_call, calls))}]"


def _call(call: Mapping[str, Any]) -> str:
    for name in (call["name"], *call["arguments"]):
        fits = _NAME if name is call["name"] else _KEY
        if not fits(name) or "\\" in name or any(map(iskeyword, name.split("."))):
            raise ValueError(f"Python has no name such as {name!r:.60}")
    arguments = [f"{key}={_literal(value)}" for key, value in call["arguments"].items()]
    return f"{call['name']}({', '.join(arguments)})"


def _literal(value: Any) -> str:
    return _STRING_OR_WORD(lambda found: _PYTHON.get(found[0], found[0]), dumped(value))


_FIRST: Final = re.compile(rf"(\()({_WORD})=").search
_CALL_NAME: Final = re.compile(rf"\[({_WORD})").match


def corruptions(calls: Calls, tools: tuple[str, ...], max_depth: int) -> Mapping[str, Corruption]:
    """The ways to break rendered calls, by their labels."""
    ways: dict[str, Corruption] = {
        **AROUND,
        "no_json": lambda text, rng: rng.choice(["I cannot do that.", "There is no such tool"]),
        "truncated": lambda text, rng: text[: rng.randrange(1, len(text))],
        "tag_around": lambda text, rng: rng.choice(_TAGGED).replace("{}", text),
        "bad_python": _bad_python,
        "no_call": lambda text, rng: rng.choice(["[]", "[ ]"]),
        "trailing_comma": lambda text, rng: f"{text[:-1]},]",
        "multiple_roots": lambda text, rng: text + rng.choice(["\n", "", ", "]) + text,
        "unexpected_character": lambda text, rng: f"{text[:-1]})]",
        "mismatched_bracket": lambda text, rng: text[:-2] + rng.choice(["]]", "}]", "]"]),
        "positional_argument": _positional_argument,
        "not_literal": _not_literal,
        "duplicate_key": _duplicate_key,
    }
    if calls == "one":
        ways["wrong_count"] = lambda text, rng: f"{text[:-1]}, {text[1:]}"
    if tools:
        ways["unknown_tool"] = lambda text, rng: (
            f"[{''.join(tools)}{rng.choice(['_v2', '_1', '.run'])}{text[text.index('(') :]}"
        )
    if max_depth <= 100:
        ways["too_deep"] = lambda text, rng: (
            text[:-2]
            + (", " if text[-3] != "(" else "")
            + f"path={'[' * max_depth}{']' * max_depth})]"
        )
    return ways


_TAGGED: Final = ("<|python_tag|>{}", "{}<|eot_id|>", "{}</s>", "<tool_call>\n{}\n</tool_call>")


def _bad_python(text: str, rng: Random) -> str:
    """The calls in no list, or as JSON, or with something in them that Python does not have."""
    inner = text[1:-1]
    call = _CALL_NAME(text)
    way = rng.choice(["bare", "print", "assigned", "json", "colon", "backslash", "word"])
    if way == "print":
        return f"print({inner})"
    if way == "assigned":
        return f"result = {inner}"
    if way == "json":
        return translated(text).text
    if way == "colon" and (first := _FIRST(text)):
        return f"{text[: first.end() - 1]}: {text[first.end() :]}"
    if way == "backslash" and call and "_" in call[1]:
        return text.replace("_", "\\_", 1)
    if way == "word" and (first := _FIRST(text)):
        return f"{text[: first.end(1)]}class={text[first.end() :]}"
    return inner


def _positional_argument(text: str, rng: Random) -> str | None:
    first = _FIRST(text)
    return text[: first.end(1)] + text[first.end() :] if first else None


def _not_literal(text: str, rng: Random) -> str | None:
    first = _FIRST(text)
    wrong = rng.choice(["null, ", "today(), ", "user.name, ", "true, ", "(1, 2), "])
    return text[: first.end(1)] + f"x_1={wrong}" + text[first.end(1) :] if first else None


def _duplicate_key(text: str, rng: Random) -> str | None:
    first = _FIRST(text)
    return text[: first.end()] + f"1, {first[2]}=" + text[first.end() :] if first else None
