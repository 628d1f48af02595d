"""Names what is wrong with a bracket: one that closes the wrong thing, or one that is missing.

    '[{"a": 1]'           -> mismatched_bracket at 8:9
    '{"a": [1, "b": 2}'   -> mismatched_bracket at 8:9, the comma before which a bracket is missing

Each function labels the bracket at the scanner's position and moves the scanner behind it.
"""

from __future__ import annotations

import re
from typing import Final

from fmtharness.evaluators.json.labels import Problems
from fmtharness.evaluators.json.lookahead import CLEAN, ON, alike, last_before, read_on
from fmtharness.evaluators.json.scanner import AFTER, COLON, VALUE, WS, Scanner

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
