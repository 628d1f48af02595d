"""The passes of a batch on a CPU: prefix trees, several at a time in lanes.

    CpuPasses(accumulator, options).run(batch, labels=548, examples=16)
        two passes, one on each of 2 threads

Gradients are added in the order of the passes, so the same command gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fmtharness.harness import processes
from fmtharness.harness.engine.encoding import Encoded
from fmtharness.trainers.batch.order import micro_batches
from fmtharness.trainers.batch.tree import pack_tree
from fmtharness.trainers.options import LowRankOptions
from fmtharness.trainers.step.accumulator import Accumulator
from fmtharness.trainers.step.lanes import lanes_for, run_in_lanes
from fmtharness.trainers.step.sharding import even_passes


class CpuPasses:
    """Runs batches; all lanes together hold at most max_micro_batch_tokens."""

    def __init__(self, accumulator: Accumulator, options: LowRankOptions) -> None:
        self._accumulator = accumulator
        default = max(4096, options.max_seq_length)
        self._max_tokens = options.max_micro_batch_tokens or default
        self._sharded = processes.sharded()

    def run(self, batch: Sequence[Encoded], labels: int, examples: int) -> None:
        """Leave the loss and the gradient of the batch in the accumulator."""
        has_dropout = self._accumulator.has_dropout
        # With several lanes the order of dropout's draws, and of collectives, would be random; and
        # where peft puts a sum in a parameter's place, two passes would share its graph.
        one_lane = has_dropout or self._sharded or not self._accumulator.weights.all_fused
        lanes = 1 if one_lane else lanes_for([row.tokens for row in batch], self._max_tokens)
        passes = micro_batches(batch, self._max_tokens // lanes, by_text=True, multiple_of=lanes)
        if self._sharded:
            passes = even_passes(passes)

        def run(rows: Sequence[Encoded]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            return self._accumulator.run(pack_tree(rows, share=not has_dropout))

        self._accumulator.start(labels, examples)
        for parts in run_in_lanes(run, passes, lanes):
            self._accumulator.add_up(*parts)
