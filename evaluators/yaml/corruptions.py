"""Breaks rendered YAML the way models break it; each way is named by the label it is judged with.

    CORRUPTIONS["tab_indent"]("a:\n  b: 1\n", Random(0)) -> "a:\n\tb: 1\n"
    CORRUPTIONS["unclosed_quote"]("a: 1\n", Random(0))   -> None: nothing to break that way

The text must be valid, in block style, as `YamlFormat.render` writes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from random import Random
from typing import Any, Final, NamedTuple

import yaml

from fmtharness.evaluators.yaml.scalars import Unclear, plain
from fmtharness.harness.contracts import Corruption
from fmtharness.harness.surroundings import CORRUPTIONS as AROUND

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_OTHER_LITERALS: Final = {
    "true": ("True", "yes", "TRUE", "on"),
    "false": ("False", "no", "FALSE", "off"),
    "null": ("Null", "~", "NULL"),
}
_WORDS: Final = re.compile(r"[^\W\d_][\w ]+").fullmatch


class _Member(NamedTuple):
    """A scalar on one line; `key` is where its key starts, or its own start in a list."""

    key: int
    start: int
    end: int
    value: str
    style: str


def _members(text: str) -> list[_Member]:
    """The scalars that are values, block texts left out."""
    found = []
    keys: list[int | None] = []
    events: Iterable[Any] = yaml.parse(text, Loader=_LOADER)
    for event in events:
        start = event.start_mark.index
        scalar = isinstance(event, yaml.ScalarEvent)
        if scalar or isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            if scalar and keys and keys[-1] == _NO_KEY:
                keys[-1] = start
                continue
            key = keys[-1] if keys else None
            if scalar and event.style not in ("|", ">"):
                end = event.end_mark.index
                at = start if key is None else key
                found.append(_Member(at, start, end, event.value, event.style or ""))
            if key is not None:
                keys[-1] = _NO_KEY
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            keys.append(_NO_KEY if isinstance(event, yaml.MappingStartEvent) else None)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            keys.pop()
    return found


_NO_KEY: Final = -1


def _replaced(text: str, member: _Member, new: str) -> str:
    return text[: member.start] + new + text[member.end :]


def _one(
    rng: Random, text: str, fits: Callable[[_Member], Any], key: bool = False
) -> _Member | None:
    """A scalar that the condition accepts; with `key`, one that is the value of a key."""
    members = [
        member
        for member in _members(text)
        if fits(member) and (not key or member.key < member.start)
    ]
    return rng.choice(members) if members else None


def _is_words(member: _Member) -> bool:
    return member.style == "" and bool(_WORDS(member.value)) and type(plain(member.value)) is str


def _line(text: str, member: _Member) -> tuple[int, int]:
    end = text.find("\n", member.end)
    return text.rfind("\n", 0, member.key) + 1, len(text) if end < 0 else end


def _truncated(text: str, rng: Random) -> str | None:
    member = _one(rng, text, lambda member: member.style == '"')
    return text[: rng.randrange(member.start + 1, member.end)] if member else None


def _unclosed_quote(text: str, rng: Random) -> str | None:
    last = text.rstrip().rfind("\n")
    member = _one(rng, text, lambda member: member.style == '"' and member.end < last)
    return text[: member.end - 1] + text[member.end :] if member else None


def _unquoted_colon(text: str, rng: Random) -> str | None:
    quoted = _one(rng, text, lambda m: m.style == '"' and re.search(r"\w: \w", m.value), True)
    if quoted and quoted.value[:1].isalpha():
        return _replaced(text, quoted, quoted.value)
    member = _one(rng, text, _is_words, True)
    return (
        _replaced(text, member, rng.choice(["Note", "Re"]) + ": " + member.value)
        if member
        else None
    )


def _ambiguous_scalar(text: str, rng: Random) -> str | None:
    def fits(member: _Member) -> bool:
        if member.style == '"':
            return isinstance(plain(member.value), Unclear)
        return member.value in _OTHER_LITERALS

    member = _one(rng, text, fits)
    if not member:
        return None
    bare = member.value if member.style else rng.choice(_OTHER_LITERALS[member.value])
    return _replaced(text, member, bare)


def _duplicate_key(text: str, rng: Random) -> str | None:
    member = _one(rng, text, lambda member: True, True)
    if not member:
        return None
    start, end = _line(text, member)
    again = " " * (member.key - start) + text[member.key : end]
    return text[:end] + "\n" + again + text[end:]


def _tab_indent(text: str, rng: Random) -> str | None:
    indents = [match.span(1) for match in re.finditer(r"^( +)\S", text, re.MULTILINE)]
    if indents:
        start, end = rng.choice(indents)
    else:
        member = _one(rng, text, lambda member: True, True)
        if not member:
            return None
        start, end = member.start - 1, member.start
    return text[:start] + "\t" + text[end:]


def _bad_indentation(text: str, rng: Random) -> str | None:
    member = _one(rng, text, lambda member: member.key > 0, True)
    if not member:
        return None
    start = _line(text, member)[0]
    return text[:start] + " " + text[start:]


def _missing_colon(text: str, rng: Random) -> str | None:
    last = text.rstrip().rfind("\n")

    def fits(member: _Member) -> bool:
        # Behind a dash, the next key would be the badly indented one.
        return member.key > 0 and member.end < last and text[member.key - 2] != "-"

    member = _one(rng, text, fits, True)
    if not member:
        return None
    key = text[member.key : member.start].rstrip(": ")
    return text[: member.key] + key + " " + text[member.start :]


def _missing_value(text: str, rng: Random) -> str | None:
    member = _one(rng, text, lambda member: True, True)
    return text[: member.start].rstrip(" ") + text[member.end :] if member else None


def _multiple_roots(text: str, rng: Random) -> str:
    return text.removesuffix("\n") + "\n---\n" + text


def _unquoted_special(text: str, rng: Random) -> str | None:
    member = _one(rng, text, _is_words)
    made = rng.choice(["`{}`", "@{}", "[{}] x", "%{}"])
    return _replaced(text, member, made.format(member.value)) if member else None


def _anchor_or_alias(text: str, rng: Random) -> str | None:
    member = _one(rng, text, _is_words)
    made = rng.choice(["**{}**", "*{}*", "&{}"])
    return _replaced(text, member, made.format(member.value)) if member else None


def _unescaped_quote(text: str, rng: Random) -> str | None:
    member = _one(rng, text, _is_words)
    made = rng.choice(['"{}" hotel', "'it's {}'", '"the "{}" one"'])
    return _replaced(text, member, made.format(member.value)) if member else None


def _comment(text: str, rng: Random) -> str | None:
    member = _one(rng, text, lambda member: True)
    if not member:
        return None
    end = _line(text, member)[1]
    return text[:end] + rng.choice(["  # note", " # from the text"]) + text[end:]


def _no_value(text: str, rng: Random) -> str:
    return rng.choice(
        ["I'm sorry, but I can't help with that.", "There is not enough information to answer."]
    )


def wrong_root(text: str, rng: Random) -> str | None:
    """A list of one mapping, or a mapping that holds the list."""
    if text.startswith("- "):
        return "items:\n" + text
    if re.search(r"[|>][-+]?$", text, re.MULTILINE):
        return None
    lines = text.rstrip("\n").split("\n")
    return "- " + "\n  ".join(lines) + "\n"


CORRUPTIONS: Final[dict[str, Corruption]] = {
    **AROUND,
    **{
        function.__name__.removeprefix("_"): function
        for function in (
            _no_value,
            _truncated,
            _unclosed_quote,
            _unquoted_colon,
            _unquoted_special,
            _unescaped_quote,
            _ambiguous_scalar,
            _anchor_or_alias,
            _duplicate_key,
            _tab_indent,
            _bad_indentation,
            _missing_colon,
            _missing_value,
            _multiple_roots,
            _comment,
        )
    },
}
