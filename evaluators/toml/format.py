"""TOML as a Format: how to ask for it, render it, parse it strictly, and break it.

    TomlFormat().render({"a": 1, "b": {"c": ["x"]}}) -> 'a = 1\n\n[b]\nc = ["x"]\n'
    TomlFormat().parse("a = Oslo")                   -> problem bare_value at 4:8

What passes is TOML 1.0 whose values JSON has too: no dates, times, infinity and NaN. The scanner
names what is wrong; tomllib has the last word and builds the value.
"""

from __future__ import annotations

import functools
import json
import tomllib
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Final

from pydantic import Field

from fmtharness.evaluators.possessive import re
from fmtharness.evaluators.toml.corruptions import CORRUPTIONS, too_deep
from fmtharness.evaluators.toml.labels import LABELS
from fmtharness.evaluators.toml.scalars import KEY
from fmtharness.evaluators.toml.scanner import further_lines, scan
from fmtharness.harness.contracts import Corruption, Options, Parsed, Shape
from fmtharness.harness.formats import Consumer
from fmtharness.harness.matching import same_value
from fmtharness.harness.records import Problem
from fmtharness.harness.surroundings import strictly

_NOT_RAW: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]|\r(?!\n)")
_PLACE: Final = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)\Z", re.DOTALL)
_TWICE: Final = re.compile("twice|overwrite|mutate|redefine|Duplicate").search
_KEYS: Final = re.compile(rf"(?P<key>{KEY})[ \t]*+=|^[ \t]*+\[\[?[ \t]*+(?P<table>{KEY})", re.M)
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+").fullmatch
_WORDS: Final = frozenset(
    {"unquoted_key", "bare_value", "bad_number", "bad_header", "missing_equals", "several_values"}
    | {"unescaped_quote", "missing_comma"}
)
"""Labels of a word that a raw character inside makes wrong."""
_VALUES: Final = frozenset({"date_or_time", "nan_or_infinity", "integer_out_of_range"})
"""Labels of a whole value, in whose place tomllib reads a number."""
_SOFT: Final = _VALUES | {"comment", "control_character"}
"""Labels that do not keep tomllib from reading the rest."""
_LOOKS: Final = re.compile(
    rf"[ \t]*+(?:(?:{KEY}|[^\s=\[{{][^\n=:!?,{{\[]{{0,40}})[ \t]*+=|\]|\[\[?{KEY}\])"
    r"""|[ \t]*+\[\[?[ \t]*+[\w"'][\w "'.-]*+\]*+\s*+\Z"""  # a header, broken ones too
    r"|[ \t]*+\[\[?[^\[\]{},\n]*+\][\] \t]*+(?:#.*+)?\s*+\Z"  # with any signs, or none
    rf"|{KEY}\]\]?\s*+\Z"  # without its first bracket
    rf"|[ \t]*+\[\[?[ \t]*+{KEY}[ \t]*+\]?\s*+\Z"  # or with any text in quotes
    r"""|[ \t]++(?!["'\w -]+:)\S"""  # belongs to a line above it, and is no line of JSON
    rf"|{KEY}:[ \t]*+\{{[ \t]*+{KEY}[ \t]*+="  # a colon for an equals sign
    rf"""|{KEY}:[ \t]*+(?:["'\d\[-]|\S++\s*+\Z)"""
    rf"|[ \t]*+\[\[?+[ \t]*+{KEY}[ \t]*+="  # a header's bracket before a key
    rf"|[ \t]*+{KEY}:(?:{KEY})?[ \t]*+="  # a colon inside a key
    rf"|{KEY}[ \t]++[^\w\n:]{{0,3}}\w{{0,8}}[ \t]*+[\[{{]\s*+\Z"  # an array without its sign
    r"|[\w-]++\Z"  # a key that is cut off
).match


class TomlFormat(Options):
    """Strict TOML: the whole text is one document, and every value is one that JSON has.

    parse('city = "Oslo"\\nnights = 4') -> Parsed(value={"city": "Oslo", "nights": 4})
    parse("Sure!\\ncity = Oslo")        -> problems text_before at 0:5, bare_value at 13:17

    A line that begins with # is a comment, also a Markdown title; with prose between it and the
    document it is a part of the text before or after.
    """

    name: ClassVar[str] = "toml"
    title: ClassVar[str] = "TOML"
    shapes: ClassVar[frozenset[Shape]] = frozenset({"record", "table", "tree"})
    labels: ClassVar[Mapping[str, str]] = LABELS

    max_depth: int = Field(default=64, ge=1, le=200)
    """How many tables and arrays may be open at once; tomllib recurses and allows no more."""
    comments: bool = False
    """Whether comments are allowed."""

    def instruction(self, value: Any) -> str:
        """One sentence that asks for TOML and nothing else."""
        return "Answer with one TOML document and nothing else."

    def render(self, value: Any) -> str:
        """Keys with scalars first, then a [header] for each table and [[header]] for each row."""
        if not isinstance(value, dict):
            raise ValueError(f"TOML's root is a table, which does not hold {value!r:.80}")
        try:
            text = "".join(_table(value, (), self.max_depth)).strip("\n")
        except RecursionError:
            raise ValueError("the value is nested too deeply to be written") from None
        parsed = self.parse(text)
        if not parsed.ok or not same_value(parsed.value, value):
            raise ValueError(f"TOML does not hold {value!r:.80}")
        return text

    def parse(self, text: str) -> Parsed:
        """The whole text as a value, or all problems."""

        @functools.cache
        def goes_on() -> set[str]:
            return further_lines(text, self.max_depth)

        def part(line: str) -> bool:
            return bool(_LOOKS(line)) or line.rstrip("\n") in goes_on()

        @functools.cache
        def comments() -> set[str]:
            return _comments(text, part)

        def looks(line: str) -> bool:
            if line.lstrip().startswith("#"):
                return line.rstrip("\n") in comments()
            return part(line)

        return strictly(text, self._read, looks)

    def consumers(self) -> Sequence[Consumer]:
        """Readers of TOML."""
        from fmtharness.evaluators.consumers import toml_readers

        return toml_readers()

    def corruptions(self) -> Mapping[str, Corruption]:
        """Ways to break a rendered text; each is named by the label `parse` gives it."""
        ways = {**CORRUPTIONS, "too_deep": too_deep(self.max_depth)}
        if self.comments:
            del ways["comment"]
        return ways

    def _read(self, text: str) -> Parsed:
        problems = [
            Problem(*_not_raw(found[0]), found.start(), found.end())
            for found in _NOT_RAW.finditer(text)
        ]
        # Replaced one for one, so that all other spans stay right.
        text = _NOT_RAW.sub("\ufffd", text) if problems else text
        problems = _with(problems, scan(text, self.max_depth, self.comments))
        if not all(problem.label in _SOFT for problem in problems):
            return Parsed(problems=tuple(problems))
        try:
            value = _load(_covered(text, problems))
        except tomllib.TOMLDecodeError as error:
            found = _explain(text, str(error))
            if problems and found.label == "syntax_error":
                return Parsed(problems=tuple(problems))  # it is what the problems say already
            return Parsed(problems=(*problems, found))
        if not problems and _depth(value) > self.max_depth:
            problems.append(Problem("too_deep", LABELS["too_deep"], 0, len(text)))
        if not problems and not value:
            problems.append(Problem("no_value", LABELS["no_value"], 0, len(text)))
        return Parsed(problems=tuple(problems)) if problems else Parsed(value)


def _with(raw: list[Problem], scanned: Sequence[Problem]) -> list[Problem]:
    """The raw characters, and what is wrong with other words than those that hold one."""
    places = [problem.start for problem in raw]
    problems = list(raw)
    for problem in scanned:
        first = bisect_left(places, problem.start)
        inside = first < len(places) and places[first] < problem.end
        if not (inside and problem.label in _WORDS):
            problems.append(problem)
    return problems


def _comments(text: str, part: Callable[[str], bool]) -> set[str]:
    """The comment lines that no prose parts from the first or the last line of the document.

    "# Title\\na = 1" begins with a comment, "# Title\\nSome prose.\\na = 1" with text before.
    """
    found: set[str] = set()
    lines = [line for line in text.removeprefix("\ufeff").split("\n") if line.strip()]
    for order in (lines, reversed(lines)):
        block: list[str] = []
        for line in order:
            if line.lstrip().startswith("#"):
                block.append(line)
            elif part(line):
                found.update(block)
                break
            else:
                block = []
    return found


def _covered(text: str, problems: list[Problem]) -> str:
    """The text with a number in place of each value that is wrong as a whole."""
    pieces, at = [], 0
    for problem in problems:
        if problem.label in _VALUES:
            pieces += [text[at : problem.start], "0.".ljust(problem.end - problem.start, "0")]
            at = problem.end
    return "".join([*pieces, text[at:]]) if pieces else text


def _load(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        # A new thread starts with an empty stack, so the caller's depth does not matter.
        with ThreadPoolExecutor(1) as fresh:
            return fresh.submit(tomllib.loads, text).result()


def _depth(value: Any) -> int:
    deepest = 0
    left = [(value, 1)]
    while left:
        node, depth = left.pop()
        if isinstance(node, dict | list):
            deepest = max(deepest, depth)
            children = node.values() if isinstance(node, dict) else node
            left += [(child, depth + 1) for child in children]
    return deepest


def _explain(text: str, error: str) -> Problem:
    """The problem behind tomllib's message, which counts lines and columns."""
    found = _PLACE.match(error)
    said = found[1] if found else error
    at = len(text)
    if found and found[2]:
        lines = text.split("\n")
        row = min(int(found[2]), len(lines)) - 1
        at = min(sum(len(line) + 1 for line in lines[:row]) + int(found[3]) - 1, len(text))
    if _TWICE(said):
        keys = list(_KEYS.finditer(text, 0, min(at + 1, len(text))))
        kind = "key" if not keys or keys[-1]["key"] else "table"
        start, end = keys[-1].span(kind) if keys else (at, at)
        return Problem("duplicate_key", f"{text[start:end][:40]} is defined twice", start, end)
    stop = at + len(text[at:].partition("\n")[0].rstrip())
    return Problem("syntax_error", f"TOML does not allow this: {said}", at, stop)


def _not_raw(char: str) -> tuple[str, str]:
    if "\ud800" <= char <= "\udfff":
        return "lone_surrogate", LABELS["lone_surrogate"]
    return "control_character", f"U+{ord(char):04X} must be escaped in double quotes"


def _table(table: dict[str, Any], path: tuple[str, ...], depth: int) -> Iterator[str]:
    """The lines of a table: its own values, then its tables under their headers."""
    if depth < 1:
        raise ValueError("the value is deeper than max_depth allows")
    inner = {key: child for key, child in table.items() if _has_header(child)}
    for key, child in table.items():
        if key not in inner:
            yield f"{_key(key)} = {_inline(child)}\n"
    for key, child in inner.items():
        name = (*path, _key(key))
        if isinstance(child, list):
            for row in child:
                yield f"\n[[{'.'.join(name)}]]\n"
                yield from _table(row, name, depth - 2)
        else:
            if not child or not all(map(_has_header, child.values())):
                yield f"\n[{'.'.join(name)}]\n"
            yield from _table(child, name, depth - 1)


def _has_header(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(row, dict) for row in value)
    return isinstance(value, dict)


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise ValueError(f"a key must be text, not {key!r:.80}")
    return key if _BARE_KEY(key) else _text(key)


def _inline(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if isinstance(value, dict):
        members = ", ".join(f"{_key(key)} = {_inline(child)}" for key, child in value.items())
        return f"{{ {members} }}" if members else "{}"
    if isinstance(value, bool | int | float):
        return json.dumps(value, allow_nan=False)
    raise ValueError(f"TOML does not hold {value!r:.80}")


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
