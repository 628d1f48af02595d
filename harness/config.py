"""A run's config: TOML tables in, checked options out, with all faults reported at once.

    [train]
    learning_rat = 2e-4     ->  hard.toml: [train] has no key 'learning_rat', did you mean ...

Without a file the preset `configs/quick.toml` is used, so every command works without arguments;
the presets are found by these names outside of a checkout, too.
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

import tomli_w
from pydantic import BaseModel, Field, field_validator

from fmtharness.harness import plugins
from fmtharness.harness.contracts import (
    Backend,
    Evaluator,
    Generator,
    ModelOptions,
    Options,
    Trainer,
    formats_of,
)
from fmtharness.harness.errors import ConfigError, UserError
from fmtharness.harness.files import shipped
from fmtharness.harness.formats import also_judged_by
from fmtharness.harness.options import check, parse_spec, parse_value, why_not
from fmtharness.harness.plugins import GROUP, Kind, component
from fmtharness.harness.schemas import names_code
from fmtharness.harness.text import did_you_mean

OUTPUTS = Path("outputs")
QUICK = "configs/quick.toml"
OWN = frozenset({"adapter", "checkpoints", "completions", "data", "tb", "verdicts"})
"""The folders that a run writes in its own."""
ALL = sys.maxsize
"""How many Examples a generator that ends is asked for if [data] sets no number."""
SIZES = {"n_train": 800, "n_dev": 32, "n_eval": 100}
"""How many Examples a generator that has no end is asked for if [data] sets no number."""


class RunOptions(Options):
    """The keys above all tables."""

    name: str
    """Names the run's folder, `outputs/<name>`; the config file's name if not set."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Determines the data, the adapter's initial weights, and the order of training."""

    @field_validator("name")
    @classmethod
    def _is_a_folder_name(cls, name: str) -> str:
        if name in ("", ".", "..") or set(name) & set("/\\"):
            raise ValueError("it must be a folder name; --out takes a path")
        return name


class DataOptions(Options):
    """[data]: the keys that every generator shares; the rest are the generator's own."""

    generator: str = "tasks"
    """The generator; `fmtharness plugins` lists them."""
    n_train: int | None = Field(default=None, ge=1)
    """Examples to train on; if not set 800, or all that there are of a user's rows."""
    n_dev: int | None = Field(default=None, ge=1)
    """Examples that checkpoints are chosen on; if not set 32, or all."""
    n_eval: int | None = Field(default=None, ge=1)
    """Held-out Examples to judge on; if not set 100, or all."""
    allow: tuple[str, ...] = ()
    """Checks of `fmtharness data` that do not stop the training, such as `near_duplicates`."""


class TrainOptions(Options):
    """[train]: the trainer's name; the rest are the trainer's own keys."""

    trainer: str = "qlora"
    """The trainer; `fmtharness plugins` lists them."""


class EvalOptions(Options):
    """[eval]: what is generated and who judges; the rest are the backend's own keys."""

    backend: str = "transformers"
    """The completion backend; `fmtharness plugins` lists them."""
    evaluators: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Component specs, such as `json_strict:root=any,max_depth=8`; if not set, those that the
    formats of the data imply."""
    num_prompts: int | None = Field(default=None, ge=1)
    """Use only the first so many eval Examples; all if not set."""
    dump_jsonl: Path | None = None
    """Also write prompt, target, completion and labels in one row each, for reading, to this file
    in the run's folder."""
    timeout_s: float = Field(default=10.0, gt=0, le=86_400)
    """Seconds that an evaluator may take for one completion, which is unscored after that."""

    @field_validator("dump_jsonl")
    @classmethod
    def _stays_in_the_folder(cls, path: Path | None) -> Path | None:
        for each in (path, PureWindowsPath(path)) if path is not None else ():
            if each.anchor or ".." in each.parts or not each.name:
                raise ValueError("it must be a file below the run's folder, such as 'rows.jsonl'")
            if each.parts[0].lower() in OWN:
                raise ValueError(
                    f"{each.parts[0]!r} in a run's folder is the run's own; name another"
                )
        return path


class ReportOptions(Options):
    """[report]: where the views of a run go."""

    tb_logdir: Path | None = None
    """TensorBoard logs go to `<tb_logdir>/<name>`; to `tb` in the run's folder if not set."""


@dataclasses.dataclass(frozen=True)
class Config:
    """A whole config, every component built and checked."""

    name: str
    seed: int
    model: ModelOptions
    data: DataOptions
    generator: Generator
    train: TrainOptions
    trainer: Trainer
    eval: EvalOptions
    backend: Backend
    evaluators: tuple[Evaluator, ...]
    report: ReportOptions
    names_evaluators: bool = dataclasses.field(compare=False)
    """Whether [eval] names them; else they are those that the formats of the data imply."""

    def tables(self) -> dict[str, Any]:
        """The resolved config as TOML tables, without what is unset."""
        tables: dict[str, Any] = {"name": self.name, "seed": self.seed, "model": _dump(self.model)}
        tables["data"] = _dump(self.data) | _dump(self.generator)
        tables["train"] = _dump(self.train) | _dump(self.trainer)
        tables["eval"] = _dump(self.eval) | _dump(self.backend)
        tables["report"] = _dump(self.report)
        return tables

    def toml(self) -> str:
        """The resolved config as TOML text; loading it gives this config again."""
        return tomli_w.dumps(self.tables())


def _dump(options: Any) -> dict[str, Any]:
    values = options.model_dump(mode="json")
    return {key: value for key, value in values.items() if value is not None}


_Section = tuple[str, type[BaseModel], str, Kind]
_NESTED: tuple[Kind, ...] = ("formats", "generators")
_SECTIONS: tuple[_Section, ...] = (
    ("data", DataOptions, "generator", "generators"),
    ("train", TrainOptions, "trainer", "trainers"),
    ("eval", EvalOptions, "backend", "backends"),
)


def load_config(
    path: Path | None = None,
    *,
    overrides: Iterable[str] = (),
    name: str | None = None,
    trains: bool = True,
    asked: bool = True,
) -> Config:
    """The config of a TOML file, or of the quick preset, overridden by each `table.key=value`.

    `quantization = "auto"` becomes what the trainer trains on, or none unless the command `trains`.
    Unless the user `asked` for the file by its name, it can neither allow code to run nor choose a
    plugin. Raises ConfigError with one line per fault, each naming file, table and key.
    """
    path = path or shipped(QUICK)
    if path.parent == Path("configs") and not path.exists() and shipped(str(path)).is_file():
        path = shipped(str(path))
    tables = _read(path)
    source = str(path)
    in_file = tables.get("model")
    consent = not asked and isinstance(in_file, dict) and in_file.pop("trust_remote_code", False)
    faults = [fault for override in overrides if (fault := _override(tables, override))]
    known = {"name", "seed", "model", "report", *(section[0] for section in _SECTIONS)}
    for key in tables.keys() - known:
        faults.append(f"{source} has no table or key {key!r}{did_you_mean(key, known)}")
    for key in known - {"name", "seed"}:
        if not isinstance(tables.setdefault(key, {}), dict):
            faults.append(f"{source}: {key} is a table, write [{key}]")
            tables[key] = {}
    own: dict[str, Any] = {"name": name or path.stem}
    own |= {key: tables[key] for key in ("name", "seed") if key in tables}
    top, wrong = check(RunOptions, own, source)
    faults += wrong
    model, wrong = check(ModelOptions, tables["model"], f"{source}: [model]")
    faults += wrong
    if consent and "trust_remote_code" not in tables["model"]:
        faults.append(
            f"{source}: [model] trust_remote_code: a run's folder cannot allow code to run, here "
            f"that of the model {tables['model'].get('name')!r}; name a config of your own as "
            f"CONFIG, or add --set model.trust_remote_code=true"
        )
    if "mix" in tables["data"]:
        tables["data"].setdefault("generator", "mix")
    report, wrong = check(ReportOptions, tables["report"], f"{source}: [report]")
    faults += wrong
    built: dict[str, Any] = {}
    for table, core, selector, kind in _SECTIONS:
        built[table], built[selector], wrong = _section(
            tables[table], core, selector, kind, f"{source}: [{table}]", asked=asked
        )
        faults += wrong
    if built["data"] and not getattr(built["generator"], "sized", False):
        unset = {key: n for key, n in SIZES.items() if getattr(built["data"], key) is None}
        built["data"] = built["data"].model_copy(update=unset)
    named = bool(built["eval"] and built["eval"].evaluators is not None)
    specs: tuple[str, ...] = ()
    wanted: set[str] = set()
    try:
        wanted = set(getattr(built["generator"], "formats", ()))
        specs = () if named else _implied_by(built["generator"])
    except UserError as error:
        # The data of a finished run may be gone, and its evaluators are named.
        faults += [] if named else [f"{source}: [data]: {error}"]
    if built["eval"] and built["generator"] and not named:
        if not specs and not faults:
            chosen = built["data"].generator
            faults.append(
                f"{source}: [eval] lacks the key 'evaluators': generator {chosen!r} does not say "
                f"in which formats its Examples are"
            )
        built["eval"] = built["eval"].model_copy(update={"evaluators": specs or None})
    evaluators: list[Evaluator] = []
    for spec in (built["eval"] and built["eval"].evaluators) or ():
        where = f"{source}: [eval] evaluators"
        evaluator, wrong = _component("evaluators", spec, where, asked=asked)
        evaluators.append(evaluator)
        faults += wrong
    for each in filter(None, evaluators):
        judged = formats_of(each)
        if wanted and judged is not None and judged.isdisjoint(wanted):
            whose, named_there = (", ".join(sorted(names)) for names in (judged, wanted))
            faults.append(
                f"{source}: [eval] evaluators: {each.name!r} judges {whose}, and [data] asks for "
                f"{named_there}"
            )
    for name in sorted(wanted) if named and all(evaluators) else ():
        judges = [formats_of(each) for each in evaluators if each is not None]
        if not any(judged is None or name in judged for judged in judges):
            faults.append(f"{source}: [eval] evaluators: none judges {name}, which [data] asks for")
    names = Counter(each.name for each in evaluators if each is not None)
    twice = [each for each, count in names.items() if count > 1]
    faults += [f"{source}: [eval] evaluators: {each!r} is given twice" for each in twice]
    if faults or top is None or model is None or report is None:
        raise ConfigError("\n".join(sorted(set(faults))))
    if model.quantization == "auto":
        trains_on = getattr(built["trainer"], "quantization", "none") if trains else "none"
        model = model.model_copy(update={"quantization": trains_on})
    return Config(
        **built,
        name=top.name,
        seed=top.seed,
        model=model,
        evaluators=tuple(evaluators),
        names_evaluators=named,
        report=report,
    )


def implied(formats: Iterable[str]) -> tuple[str, ...]:
    """The default evaluators of Completions in these formats.

    Raises UserError for an unknown format.
    """
    each = (also_judged_by(component("formats", name)) for name in dict.fromkeys(formats))
    return tuple(dict.fromkeys(itertools.chain.from_iterable(each)))


def _implied_by(generator: Any) -> tuple[str, ...]:
    """The default evaluators for a generator's Examples."""
    more = getattr(generator, "evaluators", ())
    return tuple(dict.fromkeys((*implied(getattr(generator, "formats", ())), *more)))


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        near = did_you_mean(path.name, [p.name for p in path.parent.glob("*.toml")])
        raise ConfigError(f"{path}: cannot be read ({error.strerror}){near}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not TOML: {why_not(error)}") from error


def _override(tables: dict[str, Any], override: str) -> str | None:
    """Override one `table.key=value` (or `seed=1`) in the tables; a sentence if it is invalid."""
    target, equals, value = override.partition("=")
    *parents, key = target.strip().split(".")
    if not equals or not key:
        return f"--set {override!r} is not table.key=value"
    place = tables
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            return f"--set {override!r}: {parent} is a value, not a table"
    place[key] = parse_value(value.strip())
    return None


def _section(
    table: Mapping[str, Any],
    core: type[BaseModel],
    selector: str,
    kind: Kind,
    where: str,
    *,
    asked: bool,
) -> tuple[Any, Any, list[str]]:
    """Split a table between the core's keys and the chosen component's, and check both."""
    own = {key: value for key, value in table.items() if key in core.model_fields}
    options, faults = check(core, own, where)
    chosen = own.get(selector, core.model_fields[selector].default)
    try:
        found = component(kind, str(chosen))
    except UserError as error:
        return options, None, [*faults, f"{where} {selector}: {error}"]
    if not asked and (unasked := _unasked(kind, str(chosen), f"{where} {selector}")):
        return options, None, faults + unasked
    rest = {key: value for key, value in table.items() if key not in core.model_fields}
    everything = {*core.model_fields, *found.model_fields}
    for key in rest.keys() - found.model_fields.keys():
        hint = did_you_mean(key, everything) or f" ({selector} {chosen!r} knows none either)"
        faults.append(f"{where} has no key {key!r}{hint}")
        del rest[key]
    # Options may name formats and generators, which work while the options are checked.
    faults += [] if asked else _unasked_code(rest, where)
    for nested in () if asked else _NESTED:
        for name in sorted(_texts(rest) & plugins.registry()[nested].keys()):
            faults += _unasked(nested, name, where)
    if not asked and faults:
        return options, None, faults
    instance, wrong = check(found, rest, where)
    return options, instance, faults + wrong


def _texts(value: Any) -> set[str]:
    """All texts in a value of TOML, keys too; of a component spec, the name."""
    if isinstance(value, Mapping):
        return _texts([*value, *value.values()])
    if isinstance(value, list):
        return set().union(*map(_texts, value))
    return {value.partition(":")[0].strip()} if isinstance(value, str) else set()


def _unasked(kind: Kind, name: str, where: str) -> list[str]:
    """A sentence if this component is a plugin's."""
    distribution = plugins.registry()[kind][name].distribution
    if distribution == GROUP:
        return []
    return [
        f"{where}: {name!r} is a plugin ({distribution}), and a run's folder cannot choose what "
        f"runs; name its config.toml, or a config of your own, as CONFIG if it shall"
    ]


def _unasked_code(value: Any, where: str, key: str = "") -> list[str]:
    """A sentence for each schema in a table that is code, `package.module:Model`."""
    if isinstance(value, Mapping):
        return [line for each in value.items() for line in _unasked_code(each[1], where, each[0])]
    if isinstance(value, list):
        return [line for each in value for line in _unasked_code(each, where, key)]
    if "schema" not in key or not names_code(value):
        return []
    return [
        f"{where} {key}: {value!r} is code, and a run's folder cannot choose what runs; name its "
        f"config.toml, or a config of your own, as CONFIG if it shall"
    ]


def _component(kind: Kind, spec: str, where: str, *, asked: bool) -> tuple[Any, list[str]]:
    try:
        name, table = parse_spec(spec)
        found = component(kind, name)
        if not asked and (unasked := _unasked(kind, name, where) + _unasked_code(table, where)):
            return None, unasked
        return check(found, table, f"{where}: {name}")
    except UserError as error:
        return None, [f"{where}: {error}"]
