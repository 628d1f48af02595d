"""Which split owns a text: a hash decides, so that no two splits can ever draw the same one.

    owner("Lisbon")  ->  "train", "dev" or "eval", the same on every machine and in every run

Words, numbers, codes, dates and schemas are all divided this way: half of them go to train, a sixth
to dev and a third to eval. Wordings are divided by hand: each has a list for each split.
`fmtharness.harness.run.data_stats` measures the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import TypeVar, get_args

from fmtharness.harness.contracts import Split

T = TypeVar("T")
BySplit = Mapping[Split, tuple[str, ...]]
SPLITS: tuple[Split, ...] = get_args(Split)


def owner(text: str) -> Split:
    """The split that may use this text; upper and lower case count as the same text."""
    hashed = sha256(text.casefold().encode()).digest()
    if hashed[0] & 1:
        return "train"
    return "eval" if hashed[1] % 3 else "dev"


def by_split(texts: Iterable[str]) -> BySplit:
    """The texts of each split, in their given order."""
    ordered = tuple(dict.fromkeys(texts))
    return {split: tuple(text for text in ordered if owner(text) == split) for split in SPLITS}


def divide(words: str) -> BySplit:
    """The words of each split, from words with blanks between them."""
    return by_split(words.split())


def owned(split: Split, draw: Callable[[], T], name: Callable[[T], str] = str) -> T:
    """Draw until the split owns what was drawn: two draws on average for train, six for dev."""
    while True:
        drawn = draw()
        if owner(name(drawn)) == split:
            return drawn
