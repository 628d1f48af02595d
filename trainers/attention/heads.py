"""The layout of a fused query, key and value projection: its heads, in this order, and their size.

Heads(queries=9, keys=3, size=64, scale=0.125)      9 query, 3 key and 3 value heads of 64
"""

from __future__ import annotations

from typing import NamedTuple

import torch


class Heads(NamedTuple):
    """Query heads, key heads (and as many value heads), their size, and the scale of the scores."""

    queries: int
    keys: int
    size: int
    scale: float

    @property
    def turned(self) -> int:
        """The heads that rotary position embeddings rotate: queries and keys, which come first."""
        return self.queries + self.keys

    @property
    def all(self) -> int:
        """The heads of the whole projection."""
        return self.queries + 2 * self.keys

    def split(self, each: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Split (..., all, size) into queries, keys and values."""
        query, key, value = torch.split(each, [self.queries, self.keys, self.keys], -2)
        return query, key, value
