"""The training loop of a low-rank adapter, from Examples to the folder that peft loads.

    with Patches() as patches:
        train(options, examples, run, patches)   ->   outputs/quick/adapter

Each step computes the gradient of an effective batch's mean loss per label token and takes one
AdamW step. Between steps it logs scalars, evaluates and saves checkpoints. Of the checkpoints
within the retention budget, the one whose format_success_rate has the highest lower bound becomes
the adapter.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from fmtharness.harness import processes
from fmtharness.harness.contracts import Loaded, TrainingRun
from fmtharness.harness.engine import collectives
from fmtharness.harness.engine.context import check_ids, context_length
from fmtharness.harness.engine.encoding import (
    Encoded,
    encode_example,
    encode_rejected,
    stop_token,
)
from fmtharness.harness.engine.models import device_of, load_model, memory_peaks
from fmtharness.harness.engine.parity import certify as certify_parity
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.errors import ModelError, StoppedError, UserError
from fmtharness.harness.progress import progress, say
from fmtharness.harness.records import Example
from fmtharness.trainers.batch.order import Order, split_by_process
from fmtharness.trainers.options import LowRankOptions
from fmtharness.trainers.resume.checkpoints import load_adapter
from fmtharness.trainers.resume.interrupts import interrupts
from fmtharness.trainers.resume.progress import finish, restore, save
from fmtharness.trainers.step.adapter import AdapterWeights, adapted
from fmtharness.trainers.step.coverage import coverage
from fmtharness.trainers.step.forward import fast_forward
from fmtharness.trainers.step.keeping import with_base_labels
from fmtharness.trainers.step.loss_log import LossLog
from fmtharness.trainers.step.objective import CROSS_ENTROPY, Objective
from fmtharness.trainers.step.passes import Passes
from fmtharness.trainers.step.sharding import load_for_sharding, shard
from fmtharness.trainers.step.update import Update


def train(
    options: LowRankOptions,
    examples: Sequence[Example],
    run: TrainingRun,
    patches: Patches,
    objective: Objective = CROSS_ENTROPY,
    prepare: Callable[[list[Encoded], Passes], list[Encoded]] | None = None,
) -> Path:
    """Train on the Examples, resuming from the run's last checkpoint; returns the adapter's folder.

    `prepare` may complete the rows with the model that training starts from. Raises ParityError if
    prompts are encoded differently than in generation, UserError if no Example fits max_seq_length
    or the model is not supported, TrainingError if the loss diverges or the gradient is not finite,
    and StoppedError after a signal.
    """
    torch.manual_seed(run.seed)
    load = load_for_sharding if processes.sharded() else load_model
    loaded = load(run.model, patches)
    rows, certificate = _encoded(options, examples, loaded, run, pairs=objective.pairs)

    model = adapted(loaded.model, options, patches)
    reach = coverage(model, loaded.quantized)
    run.facts["coverage"] = reach
    if run.leads:
        say(f"train: {reach}")
    forward = fast_forward(model, rows, patches)
    if processes.sharded():
        shard(model, device_of(run.model))
    loaded = Loaded(model, loaded.tokenizer)
    weights = AdapterWeights(model)
    initial = run.initial_adapter or options.initial_adapter
    if initial:
        load_adapter(initial, model)
        weights.refresh()
    scaler = torch.amp.GradScaler(weights.device.type) if model.dtype == torch.float16 else None
    update = Update(weights, options, scaler)
    passes = Passes(model, weights, options, scaler, forward, objective)
    if prepare is not None:
        rows = prepare(rows, passes)
    rows = with_base_labels(rows, passes, run.seed)
    at = restore(run, model, weights, update)
    order = Order(rows, options.effective_batch, run.seed)
    steps = max(1, math.ceil(options.num_train_epochs * order.steps_per_epoch))
    rate = _schedule(options, steps)
    passes.plan(_own_rows(order.batch(step)) for step in range(at.step + 1, steps + 1))
    run.start(at.step, certificate)
    began = time.perf_counter()

    with interrupts() as stop, progress(steps, "train", unit="step", start=at.step) as bar:
        losses = LossLog(run, bar, scaler, at, weights.device, objective.scalars)
        norm: torch.Tensor | None = None
        while True:
            stopping = stop.requested()
            at_eval_step = at.step % options.eval_steps == 0 or at.step == steps
            at_eval_step &= bool(at.step or options.eval_on_start)
            if at_eval_step and at.evaluated < at.step and not stopping:
                losses.write(at, began)
                at.seconds += time.perf_counter() - began
                try:
                    with passes.idle(), stop.at_once():
                        metrics = _evaluate(options, run, loaded, at.step)
                    bar.note(**at.judged(metrics, trained=bool(at.step or initial)))
                except StoppedError:
                    stopping = True  # the checkpoint records that this evaluation is missing
                began = time.perf_counter()
            stop_early = at.worse >= (options.early_stopping_patience or math.inf)
            done = at.step == steps or stop_early
            if at.step and (
                done or stopping or at.step % options.save_steps == 0 or at.step == at.best_step
            ):
                losses.settle(at, passes.loss, norm, began)
                at.seconds += time.perf_counter() - began
                save(options, run, model, update, at)
                began = time.perf_counter()
            if stopping or (done and stop.requested()):  # a signal may have come during the save
                where = f"at step {at.step} of {steps}, which is saved"
                told = where if at.step else "before its first step, so nothing is saved"
                raise StoppedError(
                    f"train: stopped {told}; run the same command to resume", stop.signal
                )
            if done:
                break

            at.step += 1
            batch = order.batch(at.step)
            torch.manual_seed(run.seed * 1_000_003 + at.step)  # the same dropout when resumed
            labels = sum(len(row.ids) - row.prompt_length for row in batch)
            passes.gradient(_own_rows(batch), labels, len(batch))
            measured = [passes.measured] if objective.scalars else []
            collectives.all_reduce(weights.gradient, passes.loss, *measured)
            learning_rate = rate(at.step)
            norm = update(learning_rate)
            losses.write(at, began)
            losses.add(passes.loss, passes.measured)
            at.tokens += sum(row.tokens for row in batch)
            bar.advance()
            if at.step < steps:
                passes.look_ahead(_own_rows(order.batch(at.step + 1)))
            if at.step % options.logging_steps == 0 or at.step in (1, steps):
                epoch = at.step / order.steps_per_epoch
                losses.stage(at, passes.loss, norm, learning_rate, epoch, began)

    run.facts |= {"steps": at.step, "best_step": at.best_step, "train_tokens": at.tokens}
    run.facts |= {"train_seconds": round(at.seconds, 2), "peak_memory_bytes": memory_peaks()}
    return finish(run, model, at, initial)


def _encoded(
    options: LowRankOptions,
    examples: Sequence[Example],
    loaded: Loaded,
    run: TrainingRun,
    *,
    pairs: bool,
) -> tuple[list[Encoded], dict[str, Any]]:
    """The token ids of the Examples that fit, and the certificate of parity with generation.

    Leaves out any Example that the chat template refuses, or that is longer than
    max_seq_length or the model's context. With `pairs`, rejected answers are encoded, too.
    """
    stop_id = stop_token(loaded.tokenizer)
    refused: list[str] = []
    every: list[tuple[Example, Encoded]] = []
    for example in examples:
        try:
            every.append((example, encode_example(loaded.tokenizer, example, stop_id)))
        except ModelError as error:
            refused.append(f"the first is {example.id}: {error}")
    if refused:
        say(f"train: left out {len(refused)} Examples whose prompt has no text; {refused[0]}")
    limit, what, way_out = options.max_seq_length, "max_seq_length", "raise it"
    if (context := context_length(loaded.model.config)) is not None and context < limit:
        limit, what, way_out = context, "the model's context", "shorten them"
    kept = [(e, row) for e, row in every if len(row.ids) <= limit]
    too_long = len(every) - len(kept)
    if not every:
        raise UserError(f"train: no train Example has a prompt that can be encoded; {refused[0]}")
    if not kept:
        raise UserError(
            f"train: all {too_long} train Examples are longer than {what} = {limit} tokens; "
            f"{way_out}"
        )
    if too_long:
        why = "" if what == "max_seq_length" else f", which is {what}"
        say(f"train: left out {too_long} Examples longer than {limit} tokens{why}")
    rows = [row for _, row in kept]
    if pairs:
        rows = [_paired(loaded, example, row, stop_id, limit) for example, row in kept]
        run.facts["pairs"] = sum(row.rejected is not None for row in rows)
    named = zip(kept, rows, strict=True)
    check_ids(
        loaded,
        ((f"train Example {e.id}", each.ids) for (e, _), row in named for each in row.answers),
    )
    run.facts["left_out"] = too_long + len(refused)
    certificate = certify_parity(
        loaded.tokenizer,
        [example for example, _ in kept if example.prompt],
        [row for (example, _), row in zip(kept, rows, strict=True) if example.prompt],
        run.fed,
        backend=run.backend,
    )
    if lossy := certificate.get("lossy_prompts"):
        say(f"train: {lossy} prompts hold characters that the tokenizer lacks")
    if not certificate["compared"] and run.leads:
        say(f"train: parity not proved, since {certificate['not_compared']}")
    return rows, certificate


def _paired(loaded: Loaded, example: Example, row: Encoded, stop_id: int, most: int) -> Encoded:
    """The row with the rejected answer beside it, cut to `most` tokens, if the two differ there."""
    if example.rejected is None:
        return row
    pair = row._replace(
        rejected=encode_rejected(loaded.tokenizer, example, stop_id, most), keeps=False
    )
    return pair if len(pair.ids) > pair.shared < len(pair.rejected or ()) else row


def _schedule(options: LowRankOptions, steps: int) -> Callable[[int], float]:
    """The learning rate of each step, counted from 1, by transformers' schedules.

    In k steps of warm-up it is 1/k, 2/k, ... of the highest; transformers begins at 0, which
    wastes the first step.
    """
    from transformers import get_scheduler

    unused = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    # At least one step follows the warm-up: else a run of one step would have rate 0.
    warmup = min(math.ceil(options.warmup_ratio * steps), steps - 1)
    scheduler: Any = get_scheduler(options.lr_scheduler_type, unused, warmup, steps)
    after = scheduler.lr_lambdas[0]
    return lambda step: (
        options.learning_rate * float(step / warmup if step <= warmup else after(step - 1))
    )


def _own_rows(batch: Sequence[Encoded]) -> list[Encoded]:
    """The rows of a batch that this rank computes."""
    return split_by_process(batch, processes.count())[processes.rank()]


def _evaluate(
    options: LowRankOptions, run: TrainingRun, loaded: Loaded, step: int
) -> dict[str, Any]:
    return run.evaluate(
        loaded,
        step,
        n_prompts=options.n_format_eval_prompts,
        max_new_tokens=options.format_eval_max_new_tokens,
        batch_size=options.format_eval_batch_size,
    )
