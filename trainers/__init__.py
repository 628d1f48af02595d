"""The built-in trainers: `qlora`, `lora` and `dpo`."""

from collections.abc import Sequence

from fmtharness.harness import hookimpl
from fmtharness.harness.contracts import Trainer
from fmtharness.trainers.dpo import Dpo
from fmtharness.trainers.lora import Lora, QLora


@hookimpl
def fmtharness_trainers() -> Sequence[type[Trainer]]:
    return [QLora, Lora, Dpo]
