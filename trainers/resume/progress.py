"""How far a training is, which of its checkpoints is the best, and how both outlive the process.

restore(run, model, weights, update)  ->  Progressed(step=25, evaluated=25, best_step=25, ...)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from harness.contracts import TrainingRun
from harness.engine import collectives
from harness.progress import say
from harness.records import Metric
from trainers.options import LowRankOptions
from trainers.resume import checkpoints
from trainers.step.adapter import AdapterWeights
from trainers.step.update import Update


class Progressed(msgspec.Struct):
    """What a checkpoint holds besides tensors."""

    step: int = 0
    saved: int = 0
    """The last step that has a checkpoint."""
    evaluated: int = -1
    """The last step that was evaluated."""
    best_step: int | None = None
    best: tuple[float, float] = (-1.0, -1.0)
    """Of the best step: the lower bound of format_success_rate, and exact_match_rate."""
    worse: int = 0
    """Evaluations since the best."""
    first_loss: float = 0.0
    loss_sum: float = 0.0
    """Of so many steps since the last logged one."""
    loss_steps: float = 0.0
    tokens: int = 0
    seconds: float = 0.0

    def judged(self, metrics: Mapping[str, Metric]) -> dict[str, float]:
        """Take an evaluation of this step in; returns its two rates for showing.

        The later of two equals is the better: it was trained for longer.
        """
        self.evaluated = self.step
        format_rate, content = (
            metrics.get(name) for name in ("format_success_rate", "exact_match_rate")
        )
        shown = {m.name: m.value for m in (format_rate, content) if m and m.value is not None}
        if self.step and format_rate and format_rate.low is not None:
            score = format_rate.low, content.value if content and content.value else 0.0
            if score >= self.best:
                self.best_step, self.best, self.worse = self.step, score, 0
            else:
                self.worse += 1
        return shown


def restore(run: TrainingRun, model: Any, weights: AdapterWeights, update: Update) -> Progressed:
    """Go on from the newest whole checkpoint of the same inputs, where there is one."""
    at = Progressed()
    found = checkpoints.newest(run.folder / "checkpoints", run.inputs) if run.leads else None
    if found:
        at = msgspec.convert(found.state["progress"], Progressed)
        checkpoints.load_weights(found, model)
        checkpoints.load_optimizer(found, update.tensors())
        update.set_numbers(found.state["optimizer"])
        say(f"train: going on from step {at.step} ({found.path})")
    at, numbers = collectives.broadcast_object((at, update.numbers()))
    update.set_numbers(numbers)
    collectives.broadcast(weights.vector, *update.tensors().values())
    weights.refresh()
    return at


def save(
    options: LowRankOptions, run: TrainingRun, model: Any, update: Update, at: Progressed
) -> None:
    """Write a checkpoint of this step, unless its like is there."""
    at.saved = at.step
    if not run.leads:
        return
    state = {
        "step": at.step,
        "inputs": run.inputs,
        "progress": msgspec.to_builtins(at),
        "optimizer": update.numbers(),
    }
    folder = run.folder / "checkpoints"
    keep = options.save_total_limit
    checkpoints.save(folder, state, model, update.tensors(), keep=keep, best=at.best_step)


def finish(run: TrainingRun, model: Any, at: Progressed) -> Path:
    """Write the best checkpoint's weights as the adapter; the last one's where none was judged."""
    adapter = run.folder / "adapter"
    if run.leads:
        if at.best_step not in (None, at.step):
            best = checkpoints.at(run.folder / "checkpoints", at.best_step or 0, run.inputs)
            if best:
                checkpoints.load_weights(best, model)
            else:
                say(f"train: the best checkpoint, step {at.best_step}, is gone; the last is taken")
        checkpoints.write_adapter(adapter, model)
    return adapter
