"""The folder of shards, as the command that has them made sees it.

with opened(out, made_by={"--data": "9f2c..."}, judged_by={"json_strict": "..."}): ...
    out/shards.json     what the completions and the verdicts are made by
summed(job, blocks, evaluators)     the sums of all shards, one after the other

A folder whose completions were made by something else is refused, since they may have cost much;
verdicts by other judges are made again.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from fmtharness.harness.contracts import Evaluator
from fmtharness.harness.errors import HarnessError, UserError
from fmtharness.harness.files import atomic_file, sweep
from fmtharness.harness.judging.tally import Tally, by_completion
from fmtharness.harness.progress import say
from fmtharness.harness.records import Completion, Example, Verdict, read_records
from fmtharness.harness.run.shards import Block, Job, rows_in

KEPT = "shards.json"


class _Inputs(msgspec.Struct):
    """What the folder's files are made by, each with its hash."""

    completions: dict[str, str]
    verdicts: dict[str, str]


@contextmanager
def opened(out: Path, made_by: Mapping[str, str], judged_by: Mapping[str, str]) -> Iterator[None]:
    """Hold the folder, which is created if missing.

    Raises UserError if another process holds it, if it holds other files, and if its completions
    were made by something else.
    """
    import filelock

    lock = filelock.FileLock(out / ".lock", timeout=0)
    try:
        foreign = out.is_dir() and not (out / KEPT).is_file()
        if foreign and any(each.name != ".lock" for each in out.iterdir()):
            raise UserError(f"{out}: it holds files that are no shards; choose another --out")
        out.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout as error:
        raise UserError(f"{out}: another process works in it; wait for it or use --out") from error
    except OSError as error:
        raise UserError(
            f"{out}: no folder can be made or written there ({error.strerror}); use --out"
        ) from error
    try:
        sweep(out)
        _check(out, _Inputs(dict(made_by), dict(judged_by)))
        yield
    finally:
        lock.release()


def _check(out: Path, now: _Inputs) -> None:
    kept = out / KEPT
    if kept.is_file():
        try:
            before = msgspec.json.decode(kept.read_bytes(), type=_Inputs)
        except msgspec.MsgspecError as error:
            raise UserError(f"{kept}: {error}; choose another --out") from error
        if changed := _changes(before.completions, now.completions):
            raise UserError(
                f"{out}: its completions were made with another {' and '.join(changed)}; choose "
                f"another --out"
            )
        if changed := _changes(before.verdicts, now.verdicts):
            say(f"{out}: its completions are judged again, since {', '.join(changed)} changed")
            with suppress(FileNotFoundError):
                shutil.rmtree(out / "verdicts")
    with atomic_file(kept) as temporary:
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(now), indent=2) + b"\n")


def _changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    every = dict.fromkeys([*before, *now])
    return [name for name in every if before.get(name) != now.get(name)]


def summed(job: Job, blocks: Iterable[Block], evaluators: Sequence[Evaluator]) -> Tally:
    """The sums of all shards, read one after the other; says what the sums do not show.

    Raises HarnessError for a shard that lacks rows of its block.
    """
    sums = Tally(evaluators)
    unjudged = 0
    with closing(sqlite3.connect("")) as seen:  # a temporary file, so that memory stays constant
        seen.execute("create table ids (id text primary key) without rowid")
        again = 0
        for block in blocks:
            rows = rows_in(job.source, job.form, block, parse=False)
            examples = {each.id: each for each in rows if isinstance(each, Example)}
            completions = read_records(job.shard(block), Completion)
            verdicts = read_records(job.shard(block, "verdicts"), Verdict)
            count = 0
            for completion, judged in by_completion(evaluators, completions, verdicts):
                count += 1
                unjudged += not judged
                sums.count(completion)
                example = None if _unread(completion) else examples.get(completion.example_id)
                for verdict in judged:
                    sums.add(verdict, example, completion)
            if count != block.rows:
                raise HarnessError(
                    f"{job.shard(block)}: it has {count} of {block.rows} rows; remove the file and "
                    f"give the command again"
                )
            again += len(examples) - _new(seen, examples)
    if unjudged:
        say(f"note: {unjudged:,} rows are in a format that no evaluator judges")
    if again:
        say(f"note: {again:,} rows have the id of another shard's row; only their place differs")
    return sums


def _unread(completion: Completion) -> bool:
    return completion.error is not None and completion.finish_reason is None


def _new(seen: sqlite3.Connection, names: Iterable[str]) -> int:
    """How many of the ids were not seen before; they are from now on."""
    rows: list[tuple[Any]] = [(name.encode("utf-8", "surrogatepass"),) for name in names]
    return seen.executemany("insert or ignore into ids values (?)", rows).rowcount
