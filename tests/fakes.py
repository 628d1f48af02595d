"""Small fakes: rows, components that need no model, and distributions laid out as pip would."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from msgspec import structs

from fmtharness.harness import plugins
from fmtharness.harness.contracts import ModelOptions, Options, TrainingRun
from fmtharness.harness.plugins import Kind, Registered
from fmtharness.harness.records import Completion, Example, Message, Problem, Verdict

ROOT = Path(__file__).parents[1]
FAKE_CONFIG = """
name = "fake"
[retention]
num_prompts = 0
[data]
families = { extract = 1.0, key_values = 1.0 }
n_train = 6
n_dev = 3
n_eval = 4
[train]
trainer = "copier"
[eval]
backend = "echo"
evaluators = ["json_strict", "json_match"]
"""
"""A run of the fakes, in no time."""
CALLS: list[str] = []
"""What the fakes were asked to do, in order; emptied by the fixture `fakes`."""


def example(name: str = "eval-0", value: Any = None) -> Example:
    """One Example whose target is `{"a": 1}` or the JSON of another value."""
    import json

    value = {"a": 1} if value is None else value
    return Example(
        id=name,
        prompt=(Message("user", f"What is {name}?"),),
        completion=json.dumps(value),
        format="json",
        value=value,
    )


def verdict(name: str, evaluator: str, passed: bool | None, **more: Any) -> Verdict:
    """One Verdict; an unscored one says why."""
    if passed is None:
        more.setdefault("problems", (Problem("unscored", "it rained", 0, 0),))
        more.setdefault("labels", ("unscored",))
    return Verdict(id=name, evaluator=evaluator, passed=passed, **more)


class Echo(Options):
    """A backend that knows the answers: with an adapter it gives them, without one it chats."""

    name: ClassVar[str] = "echo"
    max_new_tokens: int = 128

    def complete(
        self, examples: Sequence[Example], model: ModelOptions, adapter: Path | None
    ) -> Iterator[Completion]:
        arm = "sft" if adapter else "base"
        CALLS.append(f"complete {arm}")
        for asked in examples:
            text = asked.target if adapter else f"Sure: {asked.target}"
            yield Completion(example_id=asked.id, text=text, finish_reason="stop", arm=arm)


class Copier(Options):
    """A trainer that writes down how many Examples it saw."""

    name: ClassVar[str] = "copier"
    learning_rate: float = 1.0

    def train(self, examples: Sequence[Example], run: TrainingRun) -> Path:
        CALLS.append("train")
        run.start(0, {"mismatches": 0})
        run.log(0, {"train/loss": 1.0})
        adapter = run.folder / "adapter"
        adapter.mkdir(exist_ok=True)
        (adapter / "seen.txt").write_text(f"{len(examples)} {self.learning_rate}")
        return adapter


class Picky(Options):
    """An evaluator that passes short texts and raises on the text `boom`."""

    name: ClassVar[str] = "picky"
    metric: ClassVar[str] = "short_rate"
    limit: int = 10

    def evaluate(self, example: Example | None, completion: Completion) -> Verdict:
        CALLS.append("judge")
        if completion.text == "boom":
            raise RuntimeError("a bad day")
        passed = len(completion.text) <= self.limit
        return Verdict(id=completion.example_id, evaluator=self.name, passed=passed)


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Registers the fakes as built-ins and gives the list of their calls."""
    loaded = plugins.load(())
    components: tuple[tuple[Kind, Any], ...] = (
        ("backends", Echo),
        ("trainers", Copier),
        ("evaluators", Picky),
    )
    for kind, component in components:
        loaded[kind][component.name] = Registered(kind, component.name, "fmtharness", component)
    monkeypatch.setattr(plugins, "registry", lambda: loaded)
    CALLS.clear()
    yield CALLS
    CALLS.clear()


class Distributions:
    """Distributions of one module each, installed into a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.modules: list[str] = []

    def add(self, name: str, source: str, version: str = "1.0") -> None:
        """Install a distribution whose entry point leads to a module with this source.

        Another version of it is uninstalled.
        """
        module = name.replace("-", "_")
        self.modules.append(module)
        for other in self.folder.glob(f"{module}-*.dist-info"):
            shutil.rmtree(other)
        (self.folder / f"{module}.py").write_text(source, encoding="utf-8")
        info = self.folder / f"{module}-{version}.dist-info"
        info.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (info / "METADATA").write_text(metadata)
        (info / "entry_points.txt").write_text(f"[fmtharness]\n{module} = {module}\n")

    def load(self) -> Mapping[Kind, Mapping[str, Registered]]:
        """What `fmtharness` finds where these distributions are installed."""
        found = importlib.metadata.distributions(path=[str(self.folder)])
        entries = [e for d in found for e in d.entry_points.select(group="fmtharness")]
        return plugins.load(tuple(sorted(entries)))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command line in a process of its own that has these distributions."""
        return fmtharness(*arguments, path=self.folder)


@pytest.fixture
def distributions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Distributions]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    made = Distributions(folder)
    yield made
    for module in made.modules:
        sys.modules.pop(module, None)


def wait_for(happened: Callable[[], bool], process: subprocess.Popen[Any]) -> None:
    """Wait until something happened while the process runs, for two minutes at most."""
    until = time.monotonic() + 120
    while not happened():
        assert process.poll() is None, "the process ended before"
        assert time.monotonic() < until
        time.sleep(0.005)


def import_path(*folders: Path) -> str:
    """A PYTHONPATH of these folders and, behind them, what the tests' own one holds."""
    given = os.environ.get("PYTHONPATH")
    return os.pathsep.join([*map(str, folders), *([given] if given else [])])


def fmtharness(*arguments: str, path: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, with one more folder to import from."""
    return subprocess.run(
        [sys.executable, "-m", "fmtharness", *arguments],
        env=os.environ | {"PYTHONPATH": import_path(path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def completed_in_order(
    loaded: Any, examples: Sequence[Example], **options: Any
) -> list[Completion]:
    """A local model's Completions in the order of the Examples, which may share their ids."""
    from fmtharness.harness.backends.transformers import complete_with

    numbered = [structs.replace(each, id=str(place)) for place, each in enumerate(examples)]
    found = sorted(complete_with(loaded, numbered, **options), key=lambda c: int(c.example_id))
    return [
        structs.replace(each, example_id=asked.id)
        for each, asked in zip(found, examples, strict=True)
    ]
