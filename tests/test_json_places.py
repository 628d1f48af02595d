"""Where values and keys stand: what is cut out of the text there is the value."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from fmtharness.evaluators.json.places import key_place, place, places
from fmtharness.harness.matching import Path
from fmtharness.harness.testing.promises import seconds
from tests.strategies import json_objects, json_values, written_texts


def nodes(value: Any) -> dict[Path, Any]:
    """Every value by its path, containers included."""
    found: dict[Path, Any] = {}
    left: list[tuple[Path, Any]] = [((), value)]
    while left:
        path, node = left.pop()
        found[path] = node
        if isinstance(node, dict | list):
            steps = node.items() if isinstance(node, dict) else enumerate(node)
            left += [((*path, step), child) for step, child in steps]
    return found


@given(written_texts(json_values() | json_objects()))
def test_the_span_holds_the_value_and_nothing_else(pair: tuple[str, Any]) -> None:
    text, value = pair
    expected = nodes(value)
    found = places(text, expected)
    assert found.keys() == expected.keys()
    for path, node in expected.items():
        start, end = place(text, path)
        assert (start, end) == found[path][:2]
        assert text[start:end] == text[start:end].strip()
        assert json.dumps(json.loads(text[start:end])) == json.dumps(node)
        if path and isinstance(path[-1], str):
            first, last = key_place(text, path)
            assert json.loads(text[first:last]) == path[-1]
            assert text[last:start].strip() == ":"


@pytest.mark.parametrize(
    "path",
    [("b",), ("a", 2), ("a", "0"), ("a", 0, "x"), (0,), ("a", -1)],
)
def test_a_path_that_does_not_exist(path: Path) -> None:
    with pytest.raises(KeyError):
        place('{"a": [1, 2], "0": 0}', path)


def test_an_element_has_no_key() -> None:
    with pytest.raises(KeyError):
        key_place('{"a": [1]}', ("a", 0))


def test_deep_and_wide_texts_take_one_walk() -> None:
    depth = 100_000
    text = "[" * depth + "1" + "]" * depth
    assert place(text, (0,) * depth) == (depth, depth + 1)
    rows = json.dumps([{"a": number} for number in range(20_000)])
    paths: list[Path] = [(index, "a") for index in range(20_000)]
    assert seconds(lambda: places(rows, paths)) < 5  # about 0.1
    found = places(rows, paths)
    assert [rows[spot.start : spot.end] for spot in found.values()] == [
        str(number) for number in range(20_000)
    ]
