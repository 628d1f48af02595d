r"""Text for and from people: characters made visible, near misses of words, sizes in bytes.

visible("a\tb")                              -> "a␉b"
one_line("a\n  b\x1b[2J")                    -> "a b␛[2J"
printable("a\n::error::b")                   -> "a\n<U+003A>:error::b"
markdown("<b>|`")                            -> "&lt;b>\|\`"
did_you_mean("json_strct", ["json_strict"])  -> ", did you mean 'json_strict'?"
bytes_of("4GiB")                             -> 4294967296

Whatever is printed goes through `printable`, so nothing in it can steer a terminal or a CI service;
a text from elsewhere that belongs on one line goes through `one_line` or `markdown` first.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from typing import Any, Final

# Variation selectors and skin tones, which change the width of the character before them.
_SHAPER: Final = re.compile("[\ufe00-\ufe0f\U0001f3fb-\U0001f3ff\U000e0100-\U000e01ef]")


_COLOR: Final = re.compile(r"(\x1b\[(?:1;31|1;34|32|33|0)m)")
"""The colors of fmtharness.harness.report.diagnostics."""

# CI services read these as commands: `::error::` at a line's start, `##vso[` and `##[` anywhere.
_COMMAND: Final = re.compile(r"^(?P<indent> *):(?=:)|#(?=#\w*\[)", re.MULTILINE)

# What begins markup, a link or an entity; the cells of our own tables hold none of these.
_MARKUP: Final = re.compile(r"[\\`*|~]|(?<=\])[(\[]|(?<!\w)_|_(?!\w)|(?<=:)//|(?<=www)\.")
_HTML: Final = re.compile(r"<|&(?=#?\w+;)")

LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
"""Half of a surrogate pair, which UTF-8 cannot hold."""
MOST_OF_A_LINE: Final = 4_000
MOST_OF_A_FIELD: Final = 200
MOST_OF_A_TEXT: Final = 20_000


def printable(text: str, encoding: str = "utf-8", *, colors: bool = False) -> str:
    r"""A text of several lines, in which nothing but its "\n" steers what shows it.

    Every other character is made visible, a line that a CI service would obey is broken, and a very
    long line is cut. With `colors` those of a diagnosis stay.
    """
    if colors:
        parts = _COLOR.split(text)
        shown = [part if at % 2 else _made_visible(part, encoding) for at, part in enumerate(parts)]
        return "".join(shown)
    return _made_visible(text, encoding)


def _made_visible(text: str, encoding: str) -> str:
    lines = (visible(cut(line, MOST_OF_A_LINE), encoding) for line in text.split("\n"))
    return _COMMAND.sub(_written_out, "\n".join(lines))


def _written_out(found: re.Match[str]) -> str:
    indent = found["indent"] or ""
    return f"{indent}<U+{ord(found[0][-1]):04X}>"


def cut(text: str, most: int) -> str:
    """The text, with its length instead of its end if it is longer than that."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text):,} characters)"


def one_line(text: str, most: int = MOST_OF_A_FIELD) -> str:
    """A text from elsewhere, such as an id, a label or a reason, on one line."""
    return printable(cut(" ".join(text.split()), most))


def markdown(text: str, most: int = MOST_OF_A_FIELD) -> str:
    """The same for Markdown: no HTML, no link, no markup, and no end of a table's cell."""
    return _HTML.sub(_as_entity, _MARKUP.sub(r"\\\g<0>", one_line(text, most)))


def _as_entity(found: re.Match[str]) -> str:
    return "&lt;" if found[0] == "<" else "&amp;"


def json_line(document: Any) -> str:
    """One JSON document in ASCII without control characters or commands to a CI service."""
    return json.dumps(document).replace("\x7f", "\\u007f").replace("##", "#\\u0023")


class Shown:
    """A stream for what plugins and libraries print: all of it is printable."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        # A progress bar of a library's own returns to the line's start.
        parts = re.split(r"(\r(?!\n))", text.replace("\r\n", "\n"))
        self.stream.write("".join(each if each == "\r" else printable(each) for each in parts))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def visible(text: str, encoding: str = "utf-8") -> str:
    """The text with every character shown, each in a width that is the same everywhere."""
    if text.isprintable() and not _SHAPER.search(text) and _holds(encoding, text):
        return text
    return "".join(_visible(char, encoding) for char in text)


def _visible(char: str, encoding: str) -> str:
    if char.isprintable() and not _SHAPER.match(char) and _holds(encoding, char):
        return char
    picture = chr(0x2400 + ord(char)) if char < " " else "\u2421" if char == "\x7f" else ""
    return picture if picture and _holds(encoding, picture) else f"<U+{ord(char):04X}>"


def _holds(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """', did you mean ...?' for the nearest known word, or an empty text."""
    near = nearest(word, known)
    return "" if near is None else f", did you mean {near!r}?"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is spelled nearly like this one, if there is one."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1)), None)


def first_line(error: BaseException) -> str:
    """The first line of what an error says; the name of its type if it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def bytes_of(size: str) -> int:
    """A size as bytes; 0 if it is not a size."""
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([KMG]i?)?B?\s*", size, re.ASCII)
    if not found:
        return 0
    number, unit = found.groups()
    base = 1024 if unit and unit.endswith("i") else 1000
    return int(float(number) * base ** (" KMG".index(unit[0]) if unit else 0))
