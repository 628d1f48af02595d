"""Each keyword of JSON Schema 2020-12 with a value that is valid and one that is not, or None."""

from __future__ import annotations

from typing import Any, NamedTuple


class Keyword(NamedTuple):
    schema: dict[str, Any]
    valid: Any
    invalid: Any


KEYWORDS: dict[str, Keyword] = {
    "type": Keyword({"type": "integer"}, 3, "x"),
    "type (list)": Keyword({"type": ["integer", "null"]}, None, "x"),
    "enum": Keyword({"enum": ["a", "b"]}, "a", "c"),
    "const": Keyword({"const": {"a": 1}}, {"a": 1}, {"a": 2}),
    "minimum": Keyword({"type": "integer", "minimum": 10}, 12, 3),
    "maximum": Keyword({"type": "integer", "maximum": 10}, 3, 12),
    "exclusiveMinimum": Keyword({"type": "number", "exclusiveMinimum": 10}, 10.5, 10),
    "exclusiveMaximum": Keyword({"type": "number", "exclusiveMaximum": 10}, 9.5, 10),
    "minimum (no type)": Keyword({"minimum": 10}, 12, 3),
    "multipleOf": Keyword({"type": "integer", "multipleOf": 5}, 15, 16),
    "multipleOf (0.01)": Keyword({"type": "number", "multipleOf": 0.01}, 1.25, 1.255),
    "minLength": Keyword({"type": "string", "minLength": 3}, "abc", "ab"),
    "maxLength": Keyword({"type": "string", "maxLength": 3}, "abc", "abcd"),
    "pattern": Keyword({"type": "string", "pattern": "^[a-z]+$"}, "abc", "ab1"),
    "pattern (not anchored)": Keyword({"type": "string", "pattern": "b"}, "abc", "ac"),
    "pattern (lookahead)": Keyword(
        {"type": "string", "pattern": "^(?=.*[0-9])[a-z0-9]+$"}, "a1", "ab"
    ),
    "pattern (\\d, \\w)": Keyword({"type": "string", "pattern": "^\\w\\d$"}, "a1", "é1"),
    "pattern and maxLength": Keyword(
        {"type": "string", "pattern": "^[a-z]+$", "maxLength": 3}, "abc", "abcd"
    ),
    "format date": Keyword({"type": "string", "format": "date"}, "2024-02-03", "3 May"),
    "format date (31 February)": Keyword(
        {"type": "string", "format": "date"}, "2024-02-03", "2024-02-31"
    ),
    "format time": Keyword({"type": "string", "format": "time"}, "10:20:30Z", "noon"),
    "format date-time": Keyword(
        {"type": "string", "format": "date-time"}, "2024-02-03T10:20:30Z", "noon"
    ),
    "format duration": Keyword({"type": "string", "format": "duration"}, "P3D", "3 days"),
    "format email": Keyword({"type": "string", "format": "email"}, "a@b.org", "ab"),
    "format hostname": Keyword({"type": "string", "format": "hostname"}, "a.org", "-a_b"),
    "format ipv4": Keyword({"type": "string", "format": "ipv4"}, "1.2.3.4", "1.2.3.444"),
    "format ipv6": Keyword({"type": "string", "format": "ipv6"}, "::1", "x"),
    "format uri": Keyword({"type": "string", "format": "uri"}, "https://a.org/x", "a b"),
    "format uri-reference": Keyword({"type": "string", "format": "uri-reference"}, "/x", "a b^"),
    "format uuid": Keyword(
        {"type": "string", "format": "uuid"}, "123e4567-e89b-12d3-a456-426614174000", "1"
    ),
    "format regex": Keyword({"type": "string", "format": "regex"}, "a+", "("),
    "format json-pointer": Keyword({"type": "string", "format": "json-pointer"}, "/a", "a"),
    "format idn-email": Keyword({"type": "string", "format": "idn-email"}, "a@b.org", "ab"),
    "format iri": Keyword({"type": "string", "format": "iri"}, "https://a.org", "a b"),
    "format (unknown)": Keyword({"type": "string", "format": "phone"}, "a", None),
    "properties": Keyword(
        {"type": "object", "properties": {"a": {"type": "integer"}}}, {"a": 1}, {"a": "x"}
    ),
    "properties (other order)": Keyword(
        {"type": "object", "properties": {"a": {}, "b": {}}}, {"b": 1, "a": 2}, None
    ),
    "required": Keyword(
        {"type": "object", "properties": {"a": {}}, "required": ["a"]}, {"a": 1}, {}
    ),
    "required (not in properties)": Keyword({"type": "object", "required": ["a"]}, {"a": 1}, {}),
    "required (no type)": Keyword({"required": ["a"]}, {"a": 1}, {}),
    "additionalProperties false": Keyword(
        {"type": "object", "properties": {"a": {}}, "additionalProperties": False},
        {"a": 1},
        {"b": 1},
    ),
    "additionalProperties schema": Keyword(
        {"type": "object", "additionalProperties": {"type": "integer"}}, {"b": 1}, {"b": "x"}
    ),
    "patternProperties": Keyword(
        {"type": "object", "patternProperties": {"^x": {"type": "integer"}}}, {"xa": 1}, {"xa": "s"}
    ),
    "propertyNames": Keyword(
        {"type": "object", "propertyNames": {"pattern": "^[a-z]+$"}}, {"a": 1}, {"A": 1}
    ),
    "minProperties": Keyword({"type": "object", "minProperties": 2}, {"a": 1, "b": 2}, {"a": 1}),
    "maxProperties": Keyword({"type": "object", "maxProperties": 1}, {"a": 1}, {"a": 1, "b": 2}),
    "unevaluatedProperties": Keyword(
        {"type": "object", "properties": {"a": {}}, "unevaluatedProperties": False},
        {"a": 1},
        {"b": 1},
    ),
    "dependentRequired": Keyword(
        {"type": "object", "properties": {"a": {}, "b": {}}, "dependentRequired": {"a": ["b"]}},
        {"a": 1, "b": 1},
        {"a": 1},
    ),
    "dependentSchemas": Keyword(
        {
            "type": "object",
            "properties": {"a": {}, "b": {}},
            "dependentSchemas": {"a": {"required": ["b"]}},
        },
        {"a": 1, "b": 1},
        {"a": 1},
    ),
    "items": Keyword({"type": "array", "items": {"type": "integer"}}, [1], ["x"]),
    "prefixItems": Keyword(
        {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]},
        [1, "a"],
        ["a", 1],
    ),
    "items false": Keyword(
        {"type": "array", "prefixItems": [{"type": "integer"}], "items": False}, [1], [1, 2]
    ),
    "minItems": Keyword({"type": "array", "items": {}, "minItems": 2}, [1, 2], [1]),
    "maxItems": Keyword({"type": "array", "items": {}, "maxItems": 2}, [1, 2], [1, 2, 3]),
    "uniqueItems": Keyword(
        {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}, [1, 2], [1, 1]
    ),
    "contains": Keyword({"type": "array", "contains": {"type": "integer"}}, ["a", 1], ["a"]),
    "minContains": Keyword(
        {"type": "array", "contains": {"type": "integer"}, "minContains": 2}, [1, 1], [1]
    ),
    "maxContains": Keyword(
        {"type": "array", "contains": {"type": "integer"}, "maxContains": 1}, [1], [1, 2]
    ),
    "unevaluatedItems": Keyword(
        {"type": "array", "prefixItems": [{}], "unevaluatedItems": False}, [1], [1, 2]
    ),
    "allOf": Keyword({"allOf": [{"type": "integer"}, {"minimum": 5}]}, 7, 3),
    "anyOf": Keyword({"anyOf": [{"type": "integer"}, {"type": "null"}]}, None, "x"),
    "oneOf": Keyword({"oneOf": [{"type": "integer"}, {"type": "null"}]}, 1, "x"),
    "oneOf (overlap)": Keyword(
        {"oneOf": [{"type": "integer", "minimum": 0}, {"type": "integer", "maximum": 10}]}, 20, 5
    ),
    "not": Keyword({"type": "integer", "not": {"const": 3}}, 4, 3),
    "if/then/else": Keyword(
        {
            "type": "integer",
            "if": {"minimum": 10},
            "then": {"multipleOf": 5},
            "else": {"maximum": 3},
        },
        15,
        16,
    ),
    "$ref": Keyword({"$defs": {"n": {"type": "integer"}}, "$ref": "#/$defs/n"}, 3, "x"),
    "$ref (recursive)": Keyword(
        {
            "type": "object",
            "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
            "required": ["next"],
            "additionalProperties": False,
        },
        {"next": {"next": None}},
        {"next": {"next": 1}},
    ),
    "$ref beside keywords": Keyword(
        {"$defs": {"n": {"type": "integer"}}, "$ref": "#/$defs/n", "minimum": 5}, 7, 3
    ),
    "$ref (remote)": Keyword({"$ref": "other.json"}, 1, None),
    "$anchor": Keyword({"$defs": {"n": {"$anchor": "x", "type": "integer"}}, "$ref": "#x"}, 3, "s"),
    "$id": Keyword(
        {"$id": "https://a.org/s", "$defs": {"n": {"$id": "n", "type": "integer"}}, "$ref": "n"},
        3,
        "s",
    ),
    "$dynamicRef": Keyword(
        {"$defs": {"n": {"$dynamicAnchor": "x", "type": "integer"}}, "$dynamicRef": "#x"}, 3, "s"
    ),
    "$comment, title, default": Keyword(
        {
            "type": "integer",
            "title": "t",
            "default": 1,
            "$comment": "c",
            "examples": [1],
            "deprecated": True,
            "readOnly": True,
        },
        3,
        "x",
    ),
    "contentEncoding": Keyword({"type": "string", "contentEncoding": "base64"}, "YQ==", None),
    "false": Keyword({"type": "object", "properties": {"a": False}}, {}, {"a": 1}),
    "unknown keyword": Keyword({"type": "integer", "x-order": 3}, 3, "x"),
}
