"""The losses of a training, read while it goes on.

    losses = LossLog(run, bar, scaler, at, device)
    losses.add(loss)                                of each step; what is written is their mean
    losses.wait_for(at, loss, norm, 2e-4, 0.5, began)   the tensors may change afterwards
    losses.write(at, began)                         once the next step is on its way

On a GPU a number is there only when all work before it is done; reading it at once would leave the
GPU without work until the next step is launched.
"""

from __future__ import annotations

import math
import time

import torch

from harness.contracts import TrainingRun
from harness.errors import TrainingError
from harness.progress import Progress
from trainers.resume.progress import Progressed

DIVERGED = 3.0
"""Times the first step's loss, or 1 nat, from which on a training is lost."""
LOWEST_SCALE = 1.0
"""Of an fp16 loss; below, it is not the scale that lets gradients overflow."""


class LossLog:
    """The sum of the losses since the last logged step, and its scalars until they are written."""

    def __init__(
        self,
        run: TrainingRun,
        bar: Progress,
        scaler: torch.amp.GradScaler | None,
        at: Progressed,
        device: torch.device,
    ) -> None:
        self._run, self._bar = run, bar
        self._sums = torch.tensor([at.loss_sum, at.loss_steps], device=device, dtype=torch.float32)
        """Of the losses, and how many they are."""
        self._scaler = scaler
        """It skips a step whose gradient is none, and lowers the scale."""
        self._waiting: tuple[int, int, Reading, dict[str, float]] | None = None

    def add(self, loss: torch.Tensor) -> None:
        """Take in the loss of a step, an fp32 scalar; of a skipped step it may be no number."""
        self._sums += torch.stack([loss, torch.ones_like(loss)]).where(loss.isfinite(), 0.0)

    def wait_for(
        self,
        at: Progressed,
        loss: torch.Tensor,
        norm: torch.Tensor,
        learning_rate: float,
        epoch: float,
        began: float,
    ) -> None:
        known = {"train/learning_rate": learning_rate, "train/epoch": epoch}
        mean = self._sums[0] / self._sums[1]
        self._waiting = at.step, at.tokens, Reading(mean, loss, norm), known
        self._sums.zero_()
        if not loss.is_cuda:
            self.write(at, began)

    def write(self, at: Progressed, began: float) -> None:
        """Write what waits, if anything; raises as `settle` does."""
        if self._waiting is None:
            return
        step, tokens, reading, known = self._waiting
        self._waiting = None
        mean, loss, norm = reading()
        at.first_loss = at.first_loss or loss
        self._check(at, step, loss, norm)
        rate = tokens / (at.seconds + time.perf_counter() - began)
        made = {"train/loss": mean, "train/grad_norm": norm, "train/tokens_per_second": rate}
        finite = {name: value for name, value in made.items() if math.isfinite(value)}
        self._run.log(step, known | finite)
        self._bar.note(loss=mean)

    def settle(
        self, at: Progressed, loss: torch.Tensor, norm: torch.Tensor | None, began: float
    ) -> None:
        """Write what waits and look at this step's numbers, before a checkpoint is made of it.

        Raises TrainingError where the loss or the gradient is no number, or the loss runs away.
        `norm` is None before the first step of this process.
        """
        self.write(at, began)
        at.loss_sum, at.loss_steps = self._sums.tolist()
        if norm is not None:
            self._check(at, at.step, *Reading(loss, norm)())

    def _check(self, at: Progressed, step: int, loss: float, norm: float) -> None:
        good = math.isfinite(loss) and loss <= DIVERGED * max(at.first_loss, 1.0)
        if good and (math.isfinite(norm) or self._is_skipped()):
            return
        what = f"loss is {loss:.3g}" if not good else f"gradient's norm is {norm:.3g}"
        kept = f"step {at.saved}" if at.saved else "none yet"
        raise TrainingError(
            f"train: the {what} at step {step}, after a loss of {at.first_loss:.3g} at first; "
            f"lower train.learning_rate (the last good checkpoint in {self._run.folder}: {kept})"
        )

    def _is_skipped(self) -> bool:
        """Whether a gradient that is none does no harm; asked then only, as a GPU is waited for."""
        return self._scaler is not None and self._scaler.get_scale() >= LOWEST_SCALE


class Reading:
    """Scalar tensors as they are now; reading them waits for no later work."""

    def __init__(self, *scalars: torch.Tensor) -> None:
        there = torch.stack([scalar.detach().float() for scalar in scalars])
        self._here = there
        self._come: torch.cuda.Event | None = None
        if there.is_cuda:
            self._here = torch.empty(there.shape, pin_memory=True)
            self._here.copy_(there, non_blocking=True)
            self._come = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._come.record()

    def __call__(self) -> list[float]:
        if self._come is not None:
            self._come.synchronize()
        numbers: list[float] = self._here.tolist()
        return numbers
