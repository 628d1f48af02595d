"""Tells rounding from mistakes: compares two computations of the same thing, in any dtype.

    own = measured(model, compute)      compute() untouched, and how far rounding moves its values
    replace something in the model
    apart(own, compute())               0.6: as near as rounding allows. 40.0: another model

How far rounding moves a value depends on the model: so it is measured, by running the same model
with the output of every module changed in the last place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import inf, isfinite
from typing import Any, NamedTuple

import torch

ROUNDING = {torch.bfloat16: 0.03, torch.float16: 0.004, torch.float32: 1e-5}
"""Tolerance per dtype: the norm of the difference relative to the norm of the expected tensor."""
UNITS = {torch.float32: 32.0}
"""Units in the last place that an output is moved by, if not 1: fp32 sums round as they grow."""
DRAWS = 3
"""Runs with other roundings."""
ROOM = 2.0
"""How much further than in those runs a single value may be; the root mean square may not."""


class Own(NamedTuple):
    """What a model computes itself, and per tensor how far rounding moves it: at most, and RMS."""

    values: list[torch.Tensor]
    moves: list[tuple[float, float]]


def agree(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether dtype and shape are equal and ||found - expected|| <= tolerance * ||expected||.

    Raises KeyError for a dtype without an entry in ROUNDING.
    """
    if found.dtype != expected.dtype or found.shape != expected.shape:
        return False
    difference = (found.float() - expected.float()).norm()
    return bool(difference <= ROUNDING[found.dtype] * expected.float().norm())


def measured(model: torch.nn.Module, compute: Callable[[], Sequence[torch.Tensor]]) -> Own:
    """The tensors of `compute`, which runs the model, and how far its rounding moves each."""
    values = [value.detach().float() for value in compute()]
    moves = [(0.0, 0.0)] * len(values)
    for seed in range(DRAWS):
        with _rounded(model, seed):
            found = [_distance(m, v) for m, v in zip(compute(), values, strict=True)]
        moves = [(max(a, c), max(b, d)) for (a, b), (c, d) in zip(moves, found, strict=True)]
    return Own(values, moves)


def apart(own: Own, found: Sequence[torch.Tensor]) -> float:
    """The largest difference of any tensor or element, in multiples of what rounding explains.

    Up to 1 the two are the same. It is 0 to 0.4 for fused layers, and 2 and more, in fp32
    thousands, where a part of a model is left out. inf for NaN and for other shapes.
    """
    worst = 0.0
    for new, value, (largest, rms) in zip(found, own.values, own.moves, strict=True):
        far, rms_far = _distance(new, value)
        for distance, allowed in ((far, ROOM * largest), (rms_far, rms)):
            if distance:
                worst = max(worst, distance / allowed if allowed else inf)
    return worst


def _distance(found: torch.Tensor, expected: torch.Tensor) -> tuple[float, float]:
    """The largest and the root mean square difference of two tensors' elements."""
    if found.shape != expected.shape:
        return inf, inf
    if not expected.numel():
        return 0.0, 0.0
    difference = (found.detach().float() - expected).abs()
    largest, rms = float(difference.max()), float(difference.square().mean().sqrt())
    return (largest, rms) if isfinite(largest) else (inf, inf)


@contextmanager
def _rounded(model: torch.nn.Module, seed: int) -> Iterator[None]:
    """Inside, every module's output is UNITS in the last place larger or smaller, at random."""
    generators: dict[torch.device, torch.Generator] = {}

    def move(module: Any, arguments: Any, out: Any) -> Any:
        if not isinstance(out, torch.Tensor) or not out.is_floating_point():
            return out
        if out.device not in generators:
            generators[out.device] = torch.Generator(out.device).manual_seed(seed)
        coin = torch.empty(out.shape, device=out.device, dtype=out.dtype)
        coin.bernoulli_(generator=generators[out.device])
        unit = torch.finfo(out.dtype).eps * UNITS.get(out.dtype, 1.0)
        return out * (1 - unit + 2 * unit * coin)

    hooks = [module.register_forward_hook(move) for module in model.modules()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
