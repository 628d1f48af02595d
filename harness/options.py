"""Checks tables of options against a component's fields, and reports every fault at once.

build("evaluators", "json_strict:root=any,max_depth=8")   -> an instance
check(Tasks, {"familes": {}}, "quick.toml: [data]")         -> None and
    ["quick.toml: [data] has no key 'familes', did you mean 'families'?"]
"""

from __future__ import annotations

import itertools
import json
import re
import sys
import tomllib
from collections.abc import Mapping
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from fmtharness.harness.errors import ConfigError
from fmtharness.harness.plugins import Kind, component
from fmtharness.harness.text import did_you_mean

Model = TypeVar("Model", bound=BaseModel)
PLACED = "placed"
"""The type of a PydanticCustomError whose lines are whole sentences but for the file's name."""
SHOWN = 200
"""Characters of a value that a sentence shows."""
_COMMA = re.compile(r",(?![^\[]*\])")
"""A comma outside of brackets, so that an option's value may be an array."""


def check(
    model: type[Model], table: Mapping[str, Any], where: str
) -> tuple[Model | None, list[str]]:
    """An instance of `model` with the table's values, or None and one sentence per fault."""
    try:
        # JSON mode is strict about types yet lets a TOML array fill a tuple and a string a path.
        return model.model_validate_json(json.dumps(table, default=str)), []
    except ValidationError as errors:
        found = _of_unions(model, _not_only_short([dict(error) for error in errors.errors()]))
        return None, [
            line for error in found for line in _sentence(model, error, where).split("\n")
        ]


def _not_only_short(errors: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The errors without those of arrays that are too short only as an element is wrong."""
    places = [error["loc"] for error in errors]

    def of_elements(error: dict[str, Any]) -> bool:
        size = len(error["loc"])
        inner = (place for place in places if len(place) > size)
        return error["type"] == "too_short" and any(place[:size] == error["loc"] for place in inner)

    return [error for error in errors if not of_elements(error)]


def _of_unions(model: type[BaseModel], errors: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One error for a value that fits no member of a union: the error of the nearest member."""
    found = []
    for key, group in itertools.groupby(errors, lambda error: error["loc"][:1]):
        same = list(group)
        field = model.model_fields.get(str(key[0])) if key else None
        several = _is_union(field.annotation if field else None)
        if not several or any(len(error["loc"]) < 2 for error in same):
            found += same
            continue
        deepest = max(len(error["loc"]) for error in same)
        nearest = [error for error in same if len(error["loc"]) == deepest]
        said = " or ".join(dict.fromkeys(error["msg"] for error in nearest))
        # The member's type behind the key is not for people to read.
        found.append({**nearest[0], "loc": key + nearest[0]["loc"][2:], "msg": said})
    return found


def _is_union(annotation: Any) -> bool:
    members = set(get_args(annotation)) - {type(None)}
    return get_origin(annotation) in (Union, UnionType) and len(members) > 1


def _sentence(model: type[BaseModel], error: dict[str, Any], where: str) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{where} has no key {key!r}{did_you_mean(key, model.model_fields)}"
    if error["type"] == "missing":
        return f"{where} lacks the key {key!r}"
    if error["type"] == PLACED:
        return "\n".join(
            f"{where.rpartition(': ')[0]}: {line}" for line in error["msg"].split("\n")
        )
    message = error["msg"].removeprefix("Value error, ")
    if not key:
        return f"{where}: {message}"
    return f"{where} {key} = {_cut(json.dumps(error['input'], default=str))}: {message}"


def parse_value(text: str) -> Any:
    """A value written as in TOML; what TOML cannot read is a string.

    Raises ConfigError for a number of thousands of digits, and for brackets in brackets as deep.
    """
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{_cut(text)}: {why_not(error)}") from error


def why_not(error: Exception) -> str:
    """Why a text is not TOML or JSON, by the error of its reader."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    digits = sys.get_int_max_str_digits()
    too_long = str(error).startswith("Exceeds the limit")
    return f"a number has more than {digits} digits" if too_long else str(error)


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def parse_spec(spec: str) -> tuple[str, dict[str, Any]]:
    """`name:key=value,key=value` as a name and a table."""
    name, _, rest = spec.partition(":")
    table: dict[str, Any] = {}
    for item in filter(None, _COMMA.split(rest)):
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals or not key:
            raise ConfigError(f"{spec!r}: {item!r} is not key=value")
        if key in table:
            raise ConfigError(f"{spec!r} gives {key!r} twice")
        table[key] = parse_value(value)
    return name.strip(), table


def build(kind: Kind, spec: str, where: str | None = None) -> Any:
    """A component with its options, from its spec as on the command line.

    Raises UserError for an unknown name and ConfigError for options that do not fit.
    """
    name, table = parse_spec(spec)
    instance, faults = check(component(kind, name), table, where or f"{spec!r}: {name}")
    if instance is None:
        raise ConfigError("\n".join(faults))
    return instance
