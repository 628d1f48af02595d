"""Who imports whom, read from the source; and what the light commands load."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.plugins import DEFAULT_PLUGINS
from tests.fakes import ROOT

OUTER = ("evaluators", "generators", "trainers")


def sources(package: str) -> Iterator[tuple[Path, ast.Module]]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found
    for path in found:
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.Module) -> Iterator[str]:
    """The top-level packages that a module imports, at its head or inside a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield (node.module or "").split(".")[0]


@pytest.mark.parametrize("package", OUTER)
def test_plugins_import_the_core_and_never_each_other(package: str) -> None:
    others = {*OUTER} - {package}
    for path, tree in sources(package):
        assert not others & set(imported(tree)), path


def test_the_core_imports_no_plugin() -> None:
    for path, tree in sources("harness"):
        assert not {*OUTER} & set(imported(tree)), path


def test_the_core_names_plugins_in_one_tuple() -> None:
    assert {*OUTER} <= {*DEFAULT_PLUGINS}
    for path, tree in sources("harness"):
        loads = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute | ast.Name)
            and (node.attr if isinstance(node, ast.Attribute) else node.id) == "import_module"
        ]
        assert len(loads) == (path.name == "plugins.py"), path
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not node.value.startswith(tuple(f"{name}." for name in OUTER)), path


def test_errors_never_import_click() -> None:
    for path, tree in sources("harness"):
        assert ("click" in imported(tree)) == (path.name == "cli.py"), path


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["eval", "--help"],
        ["plugins"],
        ["models"],
        ["eval", "--completions", "ROWS"],
        ["check", '{"a": 1}'],
    ],
    ids=" ".join,
)
def test_light_commands_load_no_torch(tmp_path: Path, arguments: list[str]) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"text": '{"a": 1}'}) + "\n")
    arguments = [str(rows) if argument == "ROWS" else argument for argument in arguments]
    code = f"""
import sys
from harness.cli import main
try:
    main({arguments!r})
except SystemExit as done:
    assert not done.code, done.code
heavy = {{"torch", "transformers", "peft", "accelerate", "tensorboard", "matplotlib"}}
if {arguments[0]!r} == "check":
    heavy |= {{"scipy", "statsmodels", "pandas", "numpy"}}
sys.exit(" ".join(heavy & sys.modules.keys()) or None)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_package_alone_is_light() -> None:
    code = "import sys, harness; sys.exit(len({'torch', 'pydantic'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert done.returncode == 0


def test_help_is_quick() -> None:
    command = [sys.executable, "-m", "harness.cli", "--help"]
    best = float("inf")
    for _ in range(10):
        began = time.perf_counter()
        subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        best = min(best, time.perf_counter() - began)
        if best < 0.3:
            break
    assert best < 0.3
