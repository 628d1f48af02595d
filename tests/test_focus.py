"""Which ways to break an answer are drawn: by weights, and by the labels of a model's failures."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pydantic import ValidationError

from fmtharness.evaluators.json.format import JsonFormat
from fmtharness.generators.mix import Mix
from fmtharness.generators.tasks import Tasks
from fmtharness.harness.contracts import Split
from fmtharness.harness.records import Example
from tests.test_dataset_forms import write
from tests.test_jsonl import here, trl

__all__ = ["here"]
BROKEN: dict[str, Any] = {"fix_bad_output_prob_train": 1.0, "fix_bad_output_prob_eval": 1.0}


def made(generator: Any, split: Split = "train", n: int = 150) -> list[Example]:
    return [*generator.generate(split, n, Random(3))]


def ways(examples: list[Example]) -> Counter[str]:
    return Counter(label for each in examples for label in each.tags["bad_outputs"])


def test_corruptions_are_drawn_by_their_weights() -> None:
    found = ways(made(Tasks(**BROKEN, corruptions={"truncated": 3, "text_after": 1})))
    assert set(found) == {"truncated", "text_after"}
    assert 2 < found["truncated"] / found["text_after"] < 4.5


def test_eval_is_broken_in_all_ways() -> None:
    plain = Tasks(**BROKEN)
    weighted = Tasks(**BROKEN, corruptions={"truncated": 1})
    assert made(weighted, "eval", 40) == made(plain, "eval", 40)
    assert len(ways(made(plain, "eval"))) > 15


def test_a_corruption_that_no_format_has_is_refused() -> None:
    with pytest.raises(ValidationError, match="'truncate', did you mean 'truncated'"):
        Tasks(corruptions={"truncate": 1})
    assert Tasks(format={"json": 1, "yaml": 1}, corruptions={"duplicate_key": 1}).corruptions


def test_focus_is_on_the_labels_that_a_format_can_make() -> None:
    tasks = Tasks(**BROKEN)
    focused = tasks.focused({"truncated": 40, "wrong_value": 9, "loop": 3, "text_after": 4})
    assert focused.corruptions == {"truncated": 40.0, "text_after": 4.0}
    found = ways(made(focused))
    assert set(found) == {"truncated", "text_after"} and found["truncated"] > found["text_after"]
    assert tasks.focused({"wrong_value": 9}) == tasks == tasks.focused({})


def test_rows_without_a_broken_answer_stay_as_they_were() -> None:
    tasks = Tasks(fix_bad_output_prob_train=0.3)
    before, after = made(tasks), made(tasks.focused({"text_before": 1}))
    same = [one == other for one, other in zip(before, after, strict=True)]
    plain = [not each.tags["bad_outputs"] for each in before]
    assert 90 < sum(plain) < 130
    assert all(is_same for is_same, is_plain in zip(same, plain, strict=True) if is_plain)
    assert not all(same)


def test_a_mix_focuses_the_sources_that_can_be(here: Path) -> None:
    write(here / "own.jsonl", *trl(*range(20)))
    own = {"generator": "jsonl", "train_file": "own.jsonl", "splits": ["train"]}
    mix = Mix(mix={"own": own, "tasks": {"generator": "tasks", **BROKEN}})
    focused = mix.focused({"text_after": 2})
    before, after = made(mix, n=60), made(focused, n=60)
    assert [each.id for each in before] == [each.id for each in after]
    tasks = [each for each in after if each.id.startswith("tasks/")]
    assert set(ways(tasks)) == {"text_after"} and len(tasks) > 10
    rest = [each for each in after if not each.id.startswith("tasks/")]
    assert rest and all(each in before for each in rest)
    assert made(mix, n=60) == before


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ('{"a": 1}', '{"a": 1}'),
        ('Sure! {"a": [1, 2]}', '{"a": [1, 2]}'),
        ('```json\n{"a": "b"}\n```', '{"a": "b"}'),
        ("{'a': True}", '{"a": true}'),
        ('{"a": {"b": 1}}}', '{"a": {"b": 1}}'),
        ('{"a": 1} {"a": 2}', '{"a": 1}'),
        ("I cannot do this.", None),
        ("", None),
        ("[1, 2]", None),
    ],
)
def test_json_is_mended(text: str, mended: str | None) -> None:
    assert JsonFormat().mend(text) == mended


def test_json_is_mended_by_the_format_s_own_options() -> None:
    assert JsonFormat(root="array").mend("Here: [1]") == "[1]"
    assert JsonFormat(layout="indented").mend("{'a': 1}") == '{\n  "a": 1\n}'
