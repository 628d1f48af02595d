"""Reads one field of CSV, as it stands or, where its quotes are wrong, as it is meant.

    field_at('a,"b"', 2, ",", Place(1, None), note)    -> Cell(2, 5, "b", True), and no problem
    field_at('"a "b" c",1', 0, ",", Place(0, 2), note) -> Cell(0, 9, ...), unescaped_quote twice

A quote that is missing or not doubled would shift all fields behind it; what the field is meant to
be shows in the separators of its line and, for a missing quote, in the widths of two lines.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from fmtharness.evaluators.possessive import re

CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
LINE_ENDS: Final = re.compile(r"[\r\n]+")
SPENT: Final = frozenset({"unclosed_quote", "text_after_quote"})
"""The labels of a field after which no more fields of its row are guessed at."""
_LINE: Final = re.compile(r"[^\r\n]*")
_LINE_END: Final = re.compile(r"\r?\n|\r")
Note = Callable[[str, int, int], None]


class Cell(NamedTuple):
    """One field with its span, quotes included, and its text."""

    start: int
    end: int
    value: str
    quoted: bool


class Place(NamedTuple):
    """How many fields stand before it in its row, and how many the header has (None for itself)."""

    before: int
    width: int | None


class Patterns(NamedTuple):
    """How a field is read, and how it may be meant; each ends with the group `separator`."""

    clean: Callable[..., Any]
    """A field without a fault: its text between quotes or without, and what follows."""
    field: Callable[..., Any]
    backslashed: Callable[..., Any]
    """A quoted field with quotes behind backslashes."""
    undoubled: Callable[..., Any]
    """A quoted field with single quotes inside, none of them beside a separator."""
    separator: Callable[..., Any]
    pieces: Callable[..., Any]
    """Each field of a line behind a delimiter."""


@functools.cache
def patterns_of(delimiter: str) -> Patterns:
    sign = re.escape(delimiter)
    blank = "[ ]" if delimiter == "\t" else r"[ \t]"
    ending = rf"(?P<separator>{sign}|\r?\n|\r|\Z)"
    last = rf"(?!{sign}|[\r\n]|\Z)"
    opened = rf'(?P<pad>{blank}*+)"(?P<quoted>'
    clean = (
        r'(?:"([^"]*+(?:""[^"]*+)*+)"'
        rf'|((?! )[^"\x00-\x1f\x7f{sign}]*+(?<! )))({sign}|\r?\n|\r|\Z)'
    )
    strict = (
        rf'(?:{opened}(?:[^"]|"")*+)(?P<close>"?)(?P<rest>[^{sign}\r\n]*)'
        rf"|(?P<plain>[^{sign}\r\n]*)){ending}"
    )
    inner = rf'(?<!{sign})(?:""{last}|"{last})'
    return Patterns(
        re.compile(clean).match,
        re.compile(strict).match,
        re.compile(rf'{opened}(?:[^"\\\r\n]|\\.|"")*+)"{ending}').match,
        re.compile(rf'{opened}(?:[^"\r\n]|{inner})*+)"{ending}').match,
        re.compile(ending).match,
        re.compile(rf'{sign}(?:"(?:[^"\r\n]|"")*+"|[^{sign}\r\n]*)').finditer,
    )


def field_at(
    text: str, at: int, delimiter: str, place: Place | None, note: Note
) -> tuple[Cell, Any]:
    """The field that begins there, and a match whose group `separator` is what follows it.

    Without a place the field is not guessed at. A guess may read the whole line, so a row is
    allowed one that ends in a label of `SPENT`.
    """
    patterns = patterns_of(delimiter)
    found = patterns.field(text, at)
    assert found is not None  # an empty field is a field
    if found["quoted"] is None:
        return _plain(found, note), found
    if found["pad"]:
        note("padded_field", *found.span("pad"))
    if found["close"] and not found["rest"].strip(" \t"):
        if found["rest"]:
            note("padded_field", *found.span("rest"))
        return _quoted(found), found
    if found["quoted"].endswith("\\") and (meant := patterns.backslashed(text, at)):
        for sign in re.finditer(r'\\"', meant["quoted"]):
            start = meant.start("quoted") + sign.start()
            note("backslash_escape", start, start + 2)
        return _quoted(meant), meant
    # Who doubles some quotes means the others.
    single = place and found["rest"] and '""' not in found["quoted"]
    if single and (meant := patterns.undoubled(text, at)):
        for sign in re.finditer('""|"', meant["quoted"]):
            start = meant.start("quoted") + sign.start()
            if len(sign[0]) == 1:
                note("unescaped_quote", start, start + 1)
        return _quoted(meant), meant
    end = _unclosed(text, found, delimiter, place) if place else None
    if end is not None:
        note("unclosed_quote", found.end("pad"), end)
        value = text[found.start("quoted") : end]
        return Cell(at, end, value, True), patterns.separator(text, end)
    if found["rest"]:
        note("text_after_quote", *found.span("rest"))
    else:
        note("truncated", found.end(), found.end())
    return _quoted(found), found


def _quoted(found: re.Match[str]) -> Cell:
    value = found["quoted"].replace('""', '"')
    return Cell(found.start(), found.start("separator"), value, True)


def _plain(found: re.Match[str], note: Note) -> Cell:
    start, end, value = found.start(), found.start("separator"), found["plain"]
    left = len(value) - len(value.lstrip(" \t"))
    right = len(value.rstrip(" \t"))
    if left:
        note("padded_field", start, start + left)
    if left < right < len(value):
        note("padded_field", start + right, end)
    for sign in re.finditer('"', value):
        note("bare_quote", start + sign.start(), start + sign.end())
    for sign in CONTROL.finditer(value, left, right):
        note("raw_control_character", start + sign.start(), start + sign.end())
    return Cell(start, end, value, False)


def _unclosed(text: str, found: re.Match[str], delimiter: str, place: Place) -> int | None:
    """Where a field ends whose closing quote is missing, if its line and the next one tell.

    Behind it stand as many fields as the row lacks, and the next line is as wide as the header. An
    open quote on the last line may be closed behind the text's end.
    """
    pieces = patterns_of(delimiter).pieces
    start, closed = found.span("quoted")
    line = _LINE.match(text, start)
    assert line is not None  # it may be empty
    behind = [piece.start() for piece in pieces(text, start, line.end())]
    after = _LINE_END.match(text, line.end())
    beside = text[start:closed].rstrip('"')[-1:] == delimiter
    if found["rest"] and closed <= line.end() and not beside:
        return None
    width = place.width
    if after:
        following = _LINE.match(text, after.end())
        assert following is not None
        if following[0]:
            found_width = sum(1 for _ in pieces(delimiter + following[0]))
            width = width or found_width
            if found_width != width:
                return None
    elif not found["rest"]:
        return None
    lacks = (width or 1) - place.before - 1
    if width is None or width < 2 or not 0 <= lacks <= len(behind):
        return None
    meant = [*behind, line.end()][len(behind) - lacks]
    blank = any(text[at + 1 : at + 2] in (" ", "\t") for at in behind[len(behind) - lacks :])
    return None if blank else meant
