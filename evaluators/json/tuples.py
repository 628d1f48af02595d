"""Arrays in other brackets, as Python writes tuples and sets.

    take_tuples(scanner at '{"a": ("x", 1)}')  -> True; read on as {"a": ["x", 1]}
    note_tuples(of that text)                  -> wrong_brackets at 6:7
    take_set(scanner at '{"a": {"x", "y"}}')   -> wrong_brackets at 6:16

All tuples of a text are rewritten at once, sign for sign, so that the rest of it is read as usual
and every offset stays. Which parentheses are meant is told by what stands beside them, since the
quotes may be wrong too.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache
from typing import Final

from fmtharness.evaluators.json.labels import Problems
from fmtharness.evaluators.json.lookahead import last_before, string_before
from fmtharness.evaluators.json.scanner import (
    AFTER,
    KEY_OR_END,
    SCALAR,
    VALUE,
    WS,
    Scanner,
)
from fmtharness.evaluators.possessive import re
from fmtharness.harness.surroundings import MOST_OF_ONE_LABEL

_CLOSES: Final = rf"\)(?={WS}(?:[,;|(/#\])}}]|\Z)|[ \t]*+[\r\n])"
_STRING_ENDS: Final = rf"""{WS}(?:[:\]}}]|,{WS}(?:["'“\[{{(0-9tfnTFN}}\])-]|\Z)|{_CLOSES}|\Z)"""
# A string goes on to a quote that something fitting follows, or to the end of its line.
_SIGNS: Final = re.compile(
    rf'"(?:[^"\\\n]|\\.|"(?!{_STRING_ENDS}))*+(")?|(\()|({_CLOSES})|\)'
).finditer
_CLOSED_AT_LAST: Final = re.compile(r"\)[,;]?+[ \t]*+\Z").search
_SET: Final = re.compile(rf"\{{{WS}{SCALAR}(?:{WS},{WS}{SCALAR})++{WS}(?:,{WS})?+\}}").match
_BEFORE_A_VALUE: Final = frozenset("[(,:;|/")


def take_tuples(scanner: Scanner) -> bool:
    """Read parentheses at places of values as brackets, if one stands at the scanner's position."""
    text, pos = scanner.text, scanner.pos
    if text[pos] != "(" or scanner.state < VALUE:
        return False
    as_arrays, _ = _rewritten(text)
    if as_arrays[pos] != "[" or scanner.state == AFTER:
        return False
    scanner.text = as_arrays
    return True


def note_tuples(text: str, start: int, end: int, problems: Problems) -> None:
    """Note the tuples in the value text[start:end], which `take_tuples` took for arrays."""
    _, opened = _rewritten(text)
    first = bisect_left(opened, start)
    for at in opened[first : first + MOST_OF_ONE_LABEL]:
        if at < end:
            problems.add("wrong_brackets", at, at + 1, "a parenthesis stands in place of [")


@lru_cache(maxsize=1)
def _rewritten(text: str) -> tuple[str, list[int]]:
    """The text with brackets for the parentheses of its tuples, and where the opening ones stand.

    '{"a": ("x", 1)}' -> ('{"a": ["x", 1]}', [6])
    """
    signs = list(text)
    tuples: list[int] = []
    opened: list[int] = []
    last = -1

    def close(at: int) -> None:
        nonlocal last
        if opened.pop() < 0:
            return
        signs[at] = "]"
        last = at
        if text[before := last_before(text, at)] == ",":  # which a tuple may have
            signs[before] = " "

    for match in _SIGNS(text):
        at, sign = match.start(), text[match.start()]
        if sign == "(":
            before = last_before(text, at)
            is_value = (
                before == last >= 0
                or text[before] in _BEFORE_A_VALUE
                or "\n" in text[before + 1 : at]
            )
            opened.append(at if is_value else -1)
            if is_value:
                signs[at] = "["
                tuples.append(at)
        elif sign == '"':
            if match[1] or not opened or opened[-1] < 0:
                continue
            string = match[0]
            if (end := _CLOSED_AT_LAST(string)) and string.count(")") > string.count("("):
                close(at + end.start())
        elif opened and (match[3] is not None or opened[-1] < 0):
            close(at)
    return "".join(signs), tuples


def take_set(scanner: Scanner, problems: Problems) -> bool:
    """Label an object that goes on like an array, in place of its first key or behind it."""
    text, pos = scanner.text, scanner.pos
    start = pos if scanner.state == KEY_OR_END else string_before(scanner, pos)[0]
    brace = last_before(text, start) if start > 0 else -1
    found = _SET(text, brace) if brace >= 0 and text[brace] == "{" else None
    if found is None:
        return False
    message = "braces stand around an array"
    problems.add("wrong_brackets", *found.span(), message)
    scanner.close()
    scanner.pos = found.end()
    return True
