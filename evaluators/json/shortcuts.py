"""Tells where the commonest values end and what is wrong with them, as a parser proves it.

    shortcut('{"a": [1, 2', 0, problems, 64, True)    -> (11, UNREAD); problems holds truncated
    shortcut('{"a": 1} Done', 0, problems, 64, True)  -> (8, {"a": 1}); problems holds nothing
    shortcut('{"a": 1,}', 0, problems, 64, True)      -> 8: this needs the diagnosing scanner

A truncated value is one that becomes valid once it is closed; a value that repeats keys is one that
is valid if keys may repeat. Values that are broken in another way are left to `recovery`. The
results are those of its `walk`, only faster.
"""

from __future__ import annotations

from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, Final

from fmtharness.evaluators.json.labels import Problems
from fmtharness.evaluators.json.reader import NOT_BRACKETS, REPEATED, UNREAD, read, whole
from fmtharness.evaluators.json.recovery import note_repeated_key, note_truncated
from fmtharness.evaluators.json.scanner import SPACE
from fmtharness.evaluators.possessive import re

_CLOSER: Final = {"{": "}", "[": "]"}
_MOST_NESTED: Final = 64
_CLOSING: Final = bytes.maketrans(b"[{", b"]}")
_ESCAPED: Final = re.compile(r"\\.", re.DOTALL)
_LAST_WORD: Final = re.compile(r"[A-Za-z]+\Z")
_LITERALS: Final = {
    word[:length]: word[length:]
    for word in ("true", "false", "null")
    for length in range(1, len(word) + 1)
}


_SEPARATORS: Final = frozenset((", ", ": ", ",", ":"))


def shortcut(
    text: str,
    start: int,
    problems: Problems,
    max_depth: int,
    unique_keys: bool,
    known: Any = None,
) -> tuple[int, Any] | int:
    """Where the object or array at `start` ends, and its value, or UNREAD if it has none.

    A number alone means "not this way", as in `read`. `known` is what `whole` returned for the
    text, or None if it was not called.
    """
    if known is REPEATED:
        end = len(text.rstrip(SPACE))
        _note_repeats(text, start, end, problems)
        return end, UNREAD
    piece = text[start:] if start else text
    bare = _ESCAPED.sub("", piece) if "\\" in piece else piece
    opened = _left_open(bare)
    if opened and not (bare.count('"') % 2 and bare.rstrip(SPACE)[-1] in "}]"):
        closed = whole(piece + _closing(bare, opened), max_depth, unique_keys, False)
        if closed is not UNREAD and closed is not REPEATED:
            inside = bare.count('"') % 2 == 1
            note_truncated(problems, len(text), len(opened), in_string=inside)
            return len(text), UNREAD
    elif (length := piece.rfind(_CLOSER[piece[0]]) + 1) < len(text) or known is None:
        value = whole(piece[:length], max_depth, unique_keys, False)
        if value is REPEATED:
            _note_repeats(text, start, start + length, problems)
            return start + length, UNREAD
        if value is not UNREAD:
            return start + length, value
    found = read(text, start, max_depth, unique_keys)
    return (found[1], found[0]) if isinstance(found, tuple) else found


def _left_open(bare: str) -> bytes:
    """The brackets that a text without escapes leaves open, or nothing if that is unclear."""
    if not (bare.count("{") - bare.count("}") or bare.count("[") - bare.count("]")):
        return b""
    left = "".join(bare.split('"')[::2]).encode(errors="replace").translate(None, NOT_BRACKETS)
    for _ in range(_MOST_NESTED):
        shorter = left.replace(b"{}", b"").replace(b"[]", b"")
        if len(shorter) == len(left):
            break
        left = shorter
    return b"" if b"}" in left or b"]" in left else left


def _closing(bare: str, opened: bytes) -> str:
    """What would close a truncated value: '{"a": [tr' -> 'ue]}'."""
    in_object = opened.endswith(b"{")
    closers = opened[::-1].translate(_CLOSING).decode()
    end = bare.rstrip(SPACE)
    last = end[-1]
    if bare.count('"') % 2:
        is_key = in_object and not bare[: bare.rfind('"')].rstrip(SPACE).endswith(":")
        return ('":0' if is_key else '"') + closers
    if last == '"':
        is_key = in_object and not end[: end.rfind('"', 0, -1)].rstrip(SPACE).endswith(":")
        return (":0" if is_key else "") + closers
    if last == ",":
        return ('"":0' if in_object else "0") + closers
    if word := _LAST_WORD.search(end, len(end) - 5):
        return _LITERALS.get(word[0], "0") + closers
    return ("0" if last in ":-+." else "") + closers


def _note_repeats(text: str, start: int, end: int, problems: Problems) -> None:
    """Note each repeated key in the valid value text[start:end]."""
    piece = text[start:end]
    # Every other part stands between two quotes; quotes inside a string are hidden as escapes.
    parts = (_ESCAPED.sub("__", piece) if "\\" in piece else piece).split('"')
    between, strings = parts[::2], parts[1::2]
    if "\\" in piece:
        strings = _unescaped(piece, parts)
    scopes: list[set[str]] = []
    seen: set[str] = set()
    after = between[0]
    for number, name in enumerate(strings):
        before, after = after, between[number + 1]
        if before not in _SEPARATORS and ("{" in before or "}" in before):
            for char in before:
                if char == "{":
                    scopes.append(seen := set())
                elif char == "}":
                    scopes.pop()
                    seen = scopes[-1] if scopes else seen
        if ":" not in after:
            continue
        if name in seen:
            opening = start + len('"'.join(parts[: 2 * number + 1]))
            note_repeated_key(problems, name, opening, opening + len(parts[2 * number + 1]) + 2)
            if problems.full("duplicate_key"):
                return
        else:
            seen.add(name)


def _unescaped(piece: str, parts: list[str]) -> list[str]:
    """The strings among the parts, unescaped."""
    strings, at = [], 0
    for number, part in enumerate(parts):
        if number % 2:
            strings.append(
                scanstring(piece, at, False)[0] if "\\" in piece[at : at + len(part)] else part
            )
        at += len(part) + 1
    return strings
