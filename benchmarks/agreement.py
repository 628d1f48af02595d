"""Whether the fast training is the plain one: losses step by step, and what both models answer.

    python benchmarks/agreement.py --steps 100 --prompts 100
    -> the largest difference in loss, and each rate of both models with its interval

The plain side is peft's and transformers' own forward on padded rows, torch's AdamW and autograd:
nothing of the trainers but the Examples' order. With --floor it runs once more, on half as many
rows at a time: how far plain training is from itself. A minute on a GPU; on two cores half an hour
for each plain side.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

import click
import torch
from tabulate import tabulate

from fmtharness.harness.backends.transformers import complete_with
from fmtharness.harness.config import ALL, Config, load_config
from fmtharness.harness.contracts import Loaded
from fmtharness.harness.engine.encoding import Encoded, encode_example, stop_token
from fmtharness.harness.engine.models import load_model
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.engine.quiet import quiet_transformers
from fmtharness.harness.judging.tally import tally
from fmtharness.harness.judging.verdicts import judge
from fmtharness.harness.records import Example, Metric
from fmtharness.harness.run.training import Training
from fmtharness.trainers.batch.order import Order

Side = Callable[[Config, Sequence[Example], Order, int, Path], tuple[list[float], Path]]
"""Trains for a number of steps in a folder; returns the loss of each step, and the adapter."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", type=Path, default=Path("benchmarks/speed.toml"))
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--prompts", type=int, default=100, help="held-out Examples to answer")
    parser.add_argument("--floor", action="store_true", help="plain training twice")
    parser.add_argument("--set", action="append", default=[], help="override for both sides")
    chosen = parser.parse_args()
    # The plain side has no way to keep to a bound.
    config = load_config(chosen.config, overrides=["model.memory_limit=1000GiB", *chosen.set])
    count = config.data.n_train or ALL
    examples = list(config.generator.generate("train", count, Random(config.seed)))
    held_out = list(config.generator.generate("eval", chosen.prompts, Random(config.seed)))
    order = _order(config, examples)
    with tempfile.TemporaryDirectory() as folder:
        sides: dict[str, Side] = {"fast": _fast, "plain": partial(_plain, together=8)}
        if chosen.floor:
            sides["plain again"] = partial(_plain, together=4)
        losses: dict[str, list[float]] = {}
        rates: dict[str, dict[str, Metric]] = {}
        for name, train in sides.items():
            began = time.perf_counter()
            losses[name], adapter = train(config, examples, order, chosen.steps, Path(folder))
            click.echo(f"{name}: {chosen.steps} steps in {time.perf_counter() - began:.0f} s")
            if len(losses) > 1:
                _report_losses(losses, config.trainer.logging_steps)  # type: ignore[attr-defined]
            rates[name] = _rates(config, adapter, held_out)
    _report_rates(rates)


def _order(config: Config, examples: Sequence[Example]) -> Order:
    options: Any = config.trainer
    tokenizer = load_model(config.model, Patches()).tokenizer
    stop_id = stop_token(tokenizer)
    rows = [encode_example(tokenizer, example, stop_id) for example in examples]
    kept = [row for row in rows if len(row.ids) <= options.max_seq_length]
    return Order(kept, options.effective_batch, config.seed)


def _fast(
    config: Config, examples: Sequence[Example], order: Order, steps: int, folder: Path
) -> tuple[list[float], Path]:
    update = {
        "num_train_epochs": (steps - 0.5) / order.steps_per_epoch,
        "logging_steps": 1,
        "eval_steps": 10 * steps,
        "save_steps": 10 * steps,
        "n_format_eval_prompts": 1,
        "format_eval_max_new_tokens": 1,
    }
    trainer = config.trainer.model_copy(update=update)  # type: ignore[attr-defined]
    losses: list[float] = []

    class Watched(Training):
        def log(self, step: int, values: dict[str, float]) -> None:
            losses.extend(values[name] for name in values if name == "train/loss")

    run = Watched(
        folder,
        seed=config.seed,
        model=config.model,
        tb_logdir=folder,
        evaluators=config.evaluators,
        dev_examples=examples[:1],
        inputs="",
        backend="transformers",
        fed={},
        complete=complete_with,
    )
    return losses, trainer.train(examples, run)


def _plain(
    config: Config,
    examples: Sequence[Example],
    order: Order,
    steps: int,
    folder: Path,
    *,
    together: int,
) -> tuple[list[float], Path]:
    """`together` rows are one pass; gradients are summed over a batch."""
    from peft import LoraConfig, get_peft_model

    options: Any = config.trainer
    torch.manual_seed(config.seed)  # the adapter starts as the fast one's
    model = load_model(config.model, Patches()).model
    lora = LoraConfig(
        r=options.lora_r,
        lora_alpha=options.lora_alpha,
        lora_dropout=options.lora_dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    with quiet_transformers():
        adapted: Any = get_peft_model(model, lora)
    adapted.config.use_cache = False
    adapted.train()
    weights = [weight for weight in adapted.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, options.learning_rate, weight_decay=options.weight_decay)
    rate = _schedule(optimizer, options, steps)
    losses = []
    for step in range(1, steps + 1):
        batch = order.batch(step)
        labels = sum(len(row.ids) - row.prompt_length for row in batch)
        loss = 0.0
        for start in range(0, len(batch), together):
            part = _padded_loss(adapted, batch[start : start + together]) / labels
            part.backward()  # type: ignore[no-untyped-call]
            loss += part.item()
        torch.nn.utils.clip_grad_norm_(weights, options.max_grad_norm)
        optimizer.step()
        rate()
        optimizer.zero_grad()
        losses.append(loss)
        if step % 10 == 0:
            click.echo(f"... plain step {step}, loss {loss:.4f}", err=True)
    adapter = folder / f"plain-{together}"
    adapted.save_pretrained(adapter)
    return losses, adapter


def _schedule(optimizer: Any, options: Any, steps: int) -> Callable[[], None]:
    from math import ceil

    from transformers import get_scheduler

    warmup = ceil(options.warmup_ratio * steps)
    schedule: Any = get_scheduler(options.lr_scheduler_type, optimizer, warmup, steps)
    return schedule.step  # type: ignore[no-any-return]


def _padded_loss(model: Any, rows: Sequence[Encoded]) -> torch.Tensor:
    """The cross entropy summed over the labels of rows that are padded at the right."""
    longest = max(len(row.ids) for row in rows)
    ids = [[*row.ids, *[0] * (longest - len(row.ids))] for row in rows]
    mask = [[1] * len(row.ids) + [0] * (longest - len(row.ids)) for row in rows]
    labels = [
        [-100] * row.prompt_length
        + row.ids[row.prompt_length :]
        + [-100] * (longest - len(row.ids))
        for row in rows
    ]
    to: Any = {"device": model.device}
    logits = model(
        input_ids=torch.tensor(ids, **to), attention_mask=torch.tensor(mask, **to)
    ).logits
    wanted = torch.tensor(labels, **to)[:, 1:].flatten()
    return torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), wanted, reduction="sum"
    )


def _rates(config: Config, adapter: Path, held_out: Sequence[Example]) -> dict[str, Metric]:
    loaded: Loaded = load_model(config.model, Patches(), adapter)
    options: Any = config.backend
    completions = list(
        complete_with(loaded, held_out, max_new_tokens=options.max_new_tokens, batch_size=32)
    )
    by_id = {example.id: example for example in held_out}
    return tally(config.evaluators, judge(config.evaluators, by_id, completions)).named()


def _report_losses(losses: dict[str, list[float]], together: int) -> None:
    """Step by step, and as points of the curve that a run writes: means of `together` steps."""
    plain = losses["plain"]
    others = {name: found for name, found in losses.items() if name != "plain"}
    apart = {name: _apart(found, plain) for name, found in others.items()}
    shown = [
        [
            at + 1,
            *(found[at] for found in losses.values()),
            *(f"{a[at]:.2%}" for a in apart.values()),
        ]
        for at in range(len(plain))
        if at % 10 == 9 or at == 0
    ]
    heads = ["step", *losses, *(f"{name}: apart from plain" for name in apart)]
    click.echo(tabulate(shown, heads, floatfmt=".4f"))
    for name, found in apart.items():
        worst = max(range(len(found)), key=found.__getitem__)
        middle = sorted(found)[len(found) // 2]
        click.echo(
            f"{name}: at most {found[worst]:.2%} apart from plain, at step {worst + 1} of "
            f"{len(found)}; the middle one of the steps {middle:.2%}; points of the logged curve, "
            f"each the mean of {together} steps, at most "
            f"{max(_apart(_means(others[name], together), _means(plain, together))):.2%}"
        )


def _apart(found: Sequence[float], plain: Sequence[float]) -> list[float]:
    return [abs(own - other) / other for own, other in zip(found, plain, strict=True)]


def _means(losses: Sequence[float], together: int) -> list[float]:
    starts = range(0, len(losses), together)
    return [fmean(losses[start : start + together]) for start in starts]


def _report_rates(rates: dict[str, dict[str, Metric]]) -> None:
    fast, plain = rates["fast"], rates["plain"]
    rows = []
    for name, own in fast.items():
        other = plain[name]
        if None in (own.value, own.low, own.high, other.value, other.low, other.high):
            continue
        within = own.low <= other.value <= own.high and other.low <= own.value <= other.high  # type: ignore[operator]
        rows.append([name, _shown(own), _shown(other), "yes" if within else "no"])
    click.echo("\n" + tabulate(rows, ["rate", "fast", "plain", "within the intervals"]))


def _shown(metric: Metric) -> str:
    return f"{metric.value:.3f} [{metric.low:.3f}, {metric.high:.3f}]"


if __name__ == "__main__":
    main()
