"""How much a JSON Schema is when each $ref in it is replaced by what it names.

    unfolded({"allOf": [{"$ref": "#/$defs/a"}] * 2, "$defs": {"a": {"type": "object"}}})  ->  5

A validator visits as much of it for one value: with sixty definitions, each of which names the
next one twice, that is 2**60. A $ref back to where it stands in counts once, for the validator
remembers those.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote, urldefrag, urljoin

_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
_ANCHORS: Final = ("$anchor", "$dynamicAnchor")
_DEFINITIONS: Final = frozenset({"$defs", "definitions"})
_VALUES: Final = frozenset({"const", "enum", "default", "examples"})
_MAPS: Final = frozenset({"properties", "patternProperties", "dependentSchemas", "dependencies"})
_TWICE: Final = frozenset({"unevaluatedProperties", "unevaluatedItems"})
_UNKNOWN: Final = 1_000
"""The size of a schema that is named but not here, such as a metaschema."""


def unfolded(schema: Any) -> int:
    """The number of schemas that the schema is when unfolded; RecursionError if it is too deep."""
    named: dict[str, tuple[Any, str]] = {}
    bases: dict[int, str] = {}
    for node, base in _all(schema, ""):
        bases[id(node)] = base
        if node is schema or "$id" in node:
            named.setdefault(base, (node, base))
        for key in _ANCHORS:
            if isinstance(node.get(key), str):
                named.setdefault(f"{base}#{node[key]}", (node, base))
    sizes: dict[int, int] = {}

    def size(node: Any) -> int:
        if not isinstance(node, dict):
            return sum(map(size, node)) if isinstance(node, list) else 1
        if id(node) not in sizes:
            sizes[id(node)] = 1  # what a reference back to this schema counts
            total = 1 + sum(map(size, _inside(node)))
            for key in _REFERENCES:
                if isinstance(node.get(key), str):
                    target = _target(named, urljoin(bases.get(id(node), ""), node[key]))
                    total += _UNKNOWN if target is None else size(target)
            sizes[id(node)] = total * (1 + len(_TWICE & node.keys()))
        return sizes[id(node)]

    return size(schema)


def _inside(node: dict[str, Any]) -> Iterator[Any]:
    """The schemas that stand inside this one and apply with it."""
    for key, value in node.items():
        if key in _MAPS and isinstance(value, dict):
            yield from value.values()
        elif isinstance(value, dict | list) and key not in _DEFINITIONS | _VALUES:
            yield value


def _all(schema: Any, base: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Every object in the schema, with the URI that references in it are relative to."""
    left = [(schema, base)]
    while left:
        node, base = left.pop()
        if isinstance(node, dict):
            if isinstance(node.get("$id"), str):
                base = urldefrag(urljoin(base, node["$id"])).url
            yield node, base
            left += [(child, base) for child in node.values()]
        elif isinstance(node, list):
            left += [(child, base) for child in node]


def _target(named: dict[str, tuple[Any, str]], uri: str) -> Any:
    """What a reference names; None if it is not here."""
    if uri in named:
        return named[uri][0]
    base, fragment = urldefrag(uri)
    node = named[base][0] if base in named else None
    for step in unquote(fragment).split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict):
            node = node.get(step)
        elif isinstance(node, list) and step.isdecimal() and int(step) < len(node):
            node = node[int(step)]
        else:
            return None
    return node
