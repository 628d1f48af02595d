"""Evaluation sets and retention: asked, judged, shown, and obeyed by the choice of a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fmtharness.generators.open_requests import OpenRequests
from fmtharness.harness.commands.blocks import blocks
from fmtharness.harness.config import Config, RetentionOptions, load_config
from fmtharness.harness.contracts import OVER_BUDGET, Loaded
from fmtharness.harness.errors import ConfigError, DataError, UserError
from fmtharness.harness.files import shipped
from fmtharness.harness.gates.gate_file import read_gate
from fmtharness.harness.gates.outcomes import judge_gate
from fmtharness.harness.records import Completion, Example, Metric, read_records
from fmtharness.harness.run import sets, stages
from fmtharness.harness.run.folder import RunFolder
from fmtharness.harness.run.retention import over_budget, retained
from fmtharness.harness.run.scalars import read_metrics
from fmtharness.trainers.resume.progress import Progressed
from tests.tiny import tiny_config

PROSE, UNASKED, ASKED = "Put it into boiling water.", '{"boil": true}', '{"answer": "an echo"}'
SETS = """
[eval.sets.open]
generator = "open_requests"
length = "short"
num_prompts = 3
dev_prompts = 2
max_new_tokens = 6
"""
KEPT = "[retention]\nnum_prompts = 4\ndev_prompts = 2\nmax_new_tokens = 5\n"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tiny_config(tmp_path_factory.mktemp("tiny"))
    text = path.read_text().replace("[retention]\nnum_prompts = 0\n", KEPT)
    path.write_text(text + SETS)
    return path


@pytest.fixture(autouse=True)
def short_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = tmp_path / "plain.txt"
    plain.write_text("It rained all day.\n---\nThe ferry was late.\n")
    for split in ("dev", "eval"):
        monkeypatch.setitem(sets.PLAIN, split, str(plain))


Calls = list[tuple[str, int, int]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Answers by rote: step 4 is best in the format and answers chat in JSON, step 8 does not."""
    found: Calls = []
    trained: list[int] = []

    def complete(
        loaded: Loaded, examples: Sequence[Example], *, max_new_tokens: int, **_: Any
    ) -> Iterator[Completion]:
        first = examples[0].id
        found.append((first.rpartition("/")[2].split("-")[0], len(examples), max_new_tokens))
        if first.startswith("dev"):
            trained.append(4 * len(trained))
        step = trained[-1] if trained else 0
        for place, each in enumerate(examples):
            text = {"none": UNASKED if step == 4 else PROSE}.get(each.format)
            if text is None:
                good = place < {0: 0, 4: 2, 8: 1, 12: 0}[step]
                text = (each.completion or ASKED) if good else "Sure!"
            yield Completion(
                example_id=each.id, text=text, finish_reason="stop", completion_tokens=len(text)
            )

    monkeypatch.setattr("fmtharness.harness.backends.transformers.complete_with", complete)
    return found


def test_the_budget_is_against_the_base_wherever_a_training_begins(
    tiny: Path, tmp_path: Path
) -> None:
    """Also where step 0 is not evaluated, and where an adapter of the user's is there."""

    def ratios(name: str, *more: str) -> dict[int, float]:
        with RunFolder.open(tmp_path / name, load_config(tiny, overrides=more)) as run:
            stages.run_all(run)
        rows = read_metrics(tmp_path / name / "metrics.jsonl")
        key = "retention/perplexity_ratio"
        return {row["step"]: row[key] for row in rows if key in row}

    first = ratios("first")
    assert [*first] == [0, 4, 8, 12] and first[0] == 1.0 != first[12]
    unseen = ratios("unseen", "train.eval_on_start=false")
    assert unseen == pytest.approx({step: first[step] for step in (4, 8, 12)})
    adapter = tmp_path / "first" / "adapter"
    later = ratios("later", f'train.initial_adapter="{adapter}"')
    manifest = json.loads((tmp_path / "first" / "manifest.json").read_text())
    assert later[0] == pytest.approx(first[manifest["stages"]["train"]["best_step"]])


def test_a_run_answers_judges_and_measures_all_sets(
    tiny: Path, tmp_path: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fmtharness.harness.engine import models

    loads: list[Any] = []
    load = models.load_model

    def counted(*given: Any, **named: Any) -> Loaded:
        loads.extend([given] if len(given) == 3 else [])  # the trainer gives no adapter
        return load(*given, **named)

    monkeypatch.setattr(models, "load_model", counted)
    folder = tmp_path / "run"
    with RunFolder.open(folder, load_config(tiny)) as run:
        sums = stages.run_all(run)
        shown = "\n\n".join(blocks(run))
        assert [*sums] == [
            *("base", "open/base", "retention/base"),
            *("sft", "open/sft", "retention/sft"),
        ]
        # One load for each arm's answers and measurement, though each set has a limit of its own.
        assert len(loads) == 2
        assert calls[:3] == [("eval", 8, 4), ("open", 3, 6), ("retention", 4, 5)]
        assert calls[3:6] == [("dev", 2, 4), ("open", 2, 6), ("retention", 2, 5)]
        for name in ("open/base", "retention/sft", "open/sft-4", "retention/sft-0"):
            assert run.completions(name).is_file(), name
            assert run.verdicts(name).is_file(), name
        ids = {
            each.example_id for each in read_records(run.completions("retention/sft"), Completion)
        }
        prompts = list(read_records(run.data("retention/eval"), Example))
        assert ids == {each.id for each in prompts}
        assert {each.format for each in prompts} == {"none"}
        base, tuned = (retained(run.retention(arm)) for arm in ("base", "sft"))
        # On dev, step 4 has the best rates, and step 8 the best of those within the budget.
        assert run.manifest["stages"]["train"]["best_step"] == 8
        kept = run.manifest["stages"]["train"]["retention"]
        card = (run.adapter / "README.md").read_text()
    assert base.numbers["perplexity_ratio"] == 1.0
    assert base.numbers["divergence"] == 0.0
    assert base.plain_tokens > 0
    assert tuned.numbers["perplexity_ratio"] == pytest.approx(
        tuned.numbers["perplexity"] / base.numbers["perplexity"]
    )
    assert tuned.numbers["divergence"] > 0
    assert tuned.answer_positions > 0
    assert base.unasked_format_rate.denominator == 4
    rows = {
        row["step"]: row
        for row in read_metrics(folder / "metrics.jsonl")
        if "eval/open/loop_rate" in row
    }
    assert [rows[step]["retention/unasked_format_rate"] for step in (0, 4, 8, 12)] == [0, 1, 0, 0]
    assert rows[0]["retention/perplexity_ratio"] == 1.0
    assert rows[4][OVER_BUDGET] >= 0.95
    assert rows[8][OVER_BUDGET] == 0.0
    assert rows[8]["retention/divergence"] > 0
    assert rows[4]["eval/open/format_success_rate"] == 1.0
    assert kept["perplexity_ratio"] == rows[8]["retention/perplexity_ratio"]
    assert "| retention | unasked_format_rate 0, loop_rate 0" in card
    assert "open: 3 prompts of generator open_requests" in shown
    assert "retention: 4 prompts that ask for no format" in shown
    assert "request_met_rate" in shown
    assert "perplexity_ratio" in shown
    before = len(calls), len(loads)
    with RunFolder.open(folder, load_config(tiny)) as run:
        stages.run_all(run)
    assert (len(calls), len(loads)) == before
    gate = tmp_path / "kept.fmt.toml"
    gate.write_text(
        'run = "run"\n[thresholds.retention]\n'
        "unasked_format_rate = { max = 0.05, max_high = 0.2 }\n"
        "divergence = { max = 0.0 }\nanswer_length_ratio = { min = 0.5 }\n"
    )
    outcomes = judge_gate(read_gate(gate))
    failed = {name: each.failure for name, each in outcomes.items() if each.failure}
    assert failed.keys() == {
        "retention.unasked_format_rate.max_high",
        "retention.divergence.max",
    }
    assert "above max = 0.0" in failed["retention.divergence.max"]
    numbers = folder / "retention" / "sft.json"
    numbers.write_text(numbers.read_text().replace('"loop_rate"', '"loop_rate" '))
    changed = judge_gate(read_gate(gate))
    assert all("changed or damaged" in each.failure for each in changed.values())


def test_another_set_trains_nothing_again(tiny: Path, tmp_path: Path, calls: Calls) -> None:
    with RunFolder.open(tmp_path / "run", load_config(tiny)) as run:
        stages.run_all(run)
    calls.clear()
    more = ['eval.sets.long.generator="open_requests"', "eval.sets.long.num_prompts=1"]
    with RunFolder.open(tmp_path / "run", load_config(tiny, overrides=more)) as run:
        stages.run_all(run)
    assert calls == [("open", 1, 4)] * 2
    calls.clear()
    stricter = [*more, "retention.max_loop_rate=0.5"]  # by which a checkpoint is chosen
    assert stages.trained_otherwise(
        RunFolder(tmp_path / "run", load_config(tiny, overrides=stricter))
    )


@pytest.mark.parametrize(
    ("numbers", "base", "over"),
    [
        ({"unasked_format_rate": 0.05, "loop_rate": 0.0, "perplexity_ratio": 1.05}, {}, 0.0),
        ({"unasked_format_rate": 0.25}, {}, 0.2),
        ({"loop_rate": 0.5}, {"loop_rate": 0.5}, 0.0),
        ({"loop_rate": 0.75}, {"loop_rate": 0.5}, 0.25),
        ({"unasked_format_rate": 0.15, "perplexity_ratio": 1.25}, {"perplexity_ratio": 1.0}, 0.3),
    ],
)
def test_the_budget(numbers: dict[str, float], base: dict[str, float], over: float) -> None:
    assert over_budget(RetentionOptions(), numbers, base) == pytest.approx(over)


def metric(name: str, value: float, low: float | None = None) -> Metric:
    return Metric(name=name, value=value, numerator=0, denominator=0, low=low, high=low)


def best(*steps: tuple[float, float, float]) -> int | None:
    """The best of steps by what they are over the budget, and their lower bounds."""
    at = Progressed()
    for over, low, in_set in steps:
        at.step += 1
        at.judged(
            {
                "format_success_rate": metric("format_success_rate", low, low),
                "open/format_success_rate": metric("format_success_rate", in_set, in_set),
                OVER_BUDGET: metric(OVER_BUDGET, over),
            },
            trained=True,
        )
    return at.best_step


def test_the_best_step() -> None:
    assert best((0, 0.5, 0.5), (0.1, 0.9, 0.9), (0, 0.6, 0.6)) == 3
    assert best((0, 0.9, 0.1), (0, 0.6, 0.6)) == 2
    assert best((0.3, 0.9, 0.9), (0.1, 0.2, 0.2), (0.2, 0.9, 0.9)) == 2
    assert best((0, 0.5, 0.5), (0, 0.5, 0.5)) == 2
    at = Progressed(step=1)
    found = {"format_success_rate": metric("format_success_rate", 0.4, 0.2)}
    at.judged(found, trained=True)
    assert (at.best_step, at.best) == (1, (0.0, 0.2, 0.0))


def test_step_0_may_be_the_best_if_training_began_with_an_adapter() -> None:
    found = {"format_success_rate": metric("format_success_rate", 0.4, 0.2)}
    for trained, best_step in ((False, None), (True, 0)):
        at = Progressed()
        at.judged(found, trained=trained)
        assert at.best_step == best_step


@pytest.mark.parametrize("length", ["any", "short", "long"])
def test_open_requests(length: Any) -> None:
    found = {
        split: list(OpenRequests(length=length).generate(split, 1000, Random(1)))
        for split in ("dev", "eval")
    }
    assert [len(each) for each in found.values()] == [72 if length == "any" else 36] * 2
    assert {each.id for each in found["dev"]}.isdisjoint(each.id for each in found["eval"])
    assert all(each.format == "json" and each.completion is None for each in found["eval"])
    with pytest.raises(UserError, match="no train Examples"):
        list(OpenRequests().generate("train", 1, Random(1)))


def config(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return load_config(path)


def test_sets_in_a_config(tmp_path: Path) -> None:
    loaded = config(tmp_path, SETS + '[eval.sets.held]\ngenerator = "tasks"\nformat = "yaml"\n')
    open_, held = loaded.sets
    judges = [[each.name for each in one.evaluators] for one in (open_, held)]
    assert judges[0] == ["json_strict", "duplicate_json_objects", "extras", "open_request", "loops"]
    assert judges[1] == ["yaml_strict", "yaml_match"]
    assert (open_.options.num_prompts, held.options.num_prompts) == (3, 100)
    (tmp_path / "again.toml").write_text(loaded.toml())
    again = load_config(tmp_path / "again.toml", name="mine")
    assert again == loaded
    assert [each.name for each in loaded.keepers] == ["unasked_format", "loops"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[eval]\nsets = 3", "[eval] sets is a table, write [eval.sets.NAME]"),
        ("[eval.sets]\nopen = 3", "[eval.sets] open is a table"),
        ("[eval.sets.open]\nlength = 'short'", "[eval.sets.open] lacks the key 'generator'"),
        ("[eval.sets.open]\ngenerator = 'open_request'", "did you mean 'open_requests'?"),
        ("[eval.sets.base]\ngenerator = 'tasks'", "[eval.sets.base]: 'base' cannot name"),
        ("[eval.sets.'a/b']\ngenerator = 'tasks'", "'a/b' cannot name"),
        (
            "[eval.sets.open]\ngenerator = 'open_requests'\nnum_prompt = 3",
            "[eval.sets.open] has no key 'num_prompt', did you mean 'num_prompts'?",
        ),
        (
            "[eval.sets.open]\ngenerator = 'open_requests'\nlength = 'tall'",
            "[eval.sets.open] length",
        ),
        (
            "[eval.sets.open]\ngenerator = 'open_requests'\nevaluators = ['yaml_strict']",
            "[eval.sets.open] evaluators: 'yaml_strict' judges yaml, and [eval.sets.open] asks for",
        ),
        ("[retention]\nnum_promts = 3", "[retention] has no key 'num_promts'"),
        ("[retention]\nmax_loop_rate = 3", "[retention] max_loop_rate = 3"),
    ],
)
def test_a_fault_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(tmp_path, text)
    assert words in str(caught.value)
    assert "mine.toml" in str(caught.value)


def test_a_user_s_own_prompts(tmp_path: Path) -> None:
    rows = [{"prompt": f"How is the weather in town {n}?"} for n in range(40)]
    own = tmp_path / "own.jsonl"
    own.write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = f'[retention]\nprompts = "{own}"\nnum_prompts = 5\ndev_prompts = 3\n'
    with RunFolder.open(tmp_path / "run", config(tmp_path, text)) as run:
        sets.write_sets(run)
        held, dev = (list(sets.set_examples(run, "retention", s)) for s in ("eval", "dev"))
    assert (len(held), len(dev)) == (5, 3)
    assert {each.format for each in held} == {"none"}
    assert {each.prompt for each in held}.isdisjoint({each.prompt for each in dev})
    own.unlink()
    with (
        RunFolder.open(tmp_path / "other", config(tmp_path, text)) as run,
        pytest.raises(DataError, match=r"check \[retention\] prompts"),
    ):
        sets.write_sets(run)


def test_what_is_evaluated_on_is_packed() -> None:
    import tomllib

    from tests.fakes import ROOT

    tables = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packed = tables["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    for name in (sets.PROMPTS, "data/open/requests.jsonl", "data/retention/plain-dev.txt"):
        folder = str(Path(name).parent)
        assert packed[folder] == f"fmtharness/harness/shipped/{folder}"
        assert shipped(name).is_file()


@pytest.mark.parametrize(
    ("source", "text", "words"),
    [
        (
            'run = "x"',
            "loop_rat = { max = 0.1 }",
            "no number 'loop_rat', did you mean 'loop_rate'?",
        ),
        ('run = "x"', "divergence = { max_high = 0.1 }", "has no key 'max_high'"),
        ('run = "x"', "divergence = { min = 2.0, max = 1.0 }", "both min and max"),
        ('run = "x"', "divergence = 3", "write { max = ... }"),
        ('completions = "x"', "divergence = { max = 1.0 }", "of answers alone"),
    ],
)
def test_a_fault_in_a_gate(tmp_path: Path, source: str, text: str, words: str) -> None:
    path = tmp_path / "x.fmt.toml"
    path.write_text(f"{source}\n[thresholds.retention]\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        read_gate(path)
    assert words in str(caught.value)


def test_a_gate_on_answers_alone(tmp_path: Path) -> None:
    rows = [{"text": PROSE}] * 3 + [{"text": UNASKED}]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = tmp_path / "x.fmt.toml"
    path.write_text(
        'completions = "x.jsonl"\n[thresholds.retention]\n'
        "unasked_format_rate = { max = 0.2 }\nloop_rate = { max = 0.0 }\n"
    )
    found = judge_gate(read_gate(path))
    failed = {name for name, each in found.items() if each.failure}
    assert failed == {"unasked_format.unasked_format_rate.max"}
