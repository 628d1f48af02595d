"""The processes of one run, as `accelerate launch` or torchrun started them; else one.

    fmtharness train configs/hard.toml                                    rank 0 of 1
    accelerate launch --num_processes 2 -m harness.cli train ...          ranks 0 and 1 of 2

Rank 0 leads: it alone reads and writes the run's folder. The others wait for it, take part in the
training, and end.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


def rank() -> int:
    """The number of this process."""
    return int(os.environ.get("RANK", "0"))


def count() -> int:
    """How many processes there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def leads() -> bool:
    """Whether this process is the one that reads and writes."""
    return rank() == 0


def spread() -> bool:
    """Whether the processes share one copy of the base: `accelerate launch --use_fsdp`."""
    asked = os.environ.get("ACCELERATE_USE_FSDP", "false").lower()
    return count() > 1 and asked in ("1", "true", "yes", "on", "y", "t")


def from_leader(value: T) -> T:
    """The leader's value, in every process; waits until all have come here."""
    if count() == 1:
        return value
    from accelerate.utils import broadcast_object_list

    _join()
    return broadcast_object_list([value])[0]  # type: ignore[no-any-return]


def gathered(values: list[T]) -> list[T]:
    """All processes' values, rank by rank."""
    if count() == 1:
        return values
    from accelerate.utils import gather_object

    _join()
    return list(gather_object(values))


def add_up(*tensors: torch.Tensor) -> None:
    """Replace each tensor by its sum over all processes."""
    if count() == 1:
        return
    import torch.distributed

    _join()
    for tensor in tensors:
        torch.distributed.all_reduce(tensor)


def copy_from_leader(*tensors: torch.Tensor) -> None:
    """Replace each tensor by the leader's."""
    if count() == 1:
        return
    import torch.distributed

    _join()
    for tensor in tensors:
        torch.distributed.broadcast(tensor, 0)


def put_together(piece: torch.Tensor) -> torch.Tensor:
    """All processes' pieces (n,) behind each other: (processes * n,)."""
    import torch.distributed

    _join()
    distributed: Any = torch.distributed
    gather = getattr(distributed, "all_gather_single", None)  # since torch 2.13
    whole = piece.new_empty(count() * len(piece))
    (gather or distributed.all_gather_into_tensor)(whole, piece)
    return whole


def leave(*, failed: bool = False) -> None:
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
