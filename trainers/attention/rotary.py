"""Rotary position embeddings (Su et al. 2021) on queries and keys together, in place.

turn(x, cos, sin)        x cos + rotate_half(x) sin, for x (T, heads, d), cos and sin (T, d)
turn_back(g, cos, sin)   its gradient with respect to x, from g (T, heads, d)
"""

from __future__ import annotations

import torch

from fmtharness.harness.engine.kernels.choice import kernels, rotate_half, training_kernels


def turn(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> None:
    """Rotate x (T, heads, d) in place."""
    if own := kernels(x):
        own.turn(x, x, cos, sin)
        return
    by_sin = rotate_half(x).mul_(sin.unsqueeze(1))
    x.mul_(cos.unsqueeze(1)).add_(by_sin)


def turn_back(gradient: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> None:
    """Replace the gradient of `turn`'s output by that of its input, in place."""
    if own := training_kernels(gradient):
        own.turn(gradient, gradient, cos, sin, back=True)
        return
    by_sin = rotate_half(gradient * sin.unsqueeze(1))
    gradient.mul_(cos.unsqueeze(1)).sub_(by_sin)
