"""What is logged of the losses, and what a step that an fp16 scaler skipped does to it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from fmtharness.harness.errors import TrainingError
from fmtharness.trainers.resume.progress import Progressed
from fmtharness.trainers.step.loss_log import LossLog

NORM = torch.tensor(1.0)


class Run:
    folder = Path("run")

    def __init__(self) -> None:
        self.rows: list[float] = []

    def log(self, step: int, values: dict[str, float]) -> None:
        self.rows.append(values["train/loss"])


class Bar:
    def note(self, **values: float) -> None:
        assert math.isfinite(values["loss"])


def losses_of(run: Any, at: Progressed) -> LossLog:
    bar: Any = Bar()
    return LossLog(run, bar, None, at, torch.device("cpu"))


def take(losses: LossLog, at: Progressed, *values: float) -> torch.Tensor:
    for value in values:
        at.step += 1
        losses.add(torch.tensor(value))
    return torch.tensor(values[-1])


def test_a_step_with_a_non_finite_loss_is_left_out_of_the_mean() -> None:
    run, at = Run(), Progressed()
    losses = losses_of(run, at)
    last = take(losses, at, 1.0, math.nan, 3.0)
    losses.stage(at, last, NORM, 1e-4, 0.5, 0.0)
    assert run.rows == [2.0]
    assert at.first_loss == 3.0


def test_the_sum_goes_on_where_a_checkpoint_left_it() -> None:
    run, at = Run(), Progressed()
    losses = losses_of(run, at)
    losses.settle(at, take(losses, at, 1.0, math.inf, 2.0), NORM, 0.0)
    assert (at.loss_sum, at.loss_steps) == (3.0, 2)
    again = losses_of(run, at)
    again.stage(at, take(again, at, 6.0), NORM, 1e-4, 0.5, 0.0)
    assert run.rows == [3.0]


@pytest.mark.parametrize("last", [math.nan, 4.0])
def test_the_last_loss_counts_and_not_the_mean(last: float) -> None:
    at = Progressed(first_loss=1.0)
    losses = losses_of(Run(), at)
    found = take(losses, at, *[1.0] * 9, last)
    with pytest.raises(TrainingError, match=f"the loss is {last:.3g} at step 10"):
        losses.stage(at, found, NORM, 1e-4, 0.5, 0.0)
