"""The PNG of a run's scalars, from logs that Scalars wrote, whole and damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fmtharness.harness.errors import DataError
from fmtharness.harness.report.plot import draw, read_scalars
from fmtharness.harness.run.scalars import Scalars

STEPS = range(5)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    scalars = Scalars(tmp_path / "metrics.jsonl", tmp_path / "tb", keep_until=0)
    for step in STEPS:
        rate = {"eval/a": 0.5, "eval_low/a": 0.4, "eval_high/a": 0.6}
        scalars.log(step, {"train/loss": 1.0 / (step + 1), "train/learning_rate": 1e-3, **rate})
    scalars.close()
    return tmp_path / "tb"


def event_file(logs: Path) -> Path:
    (path,) = logs.iterdir()
    return path


def size(png: Path) -> tuple[int, int]:
    """Width and height of a PNG, which must be one and no blank."""
    from matplotlib.image import imread

    pixels = imread(png)
    assert pixels.std() > 0.01
    return pixels.shape[1], pixels.shape[0]


def test_every_scalar_is_drawn(logs: Path, tmp_path: Path) -> None:
    png = tmp_path / "deep" / "curves.png"
    assert draw(logs, png) == ["eval/a", "train/learning_rate", "train/loss"]
    width, height = size(png)
    assert width > 1200 and height > 200
    assert list(png.parent.iterdir()) == [png]
    assert set(read_scalars(logs)) == {
        "train/loss",
        "train/learning_rate",
        "eval/a",
        "eval_low/a",
        "eval_high/a",
    }


def test_a_bound_without_its_rate_is_drawn_itself(tmp_path: Path) -> None:
    scalars = Scalars(tmp_path / "metrics.jsonl", tmp_path / "tb", keep_until=0)
    scalars.log(0, {"eval_low/b": 0.4})
    scalars.close()
    assert draw(tmp_path / "tb", tmp_path / "x.png") == ["eval_low/b"]


def test_a_cut_file_is_said(logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = event_file(logs).read_bytes()
    read_scalars(logs)
    assert capsys.readouterr().err == ""
    # Cut anywhere in the last step, a rate may lose its bounds; drawing goes on.
    for cut in (1, 60, 120, 180, 240):
        event_file(logs).write_bytes(whole[:-cut])
        assert "train/loss" in read_scalars(logs)
        assert "is damaged; what comes after" in capsys.readouterr().err
        assert draw(logs, tmp_path / "x.png")
        capsys.readouterr()


def test_a_flipped_byte_is_said(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = bytearray(event_file(logs).read_bytes())
    data[len(data) // 2] ^= 0xFF
    event_file(logs).write_bytes(data)
    assert len(read_scalars(logs)["train/loss"]) < len(STEPS)
    assert str(event_file(logs)) in capsys.readouterr().err


def test_other_summaries_are_passed_over(tmp_path: Path) -> None:
    import torch
    from torch.utils.tensorboard import SummaryWriter

    writer: Any = SummaryWriter(str(tmp_path / "tb"))
    writer.add_text("args", "--lr 1")
    writer.add_histogram("weights", torch.rand(9))
    writer.add_scalar("loss", 2, 7)
    writer.close()
    assert read_scalars(tmp_path / "tb") == {"loss": [(7, 2.0)]}


def test_nothing_to_draw(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(DataError, match="no TensorBoard scalars there"):
            draw(folder, tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()


def test_several_runs_are_not_mixed(logs: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    Scalars(tmp_path / "metrics.jsonl", other, keep_until=9).close()
    with pytest.raises(DataError) as caught:
        read_scalars(tmp_path)
    assert str(logs) in str(caught.value) and str(other) in str(caught.value)
