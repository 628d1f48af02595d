"""Compares plain data leaf by leaf, without recursion: the content, whatever the format was.

    leaves({"a": [1, {"b": "x"}], "c": {}}) -> {"a.0": 1, "a.1.b": "x", "c": {}}   (paths as tuples)
    same_value({"a": 1}, {"a": 1.0})        -> True, and {"a": True} is another value

A field is a leaf with its path, list indices included; an empty object or array is a leaf. Numbers
compare by value (1 is 1.0), true and false are not numbers, and the order of keys does not matter.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

Path = tuple[str | int, ...]


def leaves(value: Any) -> dict[Path, Any]:
    """Every leaf by its path, list indices included; an empty object or array is a leaf."""
    found: dict[Path, Any] = {}
    left: list[tuple[Path, Any]] = [((), value)]
    while left:
        path, node = left.pop()
        if node and isinstance(node, dict):
            left += [((*path, key), child) for key, child in node.items()]
        elif node and isinstance(node, list | tuple):
            left += [((*path, index), child) for index, child in enumerate(node)]
        else:
            found[path] = node
    return found


def same_leaf(one: Any, other: Any) -> bool:
    """Equal and of one JSON type: numbers compare by value, and true is not 1."""
    if type(one) is not type(other) and _kind(one) != _kind(other):
        return False
    return bool(one == other)


def same_value(one: Any, other: Any) -> bool:
    """Whether two values have the same leaves."""
    if type(one) is type(other) is str:
        return bool(one == other)
    ours, theirs = leaves(one), leaves(other)
    return len(ours) == len(theirs) == correct(ours, theirs)


def correct(predicted: dict[Path, Any], expected: dict[Path, Any]) -> int:
    """How many of the predicted leaves are correct."""
    return sum(
        path in expected and same_leaf(leaf, expected[path]) for path, leaf in predicted.items()
    )


def _kind(leaf: Any) -> str:
    if isinstance(leaf, bool):
        return "boolean"
    if isinstance(leaf, int | float | Decimal):
        return "number"
    if isinstance(leaf, list | tuple):
        return "array"
    return {dict: "object", str: "string", type(None): "null"}.get(type(leaf), "other")
