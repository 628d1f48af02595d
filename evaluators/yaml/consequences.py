"""Tells what is wrong in a YAML text only because of a mistake before it.

"{a 'b': 1}" has missing_comma at 3:3, and no missing_value at 1:2
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from fmtharness.harness.records import Problem

BY_BRACKET: Final = frozenset({"unquoted_colon", "complex_key", "missing_value"})
"""What a wrong bracket makes of the keys behind the one it should match."""
_MISPLACED: Final = frozenset({"bad_indentation", "misplaced_item", "complex_key"})
_BELOW: Final = re.compile(r"\n(?=[^\n]*\S)")
_NEAR: Final = 200
"""How many characters may stand between a key without a value and the mistake that took it."""


def follows(text: str, mended: Problem, error: Problem) -> bool:
    """Whether a line does not fit only because of what was put in place of an earlier mistake."""
    if error.label not in _MISPLACED:
        return False
    return len(_BELOW.findall(text, mended.end, max(mended.end, error.start))) < 2


def brought(text: str, noted: Problem, errors: Sequence[Problem]) -> bool:
    """Whether a key has no value, or the root no keys, because an error stands there."""
    if noted.label == "wrong_root":
        return any(e.label == "missing_colon" and e.start <= noted.start for e in errors)
    return noted.label == "missing_value" and any(_takes(text, noted, e) for e in errors)


def _takes(text: str, noted: Problem, error: Problem) -> bool:
    if noted.start > error.end or error.start > noted.end + _NEAR:
        return False
    return not text[noted.end : error.start].strip(" \t\r\n]}")
