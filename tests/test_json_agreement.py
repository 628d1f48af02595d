"""The judge against other readers of JSON: a grammar by characters, orjson, itself elsewhere."""

from __future__ import annotations

import json
from copy import deepcopy

import orjson
from hypothesis import assume, example, given
from hypothesis import strategies as st

from fmtharness.evaluators.json.format import JsonFormat
from fmtharness.evaluators.json.scanner import Scanner
from tests.references import Automaton
from tests.strategies import (
    PIECES,
    SPACES,
    at_least,
    broken_texts,
    json_values,
    mutated_texts,
    written_texts,
)

STRICT = JsonFormat()
GRAMMAR = JsonFormat(root="any", unique_keys=False, max_depth=1000)
texts = written_texts(json_values(6)).map(lambda pair: pair[0])
TOKENS = (*PIECES, '":', '","', "e", "+", "1e", "1.", "-", "nul", "\\u12", "[[", '":{"', '":["')


@at_least(300)
@given(st.lists(st.sampled_from(TOKENS), max_size=40))
def test_a_prefix_is_viable_where_the_grammar_says_so(tokens: list[str]) -> None:
    # Tokens that fit make the text longer; what each other one breaks is looked at and dropped.
    text, automaton, state = "{", Automaton(), "alive"
    automaton.feed("{")
    for token in tokens:
        tried, fed, state = deepcopy(automaton), 0, "alive"
        while state == "alive" and fed < len(token):
            state = tried.feed(token[fed])
            fed += state != "dead"
        scanner = Scanner(text + token, 0)
        assert scanner.run() == {"alive": "end", "done": "done", "dead": "broken"}[state]
        assert state == "alive" or scanner.pos == len(text) + fed
        if state == "alive":
            text, automaton = text + token, tried
            json.loads(text + automaton.shortest_end())


@at_least(300)
@given(st.one_of(texts, mutated_texts(texts), broken_texts(), mutated_texts(broken_texts())))
@example("\ufeff{}")
@example('"\\ud83d\\ude00\\ud83d"')
@example("-")
@example("1.e1")
@example("\x7f")
@example('"0\r')
@example('"\r')
@example(' "x\t\n')
@example('"a\\q" b')
def test_it_agrees_with_orjson(text: str) -> None:
    try:
        orjson.loads(text)
        accepted = True
    except orjson.JSONDecodeError as error:
        assume("infinity" not in str(error))  # JSON's grammar sets no limit to a number
        accepted = False
    assert GRAMMAR.parse(text).ok == accepted


@at_least(300)
@given(st.one_of(mutated_texts(texts), broken_texts()), SPACES)
def test_space_before_shifts_the_spans_and_changes_nothing_else(text: str, space: str) -> None:
    assume(text.strip(" \t\n\r") and not text.startswith("\ufeff"))
    problems = STRICT.parse(text).problems
    shifted = STRICT.parse(space + text).problems
    n = len(space)
    assert [(p.label, p.start + n, p.end + n) for p in problems] == [
        (p.label, p.start, p.end) for p in shifted
    ]


@at_least(300)
@given(st.one_of(mutated_texts(texts), broken_texts()), SPACES)
@example("0.", " ")
def test_space_behind_changes_nothing(text: str, space: str) -> None:
    problems = STRICT.parse(text).problems
    # Where the text is truncated, space may end up inside a string, or end a number.
    assume(not {problem.label for problem in problems} & {"truncated", "empty"})
    assert STRICT.parse(text + space).problems == problems
