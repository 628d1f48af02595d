"""What the processes of one run exchange, by NCCL on GPUs and gloo beside it.

    broadcast_object({"step": 3})    the leader's value, in every process
    all_reduce(gradient)             the sum over all processes, in place

With one process each returns at once. torch is imported at the first exchange.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from harness.processes import count

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


def broadcast_object(value: T) -> T:
    """The leader's value, in every process; waits until all have come here."""
    if count() == 1:
        return value
    from accelerate.utils import broadcast_object_list

    _join()
    return broadcast_object_list([value])[0]  # type: ignore[no-any-return]


def gather_objects(values: list[T]) -> list[T]:
    """All processes' values, rank by rank."""
    if count() == 1:
        return values
    from accelerate.utils import gather_object

    _join()
    return list(gather_object(values))


def all_reduce(*tensors: torch.Tensor) -> None:
    """Replace each tensor by its sum over all processes."""
    if count() == 1:
        return
    import torch.distributed

    _join()
    for tensor in tensors:
        torch.distributed.all_reduce(tensor)


def broadcast(*tensors: torch.Tensor) -> None:
    """Replace each tensor by the leader's."""
    if count() == 1:
        return
    import torch.distributed

    _join()
    for tensor in tensors:
        torch.distributed.broadcast(tensor, 0)


def all_gather(piece: torch.Tensor) -> torch.Tensor:
    """All processes' pieces (n,) behind each other: (processes * n,)."""
    import torch.distributed

    _join()
    distributed: Any = torch.distributed
    gather = getattr(distributed, "all_gather_single", None)  # since torch 2.13
    whole = piece.new_empty(count() * len(piece))
    (gather or distributed.all_gather_into_tensor)(whole, piece)
    return whole


def destroy(*, failed: bool = False) -> None:
    """End the group, once nothing more is exchanged.

    After a failure of this process alone NCCL would wait for the others, so it is left as it is.
    """
    if count() == 1:
        return
    import torch.distributed

    if not torch.distributed.is_initialized():
        return
    if not (failed and "nccl" in torch.distributed.get_backend()):
        torch.distributed.destroy_process_group()


def _join() -> None:
    """The process group, by NCCL on GPUs and gloo beside it; the leader may keep others waiting."""
    from datetime import timedelta

    import torch

    # Imported later, its functions' defaults keep the group: gloo's threads then outlive Python.
    import torch.distributed.nn.functional
    from accelerate import PartialState

    if torch.distributed.is_initialized():
        return
    on_gpus = torch.cuda.is_available()
    # Through gloo goes what lies in main memory: objects, and the states of paged optimizers.
    both = {"backend": "cuda:nccl,cpu:gloo"} if on_gpus else {}
    PartialState(cpu=not on_gpus, timeout=timedelta(days=1), **both)
