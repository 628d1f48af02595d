"""CUDA graphs, and the GPU memory that their owner does not use between replays.

    with nothing_read():      raises where a graph could not hold what is run
    let_go()                  gives back memory that nothing uses
    graph = captured(run, pool.id)
    with lend(pool):          by the owner, who replays none of the pool's graphs inside
    with borrowed():          what is allocated here lies in lent memory, where there is some

A borrower lets go of it before the owner goes on.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

import torch

_lent: ContextVar[torch.cuda.MemPool | None] = ContextVar("lent", default=None)


@contextmanager
def nothing_read() -> Iterator[None]:
    """Raise RuntimeError where a value is read from the device.

    A graph cannot hold that, and a capture that fails may leave torch's allocator unusable.
    """
    if not torch.cuda.is_available():
        yield
        return
    before = torch.cuda.get_sync_debug_mode()
    _ask_for(2)
    try:
        yield
    finally:
        _ask_for(before)


def _ask_for(mode: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it may overlook some
        torch.cuda.set_sync_debug_mode(mode)


def let_go() -> None:
    """Give the GPU back what torch only keeps: free blocks, and what cuBLAS works in.

    The latter is 64 MiB on an H200, and made anew where it is asked for.
    """
    clear = getattr(torch._C, "_cuda_clearCublasWorkspaces", None)
    if torch.cuda.is_available() and clear is not None:
        clear()
    torch.cuda.empty_cache()


def captured(run: Callable[[], object], pool: Any = None) -> torch.cuda.CUDAGraph:
    """The graph of one call, which is not run; it works on the tensors that the call used.

    Its memory is that of the pool, else lent memory, else its own. Raises RuntimeError where the
    call does what a graph cannot hold.
    """
    lent = _lent.get()
    if pool is None:
        pool = torch.cuda.graph_pool_handle() if lent is None else lent.id
    graph, outside = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
    try:
        with torch.cuda.graph(graph, pool=pool):
            run()
    except RuntimeError:
        _give_up(outside, pool)
        raise
    return graph


def _give_up(outside: torch.cuda.Stream, pool: Any) -> None:
    """What torch leaves undone where a capture fails (before 2.12, the memory too)."""
    torch.cuda.set_stream(outside)
    with suppress(RuntimeError, AttributeError):  # it was done, or has another name
        torch._C._cuda_endAllocateToPool(outside.device_index, pool)
        torch._C._cuda_releasePool(outside.device_index, pool)


@contextmanager
def lend(pool: torch.cuda.MemPool) -> Iterator[None]:
    token = _lent.set(pool)
    try:
        yield
    finally:
        _lent.reset(token)


@contextmanager
def borrowed() -> Iterator[None]:
    pool, stream = _lent.get(), torch.cuda.graph.default_capture_stream
    if pool is None or stream is None:
        yield
        return
    # A block of memory goes to the stream that had it before: here, the one of all captures.
    outside = torch.cuda.current_stream()
    stream.wait_stream(outside)
    try:
        with torch.cuda.stream(stream), torch.cuda.use_mem_pool(pool):
            yield
    finally:
        outside.wait_stream(stream)
