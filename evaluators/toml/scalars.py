"""What a key may be in TOML, and what is wrong with a value that stands without quotes.

wrong("1_000") -> ""             wrong("Oslo") -> "bare_value"
wrong("True")  -> "python_literal"
"""

from __future__ import annotations

import math
from typing import Final

from fmtharness.evaluators.possessive import re

PART: Final = r"""(?:[A-Za-z0-9_-]++|"(?:[^"\\\n]++|\\[^\n])*+"|'[^'\n]*+')"""
KEY: Final = rf"{PART}(?:[ \t]*+\.[ \t]*+{PART})*+"
_INTEGER: Final = re.compile(
    r"(?P<decimal>[-+]?(?:0|[1-9](?:_?[0-9])*+))"
    r"|0x[0-9a-fA-F](?:_?[0-9a-fA-F])*+|0o[0-7](?:_?[0-7])*+|0b[01](?:_?[01])*+"
).fullmatch
_FLOAT: Final = re.compile(
    r"[-+]?(?:0|[1-9](?:_?[0-9])*+)(?:\.[0-9](?:_?[0-9])*+)?(?:[eE][-+]?[0-9](?:_?[0-9])*+)?"
).fullmatch
_NOT_FINITE: Final = re.compile(r"[-+]?(?:inf|nan|[iI]nfinity|NaN|Inf)").fullmatch
_TIME: Final = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]++)?)?"
_DATE: Final = re.compile(
    rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}(?:[Tt ]{_TIME}(?:[Zz]|[-+][0-9]{{2}}:[0-9]{{2}})?)?|{_TIME}"
).fullmatch
_LIKE_A_NUMBER: Final = re.compile(
    r"[-+]?\.?[0-9](?:[0-9_.,]|[eExob][-+]?[0-9a-fA-F]?)*+"
).fullmatch
_CUT: Final = re.compile(
    r"[-+]?(?:0[xob]?[0-9a-fA-F_]*+|[0-9_]*+(?:\.[0-9_]*+)?(?:[eE][-+]?[0-9_]*+)?)"
).fullmatch
_FIRST_OF_SEVERAL: Final = re.compile(rf"[^\s,]++(?:[ \t]*+,|[ \t]++{KEY}[ \t]*+=)").match
_DIGITS: Final = 80
"""An integer with more digits is out of range, which needs no conversion to find out."""


def wrong(word: str, inside: bool = False) -> str:
    """The label of a value without quotes; "" if it is a valid number or boolean."""
    if word in ("true", "false"):
        return ""
    if found := _INTEGER(word):
        if (
            len(word) <= _DIGITS
            and -(1 << 63) <= int(word, 10 if found["decimal"] else 0) < 1 << 63
        ):
            return ""
        return "integer_out_of_range"
    if _FLOAT(word):
        return "" if math.isfinite(float(word)) else "nan_or_infinity"
    if _DATE(word):
        return "date_or_time"
    if _NOT_FINITE(word):
        return "nan_or_infinity"
    if word in ("True", "False", "None"):
        return "python_literal"
    if word in ("null", "nil", "NULL", "Null", "undefined"):
        return "null_value"
    if _LIKE_A_NUMBER(word) and not word.endswith(","):
        return "bad_number"
    if not inside and _FIRST_OF_SEVERAL(word):
        return "several_values"
    if inside and all(_INTEGER(part) or _FLOAT(part) for part in word.split()):
        return "missing_comma"
    return "bare_value"


def cut_off(word: str) -> bool:
    """Whether a word that the text's end cuts off may have been the start of a valid one.

    cut_off("tru") -> True   cut_off("2.") -> True   cut_off("Oslo") -> False
    """
    return bool(_CUT(word)) or any(whole.startswith(word) for whole in ("true", "false"))
