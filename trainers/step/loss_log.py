"""Logging the loss without making the GPU wait, and stopping training that diverges.

    losses = LossLog(run, bar, scaler, at, device, scalars)
    losses.add(loss, measured)                          after each step; their means are logged
    losses.stage(at, loss, norm, 2e-4, 0.5, began)      copies the tensors, which may change then
    losses.write(at, began)                             once the next step has been launched

Reading a number from a GPU waits for all work launched before. Read at once, it would leave the GPU
idle until the next step is launched.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import torch

from fmtharness.harness.contracts import TrainingRun
from fmtharness.harness.errors import TrainingError
from fmtharness.harness.progress import Progress
from fmtharness.trainers.resume.progress import Progressed

DIVERGED = 3.0
"""A loss above this many times the first logged one (or 1 nat, if larger) means divergence."""
LOWEST_SCALE = 1.0
"""The fp16 loss scale below which a gradient that overflows is not the scale's fault."""


class LossLog:
    """The sum of the losses since the last logged step, and scalars that are not yet logged."""

    def __init__(
        self,
        run: TrainingRun,
        bar: Progress,
        scaler: torch.amp.GradScaler | None,
        at: Progressed,
        device: torch.device,
        scalars: Sequence[str] = (),
    ) -> None:
        self._run, self._bar, self._names = run, bar, scalars
        self._sums = torch.tensor([at.loss_sum, at.loss_steps], device=device, dtype=torch.float32)
        """The sum of the finite losses, and their number."""
        self._measured = torch.zeros(len(scalars) + 1, device=device)
        """The sums of the objective's scalars, and the number of pairs."""
        if len(at.measured) == len(self._measured):
            self._measured.copy_(torch.tensor(at.measured))
        self._scaler = scaler
        """Skips steps with a non-finite gradient and lowers the loss scale; None unless fp16."""
        self._pending: tuple[int, int, Reading, dict[str, float]] | None = None

    def add(self, loss: torch.Tensor, measured: torch.Tensor | None = None) -> None:
        """Add the loss of a step, an fp32 scalar; ignored if not finite, as a skipped step's is.

        `measured` are the objective's sums.
        """
        if self._names and measured is not None:
            self._measured += measured.where(loss.isfinite(), 0.0)
        self._sums += torch.stack([loss, torch.ones_like(loss)]).where(loss.isfinite(), 0.0)

    def stage(
        self,
        at: Progressed,
        loss: torch.Tensor,
        norm: torch.Tensor,
        learning_rate: float,
        epoch: float,
        began: float,
    ) -> None:
        """Log this step's scalars at the next `write`; on a CPU, at once. Restarts the mean."""
        known = {"train/learning_rate": learning_rate, "train/epoch": epoch}
        mean = self._sums[0] / self._sums[1]
        means = self._measured[:-1] / self._measured[-1] if self._names else ()
        self._pending = at.step, at.tokens, Reading(mean, loss, norm, *means), known
        self._sums.zero_()
        self._measured.zero_()
        if not loss.is_cuda:
            self.write(at, began)

    def write(self, at: Progressed, began: float) -> None:
        """Log the pending scalars, if any; raises as `settle` does."""
        if self._pending is None:
            return
        step, tokens, reading, known = self._pending
        self._pending = None
        mean, loss, norm, *means = reading()
        at.first_loss = at.first_loss or loss
        self._check(at, step, loss, norm)
        rate = tokens / (at.seconds + time.perf_counter() - began)
        measured = {"train/loss": mean, "train/grad_norm": norm, "train/tokens_per_second": rate}
        measured |= {f"train/{name}": value for name, value in zip(self._names, means, strict=True)}
        finite = {name: value for name, value in measured.items() if math.isfinite(value)}
        self._run.log(step, known | finite)
        self._bar.note(loss=mean)

    def settle(
        self, at: Progressed, loss: torch.Tensor, norm: torch.Tensor | None, began: float
    ) -> None:
        """Log the pending scalars and check this step's numbers, before its checkpoint is saved.

        Raises TrainingError if the loss or the gradient is not finite, or if the loss diverges.
        `norm` is None before the first step of this process.
        """
        self.write(at, began)
        at.loss_sum, at.loss_steps = self._sums.tolist()
        at.measured = self._measured.tolist() if self._names else []
        if norm is not None:
            self._check(at, at.step, *Reading(loss, norm)())

    def _check(self, at: Progressed, step: int, loss: float, norm: float) -> None:
        # A batch may happen to hold few pairs, whose loss is larger than that of other rows.
        first = max(at.first_loss, OF_PAIRS if self._names else 1.0)
        good = math.isfinite(loss) and loss <= DIVERGED * first
        if good and (math.isfinite(norm) or self._is_skipped()):
            return
        what = f"loss is {loss:.3g}" if not good else f"gradient's norm is {norm:.3g}"
        kept = f"step {at.saved}" if at.saved else "none yet"
        raise TrainingError(
            f"train: the {what} at step {step}, and the first loss was {at.first_loss:.3g}; lower "
            f"train.learning_rate (last good checkpoint in {self._run.folder}: {kept})"
        )

    def _is_skipped(self) -> bool:
        """Whether a non-finite gradient was only the loss scale's overflow; waits for the GPU."""
        return self._scaler is not None and self._scaler.get_scale() >= LOWEST_SCALE


class Reading:
    """A copy of scalar tensors; calling it reads them without waiting for work launched later."""

    def __init__(self, *scalars: torch.Tensor) -> None:
        values = torch.stack([scalar.detach().float() for scalar in scalars])
        self._host = values
        self._copied: torch.cuda.Event | None = None
        if values.is_cuda:
            self._host = torch.empty(values.shape, pin_memory=True)
            self._host.copy_(values, non_blocking=True)
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._copied.record()

    def __call__(self) -> list[float]:
        if self._copied is not None:
            self._copied.synchronize()
        numbers: list[float] = self._host.tolist()
        return numbers


OF_PAIRS = 4.0
"""The least first loss that a loss of pairs is compared with."""
