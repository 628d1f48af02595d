"""JSON Schema: which schema holds, what a violation looks like, and that no text is too much."""

from __future__ import annotations

import copy
import json
import pickle
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from fmtharness.evaluators.json.schema import JsonSchema
from fmtharness.evaluators.json.schema_of import schema_of
from fmtharness.harness.contracts import applies, needs_example
from fmtharness.harness.options import check
from fmtharness.harness.records import Completion, Example, Verdict
from fmtharness.harness.surroundings import MOST_OF_ONE_LABEL
from fmtharness.harness.testing.promises import seconds
from tests.strategies import json_objects, json_values

JUDGE = JsonSchema()


def judged(text: str, value: Any = None, schema: Any = None) -> Verdict:
    tags = {} if schema is None else {"json_schema": schema}
    example = Example(id="1", prompt=(), completion="", format="json", value=value, tags=tags)
    return JUDGE.evaluate(example, Completion(example_id="1", text=text))


def spans(text: str, verdict: Verdict) -> list[tuple[str, str]]:
    return [(problem.label, text[problem.start : problem.end]) for problem in verdict.problems]


@given(json_values())
def test_a_value_fits_the_schema_that_it_implies(value: Any) -> None:
    verdict = judged(json.dumps(value), value)
    assert verdict.passed, verdict.problems
    assert verdict.counts == {"violations": 0}


@given(json_objects(), st.data())
def test_an_object_with_a_key_dropped_added_or_retyped_does_not_fit(
    value: dict[str, Any], data: st.DataObject
) -> None:
    assume(value)
    key = data.draw(st.sampled_from(sorted(value)))
    dropped = {other: held for other, held in value.items() if other != key}
    added = {**value, key + "x": 1}
    assume(key + "x" not in value)
    other_type = {"a": 1} if isinstance(value[key], str) else "text"
    retyped = {**value, key: other_type}
    expected = [(dropped, "required"), (added, "additional_properties"), (retyped, "type")]
    for changed, label in expected:
        verdict = judged(json.dumps(changed), value)
        if isinstance(value[key], list | dict) and label == "type":
            assert not verdict.passed
        else:
            assert verdict.labels == (f"schema_{label}",)
        assert verdict.counts["violations"] == 1


@given(json_objects(), st.data())
def test_a_change_deep_inside_does_not_fit(value: dict[str, Any], data: st.DataObject) -> None:
    changed = copy.deepcopy(value)
    objects = [changed]
    for node in objects:
        objects += [child for child in node.values() if isinstance(child, dict)]
    data.draw(st.sampled_from(objects))["new key"] = 1
    assert "schema_additional_properties" in judged(json.dumps(changed), value).labels


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (True, {"type": "boolean"}),
        ([], {"type": "array"}),
        ([1, 2.5, None], {"type": "array", "items": {"type": ["number", "null"]}}),
        ([[1], []], {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}}),
        (
            [{"a": 1}, {"a": None}],
            {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"a": {"type": ["integer", "null"]}},
                    "required": ["a"],
                    "additionalProperties": False,
                },
            },
        ),
    ],
)
def test_the_schema_that_a_value_implies(value: Any, schema: Any) -> None:
    assert schema_of(value) == schema
    mixed = schema_of(["x", {"a": 1}, {"b": 1}])["items"]["anyOf"]
    assert [each["type"] for each in mixed] == ["string", "object", "object"]


@pytest.mark.parametrize("value", [{1, 2}, [object()], json.loads("[" * 70 + "]" * 70)])
def test_a_value_that_implies_no_schema(value: Any) -> None:
    with pytest.raises(ValueError):
        schema_of(value)


SCHEMA = {
    "properties": {
        "rows": {"items": {"properties": {"city": {"type": "string"}}, "required": ["city"]}},
        "n": {"minimum": 3},
    },
    "additionalProperties": False,
    "propertyNames": {"maxLength": 8},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"rows": [{"city": "Oslo"}], "n": 3}', []),
        ('{"rows": [{"city": 4}, {}]}', [("schema_type", "4"), ("schema_required", "{}")]),
        ('{ "n" : 2 }', [("schema_minimum", "2")]),
        (
            '{"a/b~c": 1, "z": 2}',
            [("schema_additional_properties", '"a/b~c"'), ("schema_additional_properties", '"z"')],
        ),
        (
            '{"far too long": 1}',
            [
                ("schema_additional_properties", '"far too long"'),
                ("schema_property_names", '"far too long"'),
            ],
        ),
        ("[]", []),
        ('{"n": 1,}', [("not_strict", '{"n": 1,}')]),
        ('{"n": 1, "n": 3}', [("not_strict", '{"n": 1, "n": 3}')]),
        ("", [("not_strict", "")]),
    ],
)
def test_each_violation_has_its_label_and_place(text: str, expected: list[tuple[str, str]]) -> None:
    verdict = judged(text, schema=SCHEMA)
    assert spans(text, verdict) == expected
    assert verdict.passed == (not expected)
    violations = [label for label, _ in expected if label != "not_strict"]
    assert verdict.counts == {"violations": len(violations)}


def test_a_message_names_the_path_and_stays_short() -> None:
    (problem,) = judged('{"rows": [{"city": 4}]}', schema=SCHEMA).problems
    assert problem.message == "/rows/0/city: expected a string, got 4 (an integer)"
    (problem,) = judged('{"a/b~c": 1}', schema=SCHEMA).problems
    assert problem.message == '/a~1b~0c: the key "a/b~c" is not allowed here, only "rows", "n"'
    (problem,) = judged(json.dumps("x" * 5000), value=1).problems
    assert problem.message.startswith('the value: expected an integer, got "xxx')
    assert problem.message.endswith("(a string)")
    assert len(problem.message) < 250


NESTED = {
    "additionalProperties": {"$ref": "#"},
    "items": {"$ref": "#"},
    "type": ["object", "array"],
}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"0": 1}', "1"),
        ('[{"1": [[], 1]}]', "1"),
        ('{"a": {"": {"b": 1}}}', "1"),
        ('{"": [1]}', "1"),
        ('{"": {"x": 1}, "x": {}}', "{}"),  # the validator's path is the same for both
        ('{"": {"x": {"y": 1}}, "x": {}}', "{}"),
        ('{"": 1}', '{"": 1}'),
        ('{"01": 1}', '{"01": 1}'),
        ('[{"": {"01": 1}}]', '{"01": 1}'),
    ],
)
def test_odd_keys_do_not_lead_astray(text: str, place: str) -> None:
    assert spans(text, judged(text, schema=NESTED)) == [("schema_type", place)]


def test_violations_are_counted_and_problems_bounded() -> None:
    verdict = judged(json.dumps(["x"] * 5000), value=[1])
    assert verdict.counts == {"violations": 5000}
    assert verdict.labels == ("schema_type",)
    assert len(verdict.problems) == MOST_OF_ONE_LABEL


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_schema_file_holds_without_an_example(tmp_path: Path) -> None:
    path = write(tmp_path / "schema.json", '{"type": "array"}')
    judge = JsonSchema(schema=path)
    rebuilt, faults = check(JsonSchema, judge.model_dump(mode="json"), "json_schema")
    assert faults == []
    assert rebuilt is not None
    path.unlink()  # evaluating reads nothing
    for each in (judge, rebuilt, pickle.loads(pickle.dumps(judge)), judge.model_copy()):
        for text, passed in (("[1]", True), ("{}", False)):
            completion = Completion(example_id="1", text=text)
            assert each.evaluate(None, completion).passed is passed
            example = Example(id="1", prompt=(), completion="", format="json", value={"a": 1})
            assert each.evaluate(example, completion).passed is passed


def test_without_any_schema_it_says_so() -> None:
    assert needs_example(JUDGE) and not needs_example(JsonSchema(schema=True))
    with pytest.raises(ValueError, match="needs a schema"):
        JUDGE.evaluate(None, Completion(example_id="1", text="{}"))
    with pytest.raises(ValueError, match="not an object, true or false"):
        judged("{}", schema=[1])
    with pytest.raises(ValueError, match="tag json_schema: it is no usable JSON Schema"):
        judged("{}", schema={"type": "strin"})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "is not JSON"),
        ("[1]", "holds no JSON Schema"),
        ('{"type": "strin"}', "no usable JSON Schema"),
        ('{"pattern": "("}', "no usable JSON Schema"),
        ('{"$ref": "#/$defs/none"}', "/\\$defs/none"),
        ('{"$schema": "http://example.invalid/own"}', "Unknown meta-schema"),
        ("[" * 100_000, "nested too deeply"),
        ('{"not":' * 300 + "{}" + "}" * 300, "Recursion limit"),
    ],
)
def test_a_faulty_schema_file_is_one_sentence(tmp_path: Path, text: str, reason: str) -> None:
    path = write(tmp_path / "schema.json", text)
    with pytest.raises(ValidationError, match=reason):
        JsonSchema(schema=path)
    built, faults = check(JsonSchema, {"schema_file": path}, "json_schema")
    assert built is None
    assert len(faults) == 1
    assert str(path) in faults[0]
    assert "\n" not in faults[0]


def test_a_schema_file_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="cannot be read"):
        JsonSchema(schema=tmp_path / "none.json")
    (tmp_path / "latin.json").write_bytes(b'{"title": "\xe9"}')
    with pytest.raises(ValidationError, match="not UTF-8"):
        JsonSchema(schema=tmp_path / "latin.json")


def test_no_reference_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = write(tmp_path / "other.json", '{"type": "object"}')
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        monkeypatch.chdir(tmp_path)
        for reference in (f"http://127.0.0.1:{port}/x", there.as_uri(), "other.json"):
            for keyword in ("$ref", "$dynamicRef"):
                with pytest.raises(ValueError, match="no usable JSON Schema"):
                    judged("{}", schema={keyword: reference})
        with pytest.raises(TimeoutError):
            server.accept()


def test_the_draft_is_the_one_that_the_schema_names() -> None:
    pair = {"items": [{"type": "string"}]}
    draft_7 = {"$schema": "http://json-schema.org/draft-07/schema#", **pair}
    assert not judged("[1]", schema=draft_7).passed
    with pytest.raises(ValueError):
        judged("[1]", schema=pair)
    assert judged("[1]", schema={"prefixItems": [{"type": "string"}]}).passed is False


def test_format_asserts_nothing() -> None:
    for schema in ("https://json-schema.org/draft/2020-12/", "http://json-schema.org/draft-07/"):
        date = {"$schema": schema + "schema", "format": "date"}
        assert judged('"soon"', schema=date).passed


BRANCH = {"properties": {"a": {"$ref": "#"}}}
RECURSIVE = {
    "anyOf": {"anyOf": [{**BRANCH, "required": ["y"]}, {**BRANCH, "required": ["z"]}]},
    "oneOf": {"oneOf": [{**BRANCH, "maxProperties": 0}, {**BRANCH, "minProperties": 3}, BRANCH]},
    "allOf": {"allOf": [BRANCH, BRANCH], "type": "object"},
    "if": {"if": {**BRANCH, "required": ["y"]}, "then": BRANCH, "else": BRANCH, "type": "object"},
    "pattern": {"patternProperties": {"a": {"$ref": "#"}, ".": {"$ref": "#"}}, "type": "object"},
    "plain": {**BRANCH, "type": "object"},
}


@pytest.mark.parametrize("name", RECURSIVE)
@pytest.mark.parametrize("depth", [2, 5, 12, 63])
def test_deep_texts_are_safe_under_recursive_schemas(name: str, depth: int) -> None:
    text = '{"a":' * depth + "1" + "}" * depth
    inner = json.loads(json.dumps(RECURSIVE[name]).replace('"#"', '"#/$defs/x"'))
    several = {"items": {"$ref": "#/$defs/x"}, "$defs": {"x": inner}}
    wide = f"[{', '.join([text] * 200)}]"
    assert seconds(lambda: judged(text, schema=RECURSIVE[name])) < 5
    assert seconds(lambda: judged(wide, schema=several)) < 5
    verdict = judged(text, schema=RECURSIVE[name])
    assert not verdict.passed
    assert not judged(wide, schema=several).passed
    assert verdict.counts["violations"] > 0
    assert verdict.labels


def test_a_schema_that_is_its_own_reference_ends() -> None:
    assert judged("1", schema={"$ref": "#"}).passed
    assert judged("1", schema={"allOf": [{"$ref": "#"}]}).passed


@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 5000, "-" + "9" * 30_000, "1e-400"])
def test_numbers_of_any_size_are_judged(number: str) -> None:
    for text in (number, f'{{"a": [{number}]}}'):
        value = 1 if text == number else {"a": [1.5]}
        assert judged(text, value).passed
        assert judged(text, "text").labels == ("schema_type",)
    assert judged(number, schema={"maximum": 3}).passed == (number[0] == "-" or "-400" in number)


def test_it_judges_the_formats_that_are_json() -> None:
    for name, known in (("json", True), ("tool_call", True), ("json_array", True), ("yaml", False)):
        example = Example(id="1", prompt=(), completion="", format=name, value={})
        assert applies(JUDGE, example) is known
