"""Forward and backward passes over effective batches, as large as memory allows.

    Passes(model, weights, options, scaler).gradient(batch, labels=548)

leaves the gradient of the batch's loss per label in `weights.gradient` and that loss in `loss`,
however the batch is cut. On a GPU the passes are captured as graphs; where memory ends, passes
become smaller, with a sentence, and the batch is computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch

from harness import processes
from harness.engine import collectives
from harness.engine.cuda_graphs import let_go
from harness.engine.encoding import Encoded
from harness.errors import UserError
from harness.progress import say
from trainers.batch.order import micro_batches
from trainers.batch.packed import Packed, Shape, buckets, pack, shape_of
from trainers.batch.tree import pack_tree
from trainers.options import LowRankOptions
from trainers.step.adapter import AdapterWeights
from trainers.step.graphs import Captured
from trainers.step.lanes import lanes_for, side_by_side
from trainers.step.loss import summed_loss

NOTHING = [Encoded([0, 0], 2)]
"""A pass without labels, for a process that has fewer rows than another."""
SMALL = 1024
"""Tokens from which on a GPU is busy enough: below, recomputing costs less than smaller passes."""
FINE = 32
"""How nearly the largest passes that memory holds are found: to so small a part of them."""
ROOM = 2**26
"""Bytes of a GPU's memory that passes leave to what runs between them."""


class Passes:
    """The passes of one process; `loss` and the gradient are sums over the batch's share."""

    def __init__(
        self, model: Any, weights: AdapterWeights, options: LowRankOptions, scaler: Any
    ) -> None:
        self.model, self.weights, self.device = model, weights, weights.device
        self.loss = torch.zeros((), device=self.device)
        usual = 8192 if self.device.type == "cuda" else max(4096, options.max_seq_length)
        self.max_tokens = self._budget = options.max_micro_batch_tokens or usual
        self._spread = processes.sharded()
        self._may_checkpoint = options.gradient_checkpointing != "never"
        always = options.gradient_checkpointing == "always"
        self.checkpointing = always or (self._spread and self._may_checkpoint)
        drops = any(isinstance(m, torch.nn.Dropout) and m.p > 0 for m in model.modules())
        self._drops = drops or bool(getattr(model.config, "attention_dropout", 0))
        on_gpu = self.device.type == "cuda"
        self._graphs = options.cuda_graphs == "auto" and on_gpu and not self._spread
        self._scaler = scaler
        if scaler is not None:
            scaler.scale(self.loss)  # it makes its state at first use, which may be in two lanes
        self._share = torch.ones((), device=self.device)
        self._buckets: dict[Shape, Shape] = {}
        self._batches: list[Sequence[Encoded]] = []
        self._longest = 0
        self._tight = False  # whether memory has ended once
        self._ahead: tuple[Sequence[Encoded], list[Packed]] = ([], [])
        self._prepare()

    def plan(self, batches: Iterable[Sequence[Encoded]]) -> None:
        """Look ahead over all batches; on a GPU, settle on passes that its memory holds."""
        if self.device.type != "cuda" or self._spread:
            return
        self._batches = [batch for batch in batches if batch]
        if not self._batches:
            return
        self._longest = max(len(row.ids) for batch in self._batches for row in batch)
        while True:
            self._bucket()
            if self._fits(self._try_all):
                return
            self._shrink()

    def gradient(self, batch: Sequence[Encoded], labels: int) -> None:
        """Sum up this share of a batch, divided by the labels of the whole."""
        if not self.model.training:  # telling each of some thousand modules takes milliseconds
            self.model.train()
        while True:
            self.loss.zero_()
            self.weights.gradient.zero_()
            self._share.fill_(1 / labels)
            if self._fits(lambda: self._run_all(batch)):
                return
            self._shrink()
            self._bucket()

    def look_ahead(self, batch: Sequence[Encoded]) -> None:
        """Make the next batch ready, while a GPU is at work on this one."""
        if self.device.type == "cuda" and not self._spread:
            self._ahead = batch, self._packed(batch)

    def idle(self) -> AbstractContextManager[None]:
        """Inside, where no pass runs, others may have the memory that passes need."""
        return self._go.lent() if isinstance(self._go, Captured) else nullcontext()

    def _fits(self, work: Callable[[], None]) -> bool:
        try:
            work()
        except torch.OutOfMemoryError as error:
            if self._spread:  # the other processes are in the middle of a pass of their own
                raise UserError(
                    f"train: a GPU's memory does not hold passes of {self.max_tokens} tokens; "
                    f"lower train.max_micro_batch_tokens"
                ) from error
            return False  # and what the error's frames hold is let go
        return True

    def _run_all(self, batch: Sequence[Encoded]) -> None:
        if self.device.type == "cpu":
            self._run_in_lanes(batch)
            return
        known, passes = self._ahead
        for packed in passes if known == batch else self._packed(batch):
            self._go(packed)

    def _packed(self, batch: Sequence[Encoded]) -> list[Packed]:
        """The passes of a batch, in memory that a GPU reads from beside its work."""
        made = []
        for rows in self._in_step(micro_batches(batch, self.max_tokens)):
            exact = shape_of(rows)
            pin = self.device.type == "cuda"
            made.append(pack(rows, self._buckets.get(exact, exact), pin=pin))
        return made

    def _run_in_lanes(self, batch: Sequence[Encoded]) -> None:
        # What dropout draws, and what processes ask each other, depends on which lane is first.
        alone = self._drops or self._spread
        lanes = 1 if alone else lanes_for([len(row.ids) for row in batch], self.max_tokens)
        parts = micro_batches(batch, self.max_tokens // lanes, by_text=True, multiple_of=lanes)

        def gradient(rows: Sequence[Encoded]) -> tuple[torch.Tensor, torch.Tensor]:
            return self._gradient(pack_tree(rows, share=not self._drops))

        for loss, found in side_by_side(gradient, self._in_step(parts), lanes):
            self.weights.gradient += found
            self.loss += loss

    def _in_step(self, parts: list[list[Encoded]]) -> list[list[Encoded]]:
        """As many passes as any process has, where each pass asks all for their weights."""
        if not self._spread:
            return parts
        return parts + [NOTHING] * (max(collectives.gather_objects([len(parts)])) - len(parts))

    def _run(self, packed: Packed) -> None:
        loss, gradient = self._gradient(packed)
        self.weights.gradient += gradient
        self.loss += loss

    def _gradient(self, packed: Packed) -> tuple[torch.Tensor, torch.Tensor]:
        small = self.checkpointing or self.device.type == "cpu"
        logits_bytes = 2**25 if small else 2**26 if self._tight else 2**29
        loss = summed_loss(self.model, packed, logits_bytes=logits_bytes) * self._share
        scaled = loss if self._scaler is None else self._scaler.scale(loss)
        return loss.detach(), self.weights.gradient_of(scaled)

    def _run_there(self, packed: Packed) -> None:
        self._run(packed.to(self.device))

    def _prepare(self) -> None:
        """Set the model up for passes of the present kind."""
        if self.checkpointing:
            keywords = {"use_reentrant": False, "preserve_rng_state": self._drops}
            enable = getattr(self.model, "activation_checkpointing_enable", None)  # its new name
            (enable or self.model.gradient_checkpointing_enable)(keywords)
        # What dropout draws cannot be saved for a second time within a capture.
        graphs = self._graphs and not (self.checkpointing and self._drops)
        self._go = Captured(self._run, self.device) if graphs else self._run_there

    def _bucket(self) -> None:
        parts = (micro_batches(batch, self.max_tokens) for batch in self._batches)
        self._buckets = buckets(shape_of(rows) for cut in parts for rows in cut)

    def _try_all(self) -> None:
        """Run the largest pass for nothing, so that memory ends now or never, and capture all."""
        largest, *others = sorted(set(self._buckets.values()), reverse=True)
        with self._with_room():
            self._run(_full(largest).to(self.device))
            if isinstance(self._go, Captured):
                self._capture(self._go, (largest, *others))

    @contextmanager
    def _with_room(self) -> Iterator[None]:
        """Inside, passes count for nothing and leave memory for what runs between them."""
        room = torch.empty(ROOM, dtype=torch.uint8, device=self.device)
        self.model.train()
        self.loss.zero_()
        self._share.zero_()
        yield
        self.weights.gradient.zero_()
        del room

    def _most(self, low: int, high: int, largest: Shape) -> int:
        """The tokens of passes that memory holds, where those of `high` are too many.

        Found by passes of other sizes; `low` where none of them fits.
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
        with self._with_room():
            self._run(_full(shape).to(self.device))

    def _capture(self, go: Captured, shapes: Iterable[Shape]) -> None:
        try:
            for shape in shapes:
                go.prepare(_full(shape))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # what a graph cannot hold shows when it is captured
            why = str(error).strip().splitlines()[0]
            say(f"train: this model trains without CUDA graphs ({why})")
            self._graphs, self._go = False, self._run_there

    def _shrink(self) -> None:
        """The next smaller kind of pass; raises UserError where there is none."""
        self._tight = True
        self._go = self._run_there  # lets go of the graphs' memory
        self._ahead = ([], [])
        let_go()
        largest = max(self._buckets.values())
        before = min(self.max_tokens, largest.tokens)
        small = 0 if self.checkpointing or not self._may_checkpoint else SMALL
        least = max(small, self._longest)
        if before > least:
            self.max_tokens = self._most(least, before, largest)
            how = f"{self.max_tokens} tokens instead of {before}"
        elif not self.checkpointing and self._may_checkpoint:
            self.checkpointing, self.max_tokens = True, self._budget
            how = "gradient checkpointing"
        else:
            raise UserError(
                f"train: the GPU's memory does not hold one Example of {self._longest} tokens; "
                f"lower train.max_seq_length, or set model.dequantize = 'auto' and a smaller model"
            )
        say(f"train: out of GPU memory, going on with passes of {how}")
        self._prepare()


def _full(shape: Shape) -> Packed:
    """A pass that leaves next to no room."""
    length = max(2, (shape.tokens - 1) // shape.rows)
    own = min(length - 1, max(1, shape.labels // shape.rows))
    return pack([Encoded([0] * length, length - own)] * shape.rows, shape)
