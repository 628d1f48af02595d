"""Finds where a text degenerates into repetition.

    repetition("It was late. " * 9)          -> Repetition(start=0, end=116, "... 9 times in a row")
    repetition("1, 2, 3, 4, 5, 6, 7, 8, 9")  -> None

The text is read as words, digits and signs; a character of a script without spaces or an emoji is a
word, and so is each letter of what would be a word of more than 40. It loops if it holds

- a cycle of at most 200 of these that follows itself: 4 times or more over 24 words or more, or 3
  times over 60; what has no letter, such as a line of dashes, over 300 digits and signs;
- such a cycle at the end, as a text that is cut off while it loops has one: 2 times and a quarter
  over 60 words, numbers and signs, 3 times and a quarter over 30, or 6 times over 20; the last word
  may be cut off, too; what has no letter, over 120;
- the same where only numbers differ, 4 times over 40 words and with at most one number to 5 words,
  such as one sentence under every number of a list;
- 100 words in which three of four runs of 4 words, with 3 different ones, stood there twice before.

The last is seq-rep-4 of Welleck et al. 2019, in a window and for the third copy and later ones.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any, Final, NamedTuple

import numpy as np

from fmtharness.evaluators.possessive import re

LONGEST_CYCLE: Final = 200
_NO_SPACES: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003134f"
)
"""Thai, Lao, Burmese, Khmer, Japanese and Chinese."""
_LETTER: Final = rf"[^\W\d_{_NO_SPACES}]"
_TOKEN: Final = re.compile(
    rf"(?<!{_LETTER}){_LETTER}{{1,40}}+(?!{_LETTER})|{_LETTER}|[{_NO_SPACES}]"
    r"|(?<!\d)\d{1,40}+(?!\d)|\d|[^\w\s]|_"
)
_CYCLES, _CYCLE_WORDS = 4, 24
_LONG_CYCLES, _LONG_WORDS = 3, 60
_THIN, _THIN_END = 300, 120
_ENDS: Final = ((2.25, 60), (3.25, 30), (6, 20))
"""How often a cycle stands at the end, and over how many words, numbers and signs."""
_FIRST_EMOJI: Final = "\U0001f000"
_NUMBERED_WORDS, _WORDS_PER_NUMBER = 40, 5
_WINDOW, _REPEATED_SHARE, _GRAM = 100, 0.75, 4
_FEWEST_REPEATS: Final = 12
"""A text with fewer repeated 4-grams cannot loop by any of the rules."""
_FACTORS: Final = np.array([1, 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], "u8")


class Repetition(NamedTuple):
    """What repeats, as characters of the text."""

    start: int
    end: int
    message: str


def repetition(text: str) -> Repetition | None:
    """The longest loop of the text by the first of the rules that finds one."""
    tokens = _TOKEN.findall(text)
    if len(tokens) < _CYCLE_WORDS:
        return None
    known: dict[str, int] = {}
    ids = np.array([known.setdefault(token, len(known)) for token in tokens], np.int32)
    letter = np.array([token.isalpha() or token >= _FIRST_EMOJI for token in known])[ids]
    digit = np.array([token.isdigit() for token in known])[ids]
    if np.count_nonzero(_earlier(ids)) < _FEWEST_REPEATS:
        return None
    if found := _cycle(ids, letter, digit):
        first, last, cycle = found
        said = f"{_signs(cycle)} {(last - first) // cycle} times in a row"
        return _at(text, first, last, said)
    if found := _cycle(
        np.where(digit, -1, ids), letter & ~_names(ids, known), digit, numbered=True
    ):
        first, last, cycle = found
        said = f"but for numbers, {_signs(cycle)} {(last - first) // cycle} times in a row"
        return _at(text, first, last, said)
    kept = np.flatnonzero(letter | digit)
    worded = np.array([len(token) > 1 or token >= _NO_SPACES[0] for token in known])[ids]
    if span := _window(ids[kept], (letter & worded)[kept]):
        first, last = span
        said = f"most runs of {_GRAM} words in it stand in the text three times or more"
        return _at(text, int(kept[first]), int(kept[last - 1]) + 1, said)
    return None


def _cycle(
    ids: Any, letter: Any, digit: Any, *, numbered: bool = False
) -> tuple[int, int, int] | None:
    """The longest run of a cycle that is a loop: its first token, its end, the cycle's length."""
    letters, numbers = (np.concatenate(([0], np.cumsum(each))) for each in (letter, digit))
    best: tuple[int, int, int] | None = None
    for cycle in range(1, min(LONGEST_CYCLE, len(ids) // 2) + 1):
        same = ids[cycle:] == ids[:-cycle]
        if not _has_run(same, max(15, 20 - cycle, 5 * cycle // 4)):
            continue
        breaks = np.concatenate(([-1], np.flatnonzero(~same), [len(same)]))
        first, last = breaks[:-1] + 1, breaks[1:] + cycle
        size = last - first
        words = letters[last] - letters[first]
        if numbered:
            counted = numbers[last] - numbers[first]
            loops = (size >= _CYCLES * cycle) & (words >= _NUMBERED_WORDS)
            loops &= words >= _WORDS_PER_NUMBER * counted
        else:
            loops = (size >= _CYCLES * cycle) & (words >= _CYCLE_WORDS)
            loops |= (size >= _LONG_CYCLES * cycle) & (words >= _LONG_WORDS)
            loops |= (size >= _CYCLES * cycle) & (size >= _THIN)
            at_end = last >= len(ids) - bool(letter[-1])
            cut = np.any([(size >= n * cycle) & (size >= least) for n, least in _ENDS], axis=0)
            loops |= at_end & cut & ((words > 0) | (size >= _THIN_END))
        if loops.any():
            at = int(np.argmax(np.where(loops, size, 0)))
            if best is None or size[at] > best[1] - best[0]:
                best = int(first[at]), int(last[at]), cycle
                if 2 * int(size[at]) > len(ids):
                    break
    return best


def _names(ids: Any, known: dict[str, int]) -> Any:
    """Which tokens seem to be the key of a value or the name of a tag."""
    around = np.concatenate(([-1], ids, [-1, -1]))
    before, after, second = around[:-3], around[2:-1], around[3:]
    quote, colon, *tag = (known.get(sign, -2) for sign in '":<')
    slash = known.get("/", -2)
    return (
        (after == colon) | ((after == quote) & (second == colon)) | np.isin(before, [*tag, slash])
    )


def _has_run(flags: Any, size: int) -> bool:
    """Whether `size` flags in a row, 15 or more, may be set; never False if they are."""
    eights = flags[: len(flags) // 8 * 8].view("u8")
    full = np.flatnonzero(eights == 0x0101010101010101)
    wanted = (size - 7) // 8 - 1
    return len(full) > wanted and bool((full[wanted:] - full[: len(full) - wanted] == wanted).any())


def _window(ids: Any, letter: Any) -> tuple[int, int] | None:
    """The first and last of the windows of words in which most runs occurred twice before."""
    if len(ids) < _WINDOW:
        return None
    size = len(ids) - _GRAM + 1
    parts = [ids[at : at + size] for at in range(_GRAM)]
    # Few different words, as in a grid, or numbers alone come back in any order.
    twins = sum((one == other).astype(np.int8) for one, other in combinations(parts, 2))
    telling = (twins < 2) & (np.convolve(letter, np.ones(_GRAM, int), "valid") >= 2)
    repeated = np.concatenate(([0], np.cumsum((_earlier(ids) >= 2) & telling)))
    grams = _WINDOW - _GRAM + 1
    full = np.flatnonzero(repeated[grams:] - repeated[:-grams] >= _REPEATED_SHARE * grams)
    return (int(full[0]), int(full[-1]) + _WINDOW) if len(full) else None


def _earlier(ids: Any) -> Any:
    """For each run of 4 tokens, how often it occurred before."""
    size = len(ids) - _GRAM + 1
    # Equal sums of other runs are as rare as equal hashes of 64 bits.
    codes = sum(ids[at : at + size].astype("u8") * _FACTORS[at] for at in range(_GRAM))
    order = np.argsort(codes, kind="stable")
    ranked = codes[order]
    place = np.arange(size)
    firsts = np.concatenate(([True], ranked[1:] != ranked[:-1]))
    counts = np.empty(size, np.int64)
    counts[order] = place - np.maximum.accumulate(np.where(firsts, place, 0))
    return counts


def _signs(cycle: int) -> str:
    return (
        f"a cycle of {cycle} words and signs stands there"
        if cycle > 1
        else "a word or sign stands there"
    )


def _at(text: str, first: int, last: int, message: str) -> Repetition:
    """The tokens from first to last as characters."""
    start = end = 0
    for at, token in enumerate(_TOKEN.finditer(text)):
        if at == first:
            start = token.start()
        if at == last - 1:
            end = token.end()
            break
    return Repetition(start, end, message)
