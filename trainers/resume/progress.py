"""Training progress and the best checkpoint, saved with each checkpoint and restored.

restore(run, model, weights, update)  ->  Progressed(step=25, evaluated=25, best_step=25, ...)
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec

from fmtharness.harness.contracts import CHOOSE_BY, OVER_BUDGET, TrainingRun
from fmtharness.harness.engine import collectives
from fmtharness.harness.errors import UserError
from fmtharness.harness.files import file_digest
from fmtharness.harness.progress import say
from fmtharness.harness.records import Metric
from fmtharness.trainers.options import LowRankOptions
from fmtharness.trainers.resume import checkpoints
from fmtharness.trainers.step.adapter import AdapterWeights
from fmtharness.trainers.step.update import Update

METRICS = "metrics.jsonl"
"""Where a run keeps its scalars, in order of their steps."""


class Progressed(msgspec.Struct):
    """The counters that a checkpoint holds besides tensors."""

    step: int = 0
    saved: int = 0
    """The last step that has a checkpoint."""
    evaluated: int = -1
    """The last step that was evaluated."""
    best_step: int | None = None
    best: tuple[float, float, float] = (-math.inf, -1.0, -1.0)
    """Of the best step: its excess over the retention budget, negated, the mean lower bound of
    format_success_rate, and its exact_match_rate."""
    worse: int = 0
    """The number of evaluations since the best."""
    first_loss: float = 0.0
    loss_sum: float = 0.0
    """The sum of the losses since the last logged step."""
    loss_steps: float = 0.0
    """The number of losses in that sum."""
    measured: list[float] = []
    """The sums of the objective's scalars since then, and the number of pairs."""
    tokens: int = 0
    """Tokens trained on so far."""
    seconds: float = 0.0
    """Training time so far, without evaluations and saves."""

    def judged(self, metrics: Mapping[str, Metric], *, trained: bool) -> dict[str, float]:
        """Record an evaluation of this step; returns its two rates, for the progress bar.

        It may be the best if the model is `trained`: at step 0 only if it began with an adapter.

        Within the retention budget the mean of the lower bounds decides: that of the dev Examples
        and those of the evaluation sets. If no step is within it, the one least over it is best. Of
        two equal steps, the later is the better one, since it was trained for longer.
        """
        self.evaluated = self.step
        format_rate, content = (metrics.get(name) for name in CHOOSE_BY)
        shown = {m.name: m.value for m in (format_rate, content) if m and m.value is not None}
        if trained and format_rate and format_rate.low is not None:
            lows = [m.low for name, m in metrics.items() if name.rpartition("/")[2] == CHOOSE_BY[0]]
            over = metrics.get(OVER_BUDGET)
            score = (
                -(over.value or 0.0) if over else 0.0,
                fmean(low for low in lows if low is not None),
                content.value if content and content.value else 0.0,
            )
            if score >= self.best:
                self.best_step, self.best, self.worse = self.step, score, 0
            else:
                self.worse += 1
        return shown


def restore(run: TrainingRun, model: Any, weights: AdapterWeights, update: Update) -> Progressed:
    """Resume from the newest complete checkpoint of the same inputs; start at step 0 without one.

    Rank 0 reads it and broadcasts it to the other ranks. Raises UserError if metrics.jsonl was
    changed since that checkpoint was saved.
    """
    at = Progressed()
    found = checkpoints.newest(run.folder / "checkpoints", run.inputs) if run.leads else None
    if found:
        _refuse_changed(run.folder / METRICS, found)
        at = msgspec.convert(found.state["progress"], Progressed)
        checkpoints.load_weights(found, model)
        checkpoints.load_optimizer(found, update.tensors())
        update.set_numbers(found.state["optimizer"])
        say(f"train: resuming from step {at.step} ({found.path})")
    at, numbers = collectives.broadcast_object((at, update.numbers()))
    update.set_numbers(numbers)
    collectives.broadcast(weights.vector, *update.tensors().values())
    weights.refresh()
    return at


def save(
    options: LowRankOptions, run: TrainingRun, model: Any, update: Update, at: Progressed
) -> None:
    """Save a checkpoint of this step; one that exists already only gets the new state."""
    at.saved = at.step
    if not run.leads:
        return
    state = {
        "step": at.step,
        "inputs": run.inputs,
        "progress": msgspec.to_builtins(at),
        "optimizer": update.numbers(),
    }
    if (metrics := run.folder / METRICS).is_file():
        checkpoints.sync(metrics)  # else it could lose rows that the checkpoint counts on
        state["metrics"] = {"bytes": metrics.stat().st_size, "sha256": file_digest(metrics)}
    folder = run.folder / "checkpoints"
    keep = options.save_total_limit
    checkpoints.save(folder, state, model, update.tensors(), keep=keep, best=at.best_step)


def _refuse_changed(metrics: Path, found: checkpoints.Checkpoint) -> None:
    """Raise UserError unless metrics.jsonl begins with the rows that the checkpoint was saved with.

    The message says so if the file is gone.
    """
    known, step = found.state.get("metrics"), found.state["step"]
    if known is None:
        return
    if not metrics.is_file():
        say(f"train: {metrics} is gone, so that its rows begin after step {step}")
        return
    with metrics.open("rb") as file:
        held = hashlib.sha256(file.read(known["bytes"])).hexdigest()
    if held != known["sha256"]:
        raise UserError(
            f"{metrics}: this file was changed or damaged since the checkpoint of step {step} was "
            f"saved; restore it, or move it away to train on without its rows"
        )


def finish(run: TrainingRun, model: Any, at: Progressed, initial: Path | None = None) -> Path:
    """Write the adapter from the best checkpoint, or from the last step if none was evaluated.

    `initial` is the adapter that training began with, which no later step may have surpassed.
    """
    adapter = run.folder / "adapter"
    if run.leads:
        if at.best_step is not None and -at.best[0] > 0:
            say(
                f"train: no evaluated step is within the retention budget; took step "
                f"{at.best_step}, which is least over it, by {-at.best[0]:.3g} in all"
            )
        if at.best_step == 0 and initial and at.step:
            say(f"train: no step surpasses the adapter that training began with, {initial}")
            checkpoints.load_adapter(initial, model)
        elif at.best_step not in (None, at.step):
            best = checkpoints.at(run.folder / "checkpoints", at.best_step or 0, run.inputs)
            if best:
                checkpoints.load_weights(best, model)
            else:
                say(f"train: the best checkpoint, step {at.best_step}, is missing; took the last")
        checkpoints.write_adapter(adapter, model)
    return adapter
