"""Compares two results of the same computation up to the rounding of their dtype.

agree(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.000001]))   True
"""

from __future__ import annotations

import torch

ROUNDING = {torch.bfloat16: 0.03, torch.float16: 0.004, torch.float32: 1e-5}
"""Tolerance per dtype: the norm of the difference relative to the norm of the expected tensor."""


def agree(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether dtype and shape are equal and ||found - expected|| <= tolerance * ||expected||.

    Raises KeyError for a dtype without an entry in ROUNDING.
    """
    if found.dtype != expected.dtype or found.shape != expected.shape:
        return False
    difference = (found.float() - expected.float()).norm()
    return bool(difference <= ROUNDING[found.dtype] * expected.float().norm())
