"""Counting objects equals a reference that reads one character at a time."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evaluators.duplicate_json_objects import DuplicateJsonObjects, find_objects
from harness.records import Completion
from tests.strategies import broken_texts, json_objects, mutated_texts, prose, written_texts

SPACED = ("members?", "key", "colon", "value", "object-more", "elements?", "array-more")


class Automaton:
    """RFC 8259's grammar for one object, a character at a time: `feed` says alive, done or dead.

    `todo` is what is still to come, innermost last: a set of choices is one character, a name is a
    rule that the next character chooses from.
    """

    def __init__(self) -> None:
        self.todo: list[str] = ["object"]

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
        if char in " \t\n\r" and rule in SPACED:
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


def reference(text: str) -> list[tuple[int, int]]:
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


texts = written_texts(json_objects(4)).map(lambda pair: pair[0])
rows = st.lists(st.one_of(texts, prose(), broken_texts()), max_size=5).map("".join)


@settings(max_examples=400)
@given(st.one_of(broken_texts(), rows, mutated_texts(rows), mutated_texts(texts)))
@example("{{}")
@example('{"{"{"":1}')
@example('{"\\u{"a":1}')
@example('{"a":1.{}')
@example('{"a":-{}{}')
@example('{"a":1e{}')
@example('{"a":tru{}')
@example('{"a"{}')
@example('{"a" \n{"b"\t:1}')
@example("{ \x0b{}")
def test_it_equals_the_reference(text: str) -> None:
    assert find_objects(text) == reference(text)


@given(st.lists(texts, max_size=5), st.sampled_from(["", "\n", ", ", " and "]))
def test_objects_side_by_side_are_counted(objects: list[str], between: str) -> None:
    assert len(find_objects(between.join(objects))) == len(objects)


@pytest.mark.parametrize(
    ("text", "objects"),
    [
        ('{"items":[{"a":1},{"a":2}', 0),
        ('{"a":1}{"a":1}', 2),
        ('so { it goes {"a":"}"}', 1),
        ('{"rows":[{"a":1},{"a":2}],"ok":True}', 0),
        ('{"a":1,"a":1}', 1),
        ("[{},{}]", 2),
        ("", 0),
    ],
)
def test_the_verdict(text: str, objects: int) -> None:
    verdict = DuplicateJsonObjects().evaluate(None, Completion(example_id="x", text=text))
    assert verdict.counts == {"objects": objects}
    assert verdict.passed is (objects < 2)
    assert verdict.labels == (() if objects < 2 else ("duplicate_objects",))


def test_the_problem_spans_from_the_second_object_on() -> None:
    text = '{"a":1} then {"b":2} and {"c":3}.'
    verdict = DuplicateJsonObjects().evaluate(None, Completion(example_id="x", text=text))
    (problem,) = verdict.problems
    assert text[problem.start : problem.end] == '{"b":2} and {"c":3}'
