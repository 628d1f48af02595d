"""Breaks rendered TOML the way models break it; each way is named by the label it is judged with.

    CORRUPTIONS["bare_value"]('a = "x y"\n', Random(0)) -> "a = x y\n"
    CORRUPTIONS["bare_value"]("a = 1\n", Random(0))     -> None: nothing to break that way

The text must be valid, as `TomlFormat.render` writes it: each value on one line.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from random import Random
from typing import Any, Final

from fmtharness.evaluators.toml.scalars import KEY
from fmtharness.harness.contracts import Corruption
from fmtharness.harness.surroundings import CORRUPTIONS as AROUND

_LINE: Final = re.compile(rf"^(?P<key>{KEY}) = (?P<value>.*)$", re.MULTILINE)
_HEADER: Final = re.compile(r"^\[.*\]$", re.MULTILINE)
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_WORDS: Final = re.compile(r'"[A-Za-z][A-Za-z ]*"').fullmatch
_CONSTANTS: Final = {'"true"', '"false"', '"True"', '"False"', '"None"', '"null"', '"Null"'}
_COMMAS: Final = re.compile(r'"(?:[^"\\]|\\.)*"|(, )')


def _one(text: str, rng: Random, fits: Callable[[str], Any]) -> re.Match[str] | None:
    """A line whose value the condition accepts."""
    lines = [line for line in _LINE.finditer(text) if fits(line["value"])]
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
    line = _one(text, rng, lambda value: value[0] in '"[{')
    return text[: rng.randrange(line.start("value") + 1, line.end("value"))] if line else None


def _bare_value(text: str, rng: Random) -> str | None:
    line = _one(text, rng, _is_words)
    return _value(text, line, line["value"][1:-1]) if line else None


def _date_or_time(text: str, rng: Random) -> str | None:
    line = _one(text, rng, re.compile(r'"(?:\d{4}-\d\d-\d\d|\d\d:\d\d(?::\d\d)?)"').fullmatch)
    return _value(text, line, line["value"][1:-1]) if line else None


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


def _null_value(text: str, rng: Random) -> str | None:
    return _value(text, _one(text, rng, bool), "null")


def _missing_value(text: str, rng: Random) -> str | None:
    line = _one(text, rng, bool)
    return _ended(text[: line.start("value") - 1] + text[line.end("value") :]) if line else None


def _colon_for_equals(text: str, rng: Random) -> str | None:
    line = _one(text, rng, lambda value: not _is_words(value))
    return text[: line.end("key")] + ": " + text[line.start("value") :] if line else None


def _missing_equals(text: str, rng: Random) -> str | None:
    last = text.rstrip().rfind("\n")
    lines = [line for line in _LINE.finditer(text) if line.start() > 0 and line.end() < last]
    lines = [line for line in lines if "=" not in line["key"] + line["value"]]
    if not lines:
        return None
    line = rng.choice(lines)
    return text[: line.end("key")] + " " + text[line.start("value") :]


def _several_values(text: str, rng: Random) -> str | None:
    line = _one(text, rng, _is_text)
    return _value(text, line, line["value"] + ",") if line else None


def _missing_comma(text: str, rng: Random) -> str | None:
    line = _one(text, rng, re.compile(r'\[(?:"[^"\\]*"(?:, )?){2,}\]').fullmatch)
    if not line:
        return None
    commas = [found for found in _COMMAS.finditer(line["value"]) if found[1]]
    start, end = rng.choice(commas).span()
    return _value(text, line, line["value"][:start] + " " + line["value"][end:])


def _duplicate_key(text: str, rng: Random) -> str | None:
    line = _one(text, rng, bool)
    return text[: line.end()] + "\n" + line[0] + text[line.end() :] if line else None


def _bad_header(text: str, rng: Random) -> str | None:
    headers = list(_HEADER.finditer(text))
    if not headers:
        return None
    header = rng.choice(headers)
    return _ended(text[: header.end() - 1] + text[header.end() :])


def _comment(text: str, rng: Random) -> str | None:
    line = _one(text, rng, bool)
    said = rng.choice(["  # note", " # from the text"])
    return text[: line.end()] + said + text[line.end() :] if line else None


CORRUPTIONS: Final[dict[str, Corruption]] = {
    **AROUND,
    **{
        function.__name__.removeprefix("_"): function
        for function in (
            _no_value,
            _truncated,
            _bare_value,
            _date_or_time,
            _unclosed_quote,
            _unescaped_quote,
            _python_literal,
            _null_value,
            _missing_value,
            _colon_for_equals,
            _missing_equals,
            _several_values,
            _missing_comma,
            _duplicate_key,
            _bad_header,
            _comment,
        )
    },
}
