"""What a violation says of each keyword, where it stands, and that hostile schemas stay bounded."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmtharness.evaluators.json.schema import JsonSchema
from fmtharness.evaluators.json.schema_size import References, visits
from fmtharness.harness.records import Completion, Verdict
from fmtharness.harness.testing.promises import seconds

DRAFT_7 = "http://json-schema.org/draft-07/schema#"


def judged(schema: Any, text: str, **options: Any) -> Verdict:
    judge = JsonSchema(schema=schema, **options)
    return judge.evaluate(None, Completion(example_id="1", text=text))


def said(schema: Any, text: str, **options: Any) -> list[tuple[str, str, str]]:
    return [
        (problem.label.removeprefix("schema_"), text[problem.start : problem.end], problem.message)
        for problem in judged(schema, text, **options).problems
    ]


@pytest.mark.parametrize(
    ("schema", "text", "label", "marked", "message"),
    [
        ({"type": "number"}, '"12"', "type", '"12"', 'expected a number, got "12" (a string)'),
        ({"type": "string"}, "true", "type", "true", "expected a string, got true (a boolean)"),
        ({"type": "integer"}, "1.5", "type", "1.5", "expected an integer, got 1.5 (a number)"),
        ({"type": "boolean"}, "null", "type", "null", "expected a boolean, got null"),
        ({"type": "object"}, "[1]", "type", "[1]", "expected an object, got an array"),
        (
            {"type": ["string", "null"]},
            "{}",
            "type",
            "{}",
            "expected null or a string, got an empty object",
        ),
        (
            {"enum": ["open", "closed"]},
            '"opne"',
            "enum",
            '"opne"',
            '"opne" is none of "open", "closed", did you mean "open"?',
        ),
        ({"enum": [1, None]}, "3", "enum", "3", "expected one of 1, null, got 3"),
        ({"enum": ["on"]}, "[]", "enum", "[]", 'expected "on", got an empty array'),
        ({"const": {"a": 1}}, "3", "const", "3", 'expected {"a": 1}, got 3'),
        ({"minimum": 3}, "2", "minimum", "2", "expected at least 3, got 2"),
        ({"maximum": 3}, "4", "maximum", "4", "expected at most 3, got 4"),
        ({"exclusiveMinimum": 3}, "3", "exclusive_minimum", "3", "expected more than 3, got 3"),
        ({"exclusiveMaximum": 3}, "3", "exclusive_maximum", "3", "expected less than 3, got 3"),
        ({"multipleOf": 2.5}, "3", "multiple_of", "3", "3 is no multiple of 2.5"),
        (
            {"minLength": 3},
            '"ab"',
            "min_length",
            '"ab"',
            '"ab" has 2 characters; expected at least 3',
        ),
        (
            {"maxLength": 1},
            '"ab"',
            "max_length",
            '"ab"',
            '"ab" has 2 characters; expected at most 1',
        ),
        ({"pattern": "^a"}, '"b"', "pattern", '"b"', '"b" does not match the pattern "^a"'),
        ({"minItems": 2}, "[1]", "min_items", "[1]", "the array has 1 item; expected at least 2"),
        (
            {"maxItems": 1},
            "[1, 2]",
            "max_items",
            "[1, 2]",
            "the array has 2 items; expected at most 1",
        ),
        (
            {"contains": {"type": "string"}},
            "[1]",
            "contains",
            "[1]",
            'the array has no item that fits {"type": "string"}',
        ),
        (
            {"contains": {"const": 1}, "minContains": 2},
            "[1]",
            "min_contains",
            "[1]",
            'the array has fewer than 2 items that fit {"const": 1}',
        ),
        (
            {"contains": {"const": 1}, "maxContains": 1},
            "[1, 1]",
            "max_contains",
            "[1, 1]",
            'the array has more than 1 items that fit {"const": 1}',
        ),
        ({"required": ["a"]}, '{"b": 1}', "required", '{"b": 1}', 'the key "a" is missing'),
        (
            {"dependentRequired": {"a": ["b"]}},
            '{"a": 1}',
            "dependent_required",
            '{"a": 1}',
            'the key "b" is missing, which the key "a" requires',
        ),
        (
            {"dependentSchemas": {"a": {"required": ["b"]}}},
            '{"a": 1}',
            "required",
            '{"a": 1}',
            'the key "b" is missing',
        ),
        (
            {"minProperties": 2},
            '{"b": 1}',
            "min_properties",
            '{"b": 1}',
            "the object has 1 key; expected at least 2",
        ),
        (
            {"maxProperties": 0},
            '{"b": 1}',
            "max_properties",
            '{"b": 1}',
            "the object has 1 key; expected at most 0",
        ),
        (
            {"propertyNames": False},
            '{"b": 1}',
            "false_schema",
            '{"b": 1}',
            "no key may stand in this object",
        ),
        (
            {"not": {"type": "integer"}},
            "3",
            "not",
            "3",
            '3 fits the schema that it must not fit: {"type": "integer"}',
        ),
        (
            {"anyOf": [{"type": "string"}, {"type": "null"}, {"type": "string"}]},
            "3",
            "any_of",
            "3",
            "expected a string or null, got 3 (an integer)",
        ),
        (
            {"oneOf": [{"type": "number"}, {"type": "string"}, {"type": "integer"}]},
            "3",
            "one_of",
            "3",
            "3 fits the schemas 1 and 3 of 3, exactly one must fit",
        ),
        (
            {"prefixItems": [True], "unevaluatedItems": False},
            "[1, 2]",
            "unevaluated_items",
            "[1, 2]",
            "items are not allowed here: 2",
        ),
        (False, "3", "false_schema", "3", "3 stands where nothing may stand"),
        (
            {"if": {"type": "integer"}, "then": {"minimum": 5}},
            "3",
            "minimum",
            "3",
            "expected at least 5, got 3",
        ),
    ],
)
def test_each_keyword_in_plain_words(
    schema: Any, text: str, label: str, marked: str, message: str
) -> None:
    assert said(schema, text) == [(label, marked, f"the value: {message}")]
    around = f'{{"rows": [0, {text}]}}'
    whole = {"properties": {"rows": {"prefixItems": [{}, {"$ref": "#/$defs/x"}]}}}
    inside = said({**whole, "$defs": {"x": schema}}, around)
    assert inside == [(label, marked, f"/rows/1: {message}")], "also behind a reference"


@pytest.mark.parametrize(
    ("schema", "text", "expected"),
    [
        (
            {"properties": {"price": {}, "n": {}}, "additionalProperties": False},
            '{"prize": 1, "x": 2}',
            [
                (
                    "additional_properties",
                    '"prize"',
                    '/prize: the key "prize" is not allowed here, did you mean "price"?',
                ),
                (
                    "additional_properties",
                    '"x"',
                    '/x: the key "x" is not allowed here, only "price", "n"',
                ),
            ],
        ),
        (
            {"unevaluatedProperties": False},
            '{"x": 2}',
            [("unevaluated_properties", '"x"', '/x: the key "x" is not allowed here')],
        ),
        (
            {"propertyNames": {"pattern": "^a"}},
            '{"b": 1}',
            [("property_names", '"b"', '/b: the key "b" does not match the pattern "^a"')],
        ),
        (
            {"uniqueItems": True},
            '[true, "a", 1, "a", 1.0]',
            [("unique_items", '"a"', '/3: "a" equals item 1, and no two items may be equal')],
        ),
        (
            {"uniqueItems": True},
            '[{"a": [0], "b": 1}, {"a": [false], "b": 1}, {"b": 1.0, "a": [0.0]}]',
            [
                (
                    "unique_items",
                    '{"b": 1.0, "a": [0.0]}',
                    "/2: the object equals item 0, and no two items may be equal",
                )
            ],
        ),
        (
            {"items": False, "prefixItems": [True]},
            "[1, 2]",
            [("false_schema", "2", "/1: 2 stands where nothing may stand")],
        ),
        (
            {"$schema": DRAFT_7, "items": [True], "additionalItems": False},
            "[1, 2]",
            [("additional_items", "2", "/1: only 1 item may stand in this array")],
        ),
        (
            {"$schema": DRAFT_7, "contentEncoding": "base64"},
            '"{"',
            [
                (
                    "content_encoding",
                    '"{"',
                    'the value: "{" is not compliant with "base64" content encoding',
                )
            ],
        ),
        (
            {"$schema": DRAFT_7, "dependencies": {"a": ["b"]}},
            '{"a": 1}',
            [("required", '{"a": 1}', 'the value: the key "b" is missing')],
        ),
    ],
)
def test_the_place_is_the_key_or_the_item(
    schema: Any, text: str, expected: list[tuple[str, str, str]]
) -> None:
    assert said(schema, text) == expected


CAT = {"properties": {"kind": {"const": "cat"}, "lives": {"type": "integer"}}, "required": ["kind"]}
DOG = {"properties": {"kind": {"enum": ["dog", "wolf"]}, "age": {"minimum": 0}}}


@pytest.mark.parametrize("keyword", ["anyOf", "oneOf"])
@pytest.mark.parametrize(
    ("branches", "text", "expected"),
    [
        # The one branch of this type is meant: its faults are told as its own.
        (
            [{"type": "null"}, {"type": "object", "required": ["a", "b"]}],
            "{}",
            [
                ("required", "{}", 'the value: the key "a" is missing'),
                ("required", "{}", 'the value: the key "b" is missing'),
            ],
        ),
        (
            [{"type": "null"}, {"type": "array", "items": {"type": "string"}}],
            "[1]",
            [("type", "1", "/0: expected a string, got 1 (an integer)")],
        ),
        # A key with a fixed value says which one is meant.
        (
            [CAT, DOG],
            '{"kind": "cat", "lives": "9"}',
            [("type", '"9"', '/lives: expected an integer, got "9" (a string)')],
        ),
        (
            [CAT, DOG],
            '{"kind": "wolf", "age": -1}',
            [("minimum", "-1", "/age: expected at least 0, got -1")],
        ),
        (
            [CAT, DOG],
            '{"kind": "dogg"}',
            [
                (
                    "*",
                    '"dogg"',
                    '/kind: "dogg" is none of "cat", "dog", "wolf", did you mean "dog"?',
                )
            ],
        ),
        # Else the nearest is told, and that it is only that.
        (
            [{"required": ["a", "b"]}, {"required": ["c"]}],
            '{"x": 1}',
            [
                (
                    "*",
                    '{"x": 1}',
                    'the value: the key "c" is missing (by the nearest of 2 schemas, one of which '
                    "must fit)",
                )
            ],
        ),
    ],
)
def test_of_several_schemas_the_one_meant_is_told(
    keyword: str, branches: Any, text: str, expected: list[tuple[str, str, str]]
) -> None:
    own = {"anyOf": "any_of", "oneOf": "one_of"}[keyword]
    due = [(own if label == "*" else label, *rest) for label, *rest in expected]
    assert said({keyword: branches}, text) == due


def test_a_branch_in_a_branch_is_told_once() -> None:
    inner = {"anyOf": [{"required": ["a", "b"]}, {"required": ["c"]}]}
    schema = {"anyOf": [{"required": ["x", "y"]}, inner]}
    ((label, _, message),) = said(schema, "{}")
    assert (label, message.count("nearest")) == ("any_of", 1)


def test_long_lists_and_values_are_cut() -> None:
    ((_, _, message),) = said({"enum": [f"name {n}" for n in range(1000)]}, '"x"')
    assert message.startswith('the value: "x" is none of "name 0", "name 1", ')
    assert message.endswith(" more")
    for schema, text in (
        ({"enum": ["x" * 10_000]}, json.dumps("y" * 10_000)),
        ({"pattern": "x" * 10_000}, json.dumps("y" * 10_000)),
        ({"not": {"enum": ["a", "x" * 10_000]}}, '"a"'),
        ({"maximum": 3}, "9" * 5000),
        ({"required": ["x" * 10_000]}, "{}"),
    ):
        ((_, _, message),) = said(schema, text)
        assert len(message) < 250, message


# Where it says so, however deep


TREE = {
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer"},
                "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
                "kids": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
            },
            "required": ["value"],
        }
    },
    "$ref": "#/$defs/Node",
}


@pytest.mark.parametrize("depth", [1, 7, 12, 31])
@pytest.mark.parametrize("width", [1, 30])
def test_a_failure_deep_in_a_recursive_schema_says_where(depth: int, width: int) -> None:
    node: Any = {"value": "x"}
    for _ in range(depth):
        node = {"value": 1, "next": node, "kids": [{"value": 2}] * width}
    text = json.dumps(node)
    ((label, marked, message),) = said(TREE, text)
    assert (label, marked) == ("type", '"x"')
    assert message == f'{"/next" * depth}/value: expected an integer, got "x" (a string)'


@given(st.recursive(st.integers() | st.text(max_size=2), lambda inner: st.lists(inner, max_size=4)))
def test_the_visits_are_counted(value: Any) -> None:
    def size(part: Any) -> int:
        return 2 + sum(map(size, part)) if isinstance(part, list) else 2

    schema = {"allOf": [{}], "items": {"$ref": "#"}}

    # One for the schema, one for {} in it, and per item one for {"$ref": "#"}.
    def due(part: Any) -> int:
        return 2 + sum(1 + due(each) for each in part) if isinstance(part, list) else 2

    assert visits(References(schema), schema, value, 10**6) == due(value)


def test_a_wrong_type_is_not_a_wrong_option_too() -> None:
    schema = {"properties": {"size": {"type": "string", "enum": ["s", "m"]}}}
    assert judged(schema, '{"size": 4}').labels == ("schema_type",)
    assert judged(schema, '{"size": "x"}').labels == ("schema_enum",)


def test_hostile_branching_is_known_and_bounded() -> None:
    branch = {"properties": {"a": {"$ref": "#"}}}
    hostile = {"anyOf": [{**branch, "required": ["y"]}, {**branch, "required": ["z"]}]}
    text = '{"a":' * 60 + "1" + "}" * 60
    assert visits(References(hostile), hostile, json.loads(text), 1000) == 1000
    assert seconds(lambda: judged(hostile, text)) < 2
    (problem,) = judged(hostile, text).problems
    assert problem.label == "schema_any_of"
    assert text[problem.start : problem.end] == '{"a":1}'
    shallow = '{"a":' * 5 + "1" + "}" * 5
    assert judged(hostile, shallow).labels == ("schema_any_of",)


# Formats


FORMATS = """
date date-time time duration email idn-email hostname idn-hostname ipv4 ipv6 uri uri-reference iri
iri-reference uri-template uuid json-pointer relative-json-pointer regex
"""


@pytest.mark.parametrize("name", FORMATS.split())
def test_formats_assert_on_request(name: str) -> None:
    wrong = '"{ \\\\ ( [ %"'
    assert judged({"format": name}, wrong).passed
    verdict = judged({"format": name}, wrong, assert_formats=True)
    assert verdict.labels == ("schema_format",)
    assert verdict.problems[0].message.endswith(f'is not of the format "{name}"')


def test_unknown_formats_never_assert() -> None:
    for name in ("color", "phone", "int32", "byte", "binary", "password"):
        assert judged({"format": name}, '"{"', assert_formats=True).passed
