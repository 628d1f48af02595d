"""One table of a config: the keys that all components of its kind share, and the chosen one's own.

    section({"generator": "tasks", "n_trian": 5}, DataOptions, "generator", "generators",
            "quick.toml: [data]", asked=True)
        ->  DataOptions(), Tasks(), ["quick.toml: [data] has no key 'n_trian', did you mean ..."]

A config that the user did not ask for by name chooses no code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from fmtharness.harness import plugins
from fmtharness.harness.errors import UserError
from fmtharness.harness.options import check, parse_spec
from fmtharness.harness.plugins import GROUP, Kind, component
from fmtharness.harness.schemas import names_code
from fmtharness.harness.text import did_you_mean

_NESTED: tuple[Kind, ...] = ("formats", "generators")


def section(
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
    faults += [] if asked else unasked_code(rest, where)
    for nested in () if asked else _NESTED:
        for name in sorted(_texts(rest) & plugins.registry()[nested].keys()):
            faults += _unasked(nested, name, where)
    if not asked and faults:
        return options, None, faults
    instance, wrong = check(found, rest, where)
    return options, instance, faults + wrong


def named_tables(
    tables: Any, kind: str, source: str, names: str, taken: Sequence[str] = ()
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The tables [eval.KIND.NAME] by name, and the faults; their names are those of `names`.

    named_tables({"a b": {}, "c": 3}, "servers", "x.toml", "a file")
        ->  {"a b": {}}, ["... 'a b' cannot name a file; ...", "... c is a table, ..."]
    """
    if not isinstance(tables, dict):
        return {}, [f"{source}: [eval] {kind} is a table, write [eval.{kind}.NAME]"]
    found: dict[str, dict[str, Any]] = {}
    faults: list[str] = []
    reserved = f", and none of {', '.join(taken)}" if taken else ""
    for name, table in tables.items():
        where = f"[eval.{kind}.{name}]"
        if not isinstance(table, dict):
            faults.append(f"{source}: [eval.{kind}] {name} is a table, write {where}")
            continue
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name) or name in taken:
            faults.append(
                f"{source}: {where}: {name!r} cannot name {names}; use letters, digits, _ and -"
                f"{reserved}"
            )
        found[name] = table
    return found, faults


def _texts(value: Any) -> set[str]:
    """All texts in a value of TOML, keys too; of a component spec, the name."""
    if isinstance(value, Mapping):
        return _texts([*value, *value.values()])
    if isinstance(value, list):
        return set().union(*map(_texts, value))
    return {value.partition(":")[0].strip()} if isinstance(value, str) else set()


def _unasked(kind: Kind, name: str, where: str) -> list[str]:
    """A sentence if this component is a plugin's, or asks a server."""
    found = plugins.registry()[kind][name]
    way_out = "name its config.toml, or a config of your own, as CONFIG if it shall"
    if getattr(found.component, "remote", False):
        return [
            f"{where}: {name!r} sends prompts and a key to a server, and a run's folder cannot "
            f"choose which; {way_out}"
        ]
    if found.distribution == GROUP:
        return []
    return [
        f"{where}: {name!r} is a plugin ({found.distribution}), and a run's folder cannot choose "
        f"what runs; {way_out}"
    ]


def unasked_code(value: Any, where: str, key: str = "") -> list[str]:
    """A sentence for each schema in a table that is code, `package.module:Model`."""
    if isinstance(value, Mapping):
        return [line for each in value.items() for line in unasked_code(each[1], where, each[0])]
    if isinstance(value, list):
        return [line for each in value for line in unasked_code(each, where, key)]
    if "schema" not in key or not names_code(value):
        return []
    return [
        f"{where} {key}: {value!r} is code, and a run's folder cannot choose what runs; name its "
        f"config.toml, or a config of your own, as CONFIG if it shall"
    ]


def component_of(kind: Kind, spec: str, where: str, *, asked: bool) -> tuple[Any, list[str]]:
    """A component by its spec, and the faults."""
    try:
        name, table = parse_spec(spec)
        found = component(kind, name)
        if not asked and (unasked := _unasked(kind, name, where) + unasked_code(table, where)):
            return None, unasked
        return check(found, table, f"{where}: {name}")
    except UserError as error:
        return None, [f"{where}: {error}"]
