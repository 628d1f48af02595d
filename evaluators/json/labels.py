"""The labels of strict JSON, each with its meaning, and the collector that bounds their number.

    LABELS["trailing_comma"] -> "a comma stands before a closing bracket"

The documentation's table is made from LABELS. Which labels apply to a text is decided elsewhere.
"""

from __future__ import annotations

from typing import Final

from fmtharness.harness.records import Problem
from fmtharness.harness.surroundings import LABELS as AROUND
from fmtharness.harness.surroundings import MOST_OF_ONE_LABEL

_SHARED: Final = ("byte_order_mark", "text_before", "text_after", "code_fence")
LABELS: Final[dict[str, str]] = {
    "empty": AROUND["empty"],
    "no_json": "there is text, but nothing in it reads as a JSON value",
    **{name: AROUND[name] for name in _SHARED},
    "multiple_roots": "more than one value stands side by side",
    "wrong_root": "the value is not of the kind that `root` asks for",
    "too_deep": "more objects and arrays are open at once than `max_depth` allows",
    "truncated": "the value ends before everything it opened is closed",
    "duplicate_key": "an object repeats a key, compared after unescaping",
    "lone_surrogate": "half of a surrogate pair stands alone, raw or as a \\u escape",
    "trailing_comma": "a comma stands before a closing bracket",
    "extra_comma": "a comma has no value or member before it",
    "missing_comma": "two values or members follow each other without a comma",
    "missing_colon": "a key is not followed by a colon",
    "missing_value": "a colon is not followed by a value",
    "mismatched_bracket": "a bracket is closed by the other kind, or not before the next key",
    "wrong_brackets": "parentheses or braces stand around an array, as around a tuple or a set",
    "unquoted_key": "a key has no quotes",
    "unquoted_value": "a bare word stands where a value should be",
    "single_quotes": "a string is in single quotes",
    "smart_quotes": "a string is in typographic quotes",
    "unescaped_quote": "a double quote inside a string is not escaped",
    "unclosed_quote": "a string lacks its closing quote",
    "escaped_text": "quotes around strings are escaped, as if the text stood inside a string",
    "bad_escape": "a backslash starts no escape that JSON knows",
    "raw_control_character": "a string holds an unescaped control character, such as a line break",
    "python_literal": "True, False or None instead of true, false or null",
    "nan_or_infinity": "NaN or Infinity, which JSON's numbers do not have",
    "leading_zero": "a number starts with a zero that another digit follows",
    "bad_number": "a number is written in a way that JSON does not have",
    "comment": "a comment; JSON has none",
    "ellipsis": "dots stand in place of content",
    "bad_whitespace": "whitespace other than space, tab, line feed and carriage return",
    "unexpected_character": "something that none of the other labels describes",
}
"""Every label that strict JSON can give, and its meaning in one line."""

MOST_STEPS: Final = 100_000
"""After this many mistakes in one text the rest of it is not read, which bounds the time."""


class Problems:
    """The problems of one text, and how much work went into finding them."""

    __slots__ = ("_counts", "_found", "_last_sign", "read_ahead", "steps")

    def __init__(self) -> None:
        self._found: list[Problem] = []
        self._counts: dict[str, int] = {}
        self._last_sign: int | None = None
        self.steps = 0
        """How many mistakes were recovered from and values were read."""
        self.read_ahead = 0
        """How many characters were read to find out which of several readings is right."""

    @property
    def exhausted(self) -> bool:
        """Whether there are so many mistakes that the rest of the text is not read."""
        return self.steps >= MOST_STEPS

    def add(self, label: str, start: int, end: int, message: str | None = None) -> None:
        """Note a problem; without a message, the label's meaning is the message."""
        count = self._counts.get(label, 0)
        if count < MOST_OF_ONE_LABEL:
            self._counts[label] = count + 1
            self._found.append(Problem(label, message or LABELS[label], start, end))

    def join(self, label: str, start: int, end: int) -> None:
        """One problem in place of all of this label."""
        self._found = [problem for problem in self._found if problem.label != label]
        self._counts[label] = 0
        self.add(label, start, end)

    def full(self, label: str) -> bool:
        """Whether more problems of this label would be dropped."""
        return self._counts.get(label, 0) >= MOST_OF_ONE_LABEL

    def last_sign(self, text: str) -> int:
        """Where the last bracket or quote of the text stands, or -1; looked up once."""
        if self._last_sign is None:
            self._last_sign = max(map(text.rfind, "{}[]\"'"))
        return self._last_sign

    def __len__(self) -> int:
        return len(self._found)

    def __contains__(self, label: str) -> bool:
        return label in self._counts

    def in_order(self) -> tuple[Problem, ...]:
        """All of them, by where they stand."""
        if len(self._found) > 1:
            self._found.sort(key=lambda problem: (problem.start, problem.end))
        return tuple(self._found)
