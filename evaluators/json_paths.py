"""Walks plain data by path, without recursion.

leaves({"a": [1, {"b": "x"}], "c": {}}) -> {"a.0": 1, "a.1.b": "x", "c": {}}   (paths as tuples)
keys([{"a": 1}, {"a": {"b": 2}}])       -> {"*.a", "*.a.b"}                    (paths as tuples)
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


def keys(value: Any) -> set[Path]:
    """Every key of every object by its path; all elements of an array share the step '*'."""
    found: set[Path] = set()
    left: list[tuple[Path, Any]] = [((), value)]
    while left:
        path, node = left.pop()
        if isinstance(node, dict):
            for key, child in node.items():
                found.add((*path, key))
                left.append(((*path, key), child))
        elif isinstance(node, list | tuple):
            left += [((*path, "*"), child) for child in node]
    return found


def same_leaf(one: Any, other: Any) -> bool:
    """Equal and of one JSON type: numbers compare by value, and true is not 1."""
    if type(one) is not type(other) and _kind(one) != _kind(other):
        return False
    return bool(one == other)


def _kind(leaf: Any) -> str:
    if isinstance(leaf, bool):
        return "boolean"
    if isinstance(leaf, int | float | Decimal):
        return "number"
    if isinstance(leaf, list | tuple):
        return "array"
    return {dict: "object", str: "string", type(None): "null"}.get(type(leaf), "other")
