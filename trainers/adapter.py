"""The adapter in training: put on the model, and its weights as one vector.

    AdapterWeights(adapted(model, options)).vector     every low-rank weight, fp32, in one row

One vector means one kernel to clip, to step and to send to other processes, however many layers
there are. The model computes with a copy in its own type.
"""

from __future__ import annotations

from typing import Any

import torch

from harness.lora_linear import compute_with, factors, fuse
from harness.rms_norm import fuse_norms
from harness.rotary import fuse_rotary
from trainers import row_attention
from trainers.options import LowRankOptions


def adapted(model: Any, options: LowRankOptions) -> Any:
    """The model with a fresh adapter on all linear layers but the head, ready for packed passes."""
    from peft import LoraConfig, get_peft_model

    from harness.models import quiet_transformers

    config = LoraConfig(
        r=options.lora_r,
        lora_alpha=options.lora_alpha,
        lora_dropout=options.lora_dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    with quiet_transformers():
        model = get_peft_model(model, config)
    model.config.use_cache = False
    fuse_norms(model)
    fuse_rotary(model)
    row_attention.use(model.get_base_model())
    return model


class AdapterWeights:
    """The trained weights of a peft model: fp32 `vector` and `gradient`, both (weights,)."""

    def __init__(self, model: Any) -> None:
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        sizes = [weight.numel() for weight in trained]
        self.vector = torch.cat([weight.data.flatten().float() for weight in trained])
        self.gradient = torch.zeros_like(self.vector)
        self.device = self.vector.device
        self._copy = self.vector.to(model.dtype)
        computed: dict[int, torch.Tensor] = {}
        views = (torch.split(whole, sizes) for whole in (self.vector, self._copy))
        for weight, own, copy in zip(trained, *views, strict=True):
            weight.data = own.view(weight.shape)
            computed[id(weight)] = copy.view(weight.shape).requires_grad_()
        fused = set()
        for layer in fuse(model):
            pair = factors(layer)
            compute_with(layer, *(computed[id(weight)] for weight in pair))
            fused |= {id(weight) for weight in pair}
        self.leaves = [computed[id(w)] if id(w) in fused else w for w in trained]
        """What a loss is differentiated by, in the vector's order."""

    def refresh(self) -> None:
        """Let the model compute with the vector as it is now."""
        with torch.no_grad():
            self._copy.copy_(self.vector)

    def add_gradient(self, loss: torch.Tensor) -> None:
        """Add the gradient of a loss to `gradient`."""
        parts = torch.autograd.grad(loss, self.leaves)
        self.gradient += torch.cat([part.flatten() for part in parts])
