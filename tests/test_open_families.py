"""Open families: rich texts of the right shape and length, by split, in the layout asked for."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, get_args

import msgspec
import pytest
from msgspec import UNSET

from fmtharness.generators.dice import Dice
from fmtharness.generators.families import FAMILIES
from fmtharness.generators.ownership import owner
from fmtharness.generators.tasks import Tasks
from fmtharness.generators.writing.grammar import Writer, gerund, past, plural
from fmtharness.generators.writing.keys import MANY, ONE, RECORDS
from fmtharness.generators.writing.lines import LINES
from fmtharness.generators.writing.texts import TEXTS
from fmtharness.generators.writing.topical import TOPICAL
from fmtharness.generators.writing.words import WORDS
from fmtharness.harness.contracts import Split, lacks
from fmtharness.harness.formats import for_example
from fmtharness.harness.judging.verdicts import judge
from fmtharness.harness.options import build
from fmtharness.harness.records import Completion, Example, encode
from fmtharness.harness.run.data_stats import collect_stats, leaves
from fmtharness.harness.run.sources import known_examples

SPLITS: tuple[Split, ...] = get_args(Split)
NEW = (
    "open_writing",
    "described_document",
    "schema_instance",
    "fill_the_example",
    "nested_record",
)
JSON = build("formats", "json")


@cache
def rows(split: Split) -> tuple[Example, ...]:
    return tuple(generated(split, 400))


def generated(split: Split, n: int, **options: Any) -> Iterator[Example]:
    chosen: dict[str, Any] = {
        "fix_bad_output_prob_train": 0.0,
        "hard_negative_prob_train": 0.0,
        "hard_negative_prob_eval": 0.0,
        "families": dict.fromkeys(NEW, 1.0),
    }
    return Tasks(**(chosen | options)).generate(split, n, Random(5))


def of(name: str) -> list[tuple[Example, Any]]:
    """The training rows of a family with their values."""
    return [(row, json.loads(row.target)) for row in rows("train") if row.tags["family"] == name]


def texts(value: Any) -> list[str]:
    return [leaf for leaf in leaves(value) if isinstance(leaf, str)]


def found(value: Any, path: list[str]) -> bool:
    """Whether a path such as `sections.*.heading` is in the value."""
    if not path:
        return True
    if path[0] == "*":
        return all(found(item, path[1:]) for item in value)
    return path[0] in value and found(value[path[0]], path[1:])


def depth(value: Any) -> int:
    """How many objects are open at the deepest place."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return isinstance(value, dict) + max(map(depth, inner), default=0)


def test_nothing_is_shared_between_splits() -> None:
    def valued(split: Split) -> Iterator[Example]:
        for row in rows(split):
            yield msgspec.structs.replace(row, value=json.loads(row.target))

    separation = collect_stats(*map(valued, SPLITS))["separation"]
    for name, measured in separation.items():
        assert set(measured["shared"].values()) == {0}, (name, measured)


@pytest.mark.parametrize("name", NEW)
def test_there_are_many_wordings(name: str) -> None:
    module = __import__(f"fmtharness.generators.families.{name}", fromlist=["ASK"])
    assert len(set(module.ASK["train"])) >= 25
    assert min(len(module.ASK[split]) for split in SPLITS) >= 5


def test_content_is_rich_and_never_repeats() -> None:
    values = [json.loads(row.target) for row in rows("train")]
    assert len({row.target for row in rows("train")}) == len(values)
    sentences = Counter(text for v in values for text in texts(v) if text.count(" ") > 4)
    assert sum(count > 1 for count in sentences.values()) < 0.01 * len(sentences)
    grams = Counter[tuple[str, ...]]()
    for sentence in sentences:
        words = re.findall(r"[\w']+", sentence.casefold())
        grams.update(zip(words, words[1:], words[2:], words[3:], strict=False))
    assert len(grams) > 0.75 * grams.total()
    keys = {tuple(value) for value in values}
    assert len(keys) > 0.9 * len(values)
    whole = "\n".join(sentences)
    assert all(sign in whole for sign in ("'", '"', ":", ",", "?", ";"))


def test_lengths_reach_from_short_to_long() -> None:
    lengths = sorted(len(row.target) for row in rows("train"))
    assert lengths[0] < 130 and lengths[-1] > 2500  # about 4 characters a token
    assert 250 < lengths[len(lengths) // 2] < 1200
    assert lengths[-1] < 7500


def test_no_prompt_holds_an_unfilled_slot() -> None:
    for row in rows("train"):
        assert not re.search(r"\{(link|adj|bare topic|role\+|place)\}", str(row))
        assert not any(re.search(r"a\(n\)|\{", text) for text in texts(json.loads(row.target)))


def test_values_are_no_echo_of_the_prompt() -> None:
    for name in NEW[:-1]:
        for row, value in of(name):
            words = {key.casefold() for key in value}
            found_texts = [*texts(value)]
            assert not found_texts or not {text.casefold() for text in found_texts} <= words, row
            assert row.value is UNSET


def test_what_the_prompt_names_is_there() -> None:
    named = 0
    for name in NEW[:-1]:
        for row, value in of(name):
            for path in row.tags["required_keys"]:
                assert found(value, path.split("."))
            for path, length in row.tags.get("lengths", {}).items():
                inner = value
                for key in path.split("."):
                    inner = inner[key]
                assert len(inner) == length
            for word in row.tags.get("required_words", []):
                assert word in str(value).casefold()
                assert word in row.prompt[-1].content.casefold()
                named += 1
    assert named > 10


@pytest.mark.parametrize("seed", [1, 2])
def test_a_required_word_is_a_whole_word_of_a_value(seed: int) -> None:
    judge = build("evaluators", "open_request")
    open_writing = Tasks(families={"open_writing": 1.0})
    for row in open_writing.generate("dev", 80, Random(seed)):  # in which "wasps" held a "wasp"
        verdict = judge.evaluate(row, Completion(example_id=row.id, text=row.target))
        assert verdict.passed, (verdict, row)


def test_instances_are_valid_against_the_schema_shown() -> None:
    judge = build("evaluators", "json_schema")
    shown = [row for row, _ in of("schema_instance") if "json_schema" in row.tags]
    assert len(shown) > 20
    for row in shown:
        for text, right in ((row.target, True), ("{}", False)):
            verdict = judge.evaluate(row, Completion(example_id=row.id, text=text))
            assert verdict.passed == right, verdict
        assert all(f'"{key}"' in str(row.prompt) for key in row.tags["json_schema"]["properties"])


def test_nested_records_are_deep_and_stand_in_the_source() -> None:
    depths = {depth(value) for _, value in of("nested_record")}
    assert depths <= {2, 3, 4, 5, 6} and {3, 4, 5} <= depths
    for row, value in of("nested_record"):
        assert row.value == value
        assert all(text in row.prompt[-1].content for text in texts(value))


def test_layouts_are_asked_for_and_the_verdict_does_not_depend_on_them() -> None:
    strict = build("evaluators", "json_strict")
    layouts = Counter[str]()
    for row in rows("train"):
        layout = row.format_options.get("layout", "line")
        layouts[layout] += 1
        assert ("\n  " in row.target) == (layout == "indented")
        if layout == "compact":
            assert row.target == json.dumps(
                json.loads(row.target), ensure_ascii=False, separators=(",", ":")
            )
        assert for_example(JSON, row).render(json.loads(row.target)) == row.target
        for text in (row.target, json.dumps(json.loads(row.target), indent=4)):
            assert strict.evaluate(row, Completion(example_id=row.id, text=text)).passed
        broken = Completion(example_id=row.id, text=row.target[:-1])
        assert not strict.evaluate(row, broken).passed
    assert layouts["line"] > layouts["indented"] > 20 and layouts["compact"] > 10
    assert JSON.model_copy(update={"layout": "compact"}).render({"a": [1, 2]}) == '{"a":[1,2]}'


@pytest.mark.parametrize("name", ["yaml", "toml", "xml", "regex", "json:layout=indented"])
def test_other_formats_get_open_data(name: str) -> None:
    target = build("formats", name)
    fitting = [family for family in NEW if FAMILIES[family].shapes & target.shapes]
    for row in generated("eval", 60, format=name, families=dict.fromkeys(fitting, 1.0)):
        assert for_example(target, row).parse(row.target).ok
        if not name.startswith("json"):
            assert "layout" not in row.format_options
            assert "JSON" not in str(row.prompt)


def test_pools_are_large_and_owned() -> None:
    for name, pool in WORDS.items():
        for split in SPLITS:
            assert len(pool[split]) >= 8, (name, split)
            assert all(owner(word) == split for word in pool[split])
    assert (
        len({name for names in (ONE, MANY) for labels in names.values() for name in labels}) > 500
    )
    assert {kind.rstrip("*") for record in RECORDS for kind in record.kinds} <= ONE.keys()
    for text in TEXTS:
        for kind in (*text.core, *text.more):
            assert kind.rstrip("*") in (MANY if kind.endswith("*") else ONE), (text, kind)
    assert TOPICAL.keys() <= LINES.keys()


def test_words_are_inflected() -> None:
    assert [plural(word) for word in ("shelf", "box", "cherry", "key", "ox")] == [
        "shelves",
        "boxes",
        "cherries",
        "keys",
        "oxen",
    ]
    assert [gerund(word) for word in ("bake", "chop", "dye", "wait-for")] == [
        "baking",
        "chopping",
        "dyeing",
        "waiting for",
    ]
    assert [past(word) for word in ("carry", "stir", "bake", "tie-up")] == [
        "carried",
        "stirred",
        "baked",
        "tied up",
    ]
    written = Writer("train", Dice("a")).fill("a(n) honest, a(n) useful, a(n) {adj} {thing}")
    assert written.startswith("an honest, a useful, a") and "{" not in written


def test_a_writer_does_not_repeat_itself() -> None:
    for kind in ("step", "pro", "sentence"):
        writer = Writer("eval", Dice(kind))
        written = [writer.one(LINES[kind]) for _ in range(40)]
        assert len(set(written)) == 40


def test_who_reads_open_rows_takes_no_target_for_the_value(tmp_path: Path) -> None:
    made = list(generated("eval", 30, families={"open_writing": 1.0, "extract": 1.0}))
    path = tmp_path / "eval.jsonl"
    path.write_bytes(b"".join(map(encode, made)))
    assert list(known_examples(path).values()) == made
    free = [each for each in made if each.value is UNSET]
    assert free == [each for each in made if each.tags.get("open")]
    assert 0 < len(free) < 30
    assert {lacks(build("evaluators", "json_match"), each) for each in free} == {
        "single right answer"
    }
    untagged = [msgspec.structs.replace(each, tags={}) for each in free]
    path.write_bytes(b"".join(map(encode, untagged)))
    assert not any(each.value is UNSET for each in known_examples(path).values())


def test_a_target_that_mends_a_broken_answer_is_no_echo() -> None:
    judges = [build("evaluators", name) for name in ("json_strict", "json_match", "open_request")]
    asked = list(generated("train", 300, fix_bad_output_prob_train=1.0))
    is_open = [FAMILIES[each.tags["family"]].open for each in asked]
    repairs = [
        each for each, free in zip(asked, is_open, strict=True) if free and each.value is not UNSET
    ]
    assert 60 < len(repairs) < 250
    for each in asked:
        answer = Completion(example_id=each.id, text=each.target)
        verdicts = list(judge(judges, {each.id: each}, [answer]))
        assert all(verdict.passed for verdict in verdicts), (each, verdicts)
