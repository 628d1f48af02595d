"""Names what is wrong with a bracket: one that closes the wrong thing, or one that is missing.

    '[{"a": 1]'           -> mismatched_bracket at 8:9
    '{"a": [1, "b": 2}'   -> mismatched_bracket at 8:9, the comma before which a bracket is missing

Each function labels the bracket at the scanner's position and moves the scanner behind it.
"""

from __future__ import annotations

from typing import Final

from fmtharness.evaluators.json.labels import Problems
from fmtharness.evaluators.json.lookahead import (
    CLEAN,
    ON,
    alike,
    last_before,
    read_on,
    string_before,
)
from fmtharness.evaluators.json.scanner import AFTER, COLON, KEY, VALUE, WS, Scanner
from fmtharness.evaluators.possessive import re

_COMMA_FOLLOWS: Final = re.compile(rf"{WS},").match


def take_closer(scanner: Scanner, problems: Problems) -> None:
    """A closing bracket where no bracket may close."""
    text, pos, state = scanner.text, scanner.pos, scanner.state
    in_object = scanner.stack[-1] is not None
    if (text[pos] == "}") == in_object:
        if state == COLON:
            problems.add("missing_colon", pos, pos + 1, "a key has neither colon nor value")
        elif state == VALUE and in_object:
            problems.add("missing_value", pos, pos + 1)
        else:
            comma = text.rfind(",", 0, pos)
            problems.add("trailing_comma", comma, comma + 1)
    else:
        _take_wrong_closer(scanner, problems)
        return
    scanner.close()
    scanner.pos = pos + 1


def _take_wrong_closer(scanner: Scanner, problems: Problems) -> None:
    """A bracket that does not close the innermost open one."""
    text, pos, stack = scanner.text, scanner.pos, scanner.stack
    in_object = stack[-1] is not None
    fitting = len(stack) - scanner.objects if in_object else scanner.objects
    what = "object" if in_object else "array"
    wanted = "}]" if in_object else "]}"
    message = f"{text[pos]} stands where {wanted[0]} should close the {what}"
    if read_on(scanner, problems, pos + 1, AFTER)[0] == CLEAN:
        problems.add("unexpected_character", pos, pos + 1, f"{text[pos]} is one too many")
        scanner.pos, scanner.state = pos + 1, AFTER
        return
    if closed := _closes(scanner, problems):
        problems.add("mismatched_bracket", pos, pos + 1, message)
        for _ in range(closed):
            scanner.close()
        scanner.pos = pos + 1
        return
    others = _closers_behind(text, pos, len(stack))
    if not fitting and (others >= len(stack) or _goes_on(text, pos, len(stack))):
        message = f"{text[pos]} closes nothing that is open"
        problems.add("unexpected_character", pos, pos + 1, message)
        scanner.pos = pos + 1
        return
    if (
        text.startswith(wanted[::-1], pos)
        and len(stack) > 1
        and (stack[-2] is None) == in_object
        and (others + 1 == len(stack) or _COMMA_FOLLOWS(text, pos + 2))
    ):
        message = f"{wanted[::-1]} stands where {wanted} should be"
        problems.add("mismatched_bracket", pos, pos + 2, message)
        scanner.close()
        scanner.close()
        scanner.pos = pos + 2
        return
    problems.add("mismatched_bracket", pos, pos + 1, message)
    # If the others close all the rest, it is of the wrong kind; else one was left out.
    while others < len(stack) - 1 and fitting and not _fits(scanner, text[pos]):
        scanner.close()
    scanner.close()
    scanner.pos = pos + 1


def _closes(scanner: Scanner, problems: Problems) -> int:
    """How many containers the wrong bracket closes, if the rest of the value says so, else 0."""
    text, pos, stack = scanner.text, scanner.pos, scanner.stack
    outer = alike(scanner, problems) + 1
    if outer == 1:
        return 0
    found = []
    for closed in (1, outer):
        if closed <= len(stack):
            how, _ = read_on(scanner, problems, pos + 1, AFTER, closed)
            if how == CLEAN:
                return closed
            if how == ON and closed < len(stack):
                found.append(closed)
    if len(found) == 2:
        # Another fault follows; what closes in the rest says how much was open.
        return found[_open_behind(text, pos, problems) < len(stack) - 1]
    return found[0] if found else 0


def _open_behind(text: str, pos: int, problems: Problems) -> int:
    """How many more brackets close than open behind the one at `pos`."""
    problems.read_ahead += len(text) - pos
    opened = text.count("{", pos + 1) + text.count("[", pos + 1)
    return text.count("}", pos + 1) + text.count("]", pos + 1) - opened


def take_unopened(scanner: Scanner, problems: Problems) -> bool:
    """What stands here belongs in a container that was closed too early, or never opened."""
    text, pos, state = scanner.text, scanner.pos, scanner.state
    if state == KEY and text[pos] not in '"}]':
        begin, opener = pos, "["
    elif state == COLON and text[pos] in ",]":
        begin, opener = string_before(scanner, pos)[0], "["
    elif state == AFTER and text[pos] == ":":
        begin, opener = string_before(scanner, pos)[0], "{"
    else:
        return False
    before = last_before(text, begin) if begin >= 0 else -1
    if before < 0:
        return False
    following = VALUE if opener == "[" else KEY
    if read_on(scanner, problems, begin, following, opened=opener)[0] != CLEAN:
        return state == AFTER and scanner.stack[-1] is None and left_open(scanner, problems, begin)
    closer = last_before(text, before) if text[before] == "," else before
    if text[before] == "," and text[closer] == ("]" if opener == "[" else "}"):
        message = f"{text[closer]} is one too many, or closes too early"
        problems.add("unexpected_character", closer, closer + 1, message)
    else:
        message = f"what stands around it is not opened with {opener}"
        problems.add("mismatched_bracket", before, before + 1, message)
    scanner.open_around(opener)
    scanner.pos, scanner.state = begin, following
    return True


def take_early_end(scanner: Scanner, problems: Problems) -> bool:
    """Behind the bracket that ends the whole value, the value goes on and ends once more."""
    text, end = scanner.text, scanner.pos
    opener = "{" if text[end - 1] == "}" else "["
    if not _COMMA_FOLLOWS(text, end):
        return False
    if read_on(scanner, problems, end, AFTER, opened=opener)[0] != CLEAN:
        return False
    message = f"{text[end - 1]} is one too many, or closes too early"
    problems.add("unexpected_character", end - 1, end, message)
    scanner.open_around(opener)
    scanner.pos, scanner.state = end, AFTER
    return True


def left_open(scanner: Scanner, problems: Problems, begin: int) -> bool:
    """What begins at `begin` belongs further out, so that a bracket was to close before it."""
    text, stack = scanner.text, scanner.stack
    comma = last_before(text, begin)
    closed = alike(scanner, problems) if text[comma] == "," else 0
    if not closed or read_on(scanner, problems, comma, AFTER, closed)[0] != CLEAN:
        return False
    what = "array" if stack[-1] is None else "object"
    problems.add("mismatched_bracket", comma, comma + 1, f"the {what} before it is not closed")
    for _ in range(closed):
        scanner.close()
    scanner.pos = comma
    return True


def _fits(scanner: Scanner, closer: str) -> bool:
    return (scanner.stack[-1] is None) == (closer == "]")


def _closers_behind(text: str, pos: int, opened: int) -> int:
    """How many closing brackets follow the one at `pos`, as far as that matters."""
    following = text[pos + 1 : pos + 2 + 4 * min(opened, 16)]
    closers = following[: len(following) - len(following.lstrip(" \t\n\r}]"))]
    return closers.count("}") + closers.count("]")


def _goes_on(text: str, pos: int, opened: int) -> bool:
    """Whether a comma follows the bracket at `pos` although it would end the value."""
    return opened == 1 and bool(_COMMA_FOLLOWS(text, pos + 1))
