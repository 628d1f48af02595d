"""A result is made again when what made it has changed: a plugin, its source, a file, our code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

from fmtharness.harness.contracts import Options
from fmtharness.harness.run import provenance
from tests.fakes import Distributions

JUDGE = """
from typing import ClassVar
from fmtharness.harness import hookimpl
from fmtharness.harness.contracts import Options
from fmtharness.harness.records import Verdict

class Short(Options):
    name: ClassVar[str] = "short"
    metric: ClassVar[str] = "short_rate"

    def evaluate(self, example, completion):
        passed = len(completion.text) < {most}
        return Verdict(id=completion.example_id, evaluator="short", passed=passed)

class Echo(Options):
    name: ClassVar[str] = "parrot"

    def complete(self, examples, model, adapter):
        from fmtharness.harness.records import Completion
        for each in examples:
            yield Completion(example_id=each.id, text=each.completion, finish_reason="stop")

class Copier(Options):
    name: ClassVar[str] = "copier"

    def train(self, examples, run):
        run.start(0, {{}})
        adapter = run.folder / "adapter"
        adapter.mkdir(exist_ok=True)
        (adapter / "weights").write_text("1")
        return adapter

@hookimpl
def fmtharness_evaluators():
    return [Short]

@hookimpl
def fmtharness_backends():
    return [Echo]

@hookimpl
def fmtharness_trainers():
    return [Copier]
"""
CONFIG = """
[data]
n_train = 3
n_eval = 3
[train]
trainer = "copier"
[retention]
num_prompts = 0
[eval]
backend = "parrot"
evaluators = ["json_strict", "short"]
"""


def rates(distributions: Distributions, folder: Path) -> dict[str, Any]:
    """The short_rate of both arms, what was said, and the manifest, after a run."""
    (folder / "c.toml").write_text(CONFIG)
    done = distributions.run("run", str(folder / "c.toml"), "--out", str(folder / "out"))
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = {"said": done.stderr}
    for arm in ("base", "sft"):
        rows = (folder / "out" / "verdicts" / f"{arm}.jsonl").read_text().splitlines()
        verdicts = [row for row in map(json.loads, rows) if row["evaluator"] == "short"]
        found[arm] = [row["passed"] for row in verdicts]
    return found | {"manifest": json.loads((folder / "out" / "manifest.json").read_text())}


@pytest.mark.slow
def test_another_version_of_a_plugin_judges_again(
    distributions: Distributions, tmp_path: Path
) -> None:
    distributions.add("short-judge", JUDGE.format(most=10**6))
    first = rates(distributions, tmp_path)
    assert first["base"] == first["sft"] == [True] * 3
    made = first["manifest"]["stages"]["verdicts/base"]["inputs"]["evaluator short"]
    assert made.startswith("short-judge 1.0, source ")
    assert first["manifest"]["plugins"]["short-judge"] == "1.0"
    assert rates(distributions, tmp_path)["said"].count("runs again") == 0

    distributions.add("short-judge", JUDGE.format(most=0), version="1.1")
    second = rates(distributions, tmp_path)
    assert second["base"] == second["sft"] == [False] * 3
    assert "verdicts/base: runs again, since evaluator short (short-judge 1.0, " in second["said"]
    made = second["manifest"]["stages"]["verdicts/base"]["inputs"]["evaluator short"]
    assert made.startswith("short-judge 1.1, source ")
    assert second["manifest"]["plugins"]["short-judge"] == "1.1"


def test_an_edited_plugin_judges_again(distributions: Distributions, tmp_path: Path) -> None:
    """As one that is installed in editable mode: its version stays."""
    distributions.add("short-judge", JUDGE.format(most=10**6))
    assert rates(distributions, tmp_path)["base"] == [True] * 3
    distributions.add("short-judge", JUDGE.format(most=0))
    found = rates(distributions, tmp_path)
    assert found["base"] == [False] * 3
    assert "evaluator short (short-judge 1.0, source" in found["said"]


def package(folder: Path, **files: str) -> str:
    """The source digest of a package `mine` with these files, read in this process."""
    for name, text in files.items():
        path = folder / "mine" / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    provenance.source_digest.cache_clear()
    return provenance.source_digest("mine")


def test_a_package_s_digest_is_that_of_all_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").touch()
    first = package(tmp_path, a="1", deep__b="2")
    (tmp_path / "mine" / "notes.txt").write_text("no code")
    assert package(tmp_path) == first
    assert package(tmp_path, deep__b="3") != first
    assert package(tmp_path, deep__b="2") == first
    assert package(tmp_path, deep__c="") != first


def test_built_in_code_counts_by_package() -> None:
    identities = {
        name: provenance.identity("evaluators", name)
        for name in ("json_strict", "json_match", "extras", "yaml_strict")
    }
    assert identities["json_strict"] == identities["json_match"] == identities["extras"]
    assert identities["json_strict"] != identities["yaml_strict"]
    every = [
        provenance.source_digest(name)
        for name in ("fmtharness.harness", "fmtharness.harness.engine", "fmtharness.trainers")
    ]
    assert len({*every, "unknown"}) == 4


class Reader(Options):
    """A component that reads two kinds of files."""

    name: ClassVar[str] = "json_strict"
    rows: Path
    more: tuple[Path, ...] = ()
    n: int = 3


def test_a_file_that_a_component_reads_is_an_input(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_text(name)
    reader = Reader(rows=tmp_path / "a", more=(tmp_path / "b", tmp_path / "c"))
    before = provenance.made_by([("evaluators", reader)])
    assert len(before) == 4
    (tmp_path / "c").write_text("edited")
    after = provenance.made_by([("evaluators", reader)])
    assert [name for name in after if after[name] != before[name]] == [
        f"evaluator json_strict: more {tmp_path / 'c'}"
    ]


READER = """
from pathlib import Path
from typing import ClassVar
from fmtharness.harness import hookimpl
from fmtharness.harness.contracts import Options
from fmtharness.harness.records import Example, Message

class Rows(Options):
    name: ClassVar[str] = "rows"
    file: Path

    def generate(self, split, n, rng):
        for index, line in enumerate(self.file.read_text().splitlines()[:n]):
            yield Example(id=f"{split}-{index}", prompt=(Message("user", f"{split} {line}"),),
                          completion="{}", format="json", value={})

@hookimpl
def fmtharness_generators():
    return [Rows]
"""


def test_a_generator_whose_file_changed_generates_again(
    distributions: Distributions, tmp_path: Path
) -> None:
    distributions.add("rows-reader", READER)
    rows = tmp_path / "rows.txt"
    (tmp_path / "c.toml").write_text(
        f'[data]\ngenerator = "rows"\nfile = "{rows}"\nn_train = 1\nn_dev = 1\nn_eval = 1\n'
        '[eval]\nevaluators = ["json_strict"]\n'
    )

    def generated(text: str) -> str:
        rows.write_text(text)
        command = ["generate", str(tmp_path / "c.toml"), "--out", str(tmp_path / "out")]
        done = distributions.run(*command)
        assert done.returncode == 0, done.stderr
        assert text in (tmp_path / "out" / "data" / "train.jsonl").read_text()
        return done.stderr

    generated("first")
    assert "up to date" in generated("first")
    assert "data: runs again, since generator rows: file changed" in generated("second")
