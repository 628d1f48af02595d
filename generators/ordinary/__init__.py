"""Ordinary prompts, which ask for no format: chat, questions, writing, lists, code, languages.

    ordinary("train", Dice("7/train/0"))
        ->  Prompt(messages=(Message("user", "Three uses for a wheelbarrow?"),), kind="list",
                   topic="a wheelbarrow", wording="4f0c...")

The splits share no wording, topic, system message or follow-up. What measures retention and open
requests, `data/retention` and `data/open`, is avoided: a test compares every wording and topic.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from string import Formatter
from typing import NamedTuple

from fmtharness.generators.context import template_id
from fmtharness.generators.dice import Dice
from fmtharness.generators.ordinary.surroundings import FOLLOW_UPS, LEADS, SYSTEMS, TAILS
from fmtharness.generators.ordinary.topics import SHARED, TOPICS
from fmtharness.generators.ordinary.wordings import WORDINGS
from fmtharness.harness.contracts import Split
from fmtharness.harness.records import Message

__all__ = ["KINDS", "WRITABLE", "Prompt", "ordinary"]

KINDS: Mapping[str, float] = {
    "question": 6,
    "chat": 4,
    "writing": 5,
    "list": 3,
    "language": 3,
    "code": 3,
    "mentions": 3,
    "reasoning": 2,
    "rewrite": 3,
    "passage": 2,
    "roleplay": 2,
}
"""The kinds of prompts and how often each comes."""
WRITABLE: Mapping[str, float] = {"question": 4, "writing": 6, "list": 4, "roleplay": 1}
"""The kinds whose answers are texts with content of their own, which an object can hold."""
SYSTEM, FOLLOW_UP = 0.2, 0.08
"""How often there is a system message, and an earlier turn."""
LEAD, TAIL = 0.12, 0.3
"""How often a sentence stands before and after the request."""
CASUAL = 0.2
"""How often a prompt has no capital letters and no full stop at its end."""
WITH_FIELDS = 6
"""How much more often a wording with fields is drawn than one that is a whole prompt."""


class Prompt(NamedTuple):
    """A prompt in chat messages, and what it is made of."""

    messages: tuple[Message, ...]
    kind: str
    topic: str
    """What fills the wording's first field; the prompt itself if it has none."""
    wording: str
    """The id of the wording."""
    follow_up: str = ""
    """What the user will say to the answer; empty for most."""


def ordinary(
    split: Split, dice: Dice, kinds: Mapping[str, float] = KINDS, *, turns: bool = True
) -> Prompt:
    """Draw a prompt of a split; `turns` allows a follow-up and a system message."""
    kind = dice.weighted(kinds)
    wording: str = dice.choice(_weighed(WORDINGS[kind][split]))
    fields: dict[str, str] = {}
    for _, name, _, _ in Formatter().parse(wording):
        if name:
            fields[name] = _drawn(split, dice, name.removesuffix("2"), fields)
    text = _tidy(wording.format(**fields))
    if fields and dice.chance(LEAD):
        text = f"{dice.choice(LEADS[split])} {text}"
    if fields and dice.chance(TAIL):
        tail = dice.choice(TAILS[split])
        text = f"{text}\n\n{tail}" if "snippet" in fields else f"{text} {tail}"
    system = dice.choice(SYSTEMS[split]) if turns and dice.chance(SYSTEM) else ""
    follow_up = dice.choice(FOLLOW_UPS[split]) if turns and dice.chance(FOLLOW_UP) else ""
    if "snippet" not in fields and dice.chance(CASUAL):
        text = text.lower().removesuffix(".")
    messages: tuple[Message, ...] = (Message("user", text),)
    if system:
        messages = (Message("system", system), *messages)
    topic = next(iter(fields.values()), text).strip()
    return Prompt(messages, kind, topic, template_id(wording), follow_up)


@cache
def _weighed(wordings: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(each for each in wordings for _ in range(WITH_FIELDS if "{" in each else 1))


def _drawn(split: Split, dice: Dice, name: str, taken: Mapping[str, str]) -> str:
    """A text for this field that no other field has."""
    pool = SHARED[name] if name in SHARED else TOPICS[name][split]
    text: str = dice.choice([each for each in pool if each not in taken.values()])
    return text


def _tidy(text: str) -> str:
    """The text, with a capital letter after the wording's first words where a topic begins it."""
    return text[:1].upper() + text[1:] if text[:1].isalpha() and ". " in text else text
