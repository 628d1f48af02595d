"""Judges rows in blocks, on all cores if there are several blocks, in constant memory.

    judge_file(path, evaluators, {}, verdicts=True) yields a Judged for each block, in order

Each block is judged by itself and the results are merged in the file's order, so the number of
processes changes only the time. Nothing is written here.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from harness.contracts import Evaluator
from harness.errors import HarnessError
from harness.judging.rows import BLOCK_BYTES, blocks, completions, lines_in, numbered
from harness.judging.tally import Tally
from harness.judging.verdicts import formats_asked, verdicts_on
from harness.options import check
from harness.plugins import component
from harness.records import BrokenRow, Completion, Example, Verdict, encode

IN_FLIGHT = 3
"""How many blocks may wait for each process, which bounds the memory."""


class Judged:
    """The result for some rows: their sums, and the lines to write about them."""

    def __init__(self, evaluators: Sequence[Evaluator]) -> None:
        self.tally = Tally(evaluators)
        self.rows = 0
        """How many rows there were, broken ones included."""
        self.lines = 0
        """How many lines they took, blank ones included, if that is known."""
        self.answers: Counter[str] = Counter()
        """How many rows answer a known Example."""
        self.last_id = ""
        self.broken: list[BrokenRow] = []
        self.verdicts: list[bytes] = []
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
    ) -> None:
        self.evaluators = evaluators
        self.examples = examples
        self.formats = formats_asked(examples)
        self.verdicts = verdicts
        self.dump = dump

    def judge(self, rows: Iterable[Completion | BrokenRow]) -> Judged:
        """Judge the rows, and keep the lines to write if they are wanted."""
        done = Judged(self.evaluators)
        for row in rows:
            example = None
            if isinstance(row, BrokenRow):
                done.broken.append(row)
                done.last_id = str(row.line)
            else:
                example = self.examples.get(row.example_id)
                done.last_id = row.example_id
            done.rows += 1
            if example is not None:
                done.answers[example.id] += 1
            judged = verdicts_on(row, self.evaluators, self.examples, self.formats)
            completion = None if isinstance(row, BrokenRow) else row
            for verdict in judged:
                done.tally.add(verdict, example, completion)
                if self.verdicts:
                    done.verdicts.append(encode(verdict))
            if self.dump and isinstance(row, Completion):
                done.dump.append(encode(dump_row(row, example, judged)))
        return done


def dump_row(
    completion: Completion, example: Example | None, verdicts: Iterable[Verdict]
) -> dict[str, Any]:
    """One row for reading: prompt, target, text, and labels by evaluator."""
    return {
        "id": completion.example_id,
        "prompt": example and example.prompt,
        "target": example and example.completion,
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
    count = -(-path.stat().st_size // BLOCK_BYTES) if path.is_file() else 1
    workers = min(processes or _cores(), count)
    if workers < 2:
        for first, block in each:
            yield _judge(work, first, block)
        return
    try:
        pool = ProcessPoolExecutor(
            workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start,
            initargs=(_described(work.evaluators), work.examples, work.verdicts, work.dump),
        )
    except (OSError, ImportError) as error:
        raise HarnessError(
            f"{path}: this machine has no semaphores for several processes, perhaps for want of "
            f"/dev/shm ({error}); try --processes 1"
        ) from error
    waiting: deque[Future[Judged]] = deque()
    try:
        for first, block in each:
            waiting.append(pool.submit(_judge_block, first, block))
            if len(waiting) >= IN_FLIGHT * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise HarnessError(
            f"{path}: a judging process was killed, perhaps for want of memory; try --processes 1"
        ) from error
    finally:
        # A second Ctrl-C must not interrupt this, or the exit would wait for the workers forever.
        listens = threading.current_thread() is threading.main_thread()
        before = signal.signal(signal.SIGINT, signal.SIG_IGN) if listens else None
        pool.shutdown(cancel_futures=True)
        if listens:
            signal.signal(signal.SIGINT, before)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _described(evaluators: Sequence[Evaluator]) -> list[tuple[str, dict[str, Any]]]:
    """Names and the options that were set; a class created at run time cannot be pickled.

    A default that is sent along would count as set, and override the options of an Example.
    """
    models: Sequence[Any] = evaluators
    return [
        (each.name, each.model_dump(mode="json", include=each.model_fields_set)) for each in models
    ]


_work: Work | None = None


def _start(
    evaluators: list[tuple[str, dict[str, Any]]],
    examples: Mapping[str, Example],
    verdicts: bool,
    dump: bool,
) -> None:
    """Build a worker's own evaluators; only the parent handles Ctrl-C, and stops the worker."""
    global _work
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    built = []
    for name, table in evaluators:
        instance, faults = check(component("evaluators", name), table, name)
        if instance is None:
            raise ValueError("; ".join(faults))
        built.append(instance)
    _work = Work(built, examples, verdicts=verdicts, dump=dump)


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _judge_block(first: int, block: bytes) -> Judged:
    assert _work is not None
    return _judge(_work, first, block)


def _judge(work: Work, first: int, block: bytes) -> Judged:
    done = work.judge(completions(numbered(first, block)))
    done.lines = lines_in(block)
    return done
