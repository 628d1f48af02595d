"""What stands around a value: a fence, prose, a byte order mark. For Formats made of lines.

    strictly("Sure:\n```\na=1\n```", read, lambda line: "=" in line)
        ->  Parsed(problems=(Problem("text_before", ..., 0, 5), Problem("code_fence", ..., 6, 9)))

A Format gives its strict reader of a bare text and says which lines look like its own; it shares
the labels here, the diagnosis and the ways to break a text (`CORRUPTIONS`). Formats whose values
are found by their brackets (JSON, XML) know better where one begins.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Final, NamedTuple

from fmtharness.harness.contracts import Corruption, Parsed
from fmtharness.harness.records import Problem

LABELS: Final[Mapping[str, str]] = {
    "empty": "there is no text, or nothing but whitespace",
    "no_value": "there is text, but nothing in it reads as the format",
    "byte_order_mark": "the text starts with a byte order mark (U+FEFF)",
    "text_before": "text stands before the value",
    "text_after": "text stands after the value",
    "code_fence": "a Markdown code fence or backticks stand here",
}
MOST_OF_ONE_LABEL: Final = 20
"""A text carries every label that applies, but no more problems than this of one label."""
BLANK: Final = " \t\r\n\f\v"
"""The whitespace of an empty text; other spaces, such as U+00A0, are text without a value."""

_LINE: Final = re.compile(r"[^\n]*\n?")
_FENCE: Final = re.compile(r"[ \t]*+(?:`{3,}+|~{3,}+)[ \t]*+(?:[\w+.-]++[ \t]*+)?\r?\n?\Z")
_OPENING: Final = re.compile(r"\s*(`{3,}[\w+.-]*|`(?!`))")
_CLOSING: Final = re.compile(r"`+")


class Outside(NamedTuple):
    """Where the value stands, and the problems around it."""

    start: int
    end: int
    problems: tuple[Problem, ...]


def strictly(text: str, read: Callable[[str], Parsed], looks: Callable[[str], bool]) -> Parsed:
    """The whole text as `read` parses it; else its problems, and the problems around the value.

    `read` parses a text that holds only the value, `looks` says whether a line could be part of
    the value. Both are called with parts of the text, in time linear in its length.
    """
    first = text.find("\n") + 1 or len(text)
    if text.startswith("\ufeff") or _FENCE.match(text, 0, first):
        parsed = Parsed()  # what is around the value is found below
    elif text.strip():
        parsed = read(text)
        if parsed.ok:
            return parsed
    else:
        label = "no_value" if text.strip(BLANK) else "empty"
        parsed = Parsed(problems=(Problem(label, LABELS[label], 0, len(text)),))
    around = outside(text, looks)
    if around.problems:
        inner = text[around.start : around.end]
        found = shifted(read(inner).problems, around.start) if inner.strip() else ()
        parsed = Parsed(problems=(*around.problems, *found))
    return Parsed(problems=bounded(parsed.problems))


def outside(text: str, looks: Callable[[str], bool]) -> Outside:
    """Find the value by its fence, or else by the first and the last line that look like it."""
    problems: list[Problem] = []

    def note(label: str, start: int, end: int) -> None:
        problems.append(Problem(label, LABELS[label], start, end))

    def prose(label: str, start: int, end: int) -> None:
        if said := text[start:end].strip():
            at = text.index(said[:1], start)
            note(label, at, at + len(said))

    if not text.strip("\ufeff" + BLANK):
        note("byte_order_mark" if "\ufeff" in text else "empty", 0, len(text))
        return Outside(0, 0, tuple(problems))
    first, last = 0, len(text)
    if text.startswith("\ufeff"):
        note("byte_order_mark", 0, 1)
        first = 1
    lines = [match.span() for match in _LINE.finditer(text, first) if match.group()]
    fences = [span for span in lines if _FENCE.match(text[slice(*span)])]
    if fences:
        opening = fences[0]
        if any(looks(text[slice(*span)]) for span in lines if span[1] <= opening[0]):
            # The text before the first fence looks like the value, so the fence closes it.
            opening = (first, first)
        closing = next((span for span in fences if span[0] >= opening[1]), (last, last))
        for span in {opening, closing}:
            prose("code_fence", *span)
        prose("text_before", first, opening[0])
        prose("text_after", closing[1], last)
        return Outside(opening[1], closing[0], _in_order(problems))
    if opened := _OPENING.match(text, first):
        # A fence on the value's own line.
        note("code_fence", opened.start(1), opened.end(1))
        closing_runs = list(_CLOSING.finditer(text, opened.end()))
        closing = closing_runs[-1].span() if closing_runs else (last, last)
        prose("code_fence", *closing)
        prose("text_after", closing[1], last)
        return Outside(opened.end(), closing[0], _in_order(problems))
    like = [span for span in lines if looks(text[slice(*span)])]
    if not like:
        note("no_value", first, last)
        return Outside(first, first, _in_order(problems))
    start, end = like[0][0], like[-1][1]
    prose("text_before", first, start)
    prose("text_after", end, last)
    return Outside(start, end, _in_order(problems))


def shifted(problems: Iterable[Problem], by: int) -> tuple[Problem, ...]:
    """The problems of a part of a text, as spans of the whole."""
    return tuple(Problem(p.label, p.message, p.start + by, p.end + by) for p in problems)


def bounded(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The problems by where they stand, at most MOST_OF_ONE_LABEL of each label."""
    counts: Counter[str] = Counter()
    kept = []
    for problem in _in_order(problems):
        counts[problem.label] += 1
        if counts[problem.label] <= MOST_OF_ONE_LABEL:
            kept.append(problem)
    return tuple(kept)


def _in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(problems, key=lambda problem: (problem.start, problem.end)))


def _empty(text: str, rng: Random) -> str:
    return rng.choice(["", "\n"])


def _byte_order_mark(text: str, rng: Random) -> str:
    return "\ufeff" + text


def _text_before(text: str, rng: Random) -> str:
    prose = ["Sure! Here it is:", "Here is what you asked for:", "Okay, let me do that for you."]
    return rng.choice(prose) + rng.choice(["\n", "\n\n"]) + text


def _text_after(text: str, rng: Random) -> str:
    prose = ["I hope this helps!", "Let me know if you need anything else.", "That is all of it."]
    return text.rstrip("\n") + rng.choice(["\n", "\n\n"]) + rng.choice(prose)


def _code_fence(text: str, rng: Random) -> str:
    fence = rng.choice(["```", "~~~"])
    return fence + rng.choice(["", "text"]) + "\n" + text.rstrip("\n") + "\n" + fence


CORRUPTIONS: Final[Mapping[str, Corruption]] = {
    "empty": _empty,
    "byte_order_mark": _byte_order_mark,
    "text_before": _text_before,
    "text_after": _text_after,
    "code_fence": _code_fence,
}
"""Ways to break any rendered text, each named by the label that `strictly` gives for it."""
