"""The generator `tasks`: reproducible, derivable, strict, streaming, and free of any one format."""

from __future__ import annotations

import gc
import itertools
import os
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from random import Random
from typing import Any, ClassVar

import msgspec
import pytest
from msgspec import UNSET
from pydantic import ValidationError

from fmtharness.generators import tasks
from fmtharness.generators.bad_outputs import AGAIN
from fmtharness.generators.dice import Dice
from fmtharness.generators.families import FAMILIES
from fmtharness.generators.requests import PRIORITY
from fmtharness.generators.tasks import Tasks
from fmtharness.generators.temptations import TEMPTATIONS, WISHES
from fmtharness.harness.contracts import Corruption, Format, Options, Parsed, Shape, Split
from fmtharness.harness.errors import PluginError
from fmtharness.harness.formats import for_example
from fmtharness.harness.plugins import component
from fmtharness.harness.records import Example, Problem
from fmtharness.harness.testing.promises import seconds

SPLITS: tuple[Split, ...] = ("train", "dev", "eval")
ASKED: dict[Split, str] = {"train": "train", "dev": "eval", "eval": "eval"}
"""Whose options hold for a split."""


def examples(split: Split, n: int, seed: int = 7, /, **options: Any) -> list[Example]:
    return list(Tasks(**options).generate(split, n, Random(seed)))


def encoded(rows: list[Example]) -> bytes:
    return b"\n".join(msgspec.json.encode(row) for row in rows)


def prompt_text(example: Example) -> str:
    return "\n".join(message.content for message in example.prompt)


def strings(value: Any) -> Iterator[str]:
    """Every key and scalar as it stands in a prompt, nulls excepted."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, bool):
        yield str(value).lower()
    elif value is not None:
        yield str(value)


def test_dice_repeat_on_any_python() -> None:
    dice = Dice("7/train/0")
    letters = list("abcdef")
    dice.shuffle(letters)
    drawn = (letters, dice.choice("abcdef"), dice.between(1, 1000), dice.sample(range(100), 3))
    assert drawn == (["b", "f", "c", "e", "a", "d"], "f", 325, [92, 46, 97])


def test_same_seed_same_bytes() -> None:
    for split in SPLITS:
        assert encoded(examples(split, 300)) == encoded(examples(split, 300))
    assert encoded(examples("train", 50)) != encoded(examples("train", 50, 8))


def test_bytes_do_not_depend_on_hash_seed() -> None:
    script = (
        "from random import Random; from hashlib import sha256; import msgspec\n"
        "from fmtharness.generators.tasks import Tasks\n"
        "rows = Tasks(fix_bad_output_prob_train=0.5).generate('train', 200, Random(3))\n"
        "print(sha256(msgspec.json.encode(list(rows))).hexdigest())"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(hashes) == 1


def test_example_depends_on_its_number_alone() -> None:
    for split in SPLITS:
        few = examples(split, 20)
        assert few == examples(split, 60)[:20]
        assert [example.id for example in few] == [f"{split}-{i}" for i in range(20)]


WORKED_OUT = {
    "arithmetic_and_dates",
    "conversation_summary",
    "languages",
    "long_list",
    "merge_records",
    "question_about_passage",
    "quotes_and_escapes",
    "sort_and_filter",
    "unknown_as_null",
}
"""Their values need not stand in the prompt; test_worked_out_families.py has them."""


@pytest.mark.parametrize("split", SPLITS)
def test_target_is_strict_and_derivable(split: Split) -> None:
    json_format: Format = component("formats", "json")()
    asked = ASKED[split]
    options: dict[str, Any] = {f"fix_bad_output_prob_{asked}": 0.3, f"{asked}_strictness": "mixed"}
    for example in examples(split, 1500, **options):
        parsed = json_format.parse(example.target)
        assert parsed.ok and parsed.value == (example.value or parsed.value)
        laid_out = for_example(json_format, example)
        assert example.completion == laid_out.render(parsed.value)
        prompt = prompt_text(example)
        worked_out = example.tags["family"] in WORKED_OUT
        for text in strings(None if worked_out else example.value or None):
            escaped = json_format.render({"": text})[6:-2]
            assert text in prompt or escaped in prompt, (text, example)
        if example.tags["family"] != "long_list":  # some of its lists are made up
            repairs = example.tags["bad_outputs"] and example.prompt[-1].content not in AGAIN[split]
            is_open = FAMILIES[example.tags["family"]].open and not repairs
            assert (example.value is UNSET) == is_open
        assert example.prompt[-1].role == "user"
        assert "{format}" not in prompt
        assert not re.search(r"\S  ", prompt) or example.tags["bad_outputs"]


def test_every_kind_appears() -> None:
    rows = examples("train", 1500, hard_negative_prob_train=1.0, fix_bad_output_prob_train=1.0)
    corruptions = set(component("formats", "json")().corruptions())
    assert {row.tags["family"] for row in rows} == set(FAMILIES)
    assert {kind for row in rows for kind in row.tags["hard_negatives"]} == set(TEMPTATIONS)
    assert {kind for row in rows for kind in row.tags["bad_outputs"]} == corruptions
    assert {row.tags["shape"] for row in rows} == {"record", "table", "tree"}
    assert {row.tags["strictness"] for row in rows} == {"easy", "medium", "hard"}


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(
    ("option", "tag"),
    [("hard_negative_prob", "hard_negatives"), ("fix_bad_output_prob", "bad_outputs")],
)
def test_probabilities_zero_and_one(split: Split, option: str, tag: str) -> None:
    for probability in (0.0, 1.0):
        rows = examples(split, 200, **{f"{option}_{ASKED[split]}": probability})
        assert all(bool(row.tags[tag]) == bool(probability) for row in rows)


AROUND = {
    "byte_order_mark",
    "code_fence",
    "comment",
    "multiple_roots",
    "text_after",
    "text_before",
    "too_deep",
    "wrong_root",
}
"""Corruptions that leave the right answer whole and put something around it."""


def test_broken_answer_is_shown_and_is_broken() -> None:
    json_format: Format = component("formats", "json")()
    alone = 0
    for row in examples("train", 400, fix_bad_output_prob_train=1.0, hard_negative_prob_train=0.0):
        if row.tags["bad_outputs"][0] not in AROUND:
            assert row.target not in prompt_text(row)
        shown = [turn.content for turn in row.prompt if turn.role == "assistant"]
        alone += not shown
        for text in shown:
            labels = {problem.label for problem in json_format.parse(text).problems}
            assert set(row.tags["bad_outputs"]) <= labels
    assert 20 < alone < 380


def test_strictness_shows_in_the_prompt() -> None:
    for split, level in itertools.product(SPLITS[1:], ("easy", "medium", "hard")):
        rows = examples(split, 200, eval_strictness=level)
        assert {row.tags["strictness"] for row in rows} == {level}
        rows = [
            row
            for row in rows
            if not FAMILIES[row.tags["family"]].open and row.tags["family"] not in WORKED_OUT
        ]
        instructed = ["Answer with one JSON" in prompt_text(row) for row in rows]
        assert not any(instructed) if level == "easy" else all(instructed)
    nulls = ["null" in row.target for row in examples("train", 600, train_strictness="hard")]
    assert any(nulls)
    copied = {name: 1.0 for name in FAMILIES if name not in WORKED_OUT}
    easy = examples("train", 600, train_strictness="easy", families=copied)
    assert not any("null" in row.target for row in easy)


def test_format_has_the_last_word_where_it_is_contradicted() -> None:
    for split in SPLITS:
        endings = {text.format(format="JSON") for text in PRIORITY[split]}
        asked = ASKED[split]
        options = {f"hard_negative_prob_{asked}": 1.0, f"fix_bad_output_prob_{asked}": 0.0}
        for row in examples(split, 300, **options):
            if {*WISHES, "injection"} & set(row.tags["hard_negatives"]):
                assert row.prompt[-1].content.splitlines()[-1] in endings


def test_family_weights() -> None:
    rows = examples("train", 400, families={"list": 3.0, "edit": 1.0, "prose": 0.0})
    counts = [sum(row.tags["family"] == name for row in rows) for name in ("list", "edit")]
    assert sum(counts) == 400 and 260 < counts[0] < 340


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"families": {"extrct": 1.0}}, "no family is called 'extrct', did you mean 'extract'?"),
        ({"families": {"list": 0.0}}, "at least one family needs a weight above 0"),
        ({"families": {"list": -1.0}}, "greater than or equal to 0"),
        ({"hard_negative_prob_train": 1.5}, "less than or equal to 1"),
        ({"format": "jsno"}, "did you mean 'json'?"),
        ({"eval_strictness": "harsh"}, "'easy', 'medium', 'hard' or 'mixed'"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        Tasks(**options)
    assert message in str(error.value)


@pytest.mark.slow
def test_memory_does_not_grow() -> None:
    def peak(n: int) -> int:
        gc.collect()
        tracemalloc.start()
        for number, _ in enumerate(Tasks().generate("train", n, Random(1))):
            if number % 100 == 0:
                gc.collect()  # what waits for the collector is no growth
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak(8000)
    # The first Examples fill the caches of all families.
    assert abs(peak(8000) - peak(4000)) < 100_000
    assert len(list(islice(Tasks().generate("train", 10**6, Random(1)), 3))) == 3


def test_speed() -> None:
    assert seconds(lambda: examples("train", 2000)) < 4  # about 0.25 on an idle core


class Settings(Options):
    """A made-up format of `key=value` lines: flat, all strings, no null, no blank in a key."""

    name: ClassVar[str] = "settings"
    shapes: ClassVar[frozenset[Shape]] = frozenset({"record"})

    def instruction(self, value: Any) -> str:
        return "Answer with lines of key=value."

    def render(self, value: Any) -> str:
        return "\n".join(f"{key}={inner}" for key, inner in value.items())

    def parse(self, text: str) -> Parsed:
        pairs = [line.split("=", 1) for line in text.splitlines()]
        if any(len(pair) < 2 or " " in pair[0] for pair in pairs):
            return Parsed(problems=(Problem("no_pair", "a line is no pair", 0, len(text)),))
        return Parsed(dict(pairs))

    def corruptions(self) -> Mapping[str, Corruption]:
        return {"no_pair": lambda text, rng: text.replace("=", ":", 1)}


class Grid(Settings):
    """A made-up format whose root is the table itself."""

    name: ClassVar[str] = "grid"
    shapes: ClassVar[frozenset[Shape]] = frozenset({"table"})

    def instruction(self, value: Any) -> str:
        return "Answer with a grid."

    def render(self, value: Any) -> str:
        return "\n".join(
            "|".join(map(str, row)) for row in [value[0].keys(), *map(dict.values, value)]
        )

    def parse(self, text: str) -> Parsed:
        header, *rows = (line.split("|") for line in text.splitlines())
        return Parsed([dict(zip(header, row, strict=True)) for row in rows])

    def corruptions(self) -> Mapping[str, Corruption]:
        return {"no_pair": lambda text, rng: None}


@pytest.fixture
def formats(monkeypatch: pytest.MonkeyPatch) -> None:
    known: dict[str, Callable[[], Format]] = {
        "settings": Settings,
        "grid": Grid,
        "choosy": Choosy,
        "careless": Careless,
        "shapeless": Shapeless,
        "choosy-none": lambda: Choosy(none=True),
    }
    monkeypatch.setattr(tasks, "build", lambda kind, spec: known[spec]())


@pytest.mark.usefixtures("formats")
@pytest.mark.parametrize("name", ["settings", "grid"])
def test_any_format_gets_data(name: str) -> None:
    target = {"settings": Settings, "grid": Grid}[name]()
    rows = examples(
        "train",
        500,
        format=name,
        hard_negative_prob_train=0.5,
        fix_bad_output_prob_train=0.3,
    )
    for row in rows:
        assert target.parse(row.target).value == (row.value or target.parse(row.target).value)
        assert "json" not in prompt_text(row).lower()
        assert "null" not in prompt_text(row)
        worked_out = row.tags["family"] in WORKED_OUT
        for text in strings(None if worked_out else row.value or None):
            assert text in prompt_text(row) or text.lower() in prompt_text(row)
    families = {row.tags["family"] for row in rows}
    fitting = {key for key, family in FAMILIES.items() if family.shapes & target.shapes}
    # What cannot hold a line break gets no texts that have one.
    assert families == fitting - {"quotes_and_escapes"}
    assert any(row.tags["bad_outputs"] for row in rows) == (name == "settings")


class Choosy(Settings):
    """A made-up format that refuses texts of two words, and with `none` everything."""

    name: ClassVar[str] = "choosy"
    none: bool = False

    def render(self, value: Any) -> str:
        text = super().render(value)
        if (self.none and "x" not in value.values()) or " " in text:
            raise ValueError("that is too long")
        return text


@pytest.mark.usefixtures("formats")
def test_a_value_that_the_format_refuses_is_drawn_again() -> None:
    rows = examples("train", 100, format="choosy", hard_negative_prob_train=0.0)
    assert len(rows) == 100
    assert not any(" " in row.target for row in rows)
    assert rows == examples("train", 100, format="choosy", hard_negative_prob_train=0.0)
    with pytest.raises(PluginError, match="refuses 100 values in a row, the last because that is"):
        examples("train", 1, format="choosy-none", hard_negative_prob_train=0.0)


class Careless(Settings):
    """A made-up format whose corruption raises."""

    name: ClassVar[str] = "careless"

    def corruptions(self) -> Mapping[str, Corruption]:
        def no_pair(text: str, rng: Any) -> str:
            raise ValueError("nothing to break")

        return {"no_pair": no_pair}


class Shapeless(Settings):
    """A made-up format that claims a shape that there is none of."""

    name: ClassVar[str] = "shapeless"
    shapes: ClassVar[frozenset[Any]] = frozenset({"recrod"})


@pytest.mark.usefixtures("formats")
def test_a_format_s_own_fault_is_told() -> None:
    with pytest.raises(PluginError, match=r"'careless': a corruption of .* must return None"):
        examples("train", 1, format="careless", fix_bad_output_prob_train=1.0)
    with pytest.raises(PluginError, match=r"'shapeless' claims no shape .* \(it claims recrod;"):
        Tasks(format="shapeless")


@pytest.mark.usefixtures("formats")
def test_family_that_the_format_cannot_hold() -> None:
    with pytest.raises(ValidationError, match="nothing that the families nested ask for"):
        Tasks(format="settings", families={"nested": 1.0, "extract": 1.0})
