"""QLoRA: low-rank adapters on every linear layer of a base whose weights are held in NF4.

    QLora(num_train_epochs=1).train(examples, run)  ->  outputs/quick/adapter

Source: Dettmers et al. 2023, "QLoRA: Efficient Finetuning of Quantized LLMs".
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


class QLora(LowRankOptions):
    """LoRA on all linear layers of an NF4 base, with the loss on completions and stop tokens only.

    `{"prompt": [{"role": "user", "content": "Name: Ada. As JSON."}], "completion": "{\\"name\\":
    \\"Ada\\"}"}` and its like become a folder `adapter/` that peft loads.
    """

    name: ClassVar[str] = "qlora"
    quantization: ClassVar[str] = "nf4"

    def train(self, examples: Sequence[Example], run: TrainingRun) -> Path:
        """Train on the Examples, going on from the run's last checkpoint, and return the adapter.

        Raises as `trainers.loop.train` does, and UserError where the model is not held in NF4.
        """
        from trainers.loop import train

        if run.model.quantization != self.quantization:
            raise UserError(
                f"trainer {self.name} trains on NF4 weights, not on model.quantization = "
                f"{run.model.quantization!r}; set it to 'nf4' or 'auto', or take trainer 'lora'"
            )
        return train(self, examples, run)
