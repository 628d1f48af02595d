"""GPU memory that its owner does not use for a while, lent to what runs meanwhile.

    with lend(pool):          by the owner, which touches none of it inside
    with borrowed():          what is allocated here lies in lent memory, where there is some

A borrower lets go of it before the owner goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

import torch

_lent: ContextVar[torch.cuda.MemPool | None] = ContextVar("lent", default=None)


@contextmanager
def lend(pool: torch.cuda.MemPool) -> Iterator[None]:
    token = _lent.set(pool)
    try:
        yield
    finally:
        _lent.reset(token)


def borrowed() -> AbstractContextManager[None]:
    pool = _lent.get()
    return nullcontext() if pool is None else torch.cuda.use_mem_pool(pool)
