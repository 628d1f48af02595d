"""LoRA: low-rank adapters on every linear layer of a base held as it is, in bf16 or fp32.

    Lora(num_train_epochs=1).train(examples, run)  ->  outputs/quick/adapter

Source: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models".
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from harness.errors import UserError
from harness.records import Example
from trainers.options import LowRankOptions

if TYPE_CHECKING:
    from harness.training import TrainingRun


class Lora(LowRankOptions):
    """LoRA on all linear layers of an unquantized base, with the same loop and options as qlora.

    `{"prompt": [{"role": "user", "content": "Name: Ada. As JSON."}], "completion": "{\\"name\\":
    \\"Ada\\"}"}` and its like become a folder `adapter/` that peft loads.
    """

    name: ClassVar[str] = "lora"
    quantization: ClassVar[str] = "none"

    def train(self, examples: Sequence[Example], run: TrainingRun) -> Path:
        """Train on the Examples, going on from the run's last checkpoint, and return the adapter.

        Raises as `trainers.loop.train` does, and UserError where the model is quantized.
        """
        from trainers.loop import train

        if run.model.quantization != self.quantization:
            raise UserError(
                f"trainer {self.name} trains on unquantized weights, not on model.quantization = "
                f"{run.model.quantization!r}; set it to 'none' or 'auto', or take trainer 'qlora'"
            )
        return train(self, examples, run)
