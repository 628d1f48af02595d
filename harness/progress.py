"""Progress on standard error: a bar with rate and ETA on a terminal, plain lines elsewhere.

with progress(50, "train", unit="step") as bar:
    bar.note(loss=0.31)
    bar.advance()

train: 25/50 steps, 0.8/s, ETA 0:31, loss 0.310
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from tqdm import tqdm

from fmtharness.harness import processes
from fmtharness.harness.text import one_line, printable

PLAIN_SECONDS = 10.0
"""Seconds between two plain lines if no terminal is attached."""


class Progress:
    """One running count; `notes` stay beside it until they are replaced."""

    def __init__(self, total: int, what: str, unit: str, start: int) -> None:
        self.total, self.what, self.unit = total, one_line(what), unit
        self.done = self.first = start
        self.notes: dict[str, float] = {}
        self.began = self.written = time.monotonic()
        self.bar = None
        if sys.stderr.isatty() and processes.leads():
            # A terminal of unknown size reports 0 by 0, and tqdm would then show nothing.
            wide = os.get_terminal_size(sys.stderr.fileno()).columns > 0
            width: dict[str, Any] = {"dynamic_ncols": True} if wide else {"ncols": 80, "nrows": 24}
            self.bar = tqdm(total=total, initial=start, desc=what, unit=unit, **width)

    def note(self, **notes: float) -> None:
        """Show these beside the count from now on, such as the last loss."""
        self.notes |= notes
        if self.bar is not None:
            self.bar.set_postfix({key: _short(value) for key, value in self.notes.items()})

    def advance(self, count: int = 1) -> None:
        """Count `count` more done."""
        self.done += count
        if self.bar is not None:
            self.bar.update(count)
        elif time.monotonic() - self.written > PLAIN_SECONDS:
            self.line()

    def line(self) -> None:
        """Write the state as one plain line."""
        self.written = time.monotonic()
        rate = (self.done - self.first) / max(self.written - self.began, 1e-9)
        left = timedelta(seconds=round((self.total - self.done) / rate)) if rate else "?"
        notes = "".join(f", {key} {_short(value)}" for key, value in self.notes.items())
        say(f"{self.what}: {self.done}/{self.total} {self.unit}s, {rate:.3g}/s, ETA {left}{notes}")


def _short(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


@contextmanager
def progress(total: int, what: str, *, unit: str, start: int = 0) -> Iterator[Progress]:
    """Show how far `what` has come, from `start` to `total`."""
    shown = Progress(total, what, unit, start)
    try:
        yield shown
        if shown.bar is None and shown.done > shown.first:
            shown.line()
    finally:
        if shown.bar is not None:
            shown.bar.close()


def say(text: str) -> None:
    """One line to standard error, above a running bar; of several processes only one writes it."""
    if processes.leads():
        tqdm.write(printable(text), file=sys.stderr)
