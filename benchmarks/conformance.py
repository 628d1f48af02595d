"""Judges a folder of JSON parsing tests: the conformance suite that is customary for RFC 8259.

    python benchmarks/conformance.py JSONTestSuite/test_parsing
    ->  y_  95 files  95 accepted ...

Files named y_* must be accepted, n_* rejected, and i_* may go either way. The judge is
`json_strict` with any root; a repeated key, which the grammar allows, is a label of our own and not
a rejection here. A file that is not UTF-8 is not text, so it is rejected before any judge sees it:
such files are counted by themselves. Exit code 1 where a file is misjudged or the judge raises, 2
where there are no files.
The suite is not part of this project: https://github.com/nst/JSONTestSuite
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Literal

import msgspec

from fmtharness.evaluators.json.format import JsonFormat
from fmtharness.evaluators.json.side_by_side import find_objects

JUDGE = JsonFormat(root="any")
OWN_LABELS = {"duplicate_key"}
"""Labels of texts that RFC 8259's grammar takes; such a text is accepted here."""
MEANING = {"y": "must be accepted", "n": "must be rejected", "i": "either way"}

Outcome = Literal["accepted", "rejected", "not UTF-8", "raised"]


class Judged(msgspec.Struct, frozen=True):
    """What became of one file."""

    name: str
    outcome: Outcome
    labels: tuple[str, ...] = ()

    @property
    def right(self) -> bool:
        """Whether its class allows that."""
        if self.outcome == "raised":
            return False
        return self.name[0] == "i" or (self.name[0] == "y") == (self.outcome == "accepted")

    @property
    def why(self) -> str:
        return f"{self.outcome}: {', '.join(self.labels)}" if self.labels else self.outcome


def judge_file(path: Path) -> Judged:
    """Judge one file."""
    data = path.read_bytes()
    try:
        text = data.decode()
    except UnicodeDecodeError:
        # Judged all the same, with its bad bytes as lone surrogates: it must not raise.
        judged = _judge_text(path.name, data.decode(errors="surrogateescape"))
        return judged if judged.outcome == "raised" else Judged(path.name, "not UTF-8")
    return _judge_text(path.name, text)


def _judge_text(name: str, text: str) -> Judged:
    try:
        problems = JUDGE.parse(text).problems
        find_objects(text)
    except Exception as error:
        return Judged(name, "raised", (repr(error),))
    labels = tuple(dict.fromkeys(problem.label for problem in problems))
    return Judged(name, "accepted" if {*labels} <= OWN_LABELS else "rejected", labels)


def report(found: list[Judged]) -> str:
    """The table, then each file that is misjudged, has labels of our own, or may go either way."""
    lines = [
        f"{'class':<22}{'files':>6}{'accepted':>10}{'rejected':>10}{'not UTF-8':>11}{'wrong':>7}"
    ]
    for kind, meaning in MEANING.items():
        files = [each for each in found if each.name[0] == kind]
        count = Counter(each.outcome for each in files)
        wrong = sum(not each.right for each in files)
        lines.append(
            f"{kind}_ {meaning:<19}{len(files):>6}{count['accepted']:>10}{count['rejected']:>10}"
            f"{count['not UTF-8']:>11}{wrong:>7}"
        )
    sections = {
        "misjudged": [each for each in found if not each.right],
        "accepted with a label of our own": [
            each for each in found if each.outcome == "accepted" and each.labels
        ],
        "either way": [each for each in found if each.name[0] == "i"],
    }
    for title, files in sections.items():
        lines += ["", f"{title}: {len(files) or 'none'}"]
        lines += [f"  {each.name:<56} {each.why}" for each in files]
    lines += [
        "",
        '"not UTF-8" files cannot be decoded, so they are rejected as bytes, unjudged as text.',
    ]
    return "\n".join(lines)


def main() -> None:
    """Judge the folder that the command line names."""
    parser = argparse.ArgumentParser(description="Judge a folder of y_, n_ and i_*.json files.")
    parser.add_argument("folder", type=Path, help="such as JSONTestSuite/test_parsing")
    folder = parser.parse_args().folder
    paths = sorted(path for path in folder.glob("[yni]_*.json"))
    if not paths:
        parser.error(f"{folder} has no files named y_*.json, n_*.json or i_*.json")
    found = [judge_file(path) for path in paths]
    sys.stdout.write(report(found) + "\n")
    sys.exit(any(not each.right for each in found))


if __name__ == "__main__":
    main()
