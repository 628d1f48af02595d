"""Rotary positions on queries and keys side by side, in place and in few kernels.

    turn(x, cos, signed)        x cos + rotate(x) sin  for x (T, heads, d), cos and signed (T, d)
    turn_back(g, cos, signed)   the gradient of that

`signed` is (-sin1, sin2) for sin in halves, so that `rotate` is a roll.
"""

from __future__ import annotations

import torch

from harness.engine.kernels.choice import kernels


def signed(sin: torch.Tensor) -> torch.Tensor:
    """sin (..., d) with its first half negated; all layers are given the same sin, and one copy."""
    made: torch.Tensor | None = getattr(sin, "fmtharness_signed", None)
    if made is None:
        first, second = sin.chunk(2, -1)
        made = torch.cat([-first, second], -1)
        sin.fmtharness_signed = made  # type: ignore[attr-defined]
    return made


def turn(x: torch.Tensor, cos: torch.Tensor, signed_sin: torch.Tensor) -> None:
    if own := kernels(x):
        own.turn(x, x, cos, signed_sin)
        return
    rolled = x.roll(x.shape[-1] // 2, -1).mul_(signed_sin.unsqueeze(1))
    x.mul_(cos.unsqueeze(1)).add_(rolled)


def turn_back(gradient: torch.Tensor, cos: torch.Tensor, signed_sin: torch.Tensor) -> None:
    if own := kernels(gradient):
        own.turn(gradient, gradient, cos, signed_sin, back=True)
        return
    rolled = (gradient * signed_sin.unsqueeze(1)).roll(gradient.shape[-1] // 2, -1)
    gradient.mul_(cos.unsqueeze(1)).add_(rolled)
