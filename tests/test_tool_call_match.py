"""The match of tool calls as BFCL counts it: name and arguments, parallel calls in any order."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmtharness.evaluators.json.tool_call_pairs import MOST_PAIRS, paired
from fmtharness.harness.matching import correct, leaves, same_value
from fmtharness.harness.options import build
from fmtharness.harness.records import Completion, Example, Message, Verdict


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


def judged(value: Any, text: str, **tags: Any) -> Verdict:
    example = Example(
        id="x",
        prompt=(Message("user", "?"),),
        completion="",
        format="tool_call",
        value=value,
        tags=tags,
    )
    found = build("evaluators", "tool_call_match").evaluate(
        example, Completion(example_id="x", text=text)
    )
    assert isinstance(found, Verdict)
    return found


OSLO, RIGA, RING = call("book", city="Oslo", n=4), call("book", city="Riga", n=2), call("ring")


@pytest.mark.parametrize(
    ("value", "predicted", "expected", "given", "right"),
    [
        (OSLO, OSLO, 3, 3, 3),
        (OSLO, [OSLO], 3, 3, 3),
        ([OSLO], OSLO, 3, 3, 3),
        ([OSLO, RING, RIGA], [RIGA, OSLO, RING], 8, 8, 8),
        ([OSLO, OSLO], [OSLO, RIGA], 6, 6, 4),
        ([OSLO, RIGA], [RIGA], 6, 3, 3),
        ([RING, OSLO], [OSLO], 5, 3, 3),
        ([OSLO], [RING, OSLO], 3, 5, 3),
        ([OSLO, RIGA], [call("book", city="Riga", n=9), call("book", city="Oslo", n=9)], 6, 6, 4),
        (OSLO, call("book", city="Oslo", n=4.0), 3, 3, 3),
        (OSLO, call("book", city="oslo", n=4), 3, 3, 2),
        (OSLO, call("book", city="Oslo", n="4"), 3, 3, 2),
        (OSLO, call("cook", city="Oslo", n=4), 3, 3, 2),
        (OSLO, call("book", city="Oslo"), 3, 2, 2),
    ],
)
def test_fields(value: Any, predicted: Any, expected: int, given: int, right: int) -> None:
    found = judged(value, json.dumps(predicted))
    assert found.counts == {
        "fields_expected": expected,
        "fields_predicted": given,
        "fields_correct": right,
    }
    assert found.passed is (expected == given == right)


def test_a_text_that_is_not_strict_predicts_no_field() -> None:
    assert judged([OSLO, RING], f"{json.dumps(OSLO)};").counts["fields_predicted"] == 0


some_calls = st.lists(
    st.builds(
        lambda name, city, n: call(name, city=city, n=n),
        st.sampled_from("ab"),
        st.sampled_from(["Oslo", "Riga"]),
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=4,
)


@given(some_calls, some_calls)
def test_no_other_pairing_has_more_right_fields(ours: Any, theirs: Any) -> None:
    one, other = paired(ours, theirs)
    assert sorted(map(json.dumps, one.values())) == sorted(map(json.dumps, ours))
    assert sorted(map(json.dumps, other.values())) == sorted(map(json.dumps, theirs))
    padded = theirs + [None] * max(len(ours) - len(theirs), 0)
    best = max(
        sum(correct(leaves(a), leaves(b)) for a, b in zip(ours, order, strict=False))
        for order in itertools.permutations(padded)
    )
    assert correct(leaves(other), leaves(one)) == best
    assert same_value(one, other) is (
        sorted(map(json.dumps, ours)) == sorted(map(json.dumps, theirs))
    )


def test_very_many_calls_are_paired_in_their_order() -> None:
    many = [call("a", n=n) for n in range(int(MOST_PAIRS**0.5) + 1)]
    one, other = paired(many, many[::-1])
    assert list(one.values()) == many and list(other.values()) == many[::-1]


POSSIBLE = [
    {"book": {"city": ["Oslo", "Oslo, Norway"], "n": [4, 5], "note": ["quiet", ""]}},
    {"ring": {}},
]


@pytest.mark.parametrize(
    ("predicted", "right"),
    [
        ([call("book", city="Oslo", n=4), RING], True),
        ([RING, call("book", city="Oslo, Norway", n=5, note="quiet")], True),
        ([call("book", city="Oslo", n=4, note="loud"), RING], False),
        ([call("book", city="Oslo", n=6), RING], False),
        ([call("book", city="Oslo"), RING], False),
        ([call("book", city="Oslo", n=4, more=1), RING], False),
        ([call("book", city="Oslo", n=4)], False),
    ],
)
def test_possible_answers(predicted: Any, right: bool) -> None:
    found = judged([OSLO, RING], json.dumps(predicted), possible_answers=POSSIBLE)
    assert found.passed is right
    assert found.counts["fields_correct"] <= found.counts["fields_expected"]
    if right:
        assert found.counts["fields_expected"] == len(leaves(predicted))


@pytest.mark.parametrize("possible", [[{"book": {"city": "Oslo"}}], [{"a": {}, "b": {}}], [4], 4])
def test_possible_answers_of_another_form(possible: Any) -> None:
    with pytest.raises(ValueError, match="possible_answers"):
        judged(OSLO, json.dumps(OSLO), possible_answers=possible)


STRICTER = "where BFCL overlooks case, blanks and punctuation"


@pytest.mark.parametrize(
    ("expected", "predicted", "right"),
    [
        ([call("f", a=1), RING], [RING, call("f", a=1)], True),
        (call("f", a=1, b=2), {"arguments": {"b": 2, "a": 1}, "name": "f"}, True),
        (call("f", a=1), call("f", a=1.0), True),
        (call("f", a=0), call("f", a=-0.0), True),
        (call("f", a=[[1, 2], [3]]), call("f", a=[[1, 2], [3.0]]), True),
        (call("f", a=1), call("f", a="1"), False),
        (call("f", a=True), call("f", a=1), False),
        (call("f", a=None), call("f"), False),
        (call("f", a={}), call("f"), False),
        (call("f", a={}), call("f", a=[]), False),
        (call("f", a=[[1, 2], [3]]), call("f", a=[[3], [1, 2]]), False),
        (call("f", a=1), call("f", a=1, b=2), False),
        (call("f", a=1), [call("f", a=1), call("f", a=1)], False),
        ([call("f", a=1), call("f", a=1)], call("f", a=1), False),
        (call("f", a=12345678901234567890), call("f", a=12345678901234567891), False),
        (call("F"), call("f"), False),
        (call("a.b"), call("a_b"), False),
        (call("f", a="New York"), call("f", a="new york"), STRICTER),
        (call("f", a="New York, NY"), call("f", a="New York NY"), STRICTER),
        (call("f", a="a b"), call("f", a="ab"), STRICTER),
    ],
)
def test_what_is_the_same_call(expected: Any, predicted: Any, right: bool | str) -> None:
    assert judged(expected, json.dumps(predicted)).passed is (right is True)


NESTED = [{"f": {"d": [{"k": ["v", "w"], "o": ["z", ""]}], "l": [[{"q": [1, 2]}, {"q": [3]}], ""]}}]


@pytest.mark.parametrize(
    ("arguments", "right"),
    [
        ({"d": {"k": "v"}}, True),
        ({"d": {"k": "w", "o": "z"}, "l": [{"q": 2}, {"q": 3}]}, True),
        ({"d": {"k": "x"}}, False),
        ({"d": {}}, False),
        ({"d": {"k": "v", "o": "y"}}, False),
        ({"d": {"k": "v", "other": 1}}, False),
        ({"d": {"k": "v"}, "l": [{"q": 3}, {"q": 2}]}, False),
        ({"d": {"k": "v"}, "l": [{"q": 1}]}, False),
        ({"d": {"k": "v"}, "l": [{"q": 1}, {"q": 3}, {"q": 3}]}, False),
        ({"d": {"k": ["v", "w"]}}, False),
        ({"d": "v"}, False),
    ],
)
def test_possible_answers_with_nested_objects(arguments: Any, right: bool) -> None:
    found = judged(
        call("f"), json.dumps({"name": "f", "arguments": arguments}), possible_answers=NESTED
    )
    assert found.passed is right
