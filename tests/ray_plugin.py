"""A distribution for Ray's workers: a backend that takes its time, and an evaluator that may hang.

    site = installed(tmp_path)      on the PYTHONPATH of a cluster, its components are found there

The backend appends its process and the id of each Example it is asked for to $STEADY_LOG.
"""

from __future__ import annotations

import os
from pathlib import Path

SOURCE = '''
import os
import time
from typing import ClassVar

from fmtharness.harness.contracts import Options
from fmtharness.harness import hookimpl
from fmtharness.harness.records import Completion, Verdict


class Steady(Options):
    """A backend."""

    name: ClassVar[str] = "steady"
    max_new_tokens: int = 8
    seconds: float = 0.0

    def complete(self, examples, model, adapter):
        for each in examples:
            if log := os.environ.get("STEADY_LOG"):
                with open(log, "a") as file:
                    file.write(f"{os.getpid()} {each.id}\\n")
            if each.id == "dead":
                os._exit(1)
            if each.id == "boom":
                raise RuntimeError("a bad prompt")
            time.sleep(self.seconds)
            yield Completion(example_id=each.id, text='{"a": 1}', finish_reason="stop")


class Patient(Options):
    """An evaluator."""

    name: ClassVar[str] = "patient"
    metric: ClassVar[str] = "patience"

    def evaluate(self, example, completion):
        while completion.example_id == "endless":
            pass
        return Verdict(id=completion.example_id, evaluator=self.name, passed=True)


@hookimpl
def fmtharness_backends():
    return [Steady]


@hookimpl
def fmtharness_evaluators():
    return [Patient]
'''


def installed(folder: Path) -> Path:
    """The folder `site` in it, with the distribution `steady-plugin`."""
    site = folder / "site"
    info = site / "steady_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "steady_plugin.py").write_text(SOURCE, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: steady-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fmtharness]\nsteady_plugin = steady_plugin\n")
    return site


def on_path(site: Path) -> str:
    """PYTHONPATH with the folder on it."""
    return os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))
