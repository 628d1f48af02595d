"""Gradient accumulation: the forward and backward pass of packed or single rows, summed.

    accumulator = Accumulator(model, weights, options, scaler)
    accumulator.start(labels=548, examples=16)
    accumulator.add(packed)         adds to accumulator.loss and to weights.gradient

Each pass's loss is divided by the labels of the whole batch, so the sums are the batch's mean loss
per label and its gradient, however the batch was cut into passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from fmtharness.harness import processes
from fmtharness.harness.engine.encoding import Encoded
from fmtharness.trainers.batch.packed import Packed
from fmtharness.trainers.options import LowRankOptions
from fmtharness.trainers.step.adapter import AdapterWeights
from fmtharness.trainers.step.forward import FUSED, Forward
from fmtharness.trainers.step.objective import CROSS_ENTROPY, Objective, answers_of, pairs_of_row


class Accumulator:
    """The sums of one process; `loss` is an fp32 scalar on the device, in nats per label."""

    def __init__(
        self,
        model: Any,
        weights: AdapterWeights,
        options: LowRankOptions,
        scaler: Any,
        forward: Forward = FUSED,
        objective: Objective = CROSS_ENTROPY,
    ) -> None:
        self._losses_of, self._logits_of = forward.losses, forward.logits
        self._objective = objective
        self.model, self.weights, self.device = model, weights, weights.device
        self.loss = torch.zeros((), device=self.device)
        self.measured = torch.zeros(len(objective.scalars) + 1, device=self.device)
        """The sums of the objective's scalars over the batch, and the number of pairs."""
        dropout = any(isinstance(m, torch.nn.Dropout) and m.p > 0 for m in model.modules())
        self.has_dropout = dropout or bool(getattr(model.config, "attention_dropout", 0))
        self.low_memory = False
        """Set once a GPU ran out of memory: fewer logits exist at once from then on."""
        self._scaler = scaler
        if scaler is not None:
            scaler.scale(self.loss)  # allocates the scaler's state before two lanes could race
        self._per_label = torch.ones((), device=self.device)
        self._per_example = torch.ones((), device=self.device)
        self.checkpointing = False
        always = options.gradient_checkpointing == "always"
        if always or (processes.sharded() and options.gradient_checkpointing == "auto"):
            self.checkpoint()

    def checkpoint(self) -> None:
        """Switch gradient checkpointing on."""
        self.checkpointing = True
        keywords = {"use_reentrant": False, "preserve_rng_state": self.has_dropout}
        enable = getattr(self.model, "activation_checkpointing_enable", None)  # its new name
        (enable or self.model.gradient_checkpointing_enable)(keywords)

    def start(self, labels: int, examples: int) -> None:
        """Reset the sums for a batch with this many labels and Examples over all processes."""
        self.loss.zero_()
        self.measured.zero_()
        self.weights.gradient.zero_()
        self._per_label.fill_(1 / labels)
        self._per_example.fill_(1 / examples)

    @contextmanager
    def discarded(self) -> Iterator[None]:
        """Passes inside run in training mode and contribute nothing to the sums."""
        self.model.train()
        self.loss.zero_()
        self.measured.zero_()
        self._per_label.zero_()
        self._per_example.zero_()
        yield
        self.weights.gradient.zero_()

    def add(self, part: Packed | Encoded) -> None:
        """Run one pass, whose tensors are on the device, and add its loss and gradient."""
        self.add_up(*self.run(part))

    def add_up(self, loss: torch.Tensor, measured: torch.Tensor, gradient: torch.Tensor) -> None:
        """Add what `run` returned."""
        self.weights.gradient += gradient
        self.loss += loss
        if len(measured):
            self.measured += measured

    def run(self, part: Packed | Encoded) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The pass's part of the batch's loss, of the objective's scalars and of the gradient.

        For an fp16 model, the gradient (weights,) is multiplied by the scaler's loss scale.
        """
        losses = self._losses_of(self.model, part, self._logits_bytes)
        pairs = pairs_of_row(part, self.device) if isinstance(part, Encoded) else part
        loss, measured = self._objective.loss(losses, pairs, self._per_label, self._per_example)
        scaled = loss if self._scaler is None else self._scaler.scale(loss)
        return loss.detach(), measured, self.weights.gradient_of(scaled)

    def log_probabilities(self, part: Packed | Encoded) -> torch.Tensor:
        """The log-probabilities (pairs, 2) of the chosen and the rejected answers, in nats."""
        with torch.no_grad():
            losses = self._losses_of(self.model, part, self._logits_bytes)
        pairs = pairs_of_row(part, self.device) if isinstance(part, Encoded) else part
        return answers_of(losses, pairs)[0]

    def drawn_labels(self, part: Packed | Encoded, generator: torch.Generator) -> torch.Tensor:
        """One token (N,) for each label, drawn from what the model predicts there."""
        with torch.no_grad():
            logits = self._logits_of(self.model, part)
            return torch.multinomial(logits.float().softmax(1), 1, generator=generator)[:, 0]

    @property
    def labels_at_once(self) -> int:
        """How many labels may have logits in fp32 at once."""
        return self._logits_bytes // (4 * len(self.model.get_output_embeddings().weight))

    @property
    def _logits_bytes(self) -> int:
        """How much memory fp32 logits may take at once."""
        if self.checkpointing or self.device.type == "cpu":
            return 2**25
        return 2**26 if self.low_memory else 2**29
