"""benchmarks/schema_suite.py, on a suite small enough for a test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import ROOT, import_path


def case(data: Any, valid: bool) -> dict[str, Any]:
    return {"description": f"{data} is {valid}", "data": data, "valid": valid}


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    files: dict[str, Any] = {
        "tests/draft2020-12/type.json": ({"type": "integer"}, [case(1, True), case("x", False)]),
        "tests/draft2020-12/refRemote.json": (
            {"$ref": "http://localhost:1234/draft2020-12/integer.json"},
            [case(1, True), case("x", False), case(True, False)],
        ),
        "tests/draft2020-12/boolean_schema.json": (False, [case(1, False)]),
        "tests/draft2020-12/optional/format/date.json": (
            {"format": "date"},
            [case("2020-01-01", True), case("soon", False)],
        ),
    }
    for name, (schema, tests) in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([{"description": "it", "schema": schema, "tests": tests}]))
    remote = tmp_path / "remotes" / "draft2020-12" / "integer.json"
    remote.parent.mkdir(parents=True)
    remote.write_text('{"type": "integer"}')
    return tmp_path


def called(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "benchmarks/schema_suite.py", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": import_path(ROOT)}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def test_each_file_is_counted(suite: Path) -> None:
    done = called(suite, "--show")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if " cases " in line]
    assert rows == [
        ["boolean_schema.json", "1", "cases", "1", "right", "0", "wrong"],
        ["refRemote.json", "3", "cases", "3", "right", "0", "wrong"],
        ["type.json", "2", "cases", "2", "right", "0", "wrong"],
        ["all", "6", "cases", "6", "right", "0", "wrong"],
        ["optional/format/date.json", "2", "cases", "2", "right", "0", "wrong"],
        ["all", "2", "cases", "2", "right", "0", "wrong"],
    ]
    assert 'the value: expected an integer, got "x" (a string)' in done.stdout


@pytest.mark.parametrize(
    ("file", "code"),
    [("tests/draft2020-12/type.json", 1), ("tests/draft2020-12/optional/format/date.json", 0)],
)
def test_a_wrong_case_is_told_and_decides_if_it_is_required(
    suite: Path, file: str, code: int
) -> None:
    path = suite / file
    path.write_text(path.read_text().replace('"valid": true', '"valid": false'))
    done = called(suite)
    assert done.returncode == code
    assert f"wrong: {file.removeprefix('tests/draft2020-12/')}: it: " in done.stdout
    assert "valid is False, the verdict True, the library's True" in done.stdout


def test_what_is_no_suite_is_a_sentence(tmp_path: Path) -> None:
    done = called(tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "name a checkout of the suite" in done.stderr
