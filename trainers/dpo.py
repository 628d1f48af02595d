"""The trainer `dpo`: a low-rank adapter by preference pairs, beside rows without a pair.

Dpo(beta=0.1).train(examples, run)  ->  outputs/quick/adapter

`preference` has the loss and its sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from fmtharness.harness.contracts import TrainingRun
from fmtharness.harness.errors import UserError
from fmtharness.harness.records import Example
from fmtharness.trainers.options import LowRankOptions


class Dpo(LowRankOptions):
    """Direct preference optimization of an adapter: the chosen answer above the rejected one.

    `{"prompt": "Where is Ada? As JSON.", "chosen": "{\\"city\\": \\"Oslo\\"}", "rejected": "In
    Oslo."}` and more such rows give a folder `adapter/` that peft loads. Rows without a rejected
    answer are learnt as by qlora. The base may be NF4 (`auto`) or unquantized.
    """

    name: ClassVar[str] = "dpo"
    quantization: ClassVar[str] = "nf4"

    learning_rate: float = Field(default=1e-4, gt=0)
    """The highest learning rate, reached after the warm-up."""
    reference: Literal["base", "start", "none"] = "start"
    """What a likelihood is compared with: that of the adapter that training starts from (of a fresh
    one, that is the base), or of the frozen base, or with none it is divided by the answer's tokens
    (SimPO)."""
    beta: float | None = Field(default=None, gt=0)
    """Factor of the margin in the sigmoid: the larger, the nearer to the reference it stays; if
    unset 0.1, and 2 with reference none."""
    target_margin: float = Field(default=0.5, ge=0)
    """With reference none, the margin from which on a pair's gradient fades (SimPO's gamma)."""
    sft_weight: float = Field(default=1.0, ge=0)
    """Weight of the chosen answers' cross entropy per token, beside the preference loss (RPO)."""

    @model_validator(mode="after")
    def _a_pass_holds_the_longest_example(self) -> Self:
        if self.max_micro_batch_tokens and self.max_micro_batch_tokens < 2 * self.max_seq_length:
            raise ValueError(
                f"max_micro_batch_tokens = {self.max_micro_batch_tokens} must be at least twice "
                f"max_seq_length = {self.max_seq_length}, for both answers of a pair"
            )
        return self

    def train(self, examples: Sequence[Example], run: TrainingRun) -> Path:
        """Train on the Examples, from the run's last checkpoint on; returns the adapter's folder.

        Raises as `loop.train` does, and UserError if the model is quantized to anything but NF4.
        """
        from fmtharness.harness.engine.patching import Patches
        from fmtharness.trainers.loop import train
        from fmtharness.trainers.preference import Preference, with_references

        if run.model.quantization not in ("nf4", "none"):
            raise UserError(
                f"trainer dpo trains on NF4 or unquantized weights, not on model.quantization = "
                f"{run.model.quantization!r}; set it to 'nf4', 'none' or 'auto'"
            )
        free = self.reference == "none"
        objective = Preference(
            beta=self.beta or (2.0 if free else 0.1),
            sft_weight=self.sft_weight,
            target_margin=self.target_margin if free else 0.0,
            reference_free=free,
        )
        prepare = None if free else partial(with_references, base=self.reference == "base")
        with Patches() as patches:
            return train(self, examples, run, patches, objective, prepare)
