"""A run's scalars, written twice: `metrics.jsonl` is the truth, TensorBoard's logs the view.

    {"step": 25, "train/loss": 0.41, "train/learning_rate": 0.0002}

A resumed run drops the rows after the step it resumes from and writes the view again. Without
TensorBoard there is no view.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmtharness.harness.files import atomic_file, digest
from fmtharness.harness.progress import say
from fmtharness.harness.text import one_line

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Scalars:
    """Appends rows of scalars to a run's folder.

    Rows up to the step `keep_until` are kept; 0 keeps none, not even an older run's baseline.
    """

    def __init__(self, metrics: Path, tb_logdir: Path, *, keep_until: int) -> None:
        lines = [(line, row) for line, row in _rows(metrics) if row["step"] <= keep_until]
        lines = lines if keep_until else []
        # A kill at any moment leaves the old rows or the kept ones, never fewer.
        with atomic_file(metrics) as temporary:
            temporary.write_bytes(b"".join(line for line, _ in lines))
        self.file = metrics.open("a", encoding="utf-8", newline="\n")
        suffix = _suffix(metrics, tb_logdir)
        # The folder may be the user's own and hold other logs, so only this run's are removed.
        for old in tb_logdir.glob(f"events.out.tfevents.*{suffix}"):
            old.unlink()
        self.view = _view(tb_logdir, suffix)
        for _, row in lines:
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


def _suffix(metrics: Path, tb_logdir: Path) -> str:
    """What the names of this run's logs end with, even after its folder was moved."""
    inside = tb_logdir.is_relative_to(metrics.parent)
    return f".{'' if inside else digest(metrics.resolve())[:8]}fmtharness"


def _view(tb_logdir: Path, suffix: str) -> SummaryWriter | None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        say(f"scalars: only in metrics.jsonl, since {error.name} is not installed")
        return None
    return SummaryWriter(str(tb_logdir), filename_suffix=suffix)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics.jsonl; broken lines are left out, and reported.

    A last line that a kill cut short is not reported.
    """
    return [row for _, row in _rows(path)]


def _rows(path: Path) -> list[tuple[bytes, dict[str, Any]]]:
    """Each line that holds a row, and the row."""
    found, broken = [], []
    lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict) and isinstance(row.get("step"), int) and line.endswith(b"\n"):
            found.append((line, row))
        elif line.endswith(b"\n"):
            broken.append(str(number))
    if broken:
        lines_are = "line" if len(broken) == 1 else "lines"
        say(f"{path}: left out {lines_are} {', '.join(broken)}, no row of scalars")
    return found
