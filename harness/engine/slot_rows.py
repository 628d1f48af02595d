"""The rows that decode in slots: what each has written, and which end with a step.

    rows = SlotRows(count=512, budget=128, stop_ids={2})
    rows.enter(slot=3, place=70, budget=128)
    rows.take(tokens, step=12)          [Ended(slot=3, place=70, ids=[504, 1799], reason="stop")]

A step's tokens are looked at all at once: Python's own loops run over the rows that end.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fmtharness.harness.records import FinishReason


class Ended(NamedTuple):
    """A row that ended: its slot, its prompt's index, its tokens without the stop token."""

    slot: int
    place: int
    ids: list[int]
    reason: FinishReason


class SlotRows:
    """`count` rows of up to `budget` tokens; `lines` maps the slots in use to the rows."""

    def __init__(self, count: int, budget: int, stop_ids: Collection[int]) -> None:
        self.lines: dict[int, int] = {}
        self._stops = np.array(sorted(stop_ids), dtype=np.int64)
        self._tokens = np.zeros((count, budget), dtype=np.int64)
        self._lengths, self._budgets, self._places, self._since = np.zeros(
            (4, count), dtype=np.int64
        )

    def enter(self, slot: int, place: int, budget: int, step: int = 0) -> None:
        """Begin the row of a prompt in a free slot, with the tokens of this step."""
        self.lines[slot] = slot
        self._lengths[slot], self._budgets[slot] = 0, budget
        self._places[slot], self._since[slot] = place, step

    def places(self) -> dict[int, int]:
        """The prompts' indices by slot."""
        return {slot: int(self._places[line]) for slot, line in self.lines.items()}

    def in_use(self, step: int) -> list[int]:
        """The slots whose rows have a token in this step."""
        return [slot for slot, line in self.lines.items() if self._since[line] <= step]

    def go_on(self, pending: int) -> bool:
        """Whether some row has room for a token after `pending` more."""
        lines = list(self.lines.values())
        return bool((self._lengths[lines] + pending < self._budgets[lines]).any())

    def take(self, tokens: npt.NDArray[np.int64], step: int = 0) -> list[Ended]:
        """Append a step's tokens (count,), and return the rows that ended, which leave."""
        slots = np.fromiter(self.lines, np.int64, len(self.lines))
        lines = np.fromiter(self.lines.values(), np.int64, len(self.lines))
        present = self._since[lines] <= step
        slots, lines = slots[present], lines[present]
        chosen = tokens[slots]
        stopped = np.isin(chosen, self._stops)
        writing = lines[~stopped]
        self._tokens[writing, self._lengths[writing]] = chosen[~stopped]
        self._lengths[writing] += 1
        ended = np.flatnonzero(stopped | (self._lengths[lines] == self._budgets[lines]))
        found = []
        for index in ended.tolist():
            slot, line = int(slots[index]), lines[index]
            ids = self._tokens[line, : self._lengths[line]].tolist()
            del self.lines[slot]
            reason: FinishReason = "stop" if stopped[index] else "length"
            found.append(Ended(slot, int(self._places[line]), ids, reason))
        return found
