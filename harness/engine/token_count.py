"""The new tokens of a generation beside its progress, also before the first completion is whole.

tokens = TokenCount(bar)
tokens.add(32)      after each step
generate: 0/100 completions, 0/s, ETA ?, tokens 1,184, tokens/s 412
"""

from __future__ import annotations

import time

from fmtharness.harness.progress import PLAIN_SECONDS, Progress

SHOWN_SECONDS = 1.0
"""Seconds before the count is first shown, and between two changes of a bar."""


class TokenCount:
    """Counts tokens and shows them, with their rate, as notes of a Progress."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._tokens = 0
        self._began = time.monotonic()
        self._next = self._began + SHOWN_SECONDS

    def add(self, count: int) -> None:
        """Count new tokens; shows them when it is time."""
        self._tokens += count
        now = time.monotonic()
        if now < self._next:
            return
        self.end()
        if self._bar.bar is None:
            self._bar.line()
        self._next = now + (SHOWN_SECONDS if self._bar.bar is not None else PLAIN_SECONDS)

    def end(self) -> None:
        """Put the count so far beside the progress, as at the end."""
        rate = self._tokens / max(time.monotonic() - self._began, 1e-9)
        self._bar.note(**{"tokens": self._tokens, "tokens/s": rate})
