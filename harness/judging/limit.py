"""The time that an evaluator may take for one completion.

    calls[0] += 1       # odd: an evaluator is at work
    watched()           # from now on a TimeLimit interrupts it if it takes too long
    evaluator.evaluate(example, completion)
    calls[0] += 1       # even again

A clock that ticks now and then looks whether the count has changed, so a completion costs nothing.
The clock interrupts Python code in the main thread. Code that never returns to Python needs a
process of its own, which fmtharness.harness.judging.workers ends.
"""

from __future__ import annotations

import atexit
import signal
import threading
from typing import Any, Final

DEFAULT_SECONDS: Final = 10.0
TICKS: Final = 5
"""How often the clock ticks within the limit."""

calls: Any = [0]
"""Twice the number of evaluations; odd while one is running. A worker's parent sees it, too."""
skipped: frozenset[int] = frozenset()
"""Counts at which the evaluator is not asked, since it has been too slow there."""


class TimeLimit(BaseException):
    """An evaluator took too long; not an Exception, which the evaluator might catch."""


class _Clock:
    seconds = DEFAULT_SECONDS
    ticking = False
    before: Any = None
    seen = 0
    same = 0
    """Ticks since the count changed; the time would be wrong for a process that was suspended."""

    def start(self) -> None:
        """Tick, unless this thread cannot or somebody else uses the process's alarm."""
        if threading.current_thread() is not threading.main_thread():
            return
        if not hasattr(signal, "setitimer") or signal.getitimer(signal.ITIMER_REAL)[0]:
            return
        self.before = signal.signal(signal.SIGALRM, self.tick)
        self.seen, self.same = calls[0], 0
        signal.setitimer(signal.ITIMER_REAL, self.seconds / TICKS, self.seconds / TICKS)
        self.ticking = True

    def stop(self) -> None:
        """Leave the process's alarm as it was found."""
        if self.ticking:
            self.ticking = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self.before)

    def tick(self, *_: object) -> None:
        if calls[0] != self.seen:
            self.seen, self.same = calls[0], 0
        elif not calls[0] % 2:
            self.stop()  # nothing is judged now; the next evaluation starts the clock again
        else:
            self.same += 1
            if self.same >= TICKS:
                raise TimeLimit


_clock = _Clock()
atexit.register(_clock.stop)


def watched() -> None:
    """See that the clock ticks."""
    if not _clock.ticking:
        _clock.start()


def limit(seconds: float) -> None:
    """Let each evaluation take this long, from now on."""
    _clock.stop()
    _clock.seconds = seconds


def seconds() -> float:
    """The time that an evaluation may take."""
    return _clock.seconds


def reason() -> str:
    """Why an evaluation that was interrupted is unscored."""
    return f"took longer than timeout_s = {_clock.seconds:g} s"
