"""The preference objective: of two answers to a prompt, the chosen one should be the likelier.

    loss of a batch =   mean over Examples of  -log sigmoid(margin)       for pairs
                      + mean over labels of    cross entropy              for rows without a pair
                                               sft_weight * cross entropy for chosen answers

    margin = beta (log p(chosen) / q(chosen) - log p(rejected) / q(rejected))    q: the reference
    margin = beta (log p(chosen) / n - log p(rejected) / m) - target_margin      reference "none";
                                                                 n, m: the labels of each answer

Labels before the two answers differ are in no margin: against a reference they cancel, and a mean
over them would make the shared beginning of a longer chosen answer unlikely.

Sources: Rafailov et al. 2023, "Direct Preference Optimization"; Meng et al. 2024, "SimPO: Simple
Preference Optimization with a Reference-Free Reward"; Pang et al. 2024, "Iterative Reasoning
Preference Optimization" (the cross entropy of chosen answers, without which the likelihood of both
falls and outputs degenerate).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch.nn.functional import logsigmoid

from fmtharness.harness.engine.encoding import Encoded
from fmtharness.trainers.batch.packed import UNPAIRED
from fmtharness.trainers.step.objective import Pairs, answers_of
from fmtharness.trainers.step.passes import Passes


class Preference(NamedTuple):
    """The loss of rows with and without a rejected answer; scalars have TRL's names."""

    beta: float
    sft_weight: float
    target_margin: float
    """Subtracted from reference-free margins; 0 where there is a reference."""
    reference_free: bool
    pairs: bool = True
    scalars: tuple[str, ...] = (
        "rewards/chosen",
        "rewards/rejected",
        "rewards/margins",
        "rewards/accuracies",
    )

    def loss(
        self,
        losses: torch.Tensor,
        pairs: Pairs,
        per_label: torch.Tensor,
        per_example: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `step.objective.Objective.loss`."""
        if pairs.sides is None or pairs.references is None or not len(pairs.sides):
            return losses.sum() * per_label, losses.new_zeros(len(self.scalars) + 1)
        log_p, sizes = answers_of(losses, pairs)
        against = log_p / sizes.clamp(min=1) if self.reference_free else log_p - pairs.references
        rewards = self.beta * against
        margins = rewards[:, 0] - rewards[:, 1]
        real = sizes[:, 0] > 0  # the other pairs only pad the pass
        preferred = torch.where(real, -logsigmoid(margins - self.target_margin), 0.0).sum()

        chosen = pairs.sides % 2 == 0  # ALIKE is even, too
        shares = torch.where(pairs.sides == UNPAIRED, 1.0, self.sft_weight * chosen)
        loss = (losses * shares).sum() * per_label + preferred * per_example
        told = torch.stack([*rewards.unbind(1), margins, margins > 0, torch.ones_like(margins)])
        return loss, torch.where(real, told.detach(), 0.0).sum(1)


def with_references(rows: Sequence[Encoded], passes: Passes, *, base: bool) -> list[Encoded]:
    """The rows, with the log-probabilities of their pairs under the model as it is.

    With `base`, they are computed without the adapter.
    """
    with passes.weights.absent() if base else nullcontext():
        known = passes.log_probabilities([row for row in rows if row.rejected is not None])
    found = iter(known)
    return [row if row.rejected is None else row._replace(reference=next(found)) for row in rows]
