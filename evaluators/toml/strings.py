"""A text in TOML's quotes: where it ends, and its escapes.

closed('"x\\\\"y" # z', 0, '"') -> 6          over_lines('"x\\ny"', 0, '"') -> 5
bad_escapes('"\\\\q"', 0, 4, '"') -> [(1, 3)]
"""

from __future__ import annotations

from typing import Final

from fmtharness.evaluators.possessive import re
from fmtharness.evaluators.toml.scalars import KEY

QUOTES: Final = ('"""', "'''", '"', "'")
_CLOSED: Final = {
    '"""': re.compile(r'"""(?:[^"\\]++|\\.|"{1,2}(?!"))*+"{3,5}', re.DOTALL),
    "'''": re.compile(r"'''(?:[^']++|'{1,2}(?!'))*+'{3,5}"),
    '"': re.compile(r'"(?:[^"\\\n]++|\\[^\n])*+"'),
    "'": re.compile(r"'[^'\n]*+'"),
}
_NO_STATEMENT: Final = rf"(?![ \t]*+(?:{KEY}[ \t]*+=|\[))"
_BEHIND: Final = r"(?=[ \t\r]*+(?:[\n,\]}]|\Z)|[ \t]++#)"
_OVER_LINES: Final = {
    '"': re.compile(rf'"(?:[^"\\\n]++|\\[^\n]|\\?\n{_NO_STATEMENT})*+"{_BEHIND}'),
    "'": re.compile(rf"'(?:[^'\n]++|\n{_NO_STATEMENT})*+'{_BEHIND}"),
}
_ESCAPE: Final = re.compile(
    r"\\(?:(?P<good>[btnfr\"\\]|u(?![dD][89a-fA-F])[0-9a-fA-F]{4}"
    r"|U000(?:0(?![dD][89a-fA-F])|[1-9a-fA-F])[0-9a-fA-F]{4}|U0010[0-9a-fA-F]{4})"
    r"|(?P<fold>[ \t]*+\r?\n)|[uU][0-9a-fA-F]*+|.)",
    re.DOTALL,
)


def closed(text: str, start: int, quote: str) -> int:
    """The position behind the quote that closes the one at `start`, or 0 if none does."""
    found = _CLOSED[quote].match(text, start)
    return found.end() if found else 0


def over_lines(text: str, start: int, quote: str) -> int:
    """The same for a text that spans lines although TOML wants it on one; else 0.

    None of these lines is a statement, and only valid TOML follows the closing quote.
    """
    found = _OVER_LINES[quote].match(text, start)
    return found.end() if found else 0


def bad_escapes(text: str, start: int, end: int, quote: str) -> list[tuple[int, int]]:
    """The spans of invalid escapes."""
    if quote[0] == "'":
        return []
    return [
        escape.span()
        for escape in _ESCAPE.finditer(text, start, end)
        if not (escape["good"] or (escape["fold"] and len(quote) == 3))
    ]


def odd_quotes(word: str) -> bool:
    """Whether one of its quotes has no other: odd_quotes("x'") -> True."""
    return word.count('"') % 2 == 1 or word.count("'") % 2 == 1
