"""How the model is run in training: the fastest way that gives the model's own numbers.

    fast_forward(model, rows, patches)      packed rows in fused layers, checked beside the model
    replace_layers(model, patches)          the same replacements without the check

Logits and gradients of a few rows are computed by the model as loaded, before anything is replaced,
and compared element by element with those of each faster way, in the type that is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch.nn.functional import cross_entropy

from fmtharness.harness.engine.decode_check import not_finite
from fmtharness.harness.engine.encoding import Encoded
from fmtharness.harness.engine.fused_layers import fuse
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.engine.rounding import apart, measured
from fmtharness.harness.progress import say
from fmtharness.harness.text import first_line
from fmtharness.trainers.attention import dispatch
from fmtharness.trainers.batch.packed import Packed, pack, shape_of
from fmtharness.trainers.batch.tree import pack_tree
from fmtharness.trainers.step.loss import (
    label_losses,
    linear_logits,
    logits_at_labels,
    own_head_losses,
    row_logits,
    row_losses,
)

ROWS = 2
"""Rows that the ways are compared on."""
TOKENS = 32
"""Most tokens of each."""
DRAWN = 0.02
"""The standard deviation of the adapter's B while it is compared: 0, as it begins, hides A."""


class Forward(NamedTuple):
    """A way to run the model: `losses(model, part)` are those of the labels of a part, in nats."""

    packs: bool
    """Whether parts are packed rows; else they are single rows."""
    losses: Callable[..., torch.Tensor]
    """(N,)."""
    logits: Callable[..., torch.Tensor]
    """At the labels, (N, V)."""


FUSED = Forward(True, label_losses, linear_logits)
OWN_HEAD = Forward(True, own_head_losses, logits_at_labels)
SINGLE_ROWS = Forward(False, row_losses, row_logits)


def replace_layers(model: Any, patches: Patches) -> Any:
    """Fuse the layers of a peft model and let it attend row by row; returns the model."""
    fuse(model, patches)
    dispatch.use(model.get_base_model(), patches)
    return model


def fast_forward(model: Any, rows: Sequence[Encoded], patches: Patches) -> Forward:
    """The fastest Forward that agrees with the model as it is; what it needs is replaced.

    Raises ModelError if the model's own logits or gradients are not finite.
    """
    trial = _trial(rows)
    before, reason = len(patches), ""
    window = dispatch.window(model.config)
    longest = max(len(answer.ids) for row in rows for answer in row.answers)
    with _drawn(model):
        if window and longest > window:
            _check_finite(model, _own(model, trial))
            reason = f"rows have up to {longest} tokens, and its attention a window of {window}"
        else:
            own = measured(model, lambda: _own(model, trial))
            _check_finite(model, own.values)
            try:
                replace_layers(model, patches)
                packed = _packed(trial, model.device)
                for way in (FUSED, OWN_HEAD):
                    difference = apart(own, _computed(model, way, packed))
                    if difference <= 1:
                        return way
                reason = f"packed rows give other numbers ({difference:.0f} times its rounding)"
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # a third-party model's code may raise anything
                reason = f"packed rows fail in it: {first_line(error)}"
            patches.undo(keep=before)
    say(f"train: more slowly, row by row in the model's own forward pass, since {reason}")
    return SINGLE_ROWS


def _trial(rows: Sequence[Encoded]) -> list[Encoded]:
    """The ends of the shortest rows, of different lengths."""
    chosen = sorted(rows, key=lambda row: len(row.ids))[:ROWS]
    cut = []
    for index, row in enumerate(chosen):
        left = max(0, len(row.ids) - TOKENS + 5 * index)
        cut.append(Encoded(row.ids[left:], max(1, row.prompt_length - left)))
    return cut


def _packed(rows: Sequence[Encoded], device: torch.device) -> Packed:
    return pack_tree(rows) if device.type == "cpu" else pack(rows, shape_of(rows)).to(device)


def _own(model: Any, rows: Sequence[Encoded]) -> list[torch.Tensor]:
    """The logits of all labels (N, V) and the gradient of each weight, by the model itself."""
    logits = torch.cat([row_logits(model, row) for row in rows])
    labels = [token for row in rows for token in row.labels]
    targets = torch.tensor(labels, device=logits.device)
    loss = cross_entropy(logits.float(), targets, reduction="sum")
    return [logits.detach(), *_gradients(model, loss)]


def _computed(model: Any, way: Forward, packed: Packed) -> list[torch.Tensor]:
    """The same, by a way that takes packed rows."""
    with torch.no_grad():
        logits = way.logits(model, packed)
    return [logits, *_gradients(model, way.losses(model, packed).sum())]


def _gradients(model: Any, loss: torch.Tensor) -> Sequence[torch.Tensor]:
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    return torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)


@contextmanager
def _drawn(model: Any) -> Iterator[None]:
    """Inside, the adapter's B is random, without dropout."""
    generator = torch.Generator().manual_seed(0)
    ups = [w for name, w in model.named_parameters() if w.requires_grad and "lora_B" in name]
    trained = model.training
    model.eval()
    kept = [up.data.clone() for up in ups]
    try:
        for up in ups:
            up.data.copy_(torch.randn(up.shape, generator=generator) * DRAWN)
        yield
    finally:
        for up, before in zip(ups, kept, strict=True):
            up.data.copy_(before)
        model.train(trained)


def _check_finite(model: Any, values: Sequence[torch.Tensor]) -> None:
    if not all(bool(value.isfinite().all()) for value in values):
        raise not_finite(model, "logits or gradients")
