"""How much a JSON Schema is when each $ref in it is replaced by what it names.

    unfolded({"allOf": [{"$ref": "#/$defs/a"}] * 2, "$defs": {"a": {"type": "object"}}})  ->  5

A validator visits as much of it for one value: with sixty definitions, each of which names the
next one twice, that is 2**60. A $ref back to a schema around it counts once, for the validator
remembers those. When it lists what is wrong it remembers nothing, and `visits` counts that.

    visits(References(schema), schema, [[], []], 100)  ->  6 if schema is {"items": {"$ref": "#"}}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, unquote, urldefrag, urljoin

_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
_ANCHORS: Final = ("$anchor", "$dynamicAnchor")
_DEFINITIONS: Final = frozenset({"$defs", "definitions"})
_VALUES: Final = frozenset({"const", "enum", "default", "examples"})
_MAPS: Final = frozenset({"properties", "patternProperties", "dependentSchemas", "dependencies"})
_TWICE: Final = frozenset({"unevaluatedProperties", "unevaluatedItems"})
_LISTS: Final = ("allOf", "anyOf", "oneOf")
_SAME: Final = ("not", "if", "then", "else")
"""The keywords whose schemas apply to the value itself."""
_ELEMENTS: Final = ("items", "additionalItems", "contains", "unevaluatedItems")
_MEMBERS: Final = ("additionalProperties", "unevaluatedProperties")
_UNKNOWN: Final = 1_000
"""The size of a schema that is named but not here, such as a metaschema."""


class References:
    """A schema and the documents that it may name, and what each of its references names."""

    def __init__(
        self, schema: Any, address: str = "", documents: Mapping[str, Any] | None = None
    ) -> None:
        self.schema = schema
        self._documents = documents or {}
        self._named: dict[str, Any] = {}
        self._bases: dict[int, str] = {}
        self._indexed: list[tuple[str, Any]] = []
        self._places: dict[int, str] = {}
        self._index(schema, address)

    def _index(self, document: Any, address: str) -> None:
        self._named.setdefault(address, document)
        self._indexed.append((address, document))
        for node, base in _all(document, address):
            self._bases[id(node)] = base
            if "$id" in node:
                self._named.setdefault(base, node)
            for key in _ANCHORS:
                if isinstance(node.get(key), str):
                    self._named.setdefault(f"{base}#{node[key]}", node)

    @property
    def metaschema(self) -> Any:
        """The draft that the schema names."""
        return self.schema.get("$schema") if isinstance(self.schema, dict) else None

    def place(self, node: dict[str, Any]) -> str:
        """The address of a schema inside, with its JSON pointer."""
        while id(node) not in self._places and self._indexed:
            address, document = self._indexed.pop()
            for each, pointer in _pointers(document):
                self._places[id(each)] = f"{address}#{quote(pointer)}"
        return self._places[id(node)]

    def uri(self, node: dict[str, Any], reference: str) -> str:
        """The address that a reference in this node means."""
        return urljoin(self._bases.get(id(node), ""), reference)

    def named(self, node: dict[str, Any], reference: str) -> Any:
        """What a reference in this node names; None if it is not here."""
        uri = self.uri(node, reference)
        base, fragment = urldefrag(uri)
        if base not in self._named and base in self._documents:
            self._index(self._documents[base], base)
        found = self._named.get(uri)
        if found is not None:
            return found
        found = self._named.get(base)
        for step in unquote(fragment).split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict):
                found = found.get(step)
            elif isinstance(found, list) and step.isdecimal() and int(step) < len(found):
                found = found[int(step)]
            else:
                return None
        return found

    def written(self, uri: str) -> str:
        """The reference as it is written that means this document."""
        for node, _ in _all(self.schema, ""):
            for key in _REFERENCES:
                reference = node.get(key)
                if isinstance(reference, str) and urldefrag(self.uri(node, reference)).url == uri:
                    return reference
        return uri


def unfolded(schema: Any, references: References | None = None) -> int:
    """The number of schemas that the schema is when unfolded; RecursionError if it is too deep."""
    references = references or References(schema)
    sizes: dict[int, int] = {}

    def size(node: Any) -> int:
        if not isinstance(node, dict):
            return sum(map(size, node)) if isinstance(node, list) else 1
        if id(node) not in sizes:
            sizes[id(node)] = 1  # what a reference back to this schema counts
            total = 1 + sum(map(size, _inside(node)))
            for key in _REFERENCES:
                if isinstance(node.get(key), str):
                    target = references.named(node, node[key])
                    total += _UNKNOWN if target is None else size(target)
            sizes[id(node)] = total * (1 + len(_TWICE & node.keys()))
        return sizes[id(node)]

    return size(schema)


def visits(references: References, schema: Any, value: Any, most: int) -> int:
    """How often a schema meets a part of the value while everything wrong is listed, at least.

    The schema is that of the references, or one inside of it. All branches count, as if none held.
    Returns `most` once there are that many, or as many different pairs of a schema and a part; and
    for what is not known: metaschemas, references that depend on where they are met.
    """
    counts: dict[tuple[int, int], int] = {}

    def count(node: Any, part: Any) -> int:
        if not isinstance(node, dict):
            return 1
        pair = id(node), id(part)
        if pair not in counts:
            if len(counts) >= most:
                return most
            counts[pair] = 1
            total = 1 + sum(count(*each) for each in met(node, part))
            counts[pair] = min(total * (1 + len(_TWICE & node.keys())), most)
        return counts[pair]

    def met(node: dict[str, Any], part: Any) -> Iterator[tuple[Any, Any]]:
        for key in _REFERENCES:
            if isinstance(node.get(key), str):
                target = references.named(node, node[key])
                if target is None or key != "$ref":
                    raise RecursionError
                yield target, part
        for key in _LISTS:
            for each in node.get(key, ()):
                yield each, part
        for key in _SAME:
            if key in node:
                yield node[key], part
        if isinstance(part, dict):
            yield from met_by_keys(node, part)
        elif isinstance(part, list):
            firsts = node.get("prefixItems", ())
            firsts = node["items"] if isinstance(node.get("items"), list) else firsts
            yield from zip(firsts, part, strict=False)
            for key in _ELEMENTS:
                if isinstance(node.get(key), dict):
                    for element in part:
                        yield node[key], element

    def met_by_keys(node: dict[str, Any], part: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
        for key in ("dependentSchemas", "dependencies"):
            for each in node.get(key, {}).values():
                yield each, part
        known = node.get("properties", {})
        for key, child in part.items():
            if key in known:
                yield known[key], child
            for each in node.get("patternProperties", {}).values():
                yield each, child
            for other in _MEMBERS:
                if key not in known and isinstance(node.get(other), dict):
                    yield node[other], child

    try:
        return count(schema, value)
    except (RecursionError, AttributeError, TypeError):  # a $ref may name what is not a schema
        return most


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


def _pointers(document: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Every object in a document, with its JSON pointer."""
    left = [(document, "")]
    while left:
        node, pointer = left.pop()
        if isinstance(node, dict):
            yield node, pointer
            steps = ((key.replace("~", "~0").replace("/", "~1"), node[key]) for key in node)
            left += [(child, f"{pointer}/{step}") for step, child in steps]
        elif isinstance(node, list):
            left += [(child, f"{pointer}/{at}") for at, child in enumerate(node)]
