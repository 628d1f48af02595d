"""A pass captured as CUDA graphs, one for each size, which saves launching kernel by kernel.

    Captured(run, device)(packed)     replays the graph for packed.sizes, captured at its first use

All graphs share one memory pool, since only one runs at a time. They run the kernels of the eager
pass in the same order, so the numbers are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch

from fmtharness.harness.engine.cuda_graphs import captured, lend, let_go
from fmtharness.trainers.batch.packed import Packed


class Captured:
    """A pass that accumulates into tensors of its own, replayed for inputs of known sizes."""

    def __init__(self, run: Callable[[Packed], None], device: torch.device) -> None:
        self._run, self._device = run, device
        # Keep this order: attributes are freed in it, and graphs must be freed before their pool.
        self._graphs: dict[tuple[int, ...], tuple[torch.cuda.CUDAGraph, Any]] = {}
        self._pool = torch.cuda.MemPool()

    def __call__(self, packed: Packed) -> None:
        """Replay the graph for this pass, which must be in (pinned) host memory."""
        graph, inputs = self.prepare(packed)
        inputs.copy_(packed.flat, non_blocking=True)
        graph.replay()

    def prepare(self, packed: Packed) -> tuple[torch.cuda.CUDAGraph, Any]:
        """The graph for passes of these sizes, captured if new, and its flat input tensor."""
        if packed.sizes not in self._graphs:
            inputs = packed.to(self._device)
            let_go()  # memory cached by eager passes is of use to the graphs' pool
            graph = captured(lambda: self._run(inputs), self._pool.id)
            self._graphs[packed.sizes] = graph, inputs.flat
        return self._graphs[packed.sizes]

    def lent(self) -> AbstractContextManager[None]:
        """Inside, others may use the memory of the graphs, none of which may be replayed."""
        torch.cuda.empty_cache()  # a borrower could not free the cached blocks
        return lend(self._pool)
