"""The adapter in training: put on the model, and its weights as one vector.

    model = adapted(model, options, patches)
    AdapterWeights(model).vector     every low-rank weight, fp32, in one row

One vector means one kernel to clip, to step and to send to other processes, however many layers
there are. The model computes with a copy in its own type.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from fmtharness.harness.engine.lora_linear import groups
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.errors import UserError
from fmtharness.harness.text import first_line
from fmtharness.trainers.options import LowRankOptions
from fmtharness.trainers.step.targets import check_targets, excluded


def adapted(model: Any, options: LowRankOptions, patches: Patches) -> Any:
    """The model with a fresh adapter on all linear layers but the head."""
    from peft import LoraConfig, get_peft_model

    from fmtharness.harness.engine.quiet import quiet_transformers

    check_targets(model, options)
    config = LoraConfig(
        r=options.lora_r,
        lora_alpha=options.lora_alpha,
        lora_dropout=options.lora_dropout,
        target_modules=options.target_modules,
        exclude_modules=excluded(model, options),
        task_type="CAUSAL_LM",
    )
    try:
        with quiet_transformers():
            model = get_peft_model(model, config)
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(
            f"train: peft puts no adapter on this model ({first_line(error)}); name other layers "
            f"in train.target_modules or train.exclude_modules"
        ) from error
    patches.replace(model, "config.use_cache", False, "training reads no cache")
    return model


class AdapterWeights:
    """The trained weights of a peft model: fp32 `vector` and `gradient`, both (weights,)."""

    def __init__(self, model: Any) -> None:
        fused_groups = groups(model)
        factors = [group.factors() for group in fused_groups]
        fused = [weight for downs, ups in factors for weight in (*downs, *ups)]
        known = {id(weight) for weight in fused}
        others = [w for w in model.parameters() if w.requires_grad and id(w) not in known]
        self.parameters = [*fused, *others]
        """The model's own weights, in the vector's order."""
        sizes = [weight.numel() for weight in self.parameters]
        self.vector = torch.cat([weight.data.flatten().float() for weight in self.parameters])
        self.gradient = torch.zeros_like(self.vector)
        self.device = self.vector.device
        for weight, own in zip(self.parameters, torch.split(self.vector, sizes), strict=True):
            weight.data = own.view(weight.shape)
        self._copy = self.vector[: sum(sizes[: len(fused)])].to(model.dtype)
        self.leaves: list[torch.Tensor] = []
        """What a loss is differentiated by, in the vector's order."""
        start = 0
        for group, (downs, ups) in zip(fused_groups, factors, strict=True):
            copies = []
            for shape in ((sum(len(d) for d in downs), downs[0].shape[1]), *(u.shape for u in ups)):
                end = start + math.prod(shape)
                copies.append(self._copy[start:end].view(shape).requires_grad_())
                start = end
            group.compute_with(copies[0], copies[1:])
            self.leaves += copies
        self.leaves += others
        self.all_fused = not others
        """Whether no layer computes by peft's own forward."""

    def refresh(self) -> None:
        """Let the model compute with the vector as it is now."""
        with torch.no_grad():
            self._copy.copy_(self.vector[: len(self._copy)])

    @contextmanager
    def absent(self) -> Iterator[None]:
        """Inside, the model computes as without the adapter."""
        kept = self.vector.clone()
        self.vector.zero_()
        self.refresh()
        try:
            yield
        finally:
            self.vector.copy_(kept)
            self.refresh()

    def gradient_of(self, loss: torch.Tensor) -> torch.Tensor:
        """The gradient of a loss, (weights,) in the model's type."""
        # An expert that no token was routed to has no part in the loss.
        parts = torch.autograd.grad(loss, self.leaves, allow_unused=True, materialize_grads=True)
        return torch.cat([part.flatten() for part in parts])
