"""What a training is made from, and what happens to an old one when that has changed.

begin_training(run, train_inputs(run, model))
    "train: runs again, since [train] learning_rate (0.001 -> 0.002) changed; what it replaces is
    kept in outputs/quick/before-5c1f09ab"

Options that do not shape the adapter are not inputs. If a training only became longer it goes on,
unless it has rounds; nothing of an old one is deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fmtharness.harness.config import Config
from fmtharness.harness.contracts import CHOOSE_BY, rates_of
from fmtharness.harness.files import digest, file_digest
from fmtharness.harness.progress import say
from fmtharness.harness.run.folder import RunFolder
from fmtharness.harness.run.provenance import Maker, made_by
from fmtharness.harness.run.sets import dev_inputs

SHAPE_ADAPTERS = (
    "fmtharness.harness",
    "fmtharness.harness.engine",
    "fmtharness.harness.backends",
    "fmtharness.harness.judging",
)
"""Built-in packages whose code shapes an adapter, besides the trainer's and the evaluators'."""
ROUND_EVALUATORS = "[eval] evaluators of rounds"
ONLY_MEMORY = ("memory_limit", "dequantize")
"""Options of the model that change what is held in memory, and numbers by their rounding alone."""


def train_inputs(run: RunFolder, model: Mapping[str, str]) -> dict[str, str]:
    """What shapes the adapter, by name: each option of the trainer and the model is one.

    `model` holds the inputs of any stage that loads the model.
    """
    config = run.config
    tables = config.tables()
    choosing = [
        each for each in config.evaluators if {rate.name for rate in rates_of(each)} & {*CHOOSE_BY}
    ]
    makers: list[Maker] = [("trainers", config.trainer)]
    makers += [("evaluators", each) for each in choosing]
    if config.retention.in_training:
        makers += [("evaluators", each) for each in config.keepers]
    incidental: frozenset[str] = getattr(config.trainer, "incidental", frozenset())
    train = {k: v for k, v in tables["train"].items() if k not in incidental}
    rounds = {}
    if config.next_trainer is not None:
        later: frozenset[str] = getattr(config.next_trainer, "incidental", frozenset())
        table = {k: v for k, v in train.get("next_round", {}).items() if k not in later}
        train |= {"next_round": table}
        judging = [f"{each.name} {each!r}" for each in config.evaluators]
        rounds = {ROUND_EVALUATORS: digest(judging)}
    return {
        **{f"[train] {k}": str(v) for k, v in train.items()},
        **rounds,
        **{f"[model] {k}": str(v) for k, v in tables["model"].items() if k not in ONLY_MEMORY},
        **{name: held for name, held in model.items() if name != "[model]"},
        "[eval] evaluators": digest([f"{each.name} {each!r}" for each in choosing]),
        "seed": str(config.seed),
        "train.jsonl": file_digest(run.data("train")),
        "dev.jsonl": file_digest(run.data("dev")),
        **dev_inputs(run),
        **made_by(makers, packages=SHAPE_ADAPTERS),
    }


def _length(config: Config) -> str:
    """The name, among the inputs, of the option that says how long the trainer trains."""
    return f"[train] {getattr(config.trainer, 'length', None)}"


def resumed_by(config: Config, inputs: Mapping[str, str]) -> dict[str, str]:
    """The inputs that a checkpoint must share to be resumed: all but the training's length."""
    return {name: held for name, held in inputs.items() if name != _length(config)}


def begin_training(
    run: RunFolder, inputs: Mapping[str, str], start: Mapping[str, str]
) -> dict[str, Any]:
    """Begin the stage, and keep aside what it made from other inputs, or from another `start`.

    A training of which only the length was raised goes on from its last checkpoint. The last of
    several rounds does not, since the first one is longer, too, and `start`, what it has from the
    round before, is another. The facts that are returned, for the manifest, say what it began with.
    """
    known, length = run.known("train"), _length(run.config)
    before, went_on_from = known.get("inputs", inputs), known.get("went_on_from", [])
    note, rounds = "", run.config.train.rounds
    if before != inputs or (known and known.get("start", {}) != start):
        if _is_longer(run.config, before, inputs):
            step = f", step {known['steps']}" if "steps" in known else ""
            went_on_from = [*went_on_from, f"{length} = {before[length]}{step}"]
            note, replaced = "; it goes on from its last checkpoint", [run.adapter]
        else:
            went_on_from, replaced = [], run.of_training
        if start:
            note = f"; round {rounds} begins anew, with the adapter of round {rounds - 1}"
        if aside := run.set_aside(replaced, digest(before)[:8]):
            note += f"; what it replaces is kept in {aside}"
        if before == inputs:
            say(f"train: what round {rounds} began with has changed{note}")
    facts: dict[str, Any] = {"went_on_from": went_on_from} if went_on_from else {}
    facts |= {"start": dict(start)} if start else {}
    files = [run.adapter] if known else run.of_training
    run.begin("train", inputs, files, note=note, **facts)
    return facts


def _is_longer(config: Config, before: Any, inputs: Mapping[str, str]) -> bool:
    """Whether nothing but the training's length has changed, and that was raised.

    A training in rounds is never longer: each of them begins with what the one before has made.
    """
    length = _length(config)
    return (
        config.train.rounds == 1
        and isinstance(before, dict)
        and length in before.keys() & inputs.keys()
        and resumed_by(config, before) == resumed_by(config, inputs)
        and float(before[length]) < float(inputs[length])
    )
