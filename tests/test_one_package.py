"""What is installed is one package, so a user's project may have folders of the same names."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes import ROOT, Distributions

FOLDERS = ("harness", "evaluators", "generators", "trainers")
TEST = """
import evaluators, generators, harness, trainers
import harness.mine


def test_of_the_user(assert_format):
    assert [each.OWNER for each in (evaluators, generators, harness.mine, trainers)] == ["me"] * 4
    assert_format('{"city": "Oslo"}', "json")
"""
GATE = """
completions = "rows.jsonl"
[thresholds.json_strict]
format_success_rate = { min = 1.0 }
"""
OLD_PLUGIN = """
from typing import ClassVar
from harness import hookimpl
from harness.contracts import Options
from harness.records import Verdict
import evaluators.json.format


class Old(Options):
    name: ClassVar[str] = "old"
    metric: ClassVar[str] = "old_rate"

    def evaluate(self, example, completion):
        return Verdict(id=completion.example_id, evaluator=self.name, passed=True)


@hookimpl
def fmtharness_evaluators():
    return [Old]
"""
SAME = """
import importlib, sys, warnings
import fmtharness
warnings.simplefilter("always")
for name in ("evaluators.json.format", "harness.records", "harness", "harness.engine"):
    new = importlib.import_module(f"fmtharness.{name}")
    assert importlib.import_module(name) is new, name
    assert new.__spec__.name == new.__name__ == f"fmtharness.{name}", name
try:
    import harness.no_such_module
except ModuleNotFoundError as error:
    print(error)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's project with packages of all four names, a test, a gate and rows."""
    for name in FOLDERS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text('OWNER = "me"\n')
    (tmp_path / "harness" / "mine.py").write_text('OWNER = "me"\n')
    (tmp_path / "test_mine.py").write_text(TEST)
    (tmp_path / "rows.fmt.toml").write_text(GATE)
    (tmp_path / "rows.jsonl").write_text(json.dumps({"text": '{"city": "Oslo"}'}) + "\n")
    return tmp_path


def python(*arguments: str, at: Path, path: str = "") -> subprocess.CompletedProcess[str]:
    """A process as the user starts it, where fmtharness is installed as in this one."""
    paths = [path, str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=at,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        check=False,
    )


def test_pytest_in_a_project_with_the_four_folders(project: Path) -> None:
    done = python("-m", "pytest", "-p", "no:cacheprovider", "-q", at=project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout  # three are the gate's


@pytest.mark.parametrize("path", ["", "."])
def test_the_command_in_a_project_with_the_four_folders(project: Path, path: str) -> None:
    for arguments in (
        ["check", '{"city": "Oslo"}'],
        ["eval", "--completions", "rows.jsonl"],
        ["plugins"],
        ["generate", str(ROOT / "configs" / "example.toml"), "--set", "data.n_train=20"],
    ):
        done = python("-m", "fmtharness", *arguments, at=project, path=path)
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr


def test_an_old_name_is_the_new_module(tmp_path: Path) -> None:
    done = python("-c", SAME, at=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "harness.no_such_module" in done.stdout
    assert done.stderr.count("Warning") == 2  # one for harness, one for evaluators
    assert "evaluators is called fmtharness.evaluators now" in done.stderr


def test_a_plugin_with_old_imports_works_with_a_warning(distributions: Distributions) -> None:
    distributions.add("old-plugin", OLD_PLUGIN)
    done = distributions.run("check", "--evaluator", "old", "anything")
    assert done.returncode == 0, done.stderr
    assert "old: passed" in done.stdout
    assert done.stderr.count("Warning") == 2
    assert "old_plugin.py:3: FutureWarning: harness is called fmtharness.harness now" in done.stderr


def test_code_and_tests_use_the_new_names() -> None:
    """By the old ones a checkout's root on sys.path would load every module a second time."""
    for path in ROOT.rglob("*.py"):
        if {"build", ".venv"} & {*path.relative_to(ROOT).parts}:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [(node.module or "") if isinstance(node, ast.ImportFrom) else ""]
            assert not {name.partition(".")[0] for name in names} & {*FOLDERS}, path
