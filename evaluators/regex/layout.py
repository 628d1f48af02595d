"""Patterns for RE2, and layouts: patterns made of literals and named groups only.

    layout(r"id=(?P<id>\\d+)\\.") -> (Part("", "id="), Part("id", "\\d+"), Part("", "."))
    layout("a|b")               -> None: no layout, for it has an alternative

Results are cached by pattern.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import re2

from fmtharness.evaluators.possessive import re

_NAME: Final = re.compile(r"\\.|\(\?P?<(\w+)>", re.DOTALL)
_ANY_BYTE: Final = re.compile(r"(?<!\\)(?:\\\\)*\\C")
_LITERAL: Final = re.compile(r"\\(\W|[nrtf])|([^\\.^$*+?()\[{|]++)").match
_GROUP_START: Final = re.compile(r"\(\?P?<(\w+)>").match
_CLASS: Final = r"\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*+\]"
_IN_GROUP: Final = re.compile(rf"\\.|{_CLASS}|(\((?!\?P?<))|(\))|[^\\\[()]", re.DOTALL).match
_REPEATED: Final = re.compile(rf"(\.|\\[dDsSwW]|{_CLASS})[*+]", re.DOTALL).fullmatch
_CONTROLS: Final = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}
_LONGEST: Final = 1000
"""Longer patterns get no pattern for prefixes of their matches: it would be too large."""


class Part(NamedTuple):
    """A part of a layout: a named group and its own pattern, or a literal, which has no name."""

    name: str
    text: str


@lru_cache(256)
def compiled(pattern: str, *, case_sensitive: bool = True, longest: bool = False) -> Any:
    """The pattern compiled by RE2, with nothing written to stderr; re2.error if it is refused."""
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = case_sensitive
    options.longest_match = longest
    return re2.compile(pattern, options)


def fault(pattern: str) -> str | None:
    """Why the pattern cannot be used, in a sentence.

    fault("a(?=b)") -> "RE2 refuses the pattern: invalid perl operator: (?= (...)"
    """
    names = [match[1] for match in _NAME.finditer(pattern) if match[1]]
    if repeated := {name for name in names if names.count(name) > 1}:
        return f"two groups of the pattern are named {min(repeated)!r}"
    if _ANY_BYTE.search(pattern):
        return "the pattern has \\C, which cuts characters into bytes"
    try:
        compiled(pattern)
    except UnicodeEncodeError:
        return "the pattern holds a lone surrogate, which UTF-8 does not have"
    except re2.error as error:
        reason = error.args[0]
        said = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        known = "invalid" in said and "RE2 has no lookaround and no backreferences"
        return f"RE2 refuses the pattern: {said}" + (f" ({known})" if known else "")
    return None


def found(pattern: str, text: str) -> tuple[int, int] | None:
    """The span of the leftmost match, the longest one there; an empty match does not count."""
    match = compiled(pattern, longest=True).search(text)
    return match.span() if match and match.end() > match.start() else None


@lru_cache(256)
def layout(pattern: str) -> tuple[Part, ...] | None:
    """The literals and named groups that the pattern is made of; None where it has more."""
    parts: list[Part] = []
    pos = 0
    while pos < len(pattern):
        if literal := _LITERAL(pattern, pos):
            escaped = literal[1] and _CONTROLS.get(literal[1], literal[1])
            before = parts.pop().text if parts and not parts[-1].name else ""
            parts.append(Part("", before + (escaped or literal[2])))
            pos = literal.end()
        elif group := _GROUP_START(pattern, pos):
            end = _group_end(pattern, group.end())
            if end is None:
                return None
            parts.append(Part(group[1], pattern[group.end() : end]))
            pos = end + 1
        else:
            return None
    return tuple(parts) if any(part.name for part in parts) else None


def _group_end(pattern: str, pos: int) -> int | None:
    """Where the bracket stands that closes the group, if it has no named group inside."""
    depth = 0
    while match := _IN_GROUP(pattern, pos):
        if match[0] in ("\\Q", "\\E"):
            return None
        if match[2] and not depth:
            return pos
        depth += bool(match[1]) - bool(match[2])
        pos = match.end()
    return None


@lru_cache(256)
def prefixes(pattern: str) -> Any:
    """A pattern that matches every prefix of a match; None if there is none.

    A group that repeats one class, such as `[^;]*`, may be cut anywhere; others count as whole.
    """
    parts = layout(pattern)
    if parts is None or len(pattern) > _LONGEST:
        return None
    rest = ""
    for part in reversed(parts):
        if not part.name:
            cuts = [re2.escape(part.text[:length]) for length in range(1, len(part.text))]
            rest = f"(?:{'|'.join([*cuts, re2.escape(part.text) + rest])})?"
        elif repeated := _REPEATED(part.text):
            rest = f"(?:{repeated[1]}*|(?:{part.text}){rest})"
        else:
            rest = f"(?:(?:{part.text}){rest})?"
    try:
        return compiled(rest)
    except re2.error:
        return None


class Missing(NamedTuple):
    """A literal of a layout that is not where it should be, and where that is."""

    literal: str
    start: int
    end: int
    misspelt: bool
    """Whether its word stands there with other signs around it."""


def missing(parts: Sequence[Part], text: str) -> Missing | None:
    """The first literal that the text lacks, and what it has in its place.

    missing(layout("a=(?P<a>.*); b=(?P<b>.*)"), "a=1, b=2") -> Missing("; b=", 2, 8, True)
    """
    pos = 0
    literals = [part.text for part in parts if not part.name]
    for number, literal in enumerate(literals):
        at = text.find(literal, pos)
        if at >= 0:
            pos = at + len(literal)
            continue
        if number == 0:
            others = [text.find(other) for other in literals[1:]]
            end = min((at for at in others if at >= 0), default=None)
            return None if end is None else Missing(literal, 0, end, False)
        word = re.search(r"\w+", literal)
        misspelt = bool(word and re.compile(rf"\b{word[0]}\b\s*+\S").search(text, pos))
        return Missing(literal, pos, len(text), misspelt)
    return None
