"""Rewrites of a JSON Schema that tell its keywords from the names and the data in it.

without_annotations({"title": "A", "properties": {"title": {}}})   {"properties": {"title": {}}}
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

_DATA: Final = frozenset({"const", "default", "enum", "examples"})
"""Keywords whose values are data, and hold no schema."""
_NAMES: Final = frozenset(
    {"$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"}
)
"""Keywords whose keys are names, each of a schema."""
_ANNOTATIONS: Final = frozenset(
    {
        "$comment",
        "default",
        "deprecated",
        "description",
        "examples",
        "readOnly",
        "title",
        "writeOnly",
    }
)


def rewritten(schema: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """A copy in which each schema, an outer one before those in it, is what `change` gives."""
    if isinstance(schema, list):
        return [rewritten(each, change) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {}
    for key, value in change(schema).items():
        if key in _NAMES and isinstance(value, dict):
            found[key] = {name: rewritten(each, change) for name, each in value.items()}
        else:
            found[key] = value if key in _DATA else rewritten(value, change)
    return found


def without_annotations(schema: Any) -> Any:
    """The schema without the keywords that describe it and hold no rule."""
    return rewritten(
        schema, lambda each: {key: each[key] for key in each if key not in _ANNOTATIONS}
    )


def nests_deeper(value: Any, most: int) -> bool:
    """Whether more than `most` objects and arrays stand inside each other; it does not recurse."""
    level = [value]
    for _ in range(most + 1):
        level = [each for each in level if isinstance(each, dict | list)]
        inner = (each.values() if isinstance(each, dict) else each for each in level)
        if not level:
            return False
        level = [one for some in inner for one in some]
    return True
