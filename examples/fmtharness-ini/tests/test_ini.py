"""The format keeps what every format promises, and names what models get wrong."""

import subprocess
import sys
from pathlib import Path

import pytest
from fmtharness_ini import Ini

from harness.testing import check_format

EXAMPLE = Path(__file__).parent.parent


def test_it_keeps_the_promises_of_a_format() -> None:
    check_format(Ini())


def test_a_section_is_a_record() -> None:
    parsed = Ini().parse("[record]\ncity = Oslo\nunit price = 3.50\n")
    assert parsed.value == {"city": "Oslo", "unit price": "3.50"}


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("city = Oslo", ["no_section"]),
        ("[other]\ncity = Oslo", ["wrong_section"]),
        ("[record]\ncity = Oslo\n[record]\nn = 4", ["wrong_section"]),
        ("[record]\ncity: Oslo\nn = 4", ["no_equals"]),
        ("[record]\ncity = Oslo\ncity = Rome", ["duplicate_key"]),
        ("[record]\n; a note\n'city' = Oslo", ["comment", "bad_key"]),
        ('{"city": "Oslo"}', ["no_value"]),
        ("Sure:\n```ini\n[record]\ncity = Oslo\n```", ["text_before", "code_fence", "code_fence"]),
    ],
)
def test_labels(text: str, labels: list[str]) -> None:
    assert [problem.label for problem in Ini().parse(text).problems] == labels


def fmtharness(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_check() -> None:
    assert fmtharness("check", "--format", "ini", "--text", "[record]\nn = 4").returncode == 0
    failed = fmtharness("check", "--format", "ini", "--text", "[record]\nn: 4")
    assert failed.returncode == 1
    assert "ini_strict: failed (no_equals)" in failed.stdout


def test_generate(tmp_path: Path) -> None:
    done = fmtharness("generate", str(EXAMPLE / "data.toml"), "--to", str(tmp_path))
    assert done.returncode == 0, done.stderr
    rows = (tmp_path / "train.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 400
    assert all('"completion":"[record]\\n' in row for row in rows)
