"""The gradient of one effective batch, in passes as large as memory allows.

    Passes(model, weights, options, scaler).gradient(batch, labels=548)

leaves the gradient of the batch's loss per label in `weights.gradient` and that loss in `loss`,
however the batch is cut. Another objective has another loss. `cpu_passes` and `gpu_passes` say how
packed rows run on each kind of device, and `row_passes` how single rows do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from fmtharness.harness import processes
from fmtharness.harness.engine import collectives
from fmtharness.harness.engine.encoding import Encoded
from fmtharness.harness.progress import progress
from fmtharness.trainers.batch.order import micro_batches
from fmtharness.trainers.batch.packed import Packed, pack, shape_of
from fmtharness.trainers.batch.tree import pack_tree
from fmtharness.trainers.options import LowRankOptions
from fmtharness.trainers.step.accumulator import Accumulator
from fmtharness.trainers.step.adapter import AdapterWeights
from fmtharness.trainers.step.cpu_passes import CpuPasses
from fmtharness.trainers.step.forward import FUSED, Forward
from fmtharness.trainers.step.gpu_passes import GpuPasses
from fmtharness.trainers.step.objective import CROSS_ENTROPY, Objective
from fmtharness.trainers.step.row_passes import RowPasses

MOST = 4096
"""Tokens in a pass that computes log-probabilities alone."""
FEWEST_LABELS = 256
"""Labels whose logits exist at once while labels are drawn, where memory is short."""
TOGETHER = 128
"""Pairs whose log-probabilities are computed together."""


class Passes:
    """The passes of one process; `loss` and the gradient are sums over this process's rows."""

    def __init__(
        self,
        model: Any,
        weights: AdapterWeights,
        options: LowRankOptions,
        scaler: Any,
        forward: Forward = FUSED,
        objective: Objective = CROSS_ENTROPY,
    ) -> None:
        self.model, self.weights = model, weights
        accumulator = Accumulator(model, weights, options, scaler, forward, objective)
        self._accumulator, self._packs = accumulator, forward.packs
        self._longest = options.max_seq_length
        self.loss, self.measured = accumulator.loss, accumulator.measured
        on_gpu = forward.packs and weights.device.type != "cpu"
        self.gpu = GpuPasses(accumulator, options) if on_gpu else None
        """The passes of packed rows on a GPU or another accelerator; None elsewhere."""
        others = CpuPasses(accumulator, options).run if forward.packs else RowPasses(accumulator)
        self._run = self.gpu.run if self.gpu else others

    def plan(self, batches: Iterable[Sequence[Encoded]]) -> None:
        """Given this process's rows of all coming steps, find passes that fit in a GPU's memory."""
        if self.gpu:
            self.gpu.plan(batches)

    def gradient(self, batch: Sequence[Encoded], labels: int, examples: int = 1) -> None:
        """Compute this process's rows of a batch; `labels` and `examples` count over all processes.

        Only an objective of pairs divides by `examples`; labels of rejected answers do not count.
        """
        if not self.model.training:  # calling train() on some thousand modules takes milliseconds
            self.model.train()
        self._run(batch, labels, examples)

    def log_probabilities(self, rows: Sequence[Encoded]) -> list[tuple[float, float]]:
        """The log-probabilities of the chosen and rejected answers of rows that are pairs, in nats.

        Each process computes a share, or all of them if the model is sharded.
        """
        self.model.eval()
        count = 1 if processes.sharded() else processes.count()
        own = range(processes.rank() % count, len(rows), count)
        found: dict[int, tuple[float, float]] = {}
        with progress(len(own), "reference", unit="pair") as bar:
            for at in range(0, len(own), TOGETHER):
                some = own[at : at + TOGETHER]
                found |= zip(some, self._computed([rows[index] for index in some]), strict=True)
                bar.advance(len(some))
        shared = found.items() if count == 1 else collectives.gather_objects([*found.items()])
        return [pair for _, pair in sorted(shared)]

    def _computed(self, rows: Sequence[Encoded]) -> list[tuple[float, float]]:
        """The log-probabilities, in passes that are halved until they fit in memory."""
        tokens = max(self._longest, MOST)
        while True:
            try:
                return self._in_passes(rows, tokens)
            except torch.OutOfMemoryError:
                if tokens <= max(row.tokens for row in rows):
                    raise
            tokens //= 2

    def _in_passes(self, rows: Sequence[Encoded], tokens: int) -> list[tuple[float, float]]:
        places = {id(row): place for place, row in enumerate(rows)}
        found: dict[int, tuple[float, float]] = {}
        for part in micro_batches(rows, tokens) if self._packs else [[row] for row in rows]:
            for row, pair in zip(part, self._log_probabilities(part).tolist(), strict=True):
                found[places[id(row)]] = (pair[0], pair[1])
        return [pair for _, pair in sorted(found.items())]

    def _log_probabilities(self, part: Sequence[Encoded]) -> torch.Tensor:
        return self._accumulator.log_probabilities(self._part(part))

    def drawn_labels(self, rows: Sequence[Encoded], seed: int) -> list[list[int]]:
        """Labels of each row, drawn from what the model as it is predicts at their positions.

        All processes of a run draw the same ones.
        """
        self.model.eval()
        generator = torch.Generator(self.weights.device).manual_seed(seed)
        found: dict[int, list[int]] = {}
        with progress(len(rows), "base", unit="row") as bar:
            for places in self._by_labels(rows):
                part = [rows[place] for place in places]
                drawn = self._accumulator.drawn_labels(self._part(part), generator).tolist()
                for place, row in zip(places, part, strict=True):
                    found[place], drawn = drawn[: len(row.labels)], drawn[len(row.labels) :]
                bar.advance(len(part))
        return [found[place] for place in range(len(rows))]

    def _by_labels(self, rows: Sequence[Encoded]) -> Iterator[list[int]]:
        """The rows' places, short rows first, in parts whose logits fit in memory at once."""
        most = max(FEWEST_LABELS, self._accumulator.labels_at_once) if self._packs else 0
        part, held = list[int](), 0
        for place in sorted(range(len(rows)), key=lambda index: len(rows[index].ids)):
            labels = len(rows[place].labels)
            if part and held + labels > most:
                yield part
                part, held = [], 0
            part.append(place)
            held += labels
        if part:
            yield part

    def _part(self, rows: Sequence[Encoded]) -> Packed | Encoded:
        """The rows as one pass on the device, or the one row as it is."""
        if not self._packs:
            return rows[0]
        return pack(rows, shape_of(rows)).to(self.weights.device) if self.gpu else pack_tree(rows)

    def look_ahead(self, batch: Sequence[Encoded]) -> None:
        """Prepare the next batch while a GPU works on this one."""
        if self.gpu:
            self.gpu.pack_ahead(batch)

    def idle(self) -> AbstractContextManager[None]:
        """Inside, while no pass runs, others may use the memory that passes need."""
        return self.gpu.idle() if self.gpu else nullcontext()
