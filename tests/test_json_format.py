"""Strict JSON: what passes, what fails, and that two independent judges agree on every text."""

from __future__ import annotations

import json
import sys
from random import Random
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from fmtharness.evaluators.json.corruptions import CORRUPTIONS
from fmtharness.evaluators.json.format import JsonFormat
from fmtharness.evaluators.json.labels import Problems
from fmtharness.evaluators.json.recovery import walk
from fmtharness.harness.surroundings import MOST_OF_ONE_LABEL
from tests.references import check
from tests.strategies import (
    at_least,
    broken_texts,
    json_objects,
    json_values,
    mutated_texts,
    prose,
    written_texts,
)

STRICT = JsonFormat()
ANY = JsonFormat(root="any")


def labels(text: str, judge: JsonFormat = STRICT) -> set[str]:
    return {problem.label for problem in judge.parse(text).problems}


judges = st.builds(
    JsonFormat,
    root=st.sampled_from(["object", "array", "any"]),
    max_depth=st.sampled_from([1, 2, 3, 64]),
    unique_keys=st.booleans(),
    unicode_scalars=st.booleans(),
)
texts = written_texts(json_objects(6)).map(lambda pair: pair[0])


@given(json_values(), st.booleans(), st.sampled_from([None, 0, 2]))
def test_whatever_dumps_writes_passes_and_comes_back(
    value: Any, ascii_only: bool, indent: int | None
) -> None:
    parsed = ANY.parse(json.dumps(value, ensure_ascii=ascii_only, indent=indent))
    assert parsed.ok
    assert json.dumps(parsed.value) == json.dumps(value)


@pytest.mark.parametrize(
    "value",
    [
        *({"a": "\ud800"}, {"\udfff": 1}, {1: "a"}, {True: 1}, {None: 1}, {"1": 1, 1: 2}, [1], "x"),
        *({"a": float("nan")}, {"a": object()}, {"a": {1, 2}}, {"a": b"x"}, {"a": [{1.5: 2}]}),
    ],
)
def test_what_would_not_come_back_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):
        STRICT.render(value)


def test_what_may_be_written_follows_the_options() -> None:
    assert JsonFormat(unicode_scalars=False).render({"a": "\ud800"}) == '{"a": "\ud800"}'
    with pytest.raises(ValueError, match="object"):
        JsonFormat(root="array").render({})
    with pytest.raises(ValueError, match="would read"):
        JsonFormat(unique_keys=False).render({"1": 1, 1: 2})


@pytest.mark.parametrize("depth", [65, 100_000])
def test_a_value_deeper_than_allowed_is_refused(depth: int) -> None:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"a": value}
    with pytest.raises(ValueError):
        STRICT.render(value)


@given(json_objects())
def test_what_it_renders_it_parses(value: dict[str, Any]) -> None:
    assert STRICT.parse(STRICT.render(value)).value == value


@given(written_texts(json_values()))
def test_odd_whitespace_and_escapes_pass(pair: tuple[str, Any]) -> None:
    text, value = pair
    parsed = ANY.parse(text)
    assert parsed.ok, parsed.problems
    assert json.dumps(parsed.value) == json.dumps(value)


@at_least(400)
@given(mutated_texts(texts), judges)
def test_a_mutation_is_judged_as_the_standard_library_would(text: str, judge: JsonFormat) -> None:
    check(text, judge)


@at_least(400)
@given(mutated_texts(mutated_texts(broken_texts())), judges)
@example("{", STRICT)
@example('{"a":1}\x00', STRICT)
@example("\ufeff", STRICT)
@example('"\\', ANY)
@example("-", ANY)
@example("1.e5", ANY)
@example("truefalse", ANY)
@example('" {} "', ANY)
@example('{"a":"\\ud83d\\u0041"}', STRICT)
@example('{"\\u0061":1,"a":2}', STRICT)
@example('{"a":{"b":1,"b":1}}', STRICT)
@example('["\\ud83d","\\ude00"]', ANY)
def test_a_broken_text_is_judged_as_the_standard_library_would(
    text: str, judge: JsonFormat
) -> None:
    check(text, judge)


@given(st.text(max_size=40), judges)
def test_any_text_at_all_is_judged(text: str, judge: JsonFormat) -> None:
    check(text, judge)


@given(texts)
def test_the_diagnosing_walk_finds_nothing_in_a_valid_text(text: str) -> None:
    problems = Problems()
    start = len(text) - len(text.lstrip())
    end = walk(text, start, problems, 64, True)
    assert problems.in_order() == ()
    assert end == len(text.rstrip())


@given(texts, st.data())
def test_every_proper_prefix_is_truncated_and_nothing_else(text: str, data: st.DataObject) -> None:
    text = text.strip()
    cut = data.draw(st.integers(1, len(text) - 1))
    problems = STRICT.parse(text[:cut]).problems
    assert [problem.label for problem in problems] == ["truncated"]


def test_a_cut_inside_a_pair_of_escapes_leaves_no_lone_surrogate() -> None:
    text = '{"a": "\\ud83d\\ude00"}'
    for cut in range(1, len(text)):
        assert labels(text[:cut]) == {"truncated"}
    assert labels(text[:12] + '"}') == {"bad_escape"}
    assert labels(text[:13] + '"}') == {"lone_surrogate"}


@at_least(300)
@given(json_objects(), st.sampled_from(sorted(STRICT.corruptions())), st.integers())
def test_a_corruption_carries_its_own_label(value: Any, name: str, seed: int) -> None:
    corrupt = STRICT.corruptions()[name]
    text = STRICT.render(value)
    broken = corrupt(text, Random(seed))
    assume(broken is not None)
    assert broken is not None
    assert broken == corrupt(text, Random(seed))
    assert name in labels(broken), broken


@given(st.lists(json_values(6), max_size=4), st.integers(), st.sampled_from(sorted(CORRUPTIONS)))
def test_a_corruption_of_an_array_carries_its_own_label(value: Any, seed: int, name: str) -> None:
    broken = CORRUPTIONS[name](ANY.render(value), Random(seed))
    assume(broken is not None)
    assert broken is not None
    assert name in labels(broken, JsonFormat(root="array")), broken


RICH = {
    "name": "Ada",
    "age": 36,
    "tags": ["x", "y z"],
    "ok": True,
    "none": None,
    "rows": [{"id": 1, "score": 0.5}, {"id": 2, "score": -1}],
}


@pytest.mark.parametrize("name", sorted(STRICT.corruptions()))
def test_a_rich_record_can_be_broken_every_way(name: str) -> None:
    broken = STRICT.corruptions()[name](STRICT.render(RICH), Random(7))
    assert broken is not None
    assert name in labels(broken)


def test_corruptions_follow_the_options() -> None:
    lax = JsonFormat(root="any", unique_keys=False, unicode_scalars=False).corruptions()
    assert set(STRICT.corruptions()) - set(lax) == {"duplicate_key", "lone_surrogate", "wrong_root"}


@given(texts, prose(), prose())
def test_prose_around_a_value_does_not_hide_where_it_stands(
    text: str, before: str, after: str
) -> None:
    text = text.strip()
    whole = f"{before}\n{text}\n{after}"
    diagnosis = STRICT.diagnose(whole)
    assert whole[diagnosis.start : diagnosis.end] == text
    spans = {problem.label: whole[problem.start : problem.end] for problem in diagnosis.problems}
    assert spans == {"text_before": before, "text_after": after}


@given(texts)
def test_fence_trailing_comma_and_prose_are_all_reported(text: str) -> None:
    broken = text.strip()[:-1] + ',"zz": True,}'
    broken = broken if text.strip()[1:-1].strip() else '{"zz": True,}'
    assert labels(f"```json\n{broken}\n```\nBye") == {
        *("code_fence", "python_literal", "trailing_comma", "text_after"),
    }


def nested(depth: int) -> str:
    return '{"a":' * (depth - 1) + "{}" + "}" * (depth - 1)


@pytest.mark.parametrize("limit", [1, 2, 64, 201, 5000])
def test_depth_is_exact(limit: int) -> None:
    judge = JsonFormat(max_depth=limit)
    assert judge.parse(nested(limit)).ok
    problems = judge.parse(nested(limit + 1)).problems
    assert [problem.label for problem in problems] == ["too_deep"]
    assert problems[0].start == len('{"a":') * limit


def test_wide_is_not_deep() -> None:
    rows = [{"a": [1], "b": "[[{{"} for _ in range(500)]
    assert STRICT.parse(json.dumps({"rows": rows})).value == {"rows": rows}


def test_the_caller_s_stack_does_not_decide() -> None:
    text = nested(64)

    def at(frames: int) -> bool:
        return at(frames - 1) if frames else STRICT.parse(text).ok

    here = 0
    frame: Any = sys._getframe()
    while frame:
        here, frame = here + 1, frame.f_back
    assert at(sys.getrecursionlimit() - here - 60)


def test_a_large_recursion_limit_does_not_crash() -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000_000)
    try:
        assert labels("[" * 200_000) == {"too_deep", "truncated", "wrong_root"}
        deep = JsonFormat(root="array", max_depth=1_000_000)
        assert deep.parse("[" * 200_000 + "]" * 200_000).ok
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize("digits", ["9" * 639, "9" * 641, "-" + "7" * 5000, "1" + "0" * 20_000])
def test_integers_of_any_size(digits: str) -> None:
    limit = sys.get_int_max_str_digits()
    value = STRICT.parse(f'{{"a": {digits}, "b": [{digits}]}}').value["a"]
    assert sys.get_int_max_str_digits() == limit
    sys.set_int_max_str_digits(0)
    try:
        assert value == int(digits)
    finally:
        sys.set_int_max_str_digits(limit)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-0", 0),
        ("1e400", float("inf")),
        ("1E-400", 0.0),
        ("0.1e+1", 1.0),
        ("123456789012345678901", 123456789012345678901),
    ],
)
def test_numbers_that_the_grammar_allows(text: str, value: float) -> None:
    assert ANY.parse(text).value == value


def test_problems_of_one_label_are_bounded_and_labels_are_not() -> None:
    problems = STRICT.parse('{"a": [' + "True, " * 1000 + "NaN]}").problems
    assert [problem.label for problem in problems].count("python_literal") == MOST_OF_ONE_LABEL
    assert problems[-1].label == "nan_or_infinity"
