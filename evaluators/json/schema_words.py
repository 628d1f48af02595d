"""What a violation of a JSON Schema is, in words: where, what was expected, what stands there.

    problems_of(errors, {"items": [{"price": "12"}]}, '{"items": [{"price": "12"}]}', schema)
    -> (Problem("schema_type", '/items/0/price: expected a number, got "12" (a string)', 21, 25),)

The errors are those of jsonschema-rs; of branches that all fail, the nearest one is reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from fmtharness.evaluators.json.places import places
from fmtharness.evaluators.json.schema_shown import (
    COUNTS,
    LONGEST,
    as_json,
    counted,
    given,
    listed,
    named,
    stands,
)
from fmtharness.evaluators.possessive import re
from fmtharness.harness.matching import Path, pointer
from fmtharness.harness.records import Problem
from fmtharness.harness.text import nearest

_NOT_LOWER: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_TYPES: Final = {
    "string": "a string",
    "number": "a number",
    "integer": "an integer",
    "boolean": "a boolean",
    "object": "an object",
    "array": "an array",
    "null": "null",
}
_LIMITS: Final = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "more than",
    "exclusiveMaximum": "less than",
}


class _Violation(NamedTuple):
    label: str
    words: str
    path: Path
    at_key: bool = False
    """Whether the problem is the key at the path, not its value."""
    schemas: int = 0
    """If one of several schemas must fit and this is about the nearest one: how many there are."""


class _Place(NamedTuple):
    """What an error is about."""

    path: Path
    part: Any
    node: Any
    """What stands at the path; the same as `part` unless the path had to end before it."""

    def inside(self, step: str | int) -> Path:
        """The path of a key or an item of it, if it is there."""
        known = step in self.node if isinstance(self.node, dict) else isinstance(self.node, list)
        known = known and (isinstance(step, str) or step < len(self.node))
        return (*self.path, step) if known else self.path


def problems_of(
    errors: Iterable[Any], value: Any, text: str, schema: Any, inside: Path = ()
) -> tuple[Problem, ...]:
    """Every violation once, at the value or key that it is about.

    `schema` is the schema that the errors' paths lead through, or None if it has several parts.
    The errors are those of the part at `inside`.
    """
    odd = '""' in text
    for step in inside:
        value = value[step]
    told = _without_echoes(errors)
    violations = dict.fromkeys(
        each._replace(path=(*inside, *each.path))
        for error in told
        for each in _violations(error, value, schema, odd)
    )
    found = places(text, (each.path for each in violations))
    problems = []
    for each in violations:
        start, end, key = found[each.path]
        span = key if each.at_key and key else (start, end)
        message = f"{pointer(each.path)}: {each.words}"
        if each.schemas:
            message += f" (by the nearest of {each.schemas} schemas, one of which must fit)"
        problems.append(Problem(each.label, message, *span))
    return tuple(problems)


def problem_at(path: Path, label: str, words: str, text: str) -> Problem:
    """A problem of what stands at the path."""
    start, end, _ = places(text, [path])[path]
    return Problem(label, f"{pointer(path)}: {words}", start, end)


def _without_echoes(errors: Iterable[Any]) -> list[Any]:
    """The errors without a wrong fixed value where its type is wrong, which is one fault."""
    found = list(errors)
    types = {_owner(error) for error in found if error.kind.name == "type"}
    return [error for error in found if not (_is_tag(error) and _owner(error) in types)]


def _owner(error: Any) -> tuple[Any, ...]:
    """The schema that an error is about, and where in the value it is."""
    return tuple(error.schema_path[:-1]), tuple(error.instance_path)


def _violations(error: Any, value: Any, schema: Any, odd: bool) -> Iterator[_Violation]:
    place = _resolved(error, value, odd)
    part = place.part
    kind, keyword = error.kind.name, (error.schema_path or [""])[-1]
    kind = keyword if keyword in ("minContains", "maxContains", "dependentRequired") else kind
    label = f"schema_{_NOT_LOWER.sub('_', kind).lower()}"
    if kind in ("additionalProperties", "unevaluatedProperties"):
        around = _at(schema, error.schema_path[:-1])
        for key in error.kind.unexpected:
            yield _Violation(label, _unexpected(key, around), place.inside(key), at_key=True)
    elif kind == "propertyNames":
        inner = error.kind.error
        key = inner.instance
        words = _words(inner, inner.kind.name, key, None)
        yield _Violation(label, f"the key {words}", place.inside(key), at_key=True)
    elif kind == "additionalItems":
        most = error.kind.limit
        words = f"only {counted(most, 'Items')} may stand in this array"
        yield _Violation(label, words, place.inside(most))
    elif kind == "uniqueItems":
        first, second = _equal_items(part)
        words = f"{stands(part[second])} equals item {first}, and no two items may be equal"
        yield _Violation(label, words, place.inside(second))
    elif kind in ("anyOf", "oneOf") and all(error.kind.context):
        yield from _of_branches(label, error, value, schema, odd)
    else:
        yield _Violation(label, _words(error, kind, part, schema), place.path)


def _of_branches(
    label: str, error: Any, value: Any, schema: Any, odd: bool
) -> Iterator[_Violation]:
    """What a value lacks that fits none of several schemas.

    All schemas are named if they only want other types, or other fixed values at one place. Else it
    is what the value lacks for the schema that is meant for values of this type and with these
    fixed values; if that is not clear, what it lacks for the nearest.
    """
    branches, depth = error.kind.context, len(error.instance_path)
    firsts = [branch[0] for branch in branches]
    tags = _tags([each for each in branches if not _distance(each, depth)[0]] or branches)
    if all(each.kind.name == "type" for each in firsts) and _one_place(firsts):
        types = dict.fromkeys(name for each in firsts for name in each.kind.types)
        place = _resolved(firsts[0], value, odd)
        yield _Violation(label, _wrong_type(place.part, [*types]), place.path)
    elif tags is not None:
        place = _resolved(tags[0], value, odd)
        options = [option for tag in tags for option in _options(tag)]
        yield _Violation(label, _wrong_option(place.part, options), place.path)
    else:
        meant = [branch for branch in branches if not any(_distance(branch, depth)[:2])]
        if len(meant) == 1:
            for each in meant[0]:
                yield from _violations(each, value, schema, odd)
            return
        branch = min(branches, key=lambda branch: _distance(branch, depth))
        inner = next(_violations(min(branch, key=_hardness), value, schema, odd))
        yield inner._replace(label=label, schemas=len(branches))


def _one_place(errors: Sequence[Any]) -> bool:
    return len({tuple(error.instance_path) for error in errors}) == 1


def _tags(branches: Sequence[Sequence[Any]]) -> list[Any] | None:
    """An error of each branch, if all branches want other fixed values at one place."""
    found: list[dict[tuple[Any, ...], Any]] = [
        {tuple(error.instance_path): error for error in branch if _is_tag(error)}
        for branch in branches
    ]
    shared = [path for path in found[0] if all(path in each for each in found)]
    return [each[shared[0]] for each in found] if shared else None


def _is_tag(error: Any) -> bool:
    return error.kind.name in ("const", "enum")


def _options(error: Any) -> list[Any]:
    kind = error.kind
    return [kind.expected_value] if kind.name == "const" else list(kind.options)


def _hardness(error: Any) -> tuple[bool, int]:
    """The order in which the errors of one branch are reported: a wrong tag, then the outermost."""
    return not _is_tag(error), len(error.instance_path)


def _distance(branch: Sequence[Any], depth: int) -> tuple[bool, bool, int]:
    """How far the value is from a branch: another type, another tag, more faults."""
    another = any(
        error.kind.name in ("type", "falseSchema") and len(error.instance_path) <= depth
        for error in branch
    )
    tag = any(_is_tag(error) and len(error.instance_path) <= depth + 1 for error in branch)
    return another, tag, len(branch)


def _words(error: Any, kind: str, part: Any, schema: Any) -> str:
    """What was expected and what stands there, without the place."""
    found = error.kind
    shown = stands(part)
    words = error.message
    if kind == "type":
        words = _wrong_type(part, found.types)
        if part is None and "nullable" in (_at(schema, error.schema_path[:-1]) or ()):
            words += ' ("nullable" is no keyword of JSON Schema; allow the type "null")'
    elif kind in ("enum", "const"):
        words = _wrong_option(part, _options(error))
    elif kind in ("required", "dependentRequired"):
        words = f"the key {as_json(found.property)} is missing"
        if kind == "dependentRequired" and (of := _requiring(error, part, schema)):
            words += f", which the key {as_json(of)} requires"
    elif kind in _LIMITS:
        words = f"expected {_LIMITS[kind]} {as_json(found.limit)}, got {shown}"
    elif kind[:3] in ("min", "max") and kind[3:] in COUNTS:
        has = f"has {counted(len(part), kind[3:])}" if hasattr(part, "__len__") else "is given"
        bound = "at least" if kind[:3] == "min" else "at most"
        words = f"{shown} {has}; expected {bound} {found.limit:,}"
    elif kind == "multipleOf":
        words = f"{shown} is no multiple of {as_json(found.multiple_of)}"
    elif kind == "pattern":
        words = f"{shown} does not match the pattern {as_json(found.pattern)}"
    elif kind == "format":
        words = f"{shown} is not of the format {as_json(found.format)}"
    elif kind in ("contains", "minContains", "maxContains"):
        words = _wrong_contents(kind, shown, _at(schema, error.schema_path[:-1]))
    elif kind == "not":
        words = f"{shown} fits the schema that it must not fit: {as_json(found.schema)}"
    elif kind == "oneOf":
        fits = [str(n) for n, branch in enumerate(found.context, 1) if not branch]
        which = f"{', '.join(fits[:-1])} and {fits[-1]}" if len(fits) > 1 else "more than one"
        words = f"{shown} fits the schemas {which} of {len(found.context)}, exactly one must fit"
    elif kind == "falseSchema" and error.schema_path[-1:] == ["propertyNames"]:
        words = "no key may stand in this object"
    elif kind == "falseSchema":
        words = f"{shown} stands where nothing may stand"
    elif kind == "unevaluatedItems":
        words = f"items are not allowed here: {', '.join(map(str, found.unexpected))}"
    return words if len(words) <= LONGEST else f"{words[: LONGEST - 100]} … {words[-100:]}"


def _wrong_type(part: Any, types: Sequence[str]) -> str:
    *others, last = (_TYPES.get(name, name) for name in types)
    expected = f"{', '.join(others)} or {last}" if others else last
    kind = "" if part is None or isinstance(part, list | dict) else f" ({_type(part)})"
    return f"expected {expected}, got {given(part)}{kind}"


def _type(scalar: Any) -> str:
    kind = "boolean" if isinstance(scalar, bool) else "string" if isinstance(scalar, str) else ""
    return _TYPES[kind or ("integer" if isinstance(scalar, int) else "number")]


def _wrong_option(part: Any, options: Sequence[Any]) -> str:
    unique = list(dict.fromkeys(map(as_json, options)))
    if len(unique) == 1:
        return f"expected {unique[0]}, got {given(part)}"
    if not isinstance(part, str):
        return f"expected one of {listed(unique)}, got {given(part)}"
    near = nearest(part, [each for each in options if isinstance(each, str)])
    hint = "" if near is None else f", did you mean {as_json(near)}?"
    return f"{as_json(part)} is none of {listed(unique)}{hint}"


def _wrong_contents(kind: str, shown: str, around: Any) -> str:
    around = around if isinstance(around, dict) else {}
    due = f" {as_json(around['contains'])}" if "contains" in around else " what contains asks for"
    if kind == "contains":
        return f"{shown} has no item that fits{due}"
    bound, few = ("fewer", "few") if kind == "minContains" else ("more", "many")
    limit = f"{bound} than {as_json(around[kind])} items" if kind in around else f"too {few} items"
    return f"{shown} has {limit} that fit{due}"


def _unexpected(key: str, around: Any) -> str:
    words = f"the key {as_json(key)} is not allowed here"
    known = list(around.get("properties", ())) if isinstance(around, dict) else []
    if not known:
        return words
    near = nearest(key, known)
    return f"{words}, did you mean {as_json(near)}?" if near else f"{words}, only {named(known)}"


def _requiring(error: Any, part: Any, schema: Any) -> str | None:
    """The key that requires the missing one."""
    rules = _at(schema, error.schema_path)
    if not isinstance(rules, dict) or not isinstance(part, dict):
        return None
    wanted = error.kind.property
    return next((key for key in part if wanted in (rules.get(key) or ())), None)


def _at(schema: Any, steps: Sequence[str | int]) -> Any:
    """The part of the schema at a path; None if it is not known."""
    for step in steps:
        if isinstance(schema, dict) and str(step) in schema:
            schema = schema[str(step)]
        elif isinstance(schema, list) and isinstance(step, int) and step < len(schema):
            schema = schema[step]
        else:
            return None
    return schema


def _equal_items(items: Sequence[Any]) -> tuple[int, int]:
    """The first two equal items."""
    seen: dict[Any, int] = {}
    for at, item in enumerate(items):
        first = seen.setdefault(_comparable(item), at)
        if first != at:
            return first, at
    return 0, len(items) - 1


def _comparable(value: Any) -> Any:
    """A value that can be hashed and is equal where JSON Schema says so: 1 and 1.0, not true."""
    if isinstance(value, dict):
        return dict, frozenset((key, _comparable(child)) for key, child in value.items())
    if isinstance(value, list):
        return list, tuple(map(_comparable, value))
    return isinstance(value, bool), value


def _resolved(error: Any, value: Any, odd: bool) -> _Place:
    """Where in the value an error is, and what stands there.

    The validator's path leaves out empty keys and takes keys of digits for indices. If that leaves
    doubt, the path ends at the object that holds the place. `odd` says that there are empty keys.
    """
    path: list[str | int] = []
    node = value
    sure = not odd
    for step in error.instance_path:
        while isinstance(node, dict) and str(step) not in node and "" in node:
            path.append("")
            node = node[""]
        if isinstance(node, dict) and str(step) in node:
            step = str(step)
        elif not (isinstance(node, list) and isinstance(step, int) and step < len(node)):
            sure = False
            break
        path.append(step)
        node = node[step]
    return _Place(tuple(path), node if sure else error.instance, node)
