"""Finds that the problems of a text are one fault, because one edit of a character mends them all.

    problems missing_colon at 5:12 and bad_indentation at 15:19 of "a: 1\\ninner:x\\n  b: 2\\n"
        -> missing_colon at 5:12 alone, since the text with a blank instead of the x passes

A wrong character moves what stands behind it, and a reader who sees it does not name the rest.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from fmtharness.evaluators.possessive import re
from fmtharness.harness.contracts import Parsed
from fmtharness.harness.records import Problem

MOST_READ: Final = 20_000
"""How many characters are read again at most, which bounds the time for a text of any length."""
_PLACES: Final = 3
"""At how many starts and ends of problems an edit is tried."""


class Mends(NamedTuple):
    """The edits that a format tries, and which label is then the fault's."""

    insert: str
    """The characters that may be missing."""
    replace: str
    """The characters that may have become another one."""
    follow: frozenset[str] = frozenset()
    """Labels that another label's fault brings along."""
    cut: frozenset[str] = frozenset()
    """Labels of what is a fault as a whole, such as a comment."""
    joined: re.Pattern[str] | None = None
    """Signs that may lack a blank behind them."""
    colon: str = ""
    """The message of `missing_colon`, in a format that has that label."""


def alone(
    text: str, problems: Sequence[Problem], mends: Mends, passes: Callable[[str], bool]
) -> tuple[Problem, ...]:
    """The problems, or those of one label if they are one fault."""
    labels = {problem.label for problem in problems}
    if len(labels) < 2 or "code_fence" in labels:
        return tuple(problems)
    left = MOST_READ
    for sign, mended in _edits(text, problems, mends):
        left -= len(mended)
        if left < 0:
            break
        if not passes(mended):
            continue
        first = next((p for p in problems if p.label not in mends.follow), problems[0])
        if sign == ":" and mends.colon:
            return (Problem("missing_colon", mends.colon, first.start, first.end),)
        return tuple(problem for problem in problems if problem.label == first.label)
    return tuple(problems)


def all_of_one_edit(
    text: str, parsed: Parsed, mends: Mends, passes: Callable[[str], bool]
) -> Parsed:
    """What was parsed, its problems as `alone` gives them."""
    return parsed if parsed.ok else Parsed(problems=alone(text, parsed.problems, mends, passes))


def _edits(text: str, problems: Sequence[Problem], mends: Mends) -> Iterator[tuple[str, str]]:
    """The text after each edit that may mend it, the likely ones first, and what was put there."""
    for problem in problems:
        if problem.label in mends.cut:
            yield "", text[: problem.start] + text[problem.end :]
    for found in itertools.islice(mends.joined.finditer(text), _PLACES) if mends.joined else ():
        yield "", text[: found.end()] + " " + text[found.end() :]
    both = (at for problem in problems for at in (problem.start, problem.end))
    places = list(dict.fromkeys(both))[:_PLACES]
    for at in places:
        yield "", text[:at] + text[at + 1 :]
        if 0 < at < len(text):
            yield "", text[: at - 1] + text[at] + text[at - 1] + text[at + 1 :]
    for at in places:
        for sign in mends.insert:
            yield sign, text[:at] + sign + text[at:]
        if at:
            yield "", text[: at - 1] + text[at:]
        for sign in mends.replace:
            yield sign, text[:at] + sign + text[at + 1 :]
            if at:
                yield sign, text[: at - 1] + sign + text[at:]
