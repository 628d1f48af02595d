"""Other people's models in a run: their identity is their content, and no fault is a traceback."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fmtharness.harness import files
from fmtharness.harness.cli import main
from fmtharness.harness.commands.group import Commands
from fmtharness.harness.config import load_config
from fmtharness.harness.files import LARGE, is_full, quick_digest
from fmtharness.harness.judging.rows import BLOCK_BYTES
from fmtharness.harness.run.provenance import hub_commit, model_inputs
from tests.fakes import ROOT
from tests.tiny import tiny_config, tiny_model
from tests.tiny_gguf import write_gguf

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 538090408\n"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FMTHARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def inputs(config: Path, *overrides: str) -> dict[str, str]:
    return model_inputs(load_config(config, overrides=overrides))


def replaced(path: Path, held: bytes) -> None:
    """Other bytes of the same number, under the same name and time."""
    before = path.stat()
    assert len(held) == before.st_size
    path.write_bytes(held)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def flipped(path: Path, at: int) -> None:
    held = bytearray(path.read_bytes())
    held[at] ^= 1
    replaced(path, bytes(held))


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "chat_template.jinja"])
def test_replaced_files_of_a_model_are_other_inputs(tmp_path: Path, file: str) -> None:
    config = tiny_config(tmp_path)
    before = inputs(config)
    path = tmp_path / "model" / file
    flipped(path, path.stat().st_size // 2)
    after = inputs(config)
    assert {name for name in after if after[name] != before[name]} == {"model files"}


def test_a_named_template_of_a_model_is_an_input(tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    before = inputs(config)
    (tmp_path / "model" / "additional_chat_templates").mkdir()
    (tmp_path / "model" / "additional_chat_templates" / "tools.jinja").write_text("{{ tools }}")
    assert inputs(config) != before


def test_a_gguf_is_known_by_its_content(tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    path = write_gguf(tmp_path / "model", tmp_path / "tiny.gguf")
    before = inputs(config, f'model.name="{path}"')
    flipped(path, path.stat().st_size - 100)
    after = inputs(config, f'model.name="{path}"')
    assert before["model files"] != after["model files"]


def test_one_bit_in_the_middle_of_a_large_file_counts(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(bytes(LARGE + 4096))
    first = quick_digest(path)
    flipped(path, LARGE // 2)
    second = quick_digest(path)
    assert second != first
    flipped(path, LARGE // 2)
    assert quick_digest(path) == first


def test_a_large_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(bytes(LARGE + 1))
    monkeypatch.setattr(files, "TICK_NS", 0)
    time.sleep(0.05)
    read: list[Path] = []
    whole = files.file_digest

    def counted(path: Path) -> str:
        read.append(path)
        return whole(path)

    monkeypatch.setattr(files, "file_digest", counted)
    first = quick_digest(path)
    assert quick_digest(path) == first
    assert read == [path]
    flipped(path, 5)
    assert quick_digest(path) != first
    assert read == [path, path]


def test_a_hub_model_is_known_by_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the cache of the hub's client, which it reads where it is offline."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    stored = tmp_path / "hub" / "models--owner--tiny"
    config = tiny_config(tmp_path)

    def at(commit: str) -> dict[str, str]:
        (stored / "snapshots" / commit).mkdir(parents=True)
        (stored / "refs").mkdir(exist_ok=True)
        (stored / "refs" / "main").write_text(commit)
        (stored / "snapshots" / commit / "config.json").write_text("{}")
        hub_commit.cache_clear()
        return inputs(config, 'model.name="owner/tiny"')

    try:
        assert at("a" * 40)["model commit"] == "a" * 40
        assert at("b" * 40)["model commit"] == "b" * 40
        hub_commit.cache_clear()
        assert "model commit" not in inputs(config, 'model.name="owner/none"')
    finally:
        hub_commit.cache_clear()


def fmtharness(*command: str, file_size: int | None = None) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, in which no file may grow beyond this size."""

    def limited() -> None:
        if file_size is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))

    return subprocess.run(
        [sys.executable, "-m", "fmtharness", *command],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=limited,
        check=False,
        timeout=120,
    )


def told(done: subprocess.CompletedProcess[str], code: int = 2) -> str:
    """The one sentence of an error."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    return errors[0]


@pytest.mark.slow
def test_replaced_weights_run_again_and_a_model_that_is_gone_does_not(tmp_path: Path) -> None:
    config, out = tiny_config(tmp_path), tmp_path / "out"
    command = ("run", str(config), "--out", str(out), "--set", "train.num_train_epochs=1")
    assert fmtharness(*command).returncode == 0
    (tmp_path / "model").rename(tmp_path / "away")
    finished = fmtharness(*command)
    assert finished.returncode == 0, finished.stderr
    assert "runs again" not in finished.stderr
    other = tiny_model(tmp_path / "model", seed=1) / "model.safetensors"
    held = other.read_bytes()
    shutil.rmtree(tmp_path / "model")
    (tmp_path / "away").rename(tmp_path / "model")
    replaced(other, held)
    again = fmtharness(*command)
    assert again.returncode == 0, again.stderr
    for stage, why in {
        "completions/base": "model files",
        "train": "model files",
        "completions/sft": "adapter, model files",
    }.items():
        assert f"{stage}: runs again, since {why} changed" in again.stderr


def pointer(model: Path) -> Path:
    (model / "model.safetensors").write_text(POINTER)
    return model


def cut_gguf(model: Path) -> Path:
    path = write_gguf(model, model.parent / "cut.gguf")
    path.write_bytes(path.read_bytes()[:3000])
    return path


def without_layer(model: Path) -> Path:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    return model


@pytest.mark.parametrize(
    ("damaged", "sentence"),
    [
        (pointer, "is only Git LFS's pointer to the file"),
        (cut_gguf, "this GGUF file is cut off or damaged"),
        (without_layer, "9 weights are missing from its files"),
    ],
)
def test_a_model_that_is_not_whole_ends_a_run_with_one_sentence(
    tmp_path: Path, damaged: Callable[[Path], Path], sentence: str
) -> None:
    config = tiny_config(tmp_path)
    model = damaged(tmp_path / "model")
    done = fmtharness("run", str(config), "--out", str(tmp_path / "out"), "--model", str(model))
    assert sentence in told(done)


@pytest.mark.slow
def test_a_full_disk_while_a_gguf_is_converted(tmp_path: Path, cache: Path) -> None:
    path = write_gguf(tiny_model(tmp_path / "model"), tmp_path / "tiny.gguf")
    done = fmtharness("eval", "--model", str(path), "--num-prompts", "1", file_size=100_000)
    assert "the disk is full" in told(done)
    assert list((cache / "models").iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("processes", [1, 2])
def test_a_full_disk_while_rows_are_written(tmp_path: Path, processes: int) -> None:
    """Processes that judge are ended, too."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "{}"}\n' * (20 if processes == 1 else 3 * BLOCK_BYTES // 15))
    command = ["eval", "--completions", str(rows), "--evaluator", "json_strict"]
    done = fmtharness(*command, "--verdicts", "/dev/full", "--processes", str(processes))
    assert "the disk is full" in told(done) and "free some space" in told(done)


@pytest.mark.slow
def test_a_full_disk_while_a_checkpoint_is_written(tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    out = ("--out", str(tmp_path / "out"))
    assert fmtharness("generate", str(config), *out).returncode == 0
    done = fmtharness("train", str(config), *out, "--set", "train.lora_r=64", file_size=200_000)
    assert "the disk is full" in told(done)
    assert fmtharness("train", str(config), *out, "--set", "train.lora_r=64").returncode == 0


def test_which_errors_are_of_a_full_disk() -> None:
    assert is_full(OSError(28, "No space left on device"))
    assert is_full(RuntimeError("I/O error: No space left on device (os error 28)"))
    assert not is_full(OSError(2, "No such file or directory"))
    assert not is_full(RuntimeError("os error 280"))


def test_a_fault_of_our_own_has_its_own_exit_code() -> None:
    """1 stands for a gate or check that failed."""
    group = Commands("test")

    @group.command()
    def fails() -> None:
        raise KeyError("a fault")

    @group.command()
    def denied() -> None:
        raise PermissionError(13, "Permission denied", "/some/file")

    @group.command()
    def stops() -> None:
        raise click.ClickException("as before")

    done = CliRunner().invoke(group, ["fails"])
    assert done.exit_code == 4
    assert "KeyError: 'a fault'" in done.stderr and "please report" in done.stderr
    done = CliRunner().invoke(group, ["denied"])
    assert (done.exit_code, done.stderr) == (2, "error: /some/file: Permission denied\n")
    assert CliRunner().invoke(group, ["stops"]).exit_code == 1
    assert CliRunner().invoke(main, ["--version"]).exit_code == 0
