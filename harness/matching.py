"""Compares plain data leaf by leaf, without recursion: the content, whatever the format was.

    leaves({"a": [1, {"b": "x"}], "c": {}}) -> {"a.0": 1, "a.1.b": "x", "c": {}}   (paths as tuples)
    same_value({"a": 1}, {"a": 1.0})        -> True, and {"a": True} is another value
    differences({("a",): 1}, {("a",): 2, ("b",): 3}) -> "/a: expected 2, got 1; /b is missing"

A field is a leaf with its path, list indices included; an empty object or array is a leaf. Numbers
compare by value (1 is 1.0), true and false are not numbers, and the order of keys does not matter.
"""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import islice
from typing import Any, Final

from fmtharness.harness.text import cut

Path = tuple[str | int, ...]

_MOST_TOLD: Final = 3
_LONGEST_VALUE: Final = 60
_HUGE: Final = 10**60


def leaves(value: Any) -> dict[Path, Any]:
    """Every leaf by its path, list indices included; an empty object or array is a leaf."""
    found: dict[Path, Any] = {}
    left: list[tuple[Path, Any]] = [((), value)]
    while left:
        path, node = left.pop()
        if node and isinstance(node, dict):
            left += [((*path, key), child) for key, child in reversed(node.items())]
        elif node and isinstance(node, list | tuple):
            at = range(len(node) - 1, -1, -1)
            left += [((*path, index), node[index]) for index in at]
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
    return sum(_same_at(path, predicted, expected) for path in predicted)


def _same_at(path: Path, predicted: dict[Path, Any], expected: dict[Path, Any]) -> bool:
    return path in predicted and path in expected and same_leaf(predicted[path], expected[path])


def differences(predicted: dict[Path, Any], expected: dict[Path, Any]) -> str:
    """The first fields that are wrong, missing or not asked for, and how many more there are."""
    wrong = [path for path in expected | predicted if not _same_at(path, predicted, expected)]
    told = [_difference(path, predicted, expected) for path in islice(wrong, _MOST_TOLD)]
    more = len(wrong) - len(told)
    return "; ".join(told) + (f"; and {more:,} more" if more else "")


def _difference(path: Path, predicted: dict[Path, Any], expected: dict[Path, Any]) -> str:
    where = pointer(path)
    if path not in predicted:
        empty = _holds(path, predicted)
        return f"{where} should be empty" if empty else f"{where} is missing"
    if path not in expected:
        empty = _holds(path, expected)
        return f"{where} is empty" if empty else f"{where} is not asked for"
    return f"{where}: expected {_shown(expected[path])}, got {_shown(predicted[path])}"


def _holds(path: Path, fields: dict[Path, Any]) -> bool:
    return any(each[: len(path)] == path for each in fields)


def pointer(path: Path) -> str:
    """A path as a JSON pointer."""
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in path)
    return "/".join(["", *steps]) or "the value"


def _shown(leaf: Any) -> str:
    if isinstance(leaf, int | Decimal) and not -_HUGE < leaf < _HUGE:
        return "a number of many digits"
    return cut(json.dumps(leaf, ensure_ascii=False, default=str), _LONGEST_VALUE)


def _kind(leaf: Any) -> str:
    if isinstance(leaf, bool):
        return "boolean"
    if isinstance(leaf, int | float | Decimal):
        return "number"
    if isinstance(leaf, list | tuple):
        return "array"
    return {dict: "object", str: "string", type(None): "null"}.get(type(leaf), "other")
