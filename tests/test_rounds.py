"""A training in rounds: the answers of one are what the next one trains on."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from fmtharness.harness import plugins
from fmtharness.harness.config import Config, load_config
from fmtharness.harness.contracts import ModelOptions, Options, TrainingRun
from fmtharness.harness.errors import ConfigError, UserError
from fmtharness.harness.plugins import Kind, Registered
from fmtharness.harness.records import Completion, Example, read_records
from fmtharness.harness.run import stages
from fmtharness.harness.run.folder import RunFolder
from tests.fakes import FAKE_CONFIG

SEEN: list[tuple[str, Path | None, list[Example]]] = []
"""What each training saw: its trainer's name, the adapter that it began with, its rows."""

INPUTS: list[str] = []
"""What a checkpoint of each training must share, to be resumed."""


class Learner(Options):
    """A trainer that writes down what it got."""

    name: ClassVar[str] = "learner"
    length: ClassVar[str] = "num_train_epochs"
    rate: float = 1.0
    num_train_epochs: float = 1.0

    def train(self, examples: Sequence[Example], run: TrainingRun) -> Path:
        SEEN.append((f"{self.name} {self.rate}", run.initial_adapter, list(examples)))
        INPUTS.append(run.inputs)
        run.start(0, {})
        adapter = run.folder / "adapter"
        adapter.mkdir(parents=True, exist_ok=True)
        (adapter / "adapter_model.safetensors").write_text(f"{len(SEEN)}")
        return adapter


class Tuner(Learner):
    """Another one."""

    name: ClassVar[str] = "tuner"
    strength: float = 1.0


class Faulty(Options):
    """A backend whose every second answer repeats the target."""

    name: ClassVar[str] = "faulty"
    max_new_tokens: int = 128
    temperature: float = 0.0

    def complete(
        self, examples: Sequence[Example], model: ModelOptions, adapter: Path | None
    ) -> Iterator[Completion]:
        if adapter and "rounds" in adapter.parts:
            assert self.temperature == 0, "a round's answers are greedy"
        for index, asked in enumerate(examples):
            text = asked.target * (1 + index % 2)
            yield Completion(example_id=asked.id, text=text, finish_reason="stop")


class Silent(Faulty):
    """A backend that answers nothing that can be judged."""

    name: ClassVar[str] = "silent"

    def complete(
        self, examples: Sequence[Example], model: ModelOptions, adapter: Path | None
    ) -> Iterator[Completion]:
        for asked in examples:
            yield Completion(example_id=asked.id, text="", finish_reason="error", error="no")


@pytest.fixture
def config(tmp_path: Path, fakes: list[str]) -> Path:
    SEEN.clear()
    INPUTS.clear()
    more: tuple[tuple[Kind, Any], ...] = (
        ("trainers", Learner),
        ("trainers", Tuner),
        ("backends", Faulty),
        ("backends", Silent),
    )
    for kind, each in more:
        plugins.registry()[kind][each.name] = Registered(kind, each.name, "fmtharness", each)
    path = tmp_path / "rounds.toml"
    table = FAKE_CONFIG.replace('trainer = "copier"', 'trainer = "learner"\nrounds = 2\nrate = 0.5')
    table = table.replace('backend = "echo"', 'backend = "faulty"')
    table += '[train.next_round]\ntrainer = "tuner"\nprompts = 5\nreplay = 0.5\n'
    path.write_text(table, encoding="utf-8")
    return path


def run_of(config: Path, folder: Path, *settings: str) -> Config:
    loaded = load_config(config, overrides=settings)
    with RunFolder.open(folder, loaded) as run:
        stages.generate(run)
        stages.train(run)
    return loaded


def test_the_second_round_begins_with_the_first_adapter_and_its_answers(
    config: Path, tmp_path: Path
) -> None:
    run_of(config, tmp_path / "run")
    (first, start, rows), (second, initial, later) = SEEN
    assert (first, start, len(rows)) == ("learner 0.5", None, 6)
    assert (second, initial) == ("tuner 0.5", tmp_path / "run/rounds/1/adapter")
    passed = [each for each in later if each.id.startswith("round-1/") and each.rejected is None]
    pairs = [each for each in later if each.rejected is not None]
    again = [each for each in later if not each.id.startswith("round-1/")]
    assert (len(passed), len(pairs), len(again)) == (3, 2, 2)
    assert [each.rejected for each in pairs] == [each.target * 2 for each in pairs]
    assert {each.prompt for each in rows}.isdisjoint({each.prompt for each in passed + pairs})
    written = read_records(tmp_path / "run/rounds/1/rows.jsonl", Example)
    assert list(written) == later


def test_each_round_has_a_table(config: Path, tmp_path: Path) -> None:
    run_of(config, tmp_path / "run")
    table = (tmp_path / "run/rounds/1/table.md").read_text(encoding="utf-8")
    assert "0.600" in table
    assert "| multiple_roots" in table or "| second_root" in table or "| text_after" in table


def test_a_finished_round_is_not_repeated(config: Path, tmp_path: Path) -> None:
    run_of(config, tmp_path / "run")
    run_of(config, tmp_path / "run")
    assert len(SEEN) == 2


def test_a_later_round_that_changes_keeps_the_first(config: Path, tmp_path: Path) -> None:
    run_of(config, tmp_path / "run")
    run_of(config, tmp_path / "run", "train.next_round.strength=2.0")
    assert [name for name, _, _ in SEEN] == ["learner 0.5", "tuner 0.5", "tuner 0.5"]


def test_a_longer_training_begins_its_last_round_anew(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    run_of(config, folder)
    before = (folder / "adapter/adapter_model.safetensors").read_text()
    capsys.readouterr()
    run_of(config, folder, "train.num_train_epochs=2")
    (aside,) = (each for each in folder.glob("before-*") if (each / "adapter").exists())
    assert (
        f"train: runs again, since [train] num_train_epochs (1.0 -> 2.0) changed; round 2 begins "
        f"anew, with the adapter of round 1; what it replaces is kept in {aside}\n"
    ) in capsys.readouterr().err
    assert (aside / "adapter/adapter_model.safetensors").read_text() == before
    assert len({*INPUTS}) == len(INPUTS) == 4
    assert "went_on_from" not in (folder / "manifest.json").read_text()


def test_a_last_round_that_was_stopped_begins_anew_if_its_start_has_changed(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    run_of(config, folder)
    shutil.rmtree(folder / "adapter")
    shutil.rmtree(folder / "rounds")  # the fake trains to another adapter each time
    (folder / "checkpoints").mkdir()
    capsys.readouterr()
    run_of(config, folder)
    (aside,) = folder.glob("before-*")
    assert (aside / "checkpoints").is_dir() and not (folder / "checkpoints").exists()
    assert f"begins anew, with the adapter of round 1; what it replaces is kept in {aside}" in (
        capsys.readouterr().err
    )
    assert INPUTS[1] != INPUTS[3]
    run_of(config, folder)
    assert len(SEEN) == 4


def test_a_rounds_answers_are_greedy_whatever_the_evaluation_is(
    config: Path, tmp_path: Path
) -> None:
    run_of(config, tmp_path / "run", "eval.temperature=0.7")
    assert (tmp_path / "run/rounds/1/answers.jsonl").is_file()


def test_what_labels_the_answers_is_an_input_and_what_is_logged_is_none(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tuner, "incidental", frozenset({"rate"}), raising=False)
    folder = tmp_path / "run"
    run_of(config, folder)
    assert len(SEEN) == 2
    run_of(config, folder, "train.next_round.rate=0.3")
    assert len(SEEN) == 2, "the option shapes no adapter"
    run_of(config, folder, 'eval.evaluators=["json_strict", "json_match", "loops"]')
    assert [name for name, _, _ in SEEN[2:]] == ["tuner 0.5"], "the first training stays"


def test_rows_of_ones_own_need_not_come_again(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `replay = 0`, or where no answer gives a row, the generator is asked for none."""
    rows = [{"prompt": f"Object {n}.", "completion": f'{{"n": {n}}}'} for n in range(60)]
    file = tmp_path / "own.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    text = re.sub(r"\[data\].*?(?=\[)", "", config.read_text(), flags=re.DOTALL)
    config.write_text(f'{text}\n[data]\ngenerator = "jsonl"\nfile = "{file}"\n')
    run_of(config, tmp_path / "run", "train.next_round.replay=0")
    assert len(SEEN) == 2
    with pytest.raises(UserError, match=r"none of the . answers is a row or a pair"):
        run_of(config, tmp_path / "other", "eval.backend=silent")
    assert (tmp_path / "other/rounds/1/table.md").is_file()


def test_three_rounds(config: Path, tmp_path: Path) -> None:
    run_of(config, tmp_path / "run", "train.rounds=3")
    assert [name for name, _, _ in SEEN] == ["learner 0.5", "tuner 0.5", "tuner 0.5"]
    assert SEEN[2][1] == tmp_path / "run/rounds/2/adapter"
    assert {each.id.split("/")[0] for each in SEEN[2][2]} >= {"round-2"}


def test_several_formats_are_judged_each_by_its_own(config: Path, tmp_path: Path) -> None:
    text = config.read_text(encoding="utf-8")
    asked = "[data]\nformat = { json = 1, yaml = 1, csv = 1 }\nfix_bad_output_prob_train = 1.0"
    text = text.replace("key_values", "table").replace("[data]", asked)
    text = text.replace("prompts = 5", "prompts = 12")
    config.write_text(text.replace('evaluators = ["json_strict", "json_match"]', ""), "utf-8")
    run_of(config, tmp_path / "run")
    _, _, later = SEEN[1]
    answers = [each for each in later if each.id.startswith("round-1/")]
    assert {each.format for each in answers} == {"json", "yaml", "csv"}
    for each in answers:
        twice = each.rejected is not None
        assert each.rejected == (each.target * 2 if twice else None)
    table = (tmp_path / "run/rounds/1/table.md").read_text(encoding="utf-8")
    assert all(f"| {name}_strict" in table for name in ("json", "yaml", "csv"))


def test_first_rows_come_again_broken_as_the_answers_were(config: Path, tmp_path: Path) -> None:
    whole = ("data.n_train=30", "data.fix_bad_output_prob_train=1.0", "train.next_round.replay=6.0")
    run_of(config, tmp_path / "run", *whole)
    (_, _, rows), (_, _, later) = SEEN
    again = [each for each in later if not each.id.startswith("round-1/")]
    assert len(again) > 15
    # Other prompts than the first round's, so that parity does not compare the two.
    assert [each.id for each in again] == [f"focused/{each.id}" for each in rows[: len(again)]]
    first, second = (
        {label for each in those for label in each.tags["bad_outputs"]} for those in (rows, again)
    )
    table = (tmp_path / "run/rounds/1/table.md").read_text(encoding="utf-8")
    assert len(first) > 8 > len(second) > 0
    assert all(f"| {label} " in table for label in second)


def test_no_row_of_dev_or_eval_is_a_fresh_prompt(config: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    asked = ({"prompt": f"Number {n}?", "completion": json.dumps({"n": n})} for n in range(60))
    rows.write_text("".join(json.dumps(each) + "\n" for each in asked), encoding="utf-8")
    own = f'generator = "jsonl"\nfile = "{rows}"\ndev_share = 0.2\neval_share = 0.3\n'
    text = re.sub(
        r"\[data\].*?(?=\[train\])", f"[data]\n{own}", config.read_text("utf-8"), flags=re.S
    )
    config.write_text(text, encoding="utf-8")
    run_of(config, tmp_path / "run", "train.next_round.prompts=50")
    run_of(config, tmp_path / "less", "train.next_round.prompts=12", "data.n_train=20")
    train, dev, held_out, fresh, first, later = (
        [each.prompt for each in read_records(tmp_path / name, Example)]
        for name in (
            "run/data/train.jsonl",
            "run/data/dev.jsonl",
            "run/data/eval.jsonl",
            "run/rounds/1/prompts.jsonl",
            "less/data/train.jsonl",
            "less/rounds/1/prompts.jsonl",
        )
    )
    assert min(len(dev), len(held_out)) > 5
    assert fresh == train[:50]
    assert first == train[:20]
    assert later == [*train[20:32], *train[: max(0, 32 - len(train))]]


def test_answers_that_give_no_row_end_the_training(config: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"table\.md: none of the 5 answers is a row or a pair"):
        run_of(config, tmp_path / "run", "eval.backend=silent")
    assert (tmp_path / "run/rounds/1/adapter").is_dir()
    run_of(config, tmp_path / "run")
    assert [name for name, _, _ in SEEN] == ["learner 0.5", "tuner 0.5"]


def test_a_dump_into_the_folder_of_rounds_is_refused(config: Path) -> None:
    with pytest.raises(ConfigError, match="'rounds' in a run's folder is the run's own"):
        load_config(config, overrides=["eval.dump_jsonl=rounds/rows.jsonl"])


def test_faults_of_the_table(config: Path) -> None:
    for setting, why in {
        "train.next_round.promts=3": "has no key 'promts', did you mean 'prompts'?",
        "train.next_round.trainer=tunr": "no trainer is called 'tunr', did you mean 'tuner'?",
        "train.rounds=1": "[train.next_round]: [train] rounds is 1; set it to 2 or more",
    }.items():
        with pytest.raises(ConfigError, match=r"next_round") as error:
            load_config(config, overrides=[setting])
        assert why in str(error.value)


@pytest.mark.parametrize(
    "setting", ["lora_r=8", "lora_alpha=1", 'initial_adapter="x"', 'target_modules=["q_proj"]']
)
def test_a_later_round_cannot_change_the_adapter(setting: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[train]\nrounds = 2\nlora_r = 16\n")
    key = setting.partition("=")[0]
    why = rf"mine\.toml: \[train\.next_round\] {key}: a round goes on with the adapter of the one"
    with pytest.raises(ConfigError, match=why):
        load_config(path, overrides=[f"train.next_round.{setting}"])
    assert load_config(path, overrides=["train.next_round.lora_r=16"]).next_trainer
