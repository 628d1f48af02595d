"""Answers that repeat themselves, beside targets."""

from __future__ import annotations

from random import Random

import pytest

from fmtharness.evaluators.answers.loops import Loops
from fmtharness.generators.dice import Dice
from fmtharness.generators.looping import endless, looped
from fmtharness.generators.tasks import Tasks
from fmtharness.harness.records import Completion

OPEN = {"open_writing": 1.0, "long_list": 1.0}


def loops(text: str) -> bool:
    judged = Completion(example_id="0", text=text, finish_reason="length")
    return not Loops().evaluate(None, judged).passed


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ('{"items": ["a cup", "a plate", "a fork"]}', '"a plate", '),
        ('{"text": "Rain falls all day. The lake rises slowly. Boats leave."}', "The lake rises"),
        ("first line\nsecond line here\nthird\n", "second line here\n"),
        ('{"a": "one", "b": "two", "c": 3}', '"b": "two", '),
    ],
)
def test_a_unit_of_the_text_repeats_to_its_end(text: str, unit: str) -> None:
    found = [each for i in range(60) if (each := looped(text, Dice(str(i))))]
    assert len(found) == 60
    assert all(len(each) > len(text) // 2 for each in found)
    assert any(each.count(unit) > 2 for each in found)
    assert not any(each.endswith(("}", "]")) for each in found)


def test_the_keys_of_repeated_pairs_may_be_numbered() -> None:
    found = [looped('{"a": "one", "b": "two"}', Dice(str(i))) for i in range(30)]
    assert any(each and '"a_1": "one", "a_2": "one"' in each for each in found)


def test_a_text_without_a_unit_has_no_loop() -> None:
    assert looped("{}", Dice("0")) is None


def test_an_array_finds_no_end() -> None:
    text = '{"days": [{"day": 1, "meal": "soup"}, {"day": 2, "meal": "rice"}], "by": "Ada"}'
    found = [each for i in range(30) if (each := endless(text, Dice(str(i))))]
    assert len(found) == 30
    assert all(each.startswith(text[:-15]) and not each.endswith("]") for each in found)
    assert all('{"day": 3, "meal": ' in each and '{"day": 4, "meal": ' in each for each in found)
    assert any('"day": 3, "meal": "soup"' in each for each in found)
    assert endless('{"a": "one"}', Dice("0")) is None
    story = '{"text": "Rain falls all day. The lake rises slowly."}'
    told = [each for i in range(9) if (each := endless(story, Dice(str(i))))]
    assert all(each.startswith(story[:-2]) and each.endswith(".") for each in told)
    assert len({*told}) > 3
    cups = '{"items": ["a cup", "a plate"]}'
    goes_on = [each for i in range(20) if (each := endless(cups, Dice(str(i))))]
    assert all(each.startswith('{"items": ["a cup", "a plate", "a ') for each in goes_on)
    assert any('"a items"' in each for each in goes_on)  # with a word of another place


def test_a_replaced_word_breaks_no_escape() -> None:
    text = r'{"notes": ["salt\nwater tonight", "salt\nwater"]}'
    found = [each for i in range(60) if (each := endless(text, Dice(str(i))))]
    assert len({*found}) > 20
    assert all(each.count("\\") == each.count(r"\nwater") for each in found)


def test_most_answers_without_an_end_are_arrays() -> None:
    text = '{"items": ["a cup", "a plate"], "text": "Rain falls all day. The lake rises slowly."}'
    found = [each for i in range(100) if (each := endless(text, Dice(str(i))))]
    arrays = sum(text[:40] not in each for each in found)
    assert 60 < arrays < 90


def test_rejected_answers_repeat_or_find_no_end_and_move_no_other_draw() -> None:
    families = {**OPEN, "extract": 1.0}
    plain = Tasks(families=families, fix_bad_output_prob_train=0)
    pairs = plain.model_copy(update={"loop_prob_train": 1.0})
    before = [*plain.generate("train", 90, Random(3))]
    after = [*pairs.generate("train", 90, Random(3))]
    assert [each.completion for each in after] == [each.completion for each in before]
    rejected = {each.tags["family"]: each for each in after if each.rejected is not None}
    assert rejected.keys() == families.keys()
    texts = [each.rejected for each in after if each.rejected]
    assert sum(map(loops, texts)) >= 0.3 * len(texts)
    assert all(each.tags["rejected_finish_reason"] == "length" for each in rejected.values())
    assert not [each for each in pairs.generate("eval", 60, Random(3)) if each.rejected]
