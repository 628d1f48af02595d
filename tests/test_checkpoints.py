"""Checkpoints of a tiny adapter: whole or not at all, and only for the same inputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.errors import UserError
from fmtharness.trainers.lora import Lora
from fmtharness.trainers.resume import checkpoints
from fmtharness.trainers.resume.progress import Progressed, finish
from fmtharness.trainers.step.adapter import AdapterWeights, adapted
from fmtharness.trainers.step.update import Update


class Training(NamedTuple):
    """An adapter on a tiny random model, with what moves it."""

    model: Any
    weights: AdapterWeights
    update: Update

    def step(self, seed: int) -> None:
        """One step on a made-up gradient, the same for the same seed."""
        torch.manual_seed(seed)
        self.weights.gradient.copy_(torch.randn_like(self.weights.gradient))
        self.update(0.1)

    def state(self) -> torch.Tensor:
        return self.weights.vector.clone()


@pytest.fixture
def training() -> Training:
    return start(0)


def start(seed: int) -> Training:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=16,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
    )
    options = Lora(lora_r=2)
    model = adapted(LlamaForCausalLM(config), options, Patches())
    weights = AdapterWeights(model)
    return Training(model, weights, Update(weights, options, None))


def save(folder: Path, step: int, training: Training, inputs: str = "same", **kept: Any) -> None:
    state = {"step": step, "inputs": inputs}
    tensors = training.update.tensors()
    checkpoints.save(folder, state, training.model, tensors, **({"keep": 9} | kept))


def restore(folder: Path, training: Training, inputs: str = "same") -> int:
    found = checkpoints.newest(folder, inputs)
    if found is None:
        return 0
    checkpoints.load_weights(found, training.model)
    checkpoints.load_optimizer(found, training.update.tensors())
    return int(found.state["step"])


def same(first: torch.Tensor, second: torch.Tensor) -> bool:
    return torch.equal(first, second)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_going_on_is_as_if_nothing_had_happened(tmp_path: Path, training: Training) -> None:
    for seed in (1, 2):
        training.step(seed)
    save(tmp_path, 2, training)
    at_two = training.state()
    for seed in (3, 4):
        training.step(seed)

    other = start(5)
    assert not same(other.state(), at_two)
    assert restore(tmp_path, other) == 2
    assert same(other.state(), at_two)
    for seed in (3, 4):
        other.step(seed)
    assert same(other.state(), training.state())


def test_a_checkpoint_holds_safetensors_only(tmp_path: Path, training: Training) -> None:
    training.step(1)
    save(tmp_path, 25, training)
    assert names(tmp_path) == ["step-25"]
    assert names(tmp_path / "step-25") == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "optimizer.safetensors",
        "state.json",
    ]
    state = json.loads((tmp_path / "step-25" / "state.json").read_text())
    assert (state["step"], state["inputs"]) == (25, "same")
    assert set(state["sha256"]) == set(names(tmp_path / "step-25")) - {"state.json"}


def test_nothing_to_restore(tmp_path: Path, training: Training) -> None:
    before = training.state()
    assert restore(tmp_path / "missing", training) == 0
    assert same(before, training.state())


def test_only_the_newest_are_kept(tmp_path: Path, training: Training) -> None:
    training.step(1)
    for step in (5, 10, 25, 100):
        save(tmp_path, step, training, keep=2)
    assert names(tmp_path) == ["step-100", "step-25"]


def test_a_damaged_newer_one_takes_no_place(tmp_path: Path, training: Training) -> None:
    training.step(1)
    for step in (5, 20):
        save(tmp_path, step, training)
    damage(tmp_path / "step-20" / "adapter_model.safetensors", "cut")
    assert restore(tmp_path, training) == 5
    save(tmp_path, 10, training, keep=1)
    assert names(tmp_path) == ["step-10", "step-20"]
    assert restore(tmp_path, training) == 10
    save(tmp_path, 20, training, keep=1)
    assert names(tmp_path) == ["step-20"]
    assert restore(tmp_path, training) == 20


def test_a_step_that_is_saved_again_is_whole_at_every_moment(
    tmp_path: Path, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    def progress() -> Any:
        found = checkpoints.newest(tmp_path, "same")
        return found and found.state.get("evaluated")

    def again(evaluated: int) -> None:
        state = {"step": 1, "inputs": "same", "evaluated": evaluated}
        checkpoints.save(tmp_path, state, training.model, training.update.tensors(), keep=1)

    def die(*arguments: object) -> None:
        raise KeyboardInterrupt

    training.step(1)
    again(0)
    for moment in ("pathlib.Path.replace", "os.fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(moment, die)
            with pytest.raises(KeyboardInterrupt):
                again(1)
        assert progress() == 0
    again(1)
    assert progress() == 1


def test_the_best_is_kept_besides(tmp_path: Path, training: Training) -> None:
    training.step(1)
    for step in (5, 10, 15, 20):
        save(tmp_path, step, training, keep=2, best=5)
    assert names(tmp_path) == ["step-15", "step-20", "step-5"]
    best = checkpoints.at(tmp_path, 5, "same")
    assert best and best.state["step"] == 5
    assert checkpoints.at(tmp_path, 5, "other") is checkpoints.at(tmp_path, 10, "same") is None


def damage(path: Path, how: str) -> None:
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    elif how == "flip":
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    else:
        path.unlink()


@pytest.mark.parametrize("how", ["cut", "flip", "remove"])
@pytest.mark.parametrize("name", ["adapter_model.safetensors", "optimizer.safetensors"])
def test_a_damaged_one_is_passed_over(
    tmp_path: Path,
    training: Training,
    name: str,
    how: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    training.step(1)
    save(tmp_path, 1, training)
    at_one = training.state()
    training.step(2)
    save(tmp_path, 2, training)
    damage(tmp_path / "step-2" / name, how)
    other = start(5)
    assert restore(tmp_path, other) == 1
    assert same(other.state(), at_one)
    assert "step-2, which is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"sha256": {}}'])
def test_a_damaged_state_is_passed_over(tmp_path: Path, training: Training, text: str) -> None:
    training.step(1)
    save(tmp_path, 1, training)
    save(tmp_path, 2, training)
    (tmp_path / "step-2" / "state.json").write_text(text)
    assert restore(tmp_path, start(5)) == 1


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path, training: Training) -> None:
    (tmp_path / "step-by-step").mkdir()
    (tmp_path / "step-7").touch()
    training.step(1)
    save(tmp_path, 1, training, keep=1)
    assert restore(tmp_path, start(5)) == 1
    assert names(tmp_path) == ["step-1", "step-7", "step-by-step"]


def test_other_inputs_are_not_resumed(tmp_path: Path, training: Training) -> None:
    training.step(1)
    save(tmp_path, 1, training, inputs="old")
    other = start(5)
    before = other.state()
    with pytest.raises(UserError, match=r"step-1 is of another training, .*; move .* away"):
        restore(tmp_path, other, "new")
    assert same(before, other.state())
    assert restore(tmp_path, other, "old") == 1, "nothing was removed"


def test_a_save_that_dies_leaves_the_one_before(
    tmp_path: Path, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    training.step(1)
    save(tmp_path, 1, training)

    def die(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("safetensors.torch.save_file", die)
        with pytest.raises(KeyboardInterrupt):
            save(tmp_path, 2, training)
    assert "step-2" not in names(tmp_path)
    assert restore(tmp_path, start(5)) == 1
    save(tmp_path, 2, training)
    assert names(tmp_path) == ["step-1", "step-2"]


def test_the_adapter_takes_the_old_one_s_place(tmp_path: Path, training: Training) -> None:
    from peft import PeftModel

    checkpoints.write_adapter(tmp_path / "adapter", training.model)
    (tmp_path / "adapter" / "mine.txt").touch()
    (tmp_path / "adapter" / "mine").mkdir()
    training.step(1)
    checkpoints.write_adapter(tmp_path / "adapter", training.model)
    made = ["adapter_config.json", "adapter_model.safetensors"]
    assert names(tmp_path / "adapter") == [*made, "mine", "mine.txt"]
    assert names(tmp_path) == ["adapter"]
    other = start(0)
    loaded = PeftModel.from_pretrained(other.model.unload(), str(tmp_path / "adapter"))
    found, kept = dict(loaded.named_parameters()), dict(training.model.named_parameters())
    assert found.keys() == kept.keys()
    assert all(same(found[name], kept[name]) for name in kept if "lora_" in name)


def test_the_adapter_that_training_began_with_stays_if_no_step_surpasses_it(
    tmp_path: Path, training: Training
) -> None:
    class Run(NamedTuple):
        folder: Path
        leads: bool = True
        inputs: str = "same"

    training.step(1)
    checkpoints.write_adapter(tmp_path / "first", training.model)
    first = training.state()
    training.step(2)
    run: Any = Run(tmp_path / "run")
    (tmp_path / "run").mkdir()
    for best, kept in ((3, False), (0, True)):
        at = Progressed(step=3, best_step=best)
        adapter = finish(run, training.model, at, tmp_path / "first")
        again = start(0)
        checkpoints.load_adapter(adapter, again.model)
        assert same(again.weights.vector, first) == kept
