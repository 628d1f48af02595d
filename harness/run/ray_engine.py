"""Shards made on a cluster: blocks as a Ray Dataset, workers as its pool of actors.

for done in on_ray(job, blocks, address=None, concurrency=4): ...
    Done(number=3, rows=500, errors=0, fault=""), ...       in any order

Each row of the Dataset is a block's place in the file, and what comes back are a few numbers: texts
go from the file to the worker and from there into its shard. Ray restarts an actor that died and
gives its blocks to others, which the shards allow.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from fmtharness.harness.errors import HarnessError, UserError
from fmtharness.harness.requirements import loads_models, needs
from fmtharness.harness.run.shards import Block, Done, Job, Worker
from fmtharness.harness.text import first_line

OBJECT_STORE = 100 * 2**20
"""Bytes of a local cluster's shared memory, which holds numbers only."""
CONNECT_SECONDS = 10.0
AHEAD = 2
"""How many blocks wait at each actor, so that none is idle."""


class _Actor:
    """A worker as an actor of Ray Data; it gets and gives plain rows."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.worker = Worker(msgspec.convert(job, Job))

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        block = Block(*(int(row[name]) for name in Block._fields))
        return self.worker(block)._asdict()


def on_ray(
    job: Job, blocks: Sequence[Block], *, address: str | None, concurrency: int | None
) -> Iterator[Done]:
    """Have all blocks worked on, and yield what became of each, as they finish.

    Without an address a cluster of this machine's cores and GPUs is started, and ended. Raises
    UserError without Ray or a cluster, HarnessError where Ray gives up or no block can be made.
    """
    needs("--engine ray", "ray")
    import ray
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    _connect(ray, address)
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False  # this command has its own
        pool, resources = _pool(ray, job, concurrency, len(blocks))
        found = ray.data.from_items(
            [block._asdict() for block in blocks], override_num_blocks=len(blocks)
        ).map(_Actor, fn_constructor_args=[msgspec.to_builtins(job)], compute=pool, **resources)
        for row in found.iter_rows():
            done = Done(**row)
            if done.fault:
                raise HarnessError(done.fault)
            yield done
    except ray.exceptions.RayError as error:
        raise HarnessError(f"Ray gave up ({_said(error)}); give the command again") from error
    finally:
        ray.shutdown()


def _connect(ray: Any, address: str | None) -> None:
    """Start a local cluster or join the one at the address; Ray is to send nothing anywhere."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # else it warns of what is intended
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        ray.init("local", include_dashboard=False, object_store_memory=OBJECT_STORE, **quiet)
        return
    try:
        host, colon, port = address.removeprefix("ray://").rpartition(":")
        if colon:  # Ray itself would wait for minutes
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
        ray.init(address, **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f"--ray-address {address}: no cluster answers there ({_said(error)}); "
            f"`ray status --address {address}` says more"
        ) from error


def _pool(ray: Any, job: Job, concurrency: int | None, blocks: int) -> tuple[Any, dict[str, Any]]:
    """The pool of actors, and what each needs: a GPU for a local model where there are any."""
    here = ray.cluster_resources()
    gpus = here.get("GPU", 0)
    on_gpu = gpus and job.model["device"] != "cpu" and loads_models(job.backend.build())
    most = concurrency or max(1, int(gpus if on_gpu else here.get("CPU", 1)))
    pool = ray.data.ActorPoolStrategy(
        size=min(most, blocks),
        max_tasks_in_flight_per_actor=AHEAD,
        max_concurrent_calls_per_actor=1,
        enable_true_multi_threading=True,  # in the main thread, where `judging.limit` can interrupt
    )
    return pool, {"num_cpus": 1, "num_gpus": 1 if on_gpu else 0}


def _said(error: BaseException) -> str:
    return first_line(error)[:300]
