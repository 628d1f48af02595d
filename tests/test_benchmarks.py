"""The benchmark scripts say what is so, on inputs small enough for a test."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from fmtharness.evaluators.json.format import JsonFormat
from tests.fakes import ROOT, import_path


def script(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, f"benchmarks/{name}.py", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": import_path(ROOT)}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    files = {
        "y_array.json": b"[1]",
        "y_repeated.json": b'{"a": 1, "a": 2}',
        "n_comma.json": b"[1,]",
        "n_bytes.json": b"\xff",
        "i_surrogate.json": b'["\\ud83d"]',
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def test_conformance_counts_each_class(suite: Path) -> None:
    done = script("conformance", suite)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    counts = {row[0]: row[-5:] for row in rows if row and row[0] in ("y_", "n_", "i_")}
    assert counts == {
        "y_": ["2", "2", "0", "0", "0"],
        "n_": ["2", "0", "1", "1", "0"],
        "i_": ["1", "0", "1", "0", "0"],
    }
    assert ["i_surrogate.json", "rejected:", "lone_surrogate"] in rows


@pytest.mark.parametrize(("name", "data"), [("y_wrong.json", b"[1"), ("n_wrong.json", b"[1]")])
def test_conformance_fails_where_a_file_is_misjudged(suite: Path, name: str, data: bytes) -> None:
    (suite / name).write_bytes(data)
    done = script("conformance", suite)
    assert done.returncode == 1
    assert "misjudged: 1" in done.stdout


def test_conformance_says_that_there_is_nothing_to_judge(tmp_path: Path) -> None:
    done = script("conformance", tmp_path)
    assert done.returncode == 2
    assert str(tmp_path) in done.stderr


def test_completions_are_seeded_and_of_every_kind(tmp_path: Path) -> None:
    one, again, more = (tmp_path / name for name in ("one", "again", "more"))
    for path, rows in ((one, 1000), (again, 1000), (more, 1001)):
        assert script("completions", path, "--rows", str(rows)).returncode == 0
    assert one.read_bytes() == again.read_bytes()
    assert more.read_bytes().startswith(one.read_bytes())
    labels: Counter[str] = Counter()
    for line in one.read_bytes().splitlines():
        row = json.loads(line)
        problems = JsonFormat().parse(row["text"]).problems
        labels.update({problem.label for problem in problems} or {"passed"})
        assert (row["finish_reason"] == "length") <= bool(problems)
    assert labels["passed"] > 500
    wanted = ["code_fence", "text_before", "text_after", "truncated", "duplicate_key"]
    assert all(labels[label] for label in [*wanted, "multiple_roots", "trailing_comma"])


def test_a_million_rows_are_written_and_looked_at() -> None:
    done = script("data", "--rows", "300", "--dev", "20")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(
        r"300 rows, 0 MB, 2 processes: [\d.]+ s \([\d.]+ s of all cores\), \d+ MB at most in all "
        r"processes together\n",
        done.stdout,
    )
