"""The gradient of one effective batch, in passes as large as memory allows.

    Passes(model, weights, options, scaler).gradient(batch, labels=548)

leaves the gradient of the batch's loss per label in `weights.gradient` and that loss in `loss`,
however the batch is cut. `cpu_passes` and `gpu_passes` say how packed rows run on each kind of
device, and `row_passes` how single rows do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from fmtharness.harness.engine.encoding import Encoded
from fmtharness.trainers.options import LowRankOptions
from fmtharness.trainers.step.accumulator import Accumulator
from fmtharness.trainers.step.adapter import AdapterWeights
from fmtharness.trainers.step.cpu_passes import CpuPasses
from fmtharness.trainers.step.forward import FUSED, Forward
from fmtharness.trainers.step.gpu_passes import GpuPasses
from fmtharness.trainers.step.row_passes import RowPasses


class Passes:
    """The passes of one process; `loss` and the gradient are sums over this process's rows."""

    def __init__(
        self,
        model: Any,
        weights: AdapterWeights,
        options: LowRankOptions,
        scaler: Any,
        forward: Forward = FUSED,
    ) -> None:
        self.model, self.weights = model, weights
        accumulator = Accumulator(model, weights, options, scaler, forward)
        self.loss = accumulator.loss
        on_gpu = forward.packs and weights.device.type != "cpu"
        self.gpu = GpuPasses(accumulator, options) if on_gpu else None
        """The passes of packed rows on a GPU or another accelerator; None elsewhere."""
        others = CpuPasses(accumulator, options).run if forward.packs else RowPasses(accumulator)
        self._run = self.gpu.run if self.gpu else others

    def plan(self, batches: Iterable[Sequence[Encoded]]) -> None:
        """Given this process's rows of all coming steps, find passes that fit in a GPU's memory."""
        if self.gpu:
            self.gpu.plan(batches)

    def gradient(self, batch: Sequence[Encoded], labels: int) -> None:
        """Compute this process's rows of a batch that has so many labels over all processes."""
        if not self.model.training:  # calling train() on some thousand modules takes milliseconds
            self.model.train()
        self._run(batch, labels)

    def look_ahead(self, batch: Sequence[Encoded]) -> None:
        """Prepare the next batch while a GPU works on this one."""
        if self.gpu:
            self.gpu.pack_ahead(batch)

    def idle(self) -> AbstractContextManager[None]:
        """Inside, while no pass runs, others may use the memory that passes need."""
        return self.gpu.idle() if self.gpu else nullcontext()
