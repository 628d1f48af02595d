"""The loss of a packed pass: cross entropy summed over its labels, with the head on those only.

The head's weights are frozen, so the gradient of the loss by the hidden states is all that a
backward pass needs. It is made beside the loss, in parts of `chunk` label positions, and the logits
of a whole pass need not exist at once.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from harness.engine.base_products import Floats, multiply, multiply_back
from harness.engine.encoding import Encoded
from harness.engine.kernels.choice import kernels
from harness.errors import UserError
from trainers.batch.packed import Packed, pack, shape_of
from trainers.batch.tree import pack_tree

AT_ONCE = 8
"""Rows of logits whose softmax a CPU takes at once: in fp32 they stay in its nearest memory."""
MOST_APART = 0.05
"""How far rounding may take most tokens of packed rows from single ones, as a share of length."""


def summed_loss(model: Any, packed: Packed, *, logits_bytes: int = 2**29) -> torch.Tensor:
    """The cross entropy summed over the labels, in nats, as an fp32 scalar.

    `logits_bytes` bounds what fp32 logits take at any moment.
    """
    causal = _causal(model)
    head = causal.get_output_embeddings()
    at_labels = _hidden(causal, packed).index_select(0, packed.before)
    chunk = max(16, logits_bytes // (4 * len(head.weight)))
    loss: torch.Tensor = _HeadLoss.apply(  # type: ignore[no-untyped-call]
        at_labels, _weight_of(head), head.bias, packed.labels, chunk
    )
    return loss


def certify(model: Any, device: torch.device) -> None:
    """Raise UserError where packed passes are not what the model itself computes row by row.

    So it is for layers that mix tokens by other means than attention, and for heads that do more
    than multiply.
    """
    rows = [Encoded(list(range(first, first + 12)), 4) for first in (5, 40, 20)]
    packed = pack_tree(rows) if device.type == "cpu" else pack(rows, shape_of(rows)).to(device)
    causal = _causal(model)
    with torch.no_grad():
        together = _hidden(causal, packed)
        ids = [torch.tensor([row.ids], device=device) for row in rows]
        alone = torch.cat([causal.base_model(input_ids=i).last_hidden_state[0] for i in ids])
        logits = causal(input_ids=ids[0]).logits[0]
        at_labels = _apart(together[packed.before], alone[packed.before])
        apart = at_labels, _apart(causal.get_output_embeddings()(alone[:12]), logits)
    if not all(each <= MOST_APART for each in apart):  # what is no number is not near
        raise UserError(
            f"model {model.config.model_type!r}: rows in one sequence come out {apart[0]:.0%} and "
            f"its head {apart[1]:.0%} apart from the model itself, which does more than these "
            f"trainers know; take another model"
        )


def _weight_of(head: Any) -> Floats:
    """The same for the same head, which keeps it in the blocks that a CPU's products take."""
    made: Floats | None = getattr(head, "fmtharness_floats", None)
    if made is None:
        made = head.fmtharness_floats = Floats(partial(getattr, head, "weight"))
    return made


def _causal(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _hidden(causal: Any, packed: Packed) -> torch.Tensor:
    """What the last layer makes of each token that predicts a label: (T, hidden)."""
    made: torch.Tensor = causal.base_model(
        input_ids=packed.ids, position_ids=packed.positions, packed=packed, use_cache=False
    ).last_hidden_state[0]
    return made


def _apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The length of the difference as a share of the expected's, for the middle one of the tokens.

    In bf16 a few tokens can come out otherwise by rounding alone.
    """
    difference = (found.float() - expected.float()).norm(dim=-1) / expected.float().norm(dim=-1)
    return float(difference.median())


class _HeadLoss(torch.autograd.Function):
    """Sum of -log softmax(x W' + b)[label] for x (N, hidden); a label of -100 counts nothing."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: Floats,
        bias: torch.Tensor | None,
        labels: torch.Tensor,
        chunk: int,
    ) -> torch.Tensor:
        loss = hidden.new_zeros((), dtype=torch.float32)
        gradients = []
        for x, label in zip(torch.split(hidden, chunk), torch.split(labels, chunk), strict=True):
            logits = multiply(x, weight, bias)
            if own := kernels(hidden):
                loss += own.loss_rows(logits, label).sum()
            else:
                rows = AT_ONCE if hidden.device.type == "cpu" else chunk
                for part, of_part in zip(
                    torch.split(logits, rows), torch.split(label, rows), strict=True
                ):
                    loss += _loss_rows(part, of_part).sum()
            gradients.append(multiply_back(logits, weight))
        ctx.save_for_backward(torch.cat(gradients))
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (by_hidden,) = ctx.saved_tensors
        # fp16 may not hold the scale that the gradient brings
        return (by_hidden.float() * gradient).to(by_hidden.dtype), None, None, None, None


def _loss_rows(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """What `harness.engine.kernels.triton.loss_rows` gives, by torch's operations."""
    counts = labels >= 0
    place = labels.clamp(min=0).unsqueeze(1)
    by_logits = logits.softmax(1, dtype=torch.float32)
    # log p = logit - highest + log p(highest), which is exact for the smallest p, too
    behind = logits.gather(1, place).float() - logits.amax(1, keepdim=True)
    losses = -(behind + by_logits.amax(1, keepdim=True).log()).squeeze(1) * counts
    by_logits.scatter_add_(1, place, torch.full_like(place, -1, dtype=torch.float32))
    logits.copy_(by_logits.mul_(counts.unsqueeze(1)))
    return losses
