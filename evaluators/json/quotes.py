"""Finds where a string really ends, or where a quote is missing, by reading on from each place.

    '{"a": "24" screen"}'   -> unescaped_quote at 9:10; the string ends at 18
    '{"a": "x, "b": "y"}'   -> unclosed_quote at 6:8; the string ends at 8
    '{"a": x", "b": "y"}'   -> unquoted_value at 6:8; the string ends at 8

A quote may end a string if what follows fits the brackets that are open: a comma with a key or a
value, or closing brackets. Of several such places, the first counts from where the rest of the
value is read without fault, or goes on for at least another member. How much is read ahead in one
text is bounded by a multiple of its length; beyond it nothing is found.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fmtharness.evaluators.json.labels import Problems
from fmtharness.evaluators.json.lookahead import (
    BAD,
    CLEAN,
    FAR,
    ON,
    last_before,
    read_on,
    spent,
    string_before,
)
from fmtharness.evaluators.json.scanner import (
    AFTER,
    CHARS,
    COLON,
    KEY,
    KEY_OR_END,
    SCALAR,
    SPACE,
    VALUE,
    WS,
    Scanner,
)
from fmtharness.evaluators.possessive import re

_WINDOW: Final = 64
_MOST_COLONS: Final = 3
_LONGEST: Final = 1000
_QUOTES: Final = re.compile(r'\\.|(")', re.DOTALL)
_AFTER_KEY: Final = re.compile(rf"{WS}:").match
_AFTER_MEMBER: Final = re.compile(rf'{WS}(?:}}|,{WS}"{CHARS}"{WS}:)').match
_AFTER_ELEMENT: Final = re.compile(rf'{WS}(?:\]|,{WS}(?:["{{\[0-9-]|true|false|null))').match
_CLOSERS: Final = re.compile(r"[\]}]++,?+\Z").search
_INCHES: Final = re.compile(r"[0-9]['’]\s?[0-9.]++\"\Z").search
_STRING: Final = re.compile(rf'"{CHARS}"{WS}[,}}\]]').match
_VALUE: Final = re.compile(rf"{SCALAR}{WS}[,}}]").match
_JUNK: Final = re.compile(r'[^",{}\[\]:\n]*+\s*+').match


def take_misquoted(scanner: Scanner, problems: Problems) -> bool:
    """Label a string whose quotes are wrong, at the scanner's position, and move behind it.

    False if the fault is another one; then nothing is done.
    """
    text, pos, state = scanner.text, scanner.pos, scanner.state
    if spent(problems, text):
        return False
    if scanner.token < pos and text[scanner.token] == '"':
        return text[pos] in "\r\n" and (_close(scanner, problems, scanner.token, pos, FAR))
    if state >= VALUE and state != AFTER:
        return _continued(scanner, problems) or _open(scanner, problems, scanner.token)
    start, end = string_before(scanner, pos)
    if start < 0:
        if state == AFTER and _continued(scanner, problems):
            return True
        begin, stop = scanner.scalar
        return state == AFTER and begin < stop == pos and _open(scanner, problems, begin)
    if state < COLON:
        return False
    otherwise = _otherwise(scanner, problems)
    if otherwise[0] == CLEAN:
        return False
    how, stop, at = _closing_place(scanner, problems, start, end - 1)
    if how < CLEAN:
        longer = _real_end(scanner, problems, start, end)
        if longer[:2] > (how, stop) and longer[:2] > otherwise:
            _note_unescaped(scanner, problems, start, longer[2])
            return True
    if how == BAD or otherwise > (how, stop):
        return False
    _note_unclosed(scanner, problems, start, at)
    return True


def take_unended(scanner: Scanner, problems: Problems) -> bool:
    """Label a string that lacks its closing quote where the text ends inside it.

    False if the text is truncated there, because it does not close what it opened.
    """
    return _close(scanner, problems, scanner.token, len(scanner.text), CLEAN)


def take_continued(scanner: Scanner, problems: Problems) -> bool:
    """In place of a key stands the rest of the string before the comma: {"a": "x", y", "b": 1}."""
    text, pos = scanner.text, scanner.pos
    comma = last_before(text, pos)
    if scanner.state != KEY or spent(problems, text) or comma < 0 or text[comma] != ",":
        return False
    start, _ = string_before(scanner, comma)
    found = _next_quote(text, pos, problems)
    if start < 0 or not found or not found[1] or not _AFTER_MEMBER(text, found.end()):
        return False
    if read_on(scanner, problems, found.end(), AFTER)[0] != CLEAN:
        return False
    _note_unescaped(scanner, problems, start, found.end())
    scanner.state = AFTER
    return True


def _continued(scanner: Scanner, problems: Problems) -> bool:
    """An element is the rest of the string before the comma: ["he is 6'2", 90 kg", 1]."""
    text, pos = scanner.text, scanner.pos
    begin = scanner.scalar[0] if scanner.state == AFTER else scanner.token
    comma = last_before(text, begin)
    if scanner.stack[-1] is not None or comma < 0 or text[comma] != ",":
        return False
    end = last_before(text, comma) + 1
    if not _INCHES(text, max(0, end - 8), end):
        return False
    found = _next_quote(text, pos, problems)
    if not found or not found[1] or not _AFTER_ELEMENT(text, found.end()):
        return False
    if read_on(scanner, problems, found.end(), AFTER)[0] < ON:
        return False
    problems.add("unescaped_quote", end - 1, end)
    scanner.pos, scanner.state = found.end(), AFTER
    scanner.scalar = (begin, found.end())
    return True


def _otherwise(scanner: Scanner, problems: Problems) -> tuple[int, int]:
    """How it goes on, and how far, if the string is right.

    Then a missing comma or colon or a stray word is the fault; CLEAN if that is sure.
    """
    text, pos, state = scanner.text, scanner.pos, scanner.state
    char, sure = text[pos], (CLEAN, pos)
    if state == COLON:
        if char in ",;=" or text.startswith("->", pos):
            return sure
        if char in "{[" and text[pos - 1] in SPACE:
            return sure
        how, stop = read_on(scanner, problems, pos, VALUE)
        member = _VALUE(text, pos)
        return sure if member and member.end() < stop else (how if how == CLEAN else BAD, stop)
    if char in "+}]":
        return sure
    in_array = scanner.stack[-1] is None
    following = VALUE if in_array or char == ":" else KEY
    skip = char in ";:"
    if read_on(scanner, problems, pos + skip, following)[0] >= ON:
        return sure
    junk = _JUNK(text, pos)
    end = junk.end() if junk else pos
    problems.read_ahead += end - pos
    if pos < end < len(text) and text[end] in ",}]":
        return read_on(scanner, problems, end, AFTER)
    # Two strings with a space between them are two strings.
    two = char == '"' and text[pos - 1] in SPACE and _STRING(text, pos)
    return sure if two else (BAD, pos)


def _next_quote(text: str, pos: int, problems: Problems) -> re.Match[str] | None:
    """The first quote or escape from `pos` on, if it is not too far away."""
    found = _QUOTES.search(text, pos, pos + _LONGEST)
    problems.read_ahead += (found.end() if found else min(len(text), pos + _LONGEST)) - pos
    return found


def _real_end(scanner: Scanner, problems: Problems, start: int, end: int) -> tuple[int, int, int]:
    """How it goes on, how far, and from where, if the string goes on behind its closing quote."""
    text, state = scanner.text, scanner.state
    key = state == COLON
    fits = _AFTER_KEY if key else _AFTER_ELEMENT if scanner.stack[-1] is None else _AFTER_MEMBER
    best = BAD, end, end
    read = in_step = 0
    for number, stop in enumerate(_closing_quotes(text, end, problems)):
        # Where reading on closed a string, reading on from there ends at the same fault.
        if not fits(text, stop) or (stop < read and number % 2 == in_step):
            continue
        how, read = read_on(scanner, problems, stop, state)
        in_step = number % 2
        if (how, read) > best[:2]:
            best = how, read, stop
        if how >= ON:
            break
    return best


def _closing_quotes(text: str, pos: int, problems: Problems) -> Iterator[int]:
    """Behind each unescaped quote, as long as there is something left to read ahead."""
    for match in _QUOTES.finditer(text, pos):
        problems.read_ahead += match.end() - pos + 5
        if spent(problems, text):
            return
        pos = match.end()
        if match[1]:
            yield pos


def _note_unescaped(scanner: Scanner, problems: Problems, start: int, end: int) -> None:
    """Note each quote inside the string at start:end, and move the scanner behind it."""
    for match in _QUOTES.finditer(scanner.text, start + 1, end - 1):
        if match[1]:
            problems.add("unescaped_quote", *match.span())
            if problems.full("unescaped_quote"):
                break
    _took(scanner, start, end)


def _took(scanner: Scanner, start: int, end: int) -> None:
    scanner.pos = end
    if scanner.state != COLON:
        scanner.scalar = start, end


def _close(scanner: Scanner, problems: Problems, start: int, end: int, least: int) -> bool:
    """The string lacks its closing quote, somewhere before `end`."""
    how, _, at = _closing_place(scanner, problems, start, end)
    if how < least:
        return False
    _note_unclosed(scanner, problems, start, at)
    return True


def _closing_place(
    scanner: Scanner, problems: Problems, start: int, end: int
) -> tuple[int, int, int]:
    """How it goes on, how far, and from where, if a quote is missing before `end`."""
    is_key = scanner.state in (COLON, KEY, KEY_OR_END)
    following = COLON if is_key else AFTER
    best = BAD, end, end
    for at in _places(scanner.text, start + 1, end, is_key):
        how, stop = read_on(scanner, problems, at, following)
        if (how, stop) > best[:2]:
            best = how, stop, at
        if how == CLEAN:
            break
    return best


def _note_unclosed(scanner: Scanner, problems: Problems, start: int, at: int) -> None:
    """Note that the string from `start` ends before `at`, and move the scanner there."""
    text, is_key = scanner.text, scanner.state in (COLON, KEY, KEY_OR_END)
    last = last_before(text, at)
    if text[last] in "”’“»" and last > start:
        message = "a string opens with a straight and closes with a typographic quote"
        problems.add("smart_quotes", start, last + 1, message)
    elif text[last] == '"' and text[last - 1] == "\\" and last > start:
        problems.add("unclosed_quote", last - 1, last + 1, "the closing quote is escaped")
    else:
        problems.add("unclosed_quote", start, last + 1)
    if is_key:
        scanner.note_key(start, at, text[start + 1 : last + 1])
    scanner.pos, scanner.state = at, COLON if is_key else AFTER
    scanner.scalar = at, at


def _places(text: str, start: int, end: int, is_key: bool) -> Iterator[int]:
    """Where in a string the closing quote may be missing: before a colon, or a comma or bracket."""
    if is_key:
        colon = start - 1
        for _ in range(_MOST_COLONS):
            colon = text.find(":", colon + 1, end)
            if colon < 0:
                break
            yield colon
        return
    least = max(start, end - _WINDOW)
    closers = _CLOSERS(text, least, end)
    if closers and closers.start() < end - 1:
        yield closers.start()
    for at in range(end - 1, least - 1, -1):
        if text[at] in ",}]":
            yield at
    if end < len(text) and text[end] in "\r\n":
        yield end
    for _ in range(_MOST_COLONS):
        start = text.find('\\"', start, end)
        if start < 0:
            break
        start += 2
        yield start


def _open(scanner: Scanner, problems: Problems, start: int) -> bool:
    """A string at `start` lacks its opening quote."""
    text = scanner.text
    found = _next_quote(text, start, problems)
    if not found or not found[1] or found.start() == start:
        return False
    fits = _AFTER_ELEMENT if scanner.stack[-1] is None else _AFTER_MEMBER
    end = found.end()
    if not fits(text, end) or read_on(scanner, problems, end, AFTER)[0] != CLEAN:
        return False
    problems.add("unquoted_value", start, end, "a string lacks its opening quote")
    scanner.scalar, scanner.pos, scanner.state = (start, end), end, AFTER
    return True
