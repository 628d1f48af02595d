"""A run's scalars, written twice: `metrics.jsonl` is the truth, TensorBoard's logs the view.

    {"step": 25, "train/loss": 0.41, "train/learning_rate": 0.0002}

A resumed run forgets the rows after the step it goes on from and writes the view anew.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any


class Scalars:
    """Appends rows of scalars to a run's folder."""

    def __init__(self, metrics: Path, tb_logdir: Path, *, keep_until: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        rows = [row for row in read_metrics(metrics) if row["step"] <= keep_until]
        metrics.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(tb_logdir, ignore_errors=True)
        self.file = metrics.open("w", encoding="utf-8")
        self.view = SummaryWriter(str(tb_logdir))
        for row in rows:
            self.log(row.pop("step"), row)

    def log(self, step: int, values: dict[str, float]) -> None:
        """Write the values of one step to both places, at once."""
        self.file.write(json.dumps({"step": step, **values}) + "\n")
        self.file.flush()
        for name, value in values.items():
            self.view.add_scalar(name, value, step)
        self.view.flush()

    def close(self) -> None:
        self.file.close()
        self.view.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics.jsonl; a last line that a kill cut short is left out."""
    if not path.is_file():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows
