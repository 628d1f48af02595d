"""Whether an answer meets what an open request demands, and with content of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fmtharness.evaluators.answers.open_request import LABELS, OpenRequest
from fmtharness.harness.cli import main
from fmtharness.harness.contracts import applies, lacks
from fmtharness.harness.judging.tally import tally
from fmtharness.harness.records import Completion, Example, Message, Verdict
from tests.fakes import ROOT

PROMPT = "Write a post about a flea market with two offers. Reply with JSON only."
GOOD = {
    "title": "Treasures in the old mill",
    "offers": [
        {"item": "a brass lamp", "price": 12},
        {"item": "two umbrellas, in case of rain", "price": 5},
    ],
}
DEMANDS: dict[str, Any] = {
    "required_keys": ["title", "offers", "offers.*.item"],
    "required_words": ["rain", "12"],
    "forbidden_words": ["cheap"],
    "lengths": {"offers": 2},
}


def judged(value: Any, name: str = "json", prompt: str = PROMPT, **tags: Any) -> Verdict:
    example = Example(id="x", prompt=(Message("user", prompt),), format=name, tags=DEMANDS | tags)
    text = value if isinstance(value, str) else json.dumps(value)
    return OpenRequest().evaluate(example, Completion(example_id="x", text=text))


def test_an_answer_that_meets_all_passes() -> None:
    verdict = judged(GOOD)
    assert verdict.passed and not verdict.labels
    assert verdict.counts == {
        "keys_asked": 3, "keys_present": 3, "words_asked": 2, "words_present": 2,
        "values": 3, "distinct_values": 3, "echo": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "label"),
    [
        ({"title": None}, ""),
        ({"offers": GOOD["offers"][:1]}, "wrong_length"),
        ({"title": "It is cheap!"}, "forbidden_word"),
        ({"title": "A cheaper market"}, ""),
        ({"offers": [{"item": "a lamp"}, {"item": "12 umbrellas"}]}, "missing_required_word"),
        ({"offers": [{"item": "rain, rainy"}, {"price": 12}]}, "missing_required_key"),
        ({"offers": [{"item": "rainy lamps"}, {"item": "12"}]}, "missing_required_word"),
        ({"offers": {"item": "rain at 12"}}, "missing_required_key"),
        ({"offers": {"item": "rain at 12"}}, "wrong_length"),
    ],
)
def test_each_demand_has_its_label(change: dict[str, Any], label: str) -> None:
    verdict = judged(GOOD | change)
    assert label in verdict.labels if label else verdict.passed
    assert set(verdict.labels) <= LABELS.keys()


def test_in_an_empty_array_no_key_is_lacking() -> None:
    verdict = judged({"title": "12 days of rain and no lamps", "offers": []}, lengths={})
    assert verdict.passed and verdict.counts["keys_present"] == 3


def test_a_text_that_is_not_strict_has_no_key_and_no_word() -> None:
    verdict = judged(json.dumps(GOOD) + " Done.")
    assert verdict.labels == ("not_strict",)
    assert verdict.counts == {"keys_asked": 3, "words_asked": 2}


@pytest.mark.parametrize(
    "value",
    [
        {"flea": "flea", "market": "market"},
        {"flea": "Flea!", "market": "the market"},
        {"post": "flea market", "offers": "two offers"},
        {"flea": True, "market": None},
        {"fleaMarket": "market", "twoOffers": "offers"},
        {},
        {"title": "title", "offers": [{"item": "item"}, {"item": "rain 12"}]},
    ],
)
def test_an_echo_gets_no_credit(value: dict[str, Any]) -> None:
    verdict = judged(value)
    assert "echo" in verdict.labels and verdict.counts["echo"] == 1


@pytest.mark.parametrize(
    "value",
    [
        {"market": "A sunny Sunday with lamps"},
        {"type": "type", "a": "One lamp", "b": "Two lamps", "c": "Some books", "d": "No fleas"},
        {"text": PROMPT * 3},
    ],
)
def test_content_is_no_echo(value: dict[str, Any]) -> None:
    assert "echo" not in judged(value).labels


@pytest.mark.parametrize(
    ("prompt", "value", "echo"),
    [
        ("Give me the width and height of a door in cm.", {"width": 80, "height": 200.5}, False),
        ("List the first five primes.", {"primes": [2, 3, 5, 7, 11]}, False),
        ("Draw 3 of 5, 7, 9 and 2.5.", {"drawn": [7, 9, 2.5]}, True),
        ("Draw 3 of 5, 7, 9 and 2.5.", {"drawn": [7, 9, 3.5, 4]}, False),
        ("Yes or no: is snow cold?", {"answer": True}, False),
        ('Fill in {"cold": {"type": "boolean"}}.', {"cold": False}, False),
        ("Yes or no: is snow cold?", {"answer": None}, True),
        ("Yes or no: is snow cold?", {"snow": "snow", "cold": True}, True),
        ("Write about snow.", {"snow": True}, True),
    ],
)
def test_numbers_and_flags_are_content_unless_they_are_copied(
    prompt: str, value: dict[str, Any], echo: bool
) -> None:
    assert ("echo" in judged(value, prompt=prompt).labels) == echo


def test_values_that_repeat_each_other() -> None:
    offers = [{"item": "rain", "price": "12"}] * 2
    verdict = judged({"title": "rain", "offers": offers, "end": "rain", "more": "rain"})
    assert "repeated_values" in verdict.labels
    assert (verdict.counts["values"], verdict.counts["distinct_values"]) == (7, 2)


def test_a_schema_that_the_prompt_shows() -> None:
    schema = {"type": "object", "properties": {"title": {"maxLength": 10}}}
    assert judged(GOOD, json_schema=schema).labels == ("not_schema_valid",)
    assert judged(GOOD | {"title": "Lamps"}, json_schema=schema).passed
    text = "title: Treasures in the mill\noffers: []\nnote: rain at 12\n"
    assert judged(text, "yaml", json_schema=schema, lengths={}).labels == ("not_schema_valid",)


def test_other_formats() -> None:
    text = "title: Treasures in the old mill\noffers:\n  - item: a lamp\n  - item: rain at 12"
    assert judged(text, "yaml").passed
    assert judged(text).labels == ("not_strict",)
    assert judged("<d><title>Rain at 12</title></d>", "xml", lengths={}).labels == (
        "missing_required_key",
    )


def test_an_example_without_demands_is_left_out() -> None:
    plain = Example(id="x", prompt=(Message("user", "?"),), format="json")
    assert lacks(OpenRequest(), plain) == lacks(OpenRequest(), None) == "tag required_keys"
    assert not applies(OpenRequest(), plain)


def test_a_tag_of_another_shape() -> None:
    with pytest.raises(ValueError, match="tag required_words must be a list of texts, not 'rain'"):
        judged(GOOD, required_words="rain")


def test_the_rates() -> None:
    sums = tally([OpenRequest()], [judged(GOOD), judged({"flea": "flea"}), judged("no")])
    rates = {
        rate.name: (rate.numerator, rate.denominator) for rate in sums.metrics()["open_request"]
    }
    assert rates == {
        "request_met_rate": (1, 3),
        "required_keys_rate": (3, 9),
        "required_words_rate": (2, 6),
        "distinct_values_rate": (4, 4),
        "echo_rate": (1, 3),
    }


def test_the_open_requests_can_be_judged(tmp_path: Path) -> None:
    data = ROOT / "data" / "open" / "requests.jsonl"
    lines = data.read_text(encoding="utf-8").splitlines()
    answers = tmp_path / "answers.jsonl"
    rows = [{"id": json.loads(line)["id"], "text": json.dumps(GOOD)} for line in lines]
    answers.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = ["eval", "--completions", str(answers), "--data", str(data), "--json"]
    result = CliRunner().invoke(main, [*asked, "--evaluator", "open_request"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["open_request"]
    assert found["scored"] == len(rows) == 144
    assert 0 < found["metrics"]["request_met_rate"]["numerator"] < 72
