"""What a model sees of rows, and trainings that stop on faulty ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fmtharness.harness.config import load_config
from fmtharness.harness.contracts import ModelOptions
from fmtharness.harness.errors import DataError
from fmtharness.harness.records import Example, Message, encode, read_records
from fmtharness.harness.run import stages
from fmtharness.harness.run.faulty_rows import refuse_faulty
from fmtharness.harness.run.folder import RunFolder
from fmtharness.harness.run.seen import Tokens
from tests.fakes import CALLS, FAKE_CONFIG
from tests.test_doctor import clean, run, write
from tests.tiny import tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"), layers=1)


def test_tokens_that_carry_loss_are_marked(model: Path) -> None:
    tokens = Tokens(ModelOptions(name=str(model)))
    example = Example(id="a", prompt=(Message("user", "Hi"),), completion='{"a": 1}', format="json")
    text = '<|user|>Hi<|end|><|assistant|>⟦{"a": 1}<|end|>⟧'
    assert tokens.shown(example) == (
        f"{text}\nloss on the last 9 of 14 tokens, in ⟦⟧; the last is the stop token '<|end|>' "
        f"(id 0)"
    )
    assert '[[{"a": 1}<|end|>]]' in tokens.shown(example, encoding="ascii")
    assert '\x1b[32m{"a": 1}<|end|>\x1b[0m' in tokens.shown(example, color=True)
    assert tokens.count(example) == 14
    assert {"<|end|>", "<|user|>"} <= set(tokens.markers)
    bare = Example(id="a", prompt=example.prompt, format="json")
    assert tokens.shown(bare) == "<|user|>Hi<|end|><|assistant|>\n5 tokens, no target, so no loss"


def test_show_and_cut_off_by_the_command(model: Path, tmp_path: Path) -> None:
    rows = clean()
    source = write(tmp_path / "rows.jsonl", rows)
    code, text = run(source.name, "--model", model, "--show", "2")
    assert code == 0
    assert f"[row-0]\n<|user|>{rows[0]['prompt'][0]['content']}<|end|><|assistant|>⟦" in text
    assert "[row-1]" in text
    assert "[row-2]" not in text
    # A byte is a token here, and the template adds four.
    sizes = [len(each["prompt"][0]["content"]) + len(each["completion"]) + 4 for each in rows]
    limit = sorted(sizes)[20]
    longer = sum(size > limit for size in sizes)
    assert 0 < longer < 40
    code, text = run(source.name, "--model", model, "--max-seq-length", str(limit), "--json")
    findings = {each["check"]: each for each in json.loads(text)["findings"]}
    assert (code, [*findings]) == (1, ["cut_off"])
    assert findings["cut_off"]["count"] == longer
    assert findings["cut_off"]["places"][0]["beside"].endswith(f"max_seq_length is {limit}")
    code, text = run(source.name, "--model", "owner/none", "--max-seq-length", "100")
    assert code == 2
    assert "'owner/none' is not on this machine" in text


def test_markers_of_the_tokenizer_are_looked_for(model: Path, tmp_path: Path) -> None:
    rows = clean()
    value = {**json.loads(rows[7]["completion"]), "hotel": "<|system|>Anker"}
    rows[7]["completion"] = json.dumps(value)
    source = write(tmp_path / "rows.jsonl", rows)
    code, text = run(source.name, "--model", model)
    assert code == 1
    assert "<|system|> is a marker" in text


def change(path: Path, number: int, **fields: Any) -> None:
    """Change one row of a run's data, and let the manifest know nothing of it."""
    rows = list(read_records(path, Example))
    plain = json.loads(encode(rows[number]))
    path.write_bytes(
        b"".join(
            json.dumps({**plain, **fields}).encode() + b"\n" if at == number else encode(row)
            for at, row in enumerate(rows)
        )
    )


@pytest.mark.usefixtures("fakes")
def test_a_training_stops_on_grave_faults_unless_they_are_allowed(tmp_path: Path) -> None:
    file = tmp_path / "fake.toml"
    file.write_text(FAKE_CONFIG)
    folder = tmp_path / "run"
    with RunFolder.open(folder, load_config(file)) as opened:
        stages.generate(opened)
    train = folder / "data" / "train.jsonl"
    change(train, 2, completion='{"a": 1,}')
    with (
        RunFolder.open(folder, load_config(file)) as opened,
        pytest.raises(DataError, match=r"train.jsonl, line 3: the target is not what") as caught,
    ):
        stages.train(opened)
    way = "--set 'data.allow=[\"fails_format\"]'"
    assert str(caught.value).endswith(way)
    assert "train" not in CALLS
    allowed = load_config(file, overrides=['data.allow=["fails_format"]'])
    with RunFolder.open(folder, allowed) as opened:
        stages.train(opened)
    assert "train" in CALLS


@pytest.mark.usefixtures("fakes")
def test_allowing_something_makes_no_data_anew(tmp_path: Path) -> None:
    file = tmp_path / "fake.toml"
    file.write_text(FAKE_CONFIG)
    folder = tmp_path / "run"
    with RunFolder.open(folder, load_config(file)) as opened:
        stages.run_all(opened)
    CALLS.clear()
    with RunFolder.open(folder, load_config(file, overrides=['data.allow=["refusal"]'])) as opened:
        stages.run_all(opened)
    assert not {"train", "complete base"} & set(CALLS)


@pytest.mark.usefixtures("fakes")
def test_a_prompt_of_eval_in_train_stops_a_run(tmp_path: Path) -> None:
    file = tmp_path / "fake.toml"
    file.write_text(FAKE_CONFIG)
    with RunFolder.open(tmp_path / "run", load_config(file)) as opened:
        stages.generate(opened)
        shared = json.loads((tmp_path / "run/data/eval.jsonl").read_text().splitlines()[1])
        change(opened.data("train"), 4, prompt=shared["prompt"])
        with pytest.raises(DataError, match="the same prompt is in two splits") as caught:
            refuse_faulty(opened)
    assert "prompt_in_two_splits (1)" in str(caught.value)
