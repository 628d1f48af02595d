"""The processes of one run, as started by `accelerate launch` or torchrun; otherwise only one.

    fmtharness train configs/hard.toml                                    rank 0 of 1
    accelerate launch --num_processes 2 -m fmtharness train ...          ranks 0 and 1 of 2

Rank 0 leads: it alone reads and writes the run's folder. The others wait for it, take part in the
training, and exit.
"""

from __future__ import annotations

import os


def rank() -> int:
    """The rank of this process."""
    return int(os.environ.get("RANK", "0"))


def count() -> int:
    """How many processes there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def leads() -> bool:
    """Whether this process leads: it reads and writes the run's folder."""
    return rank() == 0


def sharded() -> bool:
    """Whether the base model is sharded over the processes: `accelerate launch --use_fsdp`."""
    asked = os.environ.get("ACCELERATE_USE_FSDP", "false").lower()
    return count() > 1 and asked in ("1", "true", "yes", "on", "y", "t")
