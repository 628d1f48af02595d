"""The same run with a changed config: what trains again, what goes on, and what is kept aside."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

from fmtharness.harness.config import load_config
from fmtharness.harness.contracts import ModelOptions
from fmtharness.harness.run.train_inputs import ONLY_MEMORY
from fmtharness.trainers.options import LowRankOptions
from tests.test_training import ADAPTER, evaluated, losses, manifest, rows, same_adapter, trained
from tests.tiny import tiny_config

HALF = "train.num_train_epochs=1"
INCIDENTAL = (
    *("train.logging_steps=3", "train.save_steps=3", "train.save_total_limit=2"),
    *("train.cuda_graphs=never", "train.gradient_checkpointing=always"),
    *("train.max_micro_batch_tokens=1024", "train.format_eval_batch_size=1"),
    *("model.memory_limit=4GiB", "model.dequantize=never"),
)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_config(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def half(config: Path) -> Path:
    """A training of one epoch: 6 steps."""
    return trained(config, config.parent / "half", HALF)


@pytest.fixture(scope="module")
def whole(config: Path) -> Path:
    """A training of two epochs: 12 steps."""
    return trained(config, config.parent / "whole")


@pytest.fixture
def out(half: Path, tmp_path: Path) -> Path:
    """A copy of the training of one epoch."""
    return Path(shutil.copytree(half, tmp_path / "out"))


def said(out: Path) -> str:
    return (out / "said.txt").read_text()


def aside(out: Path) -> list[Path]:
    return sorted(out.glob("before-*"))


def test_every_option_that_does_not_shape_the_adapter_is_tried() -> None:
    tried = {setting.partition("=")[0] for setting in INCIDENTAL}
    assert tried == {f"train.{name}" for name in LowRankOptions.incidental} | {
        f"model.{name}" for name in ONLY_MEMORY
    }
    assert LowRankOptions.incidental | {LowRankOptions.length} <= set(LowRankOptions.model_fields)
    assert set(ONLY_MEMORY) < set(ModelOptions.model_fields)


@pytest.mark.parametrize("setting", INCIDENTAL)
def test_what_does_not_shape_the_adapter_does_not_train_again(
    config: Path, out: Path, setting: str
) -> None:
    before = (out / ADAPTER).stat().st_mtime_ns
    trained(config, out, HALF, setting)
    assert f"train: {out / 'adapter'} is up to date" in said(out)
    assert (out / ADAPTER).stat().st_mtime_ns == before
    assert aside(out) == []


def test_a_stopped_training_goes_on_across_such_a_change(
    config: Path, half: Path, out: Path
) -> None:
    shutil.rmtree(out / "adapter")
    shutil.rmtree(out / "checkpoints/step-6")
    shutil.rmtree(out / "checkpoints/step-4")
    trained(config, out, HALF, "train.logging_steps=2", "train.save_total_limit=1")
    assert "resuming from step 2" in said(out)
    assert "runs again" not in said(out)
    assert same_adapter(out, half)
    logged = [row["step"] for row in rows(out) if "train/loss" in row]
    assert logged == [1, 2, 4, 6]


def test_more_epochs_go_on_from_the_last_checkpoint(
    config: Path, half: Path, whole: Path, out: Path
) -> None:
    kept = (out / ADAPTER).read_bytes()
    trained(config, out)
    (place,) = aside(out)
    assert (
        f"train: runs again, since [train] num_train_epochs (1.0 -> 2.0) changed; it goes on from "
        f"its last checkpoint; what it replaces is kept in {place}\n"
    ) in said(out)
    assert "train: resuming from step 6" in said(out)
    assert manifest(out)["steps"] == 12
    assert manifest(out)["went_on_from"] == ["[train] num_train_epochs = 1.0, step 6"]
    assert losses(out)[:6] == losses(half)
    assert len(losses(out)) == 12
    assert evaluated(out) == [0, 4, 6, 8, 12]
    rates = {row["step"]: row["train/learning_rate"] for row in rows(out) if "train/loss" in row}
    anew = {row["step"]: row["train/learning_rate"] for row in rows(whole) if "train/loss" in row}
    assert all(rates[step] == anew[step] for step in range(7, 13)), "the new schedule"
    assert [each.name for each in place.iterdir()] == ["adapter"]
    assert (place / "adapter/adapter_model.safetensors").read_bytes() == kept
    assert "went_on_from" not in manifest(whole)
    trained(config, out)
    assert "is up to date" in said(out)


def test_more_epochs_that_were_stopped_end_in_the_same_files(
    config: Path, out: Path, tmp_path: Path
) -> None:
    through = Path(shutil.copytree(out, tmp_path / "through"))
    trained(config, through)
    trained(config, out)
    ignored = shutil.ignore_patterns("step-1?", "adapter")
    cut = Path(shutil.copytree(out, tmp_path / "cut", ignore=ignored))
    stages = json.loads((cut / "manifest.json").read_text())
    begun = {"begun": True, "files": {}}
    stages["stages"]["train"] |= begun
    del stages["sha256"]  # of the manifest as the run wrote it
    (cut / "manifest.json").write_text(json.dumps(stages))
    trained(config, cut)
    assert "resuming from step 8" in said(cut)
    assert same_adapter(cut, through)
    assert manifest(cut)["went_on_from"] == manifest(through)["went_on_from"]


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("train.learning_rate=0.02", "[train] learning_rate (0.01 -> 0.02)"),
        ("train.lora_r=4", "[train] lora_r (16 -> 4)"),
        ("train.eval_steps=3", "[train] eval_steps (4 -> 3)"),
        ("train.num_train_epochs=0.5", "[train] num_train_epochs (1.0 -> 0.5)"),
        ("model.precision=fp32", "[model] precision (auto -> fp32)"),
        ("seed=1", "seed (0 -> 1), train.jsonl"),
    ],
)
def test_another_training_keeps_the_old_one_aside(
    config: Path, half: Path, out: Path, setting: str, why: str
) -> None:
    trained(config, out, HALF, setting)
    (place,) = aside(out)
    assert why in said(out)
    assert f"changed; what it replaces is kept in {place}\n" in said(out)
    assert "resuming" not in said(out)
    held = {path.name for path in place.iterdir()}
    assert held == {"adapter", "checkpoints", "metrics.jsonl", "tb", "completions", "verdicts"}
    for name in ("completions/sft-4.jsonl", "verdicts/sft-4.jsonl"):
        assert (place / name).read_bytes() == (half / name).read_bytes()
    for step in (half / "checkpoints").iterdir():
        for file in step.iterdir():
            kept = place / "checkpoints" / step.name / file.name
            assert kept.read_bytes() == file.read_bytes()
    assert (place / "adapter/adapter_model.safetensors").read_bytes() == (
        half / ADAPTER
    ).read_bytes()
    assert (place / "metrics.jsonl").read_bytes() == (half / "metrics.jsonl").read_bytes()
    assert "went_on_from" not in manifest(out)
    assert rows(out)[0]["step"] == 0


def test_a_stopped_training_is_kept_aside_too(config: Path, out: Path) -> None:
    shutil.rmtree(out / "adapter")
    held = json.loads((out / "manifest.json").read_text())
    held["stages"]["train"] |= {"begun": True, "files": {}}
    del held["sha256"]
    (out / "manifest.json").write_text(json.dumps(held))
    trained(config, out, HALF, "train.learning_rate=0.02")
    (place,) = aside(out)
    assert "[train] learning_rate (0.01 -> 0.02) changed; what it replaces is kept" in said(out)
    assert (place / "checkpoints/step-6").is_dir()


def test_there_and_back_keeps_every_training(config: Path, out: Path) -> None:
    kept = []
    for rate in ("0.02", "0.01", "0.02"):
        kept.append((out / ADAPTER).read_bytes())
        trained(config, out, HALF, f"train.learning_rate={rate}")
    found = [(each / "adapter/adapter_model.safetensors").read_bytes() for each in aside(out)]
    assert sorted(found) == sorted(kept)
    assert len(found) == 3
    assert all(load_file(each / "adapter/adapter_model.safetensors") for each in aside(out))


def test_the_config_says_what_a_run_is_now(config: Path, out: Path) -> None:
    trained(config, out, HALF, "train.logging_steps=3")
    found = load_config(out / "config.toml").tables()["train"]
    assert found["logging_steps"] == 3
