"""The passes of a batch whose rows are run one by one, by the model's own forward pass.

RowPasses(accumulator)(batch, labels=548, examples=16)     one pass for each row, on any device
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fmtharness.harness.engine.encoding import Encoded
from fmtharness.harness.errors import UserError
from fmtharness.harness.progress import say
from fmtharness.trainers.step.accumulator import Accumulator


class RowPasses:
    """Runs batches row by row; when GPU memory runs out, gradient checkpointing is switched on."""

    def __init__(self, accumulator: Accumulator) -> None:
        self._accumulator = accumulator

    def __call__(self, batch: Sequence[Encoded], labels: int, examples: int) -> None:
        """Leave the loss and the gradient of the batch in the accumulator."""
        while True:
            self._accumulator.start(labels, examples)
            try:
                for row in batch:
                    self._accumulator.add(row)
            except torch.OutOfMemoryError:
                longest = max(len(row.ids) for row in batch)
            else:
                return
            if self._accumulator.checkpointing:
                raise UserError(
                    f"train: one Example of {longest} tokens does not fit in GPU memory; lower "
                    f"train.max_seq_length or use a smaller model"
                )
            self._accumulator.checkpoint()
            say("train: out of GPU memory, going on with gradient checkpointing")
