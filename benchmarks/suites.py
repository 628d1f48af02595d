"""What the commands for public suites share: a case, the table of all, and the exit code.

    told([Case("229Q", ("spec",), "alike")], "tag")  ->  "tag   cases  alike  refused  ..."

A suite's text is `alike` if it is accepted with the suite's value, `refused` if it is valid but
against a rule of ours, `rejected` if the suite has it as an error, and `unpaired` if it is accepted
and the suite has no value to compare. Everything else is `wrong`: another value, or an accepted
error.
"""

from __future__ import annotations

import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import msgspec

from fmtharness.harness.contracts import Parsed
from fmtharness.harness.matching import same_value
from fmtharness.harness.report.tables import table

Outcome = Literal["alike", "refused", "rejected", "unpaired", "wrong"]
ERROR, NOTHING = object(), object()
"""What a suite expects that is not a value: an error, or something it does not write down."""


class Case(msgspec.Struct, frozen=True):
    """One text of a suite, the groups that it belongs to, and what became of it."""

    name: str
    groups: tuple[str, ...]
    outcome: Outcome
    said: str = ""
    """Its labels, or what is wrong."""


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a suite's archive into the folder."""
    with tarfile.open(archive) as packed:
        packed.extraction_filter = getattr(tarfile, "data_filter", None)  # new in Python 3.11.4
        packed.extractall(folder)


def judged(name: str, groups: Sequence[str], parsed: Parsed, expected: Any) -> Case:
    """One text, by what the judge says and what the suite expects: a value, ERROR or NOTHING."""
    labels = ", ".join(dict.fromkeys(problem.label for problem in parsed.problems))
    if not parsed.ok:
        return Case(name, (*groups,), "rejected" if expected is ERROR else "refused", labels)
    if expected is ERROR:
        return Case(name, (*groups,), "wrong", f"accepted as {parsed.value!r:.200}, and an error")
    if expected is NOTHING:
        return Case(name, (*groups,), "unpaired", f"{parsed.value!r:.200}")
    if same_value(parsed.value, expected):
        return Case(name, (*groups,), "alike")
    said = f"accepted as {parsed.value!r:.200}, and the suite has {expected!r:.200}"
    return Case(name, (*groups,), "wrong", said)


def told(cases: Sequence[Case], heading: str, *, shown: bool = False) -> str:
    """A row per group, the labels of valid texts, and the wrong cases; `shown` adds all others."""
    by_group: dict[str, list[Case]] = {}
    for case in cases:
        for group in case.groups:
            by_group.setdefault(group, []).append(case)
    outcomes = get_args(Outcome)
    rows = []
    for group, found in [*sorted(by_group.items()), ("all", list(cases))]:
        count = Counter(case.outcome for case in found)
        rows.append([group, str(len(found)), *(str(count[outcome]) for outcome in outcomes)])
    return "\n".join([table([heading, "cases", *outcomes], rows), "", *_details(cases, shown)])


def _details(cases: Sequence[Case], shown: bool) -> Iterator[str]:
    labels = Counter(case.said for case in cases if case.outcome == "refused")
    yield f"valid and refused, by labels: {labels.total() or 'none'}"
    yield from (f"  {count:4}  {said}" for said, count in labels.most_common())
    wrong = [case for case in cases if case.outcome == "wrong"]
    yield f"wrong: {len(wrong) or 'none'}"
    yield from (f"  {case.name}: {case.said}" for case in wrong)
    for case in cases if shown else ():
        yield f"{case.name}: {case.outcome} {case.said}".rstrip()


class OfFolder(Protocol):
    """What became of one file of a suite that names its files by folders."""

    @property
    def folder(self) -> str: ...

    @property
    def outcome(self) -> str: ...

    @property
    def right(self) -> bool: ...


def folder_lines(found: Sequence[OfFolder]) -> Iterator[str]:
    """A line per folder and one for all: accepted, rejected, refused by a rule of ours, wrong."""
    folders: dict[str, list[OfFolder]] = {}
    for each in found:
        folders.setdefault(each.folder, []).append(each)
    width = max(map(len, folders))
    for name, files in [*sorted(folders.items()), ("all", list(found))]:
        count = Counter(each.outcome for each in files)
        wrong = sum(not each.right for each in files)
        rejected = count["rejected"] + count["not UTF-8"]
        yield (
            f"{name:{width}}  {len(files):5} files  {count['accepted']:5} accepted  {rejected:5} "
            f"rejected  {count['by our rule']:5} by a rule of ours  {wrong:5} wrong"
        )


def exit_code(cases: Sequence[Case]) -> int:
    """1 where a case is wrong."""
    return int(any(case.outcome == "wrong" for case in cases))
