"""CUDA graph capture, and reuse of a graph's memory pool between its replays.

    with nothing_read():      raises on a device-to-host sync, which a graph cannot capture
    let_go()                  returns cached memory to the GPU
    graph = captured(run, pool.id)
    with lend(pool):          the pool's owner lends it and must replay none of its graphs inside
    with borrowed():          allocations inside come from the lent pool, if there is one

All borrowed tensors must be freed before the owner replays a graph of the pool.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch

from fmtharness.harness.engine.torch_private import (
    capture_stream,
    clear_cublas_workspaces,
    end_capture,
)

_lent: ContextVar[torch.cuda.MemPool | None] = ContextVar("lent", default=None)


@contextmanager
def nothing_read() -> Iterator[None]:
    """Inside: raise RuntimeError when the host synchronizes with the device, as `.item()` does.

    Detects this before a capture, since a failed capture can leave torch's allocator unusable.
    Without CUDA it does nothing.
    """
    if not torch.cuda.is_available():
        yield
        return
    before = torch.cuda.get_sync_debug_mode()
    _set_sync_debug_mode(2)
    try:
        yield
    finally:
        _set_sync_debug_mode(before)


def _set_sync_debug_mode(mode: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that the mode is a prototype
        torch.cuda.set_sync_debug_mode(mode)


def let_go() -> None:
    """Free cuBLAS's workspaces and the allocator's unused cached blocks.

    The workspaces take 64 MiB on an H200; cuBLAS allocates them again when needed.
    """
    if torch.cuda.is_available():
        clear_cublas_workspaces()
    torch.cuda.empty_cache()


def captured(run: Callable[[], object], pool: Any = None) -> torch.cuda.CUDAGraph:
    """Capture one call of `run` as a CUDA graph, without executing it.

    A replay reads and writes the same tensors as the captured call. The graph allocates from
    `pool`, else from the lent pool, else from a new pool of its own. Raises RuntimeError if the
    call contains an operation that cannot be captured.
    """
    lent = _lent.get()
    if pool is None:
        pool = torch.cuda.graph_pool_handle() if lent is None else lent.id
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
    try:
        with torch.cuda.graph(graph, pool=pool):
            run()
    except RuntimeError:
        _abort_capture(stream, pool)
        raise
    return graph


def _abort_capture(stream: torch.cuda.Stream, pool: Any) -> None:
    """Restore the stream and, before torch 2.12, the allocator: a failed capture leaves both."""
    torch.cuda.set_stream(stream)
    end_capture(stream.device_index, pool)


@contextmanager
def lend(pool: torch.cuda.MemPool) -> Iterator[None]:
    """Inside: `borrowed` and `captured` allocate from this pool."""
    token = _lent.set(pool)
    try:
        yield
    finally:
        _lent.reset(token)


def is_lent() -> bool:
    """Whether training lends its memory: its graphs then keep the addresses of weights."""
    return _lent.get() is not None


@contextmanager
def borrowed() -> Iterator[None]:
    """Inside: allocate from the lent pool, on the stream of all captures; else no effect."""
    pool, stream = _lent.get(), capture_stream()
    if pool is None or stream is None:
        yield
        return
    # The allocator reuses a block only on the stream that allocated it: here, the capture stream.
    outer = torch.cuda.current_stream()
    stream.wait_stream(outer)
    try:
        with torch.cuda.stream(stream), torch.cuda.use_mem_pool(pool):
            yield
    finally:
        outer.wait_stream(stream)
