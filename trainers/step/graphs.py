"""Work captured as CUDA graphs, so that no time goes into launching kernels.

    Captured(run, device)(packed)     replays the pass of these sizes, captured at its first use

All graphs share one pool of memory, since only one runs at a time. The kernels and their order are
those of the eager pass, and so are the numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch

from harness.engine.cuda_graphs import captured, lend, let_go
from trainers.batch.packed import Packed


class Captured:
    """A pass that leaves its results in tensors of its own, replayed for inputs of known sizes."""

    def __init__(self, run: Callable[[Packed], None], device: torch.device) -> None:
        self._run, self._device = run, device
        # In this order: they go in it too, and a pool must not go before its graphs.
        self._graphs: dict[tuple[int, ...], tuple[torch.cuda.CUDAGraph, Any]] = {}
        self._pool = torch.cuda.MemPool()

    def __call__(self, packed: Packed) -> None:
        graph, inputs = self.prepare(packed)
        inputs.copy_(packed.flat, non_blocking=True)
        graph.replay()

    def prepare(self, packed: Packed) -> tuple[torch.cuda.CUDAGraph, Any]:
        """The graph for passes of these sizes, captured where it is new, and what it reads."""
        if packed.sizes not in self._graphs:
            inputs = packed.to(self._device)
            let_go()  # what eager passes left behind is of use to the graph's pool
            graph = captured(lambda: self._run(inputs), self._pool.id)
            self._graphs[packed.sizes] = graph, inputs.flat
        return self._graphs[packed.sizes]

    def lent(self) -> AbstractContextManager[None]:
        """The memory of the graphs is free for others inside, where none is replayed."""
        torch.cuda.empty_cache()  # who borrows could not ask for it
        return lend(self._pool)
