"""Whole trainings in rounds: a tiny model that answers, is killed in between, and prefers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from fmtharness.harness.cli import main
from fmtharness.harness.records import Completion, Example, read_records
from tests.fakes import wait_for
from tests.tiny import tiny_model

WEIGHTS = "adapter/adapter_model.safetensors"
CONFIG = """
[data]
families = {{ extract = 1.0 }}
n_train = 8
n_dev = 2
n_eval = 2
train_strictness = "easy"
[model]
name = "{model}"
[train]
trainer = "qlora"
max_seq_length = 1024
lora_r = 4
gradient_accumulation_steps = 4
learning_rate = 1e-2
logging_steps = 1
eval_steps = 10
n_format_eval_prompts = 1
format_eval_max_new_tokens = 4
rounds = 2
[train.next_round]
trainer = "dpo"
learning_rate = 5e-3
prompts = 6
reference = "start"
max_new_tokens = 6
replay = 0.5
max_micro_batch_tokens = 2048
[retention]
num_prompts = 0
[eval]
max_new_tokens = 4
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("rounds")
    path = home / "tiny.toml"
    path.write_text(CONFIG.format(model=tiny_model(home / "model")), encoding="utf-8")
    return path


def trained(config: Path, out: Path) -> str:
    result = CliRunner().invoke(main, ["train", str(config), "--out", str(out)])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def whole(config: Path) -> Path:
    out = config.parent / "whole"
    trained(config, out)
    return out


def test_the_second_round_prefers_targets_to_the_first_one_s_answers(whole: Path) -> None:
    answers = list(read_records(whole / "rounds/1/answers.jsonl", Completion))
    rows = list(read_records(whole / "rounds/1/rows.jsonl", Example))
    pairs = [each for each in rows if each.rejected is not None]
    assert len(answers) == 6 and len(pairs) > 4
    assert {each.rejected for each in pairs} <= {each.text for each in answers}
    assert len(rows) - len(pairs) == round(len(pairs) / 2)
    stages = json.loads((whole / "manifest.json").read_text())["stages"]
    assert {"rounds/1/train", "rounds/1/answers", "train"} <= stages.keys()
    assert stages["train"]["pairs"] == len(pairs)
    told = map(json.loads, (whole / "metrics.jsonl").read_text().splitlines())
    margins = [row["train/rewards/margins"] for row in told if "train/rewards/margins" in row]
    assert margins[-1] > margins[0]
    first, last = (load_file(place / WEIGHTS) for place in (whole / "rounds/1", whole))
    assert first.keys() == last.keys()
    assert any(not torch.equal(first[name], last[name]) for name in first)
    assert (whole / "rounds/1/table.md").read_text().startswith("# Round 1: answers to 6 fresh")


def test_killed_between_the_rounds_it_goes_on(config: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "fmtharness", "train", str(config), "--out", str(out)]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    wait_for(lambda: (out / "rounds/1/prompts.jsonl").exists(), running)
    running.kill()
    assert running.wait() == -signal.SIGKILL
    assert (out / "rounds/1" / WEIGHTS).read_bytes() == (whole / "rounds/1" / WEIGHTS).read_bytes()
    assert not (out / "adapter").exists()
    said = trained(config, out)
    assert f"{out / 'rounds/1/adapter'} is up to date" in said
    names = ("rounds/1/rows.jsonl", "rounds/1/table.md", WEIGHTS)
    for name in names[: None if not torch.cuda.is_available() else -1]:
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name
    assert "is up to date" in trained(config, out)
