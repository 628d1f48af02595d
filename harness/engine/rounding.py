"""Whether two ways to compute one thing agree."""

from __future__ import annotations

import torch

ROUNDING = {torch.bfloat16: 0.03, torch.float16: 0.004, torch.float32: 1e-5}
"""How far two ways to compute one thing may come apart, as a share of its length."""


def agree(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether two results are the same but for the rounding of their type."""
    if found.dtype != expected.dtype or found.shape != expected.shape:
        return False
    apart = (found.float() - expected.float()).norm()
    return bool(apart <= ROUNDING[found.dtype] * expected.float().norm())
