"""The fuzz target runs one input from a file; where there is no atheris it is skipped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes import ROOT


def test_an_input_runs_again_from_its_file(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris has no wheel for every Python and system")
    path = tmp_path / "input"
    path.write_bytes(b'\0\0{"a": "\xed\xa0\xbd", "b": [1,]}')
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz_json", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"Executed {path}" in done.stderr
