"""Scalars in both places: a resumed run forgets what came after its step."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from fmtharness.harness.report.plot import read_scalars
from fmtharness.harness.run.scalars import Scalars, read_metrics


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    return tmp_path / "run" / "metrics.jsonl"


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return tmp_path / "run" / "tb"


def write(metrics: Path, logs: Path, steps: range, keep_until: int, value: float) -> None:
    scalars = Scalars(metrics, logs, keep_until=keep_until)
    for step in steps:
        scalars.log(step, {"train/loss": value + step, "eval/x": 0.5})
    scalars.close()


def test_both_places_hold_the_same(metrics: Path, logs: Path) -> None:
    write(metrics, logs, range(4), 0, 10)
    rows = [{"step": step, "train/loss": 10.0 + step, "eval/x": 0.5} for step in range(4)]
    assert [json.loads(line) for line in metrics.read_text().splitlines()] == rows
    assert read_scalars(logs)["train/loss"] == [(step, 10.0 + step) for step in range(4)]


def test_resuming_forgets_the_rows_after_the_step(metrics: Path, logs: Path) -> None:
    write(metrics, logs, range(6), 0, 10)
    write(metrics, logs, range(3, 5), 2, 20)
    expected = [(0, 10.0), (1, 11.0), (2, 12.0), (3, 23.0), (4, 24.0)]
    assert [(row["step"], row["train/loss"]) for row in read_metrics(metrics)] == expected
    assert read_scalars(logs)["train/loss"] == expected
    assert len(list(logs.iterdir())) == 1, "the old view is gone"


def test_a_run_from_the_start_keeps_no_older_baseline(metrics: Path, logs: Path) -> None:
    write(metrics, logs, range(3), 0, 10)
    write(metrics, logs, range(1), 0, 20)
    assert [(row["step"], row["train/loss"]) for row in read_metrics(metrics)] == [(0, 20.0)]
    assert read_scalars(logs)["train/loss"] == [(0, 20.0)]


def test_a_cut_last_line_is_survived(metrics: Path, logs: Path) -> None:
    write(metrics, logs, range(3), 0, 10)
    whole = metrics.read_bytes()
    metrics.write_bytes(whole[:-9])
    assert [row["step"] for row in read_metrics(metrics)] == [0, 1]
    write(metrics, logs, range(2, 3), 1, 10)
    assert metrics.read_bytes() == whole


def test_a_kill_while_resuming_loses_no_row(
    metrics: Path, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.utils import tensorboard

    write(metrics, logs, range(3), 0, 10)

    def killed(folder: str, **options: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tensorboard, "SummaryWriter", killed)
    with pytest.raises(KeyboardInterrupt):
        Scalars(metrics, logs, keep_until=1)
    assert [row["step"] for row in read_metrics(metrics)] == [0, 1]


def test_a_shared_folder_keeps_its_other_files(metrics: Path, logs: Path) -> None:
    (logs / "another-run").mkdir(parents=True)
    kept = [logs / "notes.txt", logs / "another-run" / "events.out.tfevents.1"]
    for path in kept:
        path.write_text("mine")
    write(metrics, logs, range(2), 0, 10)
    assert [path.read_text() for path in kept] == ["mine", "mine"]


def test_the_view_is_written_anew_from_the_lines(metrics: Path, logs: Path, tmp_path: Path) -> None:
    write(metrics, logs, range(3), 0, 10)
    before = metrics.read_bytes()
    Scalars(metrics, tmp_path / "elsewhere", keep_until=sys.maxsize).close()
    assert metrics.read_bytes() == before
    assert read_scalars(tmp_path / "elsewhere") == read_scalars(logs)


@pytest.mark.parametrize("text", ["", "{", "[1]\n", '{"loss": 1}\n', "\ufffd\n"])
def test_a_foreign_file_has_no_rows(metrics: Path, text: str) -> None:
    metrics.parent.mkdir()
    metrics.write_text(text, encoding="utf-8")
    assert read_metrics(metrics) == []


def test_a_missing_file_has_no_rows(metrics: Path) -> None:
    assert read_metrics(metrics) == []
