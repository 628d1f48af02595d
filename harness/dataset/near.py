"""Prompts that are nearly the same, by MinHash and then exactly.

near = Near([("dev.jsonl", 3, "List the 10 hotels of Oslo by price, as JSON, please.")])
near.match("list the 10 hotels of Oslo by price, as JSON please")   -> Match(0, 0.8)

Two texts are near if their sets of three-word shingles have a Jaccard similarity of at least 0.8.
What many of the prompts share, such as an instruction, is left out, so that a template with other
values in it is not near. MinHash (rensa) only names candidates; each is then compared exactly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from rensa import RMinHash, RMinHashLSH

THRESHOLD: Final = 0.8
BANDS, ROWS, SEED = 20, 6, 24
"""20 bands of 6 find a pair at the threshold with 1 - (1 - 0.8**6)**20 = 99.8%."""
WORDS, CHARACTERS = 3, 3
"""How many are in a shingle; characters where a text has no spaces between words, as in Chinese."""
SLOTS: Final = 1 << 22
"""The size of a table that tells which shingles may be known."""
SAMPLE: Final = 2000
"""How many prompts decide what is shared by many."""
SHARED: Final = 0.05
LEAST_SHARED: Final = 3


class Known(NamedTuple):
    """A prompt that others are compared with: its file and line, and its normalised text."""

    file: str
    line: int
    text: str


class Match(NamedTuple):
    """The nearest known prompt and its similarity."""

    known: Known
    similarity: float


def normalized(text: str) -> str:
    """In lower case, with single spaces."""
    return " ".join(text.lower().split())


def shingles(text: str) -> set[str]:
    """The shingles of a normalised text; the whole text if it has too few words for one."""
    words, between, size = text.split(), " ", WORDS
    if len(text) > 15 * len(words):
        words, between, size = [*text.replace(" ", "")], "", CHARACTERS
    return {between.join(words[at : at + size]) for at in range(max(1, len(words) - size + 1))}


class Near:
    """An index of prompts, and a query for each other prompt."""

    def __init__(self, known: Sequence[Known], others: Iterable[str] = ()) -> None:
        """`others` is a sample of the prompts that will be looked up."""
        self.known = known
        self.table: bytearray | None = None
        asked = [*islice(others, SAMPLE)]
        sample = [each.text for each in islice(known, SAMPLE)]
        self.shared = _shared(sample) | _shared(asked) | _shared(sample + asked)
        self.index = RMinHashLSH(THRESHOLD, BANDS * ROWS, BANDS)
        for at, each in enumerate(known):
            if own := self._own(each.text):
                self.index.insert(at, _signature(own))

    def match(self, text: str) -> Match | None:
        """The nearest of the known prompts, if one is near to this normalised text."""
        own = self._own(text)
        if not own or self._too_new(own):
            return None
        best: Match | None = None
        for at in self.index.query(_signature(own)):
            other = self._own(self.known[at].text)
            similarity = len(own & other) / len(own | other)
            if similarity >= THRESHOLD and (best is None or similarity > best.similarity):
                best = Match(self.known[at], similarity)
        return best

    def _too_new(self, own: set[str]) -> bool:
        """Whether too many of the shingles are in no known prompt, which saves the MinHash."""
        table, may_lack = self._table(), (1 - THRESHOLD) * len(own)
        lacks = 0
        for shingle in own:
            if not table[hash(shingle) & SLOTS - 1]:
                lacks += 1
                if lacks > may_lack:
                    return True
        return False

    def _table(self) -> bytearray:
        if self.table is None:
            self.table = bytearray(SLOTS)
            for each in self.known:
                for shingle in shingles(each.text):
                    self.table[hash(shingle) & SLOTS - 1] = 1
        return self.table

    def __getstate__(self) -> dict[str, Any]:
        """Without the table, since another process has other hashes."""
        return {**self.__dict__, "table": None}

    def _own(self, text: str) -> set[str]:
        return shingles(text) - self.shared


def _signature(own: set[str]) -> RMinHash:
    signature = RMinHash(BANDS * ROWS, SEED)
    signature.update([*own])
    return signature


def _shared(sample: Sequence[str]) -> set[str]:
    counts = Counter(shingle for text in sample for shingle in shingles(text))
    least = max(LEAST_SHARED, SHARED * len(sample))
    return {shingle for shingle, count in counts.items() if count > least}
