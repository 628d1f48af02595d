"""The ladder of lenient checks: what a checker must let pass for a text that is not strict.

    Ladder(strict, "object").first_rung('Sure: {"a": 1}')  ->  "first_object", (6, 14)
    Ladder(strict, "object").taken("{'a': 1}")             ->  '{"a": 1}'

The rungs are trimmed, fence_stripped, first_object and repaired. Each cuts out or makes another
text, which the same strict check judges.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from fmtharness.evaluators.json import peers
from fmtharness.evaluators.json.scanner import DONE, END, Scanner
from fmtharness.evaluators.json.side_by_side import find_objects
from fmtharness.evaluators.possessive import re

REPAIR_LIMIT: Final = 10_000
DEEPEST_REPAIR: Final = 100
"""A text whose brackets nest deeper is not handed to json-repair."""

_OPEN_FENCE: Final = re.compile(r"(`{3,}+|~{3,}+)[ \t]*+(?:[\w+.#-]++(?=[ \t]*+[\r\n{\[]))?+").match
_BRACKETS: Final = re.compile(r"[{\[(}\])]")

Span = tuple[int, int]


class Ladder(NamedTuple):
    """The rungs above a strict check."""

    passes: Callable[[str], bool]
    """The strict check."""
    root: str
    """The wanted kind of value: `object`, `array` or `any`."""
    limit: int = REPAIR_LIMIT
    """The longest text, in characters, that json-repair is tried on."""

    def first_rung(self, text: str) -> tuple[str, Span]:
        """The first rung that a text that is not strict passes, and which part of it passes."""
        whole = 0, len(text)
        trimmed = _trim(text, whole)
        if trimmed != whole and self._takes(text, trimmed):
            return "trimmed", trimmed
        bare = _strip_fence(text, trimmed)
        if bare != trimmed and self._takes(text, bare):
            return "fence_stripped", bare
        found = self._first_root(text)
        if found and found not in (whole, trimmed, bare) and self._takes(text, found):
            return "first_object", found
        if not self.too_large(text) and self._repairs(text):
            return "repaired", whole
        return "", whole

    def taken(self, text: str) -> str | None:
        """What the first rung that lets the text pass takes of it or makes of it, which parses."""
        if self.passes(text):
            return text
        rung, (start, end) = self.first_rung(text)
        if rung == "repaired":
            return peers.on_ample_stack(_repair, text)
        return text[start:end] if rung else None

    def _takes(self, text: str, span: Span) -> bool:
        return self.passes(text[span[0] : span[1]])

    def _first_root(self, text: str) -> Span | None:
        """The span of the first complete object or array of the wanted kind."""
        if self.root == "object":
            return next(iter(find_objects(text)), None)
        bracket = re.compile(r"\[" if self.root == "array" else r"[\[{]")
        pos = 0
        while match := bracket.search(text, pos):
            scanner = Scanner(text, match.start())
            outcome = scanner.run()
            if outcome == DONE:
                return match.start(), scanner.pos
            if outcome == END:
                return None
            pos = max(scanner.pos, match.end())
        return None

    def too_large(self, text: str) -> bool:
        """Whether json-repair is not tried on the text."""
        if len(text) > self.limit:
            return True
        opening = text.count("{") + text.count("[") + text.count("(")
        # json-repair may look from each bracket to the end, and recurses into it.
        return len(text) * opening > 100 * self.limit or (
            opening > DEEPEST_REPAIR and _nesting(text) > DEEPEST_REPAIR
        )

    def _repairs(self, text: str) -> bool:
        try:
            repaired = peers.on_ample_stack(_repair, text)
        except RecursionError:
            return False
        return repaired not in ("", "{}", "[]", '""') and self.passes(repaired)


def _trim(text: str, span: Span) -> Span:
    """Without the whitespace that str.strip knows, and without one byte order mark."""
    piece = text[span[0] : span[1]]
    bare = piece.strip().removeprefix("\ufeff").lstrip()
    start = span[0] + piece.find(bare)
    return start, start + len(bare)


def _strip_fence(text: str, span: Span) -> Span:
    """Without the one Markdown fence around it and the language that the fence may name."""
    piece = text[span[0] : span[1]]
    fence = _OPEN_FENCE(piece)
    if not fence:
        return span
    end = len(piece.rstrip(fence[1][0]))
    if len(piece) - end < len(fence[1]) or end < fence.end():
        return span
    return _trim(text, (span[0] + fence.end(), span[0] + end))


def _nesting(text: str) -> int:
    """How deep the brackets nest, whether or not they are in a string."""
    depth = deepest = 0
    for bracket in _BRACKETS.findall(text):
        depth = depth + 1 if bracket in "{[(" else max(depth - 1, 0)
        deepest = max(deepest, depth)
    return deepest


def _repair(text: str) -> str:
    """What json-repair makes of the text; "" if it fails.

    Raises RecursionError if it needs more stack.
    """
    from json_repair import repair_json

    try:
        return repair_json(text)
    except RecursionError:
        raise
    except Exception as error:  # Assertions inside it also fail on some texts.
        if isinstance(error.__cause__, RecursionError):
            raise error.__cause__ from None
        return ""
