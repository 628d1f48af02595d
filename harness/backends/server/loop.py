"""Coroutines for the items of a long iterable, a bounded number at once, from ordinary code.

async def double(n): await asyncio.sleep(1 / n); return 2 * n

[*as_they_finish(double, [1, 2, 4], most=3)]   ->  [8, 4, 2]

The event loop has a thread of its own, so that answers arrive, and their times are right, while the
caller is busy with the last one.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def as_they_finish(
    work: Callable[[Item], Coroutine[Any, Any, Result]],
    items: Iterable[Item],
    most: int,
    close: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> Generator[Result, None, None]:
    """Yield the results as they become available; `most` items are in progress at once.

    Results that wait for the caller count, too. The first exception ends it. At the end, however
    it comes, what is still in progress is cancelled, and then `close` is awaited.
    """
    done: SimpleQueue[Future[Result]] = SimpleQueue()
    with _event_loop(close) as loop:
        waiting = 0
        for item in items:
            asyncio.run_coroutine_threadsafe(work(item), loop).add_done_callback(done.put)
            waiting += 1
            if waiting == most:
                yield done.get().result()
                waiting -= 1
        for _ in range(waiting):
            yield done.get().result()


@contextmanager
def _event_loop(
    close: Callable[[], Coroutine[Any, Any, None]] | None,
) -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="requests", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        # Where the interpreter is ending, the thread is gone, and what it had open goes with it.
        if not sys.is_finalizing():
            asyncio.run_coroutine_threadsafe(_finish(close), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


async def _finish(close: Callable[[], Coroutine[Any, Any, None]] | None) -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    if close is not None:
        await close()
    await asyncio.get_running_loop().shutdown_asyncgens()
