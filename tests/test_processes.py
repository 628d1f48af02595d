"""The group of processes that one run consists of."""

from __future__ import annotations

import subprocess
import sys

import pytest

AFTER_LEAVING = """
import os
from pathlib import Path
from fmtharness.harness.engine import collectives

collectives.broadcast_object(None)
import torch.distributed.nn.functional
collectives.destroy()
print(sorted(path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_no_thread_outlives_the_group() -> None:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [*launch, "--no-python", sys.executable, "-c", AFTER_LEAVING],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "python" in done.stdout
    assert "gloo" not in done.stdout
