"""What a scanner of TOML notes: the problems of a text, without those that follow from others.

    notes = Notes('a = {b = [1}\\n')
    notes.note("mismatched_bracket", 11, 12)
    notes.note("truncated", 12, 12)          -> nothing, since the bracket is what is wrong

After some faults it is unclear where the next item begins, so that what follows in the statement
reads as broken for no fault of its own.
"""

from __future__ import annotations

from typing import Final

from fmtharness.evaluators.possessive import re
from fmtharness.evaluators.toml.labels import LABELS
from fmtharness.harness.records import Problem

_TO_QUOTE: Final = re.compile(r"\\(?:\w{1,20}|[^\"\s]{1,4})\"")
broken_up: Final = re.compile(r"[\"'\[\]{}=,]").search
NEWLINE: Final = "newline_in_inline_table"
_PLACE_LOST: Final = frozenset(
    {NEWLINE}
    | {"missing_comma", "missing_equals", "mismatched_bracket", "several_values", "extra_comma"}
    | {"unescaped_quote", "unclosed_quote", "unclosed_bracket", "missing_value"}
)
"""Labels of faults after which it is unclear where the next item of the line begins."""
_OF_BRACKETS: Final = frozenset({"truncated", "unclosed_bracket", "mismatched_bracket", NEWLINE})
_FOLLOWS: Final = _PLACE_LOST | _OF_BRACKETS | {"bare_value", "unquoted_key", "bad_number"}
"""Labels that what follows on the line may get for no fault of its own."""


class Notes:
    """The problems found so far, and whether the statement is lost since one of them."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.problems: list[Problem] = []
        self.lost = ""
        """The label of what made the statement unreadable from there on."""
        self.lost_line = -1
        """The end of the line on which that stands."""

    def _note(self, label: str, start: int, end: int, message: str | None = None) -> None:
        if label == "truncated" and self.problems and self.problems[-1].label == label:
            return
        if self._follows(label, start):
            return
        self.problems.append(Problem(label, message or LABELS[label], start, end))
        word = label in ("bare_value", "unquoted_key") and broken_up(self.text, start, end)
        if self.lost in ("", NEWLINE) and (label in _PLACE_LOST or word):
            self._lose(label, start)

    def _lose(self, label: str, at: int) -> None:
        end = self.text.find("\n", at)
        self.lost, self.lost_line = label, len(self.text) if end < 0 else end

    def _follows(self, label: str, start: int) -> bool:
        """Whether a problem is a consequence of one before it in the statement."""
        if not self.lost or label == self.lost or label not in _FOLLOWS:
            return False
        if self.lost == "missing_comma" and label == "unquoted_key":
            return False
        if self.lost == NEWLINE and label != "unquoted_key":
            return label in _OF_BRACKETS
        if self.lost == NEWLINE:
            return self.text[start] == "{"
        return label in _OF_BRACKETS or start <= self.lost_line

    def _forget_escape(self, start: int) -> None:
        """Drop the bad escape that ends a text too early: its backslash belongs to the quote."""
        last = self.problems[-1] if self.problems else None
        if not last or last.label != "bad_escape" or last.start < start:
            return
        if _TO_QUOTE.match(self.text, last.start):
            self.problems.pop()
