"""How the projection that attention starts from is made up."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Heads(NamedTuple):
    """How a projection is made up: query heads, as many of keys and of values, and their size."""

    queries: int
    keys: int
    size: int
    scale: float

    @property
    def turned(self) -> int:
        """The heads that rotary positions turn."""
        return self.queries + self.keys

    @property
    def all(self) -> int:
        return self.queries + 2 * self.keys

    def split(self, each: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(..., all, size) as queries, keys and values."""
        return torch.split(each, [self.queries, self.keys, self.keys], -2)
