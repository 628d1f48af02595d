"""The losses of a packed pass: the cross entropy of each label, with the head on labels only.

    label_losses(model, packed)      tensor([2.25, 0.02, ...]), in nats

The head's weights are frozen, so the backward pass needs only the gradient with respect to the
hidden states. It is computed together with the loss, `chunk` labels at a time, so that the logits
of a whole pass never exist at once.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import cross_entropy, linear

from fmtharness.harness.engine.encoding import Encoded
from fmtharness.harness.engine.kernels.choice import training_kernels
from fmtharness.trainers.batch.packed import Packed

CPU_ROWS = 8
"""Rows of logits in one softmax on a CPU: this many fit in its cache in fp32."""


def label_losses(model: Any, packed: Packed, logits_bytes: int = 2**29) -> torch.Tensor:
    """The cross entropy (N,) of the labels, in nats, in fp32; 0 for padding.

    `logits_bytes` limits the memory of fp32 logits at any moment, but for a minimum of 16 labels.
    """
    causal = _causal(model)
    head = causal.get_output_embeddings()
    at_labels = _hidden(causal, packed).index_select(0, packed.before)
    chunk = max(16, logits_bytes // (4 * len(head.weight)))
    losses: torch.Tensor = _HeadLoss.apply(  # type: ignore[no-untyped-call]
        at_labels, head.weight, head.bias, packed.labels, chunk
    )
    return losses


def own_head_losses(model: Any, packed: Packed, logits_bytes: int = 0) -> torch.Tensor:
    """The same losses, for a head that is more than one linear layer: scaled or capped logits.

    All logits exist at once, whatever `logits_bytes` is.
    """
    logits = logits_at_labels(model, packed)
    return cross_entropy(logits.float(), packed.labels, reduction="none")


def row_losses(model: Any, row: Encoded, logits_bytes: int = 0) -> torch.Tensor:
    """The same losses of one row, by the model's own forward pass; all its logits exist at once."""
    losses = []
    for answer in row.answers:
        labels = torch.tensor(answer.labels, device=model.device)
        losses.append(cross_entropy(row_logits(model, answer).float(), labels, reduction="none"))
    return torch.cat(losses)


def logits_at_labels(model: Any, packed: Packed) -> torch.Tensor:
    """The logits (N, V) that predict the labels, by the model's own head."""
    logits: torch.Tensor = _causal(model)(
        input_ids=packed.ids,
        position_ids=packed.positions,
        packed=packed,
        use_cache=False,
        logits_to_keep=packed.before,
    ).logits[0]
    return logits


def linear_logits(model: Any, packed: Packed) -> torch.Tensor:
    """The logits (N, V) that `label_losses` are computed from."""
    causal = _causal(model)
    hidden = _hidden(causal, packed).index_select(0, packed.before)
    logits: torch.Tensor = causal.get_output_embeddings()(hidden)
    return logits


def row_logits(model: Any, row: Encoded) -> torch.Tensor:
    """The logits (labels, V) of one row, by the model's own forward pass."""
    ids = torch.tensor([row.ids], device=model.device)
    logits: torch.Tensor = _causal(model)(input_ids=ids, use_cache=False).logits[0]
    return logits[row.prompt_length - 1 : -1]


def _causal(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _hidden(causal: Any, packed: Packed) -> torch.Tensor:
    """The last hidden states (T, hidden); they are right at tokens that predict labels only."""
    made: torch.Tensor = causal.base_model(
        input_ids=packed.ids, position_ids=packed.positions, packed=packed, use_cache=False
    ).last_hidden_state[0]
    return made


class _HeadLoss(torch.autograd.Function):
    """-log softmax(x W' + b)[label] (N,) of x (N, hidden); 0 for labels of -100."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        labels: torch.Tensor,
        chunk: int,
    ) -> torch.Tensor:
        losses, gradients = [], []
        for x, label in zip(torch.split(hidden, chunk), torch.split(labels, chunk), strict=True):
            logits = linear(x, weight, bias)
            if own := training_kernels(hidden):
                losses.append(own.loss_rows(logits, label))
            else:
                rows = CPU_ROWS if hidden.device.type == "cpu" else chunk
                for some, their_labels in zip(
                    torch.split(logits, rows), torch.split(label, rows), strict=True
                ):
                    losses.append(_loss_rows(some, their_labels))
            if ctx.needs_input_grad[0]:
                gradients.append(logits @ weight)
        if gradients:
            ctx.save_for_backward(torch.cat(gradients))
        return torch.cat(losses)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (by_hidden,) = ctx.saved_tensors
        # in fp32, since the loss scale may overflow fp16
        by_row = gradient.float().unsqueeze(1)
        return (by_hidden.float() * by_row).to(by_hidden.dtype), None, None, None, None


def _loss_rows(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """`fmtharness.harness.engine.kernels.triton.loss_rows` in torch operations.

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
