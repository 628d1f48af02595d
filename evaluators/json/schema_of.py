"""The JSON Schema that a value implies.

    schema_of(["Oslo", "Riga"]) -> {"type": "array", "items": {"type": "string"}}

Keywords that narrow a type, such as `enum` and `minimum`, are never guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

_MOST_DEPTH: Final = 64
"""Deeper values imply no schema; strict JSON does not hold them either."""


def schema_of(value: Any) -> dict[str, Any]:
    """The schema that a value implies: its keys and no others, its types, its elements' types.

    schema_of([1, None]) -> {"type": "array", "items": {"type": ["integer", "null"]}}

    Raises ValueError for a value that JSON does not hold, or that nests too deeply.
    """
    return _schema_of_all([value], _MOST_DEPTH)


def _schema_of_all(values: Sequence[Any], depth: int) -> dict[str, Any]:
    """The schema that all of the values fit; objects with the same keys share one."""
    if depth < 0:
        raise ValueError(f"the Example's value nests deeper than {_MOST_DEPTH}")
    types: dict[str, None] = {}
    arrays: list[Any] = []
    objects: dict[frozenset[str], list[dict[str, Any]]] = {}
    for value in values:
        if isinstance(value, dict):
            objects.setdefault(frozenset(value), []).append(value)
        elif isinstance(value, list | tuple):
            arrays.append(value)
        else:
            types[_type_of(value)] = None
    if "number" in types:
        types.pop("integer", None)
    schemas: list[dict[str, Any]] = []
    if types:
        schemas.append({"type": next(iter(types)) if len(types) == 1 else list(types)})
    if arrays:
        elements = [element for array in arrays for element in array]
        items = {"items": _schema_of_all(elements, depth - 1)} if elements else {}
        schemas.append({"type": "array", **items})
    for group in objects.values():
        properties = {
            key: _schema_of_all([each[key] for each in group], depth - 1) for key in group[0]
        }
        schemas.append(
            {
                "type": "object",
                "properties": properties,
                "required": list(properties),
                "additionalProperties": False,
            }
        )
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _type_of(scalar: Any) -> str:
    if scalar is None:
        return "null"
    for kind, name in (
        *((bool, "boolean"), (int, "integer"), (float, "number"), (Decimal, "number")),
        (str, "string"),
    ):
        if isinstance(scalar, kind):
            return name
    raise ValueError(f"JSON does not hold {scalar!r:.80}")
