r"""Finds the calls of a text that are written as Python's statements.

    runs("Sure:\n[book(city='Oslo'), ring()]")
    -> [Run(start=6, end=32, opened=0, listed=True)]
    runs("The function book(city, nights) returns a number.") -> []

A call counts where a statement can stand: from the start of a line, or from behind a colon, to the
end of the line. Within a sentence it counts only if it has a named argument and its name is one of
the given tools. Only brackets and strings are looked at, in time linear in the text.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final, NamedTuple

from fmtharness.evaluators.json.diagnosis import Diagnosis
from fmtharness.evaluators.json.scanner import SPACE
from fmtharness.evaluators.json.tool_call_faults import problem
from fmtharness.evaluators.json.tool_call_syntax import gap
from fmtharness.evaluators.possessive import re
from fmtharness.harness.records import Problem
from fmtharness.harness.surroundings import bounded

_WORD: Final = r"[^\W\d](?:\w|\\_)*+"
_NAME: Final = rf"{_WORD}(?:\.{_WORD})*+"
_CALL: Final = re.compile(rf"(?<![\w.])({_NAME})\(").search
_CHAINED: Final = re.compile(rf"(?:\.{_NAME}\(|\[)").match
_WORD_BEFORE: Final = re.compile(
    rf"(?<![\w.])(?:{_NAME}[ \t]*+=|await|return|print\()\Z", re.ASCII
).search
_MARK_BEFORE: Final = re.compile(
    r"(?:>>>|[-*•]|[0-9]++[.)])?+[ \t]*+(?:`{3,}+[\w+.#-]*+|`)?+"
).fullmatch
_JOINT: Final = re.compile(
    rf"(?:[ \t\r\n,;+&\[]|\#[^\n]*+\n|and\b|print\(|await\b|{_NAME}[ \t]*+=|[0-9]++[.)][ \t])*+"
).fullmatch
_TAIL: Final = re.compile(
    r"(?P<closed>(?:[ \t\r\n]*+,?+[ \t\r\n]*+[)\]}])*+)(?:[ \t]*+;)?+(?:[ \t]*+\#[^\n]*+)?+"
).match
_STATEMENT_ENDS: Final = re.compile(
    rf"(?<=;)|(?<=\])(?=\[)|[ \t\r]*+(?:\.?[ \t\r]*+(?:[\n`]|\Z)"
    rf"|(?:[,+&]|and\b)[ \t\r\n]*+(?:\[|{_NAME}\(|\Z))"
).match
_NAMED: Final = re.compile(rf"\([ \t\r\n]*+{_NAME}[ \t]*+=(?!=)").match
_LIKELY: Final = re.compile(
    rf"\([ \t\r\n]*+(?:\Z|{_NAME}[ \t]*+(?:=(?!=)|\Z)|['\"\[{{]|-?+[0-9])"
).match
_PLURAL: Final = re.compile(r"\(e?s\)").match
_PLAIN: Final = re.compile(r"[^\"'()\[\]{}]++").match
_STRINGS: Final = {
    quote: re.compile(
        rf"{quote * 3}(?:[^\\{quote}]|\\.|{quote}(?!{quote * 2}))*+{quote * 3}"
        rf"|{quote}(?:[^\\{quote}]|\\.|{quote}(?![ \t\r\n]*+(?:[,:;)\]}}+]|\Z)))*+{quote}",
        re.DOTALL,
    ).match
    for quote in "'\""
}
"""A quote closes a string only before something that can follow a string."""
_MOST_UNCLOSED: Final = 4
"""After this many calls that nothing closes, no more are looked at, which bounds the time."""
_MOST_WORDS: Final = 4
"""How many words such as `await` may stand before the call of a statement."""


class Run(NamedTuple):
    """Calls with nothing but separators between them."""

    start: int
    end: int
    opened: int
    """How many brackets it leaves open."""
    listed: bool
    """Whether it begins with the [ of a list."""


has_list: Final = re.compile(rf"\[[ \t\r\n]*+(?:\]|{_NAME}(?:\(|\Z)|\Z)").search
"""Where a list of calls, perhaps an empty one, begins."""


def runs(text: str, tools: tuple[str, ...] = ()) -> list[Run]:
    """The runs of calls, in order; none if the text only speaks of calls."""
    found: list[Run] = []
    text = text.replace("\ufeff", " ", 1)
    at = unclosed = 0
    while unclosed < _MOST_UNCLOSED and (call := _CALL(text, at)):
        first, opening = call.start(), call.end() - 1
        before = text[at:first]
        joined = bool(found) and found[-1].end == at and bool(_JOINT(before))
        fresh = at == 0 or text[at - 1] == "\n"
        begin = at if joined else _statement(before, at, fresh=fresh)
        end = _closing(text, opening)
        while end and (chained := _CHAINED(text, end)):
            end = _closing(text, chained.end() - 1)
        if end is None:
            unclosed += 1
            if begin is None or not _LIKELY(text, opening):
                at = call.end()
                continue
            _add(found, text, begin, first, len(text.rstrip(" \t\r\n`")), 1, joined=joined)
            break
        tail = _TAIL(text, end)
        stop = tail.end() if tail else end
        behind = tail["closed"] if tail else ""
        if begin is not None and _STATEMENT_ENDS(text, stop) and not _PLURAL(text, opening):
            closed = sum(map(behind.count, ")]}"))
            _add(found, text, begin, first, stop, -closed, joined=joined)
        elif _NAMED(text, opening) and call[1] in tools:
            found.append(Run(first, end, 0, listed=False))
            stop = end
        at = stop
    return found


def _add(
    found: list[Run], text: str, begin: int, first: int, end: int, opened: int, *, joined: bool
) -> None:
    before = text[begin:first]
    opened += before.count("[") + before.count("print(")
    if joined:
        last = found.pop()
        found.append(last._replace(end=end, opened=last.opened + opened))
    else:
        found.append(Run(begin, end, opened, listed=before.startswith("[")))


def _statement(before: str, at: int, *, fresh: bool) -> int | None:
    """Where the statement begins whose first call follows `before`, if it can be one.

    `fresh` says whether `before` begins a line.
    """
    core = before.rstrip(" \t\r\n[")
    for _ in range(_MOST_WORDS):
        if not (word := _WORD_BEFORE(core)):
            break
        core = core[: word.start()].rstrip(" \t\r\n[")
    rest = before[len(core) :]
    own = rest.lstrip(" \t\r\n")
    begin = at + len(before) - len(own)
    if "\n" in rest[: len(rest) - len(own)] or (not core and fresh):
        return begin
    if not core:
        return None
    line = core[core.rfind("\n") + 1 :].strip(" \t\r")
    whole = fresh or "\n" in core
    if line.rstrip('*_"').endswith(":") or (whole and _MARK_BEFORE(line)):
        return begin
    return None


def _closing(text: str, start: int) -> int | None:
    """Where the bracket that opens at `start` is closed; None if the text ends before."""
    depth, at = 0, start
    while at < len(text):
        char = text[at]
        if plain := _PLAIN(text, at):
            at = plain.end()
        elif char in "'\"":
            string = _STRINGS[char](text, at)
            if string is None:
                return None
            at = string.end()
        else:
            depth += 1 if char in "([{" else -1
            at += 1
            if depth == 0:
                return at
    return None


def around(text: str, calls: Sequence[Run]) -> list[Problem]:
    """The problems of what stands before, between and behind calls."""
    said = gap(text, 0, calls[0].start, "text_before")
    for one, other in itertools.pairwise(calls):
        said += gap(text, one.end, other.start, "text_between")
    return said + gap(text, calls[-1].end, len(text), "text_after")


def in_python(text: str, calls: Sequence[Run]) -> Diagnosis:
    """The diagnosis of calls that are written as in Python where JSON is asked for."""
    said = around(text, calls)
    said += [problem("python_call", call.start, call.end) for call in calls]
    if calls[-1].opened > 0 and not text[calls[-1].end :].strip(SPACE + "`"):
        message = "the text ends before the brackets of the call are closed"
        said.append(problem("truncated", len(text), len(text), message))
    return Diagnosis(bounded(said), calls[0].start, calls[-1].end)
