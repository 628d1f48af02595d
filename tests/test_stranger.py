"""What strangers bring, installed by pip as they would: it works, and where it fails it is told."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from fmtharness.harness.cli import main
from fmtharness.harness.commands.new import What, write
from tests.fakes import ROOT, import_path

TUTORIAL = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
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
from fmtharness.harness import hookimpl
from fmtharness.harness.contracts import Options
from fmtharness.harness.records import Verdict

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


STAGES = """
from pathlib import Path
from typing import ClassVar
from fmtharness.harness import hookimpl
from fmtharness.harness.contracts import Options
from fmtharness.harness.records import Completion, Example, Message

class Coins(Options):
    name: ClassVar[str] = "coins"
    formats: ClassVar[tuple[str, ...]] = ("json",)
    value: int = 1

    def generate(self, split, n, rng):
        for i in range(n):
            prompt = (Message("user", f"Coin {i} of {split}?"),)
            value = {"coin": self.value + i}
            yield Example(
                id=f"{split}-{i}",
                prompt=prompt,
                completion='{"coin": %d}' % value["coin"],
                format="json",
                value=value,
            )

class Nothing(Options):
    name: ClassVar[str] = "nothing"

    def train(self, examples, run):
        folder = run.folder / "adapter"
        folder.mkdir()
        (folder / "seen.txt").write_text(str(len(examples)))
        return folder

class Parrot(Options):
    name: ClassVar[str] = "parrot"

    def complete(self, examples, model, adapter):
        for example in examples:
            text = example.completion if adapter else "Polly"
            yield Completion(example_id=example.id, text=text, finish_reason="stop")

@hookimpl
def fmtharness_generators():
    return [Coins]

@hookimpl
def fmtharness_trainers():
    return [Nothing]

@hookimpl
def fmtharness_backends():
    return [Parrot]
"""


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
            env=os.environ | {"PYTHONPATH": import_path(self.path, ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def fmtharness(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.python("-m", "fmtharness", *arguments)


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


def test_every_stage_of_a_run_may_be_a_stranger_s(site: Site) -> None:
    site.add("coin-stages", STAGES)
    (site.folder / "coins.toml").write_text(
        '[data]\ngenerator = "coins"\nn_train = 3\nn_eval = 4\nvalue = 7\n'
        '[train]\ntrainer = "nothing"\n[eval]\nbackend = "parrot"\n'
        "[retention]\nnum_prompts = 0\n"  # a parrot knows no answer but the target
    )
    done = site.fmtharness("run", "coins.toml")
    assert done.returncode == 0, done.stderr
    counts = {
        line.split()[0]: re.findall(r" (\d+/\d+)", line)
        for line in done.stdout.splitlines()
        if line.strip()
    }
    assert counts["format_success_rate"] == counts["exact_match_rate"] == ["0/4", "4/4"]
    folder = site.folder / "outputs" / "coins"
    assert (folder / "adapter" / "seen.txt").read_text() == "3"
    last = (folder / "data" / "eval.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["value"] == {"coin": 10}
    wrong = site.fmtharness("generate", "coins.toml", "--set", "data.valeu=1")
    assert wrong.returncode == 2 and "did you mean 'value'?" in wrong.stderr


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
        ("format", "my.fmt", "fmtharness_my_fmt", "MyFmtFormat"),
        ("evaluator", "class", "fmtharness_class", "ClassEvaluator"),
    ],
)
def test_a_new_package_takes_its_name(
    site: Site, what: str, name: str, module: str, component: str
) -> None:
    made = site.fmtharness("new", what, name, "--to", "my plugin")
    assert made.returncode == 0, made.stderr
    assert "pip install -e 'my plugin[test]'\n" in made.stdout
    folder = site.folder / "my plugin"
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {f"wrote my plugin/{file}" for file in files} <= set(made.stdout.splitlines())
    tests = {f"tests/test_{module.removeprefix('fmtharness_')}.py", "tests/answers.jsonl"}
    assert files >= {"pyproject.toml", "README.md", f"{module}.py", *tests}
    assert f"class {component}(Options):" in (folder / f"{module}.py").read_text()
    assert "sample" not in "".join((folder / file).read_text().lower() for file in files)

    site.install(folder)
    gate = site.python("-m", "pytest", "-q", "tests/answers.fmt.toml", cwd=folder)
    assert "3 passed" in gate.stdout, gate.stdout
    assert site.fmtharness("check", f"--{what}", name, "city=Oslo").returncode == 0


@pytest.mark.parametrize(("what", "name"), [("format", "my.fmt"), ("evaluator", "class")])
def test_a_new_package_passes_a_linter(tmp_path: Path, what: What, name: str) -> None:
    pytest.importorskip("ruff")
    write(what, name, tmp_path)
    rules = ["--isolated", "--select", "E,F,B,UP", "--line-length", "100"]
    command = [sys.executable, "-m", "ruff", "check", *rules]
    lint = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert lint.returncode == 0, lint.stdout + lint.stderr
    assert "No Python files found" not in lint.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["format", "json"], "there is a component 'json' already"),
        (["evaluator", "yaml_strict"], "there is a component 'yaml_strict' already"),
        (["format", "9lives"], "'9lives' cannot be a name"),
        (["format", "My-Fmt"], "'My-Fmt' cannot be a name"),
        (["format", "a--b"], "'a--b' cannot be a name"),
        (["format", "a" * 61], "60 at most"),
        (["format", "calm", "--to", "a" * 300], "cannot be a folder"),
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


@pytest.mark.slow
@pytest.mark.parametrize("section", ["A format", "An evaluator"])
def test_every_command_of_the_tutorial_works(site: Site, section: str) -> None:
    text = TUTORIAL.split(f"\n## {section}\n")[1].split("\n## ")[0]
    lines = re.findall(r"^    ((?:fmtharness|pip|pytest) .+)$", text, re.MULTILINE)
    assert len(lines) >= 6
    for line in lines:
        program, *arguments = shlex.split(line, comments=True)
        if program == "pip":
            site.install(site.folder / arguments[-1].removesuffix("[test]"))
        elif arguments[0] != "run":  # which trains a model
            done = site.python("-m", program, *arguments)
            assert done.returncode == ("# fails" in line), f"{line}\n{done.stdout}{done.stderr}"


def test_the_tutorial_shows_what_is_written(tmp_path: Path) -> None:
    written = write("format", "my-fmt", tmp_path / "1") + write(
        "evaluator", "my-judge", tmp_path / "2"
    )
    sources = [path.read_text(encoding="utf-8") for path in written]
    blocks = re.findall(r"^```\w+\n(.*?)^```", TUTORIAL, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 10
    for block in blocks:
        assert any(block in source for source in sources), block


def test_the_ini_format_takes_a_hundred_lines() -> None:
    source = ROOT / "examples" / "fmtharness-ini" / "fmtharness_ini.py"
    assert len(source.read_text(encoding="utf-8").splitlines()) <= 100
