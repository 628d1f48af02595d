"""QLoRA: low-rank adapters on every linear layer of a base whose weights are held in NF4.

    QLora(num_train_epochs=1).train(examples, run)  ->  outputs/quick/adapter

The batch size and the accumulation steps say how many Examples one optimizer step sees; how they
are cut into forward passes is decided here, by tokens, and does not change the gradient.
Source: Dettmers et al. 2023, "QLoRA: Efficient Finetuning of Quantized LLMs".
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from harness.contracts import Options
from harness.errors import HarnessError, UserError
from harness.progress import progress, say
from harness.records import Example
from harness.training import TrainingRun

if TYPE_CHECKING:
    from harness.models import Loaded


class QLora(Options):
    """LoRA on all linear layers of an NF4 base, with the loss on completions and stop tokens only.

    `{"prompt": [{"role": "user", "content": "Name: Ada. As JSON."}], "completion": "{\\"name\\":
    \\"Ada\\"}"}` and its like become a folder `adapter/` that peft loads.
    """

    name: ClassVar[str] = "qlora"
    quantization: ClassVar[str] = "nf4"

    max_seq_length: int = Field(default=512, ge=8)
    """Tokens of prompt, completion and stop token together; longer Examples are left out."""
    per_device_train_batch_size: int = Field(default=1, ge=1)
    """Times the accumulation steps: the Examples behind one optimizer step."""
    gradient_accumulation_steps: int = Field(default=16, ge=1)
    """Times the batch size: the Examples behind one optimizer step."""
    max_micro_batch_tokens: int = Field(default=2048, ge=8)
    """Tokens that one forward pass may hold; more need more memory and save time."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """The highest rate, reached after the warm-up."""
    lr_scheduler_type: Literal["linear", "cosine", "constant_with_warmup"] = "linear"
    """How the rate falls after the warm-up; all but the last end at 0."""
    warmup_ratio: float = Field(default=0.03, ge=0, le=1)
    """Share of all steps over which the learning rate rises from 0."""
    num_train_epochs: float = Field(default=1.0, gt=0)
    """Times every Example is seen."""
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
    """Steps between two rows of loss and rates."""
    eval_steps: int = Field(default=25, ge=1)
    """Steps between two evaluations in training; step 0 and the last are always evaluated."""
    save_steps: int = Field(default=25, ge=1)
    """Steps between two checkpoints; the last step always has one."""
    save_total_limit: int = Field(default=10, ge=1)
    """Checkpoints that are kept, the newest."""
    n_format_eval_prompts: int = Field(default=32, ge=1)
    """Evaluation Examples asked at step 0 and at every eval_steps."""
    format_eval_max_new_tokens: int = Field(default=96, ge=1)
    """Tokens after which a completion is cut off in these evaluations."""
    format_eval_batch_size: int = Field(default=32, ge=1)
    """Prompts decoded side by side in these evaluations."""

    @model_validator(mode="after")
    def _a_pass_holds_the_longest_example(self) -> Self:
        if self.max_micro_batch_tokens < self.max_seq_length:
            raise ValueError(
                f"max_micro_batch_tokens = {self.max_micro_batch_tokens} must be at least "
                f"max_seq_length = {self.max_seq_length}"
            )
        return self

    def train(self, examples: Sequence[Example], run: TrainingRun) -> Path:
        """Train on the Examples, going on from the run's last checkpoint, and return the adapter.

        Raises ParityError where training would not see generation's prompts, and UserError where
        no Example fits max_seq_length or the model is not held in NF4.
        """
        import torch
        from accelerate import Accelerator
        from transformers import get_scheduler

        from harness.encoding import certify_parity, encode_example, stop_token
        from harness.models import Loaded, load_model
        from trainers import checkpoints
        from trainers.batches import effective_batches, micro_batches, summed_loss

        if run.model.quantization != self.quantization:
            raise UserError(
                f"trainer {self.name} trains on NF4 weights, not on model.quantization = "
                f"{run.model.quantization!r}; set it to 'nf4' or 'auto'"
            )
        torch.manual_seed(run.seed)
        loaded = load_model(run.model)
        stop_id = stop_token(loaded.tokenizer)
        every = [(e, encode_example(loaded.tokenizer, e, stop_id)) for e in examples]
        kept = [(e, row) for e, row in every if len(row.ids) <= self.max_seq_length]
        if not kept:
            raise UserError(
                f"none of the {len(every)} train Examples fits max_seq_length = "
                f"{self.max_seq_length} tokens; raise it"
            )
        if len(kept) < len(every):
            left = len(every) - len(kept)
            say(f"train: {left} Examples exceed {self.max_seq_length} tokens and are left out")
        encoded = [row for _, row in kept]
        certificate = certify_parity(loaded.tokenizer, [e for e, _ in kept], encoded)

        per_step = self.per_device_train_batch_size * self.gradient_accumulation_steps
        steps = max(1, math.ceil(self.num_train_epochs * math.ceil(len(encoded) / per_step)))
        model = self.adapted(loaded)
        loaded = Loaded(model, loaded.tokenizer)
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        optimizer = torch.optim.AdamW(
            trained, lr=self.learning_rate, weight_decay=self.weight_decay, fused=True
        )
        scheduler = get_scheduler(
            self.lr_scheduler_type, optimizer, math.ceil(self.warmup_ratio * steps), steps
        )
        first = checkpoints.restore(
            run.folder / "checkpoints", run.inputs, model, optimizer, scheduler
        )
        device = next(model.parameters()).device
        accelerator = Accelerator(
            mixed_precision=_mixed_precision(model),
            cpu=device.type == "cpu",
            device_placement=False,
        )
        model, optimizer = accelerator.prepare(model, optimizer)
        run.start(first, certificate)
        run.facts["left_out"] = len(every) - len(kept)
        if first == 0:
            self._evaluate(run, loaded, 0)

        began, tokens, seconds = time.perf_counter(), 0, 0.0
        batches = effective_batches(encoded, per_step, run.seed)
        with progress(steps, "train", unit="step", start=first) as bar:
            for step, batch in zip(range(1, steps + 1), batches, strict=False):
                if step <= first:
                    continue
                # A seed per step makes dropout the same in a resumed run.
                torch.manual_seed(run.seed * 1_000_003 + step)
                model.train()
                labels = sum(len(row.ids) - row.prompt_length for row in batch)
                loss = torch.zeros((), device=device)
                for micro in micro_batches(batch, self.max_micro_batch_tokens):
                    part = summed_loss(model, micro, device) / labels
                    accelerator.backward(part)
                    loss += part.detach()
                norm = accelerator.clip_grad_norm_(trained, self.max_grad_norm)
                optimizer.step()
                rate = scheduler.get_last_lr()[0]
                scheduler.step()
                optimizer.zero_grad()
                tokens += sum(len(row.ids) for row in batch)
                bar.advance()
                if step % self.logging_steps == 0 or step in (1, steps):
                    value = loss.item()
                    if not math.isfinite(value):
                        raise HarnessError(
                            f"the loss is {value} at step {step}; lower train.learning_rate, the "
                            f"last good checkpoint is kept"
                        )
                    spent = seconds + time.perf_counter() - began
                    values = {
                        "train/loss": value,
                        "train/grad_norm": float(norm),
                        "train/learning_rate": float(rate),
                        "train/epoch": step * per_step / len(encoded),
                        "train/tokens_per_second": tokens / spent,
                    }
                    run.log(step, values)
                    bar.note(loss=value)
                if step % self.eval_steps == 0 or step % self.save_steps == 0 or step == steps:
                    seconds += time.perf_counter() - began
                    if step % self.eval_steps == 0 or step == steps:
                        bar.note(**self._evaluate(run, loaded, step))
                    if step % self.save_steps == 0 or step == steps:
                        checkpoints.save(
                            run.folder / "checkpoints",
                            step,
                            run.inputs,
                            loaded.model,
                            optimizer,
                            scheduler,
                            keep=self.save_total_limit,
                        )
                    began = time.perf_counter()
        run.facts |= {"steps": steps, "train_tokens": tokens, "train_seconds": round(seconds, 2)}
        run.facts["peak_memory_bytes"] = _peak_memory(device)
        adapter = run.folder / "adapter"
        checkpoints.write_adapter(adapter, loaded.model)
        return adapter

    def adapted(self, loaded: Loaded) -> Any:
        """The model with a fresh adapter on all linear layers but the head."""
        from peft import LoraConfig, get_peft_model

        from harness.lora_linear import fuse
        from harness.models import quiet_transformers
        from trainers import row_attention

        config = LoraConfig(
            r=self.lora_r,
            lora_alpha=self.lora_alpha,
            lora_dropout=self.lora_dropout,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
        with quiet_transformers():
            model = get_peft_model(loaded.model, config)
        model.config.use_cache = False
        fuse(model)
        if model.device.type == "cpu" and model.config._attn_implementation == "sdpa":
            row_attention.use(model.get_base_model())
        return model

    def _evaluate(self, run: TrainingRun, loaded: Loaded, step: int) -> dict[str, float]:
        metrics = run.evaluate(
            loaded,
            step,
            n_prompts=self.n_format_eval_prompts,
            max_new_tokens=self.format_eval_max_new_tokens,
            batch_size=self.format_eval_batch_size,
        )
        return {m.name: m.value for m in metrics.values() if m.value is not None}


def _mixed_precision(model: Any) -> str:
    import torch

    return {torch.bfloat16: "bf16", torch.float16: "fp16"}.get(model.dtype, "no")


def _peak_memory(device: Any) -> dict[str, int]:
    """Peak bytes of this process, and on a GPU the allocator's allocated and reserved peaks."""
    import resource

    import torch

    peaks = {"resident": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    if device.type == "cuda":
        peaks["cuda_allocated"] = torch.cuda.max_memory_allocated(device)
        peaks["cuda_reserved"] = torch.cuda.max_memory_reserved(device)
    return peaks
