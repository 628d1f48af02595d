"""A run's scalars, written twice: `metrics.jsonl` is the truth, TensorBoard's logs the view.

    {"step": 25, "train/loss": 0.41, "train/learning_rate": 0.0002}

A resumed run drops the rows after the step it resumes from and writes the view again. Without
TensorBoard there is no view.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.files import atomic_file
from harness.progress import say
from harness.text import one_line

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Scalars:
    """Appends rows of scalars to a run's folder.

    Rows up to the step `keep_until` are kept; 0 keeps none, not even an older run's baseline.
    """

    def __init__(self, metrics: Path, tb_logdir: Path, *, keep_until: int) -> None:
        rows = [row for row in read_metrics(metrics) if keep_until and row["step"] <= keep_until]
        # A kill at any moment leaves the old rows or the kept ones, never fewer.
        with atomic_file(metrics) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        self.file = metrics.open("a", encoding="utf-8")
        # The folder may be the user's own and hold other files, so only logs are removed.
        for old in tb_logdir.glob("events.out.tfevents.*"):
            old.unlink()
        self.view = _view(tb_logdir)
        for row in rows:
            self._show(row.pop("step"), row)

    def log(self, step: int, values: dict[str, float]) -> None:
        """Write the values of one step to both places, at once."""
        self.file.write(json.dumps({"step": step, **values}) + "\n")
        self.file.flush()
        self._show(step, values)

    def _show(self, step: int, values: dict[str, float]) -> None:
        if self.view is None:
            return
        for name, value in values.items():
            self.view.add_scalar(one_line(name), value, step)
        self.view.flush()

    def close(self) -> None:
        self.file.close()
        if self.view is not None:
            self.view.close()


def _view(tb_logdir: Path) -> SummaryWriter | None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        say(f"scalars: only in metrics.jsonl, since {error.name} is not installed")
        return None
    return SummaryWriter(str(tb_logdir))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics.jsonl; a last line that a kill cut short is left out."""
    if not path.is_file():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            break
        if not isinstance(row, dict) or "step" not in row:
            break
        rows.append(row)
    return rows
