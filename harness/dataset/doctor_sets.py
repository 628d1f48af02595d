"""What shows only when rows are compared: duplicates, contradictions, and what is not uniform.

[*compared([facts_of_train, facts_of_dev])]
-> [Odd("contradictory_targets", file=0, at=array([7]), beside=array([2])), ...]

All of it is sorting and counting of 8-byte hashes, so a million rows take a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import exp, lgamma
from typing import Any, Final, NamedTuple

import numpy as np

from fmtharness.harness.dataset.doctor_rows import (
    CRLF,
    ESCAPED,
    HAS_TARGET,
    LAYOUTS,
    LF,
    NFC,
    NFD,
    WRITTEN,
)
from fmtharness.harness.dataset.doctor_text import SCRIPTS

ALIKE: Final = 10
"""Among this many rows or more that are alike, an odd one is worth a note."""
FEW: Final = 0.05
"""The share up to which rows are odd."""
FEW_SYSTEMS: Final = 4
CHANCE: Final = 1e-4
"""A split without a system prompt is noted if chance explains it with at most this probability."""
FAR, LONG = 20, 2000
"""A target is far longer above this many times the median, and this many characters."""


class Odd(NamedTuple):
    """Rows of a file that a check finds, by their index, and the rows that belong to them."""

    check: str
    file: int
    at: Any
    beside: Any = None
    beside_file: int | None = None


def compared(files: Sequence[Any]) -> Iterator[Odd]:
    """What is odd in each file, and between every two files."""
    for number, facts in enumerate(files):
        for odd in _alone(facts):
            yield odd._replace(file=number)
    for first in range(len(files)):
        for second in range(first + 1, len(files)):
            yield from _between(files, first, second)
    yield from _systems(files)


def _alone(facts: Any) -> Iterator[Odd]:
    has = (facts["flags"] & HAS_TARGET) != 0
    if has.any():
        yield Odd("no_target", 0, np.flatnonzero(~has))
    yield from _repeated(facts, has)
    yield Odd("key_set_once", 0, _once(facts))
    yield Odd("types_once", 0, _minority(facts, "types", FEW))
    yield Odd("key_order_mixed", 0, _minority(facts, "order", 0.5))
    for form in np.unique(facts["format"]):
        own = facts["format"] == form
        yield Odd("layout_mixed", 0, _unlike(facts, own, LAYOUTS))
        yield Odd("line_ends_mixed", 0, _unlike(facts, own, (CRLF, LF)))
    yield Odd("escapes_mixed", 0, _unlike(facts, has, (ESCAPED, WRITTEN)))
    yield Odd("normal_forms_mixed", 0, _unlike(facts, has, (NFC, NFD)))
    size = facts["target_size"]
    if has.any():
        limit = max(LONG, FAR * float(np.median(size[has])))
        yield Odd("far_longer", 0, np.flatnonzero(has & (size > limit)))
    # Keys are Latin in every language.
    foreign = (facts["answered_in"] & ~facts["asked_in"] & ~np.uint32(1)) != 0
    if foreign.sum() <= FEW * len(facts):
        yield Odd("other_script", 0, np.flatnonzero(foreign))
    with_system = facts["system"] != 0
    few = with_system if with_system.mean() < 0.5 else ~with_system
    if 0 < few.sum() <= FEW * len(facts):
        yield Odd("system_in_some_rows", 0, np.flatnonzero(few))


def _again(values: Any) -> tuple[Any, Any]:
    """The indices of values that occurred before, and where each occurred first; 0 is no value."""
    _, first, back = np.unique(values, return_index=True, return_inverse=True)
    again = np.flatnonzero((first[back] != np.arange(len(values))) & (values != 0))
    return again, first[back[again]]


def _repeated(facts: Any, has: Any) -> Iterator[Odd]:
    """Rows whose prompt occurred before: with the same target, or with one of another meaning."""
    at, first = _again(np.where(has, facts["exact"], 0))
    same = facts["target"][at] == facts["target"][first]
    other = facts["value"][at] != facts["value"][first]
    yield Odd("duplicate_rows", 0, at[same], first[same])
    yield Odd("contradictory_targets", 0, at[other], first[other])


def _once(facts: Any) -> Any:
    keyed = np.flatnonzero(facts["keys"])
    _, back, counts = np.unique(facts["keys"][keyed], return_inverse=True, return_counts=True)
    if (
        len(keyed) < ALIKE
        or counts.max() * 2 < len(keyed)
        or (counts == 1).sum() > max(1, FEW * len(keyed))
    ):
        return keyed[:0]
    return keyed[counts[back] == 1]


def _minority(facts: Any, field: str, most: float) -> Any:
    """Rows that differ in the field from most rows with their set of keys."""
    known = np.flatnonzero((facts[field] != 0) & (facts["keys"] != 0))
    if not len(known):
        return known
    _, group, sizes = np.unique(facts["keys"][known], return_inverse=True, return_counts=True)
    pairs = np.empty(len(known), dtype=[("keys", "<u8"), ("field", "<u8")])
    pairs["keys"], pairs["field"] = facts["keys"][known], facts[field][known]
    _, first, back, counts = np.unique(
        pairs, return_index=True, return_inverse=True, return_counts=True
    )
    largest = np.zeros(len(sizes), dtype=np.int64)
    np.maximum.at(largest, group[first], counts)
    # Of two equal halves the one that comes later is the odd one.
    leads = np.full(len(sizes), len(known), dtype=np.int64)
    tops = counts == largest[group[first]]
    np.minimum.at(leads, group[first][tops], first[tops])
    odd = first[back] != leads[group]
    odd &= sizes[group] >= ALIKE
    odd &= counts[back] <= np.maximum(1, most * sizes[group])
    return known[odd]


def _unlike(facts: Any, among: Any, kinds: Sequence[int]) -> Any:
    """Rows of all kinds but the one that most have."""
    flags = np.where(among, facts["flags"], 0)
    sizes = [int(((flags & kind) != 0).sum()) for kind in kinds]
    usual = kinds[sizes.index(max(sizes))]
    others = sum(kind for kind in kinds if kind != usual)
    return np.flatnonzero(((flags & others) != 0) & ((flags & usual) == 0))


def _between(files: Sequence[Any], first: int, second: int) -> Iterator[Odd]:
    here, there = files[first]["prompt"], files[second]["prompt"]
    known, place = np.unique(there, return_index=True)
    if not len(known):
        return
    found = np.minimum(np.searchsorted(known, here), len(known) - 1)
    at = np.flatnonzero((known[found] == here) & (here != 0))
    yield Odd("prompt_in_two_splits", first, at, place[found[at]], second)


def _systems(files: Sequence[Any]) -> Iterator[Odd]:
    shares = [float((facts["system"] != 0).mean()) for facts in files if len(facts)]
    if len(shares) < 2 or len(shares) < len(files):
        return
    known = np.unique(files[0]["system"])
    without = [len(facts) for facts, share in zip(files, shares, strict=True) if not share]
    for number, facts in enumerate(files):
        system = facts["system"]
        held = int((system != 0).sum())
        chance = min((_chance(held, len(facts), rows) for rows in without), default=1.0)
        if shares[number] > 0.5 and chance < CHANCE:
            yield Odd("system_in_one_split", number, np.flatnonzero(system))
        elif number and shares[0] > 0 and len(known) <= FEW_SYSTEMS:
            yield Odd("other_system", number, np.flatnonzero(~np.isin(system, known)))


def _chance(held: int, rows: int, others: int) -> float:
    """How likely none of `held` rows is among the `others`, if they are spread at random."""
    every = rows + others
    return exp(
        lgamma(rows + 1) - lgamma(rows - held + 1) - lgamma(every + 1) + lgamma(every - held + 1)
    )


def summary(facts: Any, formats: Sequence[str]) -> dict[str, Any]:
    """What the rows of a file are: counts, formats, quantiles of lengths, scripts."""
    has = (facts["flags"] & HAS_TARGET) != 0
    return {
        "rows": len(facts),
        "with_target": int(has.sum()),
        "with_system": int((facts["system"] != 0).sum()),
        "formats": {
            name: int((facts["format"] == number).sum()) for number, name in enumerate(formats)
        },
        "prompt_characters": _quantiles(facts["prompt_size"]),
        "target_characters": _quantiles(facts["target_size"][has]),
        "scripts": {
            name: [int(((facts[of] >> bit) & 1).sum()) for of in ("asked_in", "answered_in")]
            for bit, name in enumerate(SCRIPTS)
            if ((facts["asked_in"] | facts["answered_in"]) >> bit & 1).any()
        },
        "key_sets": len(np.unique(facts["keys"][facts["keys"] != 0])),
    }


def _quantiles(sizes: Any) -> dict[str, int]:
    if not len(sizes):
        return {}
    found = np.quantile(sizes, (0.0, 0.5, 0.9, 0.99, 1.0), method="lower")
    return {
        name: int(each)
        for name, each in zip(("min", "p50", "p90", "p99", "max"), found, strict=True)
    }
