"""The built-in trainers: `qlora` and `lora`."""

from collections.abc import Sequence

from harness import hookimpl
from harness.contracts import Trainer
from trainers.lora import Lora, QLora


@hookimpl
def fmtharness_trainers() -> Sequence[type[Trainer]]:
    return [QLora, Lora]
