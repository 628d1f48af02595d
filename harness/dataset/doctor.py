"""What is wrong with rows before anything is trained on them.

examine([Source("train.jsonl"), Source("dev.jsonl")]) -> Report(findings=[Finding(...), ...], ...)

A file of lines is looked at in blocks, on all cores, in memory that grows by some 100 bytes a row.
The last file is looked at first, since the prompts of each file are compared with those after it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from fmtharness.harness.dataset.doctor_blocks import Looks, line_of, look_at, looks_at
from fmtharness.harness.dataset.doctor_checks import CHECKS, Finding, Place, Report
from fmtharness.harness.dataset.doctor_rows import FACTS, FIRST, Aims, texts_of
from fmtharness.harness.dataset.doctor_sets import Odd, compared, summary
from fmtharness.harness.dataset.near import SAMPLE, Known, Near, normalized
from fmtharness.harness.dataset.reader import Row, Source, examples
from fmtharness.harness.errors import UserError
from fmtharness.harness.records import Example
from fmtharness.harness.text import did_you_mean

Lengths = Callable[[Example], int]
MOST_PROMPTS: Final = 200_000
"""Prompts that others are compared with, for near-duplicates; each takes its text in memory."""


def examine(
    sources: Sequence[Source],
    *,
    aims: Aims | None = None,
    lengths: tuple[int, Lengths] | None = None,
    allow: Collection[str] = (),
    processes: int | None = None,
) -> Report:
    """Look at the files, train first.

    `lengths` is max_seq_length and what counts an Example's tokens. Raises DataError for a row that
    cannot be read, and UserError for an unknown name in `allow`.
    """
    refuse_unknown(allow)
    aims = aims or Aims()
    files: list[Any] = [None] * len(sources)
    looks: list[Looks] = [Looks() for _ in sources]
    notes: list[str] = []
    known: list[Known] = []
    for number in reversed(range(len(sources))):
        source, look = sources[number], looks[number]
        near = Near(known, _sample(source)) if known else None
        parts = []
        for part in looks_at(source, aims, near, look, keep=number > 0, processes=processes):
            parts.append(look.add(part))
            if lengths:
                _cut_off(look, part.long, lengths, source.name)
            free = MOST_PROMPTS - len(known)
            known += [Known(source.name, line, text) for line, text in part.prompts[:free]]
        files[number] = np.concatenate(parts) if parts else np.empty(0, FACTS)
    if len(known) == MOST_PROMPTS:
        notes.append(f"near-duplicates were looked for among {MOST_PROMPTS:,} prompts only")
    found = _merged(looks)
    for odd in compared(files):
        _add(found, odd, sources, files, looks)
    findings = [found[name] for name in CHECKS if name in found]
    for finding in findings:
        finding.allowed = finding.check in allow
    described = [
        {"file": source.name, "form": look.form, **summary(facts, look.formats)}
        for source, facts, look in zip(sources, files, looks, strict=True)
    ]
    return Report(described, findings, notes)


def refuse_unknown(allow: Collection[str]) -> None:
    """Raise UserError for a name that no check has."""
    for name in allow:
        if name not in CHECKS:
            near = did_you_mean(name, CHECKS)
            raise UserError(f"there is no check {name!r} to allow{near}; docs/data.md lists them")


def _sample(source: Source) -> Iterator[str]:
    first = msgspec.structs.replace(source, limit=min(SAMPLE, source.limit or SAMPLE))
    return (normalized(texts_of(each)[2]) for each in examples(first))


def _cut_off(
    look: Looks, long: Sequence[tuple[int, Example]], lengths: tuple[int, Lengths], file: str
) -> None:
    limit, count = lengths
    for line, example in long:
        if example.completion is not None and (size := count(example)) > limit:
            look.counts["cut_off"] += 1
            kept = look.places.setdefault("cut_off", [])
            if len(kept) < FIRST:
                beside = f"{size} tokens, max_seq_length is {limit}"
                kept.append(Place(file, line, example.id, beside=beside))


def _merged(looks: Sequence[Looks]) -> dict[str, Finding]:
    found = {}
    for name in sorted({name for look in looks for name in look.counts}):
        places = [place for look in looks for place in look.places.get(name, ())]
        labels: Counter[str] = Counter()
        for look in looks:
            labels.update(look.labels.get(name, {}))
        count = sum(look.counts[name] for look in looks)
        grave = CHECKS[name].grave
        found[name] = Finding(name, grave, count, places[:FIRST], dict(labels.most_common()))
    return found


def _add(
    found: dict[str, Finding],
    odd: Odd,
    sources: Sequence[Source],
    files: Sequence[Any],
    looks: Sequence[Looks],
) -> None:
    """Add the rows, and fetch the first few of them for what a place shows."""
    if not len(odd.at):
        return
    new = Finding(odd.check, CHECKS[odd.check].grave, 0, [])
    finding = found.setdefault(odd.check, new)
    finding.count += len(odd.at)
    source = sources[odd.file]
    other = odd.file if odd.beside_file is None else odd.beside_file
    for nth, at in enumerate(odd.at[: max(0, FIRST - len(finding.places))]):
        line = int(files[odd.file]["line"][at])
        row = line_of(source, line, looks[odd.file])
        beside = ""
        if odd.beside is not None:
            line_there = int(files[other]["line"][odd.beside[nth]])
            named = f"{sources[other].name}, " if other != odd.file else ""
            beside = f"{named}line {line_there}"
        example = row.example if row else None
        text = None if example is None else example.completion
        place = Place(source.name, line, example.id if example else "", text, beside=beside)
        finding.places.append(place)


def in_memory(
    splits: Sequence[tuple[str, Sequence[Example]]], allow: Collection[str] = ()
) -> list[Finding]:
    """What is grave and not allowed in Examples that are at hand, train first."""
    refuse_unknown(allow)
    looks = [Looks() for _ in splits]
    files: list[Any] = [None] * len(splits)
    known: list[Known] = []
    for number in reversed(range(len(splits))):
        (name, rows), look = splits[number], looks[number]
        prompts = [normalized(texts_of(each)[2]) for each in rows]
        near = Near(known, prompts[:SAMPLE]) if known else None
        numbered = (Row(line, {}, each) for line, each in enumerate(rows, start=1))
        files[number] = look.add(look_at(name, numbered, Aims(), near, keep=False))
        look.at_hand = rows
        known += [Known(name, line, text) for line, text in enumerate(prompts, start=1)]
    found = _merged(looks)
    for odd in compared(files):
        if CHECKS[odd.check].grave:
            _add(found, odd, [Source(name) for name, _ in splits], files, looks)
    return [each for each in found.values() if each.grave and each.check not in allow]
