"""The loss of a packed pass: cross entropy summed over its labels, with the head on those only.

    summed_loss(model, packed)      tensor(1233.), for 548 labels of 2.25 nats on average

The head's weights are frozen, so the backward pass needs only the gradient with respect to the
hidden states. It is computed together with the loss, `chunk` labels at a time, so that the logits
of a whole pass never exist at once.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

from harness.engine.encoding import Encoded
from harness.engine.kernels.choice import kernels
from harness.errors import UserError
from trainers.batch.packed import Packed, pack, shape_of
from trainers.batch.tree import pack_tree

CPU_ROWS = 8
"""Rows of logits in one softmax on a CPU: so many fit in its cache in fp32."""
TOLERANCE = 0.05
"""The largest relative error, at the median token, that rounding explains."""


def summed_loss(model: Any, packed: Packed, *, logits_bytes: int = 2**29) -> torch.Tensor:
    """The cross entropy summed over the labels, in nats, as an fp32 scalar.

    `logits_bytes` limits the memory of fp32 logits at any moment, but for a minimum of 16 labels.
    """
    causal = _causal(model)
    head = causal.get_output_embeddings()
    at_labels = _hidden(causal, packed).index_select(0, packed.before)
    chunk = max(16, logits_bytes // (4 * len(head.weight)))
    loss: torch.Tensor = _HeadLoss.apply(  # type: ignore[no-untyped-call]
        at_labels, head.weight, head.bias, packed.labels, chunk
    )
    return loss


def certify(model: Any, device: torch.device) -> None:
    """Raise UserError if packed rows differ from the model's own forward pass on single rows.

    They do for layers that mix tokens otherwise than by attention (convolutions, recurrences), and
    for heads that are not a single linear layer.
    """
    rows = [Encoded(list(range(first, first + 12)), 4) for first in (5, 40, 20)]
    packed = pack_tree(rows) if device.type == "cpu" else pack(rows, shape_of(rows)).to(device)
    causal = _causal(model)
    with torch.no_grad():
        together = _hidden(causal, packed)
        ids = [torch.tensor([row.ids], device=device) for row in rows]
        alone = torch.cat([causal.base_model(input_ids=i).last_hidden_state[0] for i in ids])
        logits = causal(input_ids=ids[0]).logits[0]
        rows_error = _relative_error(together[packed.before], alone[packed.before])
        head_error = _relative_error(causal.get_output_embeddings()(alone[:12]), logits)
    if not (rows_error <= TOLERANCE and head_error <= TOLERANCE):  # also true of NaN
        raise UserError(
            f"model {model.config.model_type!r}: rows in one sequence differ from single rows by "
            f"{rows_error:.0%}, and its head from a linear layer by {head_error:.0%}; this "
            f"architecture is not supported, use another model"
        )


def _causal(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _hidden(causal: Any, packed: Packed) -> torch.Tensor:
    """The last hidden states (T, hidden); they are right at tokens that predict labels only."""
    made: torch.Tensor = causal.base_model(
        input_ids=packed.ids, position_ids=packed.positions, packed=packed, use_cache=False
    ).last_hidden_state[0]
    return made


def _relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """|found - expected| / |expected| at the median token.

    The median, because in bf16 rounding alone can change a few tokens a lot.
    """
    difference = (found.float() - expected.float()).norm(dim=-1) / expected.float().norm(dim=-1)
    return float(difference.median())


class _HeadLoss(torch.autograd.Function):
    """Sum of -log softmax(x W' + b)[label] for x (N, hidden); labels of -100 are ignored."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        labels: torch.Tensor,
        chunk: int,
    ) -> torch.Tensor:
        loss = hidden.new_zeros((), dtype=torch.float32)
        gradients = []
        for x, label in zip(torch.split(hidden, chunk), torch.split(labels, chunk), strict=True):
            logits = linear(x, weight, bias)
            if own := kernels(hidden):
                loss += own.loss_rows(logits, label).sum()
            else:
                rows = CPU_ROWS if hidden.device.type == "cpu" else chunk
                for some, their_labels in zip(
                    torch.split(logits, rows), torch.split(label, rows), strict=True
                ):
                    loss += _loss_rows(some, their_labels).sum()
            gradients.append(logits @ weight)
        ctx.save_for_backward(torch.cat(gradients))
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (by_hidden,) = ctx.saved_tensors
        # in fp32, since the loss scale may overflow fp16
        return (by_hidden.float() * gradient).to(by_hidden.dtype), None, None, None, None


def _loss_rows(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """`harness.engine.kernels.triton.loss_rows` in torch operations.

    -log softmax(logits)[label] of each row (N,), whose logits become its gradient in place.
    """
    counted = labels >= 0
    index = labels.clamp(min=0).unsqueeze(1)
    by_logits = logits.softmax(1, dtype=torch.float32)
    # log p = logit - max logit + log max p, which is exact for the smallest p, too
    margin = logits.gather(1, index).float() - logits.amax(1, keepdim=True)
    losses = -(margin + by_logits.amax(1, keepdim=True).log()).squeeze(1) * counted
    by_logits.scatter_add_(1, index, torch.full_like(index, -1, dtype=torch.float32))
    logits.copy_(by_logits.mul_(counted.unsqueeze(1)))
    return losses
