"""One training of a run, as the leading process tells it to the others.

fit(config, Fit(folder=Path("outputs/quick"), ...), tb_logdir)
    ->  Path("outputs/quick/adapter"), Training(...)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fmtharness.harness.config import Config
from fmtharness.harness.contracts import ModelOptions
from fmtharness.harness.records import Completion, Example
from fmtharness.harness.run.sets import DevSet
from fmtharness.harness.run.training import Training


class Fit(NamedTuple):
    """A training: what it reads, and where it writes."""

    folder: Path
    inputs: str
    """A hash of what shapes the adapter."""
    model: ModelOptions
    examples: Sequence[Example]
    dev: Sequence[Example]
    sets: Sequence[DevSet]
    fed: Mapping[str, Completion]
    """What the backend fed as the first prompts of the run's train Examples."""
    first: Path
    """The folder of the first round, whose step 0 is the base."""
    initial_adapter: Path | None = None
    """The adapter to begin with; None in the first round."""


def fit(config: Config, asked: Fit, tb_logdir: Path) -> tuple[Path, Training]:
    """Train, in every process of the run; returns the adapter's folder and what was logged.

    A round after the first has the trainer of [train.next_round].
    """
    from fmtharness.harness.backends.transformers import complete_with

    training = Training(
        asked.folder,
        seed=config.seed,
        model=asked.model,
        tb_logdir=tb_logdir,
        evaluators=config.evaluators,
        dev_examples=asked.dev,
        sets=asked.sets,
        retention=config.retention,
        inputs=asked.inputs,
        backend=config.backend.name,
        fed=asked.fed,
        complete=complete_with,
        initial_adapter=asked.initial_adapter,
        first=asked.first,
        from_base=getattr(config.trainer, "initial_adapter", None) is None,
    )
    later = config.next_trainer if asked.initial_adapter else None
    try:
        return (later or config.trainer).train(asked.examples, training), training
    finally:
        training.close()


def follow(path: Path, config: Config) -> None:
    """Take part in the trainings that another process leads, if it trains at all."""
    from fmtharness.harness.engine import collectives

    with collectives.group():
        while True:
            asked: Any = collectives.broadcast_object(None)
            if asked is None:
                return
            fit(config, asked, path)
