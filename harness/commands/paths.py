"""What a command may write over: never what it reads, nor a file that is not its own.

    not_read([("--completions", rows)], [("--verdicts", rows)])
        ->  UserError("--completions and --verdicts are the same file rows.jsonl; name another")

Otherwise a file that an option names is overwritten: the user named it.
"""

from __future__ import annotations

import os
import shlex
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import tomli_w

from fmtharness.harness.config import OUTPUTS, Config
from fmtharness.harness.errors import UserError
from fmtharness.harness.files import near_miss
from fmtharness.harness.run.folder import RunFolder, read_manifest

MANIFEST, KEPT = "manifest.json", "config.toml"
VIEWS = ("curves.png", "compare.md")
MADE = (
    *("data", "completions", "verdicts", "retention"),
    *("adapter", "checkpoints", "metrics.jsonl", "tb"),
)
"""What the stages of a run make, or begin with."""
Named = Iterable[tuple[str, Path | None]]
"""Paths, each with what the user calls it: an option, or CONFIG."""


def not_read(reads: Named, writes: Named) -> None:
    """Raise UserError if a file would be written that is read, or written twice.

    A folder among `reads` stands for all files in it. Devices and pipes do not count.
    """
    known: dict[Path, str] = {}
    folders: list[tuple[str, Path]] = []
    for name, path in reads:
        if path is not None and path.is_dir():
            folders.append((name, path))
        elif path is not None and (path.is_file() or not path.exists()):
            known.setdefault(path.resolve(), name)
    for name, path in writes:
        if path is None or (path.exists() and not path.is_file()):
            continue
        place = path.resolve()
        if place in known:
            raise UserError(f"{known[place]} and {name} are the same file {path}; name another")
        known[place] = name
        for whose, folder in folders if path.exists() else ():
            if place.is_relative_to(folder.resolve()):
                raise UserError(f"{name} would overwrite {path}, a file of {whose}; name another")


def is_run(folder: Path) -> bool:
    """Whether a run has begun in the folder, and its manifest can be read."""
    try:
        return bool(read_manifest(folder / MANIFEST))
    except (OSError, UserError):
        return False


def has_begun(folder: Path) -> None:
    """Raise UserError if the folder is not a run's folder."""
    if not read_manifest(folder / MANIFEST):
        usual = OUTPUTS / folder.name
        near = f", did you mean {str(usual)!r}?" if is_run(usual) else near_miss(folder, is_run)
        raise UserError(
            f"{folder} is no run's folder, since it has no {MANIFEST}{near}; "
            f"`fmtharness run --out {shlex.quote(str(folder))}` makes one"
        )


def files_of(run: Path) -> Iterator[tuple[str, Path]]:
    """The files and folders of a run, for `not_read`."""
    for name in (KEPT, MANIFEST, *MADE):
        if (run / name).exists():
            yield f"the run's {name}", run / name


def not_foreign(folder: Path, config: Config) -> None:
    """Raise UserError for foreign files where a run that has not begun would write its own.

    A run that was stopped at once leaves its config.toml, and nothing else.
    """
    if read_manifest(folder / MANIFEST):
        return
    run = RunFolder(folder, config)
    for path in (*(folder / name for name in (KEPT, *MADE, *VIEWS)), *run.dumps):
        if os.path.lexists(path) and not (path == folder / KEPT and _as_runs_write(path)):
            what = "folder" if path.is_dir() else "file"
            raise UserError(
                f"{path}: this {what} is not the run's own, and would be overwritten; move it "
                f"away, or choose another folder with --out"
            )
    for path in sorted(run.tb_logdir.glob("*tfevents*")):
        raise UserError(
            f"{path}: this file is not the run's own; set another name, or another report.tb_logdir"
        )


def _as_runs_write(config: Path) -> bool:
    """Whether the file has all tables of a config, and no comments or order from a person."""
    try:
        text = config.read_text(encoding="utf-8")
        tables = tomllib.loads(text)
    except (OSError, ValueError):
        return False
    every = {"name", "seed", "model", "data", "train", "eval", "retention", "report"}
    return tables.keys() == every and tomli_w.dumps(tables) == text


def kept(run: Path) -> dict[str, Any]:
    """The tables of the config that a run keeps, unchecked; empty if there are none."""
    try:
        return tomllib.loads((run / KEPT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def model_of(run: Path) -> str | None:
    """The model in the config that a run keeps, if there is one."""
    model = kept(run).get("model")
    return str(model["name"]) if isinstance(model, dict) and "name" in model else None
