"""Rotary position embeddings in three kernels each, for models whose own take ten or more.

    fuse_rotary(model)     y = x cos + rotate(x) sin  for queries and keys, with a backward as short

transformers spells `rotate` out with slices, whose gradients are zeros that are filled in. What a
model's module calls `apply_rotary_pos_emb` is replaced there where it gives the same numbers.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch.autograd.function import once_differentiable

NAME = "apply_rotary_pos_emb"


class _Rotate(torch.autograd.Function):
    """x cos + (-x2, x1) sin for x (..., 2 d) in halves x1, x2; `signed` is (-sin1, sin2)."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, cos: torch.Tensor, signed: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(cos, signed)
        return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), signed)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        cos, signed = ctx.saved_tensors
        half = gradient.shape[-1] // 2
        turned = (gradient * signed).roll(half, -1)
        return torch.addcmul(turned, gradient, cos), None, None


def fuse_rotary(model: torch.nn.Module) -> int:
    """Replace the rotary function in the modules of the model's layers; returns in how many."""
    names = {type(module).__module__ for module in model.modules()}
    homes = [home for name in names if hasattr(home := sys.modules.get(name), NAME)]
    replaced = 0
    for home in homes:
        if getattr(home, NAME) is not _apply and _is_plain(getattr(home, NAME)):
            setattr(home, NAME, _apply)
            replaced += 1
    return replaced


def _apply(
    q: torch.Tensor,
    k: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    unsqueeze_dim: int = 1,
) -> tuple[torch.Tensor, torch.Tensor]:
    # All layers are given the same sines.
    signed = getattr(sin, "fmtharness_signed", None)
    if signed is None:
        first, second = sin.chunk(2, -1)
        signed = torch.cat([-first, second], -1)
        sin.fmtharness_signed = signed  # type: ignore[attr-defined]
    cos, signed = cos.unsqueeze(unsqueeze_dim), signed.unsqueeze(unsqueeze_dim)
    rotate: Any = _Rotate.apply
    return rotate(q, cos, signed), rotate(k, cos, signed)


def _is_plain(function: Any) -> bool:
    """Whether it turns all of each head by halves, as the fused one does."""
    q, k = torch.linspace(-2, 3, 48).view(1, 2, 3, 8), torch.linspace(1, -2, 24).view(1, 1, 3, 8)
    angles = torch.linspace(0, 2, 12).view(1, 3, 4)
    cos, sin = (torch.cat([part, part], -1) for part in (angles.cos(), angles.sin()))
    try:
        expected = function(q, k, cos, sin)
    except (TypeError, RuntimeError):
        return False
    return all(map(torch.allclose, _apply(q, k, cos, sin), expected))
