"""The passes of a batch on a GPU: CUDA graphs by bucket, as large as memory allows.

    passes = GpuPasses(accumulator, options)
    passes.plan(batches)                 tries the largest pass and captures a graph per bucket
    passes.run(batch, labels=548, examples=16)        replays them
    passes.pack_ahead(next_batch)        while the GPU works

When memory runs out, a binary search finds smaller passes, then gradient checkpointing is switched
on; a message says so, and the batch is computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch

from fmtharness.harness import processes
from fmtharness.harness.engine.cuda_graphs import let_go
from fmtharness.harness.engine.encoding import Encoded
from fmtharness.harness.errors import UserError
from fmtharness.harness.progress import say
from fmtharness.harness.text import first_line
from fmtharness.trainers.batch.order import micro_batches
from fmtharness.trainers.batch.packed import Packed, Shape, buckets, pack, shape_of
from fmtharness.trainers.options import LowRankOptions
from fmtharness.trainers.step.accumulator import Accumulator
from fmtharness.trainers.step.graphs import Captured
from fmtharness.trainers.step.sharding import even_passes

SMALL = 1024
"""Tokens that keep a GPU busy: below this, checkpointing costs less than even smaller passes."""
FINE = 32
"""Stop the size search within 1/32 of the smallest size known to be too large."""
ROOM = 2**26
"""Bytes of GPU memory that trial passes leave free for what runs between passes."""


class GpuPasses:
    """Runs batches in passes of at most `max_tokens` tokens, which shrinks as memory requires.

    Other accelerators than CUDA devices run eagerly and without a size search.
    """

    def __init__(self, accumulator: Accumulator, options: LowRankOptions) -> None:
        self._accumulator, self._device = accumulator, accumulator.device
        self._on_cuda = self._device.type == "cuda"
        default = 8192 if self._on_cuda else max(4096, options.max_seq_length)
        self.max_tokens = self._budget = options.max_micro_batch_tokens or default
        self._may_checkpoint = options.gradient_checkpointing != "never"
        self._sharded = processes.sharded()
        self._graphs = options.cuda_graphs == "auto" and self._on_cuda and not self._sharded
        self._buckets: dict[Shape, Shape] = {}
        self._batches: list[Sequence[Encoded]] = []
        self._longest = 0
        self._ahead: tuple[Sequence[Encoded], list[Packed]] = ([], [])
        self._prepare()

    def plan(self, batches: Iterable[Sequence[Encoded]]) -> None:
        """Read all batches, settle on a pass size that fits in memory, and capture the graphs.

        Raises UserError where memory does not hold the longest row.
        """
        if not self._on_cuda or self._sharded:
            return
        self._batches = [batch for batch in batches if batch]
        if not self._batches:
            return
        self._longest = max(row.tokens for batch in self._batches for row in batch)
        while True:
            self._bucket()
            if self._fits(self._try_all):
                return
            self._shrink()

    def run(self, batch: Sequence[Encoded], labels: int, examples: int) -> None:
        """Leave the loss and the gradient of the batch in the accumulator."""
        while True:
            self._accumulator.start(labels, examples)
            if self._fits(lambda: self._run_all(batch)):
                return
            self._shrink()
            self._bucket()

    def pack_ahead(self, batch: Sequence[Encoded]) -> None:
        """Pack the next batch on the host while the GPU works on this one."""
        if self._on_cuda and not self._sharded:
            self._ahead = batch, self._packed(batch)

    def idle(self) -> AbstractContextManager[None]:
        """Inside, while no pass runs, others may use the memory of the graphs."""
        return self._go.lent() if isinstance(self._go, Captured) else nullcontext()

    def _run_all(self, batch: Sequence[Encoded]) -> None:
        known, passes = self._ahead
        for packed in passes if known == batch else self._packed(batch):
            self._go(packed)

    def _packed(self, batch: Sequence[Encoded]) -> list[Packed]:
        """The passes of a batch; in pinned memory for a CUDA device, so that copies overlap."""
        passes = micro_batches(batch, self.max_tokens)
        if self._sharded:
            passes = even_passes(passes)
        made = []
        for rows in passes:
            exact = shape_of(rows)
            made.append(pack(rows, self._buckets.get(exact, exact), pin=self._on_cuda))
        return made

    def _run(self, packed: Packed) -> None:
        self._accumulator.add(packed)

    def _run_eagerly(self, packed: Packed) -> None:
        self._run(packed.to(self._device))

    def _prepare(self) -> None:
        """Choose between graphs and eager passes."""
        # A capture cannot save the state of the random numbers that checkpointing replays.
        replays_dropout = self._accumulator.checkpointing and self._accumulator.has_dropout
        graphs = self._graphs and not replays_dropout
        self._go = Captured(self._run, self._device) if graphs else self._run_eagerly

    def _bucket(self) -> None:
        """Compute the bucket of every coming pass at the present `max_tokens`."""
        parts = (micro_batches(batch, self.max_tokens) for batch in self._batches)
        self._buckets = buckets(shape_of(rows) for cut in parts for rows in cut)

    def _fits(self, work: Callable[[], None]) -> bool:
        try:
            work()
        except torch.OutOfMemoryError as error:
            if self._sharded:  # the other processes are inside a pass and cannot start again
                raise UserError(
                    f"train: passes of {self.max_tokens} tokens do not fit in GPU memory; "
                    f"lower train.max_micro_batch_tokens"
                ) from error
            return False  # this frees the traceback and the tensors it holds
        return True

    def _try_all(self) -> None:
        """Run the largest pass as a trial, then capture a graph for every bucket."""
        largest, *others = sorted(set(self._buckets.values()), reverse=True)
        with self._trial():
            self._run(_full(largest).to(self._device))
            if isinstance(self._go, Captured):
                self._capture(self._go, (largest, *others))

    def _capture(self, go: Captured, shapes: Iterable[Shape]) -> None:
        try:
            for shape in shapes:
                go.prepare(_full(shape))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # what cannot be captured fails here
            say(f"train: this model trains without CUDA graphs ({first_line(error)})")
            self._graphs, self._go = False, self._run_eagerly

    def _shrink(self) -> None:
        """Make passes smaller, or switch checkpointing on; UserError where neither is left."""
        self._accumulator.low_memory = True
        self._go = self._run_eagerly  # frees the graphs' memory
        self._ahead = ([], [])
        let_go()
        largest = max(self._buckets.values())
        before = min(self.max_tokens, largest.tokens)
        can_checkpoint = self._may_checkpoint and not self._accumulator.checkpointing
        least = max(SMALL if can_checkpoint else 0, self._longest)
        if before > least:
            self.max_tokens = self._search(least, before, largest)
            how = f"passes of {self.max_tokens} tokens instead of {before}"
        elif can_checkpoint:
            self._accumulator.checkpoint()
            self.max_tokens = self._budget
            how = "gradient checkpointing"
        else:
            raise UserError(
                f"train: one Example of {self._longest} tokens does not fit in GPU memory; "
                f"lower train.max_seq_length, set model.dequantize = 'auto', or use a smaller model"
            )
        say(f"train: out of GPU memory, going on with {how}")
        self._prepare()

    def _search(self, low: int, high: int, largest: Shape) -> int:
        """Binary search for the most tokens that fit in memory, where `high` are too many.

        Returns `low`, without trying it, if nothing larger fits.
        """
        while high - low > high // FINE:
            tokens = (low + high) // 2
            if self._fits(partial(self._try, largest.part(tokens))):
                low = tokens
            else:
                high = tokens
                let_go()
        return low

    def _try(self, shape: Shape) -> None:
        with self._trial():
            self._run(_full(shape).to(self._device))

    @contextmanager
    def _trial(self) -> Iterator[None]:
        """Passes inside leave the sums unchanged and ROOM bytes of memory free."""
        room = torch.empty(ROOM, dtype=torch.uint8, device=self._device)
        with self._accumulator.discarded():
            yield
        del room


def _full(shape: Shape) -> Packed:
    """A pass of token 0 that fills the shape."""
    length = max(2, (shape.tokens - 1) // shape.rows)
    own = min(length - 1, max(1, shape.labels // shape.rows))
    return pack([Encoded([0] * length, length - own)] * shape.rows, shape)
