"""The pytest plugin in projects that know nothing else of fmtharness, installed as pip would."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.fakes import ROOT, Distributions, import_path

pytest_plugins = ["pytester"]

GOOD, BAD = '{"a": 1}', '{"a": 1,}'
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
COUNTING_BACKEND = """
from typing import ClassVar
from pathlib import Path
from fmtharness.harness import hookimpl
from fmtharness.harness.contracts import Options
from fmtharness.harness.records import Completion

class Counting(Options):
    name: ClassVar[str] = "counting"
    log: Path

    def complete(self, examples, model, adapter):
        with self.log.open("a") as log:
            log.write(f"{len(examples)}\\n")
        for example in examples:
            yield Completion(example_id=example.id, text=example.completion)

@hookimpl
def fmtharness_backends():
    return [Counting]
"""


@pytest.fixture
def project(
    pytester: pytest.Pytester, distributions: Distributions, monkeypatch: pytest.MonkeyPatch
) -> pytest.Pytester:
    """A project of its own, beside which fmtharness is installed with its entry points."""
    info = distributions.folder / "fmtharness-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fmtharness\nVersion: 0\n")
    [(name, module)] = PROJECT["entry-points"]["pytest11"].items()
    (info / "entry_points.txt").write_text(f"[pytest11]\n{name} = {module}\n")
    monkeypatch.setenv("PYTHONPATH", import_path(distributions.folder, ROOT))
    return pytester


def rows(folder: Path, texts: list[str], name: str = "answers.jsonl") -> None:
    lines = [json.dumps({"text": text}) + "\n" for text in texts]
    (folder / name).write_text("".join(lines), encoding="utf-8")


GATE = """
completions = "answers.jsonl"
[thresholds.json_strict]
format_success_rate = { min = 0.5, max = 0.5 }
[thresholds.extras]
extras_rate = { max_high = 1 }
[regression]
against = "main.jsonl"
max_drop = { json_strict = 0.1 }
"""


def gate(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "answers.fmt.toml").write_text(GATE)
    rows(folder, [GOOD] * 2 + [BAD] * 5 + ['{"a": "\ud800"}'])
    rows(folder, [GOOD] * 8, "main.jsonl")


def test_a_gate_in_a_strange_project(project: pytest.Pytester) -> None:
    gate(project.path / "sub")
    project.makepyfile("def test_other(): pass")
    # Without pytest-benchmark, which warns wherever pytest-xdist is.
    without = ("-p", "no:benchmark")
    done = project.runpytest_subprocess("-v", *without, "-W", "error", "--junitxml=junit.xml")
    done.assert_outcomes(passed=5, failed=2)
    done.stdout.fnmatch_lines(
        [
            "sub/answers.fmt.toml::scored PASSED*",
            "sub/answers.fmt.toml::answered PASSED*",
            "sub/answers.fmt.toml::json_strict.format_success_rate.min FAILED*",
            "sub/answers.fmt.toml::json_strict.format_success_rate.max PASSED*",
            "sub/answers.fmt.toml::extras.extras_rate.max_high PASSED*",
            "sub/answers.fmt.toml::regression.json_strict.max_drop FAILED*",
            "test_*::test_other PASSED*",
            "*__ answers.fmt.toml: json_strict.format_success_rate.min __*",
            "format_success_rate of json_strict is 0.250 [[]*] (2/8), below min = 0.5",
            "labels: trailing_comma 5, lone_surrogate 1",
            "offending completions (6), worst first:",
            '  3: trailing_comma: "{\\"a\\": 1,}"',
        ]
    )
    assert "Traceback" not in done.stdout.str() and "gate_outcomes.py" not in done.stdout.str()
    cases = {case.get("name"): case for case in ElementTree.parse("junit.xml").iter("testcase")}
    minimum = cases["json_strict.format_success_rate.min"]
    properties = {each.get("name"): each.get("value") for each in minimum.iter("property")}
    assert properties.keys() == {"value", "numerator", "denominator", "low", "high"}
    assert (properties["value"], properties["denominator"]) == ("0.25", "8")
    assert minimum.get("classname") == "sub.answers.fmt.toml"
    [failure] = minimum.iter("failure")
    assert "below min = 0.5" in str(failure.get("message"))
    broken = cases["regression.json_strict.max_drop"].iter("property")
    assert ("broken", "6") in {(each.get("name"), each.get("value")) for each in broken}


def test_one_item_is_run_by_its_name(project: pytest.Pytester) -> None:
    gate(project.path / "sub")
    name = "sub/answers.fmt.toml::json_strict.format_success_rate.max"
    project.runpytest_subprocess(name).assert_outcomes(passed=1)
    project.runpytest_subprocess("-p", "no:fmtharness", "sub").assert_outcomes()


def test_mistakes_are_told_when_the_file_is_collected(project: pytest.Pytester) -> None:
    (project.path / "bad.fmt.toml").write_text('completion = "x"\n[thresholds.json_strit]\n')
    done = project.runpytest_subprocess("--junitxml=junit.xml")
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(
        [
            "*ERROR collecting bad.fmt.toml*",
            "bad.fmt.toml has no key 'completion', did you mean 'completions'?",
            "bad.fmt.toml: [[]thresholds]: no evaluator is called 'json_strit', did you mean *",
        ]
    )
    for word in ("Traceback", "Error:", ".py"):
        assert word not in done.stdout.str()


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_a_model_answers_once(
    project: pytest.Pytester, distributions: Distributions, workers: tuple[str, ...]
) -> None:
    distributions.add("counting-backend", COUNTING_BACKEND)
    log = project.path / "log.txt"
    (project.path / "run.toml").write_text(f'[eval]\nbackend = "counting"\nlog = "{log}"\n')
    (project.path / "model.fmt.toml").write_text(
        """
        [model]
        config = "run.toml"
        num_prompts = 3
        [thresholds.json_strict]
        format_success_rate = { min = 1, max = 1, min_low = 0, max_high = 1 }
        [thresholds.json_match]
        field_recall = { max = 0.5 }
        """
    )
    done = project.runpytest_subprocess("-v", *workers)
    done.assert_outcomes(passed=6, failed=1)
    assert "field_recall of json_match is 1.000" in done.stdout.str()
    assert log.read_text() == "3\n"
    for worker in ("gw0", "gw1"):
        assert (f"[{worker}]" in done.stdout.str()) == bool(workers), "both have items to run"


def test_lone_surrogates_pass_between_processes(project: pytest.Pytester) -> None:
    project.makepyfile("def test_it(assert_format): assert_format('\"\\ud800')")
    rows(project.path, ["\ud800"])
    (project.path / "answers.fmt.toml").write_text(GATE.partition("[regression]")[0])
    done = project.runpytest_subprocess("-n", "1")
    done.assert_outcomes(passed=4, failed=2)
    assert "INTERNALERROR" not in done.stdout.str()


def test_assert_format(project: pytest.Pytester) -> None:
    source = """
import pytest
from fmtharness.harness.records import Example

example = Example(id="1", prompt=(), completion="", format="json", value={"a": 1})

def test_default(assert_format):
    [verdict] = assert_format('{"a": 1}')
    assert verdict.evaluator == "json_strict" and verdict.passed

def test_several(assert_format):
    texts = assert_format("[1]", "json_strict:root=any,max_depth=3", "extras")
    assert [verdict.evaluator for verdict in texts] == ["json_strict", "extras"]

def test_format_alone(assert_format):
    assert assert_format("[1]", "json:root=any")[0].evaluator == "json_strict"

def test_example(assert_format):
    assert assert_format('{"a": 1}', "json_match", example=example)[0].counts["fields_correct"] == 1

@pytest.mark.parametrize(
    ("text", "evaluators", "more"),
    [
        ('{"a": 1,}', [], {}),
        ('Sure: {"a": 1}', ["json_strict", "extras"], {}),
        ('{"a": 2}', ["json_match"], {"example": example}),
        ('{"a": 2}', ["json_match"], {}),
        ('{"a": 2}', ["json_strit"], {}),
        ('{"a": 2}', ["extras", "extras"], {}),
        ({"a": 2}, [], {}),
    ],
    ids="abcdefg",
)
def test_bad(assert_format, text, evaluators, more):
    assert_format(text, *evaluators, **more)
"""
    project.makepyfile(test_texts=source)
    done = project.runpytest_subprocess("-rf")
    done.assert_outcomes(passed=4, failed=7)
    said = done.stdout.str()
    done.stdout.fnmatch_lines(
        [
            ">       assert_format(text, [*]evaluators, [*][*]more)",
            "E       Failed: the text fails json_strict",
            "E       *trailing_comma*",
            "E       Failed: the text fails json_strict, extras",
            "E       *text_before*",
            "E       *text_before*",
            "E       Failed: the text fails json_match",
            "E       *wrong_value*",
            "E       Failed: evaluator 'json_match' compares with an Example: pass example=",
            "E       Failed: no evaluator is called 'json_strit', did you mean 'json_strict'?*",
            "E       Failed: evaluator 'extras' is given twice; give each once",
            "E       TypeError: assert_format expects a str, not dict",
        ]
    )
    for frame in ("pytest_plugin.py", "judging.py", "plugins.py", "During handling"):
        assert frame not in said


def test_modules_of_the_rootdir_are_found_from_a_folder_below(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.makepyprojecttoml("[tool.pytest.ini_options]\n")
    models = project.mkpydir("shopgate") / "models.py"
    models.write_text("TICKET = {'type': 'object'}\n")
    below = project.mkdir("checks")
    rows(below, ["{}"])
    (below / "g.fmt.toml").write_text(
        'completions = "answers.jsonl"\nschema = "shopgate.models:TICKET"\n'
        "[thresholds.json_schema]\nschema_valid_rate = { min = 1 }\n"
    )
    (below / "test_it.py").write_text(
        "def test_it(assert_format):\n    assert_format('{}', schema='shopgate.models:TICKET')\n"
    )
    monkeypatch.chdir(below)
    project.runpytest_subprocess("-q", "--rootdir", str(project.path), str(below)).assert_outcomes(
        passed=4
    )


def test_pytest_starts_with_nothing_heavy() -> None:
    code = """
import sys, time
import pytest
began = time.process_time()
import fmtharness.harness.gates.pytest_plugin
print(time.process_time() - began)
heavy = {"pydantic", "msgspec", "torch", "numpy", "scipy", "transformers", "filelock"}
sys.exit(" ".join(heavy & sys.modules.keys()) or None)
"""
    seconds = []
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        seconds.append(float(done.stdout))
        if min(seconds) < 0.1:
            break
    assert min(seconds) < 0.1  # about 0.01


def test_a_session_without_gates_loads_nothing_heavy(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import sys

        def test_it(request):
            assert request.config.pluginmanager.get_plugin("fmtharness")
            assert not {"pydantic", "msgspec", "torch", "scipy"} & sys.modules.keys()
        """
    )
    project.runpytest_subprocess("-p", "no:hypothesispytest").assert_outcomes(passed=1)
