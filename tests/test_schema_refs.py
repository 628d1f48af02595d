"""No $ref leaves the schema, unless a folder is named; and then it does not leave the folder."""

from __future__ import annotations

import json
import pickle
import socket
from pathlib import Path
from typing import Any

import pytest

from fmtharness.evaluators.json.schema import JsonSchema
from fmtharness.harness.options import check
from fmtharness.harness.records import Completion, Example

CITY = {"type": "object", "required": ["name"]}


def passes(judge: JsonSchema, text: str, schema: Any = None) -> bool | None:
    tags = {} if schema is None else {"json_schema": schema}
    example = Example(id="1", prompt=(), format="json", tags=tags)
    return judge.evaluate(example, Completion(example_id="1", text=text)).passed


def write(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of schemas, beside a file that is not in it."""
    write(tmp_path / "secret.json", {"type": "null"})
    inside = tmp_path / "schemas"
    write(inside / "city.json", CITY)
    write(inside / "a b.json", {"type": "integer"})
    write(
        inside / "sub" / "defs.json",
        {"$defs": {"n": {"type": "integer"}, "c": {"$ref": "../city.json"}}},
    )
    write(inside / "sub" / "own.json", {"$id": "https://example.com/own", "$ref": "other#/$defs/x"})
    write(inside / "other.json", {"$id": "https://example.com/other", "$defs": {"x": {"const": 1}}})
    write(inside / "broken.json", "{")
    write(inside / "wrong.json", {"type": "strin"})
    (inside / "link.json").symlink_to(tmp_path / "secret.json")
    (inside / "up").symlink_to(tmp_path)
    return inside


def test_without_a_folder_nothing_is_fetched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        for reference in (
            f"http://127.0.0.1:{port}/x.json",
            f"http://127.0.0.1:{port}/x.json#/$defs/a",
            (folder / "city.json").as_uri(),
            "city.json",
            "./sub/defs.json#/$defs/n",
            "../secret.json",
            "urn:example:city",
        ):
            for schema in ({"$ref": reference}, {"items": {"anyOf": [{"$ref": reference}]}}):
                with pytest.raises(ValueError) as caught:
                    passes(JsonSchema(), "{}", schema)
                assert str(caught.value) == (
                    f"the Example's tag json_schema: it is no usable JSON Schema: its reference "
                    f"{reference!r} leaves the schema, and nothing is fetched; name the folder of "
                    f"such files as ref_folder, or put it under $defs"
                )
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.mark.parametrize(
    ("reference", "good", "bad"),
    [
        ("city.json", '{"name": 1}', "{}"),
        ("./city.json", '{"name": 1}', "{}"),
        ("sub/../city.json#", '{"name": 1}', "{}"),
        ("sub/defs.json#/$defs/n", "1", "{}"),
        ("sub/defs.json#/$defs/c", '{"name": 1}', "{}"),
        ("a%20b.json", "1", "{}"),
        ("https://example.com/own", "1", "2"),
        ("https://example.com/other#/$defs/x", "1", "2"),
    ],
)
def test_references_resolve_in_the_folder(
    folder: Path, reference: str, good: str, bad: str
) -> None:
    judge = JsonSchema(ref_folder=folder)
    rebuilt, faults = check(JsonSchema, judge.model_dump(mode="json"), "json_schema")
    assert faults == []
    assert rebuilt == judge
    for each in (judge, rebuilt, pickle.loads(pickle.dumps(judge))):
        assert isinstance(each, JsonSchema)
        assert passes(each, good, {"$ref": reference}) is True
        assert passes(each, bad, {"$ref": reference}) is False


@pytest.mark.parametrize(
    "reference",
    [
        "../secret.json",
        "sub/../../secret.json",
        "%2e%2e/secret.json",
        "..%2fsecret.json",
        "up/secret.json",
        "link.json",
        "/secret.json",
        "/etc/passwd",
        "//localhost/etc/passwd",
        "none.json",
        "city.txt",
        "http://127.0.0.1:9/city.json",
    ],
)
def test_no_reference_leaves_the_folder(folder: Path, reference: str) -> None:
    for named in (reference, (folder / ".." / "secret.json").resolve().as_uri()):
        with pytest.raises(ValueError) as caught:
            passes(JsonSchema(ref_folder=folder), "null", {"$ref": named})
        said = "its reference " if "%2" in named else f"its reference {named!r} "
        assert said in str(caught.value)
        assert f" names no JSON file in {folder}" in str(caught.value)


def test_a_broken_file_of_the_folder_is_named(folder: Path) -> None:
    judge = JsonSchema(ref_folder=folder)
    with pytest.raises(
        ValueError, match=r"its reference 'broken\.json' names a file that is no JSON"
    ):
        passes(judge, "1", {"$ref": "broken.json"})
    with pytest.raises(ValueError, match="no usable JSON Schema"):
        passes(judge, "1", {"$ref": "wrong.json"})


def test_a_schema_of_the_folder_refers_from_where_it_stands(folder: Path) -> None:
    path = write(folder / "sub" / "main.json", {"items": {"$ref": "../city.json"}})
    judge = JsonSchema(schema=str(path), ref_folder=folder)
    assert passes(judge, '[{"name": 1}]')
    assert passes(judge, "[{}]") is False
    beside = write(folder.parent / "main.json", {"items": {"$ref": "city.json"}})
    assert passes(JsonSchema(schema=str(beside), ref_folder=folder), "[{}]") is False


def test_the_folder_stands_for_an_address(folder: Path) -> None:
    judge = JsonSchema(ref_folder=folder, ref_base="https://schemas.example/v1")
    for reference in ("https://schemas.example/v1/city.json", "city.json"):
        assert passes(judge, '{"name": 1}', {"$ref": reference})
        assert passes(judge, "{}", {"$ref": reference}) is False
    with pytest.raises(ValueError, match="names no JSON file"):
        passes(judge, "{}", {"$ref": "https://schemas.example/v2/city.json"})


def test_a_message_behind_a_file_says_where(folder: Path) -> None:
    judge = JsonSchema(ref_folder=folder)
    example = Example(
        id="1", prompt=(), format="json", tags={"json_schema": {"items": {"$ref": "city.json"}}}
    )
    (problem,) = judge.evaluate(example, Completion(example_id="1", text="[{}]")).problems
    assert problem.message == '/0: the key "name" is missing'


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ref_folder": "nowhere"}, "nowhere is no folder"),
        ({"ref_base": "https://x.example"}, "ref_base is the address of ref_folder"),
    ],
)
def test_faulty_options_are_one_sentence(options: dict[str, Any], said: str) -> None:
    built, faults = check(JsonSchema, options, "json_schema")
    assert built is None
    (fault,) = faults
    assert fault.startswith(f"json_schema: {said}")
    assert "\n" not in fault


def test_references_that_explode_in_the_folder_are_bounded(folder: Path) -> None:
    for n in range(60):
        both = [{"$ref": f"x{n + 1}.json"}, {"$ref": f"x{n + 1}.json#"}]
        write(folder / f"x{n}.json", {"allOf": both})
    write(folder / "x60.json", {"type": "object"})
    with pytest.raises(ValueError, match="too large for this text"):
        passes(JsonSchema(ref_folder=folder), "1", {"$ref": "x0.json"})
