"""Arrays in other brackets, as Python writes tuples and sets.

    take_tuples(scanner at '{"a": ("x", 1)}')  -> wrong_brackets at 6:7; read on as {"a": ["x", 1]}
    take_set(scanner at '{"a": {"x", "y"}}')   -> wrong_brackets at 6:16

All tuples of a text are rewritten at once, sign for sign, so that the rest of it is read as usual
and every offset stays.
"""

from __future__ import annotations

import re
from typing import Final

from fmtharness.evaluators.json.labels import Problems
from fmtharness.evaluators.json.lookahead import last_before, string_before
from fmtharness.evaluators.json.scanner import AFTER, CHARS, KEY_OR_END, SCALAR, VALUE, WS, Scanner

_STRING_OR_SIGN: Final = re.compile(rf'"{CHARS}"?|[()]').finditer
_SET: Final = re.compile(rf"\{{{WS}{SCALAR}(?:{WS},{WS}{SCALAR})++{WS}(?:,{WS})?+\}}").match
_BEFORE_A_VALUE: Final = frozenset("[(,:")


def take_tuples(scanner: Scanner, problems: Problems) -> bool:
    """Read parentheses at places of values as brackets, from the scanner's position on."""
    text, pos = scanner.text, scanner.pos
    if text[pos] != "(" or scanner.state < VALUE or scanner.state == AFTER:
        return False
    signs = list(text)
    opened: list[int] = []
    for match in _STRING_OR_SIGN(text, pos):
        at = match.start()
        if text[at] == "(":
            is_value = at == pos or text[last_before(text, at)] in _BEFORE_A_VALUE
            opened.append(at if is_value else -1)
            if is_value:
                signs[at] = "["
                problems.add("wrong_brackets", at, at + 1, "a parenthesis stands in place of [")
        elif text[at] == ")" and opened and opened.pop() >= 0:
            signs[at] = "]"
            before = last_before(text, at)
            if text[before] == ",":  # which a tuple may have
                signs[before] = " "
    scanner.text = "".join(signs)
    return True


def take_set(scanner: Scanner, problems: Problems) -> bool:
    """In place of its first key or behind it an object goes on as the elements of an array do."""
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
