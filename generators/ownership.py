"""Which split owns a text: a hash decides, so that train and eval can never draw the same one.

    owner("Lisbon")  ->  "train" or "eval", the same on every machine and in every run

Words, numbers, codes, dates and schemas are all divided this way. Wordings are divided by hand:
each list of them has a train half and an eval half. `harness.run.data_stats` measures the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import TypeVar

from harness.contracts import Split

T = TypeVar("T")
Halves = Mapping[Split, tuple[str, ...]]


def owner(text: str) -> Split:
    """The split that may use this text; upper and lower case count as the same text."""
    return "train" if sha256(text.casefold().encode()).digest()[0] & 1 else "eval"


def halves(texts: Iterable[str]) -> Halves:
    """The texts of each split, in their given order."""
    ordered = tuple(dict.fromkeys(texts))
    return {
        "train": tuple(text for text in ordered if owner(text) == "train"),
        "eval": tuple(text for text in ordered if owner(text) == "eval"),
    }


def divide(words: str) -> Halves:
    """The words of each split, from words with blanks between them."""
    return halves(words.split())


def owned(split: Split, draw: Callable[[], T], name: Callable[[T], str] = str) -> T:
    """Draw until the split owns what was drawn; two draws on average."""
    while True:
        drawn = draw()
        if owner(name(drawn)) == split:
            return drawn
