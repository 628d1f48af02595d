"""Finds the complete JSON objects that stand side by side in a text.

    find_objects('so { it goes {"a":"}"}')  ->  [(13, 22)]

From a brace the count follows the longest prefix that a valid object could have (RFC 8259's
grammar; repeated keys, lone surrogates and depth do not matter here) and goes on behind it: behind
the object if it is complete, else at the first character that no valid object could have there. So
a complete object inside a broken or truncated one is not counted as its neighbour.
"""

from __future__ import annotations

from typing import Final

from fmtharness.evaluators.json.reader import SAFE_DEPTH, UNREAD, read, whole
from fmtharness.evaluators.json.scanner import CHARS, DONE, END, FLAT_OBJECT, WS, Scanner
from fmtharness.evaluators.possessive import re

# The text up to a brace worth following; braces that break off at once are skipped.
_NEXT_BRACE: Final = re.compile(
    rf'(?:[^{{]++|\{{(?!{WS}(?:["}}]|\Z))|\{{{WS}"{CHARS}"{WS}(?![:]|\Z))*+'
).match
_FLAT: Final = re.compile(FLAT_OBJECT).match


def find_objects(text: str) -> list[tuple[int, int]]:
    """Where each complete object stands, side by side, as (start, end)."""
    if text[:1] == "{" and text[-1:] == "}" and whole(text, SAFE_DEPTH, False, False) is not UNREAD:
        return [(0, len(text))]
    found: list[tuple[int, int]] = []
    pos = 0
    while True:
        skipped = _NEXT_BRACE(text, pos)
        start = skipped.end() if skipped else pos
        if start == len(text):
            return found
        end = _quick_end(text, start, first=pos == 0)
        if end is None:
            scanner = Scanner(text, start)
            outcome = scanner.run()
            if outcome == END:
                return found
            pos = scanner.pos
            end = pos if outcome == DONE else None
        if end is not None:
            found.append((start, end))
            pos = end


def _quick_end(text: str, start: int, *, first: bool) -> int | None:
    """Where the object at `start` ends, if a cheap check tells."""
    if first:
        # Most texts are one object; repeating this check could read the whole text again.
        value = read(text, start, unique_keys=False)
        return value[1] if isinstance(value, tuple) else None
    flat = _FLAT(text, start)
    return flat.end() if flat else None
