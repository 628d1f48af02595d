"""Judges JSON by a JSON Schema: a file's, the Example's own, or the one that its value implies.

    '{"city": 4}' for an Example with the value {"city": "Oslo"}
    -> failed, label schema_type at 9:10, message '/city: 4 is not of type "string"'

The validator is jsonschema-rs, for draft 2020-12 or the draft that `$schema` names. `format`
asserts nothing, and no $ref is ever fetched from the network or the disk.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import lru_cache
from pathlib import Path as FilePath
from typing import Any, ClassVar, Final, NamedTuple

from msgspec import UNSET
from pydantic import PrivateAttr, model_validator

from fmtharness.evaluators.json.format import JsonFormat
from fmtharness.evaluators.json.places import places
from fmtharness.evaluators.json.schema_of import schema_of
from fmtharness.evaluators.json.schema_size import unfolded
from fmtharness.harness.contracts import Options
from fmtharness.harness.matching import Path
from fmtharness.harness.records import Completion, Example, Problem, Verdict
from fmtharness.harness.surroundings import bounded

_STRICT: Final = JsonFormat(root="any")
_LONGEST_MESSAGE: Final = 200
_HUGE: Final = re.compile(r"[0-9]{300}|[eE]\+?[0-9]{3}").search
_HUGE_INTEGER: Final = 10**3000
_HUGE_FLOAT: Final = sys.float_info.max
_MOST_WORK: Final = 1_000_000
"""If a schema branches into itself, listing violations takes time exponential in the depth.

Deciding whether a value is valid does not, for there the validator remembers what it has seen.
"""
_MOST_TO_DECIDE: Final = 100_000_000
"""The size of the unfolded schema times the length of the text: about a second."""
_REFERENCES: Final = re.compile(r'"\$(?:ref|dynamicRef|recursiveRef)": ').search
_BRANCHES: Final = re.compile(
    r'"(?:anyOf|oneOf|allOf|not|if|contains|dependentSchemas|patternProperties|unevaluated\w+)": '
).search
_NOT_LOWER: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


class JsonSchema(Options):
    """Passes a completion that is strict JSON, of any root, and valid against a JSON Schema.

    '{"city": "Oslo", "x": 1}' -> failed, label schema_additional_properties at 17:20, violations 1
    where the Example's value is {"city": "Riga"}

    Without `schema_file` the schema is the Example's tag json_schema, else what `schema_of` says of
    its value. A text that is not strict JSON fails as not_strict. Numbers beyond a float's range
    count as the largest float. A text is unscored if the schema, with each $ref replaced by what it
    names, is too large to judge it in about a second.
    """

    name: ClassVar[str] = "json_schema"
    metric: ClassVar[str] = "schema_valid_rate"
    formats: ClassVar[frozenset[str]] = frozenset({"json", "json_array", "tool_call"})

    schema_file: FilePath | None = None
    """The path of a JSON Schema that every completion is held to."""
    _schema: str | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _read(self) -> JsonSchema:
        if self.schema_file is not None:
            self._schema = _schema_in(self.schema_file)
        return self

    def evaluate(self, example: Example | None, completion: Completion) -> Verdict:
        """Judge one completion; ValueError if there is no schema or the Example's is invalid."""
        schema = _compiled(self._schema if self._schema is not None else _schema_for(example))
        text = completion.text
        parsed = _STRICT.parse(text)
        problems: tuple[Problem, ...] = ()
        if not parsed.ok:
            message = "the text is not strict JSON, so no schema is applied"
            problems = (Problem("not_strict", message, 0, len(text)),)
        else:
            if schema.size * len(text) > _MOST_TO_DECIDE:
                raise ValueError(
                    f"the schema is too large for this text: its references unfold to "
                    f"{_count(schema.size)} schemas; let fewer of them branch"
                )
            value = _tame(parsed.value) if _HUGE(text) else parsed.value
            if not schema.validator.is_valid(value):
                problems = _violations(schema, value, text)
        return Verdict(
            id=completion.example_id,
            evaluator=self.name,
            passed=not problems,
            labels=tuple(dict.fromkeys(problem.label for problem in bounded(problems))),
            problems=bounded(problems),
            counts={"violations": len(problems) if parsed.ok else 0},
        )


class _Schema(NamedTuple):
    """A compiled schema, whether it may branch into itself, and its size when unfolded."""

    validator: Any
    branching: bool
    size: int


@lru_cache(1024)
def _compiled(schema: str) -> _Schema:
    """The compiled schema; ValueError, with a sentence, if it is not a usable schema."""
    import jsonschema_rs  # slow to import, so commands that judge nothing do without it

    loaded = json.loads(schema)
    try:
        validator = jsonschema_rs.validator_for(loaded, offline=True, validate_formats=False)
    except ValueError as error:
        reason = getattr(error, "message", None) or str(error)
        raise ValueError(f"it is no usable JSON Schema: {_short(reason)}") from None
    try:
        size = unfolded(loaded)
    except RecursionError:
        raise ValueError("it nests too deeply") from None
    return _Schema(validator, bool(_REFERENCES(schema) and _BRANCHES(schema)), size)


def _schema_in(path: FilePath) -> str:
    try:
        loaded = json.loads(path.read_bytes())
        text = json.dumps(loaded)
        _compiled(text)
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); check the path") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    except RecursionError:
        raise ValueError(f"{path} nests too deeply") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return text


def _schema_for(example: Example | None) -> str:
    if example is None:
        raise ValueError("json_schema needs a schema_file, or the Example that is answered")
    schema = example.tags.get("json_schema")
    if schema is None and example.value is UNSET:
        raise ValueError("the Example has neither a schema nor a value that implies one")
    if schema is None:
        return json.dumps(schema_of(example.value))
    if not isinstance(schema, dict):
        raise ValueError("the Example's tag json_schema is not an object")
    try:
        text = json.dumps(schema)
        _compiled(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the Example's tag json_schema: {error}") from None
    return text


class _Violation(NamedTuple):
    label: str
    message: str
    path: Path
    at_key: bool
    """Whether the problem is the key at the path, not its value."""


def _violations(schema: _Schema, value: Any, text: str) -> tuple[Problem, ...]:
    """Every violation, at the value or key that it is about."""
    violations: list[_Violation] = []
    work = max(schema.size, 3 ** _depth(value)) if schema.branching else 1
    if len(text) * work <= _MOST_WORK:
        for error in schema.validator.iter_errors(value):
            violations += _violations_of(error, value)
    if not violations:
        message = "the value does not fit the schema, and nests too deeply to say where"
        return (Problem("schema_mismatch", message, 0, len(text)),)
    violations = list(dict.fromkeys(violations))
    found = places(text, (violation.path for violation in violations))
    problems = []
    for violation in violations:
        start, end, key = found[violation.path]
        span = key if violation.at_key and key else (start, end)
        pointer = "/".join(
            ["", *(str(step).replace("~", "~0").replace("/", "~1") for step in violation.path)]
        )
        message = f"{pointer or 'the value'}: {violation.message}"
        problems.append(Problem(violation.label, message, *span))
    return tuple(problems)


def _violations_of(error: Any, value: Any) -> Iterator[_Violation]:
    path, node = _resolved(error.instance_path, value)
    kind = error.kind.name
    label = f"schema_{_NOT_LOWER.sub('_', kind).lower()}"
    message = _short(error.message)
    if kind in ("additionalProperties", "unevaluatedProperties"):
        for key in error.kind.unexpected:
            inside = (*path, key) if isinstance(node, dict) and key in node else path
            yield _Violation(label, f"{key!r:.60} is not allowed here", inside, True)
    elif kind == "propertyNames":
        key = error.kind.error.instance
        inside = (*path, key) if isinstance(node, dict) and key in node else path
        yield _Violation(label, message, inside, True)
    else:
        yield _Violation(label, message, path, False)


def _resolved(steps: Sequence[str | int], value: Any) -> tuple[Path, Any]:
    """The validator's path as a path in the value, and what stands there.

    The validator leaves out empty keys and takes keys of digits for indices. If that leaves doubt,
    the path ends at the object that holds the place.
    """
    path: list[str | int] = []
    node = value
    for step in steps:
        while isinstance(node, dict) and str(step) not in node and "" in node:
            path.append("")
            node = node[""]
        if isinstance(node, dict) and str(step) in node:
            step = str(step)
        elif not (isinstance(node, list) and isinstance(step, int) and step < len(node)):
            break
        path.append(step)
        node = node[step]
    return tuple(path), node


def _count(size: int) -> str:
    return f"{size:,}" if size < 10**9 else "billions of"


def _short(message: str) -> str:
    """The message without the middle of what it quotes."""
    if len(message) <= _LONGEST_MESSAGE:
        return message
    return f"{message[: _LONGEST_MESSAGE // 2]} … {message[-_LONGEST_MESSAGE // 2 :]}"


def _depth(value: Any) -> int:
    """How many objects and arrays are open at most."""
    deepest = 0
    left: list[tuple[Any, int]] = [(value, 0)]
    while left:
        node, depth = left.pop()
        if isinstance(node, dict | list):
            deepest = max(deepest, depth + 1)
            children = node.values() if isinstance(node, dict) else node
            left += [(child, depth + 1) for child in children]
    return deepest


def _tame(value: Any) -> Any:
    """The value, changed in place, with numbers of ordinary size for those that are too large."""
    root = [value]
    left: list[Any] = [root]
    while left:
        node = left.pop()
        steps: Any = node.items() if isinstance(node, dict) else enumerate(node)
        for step, child in steps:
            if isinstance(child, dict | list):
                left.append(child)
            elif isinstance(child, float):
                node[step] = max(-_HUGE_FLOAT, min(child, _HUGE_FLOAT))
            elif isinstance(child, int | Decimal):
                node[step] = max(-_HUGE_INTEGER, min(child, _HUGE_INTEGER))
    return root[0]
