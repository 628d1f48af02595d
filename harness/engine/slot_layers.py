"""One layer's keys and values in slots, as transformers' caches hold them.

SlotLayer(keys, values, (rows, at))             a decode step: one new token a row
TokensLayer(keys, values, (slots, at), copies)  several new tokens of a slot, for fused steps
PromptLayer()                                   prompts padded on the right, for fused prefills
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicLayer


class SlotLayer(DynamicLayer):
    """One layer's keys and values, (rows, KV heads, columns, size), during one step.

    `places` are the rows and their positions: `update` writes one token per row there and returns
    the whole cache.
    """

    def __init__(
        self, keys: torch.Tensor, values: torch.Tensor, places: tuple[torch.Tensor, torch.Tensor]
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.keys, self.values = self._cached = keys, values
        self.is_initialized = True
        self.places = places

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        rows, at = self.places
        for cached, new in zip(self._cached, (key_states, value_states), strict=True):
            cached[rows, :, at] = new[:, :, 0]
        return self._cached


class TokensLayer(SlotLayer):  # type: ignore[no-untyped-call]
    """As SlotLayer, but with all slots' keys and values, and several new tokens of a slot.

    `places` are the tokens' slots and positions. `copies`: see `kernels.cpu_decode.attend`.
    """

    def __init__(
        self,
        keys: torch.Tensor,
        values: torch.Tensor,
        places: tuple[torch.Tensor, torch.Tensor],
        copies: Sequence[tuple[int, int, int]],
    ) -> None:
        super().__init__(keys, values, places)
        self.copies = copies


class PromptLayer(DynamicLayer):
    """One layer's keys and values, (rows, KV heads, tokens, size), of prompts padded on the right.

    They attend to what is before them, and `keys` and `values` are theirs alone.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
