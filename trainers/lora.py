"""The trainers of low-rank adapters on every linear layer: LoRA, and QLoRA on an NF4 base.

    QLora(num_train_epochs=1).train(examples, run)  ->  outputs/quick/adapter

Sources: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models"; Dettmers et al. 2023,
"QLoRA: Efficient Finetuning of Quantized LLMs".
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from fmtharness.harness.contracts import TrainingRun
from fmtharness.harness.errors import UserError
from fmtharness.harness.records import Example
from fmtharness.trainers.options import LowRankOptions


class QLora(LowRankOptions):
    """LoRA on all linear layers of an NF4 base, with the loss on completions and stop tokens only.

    `{"prompt": [{"role": "user", "content": "Name: Ada. As JSON."}], "completion": "{\\"name\\":
    \\"Ada\\"}"}` and more such Examples give a folder `adapter/` that peft loads.
    """

    name: ClassVar[str] = "qlora"
    quantization: ClassVar[str] = "nf4"

    def train(self, examples: Sequence[Example], run: TrainingRun) -> Path:
        """Train on the Examples, from the run's last checkpoint on; returns the adapter's folder.

        Raises as `loop.train` does, and UserError if the model is not quantized to NF4.
        """
        return _train(self, examples, run, "NF4 weights", "lora")


class Lora(LowRankOptions):
    """LoRA on all linear layers of an unquantized base, with the same loop and options as qlora.

    `{"prompt": [{"role": "user", "content": "Name: Ada. As JSON."}], "completion": "{\\"name\\":
    \\"Ada\\"}"}` and more such Examples give a folder `adapter/` that peft loads.
    """

    name: ClassVar[str] = "lora"
    quantization: ClassVar[str] = "none"

    def train(self, examples: Sequence[Example], run: TrainingRun) -> Path:
        """Train on the Examples, from the run's last checkpoint on; returns the adapter's folder.

        Raises as `loop.train` does, and UserError if the model is quantized.
        """
        return _train(self, examples, run, "unquantized weights", "qlora")


def _train(
    trainer: QLora | Lora, examples: Sequence[Example], run: TrainingRun, weights: str, other: str
) -> Path:
    from fmtharness.harness.engine.patching import Patches
    from fmtharness.trainers.loop import train

    if run.model.quantization != trainer.quantization:
        raise UserError(
            f"trainer {trainer.name} trains on {weights}, not on model.quantization = "
            f"{run.model.quantization!r}; set it to {trainer.quantization!r} or 'auto', or use "
            f"trainer {other!r}"
        )
    with Patches() as patches:
        return train(trainer, examples, run, patches)
