"""A file's rows in blocks, on all cores if there are several blocks.

for part in looks_at(Source("rows.jsonl"), Aims(), None):
    part.counts     what the checks found in one block
    part.numbers    its rows' FACTS

Only files of lines have blocks; others are read in one piece, by one process. The number of
processes changes only the time.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from fmtharness.harness.dataset.doctor_checks import Place
from fmtharness.harness.dataset.doctor_rows import FIRST, Aims, Looked
from fmtharness.harness.dataset.near import Near
from fmtharness.harness.dataset.reader import Row, Source, form_of, rows
from fmtharness.harness.errors import DataError, HarnessError
from fmtharness.harness.judging import limit
from fmtharness.harness.judging.rows import BLOCK_BYTES, blocks
from fmtharness.harness.records import Example
from fmtharness.harness.text import Shown

OF_LINES: Final = (".jsonl", ".ndjson")
AT_ONCE: Final = 4
"""A file of fewer blocks is looked at by this process, which is done before another could start."""
IN_FLIGHT: Final = 3
"""How many blocks may wait for each process, which bounds the memory."""
ROWS: Final = 4096
"""How many rows a part has where a file is read in one piece."""


class Block(NamedTuple):
    """Whole lines of a file: the number of the first, where they begin, and their bytes."""

    first: int
    offset: int
    size: int


class Part(NamedTuple):
    """What was found in some rows."""

    counts: Counter[str]
    labels: dict[str, Counter[str]]
    places: dict[str, list[Place]]
    formats: list[str]
    long: list[tuple[int, Example]]
    prompts: list[tuple[int, str]]
    numbers: Any


class Looks:
    """What was found in all rows of a file."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.labels: dict[str, Counter[str]] = {}
        self.places: dict[str, list[Place]] = {}
        self.formats: list[str] = []
        self.form = ""
        self.blocks: list[Block] = []
        self.at_hand: Sequence[Example] = ()
        """The rows themselves, where they are in memory."""

    def add(self, part: Part) -> Any:
        """Add a part, and return its FACTS with the file's numbers of the formats."""
        self.counts.update(part.counts)
        for name, labels in part.labels.items():
            self.labels.setdefault(name, Counter()).update(labels)
        for name, places in part.places.items():
            kept = self.places.setdefault(name, [])
            kept += places[: FIRST - len(kept)]
        self.formats += [each for each in part.formats if each not in self.formats]
        new = np.array([self.formats.index(each) for each in part.formats], dtype=np.uint16)
        if len(new):
            part.numbers["format"] = new[part.numbers["format"]]
        return part.numbers


def looks_at(
    source: Source, aims: Aims, near: Near | None, look: Looks, *, keep: bool, processes: int | None
) -> Iterator[Part]:
    """Yield what is found in each block, in order; `keep` keeps the prompts.

    Raises DataError for a row that cannot be read, and HarnessError if a process dies.
    """
    source = msgspec.structs.replace(source, form=source.form or form_of(source))
    aims = msgspec.structs.replace(aims, own=source.form == "example")
    look.form = source.form or ""
    path = Path(source.name)
    if path.suffix.lower() not in OF_LINES or source.limit is not None:
        every = rows(source)
        while some := [*islice(every, ROWS)]:
            yield look_at(source.name, some, aims, near, keep=keep)
        return
    look.blocks = list(_blocks(path))
    count = min(processes or _cores(), len(look.blocks))
    if count < 2 or len(look.blocks) < AT_ONCE:
        _begin(source, aims, near, keep)
        for block in look.blocks:
            yield _look(block)
        return
    context = multiprocessing.get_context("spawn")
    given = (source, aims, near, keep, limit.seconds())
    pool = ProcessPoolExecutor(count, context, initializer=_serve, initargs=given)
    try:
        waiting: deque[Any] = deque()
        for block in look.blocks:
            waiting.append(pool.submit(_look, block))
            if len(waiting) >= IN_FLIGHT * count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise HarnessError(
            f"{source.name}: a process that looked at rows was killed, perhaps for want of memory; "
            f"try --processes 1"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def look_at(file: str, found: Iterable[Row], aims: Aims, near: Near | None, *, keep: bool) -> Part:
    """Look at rows."""
    looked = Looked(file, aims, near, keep=keep)
    for row in found:
        looked.add(row)
    return Part(
        looked.counts,
        looked.labels,
        looked.places,
        looked.formats,
        looked.long,
        looked.prompts,
        looked.facts(),
    )


def line_of(source: Source, line: int, look: Looks) -> Row | None:
    """The row in this line, read again."""
    if look.at_hand:
        return Row(line, {}, look.at_hand[line - 1])
    if look.blocks:
        at = bisect_right(look.blocks, line, key=lambda each: each.first) - 1
        found = rows_in(source, look.blocks[at])
    else:
        found = rows(source)
    return next((row for row in found if row.line == line), None)


def rows_in(source: Source, block: Block) -> Iterator[Row]:
    """The rows of a block of the file, with their lines in the file."""
    path = Path(source.name)
    with path.open("rb") as file, tempfile.TemporaryDirectory() as folder:
        file.seek(block.offset)
        alone = Path(folder) / path.name
        alone.write_bytes(file.read(block.size))
        for row in rows(msgspec.structs.replace(source, name=str(alone))):
            line = row.line + block.first - 1
            example = row.example
            if example.id == str(row.line) and "id" not in row.raw:
                example = msgspec.structs.replace(example, id=str(line))
            yield Row(line, row.raw, example)


_given: list[Any] = []
"""The arguments with which this process looks at rows."""


def _begin(source: Source, aims: Aims, near: Near | None, keep: bool) -> None:
    _given[:] = [source, aims, near, keep]


def _look(block: Block) -> Part:
    source, aims, near, keep = _given
    try:
        return look_at(source.name, rows_in(source, block), aims, near, keep=keep)
    except DataError:
        for _ in rows(source):  # it names the line and the file as they are
            pass
        raise


def _serve(source: Source, aims: Aims, near: Near | None, keep: bool, seconds: float) -> None:
    """Begin in a process of its own, which ends with its parent; only the parent handles Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.dup2(2, 1)
    sys.stdout = Shown(sys.stderr)
    limit.limit(seconds)
    _begin(source, aims, near, keep)


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _blocks(path: Path) -> Iterator[Block]:
    offset = 0
    for first, block in blocks(path, BLOCK_BYTES):
        yield Block(first, offset, len(block))
        offset += len(block)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
