"""Gates: what rates must keep to, written in a file `*.fmt.toml` that pytest collects.

    completions = "answers.jsonl"
    [thresholds.json_strict]
    format_success_rate = { min = 0.97 }

has the items `scored` and `json_strict.format_success_rate.min`; 90 of 100 passed fails the latter:
"format_success_rate of json_strict is 0.900 [0.826, 0.945] (90/100), below min = 0.97", and the
worst completions. What a file says is checked here; harness/gates/outcomes.py judges it.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field, model_validator

from harness.contracts import Evaluator, Options, Rate, needs_example, rates_of
from harness.errors import ConfigError, UserError
from harness.options import build, check
from harness.plugins import component
from harness.text import did_you_mean

SCORED = "scored"
"""The item that every gate has: no Verdict is unscored."""
Share = Annotated[float, Field(ge=0, le=1)]


class GateOptions(Options):
    """The keys above all tables. A gate has one source: `completions`, `run` or `[model]`."""

    completions: Path | None = None
    """A JSONL file with a `text` in each row, as `fmtharness eval --completions` takes it."""
    run: Path | None = None
    """A run's folder; its evaluation Examples come with it."""
    arm: str | None = None
    """The arm of `run` that is judged; `sft` where it is not set."""
    data: Path | None = None
    """The Examples that `completions` answer, or that `[model]` is asked."""
    evaluators: tuple[str, ...] = ()
    """Evaluators that take options, such as `json_strict:root=any`; others need no mention."""
    model: dict[str, Any] | None = None
    thresholds: dict[str, Any] = Field(default={})
    regression: dict[str, Any] | None = None


class ModelSource(Options):
    """[model]: who answers the Examples of `data`, as `fmtharness eval` has it."""

    name: str | None = None
    """A folder, a GGUF file, a hub id or a built-in name; the config's model where not set."""
    adapter: Path | None = None
    """A peft adapter to put on the model."""
    num_prompts: int | None = Field(default=None, ge=1)
    """How many Examples are asked, from the first; all where it is not set."""
    config: Path | None = None
    """A run's config, for the backend and its options; else that of the adapter's run."""


class Bounds(Options):
    """What one rate must keep to; each bound is an item."""

    min: Share | None = None
    """The rate is at least this."""
    max: Share | None = None
    """The rate is at most this."""
    min_low: Share | None = None
    """The lower end of the rate's 95% interval is at least this."""
    max_high: Share | None = None
    """The upper end of the rate's 95% interval is at most this."""

    @model_validator(mode="after")
    def _can_be_kept(self) -> Bounds:
        given = self.model_dump(exclude_none=True)
        if not given:
            raise ValueError(f"there is no bound; give {', '.join(Bounds.model_fields)}")
        for floor, ceiling in itertools.product(("min", "min_low"), ("max", "max_high")):
            if given.get(floor, 0) > given.get(ceiling, 1):
                raise ValueError(f"no rate keeps to {floor} and {ceiling} at once")
        return self


class Regression(Options):
    """[regression]: how much less than a reference may pass, on the same Examples."""

    against: Path
    """The reference: a run's folder, or a file of completions of the same Examples."""
    arm: str | None = None
    """The arm of the reference, where it is a run; `sft` where it is not set."""
    alpha: float = Field(default=0.05, gt=0, le=1)
    """A drop counts where McNemar's exact p is at most this."""
    max_drop: dict[str, Share] = Field(min_length=1)
    """By evaluator, how far its share of passes may fall."""


class Threshold(NamedTuple):
    """One bound on one rate."""

    evaluator: str
    rate: Rate
    bound: str
    limit: float

    @property
    def item(self) -> str:
        return f"{self.evaluator}.{self.rate.name}.{self.bound}"

    @property
    def is_floor(self) -> bool:
        return self.bound.startswith("min")

    @property
    def subject(self) -> str:
        """What of the Metric is bounded."""
        return {"min_low": "low", "max_high": "high"}.get(self.bound, "value")


@dataclasses.dataclass(frozen=True)
class Gate:
    """A gate file, checked; what it points to is not read yet."""

    path: Path
    options: GateOptions
    model: ModelSource | None
    evaluators: tuple[Evaluator, ...]
    thresholds: tuple[Threshold, ...]
    regression: Regression | None

    @property
    def items(self) -> list[str]:
        """The names of its items, in the order of the file."""
        drops = self.regression.max_drop if self.regression else {}
        return [SCORED, *(each.item for each in self.thresholds), *map(drop_item, drops)]


def drop_item(evaluator: str) -> str:
    """The name of the item that bounds an evaluator's drop."""
    return f"regression.{evaluator}.max_drop"


def read_gate(path: Path, name: str | None = None) -> Gate:
    """The gate that a file describes; messages call the file `name`.

    Raises ConfigError with one line per fault, each naming file, table and key.
    """
    where = name or str(path)
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{where}: not TOML: {error}") from error
    options, faults = check(GateOptions, tables, where)
    model = regression = None
    if "model" in tables:
        model, wrong = check(ModelSource, _table(tables, "model"), f"{where}: [model]")
        faults += wrong
    if "regression" in tables:
        rule = _table(tables, "regression")
        regression, wrong = check(Regression, rule, f"{where}: [regression]")
        faults += wrong
    drops = _table(_table(tables, "regression"), "max_drop")
    rates = _table(tables, "thresholds")
    uses = dict.fromkeys(drops, f"{where}: [regression] max_drop")
    uses |= dict.fromkeys(rates, f"{where}: [thresholds]")
    evaluators, wrong = _evaluators(tables.get("evaluators"), uses, where)
    faults += wrong
    thresholds: list[Threshold] = []
    for name, table in rates.items():
        if name in evaluators:
            found, wrong = _thresholds(evaluators[name], table, f"{where}: [thresholds.{name}]")
            thresholds += found
            faults += wrong
    faults += _source_faults(tables, evaluators.values(), where)
    if not tables.get("thresholds") and "regression" not in tables:
        faults.append(f"{where} has no threshold; give [thresholds.json_strict] or [regression]")
    if faults or options is None:
        raise ConfigError("\n".join(dict.fromkeys(faults)))
    chosen = tuple(evaluators.values())
    return Gate(path, options, model, chosen, tuple(thresholds), regression)


def _table(tables: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The table under a key; an empty one where something else is there, which `check` tells."""
    table = tables.get(key)
    return table if isinstance(table, dict) else {}


def _evaluators(
    specs: Any, uses: Mapping[str, str], where: str
) -> tuple[dict[str, Evaluator], list[str]]:
    """The evaluators given by specs and those that are only used, by name; and the faults."""
    found: dict[str, Evaluator] = {}
    faults = []
    given = specs if isinstance(specs, list) else []
    for spec in (each for each in given if isinstance(each, str)):
        try:
            evaluator = build("evaluators", spec)
        except UserError as error:
            faults += [f"{where} evaluators: {line}" for line in str(error).splitlines()]
            continue
        if evaluator.name in found:
            faults.append(f"{where} evaluators: {evaluator.name!r} is given twice")
        if evaluator.name not in uses:
            faults.append(f"{where} evaluators: {evaluator.name!r} has no threshold; drop it")
        found[evaluator.name] = evaluator
    for name in uses:
        if name in found:
            continue
        try:
            evaluator, wrong = check(component("evaluators", name), {}, f"{uses[name]} {name}")
        except UserError as error:
            faults.append(f"{uses[name]}: {error}")
            continue
        faults += wrong
        if evaluator is not None:
            found[name] = evaluator
    return found, faults


def _thresholds(evaluator: Evaluator, table: Any, where: str) -> tuple[list[Threshold], list[str]]:
    """The bounds on one evaluator's rates, and the faults."""
    if not isinstance(table, dict) or not table:
        return [], [f"{where} is no table of rates; write <rate> = {{ min = 0.9 }} below it"]
    known = {rate.name: rate for rate in rates_of(evaluator)}
    found: list[Threshold] = []
    faults: list[str] = []
    for name, given in table.items():
        if name not in known:
            near = did_you_mean(name, known) or f"; it has {', '.join(known)}"
            faults.append(f"{where} has no rate {name!r}{near}")
        elif not isinstance(given, dict):
            faults.append(
                f"{where} {name} = {json.dumps(given, default=str)}: write {{ min = ... }}"
            )
        else:
            bounds, wrong = check(Bounds, given, f"{where} {name}")
            faults += wrong
            limits = bounds.model_dump(exclude_none=True) if bounds else {}
            found += [Threshold(evaluator.name, known[name], *each) for each in limits.items()]
    return found, faults


def _source_faults(
    tables: Mapping[str, Any], evaluators: Iterable[Evaluator], where: str
) -> Iterator[str]:
    """What is wrong with where the completions and their Examples come from."""
    given = [key for key in ("completions", "run", "model") if key in tables]
    if len(given) != 1:
        has = " and ".join(given) or "none"
        yield f"{where}: one source is due, completions, run or [model]; there is {has}"
    if "arm" in tables and "run" not in tables:
        yield f"{where} has the key 'arm', which goes with run"
    if "data" in tables and "run" in tables:
        yield f"{where} has the key 'data', but a run brings its own Examples"
    if given == ["completions"] and "data" not in tables:
        for evaluator in evaluators:
            if needs_example(evaluator):
                yield (
                    f"{where}: evaluator {evaluator.name!r} compares with Examples: "
                    f"name them with data"
                )
