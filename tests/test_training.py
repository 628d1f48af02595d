"""Whole trainings of a tiny model: what they leave behind, and what they survive."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from fmtharness.harness.cli import main
from fmtharness.harness.progress import say
from fmtharness.trainers import loop
from tests.fakes import wait_for
from tests.tiny import tiny_config

ADAPTER = "adapter/adapter_model.safetensors"
STEPS = 12
EXACT = not torch.cuda.is_available()
"""Whether the same training gives the same bytes again; on a GPU the last bits may differ."""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_config(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def undisturbed(config: Path) -> Path:
    return trained(config, config.parent / "undisturbed")


def trained(config: Path, out: Path, *settings: str, code: int = 0) -> Path:
    chosen = [part for setting in settings for part in ("--set", setting)]
    result = CliRunner().invoke(main, ["train", str(config), "--out", str(out), *chosen])
    assert result.exit_code == code, result.output
    (out / "said.txt").write_text(result.output)
    return out


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def losses(out: Path) -> list[float]:
    return [row["train/loss"] for row in rows(out) if "train/loss" in row]


def repeated(found: list[float]) -> Any:
    """What the losses of the same training must be equal to."""
    return found if EXACT else pytest.approx(found, rel=1e-4)


def same_adapter(one: Path, other: Path) -> bool:
    """Whether two trainings ended in the same adapter.

    On a GPU repeats were 1e-6 of its norm apart; a resume without the optimizer's moments, 0.16.
    """
    if EXACT:
        return (one / ADAPTER).read_bytes() == (other / ADAPTER).read_bytes()
    ours, theirs = load_file(one / ADAPTER), load_file(other / ADAPTER)
    assert ours.keys() == theirs.keys()
    apart = sum(float((ours[name] - theirs[name]).square().sum()) for name in ours)
    return apart <= 1e-3**2 * sum(float(weight.square().sum()) for weight in theirs.values())


def evaluated(out: Path) -> list[int]:
    """The steps that evaluations were made at."""
    return [row["step"] for row in rows(out) if "eval/format_success_rate" in row]


def manifest(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "manifest.json").read_text())["stages"]["train"]
    return found


def command(config: Path, out: Path) -> list[str]:
    return [sys.executable, "-m", "fmtharness", "train", str(config), "--out", str(out)]


def test_a_training_learns_and_says_what_it_did(undisturbed: Path) -> None:
    found = losses(undisturbed)
    assert len(found) == STEPS
    assert found[-1] < 0.95 * found[0]
    facts = manifest(undisturbed)
    assert facts["steps"] == STEPS
    assert facts["best_step"] in (4, 8, 12)
    assert facts["certificate"]["compared"] == 4
    assert [row["step"] for row in rows(undisturbed) if "eval/format_success_rate" in row] == [
        *(0, 4, 8, 12)
    ]


def test_a_logged_loss_is_the_mean_since_the_last_one(
    config: Path, tmp_path: Path, undisturbed: Path
) -> None:
    each = losses(undisturbed)
    whole = trained(config, tmp_path / "whole", "train.logging_steps=5")
    parts = (each[:1], each[1:5], each[5:10], each[10:])
    assert losses(whole) == pytest.approx([fmean(part) for part in parts], rel=1e-5)
    ignored = shutil.ignore_patterns("step-8", "step-1?", "adapter")
    shutil.copytree(whole, tmp_path / "cut", ignore=ignored)
    cut = trained(config, tmp_path / "cut", "train.logging_steps=5")
    assert "resuming from step 6" in (cut / "said.txt").read_text()
    assert losses(cut) == repeated(losses(whole))


def test_both_trainers_share_the_loop(config: Path, tmp_path: Path) -> None:
    out = trained(config, tmp_path / "nf4", "train.trainer=qlora", "train.num_train_epochs=1")
    assert len(losses(out)) == STEPS // 2
    text = trained(config, tmp_path / "no", 'model.quantization="nf4"', code=2)
    assert "trainer lora trains on unquantized weights" in (text / "said.txt").read_text()


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_every_precision_gives_nearly_the_same_losses(
    config: Path, tmp_path: Path, undisturbed: Path, precision: str
) -> None:
    out = trained(config, tmp_path / "out", f'model.precision="{precision}"')
    assert losses(out) == pytest.approx(losses(undisturbed), rel=0.02)


def test_checkpointing_and_the_cuts_do_not_change_the_losses(config: Path, tmp_path: Path) -> None:
    fp32 = 'model.precision="fp32"'
    usual = losses(trained(config, tmp_path / "usual", fp32))
    again = trained(config, tmp_path / "again", fp32, 'train.gradient_checkpointing="always"')
    assert losses(again) == pytest.approx(usual, rel=1e-4)
    cut = trained(config, tmp_path / "cut", fp32, "train.max_micro_batch_tokens=1024")
    assert losses(cut) == pytest.approx(usual, rel=1e-4)


def test_dropout_is_resumed_exactly(config: Path, tmp_path: Path) -> None:
    settings = ("train.lora_dropout=0.3", "train.num_train_epochs=1")
    whole = trained(config, tmp_path / "whole", *settings)
    shutil.copytree(whole, tmp_path / "cut", ignore=shutil.ignore_patterns("step-[46]", "adapter"))
    cut = trained(config, tmp_path / "cut", *settings)
    assert "resuming from step 2" in (cut / "said.txt").read_text()
    assert same_adapter(cut, whole)


def test_a_scaled_loss_is_resumed_exactly(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a scale so high that the first steps overflow and lower it."""
    high = functools.partial(torch.amp.GradScaler, init_scale=2.0**26)
    monkeypatch.setattr("torch.amp.GradScaler", high)
    settings = ('model.precision="fp16"',)
    whole = trained(config, tmp_path / "whole", *settings)
    assert 2 < sum("train/grad_norm" not in row for row in rows(whole) if "train/loss" in row) < 8
    ignored = shutil.ignore_patterns("step-[468]", "step-1?", "adapter")
    shutil.copytree(whole, tmp_path / "cut", ignore=ignored)
    cut = trained(config, tmp_path / "cut", *settings)
    assert "resuming from step 2" in (cut / "said.txt").read_text()
    assert same_adapter(cut, whole)


def test_an_optimizer_of_8_bits_learns_and_is_resumed_exactly(config: Path, tmp_path: Path) -> None:
    settings = ("train.optim=adamw_8bit", "train.num_train_epochs=1")
    whole = trained(config, tmp_path / "whole", *settings)
    assert losses(whole)[-1] < losses(whole)[0]
    shutil.copytree(whole, tmp_path / "cut", ignore=shutil.ignore_patterns("step-[46]", "adapter"))
    cut = trained(config, tmp_path / "cut", *settings)
    assert "resuming from step 2" in (cut / "said.txt").read_text()
    assert same_adapter(cut, whole)


def test_a_training_of_one_step_trains(config: Path, tmp_path: Path) -> None:
    settings = ("train.gradient_accumulation_steps=24", "train.num_train_epochs=1")
    out = trained(config, tmp_path / "out", *settings)
    assert len(losses(out)) == 1
    weights = load_file(out / ADAPTER)
    assert any(weight.any() for name, weight in weights.items() if "lora_B" in name)


def test_the_best_checkpoint_becomes_the_adapter(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grade(monkeypatch, {0: 0.9, 4: 0.5, 8: 0.3, 12: 0.3})
    out = trained(config, tmp_path / "out", "train.save_total_limit=1")
    assert manifest(out)["best_step"] == 4, "step 0 is the untuned model and no candidate"
    kept = sorted(path.name for path in (out / "checkpoints").iterdir())
    assert kept == ["step-12", "step-4"]
    best = out / "checkpoints/step-4/adapter_model.safetensors"
    assert (out / ADAPTER).read_bytes() == best.read_bytes()


def test_content_decides_between_equals_and_then_the_later(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grade(monkeypatch, {0: 0, 4: 0.5, 8: 0.5, 12: 0.5}, {4: 0.2, 8: 0.4, 12: 0.3})
    assert manifest(trained(config, tmp_path / "one"))["best_step"] == 8
    grade(monkeypatch, {0: 0, 4: 0.5, 8: 0.5, 12: 0.5})
    assert manifest(trained(config, tmp_path / "two"))["best_step"] == 12


def test_patience_ends_a_training(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grade(monkeypatch, {0: 0, 4: 0.5, 8: 0.3, 12: 0.9})
    out = trained(config, tmp_path / "out", "train.early_stopping_patience=1")
    assert manifest(out)["steps"] == 8
    assert manifest(out)["best_step"] == 4


def grade(
    monkeypatch: pytest.MonkeyPatch,
    lows: dict[int, float],
    contents: dict[int, float] | None = None,
) -> None:
    """Let each step's evaluation come out as told."""
    from fmtharness.harness.records import Metric
    from fmtharness.harness.run.training import Training

    def evaluate(self: Training, loaded: Any, step: int, **_: Any) -> dict[str, Metric]:
        low, content = lows[step], (contents or {}).get(step, 0.0)
        return {
            name: Metric(name=name, value=value, numerator=1, denominator=2, low=value, high=1.0)
            for name, value in (("format_success_rate", low), ("exact_match_rate", content))
        }

    monkeypatch.setattr(Training, "evaluate", evaluate)


def after_each_gradient(monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], None]) -> None:
    """Let a training's Passes come out changed."""
    from fmtharness.trainers.step.passes import Passes

    gradient = Passes.gradient

    def changed(self: Passes, batch: Any, labels: int, examples: int) -> None:
        gradient(self, batch, labels, examples)
        change(self)

    monkeypatch.setattr(Passes, "gradient", changed)


@pytest.mark.parametrize("logging_steps", [1, 100])
def test_weights_that_are_no_numbers_are_never_saved(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logging_steps: int
) -> None:
    """Where the loss is still one and the gradient is not; also between two logged steps."""
    calls = itertools.count(1)

    def poison(passes: Any) -> None:
        if next(calls) == 6:
            passes.weights.gradient[0] = torch.nan

    after_each_gradient(monkeypatch, poison)
    settings = (f"train.logging_steps={logging_steps}", "train.save_total_limit=1")
    out = trained(config, tmp_path / "out", *settings, code=2)
    said = (out / "said.txt").read_text()
    assert "the gradient's norm is nan at step 6" in said
    assert "step 4)" in said
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["step-4"]


def test_an_fp16_training_that_skips_every_step_ends(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poison(passes: Any) -> None:
        passes.weights.gradient[0] = torch.nan

    after_each_gradient(monkeypatch, poison)
    settings = ('model.precision="fp16"', "train.num_train_epochs=4")
    out = trained(config, tmp_path / "out", *settings, code=2)
    assert "the gradient's norm is nan at step 17" in (out / "said.txt").read_text()


def test_a_training_that_diverges_keeps_its_last_good_checkpoint(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = itertools.count(1)

    def poison(passes: Any) -> None:
        if next(calls) == 6:
            passes.loss.fill_(float("nan"))

    after_each_gradient(monkeypatch, poison)
    out = trained(config, tmp_path / "out", code=2)
    said = (out / "said.txt").read_text()
    assert "the loss is nan at step" in said
    assert "lower train.learning_rate" in said
    assert "Traceback" not in said
    assert list((out / "checkpoints").glob("step-*"))
    assert not (out / "adapter").exists()


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_signal_saves_and_leaves(
    config: Path, tmp_path: Path, undisturbed: Path, number: signal.Signals
) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen(command(config, out), stderr=subprocess.PIPE, text=True)
    wait_for(lambda: any("train/loss" in line for line in written(out)), process)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number, said
    assert f"{number.name} received, stopping once this step is saved" in said
    assert "run the same command to resume" in said
    assert "Traceback" not in said
    step = len(losses(out))
    assert (out / f"checkpoints/step-{step}").is_dir()
    again = trained(config, out)
    assert f"resuming from step {step}" in (again / "said.txt").read_text()
    assert same_adapter(out, undisturbed)


@pytest.mark.parametrize(
    ("at", "said"),
    [(0, "before its first step, so nothing is saved"), (STEPS, f"at step {STEPS} of {STEPS}")],
)
def test_a_signal_in_an_evaluation_leaves_it_due(
    config: Path,
    tmp_path: Path,
    undisturbed: Path,
    monkeypatch: pytest.MonkeyPatch,
    at: int,
    said: str,
) -> None:
    evaluate = loop._evaluate

    def disturbed(options: Any, run: Any, loaded: Any, step: int) -> Any:
        if step == at:
            signal.raise_signal(signal.SIGTERM)
        return evaluate(options, run, loaded, step)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "_evaluate", disturbed)
        out = trained(config, tmp_path / "out", code=128 + signal.SIGTERM)
    assert not (out / "adapter").exists()
    assert (out / "checkpoints").exists() == bool(at)
    assert f"stopped {said}" in (out / "said.txt").read_text()
    trained(config, out)
    assert evaluated(out) == evaluated(undisturbed)
    assert same_adapter(out, undisturbed)


@pytest.mark.parametrize("moment", ["evaluate", "save"])
def test_a_signal_in_the_last_moments_is_obeyed(
    config: Path, tmp_path: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """While evaluators judge, who catch what is raised, and when the last step is saved."""
    from fmtharness.evaluators.json.format import JsonFormat

    place, name = (JsonFormat, "parse") if moment == "evaluate" else (loop, "save")
    work = getattr(place, name)

    def disturbed(*given: Any) -> Any:
        last = (tmp_path / "out/checkpoints/step-10").is_dir()
        if last and (moment == "evaluate" or given[-1].step == STEPS):
            signal.raise_signal(signal.SIGTERM)
        return work(*given)

    with monkeypatch.context() as patched:
        patched.setattr(place, name, disturbed)
        out = trained(config, tmp_path / "out", code=128 + signal.SIGTERM)
    assert not (out / "adapter").exists()
    assert f"stopped at step {STEPS} of {STEPS}" in (out / "said.txt").read_text()
    trained(config, out)
    assert evaluated(out) == evaluated(undisturbed)
    assert same_adapter(out, undisturbed)


@pytest.mark.slow
def test_kills_at_random_moments_change_nothing(
    config: Path, tmp_path: Path, undisturbed: Path
) -> None:
    """FMTHARNESS_KILLS says how many trainings; `make kills` asks for 20."""
    began = time.monotonic()
    subprocess.run(command(config, tmp_path / "timed"), check=True, capture_output=True)
    usual = time.monotonic() - began
    rng = random.Random(0)
    kills = 0
    for number in range(int(os.environ.get("FMTHARNESS_KILLS", "1"))):
        out = tmp_path / str(number)
        codes: list[int] = []
        while 0 not in codes:
            process = subprocess.Popen(command(config, out), stderr=subprocess.DEVNULL)
            # The first time in the first half, which cannot be over before it is killed. Later at
            # any moment, and ever later, so that it ends on a machine that became slower, too.
            moment = rng.uniform(0.3, 1.0) * usual * 1.1 ** len(codes)
            if not codes:
                lines = rng.randint(1, len(rows(undisturbed)) // 2)
                wait_for(functools.partial(has_lines, out, lines), process)
                moment = rng.uniform(0, 0.05)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=moment)
            process.kill()
            codes.append(process.wait())
        assert set(codes) == {0, -signal.SIGKILL}, codes
        kills += codes.count(-signal.SIGKILL)
        assert same_adapter(out, undisturbed), codes
        found = [row["step"] for row in rows(out)]
        assert found == sorted(found)
        assert losses(out) == repeated(losses(undisturbed))
    say(f"{kills} kills")


def has_lines(out: Path, count: int) -> bool:
    return len(written(out)) >= count


def test_a_second_process_is_refused(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = subprocess.Popen(command(config, out), stderr=subprocess.DEVNULL)
    wait_for(lambda: (out / "config.toml").is_file(), first)
    first.send_signal(signal.SIGSTOP)  # or it might be done before the second looks
    second = subprocess.run(command(config, out), capture_output=True, text=True, check=False)
    first.kill()
    first.wait()
    assert second.returncode == 2
    assert "another process works in this run's folder" in second.stderr


@pytest.mark.slow
@pytest.mark.parametrize("spread", ["false", "true"])
def test_two_processes_train_the_same(
    config: Path, tmp_path: Path, undisturbed: Path, spread: str
) -> None:
    out = tmp_path / "out"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_FSDP": spread}
    done = subprocess.run(
        [*launch, *command(config, out)[1:]],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("wrote") == 1
    assert losses(out) == pytest.approx(losses(undisturbed), rel=0.02)
    evaluated = [json.loads(line) for line in (out / "completions/sft-12.jsonl").open()]
    assert [row["example_id"] for row in evaluated] == ["dev-0", "dev-1"]


def written(out: Path) -> list[str]:
    """The lines of metrics that there are so far."""
    path = out / "metrics.jsonl"
    return path.read_text().splitlines() if path.is_file() else []
