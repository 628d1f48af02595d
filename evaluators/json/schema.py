"""Judges JSON by a JSON Schema: one that the user names, the Example's own, or its value's.

    '{"city": 4}' for an Example with the value {"city": "Oslo"}
    -> failed, label schema_type at 1:10, message '/city: expected a string, got 4 (an integer)'

The validator is jsonschema-rs, for draft 2020-12 or the draft that `$schema` names. `format`
asserts nothing unless that is asked for, and no $ref ever leads to the network, nor to the disk
outside of a folder that the user names.
"""

from __future__ import annotations

import json
import sys
import warnings
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

from msgspec import UNSET
from pydantic import AliasChoices, Field, PrivateAttr, model_validator

from fmtharness.evaluators.json.format import JsonFormat
from fmtharness.evaluators.json.schema_files import NOTHING, Documents, documents_in
from fmtharness.evaluators.json.schema_of import schema_of
from fmtharness.evaluators.json.schema_place import Fault, Parts, narrowest
from fmtharness.evaluators.json.schema_size import References, unfolded, visits
from fmtharness.evaluators.json.schema_words import problem_at, problems_of
from fmtharness.evaluators.json.tool_call import in_tags
from fmtharness.evaluators.json.tool_call_places import as_json
from fmtharness.evaluators.possessive import re
from fmtharness.harness.contracts import Options
from fmtharness.harness.errors import UserError
from fmtharness.harness.records import Completion, Example, Problem, Verdict
from fmtharness.harness.schemas import Schema, load_schema, names_code
from fmtharness.harness.surroundings import bounded

_STRICT: Final = JsonFormat(root="any")
_LONGEST_MESSAGE: Final = 200
_HUGE: Final = re.compile(r"[0-9]{300}|[eE]\+?[0-9]{3}").search
_HUGE_INTEGER: Final = 10**3000
_HUGE_FLOAT: Final = sys.float_info.max
_MOST_WORK: Final = 1_000_000
_MOST_VISITS: Final = 50_000
"""If a schema branches into itself, listing violations takes time exponential in the depth.

Deciding whether a value is valid does not, for there the validator remembers what it has seen.
"""
_MOST_TO_DECIDE: Final = 100_000_000
"""The size of the unfolded schema times the length of the text: about a second."""
_REFERENCES: Final = re.compile(r'"\$(?:ref|dynamicRef|recursiveRef)": ').search
_BRANCHES: Final = re.compile(
    r'"(?:anyOf|oneOf|allOf|not|if|contains|dependentSchemas|patternProperties|unevaluated\w+)": '
).search


class _Terms(NamedTuple):
    """What a text is held to: a schema as JSON, its address, what it may name, and how."""

    schema: str
    """Empty if each Example has its own."""
    address: str
    documents: Documents
    assert_formats: bool


with warnings.catch_warnings(action="ignore"):  # BaseModel has a method of this name, long unused

    class _Schemed(Options):
        schema: str | Path | dict[str, Any] | bool | None = Field(  # type: ignore[assignment]
            default=None, validation_alias=AliasChoices("schema", "schema_file")
        )
        """What every completion is held to: a file's path, `package.module:Model` for a Pydantic
        model, or the JSON Schema itself."""


class JsonSchema(_Schemed):
    """Passes a completion that is strict JSON, of any root, and valid against a JSON Schema.

    '{"city": "Oslo", "x": 1}' -> failed, label schema_additional_properties at 1:18, violations 1
    where the Example's value is {"city": "Riga"}

    Without `schema` it is the Example's tag json_schema, else what `schema_of` says of its value.
    An Example that has neither is left out. A text that is not strict JSON fails as not_strict;
    tool calls in another syntax are judged as the calls they are. Numbers beyond a float's range
    count as the largest float. A text is unscored if the schema, with each $ref replaced by what
    it names, is too large to judge it in about a second.
    """

    name: ClassVar[str] = "json_schema"
    metric: ClassVar[str] = "schema_valid_rate"
    formats: ClassVar[frozenset[str]] = frozenset({"json", "json_array", "tool_call"})

    assert_formats: bool = False
    """Whether the keyword `format` asserts; a format that is not known never does."""
    ref_folder: Path | None = None
    """A folder of JSON files that a $ref may name, by relative path or by their $id."""
    ref_base: str | None = None
    """The address that `ref_folder` stands for, such as `https://example.com/schemas/`."""
    _terms: _Terms = PrivateAttr()

    @model_validator(mode="after")
    def _read(self) -> JsonSchema:
        documents = NOTHING
        if self.ref_folder is not None:
            documents = documents_in(self.ref_folder, self.ref_base)
        elif self.ref_base is not None:
            raise ValueError("ref_base is the address of ref_folder; give that, too")
        self._terms = _Terms("", documents.base, documents, self.assert_formats)
        if self.schema is None:
            return self
        loaded, where, address = self.schema, "", documents.base
        if isinstance(loaded, str | Path):
            where = f"{loaded}: "
            if not names_code(loaded):
                address = documents.address(Path(loaded))
            try:
                loaded = load_schema(str(loaded))
            except UserError as error:
                raise ValueError(str(error)) from None
        try:
            self._terms = _Terms(json.dumps(loaded), address, documents, self.assert_formats)
            _compiled(self._terms)
        except RecursionError:
            raise ValueError(f"{where}it nests too deeply") from None
        except ValueError as error:
            raise ValueError(f"{where}{error}") from None
        return self

    def lacks(self, example: Example | None) -> str:
        """A schema, if neither the user nor the Example has one, nor a value that implies one."""
        if self._terms.schema or (example is not None and _has_schema(example)):
            return ""
        return "schema or readable target"

    @staticmethod
    def schema_for(example: Example) -> Any:
        """The Example's own schema, else the one that its value implies; None without either."""
        if example.value is UNSET or "json_schema" in example.tags:
            return example.tags.get("json_schema")
        return schema_of(example.value)

    def evaluate(self, example: Example | None, completion: Completion) -> Verdict:
        """Judge one completion; ValueError if there is no schema or the Example's is invalid."""
        terms = self._terms
        schema = _compiled(terms if terms.schema else _terms_for(example, terms))
        text = completion.text
        calls = in_tags(example)
        parsed = calls.parse(text) if calls else _STRICT.parse(text)
        problems: tuple[Problem, ...] = ()
        if not parsed.ok:
            due = f"a tool call in the syntax {calls.syntax}" if calls else "strict JSON"
            message = f"the text is not {due}, so no schema is applied"
            problems = (Problem("not_strict", message, 0, len(text)),)
        else:
            if schema.size * len(text) > _MOST_TO_DECIDE:
                raise ValueError(
                    f"the schema is too large for this text: its references unfold to "
                    f"{_count(schema.size)} schemas; let fewer of them branch"
                )
            value = _tame(parsed.value) if _HUGE(text) else parsed.value
            if not schema.validator.is_valid(value):
                written = as_json(calls, text, value) if calls else None
                problems = _violations(schema, value, written.text if written else text)
                problems = tuple(map(written.source, problems)) if written else problems
        kept = bounded(problems) if problems else ()
        return Verdict(
            id=completion.example_id,
            evaluator=self.name,
            passed=not problems,
            labels=tuple(dict.fromkeys([problem.label for problem in kept])),
            problems=kept,
            counts={"violations": len(problems) if parsed.ok else 0},
        )


def _has_schema(example: Example) -> bool:
    return "json_schema" in example.tags or example.value is not UNSET


def _terms_for(example: Example | None, terms: _Terms) -> _Terms:
    """The terms with the schema of the Example, or that of its value."""
    if example is None:
        raise ValueError("json_schema needs a schema, or the Example that is answered")
    schema = example.tags.get("json_schema")
    if schema is None and example.value is UNSET:
        raise ValueError("the Example has neither a schema nor a value that implies one")
    if schema is None:
        return terms._replace(schema=json.dumps(schema_of(example.value)))
    if not isinstance(schema, dict | bool):
        raise ValueError("the Example's tag json_schema is not an object, true or false")
    try:
        found = terms._replace(schema=json.dumps(schema))
        _compiled(found)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the Example's tag json_schema: {error}") from None
    return found


class _Schema(NamedTuple):
    """A compiled schema, its size when unfolded, and whether it may branch into itself."""

    validator: Any
    size: int
    branching: bool
    parts: Parts
    loaded: Schema | None
    """The schema, if all of it lies in one document."""


@lru_cache(1024)
def _compiled(terms: _Terms) -> _Schema:
    """The compiled schema; ValueError, with a sentence, if it is not a usable schema."""
    import jsonschema_rs  # slow to import, so commands that judge nothing do without it

    text, address, documents, formats = terms
    loaded = json.loads(text)
    missing: list[str] = []

    def document(uri: str) -> Any:
        if uri not in documents.parsed:
            missing.append(uri)
            raise ValueError("it is not here")
        return documents.parsed[uri]

    references = References(loaded, address, documents.parsed)
    try:
        validator = jsonschema_rs.validator_for(
            loaded, retriever=document, base_uri=address, validate_formats=formats
        )
    except ValueError as error:
        reason = _short(getattr(error, "message", None) or str(error))
        if missing and missing[-1] != references.metaschema:
            reason = documents.why_not(references.written(missing[-1]), missing[-1])
        raise ValueError(f"it is no usable JSON Schema: {reason}") from None
    try:
        size = unfolded(loaded, references)
    except RecursionError:
        raise ValueError("it nests too deeply") from None
    branching = bool(_REFERENCES(text) and _BRANCHES(text)) or bool(documents.parsed)
    whole = not documents.parsed and '"$id"' not in text
    parts = Parts(references, {address: loaded, **documents.parsed}, formats)
    return _Schema(validator, size, branching, parts, loaded if whole else None)


def _violations(schema: _Schema, value: Any, text: str) -> tuple[Problem, ...]:
    """Every violation, at the value or key that it is about; of too many, the innermost."""
    whole = schema.parts.references.schema
    if not schema.branching or _is_little_work(schema, whole, value, len(text)):
        found = problems_of(schema.validator.iter_errors(value), value, text, schema.loaded)
        if found:
            return found
    fault = narrowest(schema.parts, value) or Fault(whole, (), value)
    if fault.path and _is_little_work(schema, fault.schema, fault.part, len(text)):
        errors = schema.parts.validator(fault.schema).iter_errors(fault.part)
        return problems_of(errors, value, text, schema.loaded, inside=fault.path)
    words = "it does not fit the schema, which branches too often here to say why"
    return (problem_at(fault.path, "schema_mismatch", words, text),)


def _is_little_work(schema: _Schema, part: Any, value: Any, length: int) -> bool:
    """Whether to list all that is wrong by a part of the schema takes at most about a second."""
    if length * max(schema.size, 3 ** _depth(value)) <= _MOST_WORK:
        return True
    return visits(schema.parts.references, part, value, _MOST_VISITS) < _MOST_VISITS


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
