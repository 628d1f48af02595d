"""The user's own prompts for `self_answers`, divided between the splits.

OwnPrompts(Path("mine.jsonl")).of("train", 3)  ->  [(Message("user", "What is hail?"),), ...]
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fmtharness.generators.answer_objects import learnable
from fmtharness.generators.dice import Dice
from fmtharness.generators.ownership import owner
from fmtharness.harness.contracts import Split
from fmtharness.harness.dataset import Source, rows
from fmtharness.harness.errors import DataError
from fmtharness.harness.records import NO_FORMAT, Message

DRAWS = 40
"""How often another text than the prompt is looked for; there may be only one."""


class OwnPrompts:
    """The prompts of a file; a hash of each says whose it is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.prompts: dict[Split, list[tuple[Message, ...]]] = {"train": [], "dev": [], "eval": []}
        for row in rows(Source(str(path), format=NO_FORMAT), parse=False):
            prompt = row.example.prompt
            self.prompts[owner(prompt[-1].content)].append(prompt)
        for each in self.prompts.values():
            Dice("own").shuffle(each)  # a file may be sorted by what its prompts are about
        said = {split: [each[-1].content for each in own] for split, own in self.prompts.items()}
        self.texts = {split: [*filter(learnable, texts)] for split, texts in said.items()}
        """Those that can stand in a target."""

    def of(self, split: Split, most: int | None) -> list[tuple[Message, ...]]:
        """The split's prompts, at most so many; DataError if there is none."""
        if not self.prompts[split]:
            raise DataError(f"{self.path}: none of its prompts falls into {split}; add more")
        return self.prompts[split][:most]

    def text(self, split: Split, messages: Sequence[Message], count: int) -> str:
        """The text of another prompt, or of several; one prompt always has the same."""
        texts, dice = self.texts[split], Dice(repr(messages))
        if not texts:
            raise DataError(f"{self.path}: no prompt of {split} is a text to learn; add more")
        if count > 1:
            return "\n\n".join(dice.choice(texts) for _ in range(count))
        drawn = (dice.choice(texts) for _ in range(DRAWS))
        return next((text for text in drawn if text != messages[-1].content), texts[0])
