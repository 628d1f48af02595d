"""A gate asks for what is there: every Example answered once, in files as the run made them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fmtharness.harness.config import load_config
from fmtharness.harness.errors import ConfigError
from fmtharness.harness.gates.gate_file import read_gate
from fmtharness.harness.gates.outcome import Outcome
from fmtharness.harness.gates.outcomes import judge_gate
from fmtharness.harness.records import write_records
from fmtharness.harness.run import stages
from fmtharness.harness.run.folder import RunFolder
from tests.fakes import FAKE_CONFIG, ROOT, example

GATE = Path("answers.fmt.toml")
THRESHOLD = "[thresholds.json_strict]\nformat_success_rate = { min = 0.9 }\n"
SOURCE = 'completions = "rows.jsonl"\ndata = "examples.jsonl"\n'


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_records(Path("examples.jsonl"), [example(f"e{place}") for place in range(8)])


def judged(text: str) -> dict[str, Outcome]:
    GATE.write_text(text)
    return judge_gate(read_gate(GATE.absolute()))


def failures(text: str) -> dict[str, str]:
    return {item: outcome.failure for item, outcome in judged(text).items() if outcome.failure}


def answers(*ids: str, error: str = "") -> None:
    rows = [{"id": name, "text": '{"a": 1}'} for name in ids]
    bad = [{"id": error, "text": "", "finish_reason": "error", "error": "busy"}] if error else []
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, *bad]))


ALL = [f"e{place}" for place in range(8)]


def test_every_example_is_to_be_answered() -> None:
    answers(*ALL)
    found = judged(SOURCE + THRESHOLD)
    assert not any(outcome.failure for outcome in found.values())
    assert found["answered"].properties == {"answered": 8, "examples": 8}
    answers("e0")
    assert failures(SOURCE + THRESHOLD) == {
        "answered": "1 of 8 Examples have an answer, below min_answered = 1.0; the first without "
        "is 'e1'"
    }
    answers(*ALL[1:])
    assert "7 of 8 Examples have an answer" in failures(SOURCE + THRESHOLD)["answered"]


@pytest.mark.parametrize(("share", "passes"), [(0.74, True), (0.75, True), (0.76, False)])
def test_a_share_may_be_enough(share: float, passes: bool) -> None:
    answers(*ALL[:6])
    assert (not failures(f"min_answered = {share}\n" + SOURCE + THRESHOLD)) == passes


def test_one_answer_eight_times_is_one() -> None:
    answers(*["e0"] * 8)
    told = failures(SOURCE + THRESHOLD)["answered"].splitlines()
    assert told[0].startswith("1 of 8 Examples have an answer, below")
    assert told[1].startswith("1 Examples have more than an answer, the first 'e0' with 8; leave")
    only = failures("min_answered = 0\n" + SOURCE + THRESHOLD)["answered"]
    assert only == told[1]
    without_data = failures('completions = "rows.jsonl"\n' + THRESHOLD)["answered"]
    assert without_data == told[1]


def test_samples_are_answers_of_each_example() -> None:
    answers(*ALL * 3)
    assert failures("samples = 3\n" + SOURCE + THRESHOLD) == {}
    assert "more than 2 answers" in failures("samples = 2\n" + SOURCE + THRESHOLD)["answered"]
    assert (
        "0 of 8 Examples have 4 answers"
        in (failures("samples = 4\n" + SOURCE + THRESHOLD)["answered"])
    )
    answers(*ALL * 2, *ALL[:5])
    told = failures("samples = 3\n" + SOURCE + THRESHOLD)["answered"]
    assert told.startswith("5 of 8 Examples have 3 answers") and "without is 'e5'" in told


def test_an_error_is_no_answer() -> None:
    answers(*ALL[:7], error="e7")
    found = failures(SOURCE + THRESHOLD)
    assert found.keys() == {"scored", "answered"}
    assert found["answered"].startswith("7 of 8 ")


def test_answers_to_nothing_do_not_count() -> None:
    answers(*ALL, *(f"x{place}" for place in range(92)), "\x1b[2J\n::error::" + "y" * 10_000)
    told = failures(SOURCE + THRESHOLD)["answered"]
    assert told == (
        "93 ids in the completions, the first 'x0', are of none of the 8 Examples, and would "
        "count in the rates"
    )
    answers(*ALL, "\x1b[2J\n::error::" + "y" * 10_000)
    told = failures(SOURCE + THRESHOLD)["answered"]
    assert "\x1b" not in told and "\n" not in told and len(told) < 400


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('min_answered = 1.0\ncompletions = "rows.jsonl"\n', "'min_answered', which needs data"),
        ("min_answered = 2\n" + SOURCE, "min_answered = 2: Input should be less than or equal"),
        ("samples = 0\n" + SOURCE, "samples = 0: Input should be greater than or equal to 1"),
        ('samples = 2\nrun = "run"\n', "'samples', which needs completions"),
        ("samples = 2\n[model]\n", "'samples', which needs completions"),
        (
            f'samples = 2\n{SOURCE}[regression]\nagainst = "x"\nmax_drop = {{ json_strict = 0 }}\n',
            "'samples', but [regression] pairs single answers",
        ),
    ],
)
def test_keys_that_make_no_sense(text: str, sentence: str) -> None:
    GATE.write_text(text + THRESHOLD)
    with pytest.raises(ConfigError) as error:
        read_gate(GATE)
    assert sum(sentence in line for line in str(error.value).splitlines()) == 1


def test_a_regression_on_one_pair_proves_nothing() -> None:
    answers("e0")
    Path("rows.jsonl").rename("main.jsonl")
    answers(*ALL)
    text = SOURCE + '[regression]\nagainst = "main.jsonl"\nmax_drop = { json_strict = 0 }\n'
    assert failures(text) == {
        "regression.json_strict.max_drop": "json_strict: 1 of 8 Examples can be compared with "
        "main.jsonl, below min_compared = 1.0"
    }
    assert failures(text + "min_compared = 0.125\n") == {}


def test_pytest_exits_with_1() -> None:
    answers("e0")
    GATE.write_text(SOURCE + THRESHOLD)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rf"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 of 8 Examples have an answer" in done.stdout


# A run's own files

RUN = 'run = "run"\narm = "base"\n[thresholds.json_strict]\nformat_success_rate = { max = 0 }\n'


def make(*settings: str) -> None:
    Path("fake.toml").write_text(FAKE_CONFIG)
    with RunFolder.open(Path("run"), load_config(Path("fake.toml"), overrides=settings)) as run:
        stages.run_all(run)


def cut(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))


def edit(path: Path) -> None:
    path.write_text(path.read_text().replace("Sure: ", ""))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("completions/base.jsonl", cut),
        ("completions/base.jsonl", edit),
        ("data/eval.jsonl", cut),
    ],
)
def test_files_that_the_run_did_not_make_fail_every_item(
    fakes: list[str], name: str, damage: Callable[[Path], None]
) -> None:
    make()
    assert failures(RUN) == {}
    damage(Path("run", name))
    found = failures(RUN)
    assert found.keys() == {"scored", "answered", "json_strict.format_success_rate.max"}
    for told in found.values():
        assert f"run/{name}: this file is changed or damaged since the run made it" in told
        assert "\n" not in told


def test_a_reference_is_checked_as_well(fakes: list[str]) -> None:
    make()
    regression = '[regression]\nagainst = "run"\narm = "base"\nmax_drop = { json_strict = 0 }\n'
    text = 'run = "run"\n' + regression
    assert failures(text) == {}
    cut(Path("run/completions/base.jsonl"))
    assert all(
        "run/completions/base.jsonl: this file is" in told for told in failures(text).values()
    )


def test_the_examples_are_those_that_were_asked(fakes: list[str]) -> None:
    make("eval.num_prompts=3")
    found = judged(RUN)
    assert not any(outcome.failure for outcome in found.values())
    assert found["answered"].properties == {"answered": 3, "examples": 3}
    config = Path("run/config.toml")
    whole = config.read_text()
    for changed in ("num_prompts = 2", ""):
        config.write_text(whole.replace("num_prompts = 3", changed))
        assert (
            "run/config.toml: by its num_prompts other Examples were asked"
            in (failures(RUN)["answered"])
        )
    config.write_text("[eval")
    assert "run/config.toml: no config of a run: " in failures(RUN)["answered"]


def test_a_folder_without_a_manifest_is_no_run(fakes: list[str]) -> None:
    make()
    Path("run/manifest.json").unlink()
    assert "run/manifest.json: there is no such file" in failures(RUN)["scored"]
