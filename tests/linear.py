"""How long work takes, and whether a parser's time grows no faster than its text.

is_linear(JsonFormat().parse, '{"a":') -> True
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

SIZES = (10_000, 40_000)
GROWTH = 8
"""How much longer four times the text may take: linear work takes 4 times, quadratic 16."""
TRIES = 5


def is_linear(parse: Callable[[str], object], unit: str, before: str = "", after: str = "") -> bool:
    """Whether four times as many units take at most eight times as long."""
    texts = [before + unit * (size // len(unit)) + after for size in SIZES]
    return grows_alike(lambda: parse(texts[0]), lambda: parse(texts[1]), GROWTH)


def grows_alike(small: Callable[[], object], large: Callable[[], object], most: float) -> bool:
    """Whether the large work takes at most so many times what the small takes.

    The least of several times each, for a busy machine makes some of them longer.
    """
    least = [float("inf"), float("inf")]
    for _ in range(TRIES):
        least = [min(least[0], seconds(small)), min(least[1], seconds(large))]
        if least[1] < most * max(least[0], 0.004):
            return True
    return False


def seconds(work: Callable[[], object]) -> float:
    """The processor's time that the work takes, without the garbage collector's."""
    collects = gc.isenabled()
    gc.disable()
    try:
        began = time.process_time()
        work()
        return time.process_time() - began
    finally:
        if collects:
            gc.enable()
