"""Where the values of a valid YAML text stand, for those who break it.

members("a: [1]") -> [Member(key=4, start=4, end=5, value="1", style="", flow=True)]
flows("a: [1]")   -> [(3, 6)]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Any, Final, NamedTuple

import yaml

from fmtharness.evaluators.possessive import re
from fmtharness.evaluators.yaml.scalars import plain

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WORDS: Final = re.compile(r"[^\W\d_][\w ]+").fullmatch
_NO_KEY: Final = -1


class Member(NamedTuple):
    """A scalar; `key` is where its key starts, or its own start in a list."""

    key: int
    start: int
    end: int
    value: str
    style: str
    """The quote, or nothing."""
    flow: bool
    """Whether it stands in brackets."""

    @property
    def keyed(self) -> bool:
        """Whether it is the value of a key."""
        return self.key < self.start


def members(text: str) -> list[Member]:
    """The scalars that are values, block texts left out."""
    found = []
    open_: list[tuple[int | None, bool]] = []
    """Per open collection where its last key starts (None in a list), and whether it is flow."""
    events: Iterable[Any] = yaml.parse(text, Loader=_LOADER)
    for event in events:
        start = event.start_mark.index
        scalar = isinstance(event, yaml.ScalarEvent)
        if scalar or isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            key, flow = open_[-1] if open_ else (None, False)
            if scalar and key == _NO_KEY:
                open_[-1] = start, flow
                continue
            if scalar and event.style not in ("|", ">"):
                end = event.end_mark.index
                at = start if key is None else key
                found.append(Member(at, start, end, event.value, event.style or "", flow))
            if key is not None:
                open_[-1] = _NO_KEY, flow
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            mapping = isinstance(event, yaml.MappingStartEvent)
            open_.append((_NO_KEY if mapping else None, bool(event.flow_style)))
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            open_.pop()
    return found


def flows(text: str) -> list[tuple[int, int]]:
    """Where the collections in brackets stand that are not empty."""
    found = []
    starts: list[tuple[int, bool]] = []
    events: Iterable[Any] = yaml.parse(text, Loader=_LOADER)
    for event in events:
        start, end = event.start_mark.index, event.end_mark.index
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            starts.append((start, bool(event.flow_style)))
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            start, flow = starts.pop()
            if flow and text[start + 1 : end - 1].strip():
                found.append((start, end))
    return found


def one(rng: Random, text: str, fits: Callable[[Member], Any]) -> Member | None:
    """A scalar that the condition accepts, if there is one."""
    fitting = [member for member in members(text) if fits(member)]
    return rng.choice(fitting) if fitting else None


def is_words(member: Member) -> bool:
    """Whether it is a text of words without quotes."""
    return member.style == "" and bool(_WORDS(member.value)) and type(plain(member.value)) is str


def replaced(text: str, member: Member, new: str) -> str:
    """The text with another value there."""
    return text[: member.start] + new + text[member.end :]


def line(text: str, member: Member) -> tuple[int, int]:
    """The lines that the member and its key stand on."""
    end = text.find("\n", member.end)
    return text.rfind("\n", 0, member.key) + 1, len(text) if end < 0 else end
