"""Judges rows in blocks, on all cores if there are several blocks, in constant memory.

    judge_file(path, evaluators, {}, verdicts=True) yields a Judged for each block, in order

Each block is judged by itself and the results are merged in the file's order, so the number of
processes changes only the time. Nothing is written here. A worker that an evaluator holds longer
than the time limit is ended, and another judges its blocks without that evaluation; an evaluator
from a plugin therefore always works in a worker.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

from fmtharness.harness.contracts import Evaluator
from fmtharness.harness.errors import HarnessError
from fmtharness.harness.judging import limit
from fmtharness.harness.judging.rows import BLOCK_BYTES, blocks, completions, lines_in, numbered
from fmtharness.harness.judging.tally import Tally
from fmtharness.harness.judging.verdicts import formats_asked, verdicts_on
from fmtharness.harness.options import check
from fmtharness.harness.plugins import GROUP, component, registry
from fmtharness.harness.records import BrokenRow, Completion, Example, Verdict, encode
from fmtharness.harness.text import Shown

IN_FLIGHT = 3
"""How many blocks may wait for each process, which bounds the memory."""
AHEAD = 2
"""How many blocks a worker is given at once, so that it never waits for the next."""
POLL = 0.5
"""Seconds between two looks at whether a worker is stuck."""
PR_SET_PDEATHSIG = 1


class Judged:
    """The result for some rows: their sums, and the lines to write about them."""

    def __init__(self, evaluators: Sequence[Evaluator], n: int) -> None:
        self.tally = Tally(evaluators, n=n)
        self.rows = 0
        """How many rows there were, broken ones included."""
        self.lines = 0
        """How many lines they took, blank ones included, if that is known."""
        self.answers: Counter[str] = Counter()
        """How many rows answer a known Example."""
        self.last_id = ""
        self.broken: list[BrokenRow] = []
        self.verdicts: list[bytes] = []
        self.samples: list[int] = []
        """Which of several completions of its prompt each of the verdicts is on."""
        self.dump: list[bytes] = []


class Work:
    """What to do with each block of rows."""

    def __init__(
        self,
        evaluators: Sequence[Evaluator],
        examples: Mapping[str, Example],
        *,
        verdicts: bool,
        dump: bool,
        strangers: bool = True,
        n: int = 1,
    ) -> None:
        self.evaluators = evaluators
        self.examples = examples
        self.formats = formats_asked(examples)
        self.verdicts = verdicts
        self.dump = dump
        self.strangers = strangers
        """Whether an answer to none of the Examples is judged, too."""
        self.n = n
        """How many answers a prompt has."""

    def judge(self, rows: Iterable[Completion | BrokenRow]) -> Judged:
        """Judge the rows, and keep the lines to write if they are wanted."""
        done = Judged(self.evaluators, self.n)
        count = done.tally.count
        for row in rows:
            example = None
            if isinstance(row, BrokenRow):
                done.broken.append(row)
                done.last_id = str(row.line)
            else:
                count(row)
                example = self.examples.get(row.example_id)
                done.last_id = row.example_id
            done.rows += 1
            if example is not None:
                done.answers[example.id] += 1
            elif not self.strangers and isinstance(row, Completion):
                continue
            judged = verdicts_on(row, self.evaluators, self.examples, self.formats)
            completion = None if isinstance(row, BrokenRow) else row
            for verdict in judged:
                done.tally.add(verdict, example, completion)
                if self.verdicts:
                    done.verdicts.append(encode(verdict))
                    done.samples.append(completion.sample if completion else 0)
            if self.dump and isinstance(row, Completion):
                done.dump.append(encode(dump_row(row, example, judged)))
        return done


def dump_row(
    completion: Completion, example: Example | None, verdicts: Iterable[Verdict]
) -> dict[str, Any]:
    """One row for reading: prompt, target, text, and labels by evaluator."""
    thought = {} if completion.reasoning is None else {"reasoning": completion.reasoning}
    sample = {"sample": completion.sample} if completion.sample else {}
    return {
        "id": completion.example_id,
        **sample,
        "prompt": example and example.prompt,
        "target": example and example.completion,
        **thought,
        "text": completion.text,
        "finish_reason": completion.finish_reason,
        "verdicts": {
            verdict.evaluator: {"passed": verdict.passed, "labels": verdict.labels}
            for verdict in verdicts
        },
    }


def judge_file(path: Path, work: Work, *, processes: int | None = None) -> Iterator[Judged]:
    """Yield the result for each block of the file, in order; `processes` defaults to the cores.

    Raises DataError if the file cannot be read, and HarnessError if a process dies.
    """
    each = blocks(path)
    count = -(-path.stat().st_size // BLOCK_BYTES) if path.is_file() else 0
    workers = min(processes or _cores(), count)
    if workers < 1 or (workers == 1 and not _from_plugins(work.evaluators)):
        for first, block in each:
            yield _judge(work, first, block)
        return
    pool: list[_Worker] = []
    done: dict[int, Judged] = {}
    due = 0
    tasks = _tasks(each)
    following = next(tasks, None)
    try:
        try:
            pool += [_Worker(path, work) for _ in range(workers)]
        except (OSError, ImportError) as error:
            raise HarnessError(
                f"{path}: this machine cannot start several processes, perhaps for want of "
                f"/dev/shm ({error}); try --processes 1"
            ) from error
        while following or any(worker.tasks for worker in pool):
            while following and following.number < due + IN_FLIGHT * workers:
                worker = min(pool, key=lambda each: len(each.tasks))
                if len(worker.tasks) == AHEAD:
                    break
                worker.give(following)
                following = next(tasks, None)
            for at, worker in enumerate(pool):
                if worker.stuck():
                    pool[at] = worker.replaced()
            for ready in wait([worker.connection for worker in pool], POLL):
                worker = next(each for each in pool if each.connection is ready)
                number, judged = worker.result()
                done[number] = judged
            while due in done:
                yield done.pop(due)
                due += 1
    except (EOFError, ConnectionError) as error:
        raise HarnessError(
            f"{path}: a judging process was killed, perhaps for want of memory; try --processes 1"
        ) from error
    finally:
        # A second Ctrl-C must not interrupt this, or the exit would wait for the workers forever.
        listens = threading.current_thread() is threading.main_thread()
        before = signal.signal(signal.SIGINT, signal.SIG_IGN) if listens else None
        for worker in pool:
            worker.process.kill()
        for worker in pool:
            worker.end()
        if listens:
            signal.signal(signal.SIGINT, before)


class _Task(NamedTuple):
    """A block of the file, and the counts at which its evaluators are not asked."""

    number: int
    first: int
    offset: int
    size: int
    skipped: frozenset[int] = frozenset()


def _tasks(parts: Iterable[tuple[int, bytes]]) -> Iterator[_Task]:
    offset = 0
    for number, (first, block) in enumerate(parts):
        yield _Task(number, first, offset, len(block))
        offset += len(block)


class _Worker:
    """A process that judges blocks, as its parent sees it."""

    def __init__(self, path: Path, work: Work) -> None:
        self.path, self.work = path, work
        self.tasks: deque[_Task] = deque()
        """The tasks it was given; it is working on the first one."""
        context = multiprocessing.get_context("spawn")
        self.calls: Any = context.RawArray("q", 1)
        self.seen, self.looked, self.held = 0, time.monotonic(), 0.0
        self.connection, theirs = context.Pipe()
        self.process = context.Process(
            target=_serve,
            args=(
                theirs,
                path,
                (_described(work.evaluators), work.examples, _wanted(work)),
                (self.calls, limit.seconds()),
            ),
        )
        # The process starts with Ctrl-C blocked, since only its parent handles it.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if _POSIX else ()
        try:
            self.process.start()
        finally:
            if _POSIX:
                signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        theirs.close()

    def give(self, task: _Task) -> None:
        self.tasks.append(task)
        self.connection.send(task)

    def result(self) -> tuple[int, Judged]:
        """The first task's number and result. Raises HarnessError if the worker cannot work."""
        found = self.connection.recv()
        if isinstance(found, str):
            raise HarnessError(found)
        return self.tasks.popleft().number, found

    def stuck(self) -> bool:
        """Whether one evaluation has held it for so long that it cannot have been interrupted."""
        now, calls = time.monotonic(), self.calls[0]
        if calls != self.seen or calls % 2 == 0 or self.connection.poll():
            self.seen, self.held = calls, 0.0
        else:  # a process that was suspended has not been held all the time
            self.held += min(now - self.looked, 2 * POLL)
        self.looked = now
        return self.held > 1.5 * limit.seconds() + 2 * POLL

    def replaced(self) -> _Worker:
        """Another worker with the same tasks, without the evaluation that this one is stuck in."""
        self.process.kill()
        self.end()
        new = _Worker(self.path, self.work)
        first, *rest = self.tasks
        new.give(first._replace(skipped=first.skipped | {self.seen}))
        for task in rest:
            new.give(task)
        return new

    def end(self) -> None:
        self.process.join()
        self.connection.close()


_POSIX = hasattr(signal, "pthread_sigmask")


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _from_plugins(evaluators: Iterable[Evaluator]) -> bool:
    known = registry()["evaluators"]
    return any(known[e.name].distribution != GROUP for e in evaluators if e.name in known)


def _described(evaluators: Sequence[Evaluator]) -> list[tuple[str, dict[str, Any]]]:
    """Names and the options that were set; a class created at run time cannot be pickled.

    A default that is sent along would count as set, and override the options of an Example.
    """
    models: Sequence[Any] = evaluators
    return [
        (each.name, each.model_dump(mode="json", include=each.model_fields_set)) for each in models
    ]


def _wanted(work: Work) -> dict[str, bool]:
    return {"verdicts": work.verdicts, "dump": work.dump, "strangers": work.strangers}


def _serve(
    connection: Connection,
    path: Path,
    made: tuple[list[tuple[str, dict[str, Any]]], Mapping[str, Example], dict[str, bool]],
    limited: tuple[Any, float],
) -> None:
    """Judge block after block until the parent ends; only the parent handles Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent()
    os.dup2(2, 1)
    sys.stdout = Shown(sys.stderr)
    described, examples, wanted = made
    limit.calls, seconds = limited
    limit.limit(seconds)
    built = []
    for name, table in described:
        instance, faults = check(component("evaluators", name), table, name)
        if instance is None:
            connection.send("; ".join(faults))
            return
        built.append(instance)
    work = Work(built, examples, **wanted)
    with path.open("rb") as file:
        while True:
            task = connection.recv()
            file.seek(task.offset)
            limit.calls[0] = 0
            limit.skipped = task.skipped
            connection.send(_judge(work, task.first, file.read(task.size)))


def _end_with_parent() -> None:
    """End when the parent does, also while an evaluator holds the interpreter (on Linux)."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait_for_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _judge(work: Work, first: int, block: bytes) -> Judged:
    done = work.judge(completions(numbered(first, block)))
    done.lines = lines_in(block)
    return done
