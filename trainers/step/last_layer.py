"""The last layer's feed-forward part, where a label is predicted and nowhere else.

    use(model)      what it would give to other tokens is looked at by no one

Attention has mixed the tokens before, and what follows is for each token alone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any

import torch

from harness.engine.fused_layers import has_fused_mlp
from trainers.batch.packed import Packed

_places: ContextVar[torch.Tensor | None] = ContextVar("places", default=None)
"""Where this pass predicts labels, as the last layer's attention was told."""


def use(model: Any) -> None:
    """Change the last layer for packed passes, where its feed-forward part is a plain one."""
    layers = getattr(model.base_model, "layers", None)
    if not isinstance(layers, torch.nn.ModuleList):
        return
    last: Any = layers[-1]
    if has_fused_mlp(last) and hasattr(last, "self_attn"):
        last.self_attn.forward = partial(_attend, last.self_attn.forward)
        last.mlp.forward = partial(_feed_forward, last.mlp.forward)


def _attend(whole: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """A layer that is computed once more for its gradient comes by here, too."""
    packed: Packed | None = named.get("packed")
    _places.set(None if packed is None else _predicting(packed))
    return whole(*given, **named)


def _predicting(packed: Packed) -> torch.Tensor | None:
    """The tokens that predict labels; None where none does, which layers are not made for."""
    if not len(packed.before):
        return None
    if not packed.blocks:
        return packed.before
    once: Any = torch.unique  # in a tree, one token may predict labels of several rows
    return once(packed.before)  # type: ignore[no-any-return]


def _feed_forward(whole: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """x (1, T, hidden), zero where it is not wanted."""
    places = _places.get()
    if places is None:
        return whole(x)
    return torch.zeros_like(x).index_copy(1, places, whole(x.index_select(1, places)))
