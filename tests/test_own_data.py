"""docs/tutorials/own-data.md: every command of it, in a copy of examples/own-data."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes import ROOT

TUTORIAL = (ROOT / "docs" / "tutorials" / "own-data.md").read_text(encoding="utf-8")
RATE = re.compile(r"format_success_rate +(\S+) .* (\S+) \[.*?\] (\d+)/10  ")


def commands(section: str) -> list[str]:
    text = TUTORIAL.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(r"^    ((?:fmtharness|python) .+)$", text, re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("own") / "own-data"
    return Path(shutil.copytree(ROOT / "examples" / "own-data", copy))


def said(line: str, folder: Path) -> str:
    """What a command of the page prints; the page says which of them fails."""
    program, *arguments = shlex.split(line, comments=True)
    call = ["-m", "fmtharness", *arguments] if program == "fmtharness" else arguments
    done = subprocess.run(
        [sys.executable, *call],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == ("# fails" in line or " prompt " in line), done.stdout + done.stderr
    return done.stdout


def test_no_section_needs_more_than_three_commands() -> None:
    for section in re.findall(r"^## (.+)$", TUTORIAL, re.MULTILINE)[:3]:
        assert 1 <= len(commands(section)) <= 3, section


def test_a_pydantic_model_as_a_test(folder: Path) -> None:
    check, gate = commands("A Pydantic model as a test")
    assert "/urgent" in said(check, folder)
    assert "15 passed" in said(gate, folder)


@pytest.mark.slow
def test_twelve_prompts(folder: Path) -> None:
    judged, asked = commands("Twelve prompts")
    assert re.search(r"format_success_rate .*/12\b", said(judged, folder))
    assert "json_strict: failed" in said(asked, folder)


@pytest.mark.slow
def test_forty_rows(folder: Path) -> None:
    look, train, compare = commands("Forty rows to learn from")
    assert "nothing here would teach the wrong thing" in said(look, folder)
    untuned, tuned, of_ten = RATE.search(said(train, folder)).groups()  # type: ignore[union-attr]
    assert (untuned, tuned, of_ten) == ("0.000", f"{int(of_ten) / 10:.3f}", of_ten)
    assert int(of_ten) >= 8
    assert "Rosa Klein" in said(compare, folder)
