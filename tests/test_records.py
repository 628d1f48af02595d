"""Records on disk: strict reading with line numbers, whole files or none."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest

from fmtharness.harness.errors import DataError, UserError
from fmtharness.harness.files import atomic_file
from fmtharness.harness.records import (
    Completion,
    Example,
    Metric,
    Verdict,
    numbered_lines,
    read_records,
    write_records,
)
from tests.fakes import example, verdict


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "rows.jsonl"


def test_round_trip(rows: Path) -> None:
    examples = [example("a"), example("é\n\u2028", {"ключ": ["\U0001f600", None, 1.5, 10**30]})]
    assert write_records(rows, examples) == 2
    assert list(read_records(rows, Example)) == examples
    assert rows.read_bytes().count(b"\n") == 2
    judged = [verdict("a", "x", None), verdict("b", "x", False, counts={"n": 3})]
    write_records(rows, judged)
    assert list(read_records(rows, Verdict)) == judged


def test_lone_surrogates_survive(rows: Path) -> None:
    completions = [
        Completion(example_id="1", text="\ud800 and \udfff"),
        Completion(example_id="2", text="\U0001f600"),
    ]
    write_records(rows, completions)
    assert list(read_records(rows, Completion)) == completions


def test_the_order_of_a_verdict_s_keys(rows: Path) -> None:
    write_records(rows, [verdict("a", "x", True)])
    expected = {
        "id": "a",
        "evaluator": "x",
        "passed": True,
        "labels": [],
        "problems": [],
        "counts": {},
    }
    assert rows.read_text() == json.dumps(expected, separators=(",", ":")) + "\n"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"example_id": "x"}', ["line 3", "text"]),
        (b'{"example_id": 1, "text": "x"}', ["line 3", "str", "int", "$.example_id"]),
        (b'{"example_id": "x", "text": "x"', ["line 3", "not JSON", "column 32"]),
        (b'{"example_id": "x", "text": "x"} x', ["line 3", "Extra data", "column 34"]),
        (b'{"example_id": "x", "text": "\xff"}', ["line 3", "not UTF-8"]),
        (b'{"a": ' + b"[" * 9999 + b"]" * 9999 + b"}", ["line 3", "nested too deeply"]),
        (b"[]", ["line 3", "object", "array"]),
    ],
)
def test_broken_line(rows: Path, line: bytes, words: list[str]) -> None:
    rows.parent.mkdir()
    rows.write_bytes(b'{"example_id": "x", "text": "x"}\n\n' + line + b"\n")
    read = read_records(rows, Completion)
    assert next(read).text == "x"
    with pytest.raises(DataError) as caught:
        next(read)
    for word in (str(rows), "Completion", *words):
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_blank_lines_and_windows_endings(rows: Path) -> None:
    rows.parent.mkdir()
    rows.write_bytes(b"\xef\xbb\xbf1\r\n\r\n  \n2")
    assert list(numbered_lines(rows)) == [(1, b"1\r\n"), (4, b"2")]


def test_missing_file(tmp_path: Path) -> None:
    for path in (tmp_path / "no.jsonl", tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            list(read_records(path, Example))


def test_writing_fails_whole(rows: Path) -> None:
    write_records(rows, [example("old")])

    def broken() -> object:
        yield example("new")
        raise DataError("line 7")

    with pytest.raises(DataError):
        write_records(rows, broken())  # type: ignore[arg-type]
    assert [e.id for e in read_records(rows, Example)] == ["old"]
    assert [path.name for path in rows.parent.iterdir()] == ["rows.jsonl"]


def test_an_interrupt_leaves_nothing(rows: Path) -> None:
    with pytest.raises(KeyboardInterrupt), atomic_file(rows) as temporary:
        temporary.write_text("half")
        assert not rows.exists()
        raise KeyboardInterrupt
    assert list(rows.parent.iterdir()) == []


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"rows\.jsonl: cannot be written"):
        write_records(tmp_path / "file" / "rows.jsonl", [])


def test_records_are_immutable() -> None:
    with pytest.raises(AttributeError):
        example().id = "other"  # type: ignore[misc]
    metric = Metric(name="x", value=None, numerator=0, denominator=0, low=None, high=None)
    assert msgspec.json.decode(msgspec.json.encode(metric), type=Metric) == metric


def test_a_link_stays_a_link_and_a_pipe_a_pipe(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    link.symlink_to(target)
    with atomic_file(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink() and target.read_text() == "new"
    with atomic_file(Path(os.devnull)) as temporary:
        temporary.write_text("gone")
    assert not Path(os.devnull).is_file()
    with pytest.raises(UserError, match="it is a folder"), atomic_file(tmp_path):
        pass
