"""Who imports whom, read from the source; and what the light commands load."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fmtharness.harness.plugins import DEFAULT_PLUGINS
from tests.fakes import ROOT

CORE = frozenset({"core"})
MAY_IMPORT = {
    "core": CORE,
    "config": CORE,
    "judging": CORE,
    "testing": CORE,
    "dataset": CORE | {"judging"},
    "report": CORE | {"judging"},
    "run": CORE | {"config", "judging", "dataset", "report"},
    "gates": CORE | {"config", "judging", "dataset", "report", "run"},
    "commands": CORE | {"config", "judging", "dataset", "report", "run", "gates"},
    "cli": CORE | {"config", "judging", "dataset", "report", "run", "gates", "commands"},
    "engine": CORE,
    "backends": CORE,
    "evaluators": CORE,
    "generators": CORE | {"config", "dataset"},
    "trainers": CORE | {"engine"},
}
"""Which rooms a room imports, besides itself; TYPE_CHECKING and functions count, too."""
LAZILY = {
    "run": frozenset({"engine", "backends"}),
    "cli": frozenset({"engine"}),
    "backends": frozenset({"engine"}),
}
"""What is imported inside functions only, since it loads torch."""
OUTER = ("evaluators", "generators", "trainers")


def modules() -> dict[str, ast.Module]:
    """Every module of the four packages by its dotted name."""
    found = {}
    for package in ("harness", *OUTER):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if "templates" not in parts:
                name = ".".join(("fmtharness", *(part for part in parts if part != "__init__")))
                found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


MODULES = modules()


def room(module: str) -> str:
    _, first, *rest = module.split(".")
    if first != "harness":
        return first
    if module == "fmtharness.harness.cli":
        return "cli"
    return rest[0] if rest and (ROOT / "harness" / rest[0]).is_dir() else "core"


def imported(tree: ast.Module, *, lazily: bool = True) -> set[str]:
    """What of the four packages a module imports, TYPE_CHECKING included.

    Without `lazily`, what stands inside functions is left out.
    """
    found: set[str] = set()
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            module = node.module or ""
            for alias in node.names:
                whole = f"{module}.{alias.name}"
                found.add(whole if whole in MODULES else module)
        if lazily or not isinstance(node, ast.FunctionDef):
            waiting += ast.iter_child_nodes(node)
    return {name for name in found if name.startswith("fmtharness.")}


@pytest.mark.parametrize("module", MODULES)
def test_who_imports_whom(module: str) -> None:
    own, tree = room(module), MODULES[module]
    allowed = MAY_IMPORT[own] | {own}
    at_once = {room(name) for name in imported(tree, lazily=False)}
    assert at_once <= allowed, module
    assert {room(name) for name in imported(tree)} <= allowed | LAZILY.get(own, frozenset()), module


def test_there_is_no_circle() -> None:
    edges = {name: imported(tree) - {name} for name, tree in MODULES.items()}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name not in done:
            for other in sorted(edges.get(name, ())):
                visit(other, (*path, name))
            done.add(name)

    for name in edges:
        visit(name, ())


def test_the_core_is_small() -> None:
    files = sorted((ROOT / "harness").glob("*.py"))
    assert len(files) <= 20
    assert sum(path.read_text(encoding="utf-8").count("\n") for path in files) <= 3200


def test_no_file_is_long() -> None:
    for package in ("harness", *OUTER):
        for path in (ROOT / package).rglob("*.py"):
            assert path.read_text(encoding="utf-8").count("\n") <= 400, path


def test_the_core_names_plugins_in_one_tuple() -> None:
    outer = tuple(f"fmtharness.{package}" for package in OUTER)
    assert {*outer} <= {*DEFAULT_PLUGINS}
    for name, tree in MODULES.items():
        if room(name) in OUTER:
            continue
        loads = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute | ast.Name)
            and (node.attr if isinstance(node, ast.Attribute) else node.id) == "import_module"
        ]
        assert len(loads) == (name == "fmtharness.harness.plugins"), name
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not node.value.startswith(tuple(f"{package}." for package in outer)), name


def test_errors_never_import_click() -> None:
    for name, tree in MODULES.items():
        found = [
            (node.module or "").split(".")[0] if isinstance(node, ast.ImportFrom) else alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        ]
        assert "click" not in found or room(name) in ("cli", "commands"), name


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
from fmtharness.harness.cli import main
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
    heavy = {"torch", "pydantic"}
    code = f"import sys, fmtharness.harness; sys.exit(len({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert done.returncode == 0


def test_help_is_quick() -> None:
    """In the processor's time, which other processes take no part of; it waits for nothing."""
    command = [sys.executable, "-m", "fmtharness", "--help"]
    best = float("inf")
    for _ in range(10):
        before = os.times()
        subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        after = os.times()
        best = min(best, sum(after[2:4]) - sum(before[2:4]))  # user and system, of children
        if best < 0.3:
            break
    assert best < 0.3
