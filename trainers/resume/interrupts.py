"""SIGTERM and Ctrl-C, taken where a training can be left without loss.

with interrupts() as asked:
    ...a step...
    if asked.to_leave(): save and leave
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from harness import processes
from harness.engine import collectives
from harness.errors import StoppedError
from harness.progress import say


class _LeftUndone(BaseException):
    """A signal came; no evaluator that catches every Exception may keep it."""


class Asked:
    """Whether the process was asked to end, and by which signal, 0 for none."""

    def __init__(self) -> None:
        self.signal = 0
        self._at_once = False

    def to_leave(self) -> bool:
        """Whether to leave now; several processes, which all ask, leave together."""
        agreed = max(collectives.gather_objects([self.signal]))
        if agreed:
            self.signal = agreed
        return agreed != 0

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Raise StoppedError as soon as a signal comes: for work that can be left undone."""
        alone = processes.count() == 1  # of several, one would wait for the others
        if self.signal and alone:
            raise StoppedError("left undone", self.signal)
        self._at_once = alone
        try:
            try:
                yield
            finally:
                self._at_once = False
        except _LeftUndone:
            raise StoppedError("left undone", self.signal) from None

    def take(self, number: int, frame: FrameType | None) -> None:
        """The handler; a second Ctrl-C ends at once."""
        if self.signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number
        say(f"train: {signal.Signals(number).name}, saving and leaving after this step")
        if self._at_once:
            raise _LeftUndone


@contextmanager
def interrupts() -> Iterator[Asked]:
    """Take both signals; outside of the main thread they stay as they are."""
    asked = Asked()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, asked.take) for number in numbers}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
