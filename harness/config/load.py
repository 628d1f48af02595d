"""A run's config: TOML tables in, checked options out, with all faults reported at once.

    [train]
    learning_rat = 2e-4     ->  hard.toml: [train] has no key 'learning_rat', did you mean ...

Without a file the preset `configs/quick.toml` is used, so every command works without arguments;
the presets are found by these names outside of a checkout, too.
"""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from fmtharness.harness import plugins
from fmtharness.harness.config.arms import arms_of, with_cache
from fmtharness.harness.config.judges import Judges, judges_of, keepers
from fmtharness.harness.config.sections import section
from fmtharness.harness.config.sets import sets_of
from fmtharness.harness.config.tables import (
    SIZES,
    Config,
    DataOptions,
    EvalOptions,
    ReportOptions,
    RetentionOptions,
    RoundOptions,
    RunOptions,
    TrainOptions,
)
from fmtharness.harness.contracts import ModelOptions
from fmtharness.harness.errors import ConfigError, UserError
from fmtharness.harness.files import shipped
from fmtharness.harness.options import check, parse_value, why_not
from fmtharness.harness.plugins import Kind, component
from fmtharness.harness.text import did_you_mean

QUICK = "configs/quick.toml"
_Section = tuple[str, type[BaseModel], str, Kind]
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
    preset = path is None
    path = path or shipped(QUICK)
    if path.parent == Path("configs") and not path.exists() and shipped(str(path)).is_file():
        path = shipped(str(path))
    tables = _read(path)
    source = str(path)
    in_file = tables.get("model")
    consent = not asked and isinstance(in_file, dict) and in_file.pop("trust_remote_code", False)
    before = copy.deepcopy(tables) if preset else {}
    faults = [fault for override in overrides if (fault := _override(tables, override))]
    if preset:
        _forget_replaced(tables, before)
    known = {"name", "seed", "model", "retention", "report", *(section[0] for section in _SECTIONS)}
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
    retention, wrong = check(RetentionOptions, tables["retention"], f"{source}: [retention]")
    faults += wrong
    extra = tables["eval"].pop("sets", {})
    servers = tables["eval"].pop("servers", {})
    built: dict[str, Any] = {}
    for table, core, selector, kind in _SECTIONS:
        built[table], built[selector], wrong = section(
            tables[table], core, selector, kind, f"{source}: [{table}]", asked=asked
        )
        faults += wrong
    built["next_round"], built["next_trainer"], wrong = _next_round(built, source, asked=asked)
    faults += wrong
    if built["data"] and not getattr(built["generator"], "sized", False):
        unset = {key: n for key, n in SIZES.items() if getattr(built["data"], key) is None}
        built["data"] = built["data"].model_copy(update=unset)
    sets, wrong = sets_of(extra, source, asked=asked)
    faults += wrong
    if built["eval"] and built["backend"]:
        built["backend"] = with_cache(built["backend"], built["eval"])
        built["arms"], built["servers"], wrong = arms_of(
            built["eval"], built["backend"], servers, source, asked=asked
        )
        faults += wrong
    named = bool(built["eval"] and built["eval"].evaluators is not None)
    judges = Judges()
    if built["eval"]:
        judges, wrong = judges_of(
            built["eval"].evaluators,
            built["generator"],
            f"{source}: [eval]",
            data=f"{source}: [data]",
            quiet=bool(faults),
            asked=asked,
        )
        faults += wrong
        built["eval"] = built["eval"].model_copy(update={"evaluators": judges.specs or None})
    if faults or top is None or model is None or report is None or retention is None:
        raise ConfigError("\n".join(sorted(set(faults))))
    if model.quantization == "auto":
        trains_on = getattr(built["trainer"], "quantization", "none") if trains else "none"
        model = model.model_copy(update={"quantization": trains_on})
    needed = getattr(built["next_trainer"], "quantization", model.quantization)
    if trains and needed != model.quantization:
        raise ConfigError(
            f"{source}: [train.next_round] trainer: {built['next_trainer'].name!r} trains on "
            f"quantization = {needed!r}, and the first round on {model.quantization!r}"
        )
    return Config(
        **built,
        name=top.name,
        seed=top.seed,
        model=model,
        evaluators=judges.evaluators,
        names_evaluators=named,
        sets=sets,
        retention=retention,
        keepers=keepers(judges.evaluators),
        report=report,
    )


def _next_round(
    built: Mapping[str, Any], source: str, *, asked: bool
) -> tuple[Any, Any, list[str]]:
    """The options and the trainer of the rounds after the first, and the faults."""
    first, trainer, where = built["train"], built["trainer"], f"{source}: [train.next_round]"
    if first is None or trainer is None:
        return None, None, []
    if first.rounds == 1:
        unused = [f"{where}: [train] rounds is 1; set it to 2 or more"] if first.next_round else []
        return RoundOptions(), None, unused
    chosen = str(first.next_round.get("trainer", RoundOptions().trainer))
    try:
        own = component("trainers", chosen).model_fields
    except UserError:
        own = {}  # `section` reports that
    inherited = trainer.model_dump(mode="json", include=trainer.model_fields_set & own.keys())
    options, later, faults = section(
        {**inherited, **first.next_round},
        RoundOptions,
        "trainer",
        "trainers",
        where,
        asked=asked,
    )
    fixed = getattr(trainer, "adapter_keys", frozenset()) & first.next_round.keys()
    faults += [
        f"{where} {key}: a round goes on with the adapter of the one before; leave it out"
        for key in sorted(fixed)
        if later is not None and getattr(later, key, None) != getattr(trainer, key)
    ]
    return options, later, faults


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        near = did_you_mean(path.name, [p.name for p in path.parent.glob("*.toml")])
        raise ConfigError(f"{path}: cannot be read ({error.strerror}){near}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not TOML: {why_not(error)}") from error


def _forget_replaced(tables: dict[str, Any], before: Mapping[str, Any]) -> None:
    """Remove a preset's options of a component where an override names another without them."""
    for table, core, selector, kind in _SECTIONS:
        now, then = tables.get(table), before.get(table, {})
        if not isinstance(now, dict):
            continue
        named = then.get(selector, "mix" if "mix" in then else core.model_fields[selector].default)
        old, new = (
            plugins.registry()[kind].get(str(each)) for each in (named, now.get(selector, named))
        )
        if old is None or new is None or old is new:
            continue
        gone = old.component.model_fields.keys() - core.model_fields.keys()
        gone -= new.component.model_fields.keys()
        tables[table] = {
            key: value for key, value in now.items() if key not in gone or value != then.get(key)
        }


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
