"""Files: written whole or not at all, known by their hash, and where fmtharness keeps its own.

with atomic_file(Path("rows.jsonl")) as temporary: ...   renamed to rows.jsonl at the end
file_digest(Path("adapter"))                             SHA-256 of a file or a folder's files
shipped("configs/quick.toml")                            the preset that came with fmtharness
near_miss(Path("outputs/quik/tb"))                       ", did you mean 'outputs/quick/tb'?"
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.text import nearest

END = 2**20
"""Bytes at each end of a large file that `quick_digest` reads."""
_PACKED = Path(__file__).parent / "shipped"
_CHECKOUT = Path(__file__).parents[1]


def shipped(name: str) -> Path:
    """A file of `configs/` or `data/examples/`: in the checkout, or packed into the wheel."""
    return (_PACKED if _PACKED.is_dir() else _CHECKOUT) / name


def on_disk(name: str) -> Path | None:
    """The folder or file that a model's name leads to; None for a hub id."""
    path = Path(os.path.expanduser(name))  # noqa: PTH111 - leaves ~nobody as it is
    return path if path.exists() else None


def cache_folder() -> Path:
    """Where converted models live: $FMTHARNESS_CACHE, else the user's cache folder."""
    if chosen := os.environ.get("FMTHARNESS_CACHE"):
        return Path(chosen)
    import platformdirs

    return platformdirs.user_cache_path("fmtharness")


def digest(value: Any) -> str:
    """A hash of plain data, the same in every process."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, or of a folder's files with their names."""
    if path.is_dir():
        return digest({p.name: file_digest(p) for p in sorted(path.iterdir())})
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def quick_digest(path: Path) -> str:
    """A hash of a file, or of the files in a folder; of those over 8 MiB, the size and both ends.

    It is for models, which are read before each stage: other weights differ at both ends, too.
    """
    if path.is_dir():
        inside = sorted(each for each in path.iterdir() if each.is_file())
        return digest({each.name: quick_digest(each) for each in inside})
    size = path.stat().st_size
    if size <= 8 * END:
        return file_digest(path)
    with path.open("rb") as file:
        first = file.read(END)
        file.seek(-END, os.SEEK_END)
        return hashlib.sha256(first + file.read() + str(size).encode()).hexdigest()


def near_miss(path: Path, fits: Callable[[Path], bool] = Path.exists) -> str:
    """', did you mean ...?' for a path that fits and differs in one misspelled part, or ''.

    The misspelled part is the first of those that are missing, else the last.
    """
    places = [place for place in (path, *path.parents) if place.name and place.parent.is_dir()]
    for place in places[:1]:
        rest = path.relative_to(place)
        try:
            beside = (each for each in place.parent.iterdir() if each.name != place.name)
            known = {each.name: each / rest for each in sorted(beside) if fits(each / rest)}
        except OSError:
            return ""
        if near := nearest(place.name, known):
            return f", did you mean {str(known[near])!r}?"
    return ""


class atomic_file:  # noqa: N801 - reads as a function at its call sites
    """A context that hands out a temporary path and renames it to `path` on success.

    The target of a link is replaced, not the link; a device or a pipe is written to directly.
    Raises UserError if the path cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve() if path.is_symlink() else path
        self.direct = self.path.exists() and not self.path.is_file()
        name = f".{self.path.name}.{os.getpid()}.tmp"
        self.temporary = self.path if self.direct else self.path.with_name(name)

    def __enter__(self) -> Path:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "it is a folder")
            if not self.direct:
                self.temporary.touch()
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror})") from error
        return self.temporary

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self.direct:
            return
        if kind is None:
            self.temporary.replace(self.path)
        else:
            self.temporary.unlink(missing_ok=True)
