"""Follows JSON's grammar to the character (RFC 8259), and knows where it breaks.

    scan = Scanner('{"a": tru}', 0); scan.run() -> BROKEN, with scan.pos == 9 (the brace)

`Scanner` is a pushdown automaton without recursion. It finds the first character that no valid
value could have there. The diagnosis recovers from it, and counting objects goes on from it. The
scanner builds no value and assigns no label.
"""

from __future__ import annotations

from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, Final, Literal

from fmtharness.evaluators.possessive import re

SPACE: Final = " \t\n\r"
WS: Final = r"[ \t\n\r]*+"
CHARS: Final = r'[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+'
NUMBER: Final = r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+"
SCALAR: Final = f'(?:"{CHARS}"|{NUMBER}|true|false|null)'

# The stack holds the objects and arrays that are open; one of these says what may come next.
KEY_OR_END: Final = 0
KEY: Final = 1
COLON: Final = 2
VALUE: Final = 3
VALUE_OR_END: Final = 4
AFTER: Final = 5

Outcome = Literal["done", "end", "broken"]
DONE: Final = "done"
END: Final = "end"
BROKEN: Final = "broken"

skip_space: Final = re.compile(WS).match


def _patterns(value: str) -> tuple[Any, Any, Any]:
    """A run of members, the keys of that run, and a run of elements, with `value` for a value.

    A run ends behind a bracket that opens or closes a container, or where it cannot go on. Its
    groups are a colon with no valid value behind it, the opening and the closing bracket.
    """
    key = f'{WS}"{CHARS}"{WS}'
    members = f"(?:{key}:{WS}{value}{WS},)*+" + (
        f"(?:{key}(:){WS}(?:([{{\\[])|{value}{WS}(}}(?:{WS},)?))?)?"
    )
    keys = f'{WS}"({CHARS})"{WS}:{WS}(?:{value}{WS}[,}}]|[{{\\[]|\\Z)'
    elements = f"(?:{WS}{value}{WS},)*+" + (
        f"(?:{WS}(?:(\\{{|\\[(?:{WS}\\[)*+)|{value}{WS}(\\](?:{WS},)?)))?"
    )
    return re.compile(members).match, re.compile(keys), re.compile(elements).match


_MEMBER: Final = f'"{CHARS}"{WS}:{WS}{SCALAR}{WS}'
FLAT_OBJECT: Final = f"\\{{{WS}(?:{_MEMBER}(?:,{WS}{_MEMBER})*+)?+\\}}"
FLAT_ARRAY: Final = f"\\[{WS}(?:{SCALAR}{WS}(?:,{WS}{SCALAR}{WS})*+)?+\\]"
_STEPWISE: Final = _patterns(SCALAR)
# If no key can repeat, containers that hold only scalars are read like scalars.
_IN_LEAPS: Final = _patterns(f"(?:{SCALAR}|{FLAT_OBJECT}|{FLAT_ARRAY})")
_STRING_PREFIX: Final = re.compile(f'"{CHARS}').match
_ESCAPE_PREFIX: Final = re.compile(r"\\(?:u[0-9a-fA-F]{0,3}+)?").match
_NUMBER_PREFIX: Final = re.compile(
    r"-?(?:(?:0|[1-9][0-9]*+)(?:\.(?:[0-9]++(?:[eE][+-]?[0-9]*+)?)?|[eE][+-]?[0-9]*+)?)?"
).match
_LITERAL_PREFIX: Final = re.compile(r"t(?:r(?:ue?)?)?|f(?:a(?:l(?:se?)?)?)?|n(?:u(?:ll?)?)?").match


def scan_scalar(text: str, start: int) -> tuple[Outcome, int]:
    """Whether a string, number or literal stands at `start`, and where it ends or breaks."""
    first = text[start]
    if first == '"':
        match = _STRING_PREFIX(text, start)
        end = match.end() if match else start
        if text[end : end + 1] == '"':
            return DONE, end + 1
        escape = _ESCAPE_PREFIX(text, end)
        end = escape.end() if escape else end
    elif first in "-0123456789":
        match = _NUMBER_PREFIX(text, start)
        end = match.end() if match else start
        if text[end - 1] in "0123456789":
            return DONE, end
    else:
        match = _LITERAL_PREFIX(text, start)
        end = match.end() if match else start
        if text[start:end] in ("true", "false", "null"):
            return DONE, end
    return (END if end == len(text) else BROKEN), end


class Scanner:
    """Walks one object or array from its first bracket, and stops where it ends or breaks.

    After `run` returned BROKEN, `pos` is the first character that no valid value could have there
    and `token` is where the scalar around it starts (or `pos`). Set `pos` and `state` to go on.
    """

    __slots__ = (
        *("text", "pos", "token", "scalar", "state", "stack", "objects"),
        *("unique_keys", "checked", "escapes", "repeats", "max_depth", "deep_at"),
    )

    def __init__(
        self,
        text: str,
        start: int,
        max_depth: int = 1 << 62,
        *,
        unique_keys: bool = False,
        checked: int = 0,
        escapes: bool = True,
    ) -> None:
        self.text = text
        self.pos = start
        self.token = start
        self.scalar = (start, start)
        """Where the last scalar that was read by itself starts and ends."""
        self.state = VALUE
        self.stack: list[set[str] | None] = []
        """The open containers: an object's keys so far, or None for an array."""
        self.objects = 0
        """How many of them are objects."""
        self.repeats: list[tuple[str, int, int]] = []
        """Keys that their object already had, and where they stand."""
        self.unique_keys = unique_keys
        """Whether to look for repeated keys."""
        self.checked = checked if unique_keys else len(text)
        """Objects that close before this offset repeat no key, or need no check."""
        self.escapes = escapes
        """Whether the text may hold a backslash, so that keys must be unescaped to be compared."""
        self.max_depth = max_depth
        self.deep_at: int | None = None
        """Where the first bracket beyond `max_depth` stands."""
        self.open(start)

    def open(self, start: int) -> None:
        """Step into the bracket at `start`."""
        self.pos = start + 1
        if len(self.stack) >= self.max_depth and self.deep_at is None:
            self.deep_at = start
        if self.text[start] == "{":
            self.stack.append(set())
            self.objects += 1
            self.state = KEY_OR_END
        else:
            self.stack.append(None)
            self.state = VALUE_OR_END

    def open_around(self, bracket: str) -> None:
        """Take a container for open whose bracket is missing."""
        self.stack.append(set() if bracket == "{" else None)
        self.objects += bracket == "{"

    def close(self) -> None:
        """Step out of the innermost container."""
        if self.stack.pop() is not None:
            self.objects -= 1
        self.state = AFTER

    def run(self) -> Outcome:
        """Go on to the end of the root, the end of the text, or the first impossible character."""
        text, stack = self.text, self.stack
        while stack:
            pos, state, keys = self.pos, self.state, stack[-1]
            leap = pos < self.checked and len(stack) < self.max_depth
            members, names_of, elements = _IN_LEAPS if leap else _STEPWISE
            stop = self.checked if leap else len(text)
            # Well-formed text is read a run of members or elements at a time.
            if keys is None:
                match = elements(text, pos, stop) if state in (VALUE, VALUE_OR_END) else None
            else:
                match = members(text, pos, stop) if state < COLON else None
            if match is None or (end := match.end()) == pos:
                if leap and match:
                    self.checked = 0
                    continue
                outcome = self._token()
                if outcome != DONE:
                    return outcome
                continue
            self.pos = end
            if keys is None:
                opener, closer = match.groups()
                self.state = VALUE
            else:
                colon, opener, closer = match.groups()
                self.state = VALUE if colon else KEY
                if self.unique_keys and not (closer and leap):
                    names = names_of.findall(text, pos, end)
                    if self.escapes or len(names) > len(fresh := set(names)) or keys & fresh:
                        for found in names_of.finditer(text, pos, end):
                            self.note_key(found.start(1) - 1, found.end(1) + 1)
                    else:
                        keys |= fresh
            if opener == "{":
                self.open(end - 1)
            elif opener:
                self._open_arrays(opener, end - len(opener))
            elif closer:
                if stack.pop() is not None:
                    self.objects -= 1
                if not stack:
                    self.pos = end - len(closer) + 1
                elif closer[-1] == ",":
                    self.state = VALUE if stack[-1] is None else KEY
                else:
                    self.state = AFTER
        return DONE

    def _open_arrays(self, brackets: str, start: int) -> None:
        depth = len(self.stack)
        self.stack += [None] * brackets.count("[")
        self.state = VALUE_OR_END
        if len(self.stack) > self.max_depth and self.deep_at is None:
            offsets = [offset for offset, char in enumerate(brackets) if char == "["]
            self.deep_at = start + offsets[self.max_depth - depth]

    def note_key(self, start: int, end: int, name: str | None = None) -> None:
        """Remember the key of the innermost object at start:end, quotes included."""
        seen = self.stack[-1]
        if seen is None or not self.unique_keys:
            return
        if name is None:
            name = self.text[start + 1 : end - 1]
            if "\\" in name:
                name = scanstring(self.text, start + 1, False)[0]
        if name in seen:
            self.repeats.append((name, start, end))
        seen.add(name)

    def _token(self) -> Outcome:
        """Read one token, or return why there is none."""
        text = self.text
        match = skip_space(text, self.pos)
        pos = match.end() if match else self.pos
        self.pos = self.token = pos
        if pos == len(text):
            return END
        char, state = text[pos], self.state
        in_object = self.stack[-1] is not None
        if state == AFTER:
            if char == ",":
                self.pos, self.state = pos + 1, KEY if in_object else VALUE
            elif char == ("}" if in_object else "]"):
                self.pos = pos + 1
                self.close()
            else:
                return BROKEN
        elif state == COLON:
            if char != ":":
                return BROKEN
            self.pos, self.state = pos + 1, VALUE
        elif (char == "}" and state == KEY_OR_END) or (char == "]" and state == VALUE_OR_END):
            self.pos = pos + 1
            self.close()
        elif state < COLON:
            if char != '"':
                return BROKEN
            outcome, self.pos = scan_scalar(text, pos)
            if outcome != DONE:
                return outcome
            self.note_key(pos, self.pos)
            self.state = COLON
        elif char in "{[":
            self.open(pos)
        else:
            outcome, self.pos = scan_scalar(text, pos)
            if outcome != DONE:
                return outcome
            self.scalar = (pos, self.pos)
            self.state = AFTER
        return DONE
