"""Tells what is wrong in a YAML text only because of a mistake before it.

read('{"a" "b"}') -> problem missing_colon at 1:5, and no missing_value at 1:4
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fmtharness.evaluators.possessive import re
from fmtharness.evaluators.yaml.labels import LABELS
from fmtharness.harness.records import Problem

_BY_BRACKET: Final = frozenset({"unquoted_colon", "complex_key", "missing_value"})
"""What a wrong bracket makes of the keys behind the one it should match."""
_UNFINISHED: Final = frozenset({"missing_value", "ambiguous_scalar", "nan_or_infinity"})
_MISPLACED: Final = frozenset({"bad_indentation", "misplaced_item", "complex_key"})
_BELOW: Final = re.compile(r"\n(?=[^\n]*\S)")
_NEAR: Final = 200
"""How many characters may stand between a key without a value and the mistake that took it."""


def follows(text: str, mended: Problem, error: Problem) -> bool:
    """Whether a line does not fit only because of what was put in place of an earlier mistake."""
    if error.label not in _MISPLACED:
        return False
    return len(_BELOW.findall(text, mended.end, max(mended.end, error.start))) < 2


def cut_by_comment(text: str, block: int, noted: Sequence[Problem], error: Problem) -> bool:
    """Whether a line fits nothing above it because a comment ended the block text it belongs to."""
    if error.label != "bad_indentation" or not noted or noted[-1].label != "comment":
        return False
    start, end = noted[-1].start, noted[-1].end
    return bool(block) and not (text[block:start] + text[end : error.start]).strip()


def without_colon(text: str, noted: Sequence[Problem], error: Problem) -> Problem:
    """The error; or a missing colon, if a key without a value stands right before it."""
    if not noted or noted[-1].label != "missing_value" or error.start < noted[-1].end:
        return error
    key = noted[-1]
    between = text[key.end : error.start]
    beside = error.label == "missing_comma" or (error.label == "unescaped_quote" and between)
    # `"a" b: 1` has its colon.
    if between.strip() or not beside or ":" in text[error.start : error.end]:
        return error
    return Problem("missing_colon", LABELS["missing_colon"], key.start, key.end)


def kept_before(
    text: str, noted: Sequence[Problem], error: Problem, opened: Sequence[int]
) -> list[Problem]:
    """The problems but those that an error brought, given where the open brackets stand."""
    kept = list(noted)
    if error.label == "truncated":  # what is cut off is neither missing nor unclear
        end = len(text.rstrip())
        kept = [p for p in kept if p.end < end or p.label not in _UNFINISHED]
    if opened and error.label in ("mismatched_bracket", "truncated"):
        kept = [p for p in kept if p.start < opened[-1] or p.label not in _BY_BRACKET]
    return kept


def brought(text: str, noted: Problem, errors: Sequence[Problem]) -> bool:
    """Whether a key has no value, or the root no keys, because an error stands there."""
    if noted.label == "wrong_root":
        return any(e.label == "missing_colon" and e.start <= noted.start for e in errors)
    return noted.label == "missing_value" and any(_takes(text, noted, e) for e in errors)


def _takes(text: str, noted: Problem, error: Problem) -> bool:
    if noted.start > error.end or error.start > noted.end + _NEAR:
        return False
    return not text[noted.end : error.start].strip(" \t\r\n]}")
