"""Collective operations among the processes of a run: NCCL for CUDA tensors, gloo for CPU tensors.

    broadcast_object({"step": 3})    rank 0's value, on every rank
    all_reduce(gradient)             the sum over all ranks, in place

With a world size of 1 each but all_gather is a no-op. torch is imported and the process group
created on first use.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from fmtharness.harness.errors import StoppedError
from fmtharness.harness.processes import count

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


def broadcast_object(value: T) -> T:
    """Rank 0's value, on every rank; blocks until every rank has called it."""
    if count() == 1:
        return value
    from accelerate.utils import broadcast_object_list

    _join()
    return broadcast_object_list([value])[0]  # type: ignore[no-any-return]


def gather_objects(values: list[T]) -> list[T]:
    """The values of all ranks, concatenated in rank order."""
    if count() == 1:
        return values
    from accelerate.utils import gather_object

    _join()
    return list(gather_object(values))


def all_reduce(*tensors: torch.Tensor) -> None:
    """Replace each tensor, in place, by its sum over all ranks."""
    if count() == 1:
        return
    import torch.distributed

    _join()
    for tensor in tensors:
        torch.distributed.all_reduce(tensor)


def broadcast(*tensors: torch.Tensor) -> None:
    """Overwrite each tensor with rank 0's."""
    if count() == 1:
        return
    import torch.distributed

    _join()
    for tensor in tensors:
        torch.distributed.broadcast(tensor, 0)


def all_gather(piece: torch.Tensor) -> torch.Tensor:
    """Concatenate the shards (n,) of all ranks in rank order: (world size * n,)."""
    import torch.distributed

    _join()
    distributed: Any = torch.distributed
    gather = getattr(distributed, "all_gather_single", None)  # since torch 2.13
    whole = piece.new_empty(count() * len(piece))
    (gather or distributed.all_gather_into_tensor)(whole, piece)
    return whole


def destroy(*, failed: bool = False) -> None:
    """Destroy the process group; no collective may follow.

    With `failed` an NCCL group is left alone: destroying it would block on the other ranks.
    """
    if count() == 1:
        return
    import torch.distributed

    if not torch.distributed.is_initialized():
        return
    if not (failed and "nccl" in torch.distributed.get_backend()):
        torch.distributed.destroy_process_group()


@contextmanager
def group() -> Iterator[None]:
    """Inside, the processes of a run work together; afterwards the process group is destroyed."""
    failed = True
    try:
        yield
        failed = False
    except StoppedError:
        failed = False
        raise
    finally:
        destroy(failed=failed)


def _join() -> None:
    """Create the process group. The timeout is long: other ranks wait while rank 0 works alone."""
    from datetime import timedelta

    import torch

    # If imported after the group is created, its default arguments hold a reference to the group,
    # and gloo's threads then outlive the interpreter.
    import torch.distributed.nn.functional
    from accelerate import PartialState

    if torch.distributed.is_initialized():
        return
    on_gpus = torch.cuda.is_available()
    # gloo carries what is in main memory: objects, and the states of paged optimizers.
    both = {"backend": "cuda:nccl,cpu:gloo"} if on_gpus else {}
    PartialState(cpu=not on_gpus, timeout=timedelta(days=1), **both)
