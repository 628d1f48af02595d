"""Completions and Verdicts of any number of rows, in shards: blocks of a file's lines.

    cut(Path("rows.jsonl"), 500)        ([Block(0, 1, 0, 81340, 500), Block(1, ...)], "9f2c...")
    Worker(job)(block)                  Done(number=0, rows=500, errors=0, unread=0, fault="")
        completions/part-00000.jsonl    a Completion for each row of the block, in the rows' order
        verdicts/part-00000.jsonl       their Verdicts

A shard appears whole, under a name that only its block decides, so that a block may be worked on
twice and is still there once. Its completions come last: where they are, all of it is. A row that
cannot be read or answered is a Completion with its error, and unscored. A `Job` is plain data, so
that a worker on another machine finds components among its own plugins.
"""

from __future__ import annotations

import codecs
import hashlib
import itertools
import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from fmtharness.harness.contracts import Backend, Evaluator, ModelOptions
from fmtharness.harness.dataset.reader import Source, reader_of
from fmtharness.harness.errors import ConfigError, DataError, HarnessError
from fmtharness.harness.judging import limit
from fmtharness.harness.judging.rows import numbered
from fmtharness.harness.judging.verdicts import judge
from fmtharness.harness.options import check
from fmtharness.harness.plugins import Kind, component
from fmtharness.harness.records import Completion, Example, decode, encode, read_records
from fmtharness.harness.requirements import loads_models
from fmtharness.harness.run.sources import completions_by, sampled

DEATHS = 3
"""How often a block may take its process down before its rows are asked one by one."""
BEGUN = "began"
_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder(object)


class Block(NamedTuple):
    """Some lines of the file; blank ones are not rows."""

    number: int
    first: int
    """The number of its first line."""
    offset: int
    size: int
    """In bytes, as the offset."""
    rows: int


class Made(msgspec.Struct, frozen=True):
    """A component by its name, with its options."""

    kind: Kind
    name: str
    options: dict[str, Any]

    def build(self) -> Any:
        """The component of this process. Raises UserError where it is unknown or refuses them."""
        instance, faults = check(component(self.kind, self.name), self.options, self.name)
        if instance is None:
            raise ConfigError("\n".join(faults))
        return instance


class Job(msgspec.Struct, frozen=True):
    """What a worker needs to know; its paths are absolute."""

    source: Source
    form: str
    backend: Made
    model: dict[str, Any]
    adapter: str | None
    evaluators: list[Made]
    timeout_s: float
    """Of an evaluator, for one Completion."""
    out: str

    def shard(self, block: Block, folder: str = "completions") -> Path:
        return Path(self.out, folder, f"part-{block.number:05}.jsonl")


class Done(NamedTuple):
    """What became of a block."""

    number: int
    rows: int
    errors: int
    """How many rows have no answer, and are asked again another time."""
    unread: int = 0
    """How many rows cannot be read."""
    fault: str = ""
    """Why no block can be worked on, in one sentence; empty if all is well."""


def made(kind: Kind, built: Any) -> Made:
    """The component as plain data, with the options that were set: a default would count as set."""
    table = built.model_dump(mode="json", include=built.model_fields_set)
    return Made(kind, built.name, table)


def cut(path: Path, size: int, most: int | None = None) -> tuple[list[Block], str]:
    """The blocks of `size` rows, of the first `most` or all, and the SHA-256 of their lines.

    Raises DataError if the file cannot be read.
    """
    found: list[Block] = []
    sha, offset, rows, total, line = hashlib.sha256(), 0, 0, 0, 0
    begin, first = 0, 1
    try:
        with path.open("rb") as file:
            for line, text in enumerate(file, start=1):
                if total == most:
                    break
                sha.update(text)
                offset += len(text)
                if text.removeprefix(codecs.BOM_UTF8 if line == 1 else b"").strip():
                    rows += 1
                    total += 1
                if rows == size:
                    found.append(Block(len(found), first, begin, offset - begin, rows))
                    begin, first, rows = offset, line + 1, 0
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    if rows:
        found.append(Block(len(found), first, begin, offset - begin, rows))
    return found, sha.hexdigest()


def rows_in(
    source: Source, form: str, block: Block, *, parse: bool = True
) -> list[Example | Completion]:
    """The block's rows as Examples; for one that cannot be read, a Completion with the error.

    Raises DataError if the file cannot be read.
    """
    read = reader_of(source, form, parse=parse)
    try:
        with Path(source.name).open("rb") as file:
            file.seek(block.offset)
            data = file.read(block.size)
    except OSError as error:
        raise DataError(
            f"{source.name}: cannot be read ({error.strerror}); all machines need it in this place"
        ) from error
    found: list[Example | Completion] = []
    for line, text in numbered(block.first, data):
        try:
            found.append(read(line, decode(_ANY, text)))
        except Exception as error:  # one row never ends the job
            why = str(error) if isinstance(error, DataError) else f"line {line}: {error}"
            found.append(Completion(example_id=str(line), text="", error=why))
    return found


def is_done(job: Job, block: Block) -> bool:
    """Whether the block's shard is there and no row of it is to be asked again.

    A row that could not be read has no finish reason: asking again would not help it.
    """
    shard = job.shard(block)
    if not (shard.is_file() and job.shard(block, "verdicts").is_file()):
        return False
    return all(each.finish_reason != "error" for each in read_records(shard, Completion))


class Worker:
    """Works on blocks, one after the other; builds its components for the first of them."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.stack = ExitStack()
        self.backend: Backend | None = None
        self.evaluators: Sequence[Evaluator] = ()

    def __call__(self, block: Block) -> Done:
        """Write the block's shard, without asking again for what stands there already."""
        try:
            return self._finish(block)
        except HarnessError as error:
            return Done(block.number, 0, 0, fault=str(error))
        except OSError as error:
            fault = f"{error.filename or self.job.out}: {error.strerror}"
            return Done(block.number, 0, 0, fault=fault)

    def _build(self) -> Backend:
        if self.backend is None:
            limit.limit(self.job.timeout_s)
            backend: Backend = self.job.backend.build()
            self.evaluators = [each.build() for each in self.job.evaluators]
            if loads_models(backend):
                from fmtharness.harness.backends.transformers import loading_once

                self.stack.enter_context(loading_once())
            self.backend = backend
        return self.backend

    def _finish(self, block: Block) -> Done:
        backend, job = self._build(), self.job
        rows = rows_in(job.source, job.form, block)
        shard, known = job.shard(block), dict[str, Completion]()
        if shard.is_file():
            before = read_records(shard, Completion)
            known = {each.example_id: each for each in before if each.error is None}
        readable = sampled((each for each in rows if isinstance(each, Example)), 1)
        examples = {each.id: each for each in readable}
        asked = [each for each in examples.values() if each.id not in known]
        if asked:
            known |= self._answers(backend, block, asked)
        completions = [row if isinstance(row, Completion) else known[row.id] for row in rows]
        judged = judge(self.evaluators, examples, completions)
        write_whole(job.shard(block, "verdicts"), map(encode, judged))
        write_whole(shard, map(encode, completions))
        _Attempts(job, block).forget()
        again = sum(each.finish_reason == "error" for each in completions)
        failed = sum(each.error is not None for each in completions)
        return Done(block.number, len(rows), again, failed - again)

    def _answers(
        self, backend: Backend, block: Block, asked: Sequence[Example]
    ) -> dict[str, Completion]:
        job, attempts = self.job, _Attempts(self.job, block)
        adapter = Path(job.adapter) if job.adapter else None
        model = ModelOptions.model_validate_json(json.dumps(job.model))
        arm = "sft" if adapter else "base"

        def ask(some: Sequence[Example]) -> Iterator[Completion]:
            return completions_by(backend, model, adapter, some, arm=arm)

        careful, deadly = attempts.begin()
        if not careful:
            return answers(ask, asked, backend.name)
        found = {}
        for example in asked:
            if example.id in deadly:
                found[example.id] = _failed(example, "the process ended while it was asked")
                continue
            attempts.ask(example.id)
            found |= answers(ask, [example], backend.name)
        return found


def answers(
    ask: Callable[[Sequence[Example]], Iterable[Completion]],
    examples: Sequence[Example],
    name: str,
) -> dict[str, Completion]:
    """A Completion for each Example by its id, whatever the backend of this name raises.

    Those that lack one are asked in halves, so that only those fail which fail alone. Raises
    HarnessError where it is no fault of one Example: a model, a config, a library.
    """
    found: dict[str, Completion] = {}
    waiting = [examples]
    while waiting:
        group = waiting.pop()
        wanted = {each.id for each in group}
        why = f"backend {name!r} gave no Completion for it"
        try:
            for each in ask(group):
                if each.example_id in wanted:
                    found.setdefault(each.example_id, each)
        except HarnessError as error:
            if not isinstance(error, DataError):
                raise
            why = str(error)
        except (Exception, SystemExit) as error:
            why = f"backend {name!r} raised {type(error).__name__}: {error}"
        left = [each for each in group if each.id not in found]
        if len(left) == 1:
            found[left[0].id] = _failed(left[0], why)
        elif left:
            middle = len(left) // 2
            waiting += [left[middle:], left[:middle]]
    return found


def _failed(example: Example, why: str) -> Completion:
    return Completion(example_id=example.id, text="", finish_reason="error", error=why)


def write_whole(path: Path, lines: Iterable[bytes]) -> None:
    """Write the file whole or not at all, by whichever machine; of several the last one stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Processes of two machines may have one number, so the name has random digits instead.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("wb") as file:
            file.writelines(lines)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class _Attempts:
    """How often a block was begun, and which row was asked alone when its process ended."""

    def __init__(self, job: Job, block: Block) -> None:
        self.path = job.shard(block, "attempts")

    def begin(self) -> tuple[bool, set[str]]:
        """Whether each row is to be asked alone, and those that ended a process."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else []
        self._add(BEGUN)
        told = itertools.pairwise([*lines, BEGUN])
        deadly = {json.loads(each) for each, after in told if each != BEGUN and after == BEGUN}
        return lines.count(BEGUN) >= DEATHS, deadly

    def ask(self, name: str) -> None:
        self._add(json.dumps(name))

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)

    def _add(self, line: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
