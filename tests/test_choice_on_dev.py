"""Checkpoints are chosen on dev; nothing in a training looks at eval, whose table comes after."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from fmtharness.harness.config import load_config
from fmtharness.harness.contracts import Loaded
from fmtharness.harness.records import Completion, Example, read_records
from fmtharness.harness.run import stages
from fmtharness.harness.run.folder import RunFolder
from tests.tiny import tiny_config

ADAPTER = "adapter/adapter_model.safetensors"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_config(tmp_path_factory.mktemp("tiny"))


WATCHED = """
import sys
from pathlib import Path

from fmtharness.harness.config import load_config
from fmtharness.harness.run import stages
from fmtharness.harness.run.folder import RunFolder

config, there, gone = map(Path, sys.argv[1:])
for folder in (there, gone):
    with RunFolder.open(folder, load_config(config)) as run:
        stages.generate(run)
(gone / "data" / "eval.jsonl").unlink()

touched = []


def watch(event, arguments):
    if any(str(each).endswith("eval.jsonl") for each in arguments):
        touched.append(event)


sys.addaudithook(watch)
for folder in (there, gone):
    with RunFolder.open(folder, load_config(config)) as run:
        stages.train(run)
print("in training:", len(touched))
with RunFolder.open(there, load_config(config)) as run:
    list(stages.eval_examples(run))
print("for the table:", *touched)
"""


def test_no_training_opens_eval(config: Path, tmp_path: Path) -> None:
    """In a process that reports every file it opens; also where the file is not there at all."""
    there, gone = tmp_path / "there", tmp_path / "gone"
    command = [sys.executable, "-c", WATCHED, str(config), str(there), str(gone)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["in training: 0", "for the table: open"]
    assert (there / ADAPTER).read_bytes() == (gone / ADAPTER).read_bytes()


RIGHT = {
    "dev": {0: 0, 4: 2, 8: 1, 12: 0},  # how many answers are right, by step
    "eval": {0: 0, 4: 0, 8: 0, 12: 4},
}
BASE, SFT = 0, 1
"""How many are right in the table, of 4."""


def test_the_best_checkpoint_follows_dev_and_the_table_is_of_eval(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where dev and eval disagree: on dev step 4 is the best, on eval it would be step 12."""
    asked: list[tuple[str, int]] = []

    def complete(loaded: Loaded, examples: Sequence[Example], **_: Any) -> Iterator[Completion]:
        split = examples[0].id.split("-")[0]
        step = 4 * (len(asked) - 1)
        asked.append((split, len(examples)))
        right = {-4: BASE, 16: SFT}.get(step)
        for index, example in enumerate(examples):
            good = index < (RIGHT[split][step] if right is None else right)
            text = example.target if good else "Sure!"
            yield Completion(example_id=example.id, text=text, finish_reason="stop")

    monkeypatch.setattr("fmtharness.harness.backends.transformers.complete_with", complete)
    with RunFolder.open(tmp_path, load_config(config)) as run:
        tallies = stages.run_all(run)
    # The base also answers four train prompts, for the proof of parity.
    assert asked == [("eval", 4 + 4), *[("dev", 2)] * 4, ("eval", 4)]
    assert run.manifest["stages"]["train"]["best_step"] == 4
    chosen = tmp_path / "checkpoints/step-4/adapter_model.safetensors"
    assert (tmp_path / ADAPTER).read_bytes() == chosen.read_bytes()
    for arm, right in (("base", BASE), ("sft", SFT)):
        rate = tallies[arm].named()["format_success_rate"]
        assert (rate.numerator, rate.denominator) == (right, 4)
        ids = [each.example_id for each in read_records(run.completions(arm), Completion)]
        assert ids == [f"eval-{i}" for i in range(4)]
    for step in RIGHT["dev"]:
        path = tmp_path / f"completions/sft-{step}.jsonl"
        found = list(read_records(path, Completion))
        assert [each.example_id for each in found] == ["dev-0", "dev-1"]
