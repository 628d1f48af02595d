"""`fmtharness plot`: a run's scalars as a PNG, from the run's folder or any folder of logs.

    plot(Path("outputs/quick"), None)  ->  outputs/quick/curves.png, from outputs/quick/tb

As in TensorBoard, --logdir may be any folder that the logs lie below. TensorBoard would show
several runs together; here one must be named.
"""

from __future__ import annotations

from pathlib import Path

from fmtharness.harness.commands.paths import files_of, is_run, kept, not_read
from fmtharness.harness.errors import DataError
from fmtharness.harness.files import near_miss
from fmtharness.harness.report.plot import draw

NAME_ONE = "name a run's folder, or a folder with TensorBoard logs"


def plot(logdir: Path, png: Path | None) -> tuple[Path, int]:
    """Draw the logs, by default into the run's folder; returns the PNG and how many scalars.

    Raises DataError for a folder that is missing or holds no logs, or those of several runs, and
    UserError if the PNG would be written over a file of the run.
    """
    logs = _logs(logdir)
    target = png or _beside(logdir, logs)
    run = logdir if is_run(logdir) else logs.parent
    reads = [("the log", path) for path in logs.rglob("*tfevents*")]
    if is_run(run):
        reads += [(name, path) for name, path in files_of(run) if path != logs]
    not_read(reads, [("--out-png", target)])
    return target, len(draw(logs, target))


def _logs(logdir: Path) -> Path:
    """The folder with the event files; `logdir` itself where several below it have some."""
    if not logdir.is_dir():
        near = near_miss(logdir, _looks_right)
        raise DataError(f"{logdir}: there is no such folder{near}; {NAME_ONE}")
    if is_run(logdir) and (own := _holding(_of_run(logdir))):
        return own[0] if len(own) == 1 else _of_run(logdir)
    found = _holding(logdir)
    if not found:
        near = near_miss(logdir, _looks_right)
        raise DataError(f"{logdir}: no TensorBoard scalars there{near}; {NAME_ONE}")
    return found[0] if len(found) == 1 else logdir


def _holding(folder: Path) -> list[Path]:
    """The folders with event files, at any depth."""
    return sorted({path.parent for path in folder.rglob("*tfevents*")})


def _looks_right(folder: Path) -> bool:
    return is_run(folder) or any(any(folder.glob(f"{at}*tfevents*")) for at in ("", "*/"))


def _of_run(folder: Path) -> Path:
    """Where a run's logs go, in its folder or where its config says."""
    tables = kept(folder)
    report, name = tables.get("report"), tables.get("name")
    shared = report.get("tb_logdir") if isinstance(report, dict) else None
    named = isinstance(shared, str) and isinstance(name, str)
    return Path(str(shared), str(name)) if named else folder / "tb"


def _beside(logdir: Path, logs: Path) -> Path:
    if is_run(logdir):
        return logdir / "curves.png"
    # The parent of Path(".") is Path("."), and of Path("..") as well.
    parent = logs.parent if logs.name not in ("", "..") else logs.resolve().parent
    return parent / "curves.png"
