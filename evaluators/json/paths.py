"""Walks plain data by path, without recursion.

keys([{"a": 1}, {"a": {"b": 2}}]) -> {"*.a", "*.a.b"}   (paths as tuples)
"""

from __future__ import annotations

from typing import Any

from harness.matching import Path


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
