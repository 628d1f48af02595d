"""The generator `mix`: own rows, tasks and rows without a format in one data set."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fmtharness.generators.mix import Mix
from fmtharness.harness.config import ALL
from fmtharness.harness.contracts import Split
from fmtharness.harness.errors import ConfigError, UserError
from fmtharness.harness.records import Example
from fmtharness.harness.run.data import data_inputs
from tests.test_dataset_forms import write
from tests.test_jsonl import RUN, call, config, here, refused, trl

__all__ = ["here"]
OWN = {
    "generator": "jsonl",
    "train_file": "own.jsonl",
    "dev_file": "dev.jsonl",
    "eval_file": "eval.jsonl",
}


@pytest.fixture(autouse=True)
def files(here: Path) -> None:
    write(Path("own.jsonl"), *trl(*range(30)))
    write(Path("dev.jsonl"), *trl(*range(100, 105)))
    write(Path("eval.jsonl"), *trl(*range(200, 210)))
    write(Path("chat.jsonl"), *({"prompt": f"Hi {n}", "completion": "Hello"} for n in range(10)))


def made(mix: Mix, split: Split, n: int = ALL, seed: int = 0) -> list[Example]:
    return [*mix.generate(split, n, Random(seed))]


def sources(examples: list[Example]) -> Counter[str]:
    return Counter(each.id.split("/")[0] for each in examples)


def test_shares_are_the_weights() -> None:
    mix = Mix(mix={"own": {**OWN, "weight": 3}, "tasks": {"generator": "tasks", "weight": 1}})
    found = made(mix, "train", 2000)
    assert len(found) == 2000 and 1400 < sources(found)["own"] < 1600
    assert len({each.id for each in found}) == 2000
    assert found[:50] == made(mix, "train", 50) != made(mix, "train", 50, seed=1)


def test_train_goes_on_until_each_row_came_once() -> None:
    mix = Mix(
        mix={
            "own": {**OWN, "weight": 1},
            "chat": {
                "generator": "jsonl",
                "train_file": "chat.jsonl",
                "format": "none",
                "splits": ["train"],
                "dev_share": 0,
                "eval_share": 0,
            },
        }
    )
    found = made(mix, "train")
    ids = [each.id for each in found]
    assert {f"own/{n}" for n in range(1, 31)} | {f"chat/{n}" for n in range(1, 11)} <= {*ids}
    assert ids[-1] == "own/30" and "chat/1#2" in ids and len(ids) == len({*ids})
    assert found[:-1] == made(mix, "train", len(found) - 1)
    longer = made(mix, "train", 100)
    assert len(longer) == 100 and longer[: len(found)] == found
    assert mix.formats == ("json",) and mix.sized


def test_no_row_comes_twice_in_dev_and_eval() -> None:
    mix = Mix(mix={"own": {**OWN, "weight": 5}, "tasks": {"generator": "tasks"}})
    found = made(mix, "eval", 40)
    assert sources(found) == {"own": 10, "tasks": 30}
    assert found[: len(made(mix, "eval"))] == made(mix, "eval")
    assert made(mix, "eval")[-1].id == "own/10"
    alone = Mix(mix={"own": OWN})
    assert [each.id for each in made(alone, "dev", 40)] == [f"own/{n}" for n in range(1, 6)]


def test_a_split_without_an_end_has_the_default_size() -> None:
    own = {**OWN, "splits": ["train"]}
    mix = Mix(mix={"own": own, "tasks": {"generator": "tasks", "splits": ["dev", "eval"]}})
    assert sources(made(mix, "dev")) == {"tasks": 32}
    assert sources(made(mix, "train")) == {"own": 30}
    assert not Mix(mix={"tasks": {"generator": "tasks"}}).sized


def test_tasks_without_a_number_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fmtharness.generators.mix.BLOCK", 4)
    mix = Mix(mix={"own": {**OWN, "weight": 1}, "tasks": {"generator": "tasks", "weight": 1}})
    found = made(mix, "train")
    numbers = [int(each.id.rpartition("-")[2]) for each in found if each.id.startswith("tasks/")]
    assert len(numbers) > 8 and numbers == [*range(len(numbers))]


def test_a_source_without_a_row_for_a_split_says_so() -> None:
    part = {"generator": "jsonl", "file": "chat.jsonl", "dev_share": 0}
    with pytest.raises(UserError, match=r"none of its rows falls into dev"):
        made(Mix(mix={"chat": part}), "dev")


TABLES = """
[data.mix.own]
generator = "jsonl"
train_file = "own.jsonl"
eval_file = "eval.jsonl"
weight = 3
[data.mix.yaml]
generator = "tasks"
format = "yaml"
"""


def test_a_table_is_enough() -> None:
    loaded = config(TABLES)
    assert loaded.data.generator == "mix"
    assert loaded.eval.evaluators == (
        "json_strict",
        "duplicate_json_objects",
        "extras",
        "json_match",
        "yaml_strict",
        "yaml_match",
    )
    Path("again.toml").write_text(loaded.toml())
    assert config(loaded.toml()) == loaded
    changed = config(TABLES, "data.mix.own.weight=5")
    assert changed.tables()["data"]["mix"]["own"]["weight"] == 5


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.mix.own.wieght=2", "my.toml: [data.mix.own] has no key 'wieght'"),
        ("data.mix.own.weight=0", "my.toml: [data.mix.own] weight = 0: Input should be greater"),
        ("data.mix.yaml.format=yml", 'my.toml: [data.mix.yaml] format = "yml": '),
        (
            "data.mix.yaml.generator=taks",
            "[data.mix.yaml] generator: no generator is called 'taks'",
        ),
        ("data.mix.yaml.generator=mix", "[data.mix.yaml] generator: a mix holds no other mix"),
        ("data.mix.own.splits=['evil']", "my.toml: [data.mix.own] splits.0"),
        ("data.mix.new.weight=2", "my.toml: [data.mix.new] lacks the key 'generator'"),
        ("data.mix={}", "[data] mix = {}: "),
        ("data.mix=4", "[data] mix = 4: "),
        ("data.mix.own.train_file=nope.jsonl", "[data]: nope.jsonl: cannot be read"),
    ],
)
def test_mistakes_name_their_table(override: str, words: str) -> None:
    message = refused(TABLES, override)
    assert words in message


def test_each_split_needs_a_source() -> None:
    message = refused(TABLES, "data.mix.own.splits=['train']", "data.mix.yaml.splits=['dev']")
    assert message == "my.toml: [data.mix]: no source has 'eval' among its splits"


def test_all_mistakes_are_told_at_once() -> None:
    message = refused(TABLES, "data.mix.own.wieght=2", "data.mix.yaml.fomat=4", "seed=-1")
    assert [line.split(" = ")[0].split(" has ")[0] for line in message.splitlines()] == [
        "my.toml seed",
        "my.toml: [data.mix.own]",
        "my.toml: [data.mix.yaml]",
    ]


def test_a_wrong_split_is_one_line() -> None:
    message = refused(TABLES, "data.mix.own.splits=['trian']")
    start = 'my.toml: [data.mix.own] splits.0 = "trian": '
    assert message == f"{start}Input should be 'train', 'dev' or 'eval'"
    assert "at least 1 item" in refused(TABLES, "data.mix.own.splits=[]")


def test_files_of_the_sources_are_inputs() -> None:
    loaded = config(TABLES)
    before = data_inputs(loaded)
    write(Path("own.jsonl"), *trl(*range(31)))
    after = data_inputs(loaded)
    changed = {key for key in before if before[key] != after[key]}
    assert "own: generator jsonl: train_file" in changed
    assert "yaml: generator tasks" in before


@pytest.mark.usefixtures("fakes")
def test_a_whole_run_on_a_mix() -> None:
    rest = RUN[RUN.index("[train]") :]
    more = '[data.mix.chat]\ngenerator = "jsonl"\ntrain_file = "chat.jsonl"\nformat = "none"\n'
    more += 'splits = ["train"]\ndev_share = 0\neval_share = 0\n'
    Path("mine.toml").write_text(f"[data]\nn_train = 60\n{TABLES}{more}{rest}")
    done = call("run", "mine.toml")
    assert done.exit_code == 0, done.output
    lines = Path("outputs/mine/data/train.jsonl").read_text().splitlines()
    assert len(lines) == 60
    assert {key for key, _ in itertools.groupby(sorted(line[7:11] for line in lines))} == {
        "own/",
        "yaml",
        "chat",
    }
    verdicts = Path("outputs/mine/verdicts/sft.jsonl").read_text()
    assert '"yaml_strict"' in verdicts and '"json_match"' in verdicts


def test_a_run_s_folder_chooses_no_plugin_in_a_mix(distributions: Any, here: Path) -> None:
    from fmtharness.harness import plugins
    from fmtharness.harness.config import load_config

    distributions.add("strange", SOURCE)
    known = distributions.load()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(plugins, "registry", lambda: known)
        Path("my.toml").write_text('[data.mix.a]\ngenerator = "strange"\n')
        with pytest.raises(ConfigError, match=r"'strange' is a plugin \(strange\)"):
            load_config(Path("my.toml"), asked=False)
        assert load_config(Path("my.toml")).data.generator == "mix"


SOURCE = """
from typing import ClassVar
from fmtharness.harness import hookimpl
from fmtharness.harness.contracts import Options

class Strange(Options):
    name: ClassVar[str] = "strange"
    formats: ClassVar[tuple[str, ...]] = ("json",)

    def generate(self, split, n, rng):
        return iter(())

@hookimpl
def fmtharness_generators():
    return [Strange]
"""
