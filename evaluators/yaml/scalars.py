"""Which unquoted texts all YAML parsers read alike, and as what.

    plain("12")    -> 12             plain("Oslo") -> "Oslo"
    plain("12:30") -> Unclear("ambiguous_scalar", "12:30 is a number (sexagesimal) to ...")

YAML 1.1 and 1.2 resolve unquoted texts by different rules. A text that both read as JSON does is a
number, true, false or null; one that both read as text is text; any other is ambiguous and must be
quoted.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final, NamedTuple

from fmtharness.evaluators.json.reader import integer
from fmtharness.evaluators.possessive import re

NOT_RAW: Final = re.compile(
    "[^\t\n\r -~\u00a0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]|\r(?!\n)"
)
"""What must be escaped: control characters, U+FEFF, a carriage return alone, and the line breaks of
YAML 1.1 alone."""

_LITERALS: Final = {"null": None, "true": True, "false": False}
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*+)(\.[0-9]++(?:[eE][-+][0-9]++)?)?").fullmatch
_KINDS: Final = (
    (re.compile(r"~|Null|NULL").fullmatch, "null"),
    (re.compile(r"True|TRUE|False|FALSE").fullmatch, "a boolean"),
    (re.compile(r"y|Y|yes|Yes|YES|on|On|ON").fullmatch, "true"),
    (re.compile(r"n|N|no|No|NO|off|Off|OFF").fullmatch, "false"),
    (re.compile(r"<<|=").fullmatch, "a sign with a meaning of its own"),
    (
        re.compile(
            r"[-+]?(?:0b[01_]++|0o[0-7_]++|0x[0-9a-fA-F_]++"
            r"|(?=[-+]?[0-9_.])[0-9_]*+(?:\.[0-9_]*+)?(?:[eE][-+]?[0-9]++)?|[eE][-+]?[0-9]++)"
        ).fullmatch,
        "a number",
    ),
    (
        re.compile(r"[-+]?[0-9][0-9_]*+(?::[0-5]?[0-9])++(?:\.[0-9_]*+)?").fullmatch,
        "a number (sexagesimal)",
    ),
    (
        re.compile(
            r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:(?:[Tt]|[ \t]++)[0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}"
            r"(?:\.[0-9]*+)?(?:[ \t]*+(?:Z|[-+][0-9]{1,2}(?::?[0-9]{2})?))?)?"
        ).fullmatch,
        "a date",
    ),
)
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)").fullmatch
_STARTS_PLAIN: Final = re.compile(r"[\w(/$<+](?:.*+(?<![ :]))?").fullmatch
_ENDS_PLAIN: Final = re.compile(r":[ ]| #").search


class Unclear(NamedTuple):
    """Why an unquoted text must not stand as it is."""

    label: str
    message: str


def plain(text: str) -> Any:
    """What an unquoted text means to every parser, or Unclear."""
    if text in _LITERALS:
        return _LITERALS[text]
    if number := _NUMBER(text):
        value = float(text)
        if math.isfinite(value):
            return value if number[1] else integer(text)
        return Unclear("nan_or_infinity", f"{_short(text)} is beyond a float's range")
    # Most words match none of these patterns; only some characters can start a match.
    if text[:1] in "~NnTtFfYyOoEe<=.+-0123456789":
        if _NOT_FINITE(text):
            return Unclear("nan_or_infinity", f"{text} is no number that JSON has")
        for matches, kind in _KINDS:
            if matches(text):
                shown = _short(text)
                return Unclear(
                    "ambiguous_scalar",
                    f"{shown} is {kind} to some parsers: quote it if it is text, and else write "
                    "it as JSON does",
                )
    return text


def written(value: Any) -> str:
    """A scalar as every parser reads it back; text is quoted only where it must be."""
    if isinstance(value, str):
        return value if _stands_alone(value) else _quoted(value)
    if isinstance(value, float):
        text = json.dumps(value, allow_nan=False)
        # Without the point, YAML 1.1 takes an exponent for text.
        return text.replace("e", ".0e") if "e" in text and "." not in text else text
    if value is None or isinstance(value, bool | int):
        return json.dumps(value)
    raise ValueError(f"YAML does not hold {value!r:.80}")


def _stands_alone(text: str) -> bool:
    return bool(
        text.isprintable()
        and _STARTS_PLAIN(text)
        and not _ENDS_PLAIN(text)
        and type(plain(text)) is str
    )


def _quoted(text: str) -> str:
    """The text in double quotes, unprintable characters escaped; refuses a lone surrogate."""
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("YAML does not hold a lone surrogate")
    return NOT_RAW.sub(
        lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False)
    )


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:20]}...{text[-10:]}"
