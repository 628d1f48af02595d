"""Where the values and keys of a JSON text stand.

    place('{"rows": [1, {"a": "x"}]}', ("rows", 1, "a"))     -> (19, 22)
    key_place('{"rows": [1, {"a": "x"}]}', ("rows", 1, "a")) -> (14, 17)

The text must be valid JSON whose keys do not repeat; this is not checked. A path is made of keys
and indices, as in `harness.matching`.
"""

from __future__ import annotations

from collections.abc import Iterable
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, Final, NamedTuple

from fmtharness.evaluators.json.scanner import CHARS, SPACE, WS
from fmtharness.evaluators.possessive import re
from fmtharness.harness.matching import Path

_TOKENS: Final = re.compile(rf'("{CHARS}")(?={WS}:)|"{CHARS}"|[{{}}\[\]]|[^{SPACE},"\[\]{{}}:]+')
_PATH: Final = object()
"""Under this step a node of the wanted paths keeps the path that ends there."""


class Place(NamedTuple):
    """The span of a value, and the span of its key; an element has no key."""

    start: int
    end: int
    key: tuple[int, int] | None


class _Open(NamedTuple):
    """A container that is not closed yet: the paths wanted in it, where it and its key stand."""

    wanted: dict[Any, Any] | None
    start: int
    key: tuple[int, int] | None
    is_array: bool


def place(text: str, path: Path) -> tuple[int, int]:
    """The span of the value at the path; KeyError if there is none."""
    found = places(text, [path])[path]
    return found.start, found.end


def key_place(text: str, path: Path) -> tuple[int, int]:
    """The span of the key at the path, quotes included; KeyError if there is none."""
    key = places(text, [path])[path].key
    if key is None:
        raise KeyError(path)
    return key


def places(text: str, paths: Iterable[Path]) -> dict[Path, Place]:
    """The places of the paths that exist, found in one walk without recursion."""
    tree: dict[Any, Any] = {}
    for path in paths:
        node = tree
        for step in path:
            node = node.setdefault(step, {})
        node[_PATH] = path
    found: dict[Path, Place] = {}
    opened: list[_Open] = []
    counts: list[int] = []
    wanted: dict[Any, Any] | None = tree
    key = None
    for match in _TOKENS.finditer(text):
        token, start = match[0], match.start()
        if match[1]:
            key = match.span()
            around = opened[-1].wanted
            wanted = around.get(scanstring(text, start + 1)[0]) if around else None
            continue
        if token in "]}":
            wanted, start, key, _ = opened.pop()
            counts.pop()
        else:
            if opened and opened[-1].is_array:
                around, key = opened[-1].wanted, None
                wanted = around.get(counts[-1]) if around else None
                counts[-1] += 1
            if token in "[{":
                opened.append(_Open(wanted, start, key, token == "["))
                counts.append(0)
                continue
        if wanted and _PATH in wanted:
            found[wanted[_PATH]] = Place(start, match.end(), key)
    return found
