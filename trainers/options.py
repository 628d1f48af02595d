"""The options that the trainers of low-rank adapters share.

LowRankOptions(gradient_accumulation_steps=16).effective_batch      16
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from fmtharness.harness.contracts import Options


class LowRankOptions(Options):
    """Options for training low-rank adapters on linear layers.

    Batch size times accumulation steps is the number of Examples in one optimizer step. How they
    are cut into passes depends on tokens and memory, and does not change the gradient.
    """

    incidental: ClassVar[frozenset[str]] = frozenset(
        # What is logged and kept; then what changes numbers by their rounding alone.
        {"logging_steps", "save_steps", "save_total_limit", "format_eval_batch_size"}
        | {"max_micro_batch_tokens", "gradient_checkpointing", "cuda_graphs"}
    )
    length: ClassVar[str] = "num_train_epochs"
    adapter_keys: ClassVar[frozenset[str]] = frozenset(
        {"lora_r", "lora_alpha", "target_modules", "exclude_modules", "initial_adapter"}
    )
    """What shapes the adapter, or says where it begins; a later round cannot change it."""

    max_seq_length: int = Field(default=1024, ge=8)
    """Most tokens of prompt, completion and stop token together; longer Examples are left out."""
    per_device_train_batch_size: int = Field(default=1, ge=1)
    """Multiplied by gradient_accumulation_steps: the number of Examples in one optimizer step."""
    gradient_accumulation_steps: int = Field(default=16, ge=1)
    """Multiplied by per_device_train_batch_size: the number of Examples in one optimizer step."""
    max_micro_batch_tokens: int | None = Field(default=None, ge=8)
    """Most tokens in one pass, reduced if GPU memory runs out; if unset, 8192 on a GPU, and
    elsewhere 4096 or max_seq_length, if that is larger."""
    gradient_checkpointing: Literal["auto", "always", "never"] = "auto"
    """Recompute activations instead of keeping them; auto does so if GPU memory runs out or
    the base is sharded."""
    cuda_graphs: Literal["auto", "never"] = "auto"
    """Whether passes on a GPU are captured as CUDA graphs: the same numbers, in less time."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """The highest learning rate, reached after the warm-up."""
    lr_scheduler_type: Literal["linear", "cosine", "constant_with_warmup"] = "linear"
    """How the learning rate changes after the warm-up; linear and cosine end at 0."""
    warmup_ratio: float = Field(default=0.03, ge=0, le=1)
    """Share of all steps in which the learning rate rises linearly; the first is above 0."""
    num_train_epochs: float = Field(default=1.0, gt=0)
    """How many times training sees every Example."""
    optim: Literal["adamw_torch_fused", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit"] = (
        "adamw_torch_fused"
    )
    """AdamW of torch, or of bitsandbytes with 8-bit state, paged state (which can move to main
    memory), or both."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's decoupled weight decay of the adapter."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients are clipped to this norm."""
    lora_r: int = Field(default=16, ge=1)
    """The adapter's rank in every layer."""
    lora_alpha: int = Field(default=32, ge=1)
    """The adapter's output is scaled by lora_alpha / lora_r."""
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout probability of the adapter's inputs."""
    target_modules: list[str] | str = Field(default="all-linear", min_length=1)
    """Which layers get the adapter, in peft's way: names (`["q_proj", "v_proj"]`), a regular
    expression for whole names, or `all-linear` for every linear layer but the head."""
    exclude_modules: list[str] | str | None = None
    """Which of these get none: names, or a regular expression for whole names."""
    initial_adapter: Path | None = None
    """The folder of an adapter to train on, of the same rank, scale and layers; a fresh one if
    unset."""
    logging_steps: int = Field(default=5, ge=1)
    """Steps between two logged rows of scalars; the logged loss is the mean over these steps."""
    eval_steps: int = Field(default=25, ge=1)
    """Steps between two evaluations in training; the last step is always evaluated."""
    eval_on_start: bool = True
    """Whether step 0 is evaluated, too. Else only its perplexity is known of the base, and no round
    can go back to the adapter that it began with."""
    early_stopping_patience: int | None = Field(default=None, ge=1)
    """Stop after so many evaluations in a row without a better checkpoint; never if unset."""
    save_steps: int = Field(default=25, ge=1)
    """Steps between two checkpoints; the best and the last step are always saved."""
    save_total_limit: int = Field(default=10, ge=1)
    """How many of the newest checkpoints are kept, besides the best."""
    n_format_eval_prompts: int = Field(default=32, ge=1)
    """How many dev Examples, from the first, each evaluation in training uses."""
    format_eval_max_new_tokens: int = Field(default=96, ge=1)
    """Most tokens of a completion in these evaluations."""
    format_eval_batch_size: int = Field(default=32, ge=1)
    """Prompts decoded together in these evaluations."""

    @property
    def effective_batch(self) -> int:
        """The number of Examples in one optimizer step."""
        return self.per_device_train_batch_size * self.gradient_accumulation_steps

    @field_validator("target_modules", "exclude_modules")
    @classmethod
    def _is_an_expression(cls, wanted: list[str] | str | None) -> list[str] | str | None:
        try:
            re.compile(wanted if isinstance(wanted, str) else "")
        except re.error as error:
            raise ValueError(f"it must be names or a regular expression: {error}") from None
        return wanted

    @model_validator(mode="after")
    def _a_pass_holds_the_longest_example(self) -> Self:
        if (self.max_micro_batch_tokens or math.inf) < self.max_seq_length:
            raise ValueError(
                f"max_micro_batch_tokens = {self.max_micro_batch_tokens} must be at least "
                f"max_seq_length = {self.max_seq_length}"
            )
        return self
