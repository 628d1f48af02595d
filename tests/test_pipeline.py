"""Stages over fakes: what runs again when something changes, and what does not."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from fmtharness.harness import plugins
from fmtharness.harness.config import Config, load_config
from fmtharness.harness.contracts import Options, Split
from fmtharness.harness.errors import DataError, PluginError, UserError
from fmtharness.harness.plugins import Registered
from fmtharness.harness.records import Completion, Example, read_records
from fmtharness.harness.run import data, judged, stages
from fmtharness.harness.run.folder import RunFolder
from tests.fakes import CALLS, FAKE_CONFIG, example

EVERYTHING = ["complete base", "train", "complete sft"]

pytestmark = pytest.mark.usefixtures("fakes")


def config(*overrides: str) -> Config:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fake.toml"
        path.write_text(FAKE_CONFIG)
        return load_config(path, overrides=overrides)


def run_all(folder: Path, *overrides: str) -> list[str]:
    """Run all stages and say what the fakes were asked to do, judging aside."""
    CALLS.clear()
    with RunFolder.open(folder, config(*overrides)) as run:
        stages.run_all(run)
    return [call for call in CALLS if call != "judge"]


def written(folder: Path) -> dict[str, bytes]:
    """The bytes of every file that must not change without a reason."""
    names = ("data", "adapter", "completions", "verdicts", "metrics.jsonl")
    paths: Iterator[Path] = (path for name in names for path in [folder / name])
    files = [f for p in paths for f in (sorted(p.iterdir()) if p.is_dir() else [p])]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_everything_then_nothing(tmp_path: Path) -> None:
    assert run_all(tmp_path) == EVERYTHING
    first = written(tmp_path)
    assert set(first) == {
        "data/train.jsonl",
        "data/dev.jsonl",
        "data/eval.jsonl",
        "data/stats.json",
        "data/stats.md",
        "adapter/seen.txt",
        "completions/base.jsonl",
        "completions/sft.jsonl",
        "completions/parity.jsonl",
        "verdicts/base.jsonl",
        "verdicts/sft.jsonl",
        "metrics.jsonl",
    }
    assert (tmp_path / "curves.png").stat().st_size > 1000
    assert list((tmp_path / "tb").iterdir())
    assert run_all(tmp_path) == []
    assert written(tmp_path) == first


def test_the_sums(tmp_path: Path) -> None:
    with RunFolder.open(tmp_path, config()) as run:
        tallies = stages.run_all(run)
        counts = {
            (arm, metric.name): (metric.numerator, metric.denominator)
            for arm, tally in tallies.items()
            for metrics in tally.metrics().values()
            for metric in metrics[:1]
        }
        base = stages.answered(run, "base")
        families = {example.tags["family"] for example in stages.eval_examples(run)}
    assert tallies["sft"].stops["json_match"] == {("stop", "passed"): 4}
    assert set(tallies["base"].sliced("json_strict")["family"]) == families
    assert counts == {
        ("base", "format_success_rate"): (0, 4),
        ("base", "exact_match_rate"): (0, 4),
        ("sft", "format_success_rate"): (4, 4),
        ("sft", "exact_match_rate"): (4, 4),
    }
    assert [completion.example_id for completion in base.completions] == [
        f"eval-{i}" for i in range(4)
    ]
    assert len(base.verdicts) == 8


def test_two_folders_are_byte_identical(tmp_path: Path) -> None:
    run_all(tmp_path / "a")
    run_all(tmp_path / "b")
    assert written(tmp_path / "a") == written(tmp_path / "b")


@pytest.mark.parametrize(
    ("override", "again"),
    [
        ('eval.evaluators=["json_strict", "json_match", "extras"]', []),
        # Checkpoints are chosen by these two; the adapter comes out the same.
        ('eval.evaluators=["json_strict:root=any", "json_match"]', ["train"]),
        ("eval.dump_jsonl=dump.jsonl", []),
        ("report.tb_logdir=LOGS", []),
        ("eval.max_new_tokens=64", ["complete base", "complete sft"]),
        ("eval.num_prompts=2", ["complete base", "complete sft"]),
        ("train.learning_rate=0.5", ["train", "complete sft"]),
        # The same adapter comes out of it, byte for byte, so its completions stand.
        # The base answers the first train prompts, for the proof of parity.
        ("data.hard_negative_prob_train=1.0", ["complete base", "train"]),
        ("data.n_dev=5", ["train"]),
        # Nothing in a training looks at eval.
        ("data.n_eval=5", ["complete base", "complete sft"]),
        ("model.precision=fp32", EVERYTHING),
        ("seed=1", EVERYTHING),
    ],
)
def test_a_change_reruns_what_depends_on_it(
    tmp_path: Path, override: str, again: list[str]
) -> None:
    override = override.replace("LOGS", (tmp_path / "logs").as_posix())
    run_all(tmp_path)
    assert run_all(tmp_path, override) == again
    assert run_all(tmp_path, override) == []


def test_a_changed_evaluator_judges_again(tmp_path: Path) -> None:
    picky = 'eval.evaluators=["picky"]'
    run_all(tmp_path)
    completions = {k: v for k, v in written(tmp_path).items() if k.startswith("completions")}
    run_all(tmp_path, picky)
    assert [*["judge"] * 4, "train", *["judge"] * 4] == CALLS
    row = json.loads((tmp_path / "verdicts" / "base.jsonl").read_text().splitlines()[0])
    assert (row["evaluator"], row["passed"]) == ("picky", False)
    assert completions.items() <= written(tmp_path).items()
    run_all(tmp_path, 'eval.evaluators=["picky:limit=1000"]')
    row = json.loads((tmp_path / "verdicts" / "base.jsonl").read_text().splitlines()[0])
    assert row["passed"]


@pytest.mark.parametrize(
    ("name", "again"),
    [
        ("data/train.jsonl", []),
        ("verdicts/base.jsonl", []),
        ("completions/base.jsonl", ["complete base"]),
        ("completions/sft.jsonl", ["complete sft"]),
        ("adapter/seen.txt", ["train"]),
    ],
)
def test_a_changed_file_is_kept_and_a_lost_one_is_made_again(
    tmp_path: Path, name: str, again: list[str]
) -> None:
    run_all(tmp_path)
    first = written(tmp_path)
    (tmp_path / name).write_text("edited")
    with pytest.raises(UserError, match="changed since the run made it"):
        run_all(tmp_path)
    assert (tmp_path / name).read_text() == "edited"
    (tmp_path / name).unlink()
    assert run_all(tmp_path) == again
    assert written(tmp_path) == first


def test_lost_logs_are_written_anew(tmp_path: Path) -> None:
    import shutil

    run_all(tmp_path)
    shutil.rmtree(tmp_path / "tb")
    (tmp_path / "curves.png").unlink()
    run_all(tmp_path)
    assert list((tmp_path / "tb").iterdir())
    assert (tmp_path / "curves.png").is_file()


def test_a_failure_in_the_middle_keeps_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.fakes import Echo

    complete = Echo.complete

    def stumble(self: Echo, *arguments: object) -> Iterator[Completion]:
        rows = complete(self, *arguments)  # type: ignore[arg-type]
        yield next(rows)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Echo, "complete", stumble)
        with pytest.raises(KeyboardInterrupt):
            run_all(tmp_path)
    [left] = (tmp_path / "completions").iterdir()
    assert left.suffix == ".part"
    assert left.read_bytes().count(b"Sure: ") == 1
    assert (tmp_path / "data" / "stats.md").is_file()
    assert run_all(tmp_path) == EVERYTHING
    assert not left.exists()


def test_a_killed_run_asks_for_no_completion_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.fakes import Echo

    asked: list[str] = []
    complete = Echo.complete

    def two_more(self: Echo, examples: Sequence[Example], *rest: Any) -> Iterator[Completion]:
        for row in itertools.islice(complete(self, examples, *rest), 2):
            asked.append(row.example_id)
            yield row
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Echo, "complete", two_more)
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                run_all(tmp_path)
    assert len({*asked}) == len(asked) == 6
    run_all(tmp_path)
    texts = [c.text for c in read_records(tmp_path / "completions/base.jsonl", Completion)]
    assert len(texts) == 4


def test_data_that_does_not_depend_on_how_much(tmp_path: Path) -> None:
    small, large = config(), config("data.n_train=9")
    data.write_data(small, tmp_path / "small")
    data.write_data(large, tmp_path / "large")
    few = (tmp_path / "small" / "train.jsonl").read_bytes()
    many = (tmp_path / "large" / "train.jsonl").read_bytes()
    assert many.startswith(few) and len(many) > len(few)


class TwoSplits(Options):
    """A generator that does not know the split dev."""

    name: ClassVar[str] = "two_splits"
    formats: ClassVar[tuple[str, ...]] = ("json",)
    how: str = "lookup"

    def generate(self, split: Split, n: int, rng: Random) -> Iterator[Example]:
        if split == "dev" and self.how == "silent":
            return
        if split == "dev" and self.how == "refusal":
            raise ValueError("no such split")
        start = {"train": 0, "eval": 100}[split]
        yield from (example(f"{split}-{start + i}", {"number": start + i}) for i in range(n))


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("lookup", "generator 'two_splits' fails for the split 'dev' (KeyError: 'dev'); "),
        ("refusal", "fails for the split 'dev' (ValueError: no such split); "),
        ("silent", "generator 'two_splits' has no Example for the split 'dev'; "),
    ],
)
def test_a_generator_that_does_not_know_dev(tmp_path: Path, how: str, told: str) -> None:
    kinds: Any = plugins.registry()["generators"]
    kinds["two_splits"] = Registered("generators", "two_splits", "tests", TwoSplits)
    path = tmp_path / "two.toml"
    path.write_text(f'[data]\ngenerator = "two_splits"\nhow = "{how}"\n')
    with (
        RunFolder.open(tmp_path / "run", load_config(path)) as run,
        pytest.raises(PluginError) as caught,
    ):
        stages.run_all(run)
    said = str(caught.value)
    assert told in said and "\n" not in said
    assert said.endswith("; a generator must yield Examples for each of train, dev and eval")
    assert CALLS == []


def test_dump_shows_each_completion_its_own_verdicts(tmp_path: Path) -> None:
    """Also where two completions answer one Example."""
    from tests.fakes import verdict

    known: dict[str, Example] = {"a": example("a")}
    completions = [Completion(example_id="a", text=text) for text in ("good", "bad \ud800")]
    verdicts = [
        verdict("a", "x", True),
        verdict("a", "y", True),
        verdict("a", "x", False, labels=("long",)),
        verdict("a", "y", None),
    ]
    judges: list[Any] = [SimpleNamespace(name="x"), SimpleNamespace(name="y")]
    judged.dump(tmp_path / "dump.jsonl", judges, known, completions, verdicts)
    first, second = map(json.loads, (tmp_path / "dump.jsonl").read_text().splitlines())
    assert first == {
        "id": "a",
        "prompt": [{"role": "user", "content": "What is a?"}],
        "target": '{"a": 1}',
        "text": "good",
        "finish_reason": None,
        "verdicts": {"x": {"passed": True, "labels": []}, "y": {"passed": True, "labels": []}},
    }
    assert second["text"] == "bad \ud800"
    assert second["verdicts"] == {
        "x": {"passed": False, "labels": ["long"]},
        "y": {"passed": None, "labels": ["unscored"]},
    }


def test_training_without_data_is_a_user_error(tmp_path: Path) -> None:
    with (
        RunFolder.open(tmp_path, config()) as run,
        pytest.raises(DataError, match=r"eval\.jsonl: cannot be read"),
    ):
        stages.evaluate(run, run.config.arm("base"))
