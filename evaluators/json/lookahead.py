"""Reads on from a place in a broken value, to tell which of several readings is right.

    read_on(scanner of '{"a": "24" screen"}', problems, 18, AFTER) -> (CLEAN, 19)

How much is read ahead in one text is bounded by a multiple of its length; then nothing is found.
"""

from __future__ import annotations

from typing import Final

from fmtharness.evaluators.json.labels import Problems
from fmtharness.evaluators.json.scalars import comment_at, odd_space
from fmtharness.evaluators.json.scanner import (
    AFTER,
    BROKEN,
    CHARS,
    DONE,
    END,
    KEY,
    SCALAR,
    SPACE,
    VALUE,
    WS,
    Scanner,
    skip_space,
)
from fmtharness.evaluators.possessive import re

BAD: Final = 0
FAR: Final = 1
ON: Final = 2
CLEAN: Final = 3
"""What reading on from a place comes to: a fault at once, a wrong bracket further on, another fault
further on, or none."""

MOST_READ: Final = 4
"""At most this many times the text's length is read ahead, over all places, up to a limit."""
_SPARE: Final = 20_000
_MOST_CHARACTERS: Final = 400_000
_PER_PLACE: Final = 200  # The work for a place besides its characters, in characters.
_MOST_SKIPPED: Final = 16

_ENDS: Final = re.compile(
    rf"{WS}(?:\Z|`|~~~|,?{WS}[{{\[]|[^\"{{}}\[\]]*+\Z)|(?:\r?\n|[ \t]){WS}[^\W\d_]"
).match
_GOES_ON: Final = re.compile(
    rf'{WS}(?:(?::|(?:[}}\]]{WS})*+,{WS}"{CHARS}"{WS}:){WS}(?:"{CHARS}"|{SCALAR}(?={WS}[,}}\]])|[{{\[])'
    rf"|(?:[}}\]]{WS})*+,{WS}(?:{SCALAR}(?={WS}[,\]])|[{{\[]))"
).match
_GOES_ON_WITH: Final = {
    VALUE: re.compile(rf"{WS}{SCALAR}{WS}[,}}\]]").match,
    KEY: re.compile(rf'{WS}"{CHARS}"{WS}:{WS}(?:{SCALAR}(?={WS}[,}}\]])|[{{\[])').match,
}
_PYTHON: Final = re.compile(r"(?:True|False|None)\b").match


def read_on(
    scanner: Scanner, problems: Problems, pos: int, state: int, closed: int = 0, opened: str = ""
) -> tuple[int, int]:
    """How it goes if the value goes on at `pos`, and where reading stopped.

    `closed` is how many of the innermost containers are taken for closed, and `opened` the bracket
    of one that is taken for open.
    """
    text, stack = scanner.text, scanner.stack
    if spent(problems, text):
        return BAD, pos
    probe = Scanner(text, 0)
    probe.stack = stack[: len(stack) - closed]
    if opened:
        probe.stack.append(set() if opened == "{" else None)
    probe.objects = sum(keys is not None for keys in probe.stack)
    probe.pos, probe.token, probe.state = pos, pos, state
    outcome = probe.run()
    for _ in range(_MOST_SKIPPED):
        if outcome != BROKEN or not _skip_other(probe, pos):
            break
        outcome = probe.run()
    stop = probe.pos
    problems.read_ahead += stop - pos + len(stack) + _PER_PLACE
    if outcome == DONE:
        return (CLEAN if _ENDS(text, stop) else BAD), stop
    if outcome == END:
        in_string = probe.token < stop and text[probe.token] == '"'
        return (BAD if in_string else ON), stop
    before = text[stop - 1]
    passed = _GOES_ON_WITH.get(state, _GOES_ON)(text, pos, stop + 1)
    if not passed or passed.end() > stop:
        return BAD, stop
    brackets = probe.token == stop and (text[stop] in "}]" or before in "}]")
    return (FAR if brackets else ON), stop


def _skip_other(probe: Scanner, start: int) -> bool:
    """Skip a fault that says nothing about quotes: a comment, a trailing comma, None for null."""
    text, pos = probe.text, probe.token
    space = skip_space(text, start)
    if space is None or space.end() >= pos:
        return False
    if pos == probe.pos and (skipped := comment_at(text, pos) or odd_space(text, pos)):
        probe.pos = skipped.end()
    elif probe.state == VALUE and (literal := _PYTHON(text, pos)):
        probe.pos, probe.state = literal.end(), AFTER
    elif (
        text[probe.pos] == ("]" if probe.stack[-1] is None else "}")
        and text[last_before(text, pos)] == ","
        and pos == probe.pos
    ):
        probe.close()
        probe.pos = pos + 1
    else:
        return False
    return True


def spent(problems: Problems, text: str) -> bool:
    return problems.read_ahead > min(MOST_READ * len(text) + _SPARE, _MOST_CHARACTERS)


def alike(scanner: Scanner, problems: Problems) -> int:
    """How many of the innermost containers are of the same kind, or 0 if too much was read."""
    stack, count = scanner.stack, 1
    if spent(problems, scanner.text):
        return 0
    while count < len(stack) and (stack[-count - 1] is None) == (stack[-1] is None):
        count += 1
    problems.read_ahead += count
    return count


def last_before(text: str, pos: int) -> int:
    """Where the last character before `pos` stands that is not whitespace, or -1."""
    pos -= 1
    while pos >= 0 and text[pos] in SPACE:
        pos -= 1
    return pos


def string_before(scanner: Scanner, pos: int) -> tuple[int, int]:
    """The span of the string that ends before `pos`, or (-1, -1)."""
    text = scanner.text
    last = last_before(text, pos)
    begin, end = scanner.scalar
    if begin < end == last + 1:
        return (begin, end) if text[begin] == '"' else (-1, -1)
    if last < 0 or text[last] != '"':
        return -1, -1
    start = last
    while (start := text.rfind('"', 0, start)) >= 0:
        before = start
        while text[before - 1] == "\\":
            before -= 1
        if (start - before) % 2 == 0:
            return start, last + 1
    return -1, -1
