"""Rotary position embeddings (Su et al. 2021) on queries and keys together, in place.

    turn(x, cos, signed)        x cos + rotate_half(x) sin, for x (T, heads, d), cos, signed (T, d)
    turn_back(g, cos, signed)   its gradient with respect to x, from g (T, heads, d)

`signed` is sin with its first half negated, so that rotate_half(x) sin = roll(x, d/2) signed.
"""

from __future__ import annotations

import torch

from harness.engine.kernels.choice import kernels


def signed(sin: torch.Tensor) -> torch.Tensor:
    """sin (..., d) with its first half negated; cached on sin, which all layers are given."""
    made: torch.Tensor | None = getattr(sin, "fmtharness_signed", None)
    if made is None:
        first, second = sin.chunk(2, -1)
        made = torch.cat([-first, second], -1)
        sin.fmtharness_signed = made  # type: ignore[attr-defined]
    return made


def turn(x: torch.Tensor, cos: torch.Tensor, signed_sin: torch.Tensor) -> None:
    """Rotate x (T, heads, d) in place."""
    if own := kernels(x):
        own.turn(x, x, cos, signed_sin)
        return
    rolled = x.roll(x.shape[-1] // 2, -1).mul_(signed_sin.unsqueeze(1))
    x.mul_(cos.unsqueeze(1)).add_(rolled)


def turn_back(gradient: torch.Tensor, cos: torch.Tensor, signed_sin: torch.Tensor) -> None:
    """Replace the gradient of `turn`'s output by that of its input, in place."""
    if own := kernels(gradient):
        own.turn(gradient, gradient, cos, signed_sin, back=True)
        return
    rolled = (gradient * signed_sin.unsqueeze(1)).roll(gradient.shape[-1] // 2, -1)
    gradient.mul_(cos.unsqueeze(1)).add_(rolled)
