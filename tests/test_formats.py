"""What the core derives from a Format: evaluators that know their format, mixes, pooled rates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import msgspec
import pytest

from fmtharness.harness.commands.arms import Arm
from fmtharness.harness.commands.eval import evaluate
from fmtharness.harness.config import implied, load_config
from fmtharness.harness.contracts import Corruption, Evaluator, Options, Parsed, Shape, applies
from fmtharness.harness.errors import ConfigError, UserError
from fmtharness.harness.formats import (
    also_judged_by,
    for_example,
    for_value,
    match_evaluator,
    options_of,
    strict_evaluator,
    title,
)
from fmtharness.harness.judging.tally import tally
from fmtharness.harness.judging.verdicts import judge
from fmtharness.harness.options import build
from fmtharness.harness.records import Completion, Example, Message, Problem, write_records
from tests.fakes import example


class Shout(Options):
    """A made-up format: {"said": "HI"} is "HI!", with as many marks as the Example wants."""

    name: ClassVar[str] = "shout"
    title: ClassVar[str] = "Shouting"
    shapes: ClassVar[frozenset[Shape]] = frozenset({"record"})
    evaluators: ClassVar[tuple[str, ...]] = ("extras",)
    marks: int = 1

    def for_value(self, value: Any) -> Shout:
        return self.model_copy(update={"marks": len(value["said"])})

    def instruction(self, value: Any) -> str:
        return "Shout."

    def render(self, value: Any) -> str:
        return str(value["said"]) + "!" * self.marks

    def parse(self, text: str) -> Parsed:
        said = text.rstrip("!")
        if len(text) - len(said) == self.marks:
            return Parsed({"said": said})
        return Parsed(problems=(Problem("meek", "too few marks", 0, len(text)),))

    def corruptions(self) -> Mapping[str, Corruption]:
        return {"meek": lambda text, rng: text.rstrip("!")}


STRICT, MATCH = strict_evaluator(Shout), match_evaluator(Shout)


def asked(said: str, **options: Any) -> Example:
    bound = for_value(Shout(), {"said": said})
    return Example(
        id=said,
        prompt=(Message("user", "?"),),
        completion=bound.render({"said": said}),
        format="shout",
        value={"said": said},
        format_options=options_of(bound) | options,
    )


def passed(evaluator: Evaluator, text: str, known: Example | None = None) -> bool | None:
    completion = Completion(example_id=known.id if known else "x", text=text)
    [verdict] = judge([evaluator], {known.id: known} if known else {}, [completion])
    return verdict.passed


def test_an_example_is_judged_with_its_own_options() -> None:
    known = asked("HEY")
    assert known.format_options == {"marks": 3}
    assert passed(STRICT(), "HEY!!!", known) and not passed(STRICT(), "HEY!", known)
    assert passed(STRICT(), "HEY!")
    assert passed(MATCH(), "HEY!!!", known) and not passed(MATCH(), "HOY!!!", known)


def test_what_is_set_on_the_evaluator_wins() -> None:
    known = asked("HEY")
    assert passed(STRICT(marks=1), "HEY!", known)
    assert for_example(STRICT(), known).marks == 3
    assert for_example(STRICT(marks=2), known).marks == 2


def test_options_that_do_not_fit_leave_the_answer_unscored() -> None:
    known = asked("HEY", marks="many")
    [verdict] = judge([STRICT()], {"HEY": known}, [Completion(example_id="HEY", text="HEY!")])
    assert verdict.passed is None
    assert "marks" in verdict.problems[0].message


def test_a_default_sets_no_option_and_leaves_no_key() -> None:
    known = asked("A")
    assert known.format_options == {}
    assert "format_options" not in json.loads(_encoded(known))


def _encoded(known: Example) -> bytes:
    from fmtharness.harness.records import encode

    return encode(known)


def test_names() -> None:
    assert title(Shout()) == "Shouting"
    assert also_judged_by(Shout) == ("shout_strict", "extras", "shout_match")
    assert (STRICT.name, STRICT.metric) == ("shout_strict", "format_success_rate")
    assert (MATCH.name, MATCH.metric) == ("shout_match", "exact_match_rate")
    assert also_judged_by(STRICT) == ("shout_strict_strict", "shout_strict_match")


def test_an_evaluator_leaves_other_formats_alone() -> None:
    judges = [build("evaluators", "json_strict"), STRICT(), MATCH()]
    known = {"eval-0": example(), "HEY": asked("HEY")}
    completions = [
        Completion(example_id="HEY", text="HEY!!!", finish_reason="stop"),
        Completion(example_id="eval-0", text="no", finish_reason="length"),
        Completion(example_id="unknown", text="{}", finish_reason="stop"),
    ]
    verdicts = list(judge(judges, known, completions))
    assert [(each.id, each.evaluator) for each in verdicts] == [
        ("HEY", "shout_strict"),
        ("HEY", "shout_match"),
        ("eval-0", "json_strict"),
        ("unknown", "json_strict"),
        ("unknown", "shout_strict"),
        ("unknown", "shout_match"),
    ]
    sums = tally(judges, verdicts, known, completions)
    # Whose answer it is tells its format, so an unknown one is judged by none of several.
    assert dict(sums.stops["json_strict"]) == {("length", "failed"): 1, ("stop", "unscored"): 1}
    assert dict(sums.stops["shout_strict"]) == {("stop", "passed"): 1, ("stop", "unscored"): 1}
    pooled = {metric.name: (metric.numerator, metric.denominator) for metric in sums.pooled()}
    assert pooled == {"format_success_rate": (1, 2)}
    named = sums.named()
    assert named["format_success_rate"].denominator == 2
    assert named["shout_strict.format_success_rate"].denominator == 1
    assert named["exact_match_rate"].denominator == 1


def test_where_all_examples_are_in_one_format_an_unknown_one_is_judged_by_it() -> None:
    unknown = [Completion(example_id="?", text="NO!")]
    plain = msgspec.structs.replace(asked("HEY"), format_options={})
    [verdict] = judge([STRICT()], {"HEY": plain}, unknown)
    assert verdict.passed is True
    [verdict] = judge([STRICT()], {"HEY": asked("HEY")}, unknown)
    assert verdict.labels == ("unscored",), "its options are not known"


def test_rates_of_evaluators_that_judge_the_same_are_not_summed() -> None:
    class Other(STRICT):  # type: ignore[misc, valid-type]
        name: ClassVar[str] = "other"

    assert tally([STRICT(), Other()], []).pooled() == []


def test_an_evaluator_of_any_format_judges_all() -> None:
    from tests.fakes import Picky

    assert applies(Picky(), asked("HEY")) and applies(Picky(), None)


def test_formats_imply_evaluators() -> None:
    assert implied(["json", "json"]) == (
        *("json_strict", "duplicate_json_objects", "extras", "json_match"),
    )
    with pytest.raises(UserError, match="no format is called 'jsno', did you mean 'json'"):
        implied(["jsno"])


def test_the_formats_of_the_data_name_the_evaluators(tmp_path: Path) -> None:
    path = tmp_path / "mix.toml"
    path.write_text('[data.format]\n"json:max_depth=3" = 2\nyaml = 1\ncsv = 0\n')
    config = load_config(path)
    assert config.eval.evaluators == (
        *("json_strict", "duplicate_json_objects", "extras", "json_match"),
        *("yaml_strict", "yaml_match"),
    )
    rows = list(config.generator.generate("train", 60, Random(3)))
    formats = [row.format for row in rows]
    assert 25 < formats.count("json") < 55
    assert formats.count("json") + formats.count("yaml") == 60
    assert {str(row.format_options) for row in rows} == {"{'max_depth': 3}", "{}"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('format = "jsno"', "did you mean 'json'"),
        ('format = "json:depth=3"', "'json:depth=3': json has no key 'depth'"),
        ("format = { json = 0 }", "at least one format needs a weight above 0"),
        ('format = "csv"\nfamilies = { nested = 1 }', "nothing that the families nested ask for"),
        ("format = { json = 1, csv = 1 }\nfamilies = { nested = 1 }", "'csv' holds no shape"),
    ],
)
def test_formats_that_cannot_be(tmp_path: Path, lines: str, message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(f"[data]\n{lines}\n")
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert message in str(error.value)


def test_an_evaluator_that_the_data_never_asks_for(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text('[data]\nformat = "yaml"\n[eval]\nevaluators = ["yaml_strict", "extras"]\n')
    with pytest.raises(ConfigError, match=r"'extras' judges json, tool_call, and .* asks for yaml"):
        load_config(path)


def _judged(tmp_path: Path, *evaluators: str) -> set[str]:
    data, rows = tmp_path / "data.jsonl", tmp_path / "rows.jsonl"
    write_records(data, [example("a")])
    write_records(rows, [Completion(example_id="a", text="{}")])
    nothing: dict[str, Any] = dict.fromkeys(
        ("config", "model", "num_prompts", "max_new_tokens", "dump_jsonl", "verdicts")
    )
    arm = Arm("rows", completions=rows)
    _, found = evaluate([arm], evaluators=evaluators, data=data, overrides=[], **nothing)
    return set(found["rows"].tally.rates)


def test_the_formats_of_the_examples_choose_the_judges(tmp_path: Path) -> None:
    assert "json_strict" in _judged(tmp_path)
    with pytest.raises(UserError, match="'yaml_strict' judges yaml, and the Examples ask for json"):
        _judged(tmp_path, "yaml_strict")
