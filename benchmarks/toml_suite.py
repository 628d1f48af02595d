"""Judges the public TOML test suite by strict TOML, the files of TOML 1.0.

    python benchmarks/toml_suite.py toml-test
    ->  valid/array      21 files   20 accepted    0 rejected    1 by a rule of ours    0 wrong

A file of valid/ must be accepted with the value that its .json says, one of invalid/ rejected. What
is valid TOML and fails by a rule of ours alone (a date, a number that JSON lacks, an empty
document, a byte order mark) is counted apart, with the label. Comments are allowed here. Exit code
1 where a file is wrong, 2 where the folder is no checkout of the suite.
The suite is not part of this project: https://github.com/toml-lang/toml-test
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import msgspec
from suites import folder_lines

from fmtharness.evaluators.toml.format import TomlFormat
from fmtharness.harness.matching import same_value

JUDGE = TomlFormat(comments=True)
FILES = "files-toml-1.0.0"
OWN_LABELS = {"date_or_time", "nan_or_infinity", "no_value", "empty", "byte_order_mark"}
"""Labels of texts that are TOML 1.0 and fail by a rule of ours."""

Outcome = Literal["accepted", "another value", "rejected", "not UTF-8", "by our rule", "raised"]


class Judged(msgspec.Struct, frozen=True):
    """What became of one file; `folder` as in "valid/array"."""

    name: str
    folder: str
    outcome: Outcome
    labels: tuple[str, ...] = ()

    @property
    def right(self) -> bool:
        if self.folder.startswith("valid"):
            return self.outcome in ("accepted", "by our rule")
        return self.outcome in ("rejected", "not UTF-8")


def judge_file(suite: Path, name: str) -> Judged:
    """Judge one file, and compare its value with the one beside it."""
    path = suite / name
    folder = "/".join(name.split("/")[:2]) if name.count("/") > 1 else name.split("/")[0]
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError:
        return Judged(name, folder, "not UTF-8")
    try:
        parsed = JUDGE.parse(text)
    except Exception as error:
        return Judged(name, folder, "raised", (repr(error),))
    labels = tuple(dict.fromkeys(problem.label for problem in parsed.problems))
    if parsed.ok:
        if folder.startswith("invalid"):
            return Judged(name, folder, "accepted")
        expected = untagged(json.loads(path.with_suffix(".json").read_bytes()))
        same = same_value(parsed.value, expected)
        return Judged(name, folder, "accepted" if same else "another value")
    by_rule = folder.startswith("valid") and {*labels} <= OWN_LABELS
    return Judged(name, folder, "by our rule" if by_rule else "rejected", labels)


def untagged(value: Any) -> Any:
    """The suite's JSON, in which a scalar is {"type": "integer", "value": "1"}, as a value."""
    if isinstance(value, list):
        return [untagged(child) for child in value]
    if set(value) != {"type", "value"} or not isinstance(value["type"], str):
        return {key: untagged(child) for key, child in value.items()}
    said = value["value"]
    if value["type"] == "integer":
        return int(said)
    if value["type"] == "float":
        return float(said)
    return said == "true" if value["type"] == "bool" else said


def report(found: list[Judged]) -> str:
    """A line per folder, the labels of our own rules, and each file that is wrong."""
    lines = [*folder_lines(found)]
    rules = Counter(", ".join(each.labels) for each in found if each.outcome == "by our rule")
    lines += ["", "valid TOML that a rule of ours refuses, by label:"]
    lines += [f"  {labels}: {number}" for labels, number in rules.most_common()]
    labels = Counter(label for each in found if each.folder[0] == "i" for label in each.labels)
    lines += ["", "labels of what is not TOML:"]
    lines += [f"  {label}: {number}" for label, number in labels.most_common()]
    lines += [
        f"wrong: {each.name}: {each.outcome} {', '.join(each.labels)}".rstrip()
        for each in found
        if not each.right
    ]
    return "\n".join(lines)


def main() -> None:
    """Judge the checkout that the command line names."""
    parser = argparse.ArgumentParser(description="Judge the files of TOML 1.0 in toml-test.")
    parser.add_argument("folder", type=Path, help="a checkout of toml-lang/toml-test")
    tests = parser.parse_args().folder / "tests"
    if not (tests / FILES).is_file():
        parser.error(f"{tests} has no {FILES}; name a checkout of toml-lang/toml-test")
    names = [name for name in (tests / FILES).read_text().split() if name.endswith(".toml")]
    found = [judge_file(tests, name) for name in names]
    sys.stdout.write(report(found) + "\n")
    sys.exit(any(not each.right for each in found))


if __name__ == "__main__":
    main()
