"""What strangers bring, installed by pip as they would: it works, and where it fails it is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.scaffold import TEMPLATES
from tests.fakes import ROOT

PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "{name}"
version = "1.0"
[project.entry-points.fmtharness]
{module} = "{module}"
[tool.setuptools]
py-modules = ["{module}"]
"""
EVALUATOR = '''
from typing import ClassVar
from harness import hookimpl
from harness.contracts import Options
from harness.records import Verdict

class Calm(Options):
    """Passes what does not shout."""
    name: ClassVar[str] = "calm"
    metric: ClassVar[str] = "calm_rate"

    def evaluate(self, example, completion):
        if "boom" in completion.text:
            raise ZeroDivisionError("no calm here")
        return Verdict(
            id=completion.example_id, evaluator="calm", passed="!" not in completion.text
        )

@hookimpl
def fmtharness_evaluators():
    return [Calm]
'''


class Site:
    """A folder that distributions are installed into, beside the project."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "site"

    def add(self, name: str, source: str) -> None:
        """Install a distribution of one module."""
        project = self.folder / name
        project.mkdir()
        module = name.replace("-", "_")
        (project / f"{module}.py").write_text(source, encoding="utf-8")
        text = PYPROJECT.format(name=name, module=module)
        (project / "pyproject.toml").write_text(text, encoding="utf-8")
        self.install(project)

    def install(self, project: Path) -> None:
        options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
        command = ["-m", "pip", "install", "-q", *options, "--target", str(self.path), str(project)]
        done = self.python(*command)
        assert done.returncode == 0, done.stderr

    def python(self, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=cwd or self.folder,
            env=os.environ | {"PYTHONPATH": f"{self.path}{os.pathsep}{ROOT}"},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def fmtharness(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.python("-m", "harness.cli", *arguments)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def told(site: Site) -> str:
    """The one line that every command ends with."""
    for arguments in (["plugins"], ["check", "{}"], ["eval", "--completions", "rows.jsonl"]):
        done = site.fmtharness(*arguments)
        assert done.returncode == 2
        assert done.stdout == ""
        [line] = done.stderr.splitlines()
    return line


def test_two_plugins_that_claim_one_name(site: Site) -> None:
    site.add("calm-one", EVALUATOR)
    assert site.fmtharness("check", "--evaluator", "calm", "hi").returncode == 0
    site.add("calm-two", EVALUATOR)
    line = told(site)
    assert "two evaluators are called 'calm'" in line
    assert "calm_one.Calm of calm-one" in line and "calm_two.Calm of calm-two" in line


def test_a_plugin_that_fails_at_import(site: Site) -> None:
    site.add("broken-dist", "import no_such_module_anywhere\n" + EVALUATOR)
    line = told(site)
    assert "broken-dist failed to import" in line and "no_such_module_anywhere" in line


def test_a_plugin_that_misspells_a_hook(site: Site) -> None:
    site.add("sloppy-dist", EVALUATOR.replace("fmtharness_evaluators", "fmtharness_evaluator"))
    line = told(site)
    assert "sloppy-dist misspells a hook" in line and "fmtharness_evaluators" in line


def test_an_evaluator_that_raises_on_one_row_in_a_thousand(site: Site) -> None:
    site.add("calm-one", EVALUATOR)
    texts = ["hi!" if row % 4 == 0 else "hi" for row in range(3000)]
    texts[500] = texts[1500] = texts[2500] = "boom"
    rows, out = site.folder / "rows.jsonl", site.folder / "verdicts.jsonl"
    rows.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    files = ["--completions", str(rows), "--verdicts", str(out)]
    done = site.fmtharness("eval", "--evaluator", "calm", "--evaluator", "json_strict", *files)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert "calm: 3 unscored, the first because calm raised ZeroDivisionError" in done.stdout
    assert "2250/2997" in done.stdout  # boom is none of the 750 that shout
    verdicts = [json.loads(line) for line in out.read_text().splitlines()]
    calm = [verdict["passed"] for verdict in verdicts if verdict["evaluator"] == "calm"]
    expected = {"boom": None, "hi!": False, "hi": True}
    assert calm == [expected[text] for text in texts]
    assert len(verdicts) == 6000


@pytest.mark.parametrize(
    ("what", "name", "module", "component"),
    [
        ("format", "my-fmt", "fmtharness_my_fmt", "MyFmtFormat"),
        ("evaluator", "class.9", "fmtharness_class_9", "Class9Evaluator"),
    ],
)
def test_a_new_package_passes_its_own_tests(
    site: Site, what: str, name: str, module: str, component: str
) -> None:
    made = site.fmtharness("new", what, name, "--to", "plugin")
    assert made.returncode == 0, made.stderr
    folder = site.folder / "plugin"
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    tests = {f"tests/test_{module.removeprefix('fmtharness_')}.py", "tests/answers.jsonl"}
    assert files >= {"pyproject.toml", "README.md", f"{module}.py", *tests}
    assert f"class {component}(Options):" in (folder / f"{module}.py").read_text()
    assert "sample" not in "".join(path.read_text().lower() for path in folder.rglob("*.py"))
    lint = site.python(
        "-m", "ruff", "check", "--isolated", "--select", "E4,E7,E9,F,W", ".", cwd=folder
    )
    assert lint.returncode == 0, lint.stdout

    site.install(folder)
    tested = site.python("-m", "pytest", "-q", "-p", "no:cacheprovider", ".", cwd=folder)
    assert tested.returncode == 0, tested.stdout
    assert "answers.fmt.toml" in site.python("-m", "pytest", "--co", "-q", ".", cwd=folder).stdout
    option = "--format" if what == "format" else "--evaluator"
    assert site.fmtharness("check", option, name, "city=Oslo").returncode == 0
    if what == "format":
        data = site.fmtharness("generate", "plugin/data.toml", "--to", "data")
        assert data.returncode == 0, data.stderr
        assert '"format":"my-fmt"' in (site.folder / "data" / "eval.jsonl").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["format", "json"], "there is a component 'json' already"),
        (["evaluator", "yaml_strict"], "there is a component 'yaml_strict' already"),
        (["format", "9lives"], "'9lives' cannot be a name"),
        (["format", "My-Fmt"], "'My-Fmt' cannot be a name"),
        (["format", "a--b"], "'a--b' cannot be a name"),
        (["evaluator", "calm", "--to", "full"], "full: is there already"),
        (["evaluator", "calm", "--to", "full/file"], "is a file"),
    ],
)
def test_what_new_refuses(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    done = CliRunner().invoke(main, ["new", *arguments])
    assert done.exit_code == 2
    assert said in done.output
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "file"]


def test_the_tutorial_shows_what_is_written() -> None:
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    sources = [path.read_text(encoding="utf-8") for path in TEMPLATES.rglob("*") if path.is_file()]
    blocks = [block.split("\n```")[0] for block in page.split("```python\n")[1:]]
    assert len(blocks) >= 3
    for block in blocks:
        assert any(block in source for source in sources), block


def test_the_ini_format_takes_a_hundred_lines() -> None:
    source = ROOT / "examples" / "fmtharness-ini" / "fmtharness_ini.py"
    assert len(source.read_text(encoding="utf-8").splitlines()) <= 100
