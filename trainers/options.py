"""The options that trainers of low-rank adapters share: what they mean, and which go together."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from harness.contracts import Options


class LowRankOptions(Options):
    """Options of a training of low-rank adapters on all linear layers.

    The batch size and the accumulation steps say how many Examples one optimizer step sees; how
    they are cut into passes is decided by tokens and memory, and does not change the gradient.
    """

    max_seq_length: int = Field(default=512, ge=8)
    """Tokens of prompt, completion and stop token together; longer Examples are left out."""
    per_device_train_batch_size: int = Field(default=1, ge=1)
    """Times the accumulation steps: the Examples behind one optimizer step."""
    gradient_accumulation_steps: int = Field(default=16, ge=1)
    """Times the batch size: the Examples behind one optimizer step."""
    max_micro_batch_tokens: int | None = Field(default=None, ge=8)
    """Tokens that one pass may hold, fewer where a GPU's memory asks for it; 8192 on a GPU and
    4096 elsewhere if unset."""
    gradient_checkpointing: Literal["auto", "always", "never"] = "auto"
    """Keep less in memory and compute it twice; auto does so where a GPU's memory asks for it."""
    cuda_graphs: Literal["auto", "never"] = "auto"
    """Whether passes on a GPU are captured as graphs: same numbers, less waiting."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """The highest rate, reached after the warm-up."""
    lr_scheduler_type: Literal["linear", "cosine", "constant_with_warmup"] = "linear"
    """How the rate falls after the warm-up; all but the last end at 0."""
    warmup_ratio: float = Field(default=0.03, ge=0, le=1)
    """Share of all steps over which the learning rate rises from 0."""
    num_train_epochs: float = Field(default=1.0, gt=0)
    """Times every Example is seen."""
    optim: Literal["adamw_torch_fused", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit"] = (
        "adamw_torch_fused"
    )
    """AdamW by torch, or by bitsandbytes with 8-bit states, or states that may leave the GPU."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's decoupled decay of the adapter's weights."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients are scaled down to this length where they are longer."""
    lora_r: int = Field(default=16, ge=1)
    """Rank of the adapter in every layer."""
    lora_alpha: int = Field(default=32, ge=1)
    """The adapter's output is scaled by lora_alpha / lora_r."""
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the adapter's inputs that a training step leaves out."""
    logging_steps: int = Field(default=5, ge=1)
    """Steps between two rows of the loss, the mean of these steps', and of the other scalars."""
    eval_steps: int = Field(default=25, ge=1)
    """Steps between two evaluations in training; step 0 and the last are always evaluated."""
    early_stopping_patience: int | None = Field(default=None, ge=1)
    """Evaluations in a row without a better checkpoint after which training ends; none if unset."""
    save_steps: int = Field(default=25, ge=1)
    """Steps between two checkpoints; the best and the last step always have one."""
    save_total_limit: int = Field(default=10, ge=1)
    """Checkpoints that are kept, the newest, besides the best."""
    n_format_eval_prompts: int = Field(default=32, ge=1)
    """Evaluation Examples asked at step 0 and at every eval_steps."""
    format_eval_max_new_tokens: int = Field(default=96, ge=1)
    """Tokens after which a completion is cut off in these evaluations."""
    format_eval_batch_size: int = Field(default=32, ge=1)
    """Prompts decoded side by side in these evaluations."""

    @property
    def effective_batch(self) -> int:
        """The Examples behind one optimizer step."""
        return self.per_device_train_batch_size * self.gradient_accumulation_steps

    @model_validator(mode="after")
    def _a_pass_holds_the_longest_example(self) -> Self:
        if (self.max_micro_batch_tokens or math.inf) < self.max_seq_length:
            raise ValueError(
                f"max_micro_batch_tokens = {self.max_micro_batch_tokens} must be at least "
                f"max_seq_length = {self.max_seq_length}"
            )
        return self
