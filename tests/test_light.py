"""The default install: what needs an extra says so in one sentence, and nothing else needs it."""

from __future__ import annotations

import builtins
import importlib.util
import json
import sys
import tomllib
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result

import fmtharness.harness.files
from fmtharness.harness.cli import main
from fmtharness.harness.config import load_config
from fmtharness.harness.requirements import TRAIN
from tests.fakes import FAKE_CONFIG, ROOT

SAID = "which is not installed: pip install 'fmtharness[train]'\n"


@pytest.fixture
def light(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, on a machine without the extra."""
    find_spec, load = importlib.util.find_spec, builtins.__import__

    def found(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name in TRAIN else find_spec(name, package)

    def imported(name: str, *rest: Any, **named: Any) -> ModuleType:
        if (top := name.partition(".")[0]) in TRAIN:
            raise ModuleNotFoundError(f"No module named {top!r}", name=top)
        return load(name, *rest, **named)

    for module in TRAIN:  # which another test may have loaded
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", found)
    monkeypatch.setattr(builtins, "__import__", imported)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_the_extra_is_the_one_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = {each.partition(">")[0] for each in project["optional-dependencies"]["train"]}
    assert extra == TRAIN
    assert not extra & {each.partition(">")[0] for each in project["dependencies"]}


@pytest.mark.parametrize("command", ["run", "train", "compare"])
def test_what_trains_says_what_is_missing_before_it_begins(light: Path, command: str) -> None:
    done = call(command)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == f"error: {command} needs torch, {SAID}"
    assert not [*light.iterdir()]


def test_eval_and_plot_say_what_is_missing(light: Path) -> None:
    done = call("eval", "--num-prompts", "1", "--verdicts", "verdicts.jsonl")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.endswith(f"error: eval needs torch, {SAID}")
    done = call("plot")
    assert (done.exit_code, done.stderr) == (2, f"error: plot needs matplotlib, {SAID}")
    assert not [*light.iterdir()]


def test_a_mistake_in_the_config_comes_first(light: Path) -> None:
    Path("my.toml").write_text("[data]\nn_trian = 5\n")
    assert "did you mean 'n_train'" in call("run", "my.toml").stderr


@pytest.mark.usefixtures("fakes", "light")
def test_a_strangers_trainer_and_backend_need_none_of_it() -> None:
    Path("fake.toml").write_text(FAKE_CONFIG)
    done = call("compare", "fake.toml")
    assert done.exit_code == 0, done.output
    assert "scalars: only in metrics.jsonl, since torch is not installed" in done.stderr
    assert "curves: not drawn, since matplotlib is not installed" in done.stderr
    rows = Path("outputs/fake/metrics.jsonl").read_text().splitlines()
    assert json.loads(rows[0]) == {"step": 0, "train/loss": 1.0}


def test_another_missing_module_is_no_users_mistake(
    light: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'nope'", name="nope")

    monkeypatch.setenv("FMTHARNESS_CACHE", str(light / "cache"))
    monkeypatch.setattr("fmtharness.harness.run.data.write_data", broken)
    done = call("generate", "--to", "data")
    assert done.exit_code == 4 and "No module named 'nope'" in done.stderr


def test_presets_are_found_by_name_where_there_is_no_checkout(light: Path) -> None:
    assert load_config(Path("configs/hard.toml")).name == "hard"
    done = call("generate", "configs/nope.toml", "--to", "data")
    assert done.stderr.startswith("error: configs/nope.toml: cannot be read")
    own = light / "configs" / "hard.toml"
    own.parent.mkdir()
    own.write_text("name = 'own'\n")
    assert load_config(Path("configs/hard.toml")).name == "own"


def test_presets_lie_in_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = tmp_path / "shipped"
    (packed / "configs").mkdir(parents=True)
    (packed / "configs" / "mine.toml").write_text("seed = 7\n")
    monkeypatch.setattr(fmtharness.harness.files, "_PACKED", packed)
    monkeypatch.chdir(tmp_path)
    assert load_config(Path("configs/mine.toml")).seed == 7
