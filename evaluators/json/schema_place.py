"""Finds where a value breaks a JSON Schema that branches into itself, without listing all errors.

    narrowest(parts, {"op": "+", "left": {"op": "*", "left": 1}, "right": 2})
    -> Fault(schema={"required": ["left", "right"], ...}, path=("left",), part={"op": "*", ...})

Every branch of such a schema fails for the same inner reason, and a list of all errors repeats it
in each, which takes time exponential in the depth. Whether a part is valid is cheap to decide, so
the search goes from schema to schema and from part to part, each pair once, to where nothing
inside is at fault any more. Of branches it follows the one for values of this type and with these
fixed values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from fmtharness.evaluators.json.schema_size import References
from fmtharness.harness.matching import Path

_MOST_PAIRS: Final = 20_000
"""After this many pairs of a schema and a part, the narrowest fault among those is taken."""
_PART: Final = "fmtharness:part"
_TYPES: Final[Mapping[str, Any]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "number": (int, float),
    "integer": (int, float),
}


class Fault(NamedTuple):
    """A part of a value that does not fit its schema, although all inside of it does."""

    schema: Any
    path: Path
    part: Any


class Parts:
    """Validators for each schema inside of a schema."""

    def __init__(
        self, references: References, documents: Mapping[str, Any], assert_formats: bool
    ) -> None:
        self.references = references
        self._documents = documents
        self._assert_formats = assert_formats
        self._known: dict[int, Any] = {}

    def validator(self, schema: Any) -> Any:
        """The validator of a schema inside; ValueError if it cannot stand alone."""
        import jsonschema_rs

        if id(schema) not in self._known:
            self._known[id(schema)] = jsonschema_rs.validator_for(
                schema if isinstance(schema, bool) else {"$ref": self.references.place(schema)},
                retriever=self._documents.__getitem__,
                base_uri=_PART,
                validate_formats=self._assert_formats,
            )
        return self._known[id(schema)]

    def fits(self, schema: Any, part: Any) -> bool:
        """Whether a part of a value is valid against a schema inside."""
        return bool(self.validator(schema).is_valid(part))


def narrowest(parts: Parts, value: Any) -> Fault | None:
    """The innermost fault of a value that does not fit the schema, the first of several.

    None if the search ends nowhere, for a schema that needs what stands around it.
    """
    found: dict[tuple[int, int], Fault] = {}

    def search(schema: Any, part: Any) -> Fault:
        pair = id(schema), id(part)
        if pair in found:
            return found[pair]
        found[pair] = best = Fault(schema, (), part)
        if isinstance(schema, dict):
            for inner, each, step, certain in _inside(parts, schema, part):
                if len(found) < _MOST_PAIRS and not parts.fits(inner, each):
                    deeper = search(inner, each)
                    deeper = deeper._replace(path=(*step, *deeper.path))
                    if len(deeper.path) > len(best.path) or (certain and best.schema is schema):
                        best = deeper
        found[pair] = best
        return best

    try:
        return search(parts.references.schema, value)
    except (RecursionError, AttributeError, TypeError, KeyError, ValueError):
        return None


def _inside(
    parts: Parts, schema: dict[str, Any], part: Any
) -> Iterator[tuple[Any, Any, Path, bool]]:
    """The schemas that this one asks of the value or a part of it, and the step to that part.

    Last, whether it must fit; of several branches any may.
    """
    if isinstance(schema.get("$ref"), str):
        yield parts.references.named(schema, schema["$ref"]), part, (), True
    for each in schema.get("allOf", ()):
        yield each, part, (), True
    for key in ("anyOf", "oneOf"):
        branches = schema.get(key, ())
        if not any(parts.fits(branch, part) for branch in branches):
            meant = [branch for branch in branches if _is_meant(parts, branch, part)]
            yield from ((branch, part, (), len(meant) == 1) for branch in meant)
    if isinstance(part, dict):
        others = schema.get("additionalProperties")
        others = None if "patternProperties" in schema else others
        for key, child in part.items():
            rule = schema.get("properties", {}).get(key, others)
            if isinstance(rule, dict):
                yield rule, child, (key,), True
    elif isinstance(part, list):
        items = schema.get("items")
        firsts = items if isinstance(items, list) else schema.get("prefixItems", ())
        others = schema.get("additionalItems") if isinstance(items, list) else items
        for at, child in enumerate(part):
            rule = firsts[at] if at < len(firsts) else others
            if isinstance(rule, dict):
                yield rule, child, (at,), True


def _is_meant(parts: Parts, branch: Any, part: Any) -> bool:
    """Whether a branch is for values of this type and with these fixed values."""
    while isinstance(branch, dict) and isinstance(branch.get("$ref"), str) and len(branch) == 1:
        branch = parts.references.named(branch, branch["$ref"])
    if not isinstance(branch, dict):
        return False
    types = branch.get("type", ())
    types = (types,) if isinstance(types, str) else types
    if types and not any(isinstance(part, _TYPES[name]) for name in types):
        return False
    rules = branch.get("properties", {}) if isinstance(part, dict) else {}
    tags = [key for key in rules if key in part and {"const", "enum"} & {*rules[key]}]
    return all(parts.fits(rules[key], part[key]) for key in tags)
