"""SIGTERM and Ctrl-C, handled where training can stop without losing work.

with interrupts() as stop:
    ...a step...
    if stop.requested(): save and return
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from fmtharness.harness import processes
from fmtharness.harness.engine import collectives
from fmtharness.harness.errors import StoppedError
from fmtharness.harness.progress import say


class _Interrupted(BaseException):
    """A signal arrived; no Exception, so that an evaluator's `except Exception` cannot catch it."""


class StopRequest:
    """Whether the process was asked to stop; `signal` is the signal's number, or 0."""

    def __init__(self) -> None:
        self.signal = 0
        self._at_once = False

    def requested(self) -> bool:
        """Whether to stop now, as all processes agree; a collective that each of them must call."""
        agreed = max(collectives.gather_objects([self.signal]))
        if agreed:
            self.signal = agreed
        return agreed != 0

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Inside, a signal raises StoppedError at once: for work that can be repeated.

        With several processes it does not, since the others would wait in a collective.
        """
        single = processes.count() == 1
        if self.signal and single:
            raise StoppedError("interrupted", self.signal)
        self._at_once = single
        try:
            try:
                yield
            finally:
                self._at_once = False
        except _Interrupted:
            raise StoppedError("interrupted", self.signal) from None

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The signal handler; a second Ctrl-C raises KeyboardInterrupt."""
        if self.signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number
        say(f"train: {signal.Signals(number).name} received, stopping once this step is saved")
        if self._at_once:
            raise _Interrupted


@contextmanager
def interrupts() -> Iterator[StopRequest]:
    """Handle both signals inside; outside of the main thread, handlers stay as they are."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, request.handle) for number in numbers}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
