"""Many completions: what several processes find is what one finds, to the byte."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fmtharness.harness.commands import eval as evaluation
from fmtharness.harness.commands.arms import Arm
from fmtharness.harness.errors import DataError
from fmtharness.harness.judging.rows import (
    BLOCK_BYTES,
    blocks,
    completions,
    count_lines,
    numbered,
    read_rows,
)
from fmtharness.harness.records import BrokenRow, Completion, write_records
from fmtharness.harness.report.tables import metrics_json
from tests.fakes import ROOT, example, wait_for

TEXTS = (
    '{"a": 1}',
    '```json\n{"a": 1}\n```',
    'Sure: {"a": [1, 2',
    '{"a": 1}{"a": 1}',
    "{'a': True}",
    "ü \ud800",
    "",
)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of several blocks, with broken and blank rows and no line break at its end."""
    path = tmp_path_factory.mktemp("many") / "rows.jsonl"
    lines = []
    for number in range(12_000):
        text = TEXTS[number % len(TEXTS)] + " " * (number * 7 % 400)
        finish = ("stop", "length", None)[number % 3]
        lines.append(json.dumps({"id": f"e{number}", "text": text, "finish_reason": finish}))
        if number % 1_000 == 500:
            lines += ['{"text": ', ""]
    path.write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    assert path.stat().st_size > 2 * BLOCK_BYTES
    return path


def judged(rows: Path, folder: Path, processes: int, data: Path | None) -> list[bytes]:
    folder.mkdir()
    made_with, found = evaluation.evaluate(
        [Arm("rows", completions=rows)],
        config=None,
        evaluators=["json_strict:root=any", "duplicate_json_objects", "extras"],
        data=data,
        model=None,
        num_prompts=None,
        max_new_tokens=None,
        dump_jsonl=folder / "dump.jsonl",
        verdicts=folder / "verdicts.jsonl",
        overrides=(),
        processes=processes,
    )
    tally = found["rows"].tally
    assert made_with.startswith("completions ")
    assert tally.unscored == 3 * 12
    sums = json.dumps([metrics_json(tally), tally.reason]).encode()
    return [sums, (folder / "verdicts.jsonl").read_bytes(), (folder / "dump.jsonl").read_bytes()]


@pytest.mark.parametrize("with_examples", [False, True])
def test_the_number_of_processes_changes_nothing(
    many: Path, tmp_path: Path, with_examples: bool
) -> None:
    data = None
    if with_examples:
        data = tmp_path / "examples.jsonl"
        write_records(data, [example(f"e{number}") for number in range(0, 12_000, 3)])
    alone = judged(many, tmp_path / "1", 1, data)
    assert judged(many, tmp_path / "3", 3, data) == alone
    assert alone[1].count(b"\n") == 3 * 12_012
    assert alone[2].count(b"\n") == 12_000


def test_blocks_are_the_file(many: Path) -> None:
    rows = list(read_rows(many))
    for size in (1, 1_000, 100_000):
        parts = [
            row
            for first, block in blocks(many, size)
            for row in completions(numbered(first, block))
        ]
        assert parts == rows
    assert sum(isinstance(row, BrokenRow) for row in rows) == 12
    first_broken = next(row for row in rows if isinstance(row, BrokenRow))
    assert first_broken.line == 502
    assert many.read_bytes().split(b"\n")[501] == b'{"text": '
    assert count_lines(many) == 12_000 + 2 * 12


def test_rows_without_an_id_have_their_line_number(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a"}\n\n{"text": "b", "id": 7}\n{"text": "c", "example_id": "x"}\n')
    rows = [row for row in read_rows(path) if isinstance(row, Completion)]
    assert [row.example_id for row in rows] == ["1", "7", "x"]


def test_a_missing_file() -> None:
    with pytest.raises(DataError, match=r"no\.jsonl: cannot be read"):
        list(blocks(Path("no.jsonl")))


def test_other_tools_finish_reasons_are_unknown(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a", "finish_reason": "end_turn", "prompt_tokens": 7.0}\n')
    assert list(read_rows(path)) == [Completion(example_id="1", text="a")]


def test_how_deep_a_row_may_be_does_not_depend_on_the_caller(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    deep = "[" * 900 + "]" * 900
    path.write_text(f'{{"text": "a", "other": {deep}}}\n')

    def called_from(depth: int) -> list[Completion | BrokenRow]:
        return called_from(depth - 1) if depth else list(read_rows(path))

    assert called_from(0) == called_from(300) == called_from(600)


def test_two_interrupts_in_a_row_end_it(many: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_bytes(many.read_bytes().rstrip() + b"\n")
    with rows.open("ab") as file:
        for _ in range(6):
            file.write(many.read_bytes().removeprefix(b"\xef\xbb\xbf").rstrip() + b"\n")
    command = [sys.executable, "-m", "fmtharness", "eval", "--completions", str(rows)]
    command += ["--evaluator", "json_leniency", "--verdicts", str(tmp_path / "v.jsonl")]
    with subprocess.Popen(
        [*command, "--processes", "2"],
        cwd=ROOT,
        start_new_session=True,
        # A shell's background job starts with SIGINT ignored, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as running:
        wait_for(lambda: any(path.stat().st_size for path in begun(tmp_path)), running)
        os.killpg(running.pid, signal.SIGINT)
        wait_for(lambda: ignores_interrupts(running), running)
        os.killpg(running.pid, signal.SIGINT)
        assert running.wait(timeout=60) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def begun(folder: Path) -> list[Path]:
    return list(folder.glob(".v.jsonl.*.tmp"))


def ignores_interrupts(process: subprocess.Popen[Any]) -> bool:
    """As while it ends its workers; taken for granted where there is no /proc to tell."""
    status = Path(f"/proc/{process.pid}/status")
    if not status.is_file():
        return True
    ignored = next(line for line in status.read_text().splitlines() if line.startswith("SigIgn"))
    return bool(int(ignored.split()[1], 16) >> (signal.SIGINT - 1) & 1)


def test_what_an_example_sets_holds_in_every_process(tmp_path: Path) -> None:
    asked = [
        msgspec.structs.replace(
            example(str(number)), format="regex", format_options={"pattern": "a=(?P<a>[0-9])"}
        )
        for number in range(2)
    ]
    write_records(tmp_path / "examples.jsonl", asked)
    rows = tmp_path / "rows.jsonl"
    lines = (
        json.dumps({"id": str(number % 2), "text": "a=1" if number % 2 else "b=1", "x": "y" * 300})
        for number in range(8_000)
    )
    rows.write_text("".join(f"{line}\n" for line in lines))
    assert rows.stat().st_size > 2 * BLOCK_BYTES
    command = [sys.executable, "-m", "fmtharness", "eval", "--evaluator", "regex_strict", "--json"]
    command += ["--completions", str(rows), "--data", str(tmp_path / "examples.jsonl")]
    for processes in ("1", "2"):
        done = subprocess.run(
            [*command, "--processes", processes], capture_output=True, text=True, check=True
        )
        rate = json.loads(done.stdout)["regex_strict"]["metrics"]["format_success_rate"]
        assert (rate["numerator"], rate["denominator"]) == (4_000, 8_000)
