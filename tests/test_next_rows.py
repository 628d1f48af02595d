"""What the next round trains on: the model's own answers, sorted."""

from __future__ import annotations

from msgspec import UNSET, structs

from fmtharness.harness.options import build
from fmtharness.harness.records import NO_FORMAT, Completion, Example, Message, Problem
from fmtharness.harness.run.next_rows import next_rows, unlooped

JUDGES = [build("evaluators", name) for name in ("json_strict", "json_match")]


def example(name: str, *, free: bool = False, completion: str | None = '{"a": 1}') -> Example:
    return Example(
        id=name,
        prompt=(Message("user", f"Give me {name} as JSON."),),
        completion=completion,
        format="json",
        value=UNSET if free else {"a": 1},
    )


def answered(
    text: str, *, reason: str = "stop", **how: object
) -> tuple[list[Example], list[Completion]]:
    made = Completion(example_id="one", text=text, finish_reason=reason)  # type: ignore[arg-type]
    return [example("one", **how)], [made]  # type: ignore[arg-type]


def test_an_answer_that_passes_becomes_a_row_of_its_own() -> None:
    rows = next_rows(*answered('{"b": "free"}', free=True), JUDGES)
    (row,) = rows.passed
    assert (row.completion, row.rejected) == ('{"b": "free"}', None)
    assert (rows.pairs, rows.left_out, rows.labels) == ([], 0, {})


def test_an_answer_that_passes_is_not_preferred_to_itself() -> None:
    made, answers = answered('{"b": "free"}', free=True)
    for rejected, kept in (('{"b": "free"}', None), ('{"b"}', '{"b"}')):
        (row,) = next_rows([structs.replace(made[0], rejected=rejected)], answers, JUDGES).passed
        assert (row.completion, row.rejected) == ('{"b": "free"}', kept)


def test_a_wrong_value_gives_a_row_with_the_target_unless_the_content_is_free() -> None:
    rows = next_rows(*answered('{"a": 2}'), JUDGES)
    (row,) = rows.passed
    assert (row.completion, row.rejected, rows.pairs) == ('{"a": 1}', None, [])
    assert rows.labels == {"wrong_value": 1}
    (row,) = next_rows(*answered('{"a": 2}', free=True), JUDGES).passed
    assert row.completion == '{"a": 2}'


def test_a_broken_free_answer_is_rejected_for_itself_mended() -> None:
    rows = next_rows(*answered('{"b": "x"}}', free=True), JUDGES)
    (pair,) = rows.pairs
    assert (pair.completion, pair.rejected) == ('{"b": "x"}', '{"b": "x"}}')
    assert rows.labels == {"text_after": 1}


def test_a_cut_answer_is_rejected_for_the_target() -> None:
    rows = next_rows(*answered('{"b": "x', free=True, reason="length"), JUDGES)
    assert [pair.completion for pair in rows.pairs] == ['{"a": 1}']
    assert rows.labels == {"truncated": 1}
    assert rows.pairs[0].tags["rejected_finish_reason"] == "length"


def test_a_cut_answer_that_passes_is_left_out() -> None:
    rows = next_rows(*answered('{"b": 1}', free=True, reason="length"), JUDGES)
    assert (rows.passed, rows.pairs, rows.left_out) == ([], [], 1)


def test_a_mended_answer_that_an_evaluator_fails_is_not_chosen() -> None:
    judges = [*JUDGES, build("evaluators", "open_request")]
    made, answers = answered('{"b": "x"}}', free=True)
    asked = structs.replace(made[0], tags={"required_keys": ["a"]})
    (pair,) = next_rows([asked], answers, judges).pairs
    assert (pair.completion, pair.rejected) == ('{"a": 1}', '{"b": "x"}}')


def test_chat_in_a_format_is_rejected_for_the_target() -> None:
    chat = Example(
        id="chat", prompt=(Message("user", "Hi"),), completion="Hello!", format=NO_FORMAT
    )
    judges = [*JUDGES, build("evaluators", "unasked_format")]
    made = [Completion(example_id="chat", text='{"greeting": "Hi"}', finish_reason="stop")]
    (pair,) = next_rows([chat], made, judges).pairs
    assert (pair.completion, pair.rejected) == ("Hello!", '{"greeting": "Hi"}')


def test_what_nothing_can_be_preferred_to_is_left_out() -> None:
    rows = next_rows(*answered("no", free=True, completion=None), JUDGES)
    assert (rows.passed, rows.pairs, rows.left_out) == ([], [], 1)


def test_an_answer_that_no_evaluator_judges_is_left_out() -> None:
    chat = Example(id="chat", prompt=(Message("user", "Hi"),), format=NO_FORMAT)
    rows = next_rows([chat], [Completion(example_id="chat", text="Hello!")], JUDGES)
    assert (rows.passed, rows.pairs, rows.left_out) == ([], [], 1)


def test_an_answer_that_is_an_error_is_left_out() -> None:
    made = Completion(example_id="one", text="", finish_reason="error", error="too long")
    assert next_rows([example("one")], [made], JUDGES).left_out == 1


def test_a_free_answer_that_loops_is_rejected_for_itself_without_the_loop() -> None:
    judges = [*JUDGES, build("evaluators", "loops")]
    looped = '{"notes": [' + ", ".join(['"It rains in the old town"'] * 20) + '], "b": 1}'
    (pair,) = next_rows(*answered(looped, free=True), judges).pairs
    assert pair.completion == '{"notes": ["It rains in the old town"], "b": 1}'
    cut = looped[:400]
    (pair,) = next_rows(*answered(cut, free=True, reason="length"), judges).pairs
    assert pair.completion == '{"notes": ["It rains in the old town"]}'
    assert pair.tags["rejected_finish_reason"] == "length"


def test_one_period_of_a_loop_stays() -> None:
    text = "say ho ho ho ho now"
    assert unlooped(text, Problem("loop", "", 4, 16)) == ["say now", "say ho now", "say ho "]
    assert unlooped("abc", Problem("loop", "", 0, 3)) == []


def test_an_answer_that_is_cut_off_and_passes_is_left_out() -> None:
    made = answered('{"a": 1}', reason="length")
    assert next_rows(*made, JUDGES).left_out == 1
