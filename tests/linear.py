"""Whether a parser's time grows no faster than its text.

is_linear(JsonFormat().parse, '{"a":') -> True
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

SIZES = (10_000, 40_000)
GROWTH = 8
"""How much longer four times the text may take: linear work takes 4 times, quadratic 16."""


def is_linear(parse: Callable[[str], object], unit: str, before: str = "", after: str = "") -> bool:
    """Whether four times as many units take at most eight times as long."""
    small, large = (_seconds(parse, before + unit * (size // len(unit)) + after) for size in SIZES)
    return large < GROWTH * max(small, 0.004)


def _seconds(parse: Callable[[str], object], text: str) -> float:
    """The processor's time without the garbage collector's, the least of three."""
    collects = gc.isenabled()
    gc.disable()
    try:
        times = []
        for _ in range(3):
            began = time.process_time()
            parse(text)
            times.append(time.process_time() - began)
        return min(times)
    finally:
        if collects:
            gc.enable()
