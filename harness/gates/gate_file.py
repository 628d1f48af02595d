"""Parses and checks gate files: thresholds on rates, in a `*.fmt.toml` that pytest collects.

    completions = "answers.jsonl"
    [thresholds.json_strict]
    format_success_rate = { min = 0.97 }

gives the test items `scored`, `answered` and `json_strict.format_success_rate.min`. With 90 of 100
passed the latter fails: "format_success_rate of json_strict is 0.900 [0.826, 0.945] (90/100), below
min = 0.97", followed by the worst completions. This module only validates the file;
harness/gates/outcomes.py evaluates it.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import tomllib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field, model_validator

from fmtharness.harness.contracts import Evaluator, Options, Rate, needs_example, rates_of
from fmtharness.harness.errors import ConfigError, UserError
from fmtharness.harness.options import check, parse_spec
from fmtharness.harness.plugins import component
from fmtharness.harness.report.retention import MEASURES
from fmtharness.harness.schemas import ANY_JSON, SCHEMA_EVALUATOR, named_from
from fmtharness.harness.text import did_you_mean

SCORED = "scored"
"""Name of the item that every gate has. It passes if no Verdict is unscored."""
ANSWERED = "answered"
"""Name of the item that every gate has. It passes if the Examples are answered as they should."""
RETENTION = "retention"
OF_RETENTION = {"unasked_format_rate": "unasked_format", "loop_rate": "loops"}
"""The rates of retention, and the evaluators that they are of."""
Share = Annotated[float, Field(ge=0, le=1)]


with warnings.catch_warnings(action="ignore"):  # BaseModel has a method of this name, long unused

    class _Schemed(Options):
        schema: str | None = None  # type: ignore[assignment]
        """The JSON Schema of the evaluator `json_schema`: a file, relative to the gate file, or
        `package.module:Model` of a Pydantic model. `json_strict` then takes any root."""


class GateOptions(_Schemed):
    """The top-level keys. Exactly one of `completions`, `run` and `[model]` must be set."""

    completions: Path | None = None
    """A JSONL file with a `text` in each row, as for `fmtharness eval --completions`."""
    run: Path | None = None
    """A run's folder. Its eval Examples are used."""
    arm: str | None = None
    """The arm of `run` to judge; default `sft`."""
    data: Path | None = None
    """The Examples that `completions` belong to, or that `[model]` completes."""
    evaluators: tuple[str, ...] = ()
    """Evaluators with options, such as `json_strict:root=any`. Others need not be listed."""
    min_answered: Share = 1.0
    """The share of the Examples that must have an answer."""
    samples: int = Field(default=1, ge=1)
    """How many answers `completions` has of each Example."""
    model: dict[str, Any] | None = None
    thresholds: dict[str, Any] = Field(default={})
    regression: dict[str, Any] | None = None


class ModelSource(Options):
    """[model]: the model that completes the Examples of `data`, as in `fmtharness eval`."""

    name: str | None = None
    """A folder, a GGUF file, a hub id or a built-in name; default: the config's model."""
    adapter: Path | None = None
    """A peft adapter to load on the model."""
    num_prompts: int | None = Field(default=None, ge=1)
    """Use only the first so many Examples; default: the config's `[eval] num_prompts`."""
    config: Path | None = None
    """A config file that sets the backend and its options; default: that of the adapter's run."""


class Bounds(Options):
    """The bounds on one rate; each bound is a test item."""

    min: Share | None = None
    """The rate is at least this."""
    max: Share | None = None
    """The rate is at most this."""
    min_low: Share | None = None
    """The lower end of the rate's 95% interval is at least this."""
    max_high: Share | None = None
    """The upper end of the rate's 95% interval is at most this."""

    @model_validator(mode="after")
    def _satisfiable(self) -> Bounds:
        bounds = self.model_dump(exclude_none=True)
        if not bounds:
            raise ValueError(
                f"no bound is set; set at least one of {', '.join(Bounds.model_fields)}"
            )
        for floor, ceiling in itertools.product(("min", "min_low"), ("max", "max_high")):
            if bounds.get(floor, 0) > bounds.get(ceiling, 1):
                raise ValueError(f"no rate can satisfy both {floor} and {ceiling}")
        return self


class NumberBounds(Options):
    """The bounds on a number that is no rate, such as a perplexity; each bound is a test item."""

    min: float | None = None
    """The number is at least this."""
    max: float | None = None
    """The number is at most this."""

    @model_validator(mode="after")
    def _satisfiable(self) -> NumberBounds:
        if self.min is None and self.max is None:
            raise ValueError("no bound is set; set min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("no number can satisfy both min and max")
        return self


class Regression(Options):
    """[regression]: how far the pass rate may drop below a reference on the same Examples."""

    against: Path
    """The reference: a run's folder, or a file of completions of the same Examples."""
    arm: str | None = None
    """The arm of the reference if that is a run; default `sft`."""
    alpha: float = Field(default=0.05, gt=0, le=1)
    """A drop is significant if McNemar's exact two-sided p is at most this."""
    min_compared: Share = 1.0
    """The share of the Examples of both sides that must be comparable."""
    max_drop: dict[str, Share] = Field(min_length=1)
    """By evaluator: the largest allowed drop of the pass rate."""


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
        """The bounded number of the Metric: `value`, `low` or `high`."""
        return {"min_low": "low", "max_high": "high"}.get(self.bound, "value")


@dataclasses.dataclass(frozen=True)
class Gate:
    """A validated gate file. The files that it names have not been read."""

    path: Path
    options: GateOptions
    model: ModelSource | None
    evaluators: tuple[Evaluator, ...]
    thresholds: tuple[Threshold, ...]
    retention: tuple[Threshold, ...]
    """Bounds on the numbers in the run's retention/<arm>.json."""
    regression: Regression | None

    @property
    def items(self) -> list[str]:
        """The names of the gate's test items, in the order of the file."""
        drops = self.regression.max_drop if self.regression else {}
        bounds = [each.item for each in (*self.thresholds, *self.retention)]
        return [SCORED, ANSWERED, *bounds, *map(drop_item, drops)]


def drop_item(evaluator: str) -> str:
    """The item name for an evaluator's `max_drop`."""
    return f"regression.{evaluator}.max_drop"


def read_gate(path: Path, name: str | None = None) -> Gate:
    """Read and validate a gate file; messages call the file `name` (default: its path).

    Raises ConfigError with one line per fault, each naming the file, table and key.
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
    rates = dict(_table(tables, "thresholds"))
    kept: list[Threshold] = []
    if RETENTION in rates:
        table = rates.pop(RETENTION)
        said = f"{where}: [thresholds.{RETENTION}]"
        if "run" in tables:
            kept, wrong = _retention(table, said)
        else:
            more, wrong = _as_evaluators(table, said)
            rates = more | rates
        faults += wrong
    uses = dict.fromkeys(drops, f"{where}: [regression] max_drop")
    uses |= dict.fromkeys(rates, f"{where}: [thresholds]")
    specs = tables.get("evaluators")
    defaults: dict[str, dict[str, Any]] = {}
    if options is not None and options.schema is not None:
        name, table = parse_spec(ANY_JSON)
        defaults = {name: table, SCHEMA_EVALUATOR: {"schema": named_from(path, options.schema)}}
        if SCHEMA_EVALUATOR not in uses:
            faults.append(
                f"{where} has the key 'schema', but no threshold needs it; add "
                f"[thresholds.{SCHEMA_EVALUATOR}]"
            )
    evaluators, wrong = _evaluators(specs, uses, defaults, where)
    faults += wrong
    thresholds: list[Threshold] = []
    for name, table in rates.items():
        if name in evaluators:
            found, wrong = _thresholds(evaluators[name], table, f"{where}: [thresholds.{name}]")
            thresholds += found
            faults += wrong
    faults += _source_faults(tables, evaluators.values(), where)
    if not tables.get("thresholds") and "regression" not in tables:
        faults.append(f"{where} has no threshold; add [thresholds.json_strict] or [regression]")
    if faults or options is None:
        raise ConfigError("\n".join(dict.fromkeys(faults)))
    chosen = tuple(evaluators.values())
    return Gate(path, options, model, chosen, tuple(thresholds), tuple(kept), regression)


def _table(tables: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The table under a key, or an empty one if it is not a table; `check` reports that fault."""
    table = tables.get(key)
    return table if isinstance(table, dict) else {}


def _evaluators(
    specs: Any, uses: Mapping[str, str], defaults: Mapping[str, dict[str, Any]], where: str
) -> tuple[dict[str, Evaluator], list[str]]:
    """Build the evaluators of `specs` and the others in `uses`, with the options in `defaults`.

    `uses` maps an evaluator's name to the table that uses it. Returns the evaluators by name, and
    the faults.
    """
    found: dict[str, Evaluator] = {}
    faults = []
    listed = specs if isinstance(specs, list) else []
    for spec in (each for each in listed if isinstance(each, str)):
        try:
            name, table = parse_spec(spec)
            table = defaults.get(name, {}) | table
            said = f"{where} evaluators: {spec!r}: {name}"
            evaluator, wrong = check(component("evaluators", name), table, said)
        except UserError as error:
            faults += [f"{where} evaluators: {line}" for line in str(error).splitlines()]
            continue
        faults += wrong
        if evaluator is None:
            continue
        if evaluator.name in found:
            faults.append(f"{where} evaluators: {evaluator.name!r} is given twice")
        if evaluator.name not in uses:
            faults.append(f"{where} evaluators: {evaluator.name!r} has no threshold; remove it")
        found[evaluator.name] = evaluator
    for name in uses:
        if name in found:
            continue
        try:
            table = defaults.get(name, {})
            evaluator, wrong = check(component("evaluators", name), table, f"{uses[name]} {name}")
        except UserError as error:
            faults.append(f"{uses[name]}: {error}")
            continue
        faults += wrong
        if evaluator is not None:
            found[name] = evaluator
    return found, faults


def _thresholds(evaluator: Evaluator, table: Any, where: str) -> tuple[list[Threshold], list[str]]:
    """The thresholds of one [thresholds.<evaluator>] table, and the faults."""
    if not isinstance(table, dict) or not table:
        return [], [f"{where} must be a table of rates, such as <rate> = {{ min = 0.9 }}"]
    known = {rate.name: rate for rate in rates_of(evaluator)}
    found: list[Threshold] = []
    faults: list[str] = []
    for name, value in table.items():
        if name not in known:
            near = did_you_mean(name, known) or f"; it has {', '.join(known)}"
            faults.append(f"{where} has no rate {name!r}{near}")
        elif not isinstance(value, dict):
            faults.append(
                f"{where} {name} = {json.dumps(value, default=str)}: write {{ min = ... }}"
            )
        else:
            bounds, wrong = check(Bounds, value, f"{where} {name}")
            faults += wrong
            limits = bounds.model_dump(exclude_none=True) if bounds else {}
            found += [Threshold(evaluator.name, known[name], *each) for each in limits.items()]
    return found, faults


def _retention(table: Any, where: str) -> tuple[list[Threshold], list[str]]:
    """The thresholds on a run's numbers of retention, and the faults."""
    if not isinstance(table, dict) or not table:
        return [], [f"{where} must be a table of numbers, such as loop_rate = {{ max = 0.05 }}"]
    found: list[Threshold] = []
    faults: list[str] = []
    known = (*OF_RETENTION, *MEASURES)
    for name, value in table.items():
        if name not in known:
            near = did_you_mean(name, known) or f"; it has {', '.join(known)}"
            faults.append(f"{where} has no number {name!r}{near}")
            continue
        kind = Bounds if name in OF_RETENTION else NumberBounds
        if not isinstance(value, dict):
            shown = json.dumps(value, default=str)
            faults.append(f"{where} {name} = {shown}: write {{ max = ... }}")
            continue
        bounds, wrong = check(kind, value, f"{where} {name}")
        faults += wrong
        limits = bounds.model_dump(exclude_none=True) if bounds else {}
        found += [Threshold(RETENTION, Rate(name, name), *each) for each in limits.items()]
    return found, faults


def _as_evaluators(table: Any, where: str) -> tuple[dict[str, Any], list[str]]:
    """The two rates as tables of their evaluators, since answers alone have no other number."""
    if not isinstance(table, dict) or not table:
        return {}, [f"{where} must be a table of rates, such as loop_rate = {{ max = 0.05 }}"]
    others = [name for name in table if name not in OF_RETENTION]
    faults = [
        f"{where} has no number {name!r} of answers alone"
        f"{did_you_mean(name, OF_RETENTION)}; it has {', '.join(OF_RETENTION)}, and with run = ... "
        f"{', '.join(MEASURES)}"
        for name in others
    ]
    rates = {OF_RETENTION[name]: {name: table[name]} for name in table if name in OF_RETENTION}
    return rates, faults


def _source_faults(
    tables: Mapping[str, Any], evaluators: Iterable[Evaluator], where: str
) -> Iterator[str]:
    """Faults in where the completions and Examples come from."""
    sources = [key for key in ("completions", "run", "model") if key in tables]
    if len(sources) != 1:
        found = " and ".join(sources) or "none"
        yield f"{where}: set exactly one of completions, run and [model]; found {found}"
    if "arm" in tables and "run" not in tables:
        yield f"{where} has the key 'arm', which needs run"
    if "min_answered" in tables and sources == ["completions"] and "data" not in tables:
        yield f"{where} has the key 'min_answered', which needs data: the Examples to be answered"
    if "samples" in tables and sources != ["completions"]:
        yield f"{where} has the key 'samples', which needs completions: others answer once"
    if "samples" in tables and "regression" in tables:
        yield f"{where} has the key 'samples', but [regression] pairs single answers; remove one"
    if "data" in tables and "run" in tables:
        yield f"{where} has the key 'data', but a run has its own Examples; remove one of the two"
    if sources == ["completions"] and "data" not in tables:
        for evaluator in evaluators:
            if needs_example(evaluator) and evaluator.name == SCHEMA_EVALUATOR:
                yield f"{where}: evaluator {SCHEMA_EVALUATOR!r} has no schema: set schema, or data"
            elif needs_example(evaluator):
                yield (
                    f"{where}: evaluator {evaluator.name!r} compares with Examples: "
                    f"set data to their file"
                )
