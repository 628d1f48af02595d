"""What the judge is compared with: slow, separate ways to the same verdicts.

    strict('{"a": 1, "a": 2}', JsonFormat()) -> False       by the standard library
    objects('{"a":1} {"b":')                 -> [(0, 7)]    by a grammar, a character at a time

`check` compares one text with both and looks at whatever else must hold of any text. Which labels a
text deserves is not known here.
"""

from __future__ import annotations

import json
from typing import Any, Final

from fmtharness.evaluators.json.format import JsonFormat
from fmtharness.evaluators.json.labels import LABELS, Problems
from fmtharness.evaluators.json.recovery import walk
from fmtharness.evaluators.json.side_by_side import find_objects

_SPACED: Final = ("members?", "key", "colon", "value", "object-more", "elements?", "array-more")
_SHORTEST: Final = {
    "members?": "}",
    "key": '"":0}',
    "colon": ":",
    "value": "0",
    "object-more": "}",
    "elements?": "]",
    "array-more": "]",
    "integer": "0",
    "digits": "",
    "digit": "0",
    "fraction": "",
    "exponent": "",
    "sign": "0",
    "chars": '"',
    "escape": "n",
    "hex": "0",
}


class Automaton:
    """RFC 8259's grammar for one object, a character at a time: `feed` says alive, done or dead.

    `todo` is what is still to come, innermost last: a set of choices is one character, a name is a
    rule that the next character chooses from.
    """

    def __init__(self) -> None:
        self.todo: list[str] = ["object"]

    def shortest_end(self) -> str:
        """The fewest characters that complete the object from here."""
        return "".join(_SHORTEST.get(rule, rule[1:]) for rule in reversed(self.todo))

    def feed(self, char: str) -> str:
        while True:
            rule = self.todo.pop()
            chosen = self.choose(rule, char)
            if chosen is None:
                return "dead"
            used, follow = chosen
            self.todo += reversed(follow)
            if used:
                return "alive" if self.todo else "done"

    def choose(self, rule: str, char: str) -> tuple[bool, list[str]] | None:
        """Whether the character is used up and which rules follow; None where it cannot stand."""
        if len(rule) == 2 and rule[0] == "=":
            return (True, []) if char == rule[1] else None
        if char in " \t\n\r" and rule in _SPACED:
            return True, [rule]
        table = getattr(self, "on_" + rule.rstrip("?").replace("-", "_"))
        result: tuple[bool, list[str]] | None = table(char)
        return result

    def on_object(self, char: str) -> tuple[bool, list[str]] | None:
        return (True, ["members?"]) if char == "{" else None

    def on_members(self, char: str) -> tuple[bool, list[str]] | None:
        return (True, []) if char == "}" else self.on_key(char)

    def on_key(self, char: str) -> tuple[bool, list[str]] | None:
        return (True, ["chars", "colon", "value", "object-more"]) if char == '"' else None

    def on_colon(self, char: str) -> tuple[bool, list[str]] | None:
        return (True, []) if char == ":" else None

    def on_object_more(self, char: str) -> tuple[bool, list[str]] | None:
        return {"}": (True, list[str]()), ",": (True, ["key"])}.get(char)

    def on_elements(self, char: str) -> tuple[bool, list[str]] | None:
        return (True, []) if char == "]" else (False, ["value", "array-more"])

    def on_array_more(self, char: str) -> tuple[bool, list[str]] | None:
        return {"]": (True, list[str]()), ",": (True, ["value", "array-more"])}.get(char)

    def on_value(self, char: str) -> tuple[bool, list[str]] | None:
        if char in "123456789":
            return True, ["digits", "fraction", "exponent"]
        return {
            "{": (True, ["members?"]),
            "[": (True, ["elements?"]),
            '"': (True, ["chars"]),
            "t": (True, ["=r", "=u", "=e"]),
            "f": (True, ["=a", "=l", "=s", "=e"]),
            "n": (True, ["=u", "=l", "=l"]),
            "-": (True, ["integer", "fraction", "exponent"]),
            "0": (True, ["fraction", "exponent"]),
        }.get(char)

    def on_integer(self, char: str) -> tuple[bool, list[str]] | None:
        if char == "0":
            return True, []
        return (True, ["digits"]) if char in "123456789" else None

    def on_digits(self, char: str) -> tuple[bool, list[str]] | None:
        return (True, ["digits"]) if char in "0123456789" else (False, [])

    def on_digit(self, char: str) -> tuple[bool, list[str]] | None:
        return (True, ["digits"]) if char in "0123456789" else None

    def on_fraction(self, char: str) -> tuple[bool, list[str]] | None:
        return (True, ["digit"]) if char == "." else (False, [])

    def on_exponent(self, char: str) -> tuple[bool, list[str]] | None:
        return (True, ["sign"]) if char in "eE" else (False, [])

    def on_sign(self, char: str) -> tuple[bool, list[str]] | None:
        return (True, ["digit"]) if char in "+-" else (False, ["digit"])

    def on_chars(self, char: str) -> tuple[bool, list[str]] | None:
        if char == '"':
            return True, []
        if char == "\\":
            return True, ["escape", "chars"]
        return (True, ["chars"]) if char >= " " else None

    def on_escape(self, char: str) -> tuple[bool, list[str]] | None:
        if char == "u":
            return True, ["hex", "hex", "hex", "hex"]
        return (True, []) if char in '"\\/bfnrt' else None

    def on_hex(self, char: str) -> tuple[bool, list[str]] | None:
        return (True, []) if char in "0123456789abcdefABCDEF" else None


def strict(text: str, judge: JsonFormat) -> bool:
    """The verdict by the standard library and a walk over its value.

    `max_depth` must be below what the standard library's recursion can take.
    """

    def members(pairs: list[tuple[str, Any]]) -> tuple[tuple[str, Any], ...]:
        if judge.unique_keys and len({key for key, _ in pairs}) < len(pairs):
            raise ValueError("repeated key")
        return tuple(pairs)  # a dict would forget what stands under a repeated key

    def constant(name: str) -> None:
        raise ValueError(name)

    try:
        value = json.loads(
            text, object_pairs_hook=members, parse_constant=constant, parse_int=lambda _: 0
        )
    except (ValueError, RecursionError):
        return False
    kinds: dict[str, type] = {"object": tuple, "array": list, "any": object}
    return isinstance(value, kinds[judge.root]) and _fits(value, judge, 0)


def _fits(value: Any, judge: JsonFormat, depth: int) -> bool:
    if isinstance(value, str):
        return not (judge.unicode_scalars and any("\ud800" <= char <= "\udfff" for char in value))
    if isinstance(value, tuple | list) and depth + 1 > judge.max_depth:
        return False
    if isinstance(value, tuple):
        return all(
            _fits(key, judge, depth + 1) and _fits(child, judge, depth + 1) for key, child in value
        )
    return not isinstance(value, list) or all(_fits(child, judge, depth + 1) for child in value)


def objects(text: str) -> list[tuple[int, int]]:
    """The complete objects side by side, as (start, end)."""
    found = []
    pos = 0
    while pos < len(text):
        if text[pos] != "{":
            pos += 1
            continue
        start, automaton, state = pos, Automaton(), "alive"
        while state == "alive" and pos < len(text):
            state = automaton.feed(text[pos])
            pos += state != "dead"
        if state == "done":
            found.append((start, pos))
    return found


def check(text: str, judge: JsonFormat) -> None:
    """The judge agrees with the references, and whatever it says is well formed."""
    parsed = judge.parse(text)
    assert parsed.ok == strict(text, judge), parsed.problems
    assert judge.diagnose(text).problems == parsed.problems
    spans = [(problem.start, problem.end) for problem in parsed.problems]
    assert spans == sorted(spans)
    assert all(0 <= start <= end <= len(text) for start, end in spans)
    for problem in parsed.problems:
        assert problem.label in LABELS
        assert problem.message
    assert find_objects(text) == objects(text)
    start = len(text) - len(text.lstrip(" \t\n\r"))
    if text.startswith(("{", "["), start):
        # Whatever is recovered from uses text up, but for what is missing at one place.
        found = Problems()
        walk(text, start, found, judge.max_depth, judge.unique_keys)
        assert found.steps <= 3 * (len(text) - start)
