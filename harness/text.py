"""Text for people: characters made visible, and the near miss of a misspelled word.

visible("a\tb")                              -> "a␉b"
did_you_mean("json_strct", ["json_strict"])  -> ", did you mean 'json_strict'?"
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Final

# Variation selectors and skin tones, which change the width of the character before them.
_SHAPER: Final = re.compile("[\ufe00-\ufe0f\U0001f3fb-\U0001f3ff\U000e0100-\U000e01ef]")


def visible(text: str, encoding: str = "utf-8") -> str:
    """The text with every character shown, each in a width that is the same everywhere."""
    return "".join(_visible(char, encoding) for char in text)


def _visible(char: str, encoding: str) -> str:
    if char.isprintable() and not _SHAPER.match(char) and _holds(encoding, char):
        return char
    picture = chr(0x2400 + ord(char)) if char < " " else "\u2421" if char == "\x7f" else ""
    return picture if picture and _holds(encoding, picture) else f"<U+{ord(char):04X}>"


def _holds(encoding: str, char: str) -> bool:
    try:
        char.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """', did you mean ...?' for the nearest known word, or an empty text."""
    near = nearest(word, known)
    return "" if near is None else f", did you mean {near!r}?"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is spelled nearly so, if there is one."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1)), None)
