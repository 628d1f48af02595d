"""What a step minimises, given the losses of its labels: by default their cross entropy.

    loss, measured = CROSS_ENTROPY.loss(losses, pairs, per_label, per_example)

A pass knows only its own rows, so a loss is a sum over labels divided by the labels of the batch,
or one over Examples divided by the Examples of the batch.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch

from fmtharness.harness.engine.encoding import Encoded
from fmtharness.trainers.batch.packed import sides_of


class Pairs(Protocol):
    """Where the answers of a pass's pairs are, as `batch.packed.Packed` holds it."""

    @property
    def sides(self) -> torch.Tensor | None:
        """(N,) the answer of each label, by `batch.packed.sides_of`; empty without pairs."""

    @property
    def references(self) -> torch.Tensor | None:
        """(pairs, 2) log-probabilities by the reference model, in nats."""


class Objective(Protocol):
    """The loss of a pass."""

    @property
    def scalars(self) -> tuple[str, ...]:
        """The names of what it measures besides the loss, as means over pairs."""

    @property
    def pairs(self) -> bool:
        """Whether it compares answers: else rejected ones are not encoded."""

    def loss(
        self,
        losses: torch.Tensor,
        pairs: Pairs,
        per_label: torch.Tensor,
        per_example: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The pass's part of the batch's loss, and its sums of the scalars, then of the pairs.

        `losses` (N,) are the labels' cross entropies in nats; `per_label` and `per_example` are 1
        over the batch's labels and Examples. Without scalars there are no sums.
        """


class CrossEntropy:
    """The mean over the labels."""

    scalars: tuple[str, ...] = ()
    pairs = False

    def loss(
        self,
        losses: torch.Tensor,
        pairs: Pairs,
        per_label: torch.Tensor,
        per_example: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Objective.loss`."""
        return losses.sum() * per_label, losses.new_empty(0)


CROSS_ENTROPY = CrossEntropy()


class RowPairs(NamedTuple):
    """`Pairs` of a row that is not packed."""

    sides: torch.Tensor | None
    references: torch.Tensor | None


def pairs_of_row(row: Encoded, device: torch.device) -> RowPairs:
    """The row as a pair, if it is one."""
    if row.rejected is None:
        return RowPairs(None, None)
    return RowPairs(
        torch.tensor(sides_of([row]), device=device), torch.tensor([row.reference], device=device)
    )


def answers_of(losses: torch.Tensor, pairs: Pairs) -> tuple[torch.Tensor, torch.Tensor]:
    """The log-probability of each answer, in nats, and its labels: (pairs, 2) both, chosen first.

    A pair that only pads the pass has no labels.
    """
    assert pairs.sides is not None and pairs.references is not None
    count = len(pairs.references)
    # A masked sum is the same in every run, which index_add is not on a GPU.
    held = pairs.sides == torch.arange(2 * count, device=losses.device).unsqueeze(1)
    log_p = -torch.where(held, losses, 0.0).sum(1)
    return log_p.view(count, 2), held.sum(1).view(count, 2)
