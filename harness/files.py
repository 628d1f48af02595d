"""Files: written whole or not at all, known by their hash, and where fmtharness keeps its own.

with atomic_file(Path("rows.jsonl")) as temporary: ...   renamed to rows.jsonl at the end
file_digest(Path("adapter"))                             SHA-256 of a file or a folder's files
shipped("configs/quick.toml")                            the preset that came with fmtharness
near_miss(Path("outputs/quik/tb"))                       ", did you mean 'outputs/quick/tb'?"
sweep(Path("outputs/quick"))                             removes what killed processes left there
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

if sys.platform != "win32":
    import fcntl

from fmtharness.harness.errors import UserError
from fmtharness.harness.text import nearest

LARGE = 8 * 2**20
"""Bytes over which `quick_digest` remembers a file's hash."""
TICK_NS = 2 * 10**9
SHA256_DIGITS = 64
TEMPLATES = "additional_chat_templates"
"""The only folder in a model's folder that transformers reads."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SAYS_FULL = re.compile(rf"os error ({'|'.join(map(str, _FULL))})\b")
_LEFT = re.compile(r"\..+\.(\d+|[a-z0-9_]{8})\.tmp|\.(step-\d+|adapter|state\.json)\.tmp")
"""The names of temporary files and folders: what they become, and mostly who writes them."""
_PACKED = Path(__file__).parent / "shipped"
_CHECKOUT = Path(__file__).resolve().parents[1]


def shipped(name: str) -> Path:
    """A file of `configs/` or `data/`: in the checkout, or packed into the wheel."""
    return (_PACKED if _PACKED.is_dir() else _CHECKOUT) / name


def on_disk(name: str) -> Path | None:
    """The folder or file that a model's name leads to; None for a hub id."""
    path = Path(os.path.expanduser(name))  # noqa: PTH111 - leaves ~nobody as it is
    # Path.exists would raise for a text that is no file's name, such as one that is too long.
    return path if os.path.exists(path) else None  # noqa: PTH110


def is_gguf(path: Path) -> bool:
    """Whether a path is named as a GGUF file is, in small or capital letters."""
    return path.suffix.lower() == ".gguf"


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
    """A hash of a model's file, or of its folder's files and chat templates, with their names.

    Each file is read whole; of those over 8 MiB the hash is kept in the cache for as long as the
    file system says that they are unchanged, since a model is asked for before each stage.
    """
    if path.is_dir():
        inside = [each for each in path.iterdir() if each.is_file()]
        inside += (path / TEMPLATES).glob("*.jinja")
        return digest({each.relative_to(path).as_posix(): quick_digest(each) for each in inside})
    stat = path.stat()
    if stat.st_size <= LARGE:
        return file_digest(path)
    # The time of a file's change, unlike that of its contents, cannot be set back.
    unchanged = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    kept = cache_folder() / "digests" / digest([str(path.resolve()), *unchanged])
    with suppress(OSError):
        if len(known := kept.read_text(encoding="ascii")) == SHA256_DIGITS:
            return known
    found = file_digest(path)
    # A second change in the same tick of the clock would not show in the times.
    if time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) > TICK_NS:
        sweep(kept.parent)
        with suppress(OSError, UserError), atomic_file(kept) as temporary:
            temporary.write_text(found, encoding="ascii")
    return found


def is_full(error: BaseException) -> bool:
    """Whether there was no space for a file, on its disk or in the user's quota.

    Libraries in other languages say so in their own types of error.
    """
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return _SAYS_FULL.search(str(error)) is not None


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


def hold(path: Path) -> int | None:
    """Keep a temporary file or folder from `sweep`, until this process ends or closes the result.

    The mark is a lock that the system takes back when the process is killed. None if the path's
    file system has no locks.
    """
    if sys.platform == "win32":
        return None  # an open file cannot be renamed there
    try:
        opened = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(opened)
        return None
    return opened


def sweep(folder: Path, becomes: str | None = None) -> None:
    """Remove what killed processes left in the folder and below, where no process holds it.

    `becomes` is the name that the temporary files would have got; then only the folder itself is
    swept. What is not named as temporary files are here stays.
    """
    left = []
    for at, folders, files in os.walk(folder):
        left += [Path(at) / name for name in (*folders, *files) if _LEFT.fullmatch(name)]
        if becomes is not None:
            left = [path for path in left if path.name.startswith(f".{becomes}.")]
            break
    for path in left:
        if path.is_symlink() or (held := hold(path)) is None:
            continue
        with suppress(OSError):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
        os.close(held)


@contextmanager
def held_folder(parent: Path, name: str) -> Iterator[Path]:
    """A temporary folder for what becomes `name`; removed at the end, or swept later."""
    with tempfile.TemporaryDirectory(dir=parent, prefix=f".{name}.", suffix=".tmp") as made:
        held = hold(Path(made))
        try:
            yield Path(made)
        finally:
            if held is not None:
                os.close(held)


def as_umask(folder: Path) -> None:
    """Give a new folder's files the mode that they have by the umask; safetensors has its own."""
    mode = folder.stat().st_mode & 0o666
    for path in folder.iterdir():
        if path.is_file():
            path.chmod(mode)


class atomic_file:  # noqa: N801 - reads as a function at its call sites
    """A context that hands out a temporary path and renames it to `path` on success.

    The target of a link is replaced, not the link; a device or a pipe is written to directly.
    Raises UserError if the path cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.direct = path.exists() and not path.is_file()
        self.path = path.resolve() if path.is_symlink() and not self.direct else path
        self.held: int | None = None
        name = f".{self.path.name}.{os.getpid()}.tmp"
        self.temporary = self.path if self.direct else self.path.with_name(name)

    def __enter__(self) -> Path:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "it is a folder")
            if not self.direct:
                sweep(self.path.parent, self.path.name)
                self.temporary.touch()
                self.held = hold(self.temporary)
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror})") from error
        return self.temporary

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self.direct:
            return
        try:
            if kind is None:
                self.temporary.replace(self.path)
            else:
                self.temporary.unlink(missing_ok=True)
        finally:
            if self.held is not None:
                os.close(self.held)
