r"""Answers that repeat themselves, as the rejected side of a pair.

    looped('{"items": ["a cup", "a plate"]}', Dice("7"))
        ->  '{"items": ["a cup", "a plate", "a plate", "a plate", "a plate", "'

Most answers of a small model that fail an open request are right up to a loop, which runs until
the answer is cut off.
"""

from __future__ import annotations

import re

from msgspec import structs

from fmtharness.generators.dice import Dice
from fmtharness.harness.records import Example

_TEXT = r'"(?:[^"\\\n]|\\.){1,100}"'
UNITS = (
    re.compile(rf"{_TEXT}: ?(?:{_TEXT}|[\w.+-]+), ?(?=\")"),  # a pair of an object
    re.compile(rf"(?<=[\[,] ){_TEXT}, ?(?=\")|(?<=\[){_TEXT}, ?(?=\")"),  # a text in an array
    re.compile(r'(?<=[.!?] )[^".!?\\\n]{12,140}[.!?]|(?<=")[^".!?\\\n]{12,140}[.!?](?= )'),
    re.compile(r"(?<=\n)[^\n]{4,120}\n"),
    re.compile(r"(?<=[a-z,] )(?:[a-z]+,? ){1,4}(?=[a-z])"),  # some words of a text
)
"""What is repeated: pairs, items, sentences, lines, phrases."""
FEWEST, MOST = 2, 5
SHORTEST = 60
"""A loop has at least so many characters."""
NUMBERED = 0.4
"""How often the keys of repeated pairs are numbered."""


def looped(text: str, dice: Dice) -> str | None:
    """The text up to a unit of it that repeats; None if it has no unit that could."""
    kinds = [found for unit in UNITS if (found := [*unit.finditer(text)])]
    if not kinds:
        return None
    found = dice.choice(dice.choice(kinds))
    unit = found.group()
    times = max(dice.between(FEWEST, MOST), -(-SHORTEST // len(unit)))
    key = re.match(rf"({_TEXT})(?=:)", unit)
    if key and dice.chance(NUMBERED):
        name = key.group()[:-1]
        again = [f'{name}_{i}"{unit[key.end() :]}' for i in range(1, times + 1)]
    elif unit[-1] in ".!?":
        again = [f" {unit}"] * times
    else:
        again = [unit] * times
    return text[: found.end()] + "".join(again)


def with_loop(example: Example, dice: Dice) -> Example:
    """The Example with its target in a loop as the rejected answer, if that can be."""
    rejected = looped(example.target, dice)
    if rejected is None:
        return example
    # It was cut off, so that no stop token follows it.
    tags = {**example.tags, "rejected_finish_reason": "length"}
    return structs.replace(example, rejected=rejected, tags=tags)
