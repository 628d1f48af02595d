"""The main job, small: data, base, a few steps, tuned, resume.

On a tiny model of random weights in seconds, and, marked `slow`, on the real built-in one.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner, Result
from safetensors.torch import load_file

from fmtharness.harness.cli import main
from fmtharness.harness.records import Completion, Example, Verdict, read_records
from tests.tiny import tiny_model

SMALL = [
    "data.n_train=16",
    "train.num_train_epochs=2",
    "data.n_eval=8",
    "train.gradient_accumulation_steps=8",
    "train.logging_steps=1",
    "train.eval_steps=2",
    "train.eval_on_start=true",
    "train.save_steps=2",
    "train.n_format_eval_prompts=2",
    "train.format_eval_max_new_tokens=8",
    "eval.max_new_tokens=24",
    "eval.sets.open.num_prompts=3",
    "eval.sets.open.max_new_tokens=24",
    "retention.num_prompts=3",
    "retention.max_new_tokens=8",
    'eval.dump_jsonl="dump.jsonl"',
]


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


TINY = [
    "train.max_seq_length=2048",  # a token is a byte
    "train.learning_rate=1e-2",
    "train.format_eval_max_new_tokens=4",
    "eval.max_new_tokens=8",
]
REAL = pytest.param("real", marks=[pytest.mark.model, pytest.mark.slow])


class Finished(NamedTuple):
    """A run that is done."""

    out: Path
    printed: str
    settings: list[str]
    stop_token: str


def small(command: str, out: Path, settings: list[str]) -> Result:
    overrides = [part for item in settings for part in ("--set", item)]
    result = invoke(command, "configs/quick.toml", "--out", str(out), *overrides)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module", params=["tiny", REAL])
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    out = tmp_path_factory.mktemp("run") / "quick"
    settings, stop_token = SMALL, "<|im_end|>"
    if request.param == "tiny":
        model = tiny_model(tmp_path_factory.mktemp("model"))
        settings, stop_token = [*SMALL, *TINY, f'model.name="{model}"'], "<|end|>"
    return Finished(out, small("run", out, settings).stdout, settings, stop_token)


def test_the_run_prints_both_arms_and_leaves_its_folder(finished: Finished) -> None:
    out, printed = finished.out, finished.printed
    assert "format_success_rate" in printed
    assert "exact_match_rate" in printed
    for name in (
        "config.toml",
        "manifest.json",
        "data/train.jsonl",
        "data/dev.jsonl",
        "data/eval.jsonl",
        "data/stats.json",
        "data/stats.md",
        "checkpoints/step-2/optimizer.safetensors",
        "checkpoints/step-4/adapter_model.safetensors",
        "adapter/adapter_model.safetensors",
        "completions/base.jsonl",
        "completions/sft.jsonl",
        "completions/sft-0.jsonl",
        "completions/sft-4.jsonl",
        "verdicts/base.jsonl",
        "verdicts/sft.jsonl",
        "verdicts/sft-4.jsonl",
        "metrics.jsonl",
        "curves.png",
        "dump.base.jsonl",
        "dump.sft.jsonl",
    ):
        assert (out / name).is_file(), name
    assert list((out / "tb").glob("*tfevents*"))
    assert not [p for p in out.rglob("*") if p.suffix in {".bin", ".pt", ".pth", ".pkl"}]


def test_every_example_has_a_completion_and_a_verdict_per_evaluator(
    finished: Finished,
) -> None:
    out = finished.out
    ids = [example.id for example in read_records(out / "data/eval.jsonl", Example)]
    for arm in ("base", "sft"):
        completions = list(read_records(out / f"completions/{arm}.jsonl", Completion))
        verdicts = list(read_records(out / f"verdicts/{arm}.jsonl", Verdict))
        assert [completion.example_id for completion in completions] == ids
        assert {completion.arm for completion in completions} == {arm}
        assert {c.finish_reason for c in completions} <= {"stop", "length"}
        assert [verdict.id for verdict in verdicts] == [i for i in ids for _ in range(4)]
        assert all(verdict.passed is not None for verdict in verdicts)
    in_training = list(read_records(out / "completions/sft-4.jsonl", Completion))
    assert {completion.arm for completion in in_training} == {"sft"}
    assert [completion.example_id for completion in in_training] == [
        "copying/dev-0",
        "copying/dev-1",
    ]


def test_the_manifest_certifies_parity_and_says_what_made_the_run(
    finished: Finished,
) -> None:
    out = finished.out
    manifest = json.loads((out / "manifest.json").read_text())
    trained = manifest["stages"]["train"]
    asked = [each for each in read_records(out / "data/train.jsonl", Example) if each.prompt]
    assert trained["certificate"]["examples"] == len(asked)
    assert len(asked) >= 14
    assert trained["certificate"]["stop_token"] == finished.stop_token
    assert trained["steps"] == 4
    assert trained["train_tokens"] > 32 * 20
    assert {"torch", "transformers", "peft", "bitsandbytes"} <= manifest["versions"].keys()
    assert manifest["hardware"]["cpus"]


def test_training_lowers_the_loss_and_logs_a_baseline(finished: Finished) -> None:
    out = finished.out
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    losses = [row["train/loss"] for row in rows if "train/loss" in row]
    assert len(losses) == 4
    assert sum(losses[2:]) < sum(losses[:2]), "the same rows, in the second epoch"
    evaluated = [row["step"] for row in rows if "eval/format_success_rate" in row]
    assert evaluated == [0, 2, 4]


def test_the_same_command_again_does_nothing(finished: Finished) -> None:
    out, printed = finished.out, finished.printed
    before = {path: path.stat().st_mtime_ns for path in (out / "completions").iterdir()}
    assert small("run", out, finished.settings).stdout == printed
    assert {path: path.stat().st_mtime_ns for path in (out / "completions").iterdir()} == before


def test_a_training_that_was_cut_short_ends_in_the_same_bytes(
    finished: Finished, tmp_path: Path
) -> None:
    out = finished.out
    resumed = tmp_path / "resumed"
    shutil.copytree(out, resumed, ignore=shutil.ignore_patterns("step-4", "adapter", ".lock"))
    small("train", resumed, finished.settings)
    name = "adapter/adapter_model.safetensors"
    assert (resumed / name).read_bytes() == (out / name).read_bytes()
    steps = [json.loads(x)["step"] for x in (resumed / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)
    assert any(value.abs().sum() > 0 for value in load_file(resumed / name).values())


def test_the_same_config_gives_the_same_data_and_completions_elsewhere(
    finished: Finished, tmp_path: Path
) -> None:
    out = finished.out
    small("run", tmp_path / "again", finished.settings)
    for name in (
        "data/train.jsonl",
        "data/dev.jsonl",
        "data/eval.jsonl",
        "completions/base.jsonl",
        "completions/sft.jsonl",
        "verdicts/sft.jsonl",
        "adapter/adapter_model.safetensors",
    ):
        assert (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes(), name


def test_compare_shows_rates_and_diffs_and_writes_markdown(finished: Finished) -> None:
    out = finished.out
    result = invoke("compare", "--out", str(out), "--num-prompts", "2")
    assert result.exit_code == 0, result.output
    assert result.output.count("== copying/eval-") == 2
    written = (out / "compare.md").read_text()
    assert "| metric" in written
    assert written.count("### copying/eval-") == 2


def test_eval_with_the_adapter_judges_the_same_model_as_the_run(
    finished: Finished,
) -> None:
    out = finished.out
    result = invoke(
        "eval",
        *("--adapter", str(out / "adapter"), "--data", str(out / "data/eval.jsonl")),
        *("--evaluator", "json_strict", "--dump-jsonl", str(out / "again.jsonl")),
    )
    assert result.exit_code == 0, result.output
    texts = [json.loads(line)["text"] for line in (out / "again.jsonl").read_text().splitlines()]
    expected = [c.text for c in read_records(out / "completions/sft.jsonl", Completion)]
    assert texts == expected
