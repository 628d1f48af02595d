"""What real readers made of completions, beside the strict verdict: as a table and as data.

reader                 version  accepted [95%]        count   read otherwise  refuses passed ...
JavaScript JSON.parse  20.20.2  0.943 [0.938, 0.947]  9431/.. 12 (number 12)  0              ...

Below stand the readers that are not installed, and a few completions on which readers differ.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

from fmtharness.harness.judging.statistics import rate
from fmtharness.harness.report.tables import counted, shown, table
from fmtharness.harness.text import one_line

MOST_EXAMPLES = 3
"""How many examples of one kind a reader's row of the report has."""
ACCEPTED, OTHERWISE, REFUSED, CRASHED = "accepted", "otherwise", "refused", "crashed"


class Case(NamedTuple):
    """A completion that a reader takes differently than the strict evaluator or other readers."""

    id: str
    reader: str
    kind: str
    said: str


class Consumed:
    """One evaluator's completions by real readers: how each reader took them."""

    def __init__(self) -> None:
        self.versions: dict[str, str] = {}
        self.missing: dict[str, tuple[str, str]] = {}
        """Why a reader is not asked, and how it is installed."""
        self.outcomes: dict[str, Counter[str]] = defaultdict(Counter)
        self.kinds: dict[str, Counter[str]] = defaultdict(Counter)
        """How what is read otherwise differs, by reader."""
        self.refuses_passed: Counter[str] = Counter()
        self.takes_failed: Counter[str] = Counter()
        self.passed = 0
        self.texts = 0
        self.cases: list[Case] = []
        self._kept: Counter[tuple[str, str]] = Counter()

    def case(self, identity: str, reader: str, kind: str, said: str) -> None:
        """Keep it if it is one of the first of its kind."""
        self._kept[reader, kind] += 1
        if self._kept[reader, kind] <= MOST_EXAMPLES:
            self.cases.append(Case(identity, reader, kind, said))

    def taken(self, reader: str) -> int:
        """How many completions the reader accepts, in whatever way it reads them."""
        return self.outcomes[reader][ACCEPTED] + self.outcomes[reader][OTHERWISE]


def consumers_table(found: Mapping[str, Consumed]) -> str:
    """One table for each evaluator, with what differs and which readers are not installed."""
    return "\n\n".join(_table(evaluator, each) for evaluator, each in found.items())


def _table(evaluator: str, found: Consumed) -> str:
    failed = found.texts - found.passed
    headers = [
        f"{evaluator}: reader",
        "version",
        "accepted [95%]",
        "count",
        "read otherwise",
        f"refuses, of {found.passed} passed",
        f"takes, of {failed} failed",
        CRASHED,
    ]
    rows = []
    for reader, outcomes in found.outcomes.items():
        metric = rate(ACCEPTED, found.taken(reader), found.texts)
        kinds = ", ".join(f"{kind} {n}" for kind, n in found.kinds[reader].most_common())
        otherwise = str(outcomes[OTHERWISE]) + (f" ({kinds})" if kinds else "")
        rows.append(
            [
                *(reader, found.versions[reader] or "-", shown(metric), counted(metric), otherwise),
                str(found.refuses_passed[reader]),
                str(found.takes_failed[reader]),
                str(outcomes[CRASHED]),
            ]
        )
    lines = [
        f"{one_line(identity)}: {one_line(said)} {', '.join(readers)}"
        for (identity, said), readers in _together(found).items()
    ]
    missing = [
        f"not installed: {name} ({one_line(why)}){f'; {how}' if how else ''}"
        for name, (why, how) in found.missing.items()
    ]
    parts = [table(headers, rows) if rows else "", "\n".join(lines), "\n".join(missing)]
    return "\n\n".join(filter(None, parts))


def _together(found: Consumed) -> dict[tuple[str, str], list[str]]:
    """The readers by completion and what is said of it, with one case of each reader and kind."""
    first = {(case.reader, case.kind): case for case in reversed(found.cases)}
    together: dict[tuple[str, str], list[str]] = defaultdict(list)
    for case in found.cases:
        if first[case.reader, case.kind] is case:
            together[case.id, case.said].append(case.reader)
    return together


def consumers_json(found: Mapping[str, Consumed]) -> Mapping[str, Any]:
    """The same as plain data, by evaluator."""
    return {evaluator: _plain(each) for evaluator, each in found.items()}


def _plain(found: Consumed) -> Mapping[str, Any]:
    readers = {}
    for reader, outcomes in found.outcomes.items():
        metric = rate(ACCEPTED, found.taken(reader), found.texts)
        readers[reader] = {
            "version": found.versions[reader],
            "accepted": {
                "value": metric.value,
                "numerator": metric.numerator,
                "denominator": metric.denominator,
                "low": metric.low,
                "high": metric.high,
            },
            "read_otherwise": outcomes[OTHERWISE],
            "kinds": dict(found.kinds[reader]),
            "refuses_passed": found.refuses_passed[reader],
            "takes_failed": found.takes_failed[reader],
            "crashed": outcomes[CRASHED],
        }
    missing = {name: {"reason": why, "install": how} for name, (why, how) in found.missing.items()}
    return {
        "texts": found.texts,
        "passed": found.passed,
        "readers": readers,
        "not_installed": missing,
        "examples": [case._asdict() for case in found.cases],
    }
