"""The built-in trainers."""

from collections.abc import Sequence

from harness import hookimpl
from harness.contracts import Trainer
from trainers.lora import Lora, QLora


@hookimpl
def fmtharness_trainers() -> Sequence[type[Trainer]]:
    return [QLora, Lora]
