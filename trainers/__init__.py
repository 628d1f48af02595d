"""The built-in trainers: `qlora` and `lora`."""

from collections.abc import Sequence

from fmtharness.harness import hookimpl
from fmtharness.harness.contracts import Trainer
from fmtharness.trainers.lora import Lora, QLora


@hookimpl
def fmtharness_trainers() -> Sequence[type[Trainer]]:
    return [QLora, Lora]
