"""Plugin loading through installed distributions: what is found, and every way to get it wrong."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import pytest

from fmtharness.harness import plugins
from fmtharness.harness.errors import PluginError, UserError
from fmtharness.harness.plugins import KINDS, component, registry
from fmtharness.harness.text import did_you_mean
from tests.fakes import Distributions

HEAD = """
from typing import ClassVar
from fmtharness.harness import hookimpl
from fmtharness.harness.contracts import Options, Parsed
from fmtharness.harness.records import Problem, Verdict
"""

EVALUATOR = (
    HEAD
    + """
class Calm(Options):
    '''Passes what does not shout.'''
    name: ClassVar[str] = "{name}"
    metric: ClassVar[str] = "calm_rate"
    limit: int = 3

    def evaluate(self, example, completion):
        passed = completion.text.count("!") < self.limit
        return Verdict(id=completion.example_id, evaluator=self.name, passed=passed)

@hookimpl
def fmtharness_evaluators():
    return [Calm]
"""
)


def with_constant(name: str, value: str) -> str:
    return f"[type('X', (Calm,), {{'__annotations__': {{'{name}': ClassVar}}, '{name}': {value}}})]"


FORMAT = (
    HEAD
    + """
class Upper(Options):
    '''Text in capitals.'''
    name: ClassVar[str] = "{name}"
    shapes: ClassVar[frozenset[str]] = frozenset({{"record"}})
    allow_digits: bool = True

    def instruction(self, value):
        return "Answer in capitals."

    def render(self, value):
        return str(value).upper()

    def parse(self, text):
        if text.isupper() and (self.allow_digits or not any(c.isdigit() for c in text)):
            return Parsed(text)
        return Parsed(problems=(Problem("not_upper", "a small letter", 0, len(text)),) * 2)

    def corruptions(self):
        return {{"not_upper": lambda text, rng: text.lower()}}

@hookimpl
def fmtharness_formats():
    return [Upper]
"""
)


def fault(distributions: Distributions) -> str:
    with pytest.raises(PluginError) as caught:
        distributions.load()
    return str(caught.value)


def test_built_ins() -> None:
    found = plugins.load(())
    names = {kind: set(known) for kind, known in found.items()}
    assert set(names) == set(KINDS)
    assert {"json"} <= names["formats"]
    assert {"tasks"} <= names["generators"]
    assert {"qlora"} <= names["trainers"]
    assert {"transformers"} <= names["backends"]
    wanted = {"json_strict", "duplicate_json_objects", "extras", "json_match"}
    assert wanted <= names["evaluators"]
    for known in found.values():
        for each in known.values():
            assert each.distribution == "fmtharness"
            assert each.summary.endswith("."), each


def test_an_outsider_is_found(distributions: Distributions) -> None:
    distributions.add("calm-judge", EVALUATOR.format(name="calm"))
    found = distributions.load()["evaluators"]["calm"]
    assert found.distribution == "calm-judge"
    assert found.summary == "Passes what does not shout."


def test_two_distributions_with_one_name(distributions: Distributions) -> None:
    distributions.add("first-dist", EVALUATOR.format(name="calm"))
    distributions.add("second-dist", EVALUATOR.format(name="calm"))
    message = fault(distributions)
    assert "two evaluators are called 'calm'" in message
    assert "first_dist.Calm of first-dist" in message
    assert "second_dist.Calm of second-dist" in message


def test_a_built_in_name_is_taken(distributions: Distributions) -> None:
    distributions.add("rival", EVALUATOR.format(name="extras"))
    message = fault(distributions)
    assert "fmtharness" in message and "rival.Calm of rival" in message


def test_import_failure(distributions: Distributions) -> None:
    distributions.add("broken-dist", "import no_such_module_anywhere")
    message = fault(distributions)
    assert "broken-dist failed to import" in message
    assert "ModuleNotFoundError" in message and "no_such_module_anywhere" in message


@pytest.mark.parametrize(
    "source", ["raise SystemExit(5)", "def broken(:", "1 / 0", "raise ValueError('one\\ntwo')"]
)
def test_any_import_failure(distributions: Distributions, source: str) -> None:
    distributions.add("broken-dist", source)
    message = fault(distributions)
    assert "broken-dist failed to import" in message and "\n" not in message


def test_a_missing_module(distributions: Distributions) -> None:
    distributions.add("hollow-dist", "")
    (distributions.folder / "hollow_dist.py").unlink()
    assert "hollow-dist failed to import" in fault(distributions)


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("def fmtharness_evaluators", "def fmtharness_evaluatorz", "fmtharness_evaluatorz"),
        ("def fmtharness_evaluators", "def evaluators", "evaluators"),
        ("def fmtharness_evaluators()", "def fmtharness_evaluators(config)", "config"),
        ("@hookimpl\n", "", "lacks the decorator fmtharness.harness.hookimpl"),
        ("@hookimpl\ndef fmtharness_evaluators", "def fmtharness_evaluatorz", "hookimpl"),
        (
            "@hookimpl",
            "import pluggy\n@pluggy.HookimplMarker('fmtharnes')",
            "fmtharness_evaluators lacks the decorator fmtharness.harness.hookimpl",
        ),
        ("@hookimpl\ndef fmtharness_evaluators", "def evaluators", "has no hook"),
    ],
)
def test_misspelled_hook(distributions: Distributions, old: str, new: str, word: str) -> None:
    source = EVALUATOR.format(name="calm")
    assert source.count(old) == 1
    distributions.add("sloppy-dist", source.replace(old, new))
    message = fault(distributions)
    assert "sloppy-dist" in message
    assert word in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("returned", "word"),
    [
        ("None", "must return a list of classes"),
        ("1 / 0", "ZeroDivisionError"),
        ("[Calm()]", "is no class"),
        ("['calm']", "is no class"),
        ("[dict]", "is no options model"),
        ("[Options]", "lacks name, metric, evaluate"),
        ("[type('X', (Calm,), {'name': 'two words'})]", "has the name 'two words'"),
        ("[Calm, Calm]", "two evaluators are called 'calm'"),
        (with_constant("formats", "'json'"), "it must be a set of names"),
        (with_constant("rates", "('a',)"), "it must be a tuple of Rate"),
    ],
)
def test_what_is_no_component(distributions: Distributions, returned: str, word: str) -> None:
    source = EVALUATOR.format(name="calm").replace("[Calm]", returned)
    distributions.add("odd-dist", source)
    message = fault(distributions)
    assert "odd-dist" in message
    assert word in message


def test_a_format_has_no_option_of_an_evaluator(distributions: Distributions) -> None:
    source = FORMAT.format(name="upper").replace(
        "    name: ", "    metric: str = ''\n    name: ", 1
    )
    distributions.add("upper-dist", source)
    message = fault(distributions)
    assert "upper-dist" in message and "has an option 'metric'" in message


def test_one_module_under_two_entry_points(distributions: Distributions) -> None:
    distributions.add("twice-dist", EVALUATOR.format(name="calm"))
    points = distributions.folder / "twice_dist-1.0.dist-info" / "entry_points.txt"
    points.write_text("[fmtharness]\na = twice_dist\nb = twice_dist\n")
    assert "twice-dist is registered twice" in fault(distributions)


def test_a_format_brings_its_strict_evaluator(distributions: Distributions) -> None:
    from fmtharness.harness.records import Completion

    distributions.add("upper-dist", FORMAT.format(name="upper"))
    found = distributions.load()["evaluators"]["upper_strict"]
    assert found.distribution == "upper-dist"
    judge: Any = found.component(allow_digits=False)
    good = judge.evaluate(None, Completion(example_id="1", text="ADA"))
    bad = judge.evaluate(None, Completion(example_id="2", text="ADA 1"))
    assert (good.passed, good.labels, good.id) == (True, (), "1")
    assert (bad.passed, bad.labels, bad.evaluator) == (False, ("not_upper",), "upper_strict")
    assert len(bad.problems) == 2
    assert judge.metric == "format_success_rate"


def test_a_derived_name_is_taken(distributions: Distributions) -> None:
    distributions.add("format-dist", FORMAT.format(name="calm"))
    distributions.add("judge-dist", EVALUATOR.format(name="calm_strict"))
    message = fault(distributions)
    assert "two evaluators are called 'calm_strict'" in message
    assert "format-dist" in message and "judge-dist" in message


def test_an_unknown_component_names_the_near_miss() -> None:
    with pytest.raises(UserError, match="no evaluator is called 'json_strit', did you mean"):
        component("evaluators", "json_strit")
    with pytest.raises(UserError, match="no backend is called 'zzz'; `fmtharness plugins`"):
        component("backends", "zzz")
    assert did_you_mean("x", []) == ""


def test_what_a_stranger_brings_is_listed_and_takes_options(
    distributions: Distributions, tmp_path: Path
) -> None:
    distributions.add("calm-judge", EVALUATOR.format(name="calm"))
    distributions.add("upper-dist", FORMAT.format(name="upper"))
    listed = json.loads(distributions.run("plugins", "--json").stdout)
    brought = {(row["kind"], row["name"], row["distribution"]) for row in listed}
    assert ("evaluator", "calm", "calm-judge") in brought
    assert ("evaluator", "upper_strict", "upper-dist") in brought
    assert ("format", "upper", "upper-dist") in brought

    out = tmp_path / "verdicts.jsonl"
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "HI 1!"}\n{"text": "HELP!!"}\n')
    judges = ["--evaluator", "calm:limit=2", "--evaluator", "upper_strict:allow_digits=false"]
    done = distributions.run("eval", *judges, "--completions", str(rows), "--verdicts", str(out))
    assert done.returncode == 0, done.stderr
    verdicts = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(v["id"], v["evaluator"], v["passed"]) for v in verdicts] == [
        ("1", "calm", True),
        ("1", "upper_strict", False),
        ("2", "calm", False),
        ("2", "upper_strict", True),
    ]


def test_the_registry_reads_the_installed_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = importlib.metadata.EntryPoint("ghost", "ghost_module_nowhere", "fmtharness")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [entry])
    registry.cache_clear()
    try:
        with pytest.raises(PluginError, match="ghost_module_nowhere failed to import"):
            registry()
    finally:
        registry.cache_clear()
