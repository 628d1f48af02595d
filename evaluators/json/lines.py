"""JSON Lines as a Format: one strict JSON value per line.

    JsonlFormat().parse('{"a": 1}\\n{"a": 2}') -> Parsed(value=[{"a": 1}, {"a": 2}])
    JsonlFormat().parse('1,\\n2')             -> problem comma_between at 1:2

Only a line feed ends a line; a line or paragraph separator inside a string does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from random import Random
from typing import Any, ClassVar, Final, Literal

from pydantic import Field

from fmtharness.evaluators.json.allowed import lines_of
from fmtharness.evaluators.json.corruptions import CORRUPTIONS as JSON_CORRUPTIONS
from fmtharness.evaluators.json.corruptions import too_deep
from fmtharness.evaluators.json.diagnosis import note_comments
from fmtharness.evaluators.json.format import JsonFormat
from fmtharness.evaluators.json.labels import LABELS as JSON_LABELS
from fmtharness.evaluators.json.labels import Problems
from fmtharness.evaluators.json.reader import REPEATED, UNREAD, whole
from fmtharness.evaluators.json.recovery import walk
from fmtharness.evaluators.json.scanner import DONE, SPACE, WS, Scanner
from fmtharness.evaluators.possessive import re
from fmtharness.evaluators.rendering import checked, dumped
from fmtharness.harness import surroundings
from fmtharness.harness.contracts import Corruption, Options, Parsed, Shape
from fmtharness.harness.formats import Consumer
from fmtharness.harness.records import Example, Problem
from fmtharness.harness.surroundings import shifted, strictly

_OWN_LABELS: Final = {
    "blank_line": "a line is empty or holds nothing but whitespace",
    "array_around": "the whole text is one JSON array, not one value per line",
    "line_breaks_in_value": "a value spans more than one line",
    "comma_between": "a comma stands before or after a line's value",
    "stray_carriage_return": "a carriage return stands without a line feed",
}
_ROOTS: Final[Mapping[str, type]] = {"object": dict, "array": list, "any": object}
_MOST_BROKEN_LINES: Final = 1000
"""After this many broken lines the rest is not read, which bounds the time."""
_STRAY: Final = re.compile(r"\r(?!\n)")
_FOLLOWS: Final = re.compile(rf"{WS}(,?){WS}(?=[{{\[])").match
_OWN_START: Final = re.compile(r"[{}\[\]\"']|-?[0-9]|//|#(?!#)|/\*|(?:true|false|null)[ ,/#]").match
_LINE_CORRUPTIONS: Final = (
    *("trailing_comma", "missing_comma", "single_quotes", "unquoted_key", "python_literal"),
    *("unescaped_quote", "unclosed_quote", "duplicate_key", "lone_surrogate", "extra_comma"),
    *("missing_colon", "missing_value", "mismatched_bracket", "unquoted_value", "smart_quotes"),
    *("escaped_text", "bad_escape", "nan_or_infinity", "leading_zero", "bad_number"),
    *("ellipsis", "bad_whitespace", "unexpected_character", "wrong_brackets"),
)


class JsonlFormat(Options):
    """Strict JSON Lines: each line is one RFC 8259 value, and there is at least one line.

    parse('"Oslo"\\n"Riga"\\n')  -> Parsed(value=["Oslo", "Riga"])
    parse('"Oslo"\\n\\n"Riga"') -> problem blank_line at 7:8

    Lines end with LF or CRLF; the last one need not. A text that is one array on one line counts as
    an array in place of lines, unless `root` asks for arrays.
    """

    name: ClassVar[str] = "jsonl"
    title: ClassVar[str] = "JSON Lines"
    shapes: ClassVar[frozenset[Shape]] = frozenset({"table", "list"})
    labels: ClassVar[Mapping[str, str]] = {**surroundings.LABELS, **JSON_LABELS, **_OWN_LABELS}

    root: Literal["object", "array", "any"] = "any"
    """What the value of each line must be."""
    max_depth: int = Field(default=64, ge=1)
    """How many objects and arrays of one line may be open at once."""
    unique_keys: bool = True
    """Whether a key that an object repeats is a problem."""
    unicode_scalars: bool = True
    """Whether a lone surrogate, raw or escaped, is a problem."""

    def instruction(self, value: Any) -> str:
        """One sentence that asks for a line for each row or value, and nothing else."""
        rows = bool(value) and all(isinstance(row, dict) for row in value)
        what = "object" if rows else "value"
        return f"Answer in JSON Lines, with one JSON {what} per line, and nothing else."

    def render(self, value: Any) -> str:
        """Each element on its own line; the last one has no line end."""
        if not isinstance(value, list | tuple) or not value:
            raise ValueError(f"JSON Lines hold a list of one or more values, not {type(value)}")
        return checked(self, "\n".join(map(dumped, value)), list(value))

    def parse(self, text: str) -> Parsed:
        """The values of all lines, or all problems."""
        return strictly(text, self._read, _looks_like_a_line)

    def grammar(self, example: Example | None) -> str:
        """What constrained decoding allows, in Lark."""
        return lines_of(self.root)

    def consumers(self) -> Sequence[Consumer]:
        """Readers of JSON, which are given each line."""
        from fmtharness.evaluators.consumers import json_readers

        return json_readers(by_line=True)

    def corruptions(self) -> Mapping[str, Corruption]:
        """Ways to break rendered lines; each is named by the label `parse` gives it."""
        ways: dict[str, Corruption] = {
            **surroundings.CORRUPTIONS,
            **{name: _in_one_line(JSON_CORRUPTIONS[name]) for name in _LINE_CORRUPTIONS},
            "blank_line": _blank_line,
            "line_breaks_in_value": _in_one_line(_line_breaks_in_value),
            "comma_between": _comma_between,
            "multiple_roots": _multiple_roots,
            "truncated": _truncated,
            "too_deep": _in_one_line(too_deep(self.max_depth)),
            "comment": _comment,
            "raw_control_character": _raw_tab,
            "no_json": _no_json,
            "no_value": _no_value,
            "stray_carriage_return": _stray_carriage_return,
        }
        if not self.unicode_scalars:
            del ways["lone_surrogate"]
        if not self.unique_keys:
            del ways["duplicate_key"]
        if self.root != "array":
            ways["array_around"] = _array_around
        if self.root != "any":
            ways["wrong_root"] = _wrong_root
        return ways

    def _read(self, text: str) -> Parsed:
        lines = text.split("\n")
        if not lines[-1]:
            lines.pop()
        if text.count("\r") == text.count("\r\n"):
            values = []
            for line in lines:
                value = self._value(line)
                if value is UNREAD:
                    break
                values.append(value)
            else:
                if len(values) > 1 or self.root == "array" or not isinstance(values[0], list):
                    return Parsed(values)
        return self._diagnosed(text)

    def _value(self, line: str) -> Any:
        """The value of a line, or UNREAD where a closer look is needed."""
        value = whole(line, self.max_depth, self.unique_keys, self.unicode_scalars)
        return value if value is not REPEATED and isinstance(value, _ROOTS[self.root]) else UNREAD

    def _json(self, root: Literal["object", "array", "any"]) -> JsonFormat:
        return JsonFormat(
            root=root,
            max_depth=self.max_depth,
            unique_keys=self.unique_keys,
            unicode_scalars=self.unicode_scalars,
        )

    def _diagnosed(self, text: str) -> Parsed:
        """Read line by line; a value that spans several lines is read as one."""
        if self.root != "array" and self._json("array").parse(text).ok:
            start = text.index("[")
            end = start + len(text.strip(SPACE))
            return Parsed(problems=(_problem("array_around", start, end),))
        problems = [_problem("stray_carriage_return", *at.span()) for at in _STRAY.finditer(text)]
        judge = self._json(self.root)
        values = []
        pos = scanned = broken = 0
        while pos < len(text) and broken < _MOST_BROKEN_LINES:
            end = _line_end(text, pos)
            line = text[pos:end].strip(SPACE)
            if not line:
                problems.append(_problem("blank_line", pos, min(end + 1, len(text))))
                pos = end + 1
                continue
            start = text.index(line[0], pos)
            parsed = judge.parse(line)
            if parsed.ok:
                values.append(parsed.value)
                pos = end + 1
                continue
            broken += 1
            last = end
            if line[0] in "{[" and start >= scanned:
                last, scanned = self._goes_on(text, start, end)
            if last == end:
                problems += _in_a_line(text, shifted(parsed.problems, start))
                pos = end + 1
                continue
            problems.append(_problem("line_breaks_in_value", start, last))
            problems += shifted(judge.parse(text[start:last]).problems, start)
            end = _line_end(text, last)
            pos = end + 1
            if follows := _FOLLOWS(text, last, end):
                pos = follows.end()
                side_by_side = _problem("multiple_roots", pos, end)
                comma = _problem("comma_between", *follows.span(1))
                problems.append(comma if follows[1] else side_by_side)
            elif rest := text[last:end].strip(SPACE):
                start = text.index(rest[0], last)
                after = _problem("text_after", start, start + len(rest))
                problems += _in_a_line(text, (after,))
        return Parsed(problems=tuple(problems)) if problems else Parsed(values)

    def _goes_on(self, text: str, start: int, line_end: int) -> tuple[int, int]:
        """Where the value at `start` ends if it spans several lines, else the line's end.

        The second number is how far the text was read. Values that start before it are not read
        again, which keeps the work linear.
        """
        scanner = Scanner(text, start)
        outcome = scanner.run()
        reached = scanner.pos
        if not text[line_end:reached].strip(SPACE):
            return line_end, reached
        if outcome == DONE:
            return reached, reached
        next_line = text[line_end + 1 : _line_end(text, line_end + 1)]
        if self._value(next_line) is not UNREAD:
            return line_end, reached  # the line breaks off, and the next one continues it
        end = walk(text, start, Problems(), self.max_depth, self.unique_keys)
        return max(end, line_end), reached


def _line_end(text: str, start: int) -> int:
    end = text.find("\n", start)
    return len(text) if end < 0 else end


def _problem(label: str, start: int, end: int) -> Problem:
    return Problem(label, JsonlFormat.labels[label], start, end)


def _in_a_line(text: str, problems: Iterable[Problem]) -> Iterator[Problem]:
    """The problems of a line; a comma beside its value counts as one between two lines.

    A line that holds nothing but a comment is one.
    """
    for problem in problems:
        if problem.label == "no_json":
            comments = Problems()
            if note_comments(text, problem.start, problem.end, comments):
                yield from comments.in_order()
                continue
        comma = text[problem.start : problem.end] == ","
        if comma and problem.label in ("text_before", "text_after", "no_json"):
            problem = _problem("comma_between", problem.start, problem.end)
        yield problem


def _looks_like_a_line(line: str) -> bool:
    core = line.strip(SPACE + ",")
    if not core:
        return "," in line
    return bool(_OWN_START(core)) or whole(core) is not UNREAD


def _is_container(line: str) -> bool:
    return line[0] in "{["


def _in_one_line(corrupt: Corruption) -> Corruption:
    """The corruption applied to one of the lines that hold an object or array."""

    def in_one_line(text: str, rng: Random) -> str | None:
        lines = text.split("\n")
        choices = [at for at, line in enumerate(lines) if _is_container(line)]
        if not choices:
            return None
        at = rng.choice(choices)
        broken = corrupt(lines[at], rng)
        return broken and "\n".join([*lines[:at], broken, *lines[at + 1 :]])

    return in_one_line


def _line_breaks_in_value(line: str, rng: Random) -> str | None:
    value = json.loads(line)
    return json.dumps(value, ensure_ascii=False, indent=rng.choice([2, 4])) if value else None


def _blank_line(text: str, rng: Random) -> str:
    lines = text.split("\n")
    lines.insert(rng.randrange(len(lines) + 1), rng.choice(["", "  "]))
    return "\n".join([*lines, ""])


def _array_around(text: str, rng: Random) -> str:
    start, between, end = rng.choice([("[", ", ", "]"), ("[\n  ", ",\n  ", "\n]")])
    return start + between.join(text.split("\n")) + end


def _comma_between(text: str, rng: Random) -> str | None:
    return text.replace("\n", ",\n") + rng.choice(["", ","]) if "\n" in text else None


def _comment(text: str, rng: Random) -> str | None:
    comment = rng.choice(["// the rows", "# the rows", "/* the rows */"])
    lines = text.split("\n")
    at = rng.randrange(len(lines))
    if rng.random() < 0.5:
        return "\n".join([*lines[:at], f"{lines[at]} {comment}", *lines[at + 1 :]])
    return "\n".join([*lines[:at], comment, *lines[at:]])


def _raw_tab(text: str, rng: Random) -> str | None:
    corrupt = _in_one_line(JSON_CORRUPTIONS["raw_control_character"])
    broken = corrupt(text, rng)
    # A raw line feed would make two lines of one.
    return broken and (broken if broken.count("\n") == text.count("\n") else None)


def _no_value(text: str, rng: Random) -> str:
    return rng.choice(["I'm sorry, but I can't help with that.", "There are no rows to list."])


def _no_json(text: str, rng: Random) -> str | None:
    lines = text.split("\n")
    if len(lines) < 3:
        return None
    lines[rng.randrange(1, len(lines) - 1)] = rng.choice(["undefined", "n/a", "see above"])
    return "\n".join(lines)


def _stray_carriage_return(text: str, rng: Random) -> str:
    lines = text.split("\n")
    at = rng.randrange(len(lines))
    return "\n".join([*lines[:at], lines[at] + " \r ", *lines[at + 1 :]])


def _multiple_roots(text: str, rng: Random) -> str | None:
    lines = text.split("\n")
    choices = [at for at, pair in enumerate(pairwise(lines)) if all(map(_is_container, pair))]
    if not choices:
        return None
    at = rng.choice(choices)
    joined = lines[at] + rng.choice(["", " ", ", "]) + lines[at + 1]
    return "\n".join([*lines[:at], joined, *lines[at + 2 :]])


def _truncated(text: str, rng: Random) -> str | None:
    lines = text.split("\n")
    choices = [at for at, line in enumerate(lines) if line[0] in '{["']
    if not choices:
        return None
    at = rng.choice(choices)
    return "\n".join([*lines[:at], lines[at][: rng.randrange(1, len(lines[at]))]])


def _wrong_root(text: str, rng: Random) -> str:
    lines = text.split("\n")
    lines[rng.randrange(len(lines))] = json.dumps(rng.choice(["done", "row", 3, None]))
    return "\n".join(lines)
