"""Breaks rendered TOML the way models break it; each way is named by the label it is judged with.

    CORRUPTIONS["bare_value"]('a = "x y"\n', Random(0)) -> "a = x y\n"
    CORRUPTIONS["bare_value"]("a = 1\n", Random(0))     -> None: nothing to break that way

The text must be valid, with blanks around each equals sign and no text over several lines.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from random import Random
from typing import Any, Final

from fmtharness.evaluators.possessive import re
from fmtharness.evaluators.toml.scalars import KEY
from fmtharness.harness.contracts import Corruption
from fmtharness.harness.surroundings import CORRUPTIONS as AROUND

_LINE: Final = re.compile(rf"^(?P<key>{KEY}) = (?P<value>.*)$", re.MULTILINE)
_HEADER: Final = re.compile(r"^\[.*\]$", re.MULTILINE)
_SECTION: Final = re.compile(r"^\[([^\[\]\n]+)\]\n((?:[^\[\n].*(?:\n|\Z))+)", re.MULTILINE)
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_WORDS: Final = re.compile(r'"[A-Za-z][A-Za-z ]*"').fullmatch
_CONSTANTS: Final = {'"true"', '"false"', '"True"', '"False"', '"None"', '"null"', '"Null"'}
_TOKENS: Final = re.compile(r""""(?:[^"\\]|\\.)*"|'[^'\n]*'|[\[\]{},]""")


def _lines(text: str) -> list[re.Match[str]]:
    """The lines of a key and a whole value."""
    return [line for line in _LINE.finditer(text) if _whole(line["value"])]


def _whole(value: str) -> bool:
    try:
        tomllib.loads(f"a = {value}")
    except tomllib.TOMLDecodeError:
        return False
    return True


def _one(text: str, rng: Random, fits: Callable[[str], Any]) -> re.Match[str] | None:
    """A line whose value the condition accepts."""
    lines = [line for line in _lines(text) if fits(line["value"])]
    return rng.choice(lines) if lines else None


def _value(text: str, line: re.Match[str] | None, new: str) -> str | None:
    """The text with another value on the line."""
    return text[: line.start("value")] + new + text[line.end("value") :] if line else None


def _ended(text: str) -> str:
    """The text with a line break at its end; a last line without one may be cut short."""
    return text.removesuffix("\n") + "\n"


def _is_words(value: str) -> bool:
    return bool(_WORDS(value)) and value not in _CONSTANTS and value.lower() not in _NUMBERS


_NUMBERS: Final = {'"inf"', '"nan"', '"nil"', '"undefined"', '"infinity"', '"none"'}


def _is_text(value: str) -> bool:
    return bool(_STRING.fullmatch(value))


def _no_value(text: str, rng: Random) -> str:
    """JSON in place of TOML, or a refusal."""
    refusal = "I'm sorry, but I can't help with that."
    return rng.choice([json.dumps(tomllib.loads(text), ensure_ascii=False), refusal])


def _truncated(text: str, rng: Random) -> str | None:
    line = _one(text, rng, lambda value: value[0] in "\"'[{")
    return text[: rng.randrange(line.start("value") + 1, line.end("value"))] if line else None


def _bare_value(text: str, rng: Random) -> str | None:
    line = _one(text, rng, _is_words)
    return _value(text, line, line["value"][1:-1]) if line else None


def _any_value(*values: str) -> Corruption:
    """One of the values in place of a line's."""

    def broken(text: str, rng: Random) -> str | None:
        return _value(text, _one(text, rng, bool), rng.choice(values))

    return broken


def _unclosed_quote(text: str, rng: Random) -> str | None:
    line = _one(text, rng, _is_text)
    broken = _value(text, line, line["value"][:-1]) if line else None
    return _ended(broken) if broken else None


def _unescaped_quote(text: str, rng: Random) -> str | None:
    line = _one(text, rng, _is_words)
    return _value(text, line, f'"the "new" {line["value"][1:]}') if line else None


def _python_literal(text: str, rng: Random) -> str | None:
    line = _one(text, rng, {"true", "false"}.__contains__)
    return _value(text, line, line["value"].title()) if line else None


def _missing_value(text: str, rng: Random) -> str | None:
    line = _one(text, rng, bool)
    return _ended(text[: line.start("value") - 1] + text[line.end("value") :]) if line else None


def _colon_for_equals(text: str, rng: Random) -> str | None:
    line = _one(text, rng, lambda value: not _is_words(value))
    return text[: line.end("key")] + ": " + text[line.start("value") :] if line else None


def _missing_equals(text: str, rng: Random) -> str | None:
    last = text.rstrip().rfind("\n")
    lines = [line for line in _lines(text) if line.start() > 0 and line.end() < last]
    lines = [line for line in lines if "=" not in line["key"] + line["value"]]
    if not lines:
        return None
    line = rng.choice(lines)
    return text[: line.end("key")] + " " + text[line.start("value") :]


def _several_values(text: str, rng: Random) -> str | None:
    line = _one(text, rng, _is_text)
    return _value(text, line, line["value"] + rng.choice([",", ";"])) if line else None


def _signs(text: str, sign: str) -> list[int]:
    """Where a sign stands inside brackets that open on a line's value, and not in quotes."""
    found = []
    for line in _LINE.finditer(text):
        if line["value"][0] not in "[{":
            continue
        depth = 0
        for token in _TOKENS.finditer(text, line.start("value")):
            if token[0] == sign:
                found.append(token.start())
            depth += (token[0] in "[{") - (token[0] in "]}")
            if not depth:
                break
    return found


def _at_sign(text: str, rng: Random, signs: str, new: Callable[[int], str | None]) -> str | None:
    """What `new` makes of one of the places where one of the signs stands."""
    places = sorted(place for sign in signs for place in _signs(text, sign))
    return new(rng.choice(places)) if places else None


def _missing_comma(text: str, rng: Random) -> str | None:
    def without(at: int) -> str | None:
        both = re.match(r"\S,\s*\S", text[at - 1 :])
        if not both or {text[at - 1], both[0][-1]} & {*"[]{}"}:
            return None
        quoted = text[at - 1] in "\"'" and both[0][-1] in "\"'"
        return text[:at] + text[at + 1 :] if quoted else None

    return _at_sign(text, rng, ",", without)


def _extra_comma(text: str, rng: Random) -> str | None:
    def twice(at: int) -> str:
        return text[: at + 1] + rng.choice([",", " ,"]) + text[at + 1 :]

    return _at_sign(text, rng, ",", twice)


def _as_inline(text: str, rng: Random, form: str) -> str | None:
    """A table under a header written between braces; the form has a place for key and members."""
    tables = [
        table
        for table in _SECTION.finditer(text)
        if all(_LINE.fullmatch(line) and _whole(line.partition(" = ")[2]) for line in _rows(table))
    ]
    if not tables:
        return None
    table = rng.choice(tables)
    between = ",\n  " if "\n" in form else ", "
    written = form.format(table[1], between.join(_rows(table))) + "\n"
    return text[: table.start()] + written + text[table.end() :]


def _rows(table: re.Match[str]) -> list[str]:
    return table[2].strip("\n").split("\n")


def _trailing_comma(text: str, rng: Random) -> str | None:
    if not _signs(text, "}"):
        return _as_inline(text, rng, "{} = {{ {}, }}")

    def with_comma(at: int) -> str | None:
        before = text[:at].rstrip()
        return None if before.endswith("{") else before + "," + text[len(before) :]

    return _at_sign(text, rng, "}", with_comma)


def _newline_in_inline_table(text: str, rng: Random) -> str | None:
    if not _signs(text, "{"):
        return _as_inline(text, rng, "{} = {{\n  {}\n}}")

    def broken(at: int) -> str:
        return text[: at + 1] + "\n " + text[at + 1 :]

    return _at_sign(text, rng, "{", broken)


def _mismatched_bracket(text: str, rng: Random) -> str | None:
    def other(at: int) -> str:
        return text[:at] + ("}" if text[at] == "]" else "]") + text[at + 1 :]

    return _at_sign(text, rng, "]}", other)


def _unclosed_bracket(text: str, rng: Random) -> str | None:
    def without(at: int) -> str | None:
        opens = re.search(r"[\[{,]\s*\Z", text[:at])
        follows = re.match(rf"\s*\n(?:{KEY} = |\[)", text[at + 1 :])
        return text[:at].rstrip() + text[at + 1 :] if follows and not opens else None

    return _at_sign(text, rng, "]}", without)


def _duplicate_key(text: str, rng: Random) -> str | None:
    line = _one(text, rng, bool)
    return text[: line.end()] + "\n" + line[0] + text[line.end() :] if line else None


def _unquoted_key(text: str, rng: Random) -> str | None:
    line = _one(text, rng, bool)
    if not line:
        return None
    key = rng.choice(["first name", "größe", "price/unit", "total (EUR)", "50%", "@id", "q&a"])
    return text[: line.start()] + key + text[line.end("key") :]


def _bad_header(text: str, rng: Random) -> str | None:
    headers = list(_HEADER.finditer(text))
    if not headers:
        return None
    header = rng.choice(headers)
    inner = header[0].strip("[]")
    broken = rng.choice(
        [
            *(header[0][:-1], header[0] + "]", header[0][1:], f"[{inner}.]", f"[{inner} x]"),
            *("[]", "[[]]", f"[.{inner}]", f"[{inner}..x]", f"[{inner}/x]"),
        ]
    )
    if broken in (f"[{inner}]", f"[[{inner}]]"):
        broken = f"[{inner}.]"
    return _ended(text[: header.start()] + broken + text[header.end() :])


def _comment(text: str, rng: Random) -> str | None:
    said = rng.choice(["# note", "# from the text", "#note", "#", "## The record", "#1: as asked"])
    way = rng.randrange(4)
    if way == 0:
        return f"{said}\n{text}"
    if way == 1:
        return _ended(text) + said
    if way == 2 and (headers := list(_HEADER.finditer(text))):
        end = rng.choice(headers).end()
        return text[:end] + rng.choice(["", " "]) + said + text[end:]
    line = _one(text, rng, bool)
    return text[: line.end()] + rng.choice(["", "  "]) + said + text[line.end() :] if line else None


def _in_text(*pieces: str) -> Corruption:
    """One of the pieces inside a text in double quotes."""

    def broken(text: str, rng: Random) -> str | None:
        line = _one(text, rng, _is_text)
        if not line:
            return None
        at = rng.choice([1, len(line["value"]) - 1])
        return _value(text, line, line["value"][:at] + rng.choice(pieces) + line["value"][at:])

    return broken


def too_deep(max_depth: int) -> Corruption:
    """A value or a key with more levels than allowed."""

    def broken(text: str, rng: Random) -> str | None:
        line = _one(text, rng, bool)
        if line and rng.random() < 0.5:
            return _value(text, line, "[" * max_depth + line["value"] + "]" * max_depth)
        return f"{'.'.join('a' * (max_depth + 1))} = 1\n{text}"

    return broken


CORRUPTIONS: Final[dict[str, Corruption]] = {
    **AROUND,
    **{
        function.__name__.removeprefix("_"): function
        for function in (
            _no_value,
            _truncated,
            _bare_value,
            _unclosed_quote,
            _unescaped_quote,
            _python_literal,
            _missing_value,
            _colon_for_equals,
            _missing_equals,
            _several_values,
            _missing_comma,
            _extra_comma,
            _trailing_comma,
            _newline_in_inline_table,
            _mismatched_bracket,
            _unclosed_bracket,
            _duplicate_key,
            _unquoted_key,
            _bad_header,
            _comment,
        )
    },
    "date_or_time": _any_value(
        *("2024-05-01", "12:30", "07:32:00", "2024-05-01T10:00:00Z", "2024-05-01 09:00"),
        *("2024-05-01T10:00:00.5+02:00", "2023-02-30", "25:00"),
    ),
    "null_value": _any_value("null", "nil", "NULL", "undefined"),
    "nan_or_infinity": _any_value("inf", "-inf", "nan", "NaN", "Infinity", "-Infinity", "1e999"),
    "integer_out_of_range": _any_value(
        "9223372036854775808", "-9223372036854775809", "99999999999999999999", "0x" + "F" * 20
    ),
    "bad_number": _any_value("007", "1,000", ".5", "5.", "1.2.3", "1__000", "1_000_", "+.5", "0x"),
    "bad_escape": _in_text(
        "\\d", "\\'", "\\$", "\\x41", "C:\\Users", "\\u{1F600}", "\\_", "\\ud83d"
    ),
    "control_character": _in_text("\x00", "\x07", "\x1b[1m", "\x0b", "\x7f", "\r"),
    "lone_surrogate": _in_text("\ud83d", "\udc4d"),
}
"""Ways to break a text; the format adds `too_deep`, which needs its limit."""
