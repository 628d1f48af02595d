"""Schemas as users name them: files, Pydantic models, rows of data; check, gates and tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pydantic import BaseModel, TypeAdapter

from fmtharness.harness.cli import main
from fmtharness.harness.config import load_config
from fmtharness.harness.errors import ConfigError, DataError, UserError
from fmtharness.harness.gates.gate_file import read_gate
from fmtharness.harness.gates.outcomes import judge_gate
from fmtharness.harness.gates.pytest_plugin import AssertFormat
from fmtharness.harness.options import build, check
from fmtharness.harness.schemas import load_schema, names_code, schema_of_model, schema_of_row
from tests.fakes import ROOT, import_path

MODULE = """
import dataclasses, enum
from typing import Callable, Optional
from pydantic import BaseModel, TypeAdapter
print("imported")

class Item(BaseModel):
    name: str
    price: float

class Ticket(BaseModel):
    kind: str
    items: list[Item] = []
    parent: "Optional[Ticket]" = None

class Broken(BaseModel):
    call: Callable[[int], int]

class Plain:
    pass

class Outer:
    class Inner(BaseModel):
        a: int

@dataclasses.dataclass
class Point:
    x: int

class Color(enum.Enum):
    RED = "red"

ADAPTER = TypeAdapter(list[int])
LISTS = list[Item] | int
SCHEMA = {"type": "array"}
NUMBER = 3

def function(a: int) -> None: ...
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory, with modules of a user's own and a schema's file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop_models.py").write_text(MODULE)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("")
    (tmp_path / "shop" / "models.py").write_text("from shop_models import Ticket\n")
    (tmp_path / "shop_raises.py").write_text("raise RuntimeError('no\\nway')\n")
    (tmp_path / "shop_exits.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "shop_needs.py").write_text("import nowhere_to_be_found.part\n")
    (tmp_path / "ticket.json").write_text('{"type": "object", "required": ["kind"]}')
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("shop"):
            del sys.modules[name]


def test_a_file_and_a_model(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = list(sys.path)
    assert load_schema("ticket.json") == {"type": "object", "required": ["kind"]}
    (here / "all.json").write_text("true")
    assert load_schema(str(here / "all.json")) is True
    schema: Any = load_schema("shop.models:Ticket")
    assert {*schema["$defs"]} == {"Item", "Ticket"}
    assert sys.path == path
    out, err = capsys.readouterr()
    assert (out, err) == ("", "imported\n"), "standard output is for the result"


@pytest.mark.parametrize(
    ("name", "key", "due"),
    [
        ("Outer.Inner", "required", ["a"]),
        ("Point", "required", ["x"]),
        ("Color", "enum", ["red"]),
        ("ADAPTER", "items", {"type": "integer"}),
        ("LISTS", "anyOf", [{"items": {"$ref": "#/$defs/Item"}, "type": "array"}, None]),
        ("SCHEMA", "type", "array"),
    ],
)
def test_what_counts_as_a_model(here: Path, name: str, key: str, due: Any) -> None:
    schema: Any = load_schema(f"shop_models:{name}")
    assert schema[key] == due or (key == "anyOf" and schema[key][0] == due[0])


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("tickt.json", "tickt.json: it cannot be read (No such file or directory), did you mean "),
        ("shop", "shop: it cannot be read (Is a directory)"),
        ("shop_models.py", "shop_models.py: it is not JSON: Expecting value: line 2"),
        ("nowhere:X", "nowhere:X: there is no module 'nowhere'"),
        ("shop.model:Ticket", "there is no module 'shop.model', did you mean 'shop.models'?"),
        ("shopp.models:Ticket", "there is no module 'shopp', did you mean 'shop'?"),
        ("shop_models.py:Ticket", "no module 'shop_models.py', did you mean 'shop_models'?"),
        ("shop_models:Tickt", "module shop_models has no 'Tickt', did you mean 'Ticket'?"),
        ("shop_models:Outer.Iner", "Outer has no 'Iner', did you mean 'Inner'?"),
        ("shop_models:NUMBER.x", "NUMBER has no 'x'"),
        ("shop_models:NUMBER", "expected a Pydantic model, got a int"),
        ("shop_models:function", "expected a Pydantic model, got a function"),
        ("shop_models:Plain", "expected a Pydantic model, got what has no JSON Schema"),
        ("shop_models:Broken", "expected a Pydantic model, got what has no JSON Schema"),
        ("shop_raises:X", "module shop_raises cannot be imported (RuntimeError: no way)"),
        ("shop_exits:X", "module shop_exits cannot be imported (SystemExit: 3)"),
        ("shop_needs:X", "needs nowhere_to_be_found, which is not installed"),
    ],
)
def test_a_fault_is_one_sentence(here: Path, spec: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        load_schema(spec, "--schema")
    text = str(caught.value)
    assert text.startswith(f"--schema: {spec}: ")
    assert said in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[1]", "it holds no JSON Schema"),
        (b"{", "it is not JSON"),
        (b'{"a": "\xe9"}', "it is not UTF-8"),
        (b"[" * 100_000, "it is not JSON: it is nested too deeply"),
        (b'{"minimum": ' + b"9" * 5000 + b"}", "a number has more than"),
    ],
)
def test_a_file_that_holds_no_schema(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=said):
        load_schema(str(path))


@pytest.mark.parametrize(
    ("spec", "is_code"),
    [
        ("a:B", True),
        ("a.b.c:B.C", True),
        ("ä:Ö", True),
        ("./a:B", False),
        ("a.json", False),
        ("C:/a.json", False),
        ("C:\\a.json", False),
        ("1:2", False),
        ("a:b:c", False),
        ("a:b ", False),
        ({"a": 1}, False),
    ],
)
def test_what_is_code(spec: Any, is_code: bool) -> None:
    assert names_code(spec) is is_code


# Rows

PLAIN = {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize(
    "row",
    [
        {"schema": PLAIN},
        {"schema": json.dumps(PLAIN)},
        {"json_schema": PLAIN},
        {"json_schema": json.dumps(PLAIN)},
        {"json_schema": {"name": "a", "schema": PLAIN, "strict": True}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": PLAIN}}},
        {
            "response_format": json.dumps(
                {
                    "type": "json_schema",
                    "json_schema": {"name": "a", "strict": True, "schema": PLAIN},
                }
            )
        },
        {"response_format": {"type": "json_object", "schema": PLAIN}},
        {"text": {"format": {"type": "json_schema", "name": "a", "schema": PLAIN}}},
        {"guided_json": PLAIN},
        {"guided_json": json.dumps(PLAIN)},
        {"structured_outputs": {"json": PLAIN}},
        {"extra_body": {"structured_outputs": {"json": json.dumps(PLAIN)}}},
        {"extra_body": {"guided_json": PLAIN}},
        {
            "custom_id": "1",
            "method": "POST",
            "body": {
                "model": "m",
                "response_format": {"type": "json_schema", "json_schema": {"schema": PLAIN}},
            },
        },
    ],
)
def test_a_row_s_schema_in_every_shape(row: dict[str, Any]) -> None:
    assert schema_of_row({"prompt": "...", **row}) == PLAIN


@pytest.mark.parametrize(
    ("row", "due"),
    [
        ({}, None),
        ({"text": "bare"}, None),
        ({"schema": None, "json_schema": None, "response_format": None}, None),
        ({"response_format": {"type": "text"}}, None),
        ({"response_format": {"type": "json_object"}}, {"type": "object"}),
        ({"structured_outputs": {"regex": "a+"}}, None),
        ({"schema": "CREATE TABLE a (b INT)"}, None),
        ({"schema": "shop_models:Ticket"}, None),
        ({"schema": True}, True),
        ({"json_schema": False}, False),
        ({"json_schema": "false"}, False),
        ({"schema": {"properties": {"schema": {}}}}, {"properties": {"schema": {}}}),
    ],
)
def test_rows_with_another_schema_or_none(row: dict[str, Any], due: Any) -> None:
    assert schema_of_row(row) == due


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"json_schema": "{"}, "'json_schema' is not JSON"),
        ({"schema": "{no"}, "'schema' is not JSON"),
        ({"json_schema": "shop_models:Ticket"}, "'json_schema' is not JSON"),
        ({"json_schema": [1]}, "'json_schema' is no JSON Schema"),
        ({"guided_json": 3}, "'guided_json' is no JSON Schema"),
        ({"response_format": {"type": "json_schema"}}, "'response_format' has the type"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": 1}}},
            "'response_format.schema' is no JSON Schema",
        ),
        ({"body": {"structured_outputs": {"json": "["}}}, "'structured_outputs.json' is not JSON"),
    ],
)
def test_a_row_s_faulty_schema(row: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        schema_of_row(row)


# check


def called(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["check", *arguments])


def verdicts(result: Result) -> list[tuple[str, Any]]:
    (checked,) = json.loads(result.stdout)
    return [(each["evaluator"], each["passed"]) for each in checked["verdicts"]]


def test_check_takes_a_file_or_a_model(here: Path) -> None:
    done = called("--json", "--schema", "ticket.json", '{"kind": 1}')
    assert verdicts(done) == [("json_strict", True), ("json_schema", True)]
    assert done.exit_code == 0
    text = '{"kind": "a", "items": [{"name": "b", "price": "12"}]}'
    done = called("--json", "--schema", "shop_models:Ticket", text)
    assert verdicts(done) == [("json_strict", True), ("json_schema", False)]
    assert done.exit_code == 1
    (problem,) = json.loads(done.stdout)[0]["verdicts"][1]["problems"]
    assert problem["message"] == '/items/0/price: expected a number, got "12" (a string)'
    assert text[problem["start"] : problem["end"]] == '"12"'
    (here / "list.json").write_text('{"type": "array"}')
    assert called("--schema", "list.json", "[1]").exit_code == 0, "the schema says what the root is"


def test_check_joins_a_schema_with_other_evaluators(here: Path) -> None:
    done = called("--json", "--schema", "ticket.json", "--evaluator", "extras", "{}")
    assert verdicts(done) == [("extras", True), ("json_schema", False)]
    (here / "date.json").write_text('{"format": "date"}')
    strict = "json_schema:assert_formats=true"
    assert called("--schema", "date.json", '"soon"').exit_code == 0
    done = called("--json", "--schema", "date.json", "--evaluator", strict, '"soon"')
    assert verdicts(done) == [("json_schema", False)]
    done = called("--schema", "date.json", "--evaluator", "json_schema:schema=x.json", "{}")
    assert (done.exit_code, done.stderr) == (
        2,
        "error: 'json_schema:schema=x.json': json_schema: the schema is given twice; give one\n",
    )


@pytest.mark.parametrize("spec", ["none.json", "shop_models:Tickt", "shop_raises:X"])
def test_check_s_faults_are_one_sentence(here: Path, spec: str) -> None:
    done = called("--schema", spec, "{}")
    assert done.exit_code == 2
    lines = [line for line in done.stderr.splitlines() if line != "imported"]
    assert len(lines) == 1
    assert lines[0].startswith(f"error: --schema: {spec}: ")


def test_the_command_finds_modules_of_the_current_directory(here: Path) -> None:
    # The script's own folder, not the current directory, comes first for an installed command.
    code = "import sys; sys.path[:] = [p for p in sys.path if p]; " + (
        "from fmtharness.harness.cli import main; main()"
    )
    command = [sys.executable, "-c", code, "check", "--schema", "shop_models:Ticket", "{}"]
    environment = {**os.environ, "PYTHONPATH": import_path(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert 'the key "kind" is missing' in done.stdout


# Workers and options


def test_an_evaluator_is_rebuilt_from_its_options(here: Path) -> None:
    from fmtharness.harness.records import Completion

    for spec in ("shop_models:Ticket", "ticket.json"):
        first = build("evaluators", f"json_schema:schema={spec}")
        second, faults = check(type(first), first.model_dump(mode="json"), "json_schema")
        assert faults == []
        assert second is not None
        for judge in (first, second):
            assert judge.evaluate(None, Completion(example_id="1", text='{"kind": "a"}')).passed
            assert not judge.evaluate(None, Completion(example_id="1", text="{}")).passed


def test_workers_judge_by_a_model(here: Path) -> None:
    rows = [
        json.dumps({"text": f'{{"kind": {"1" if n % 4 else json.dumps("a")}}}'}) for n in range(40)
    ]
    (here / "rows.jsonl").write_text("\n".join(rows))
    options = ["--completions", "rows.jsonl", "--processes", "2", "--json"]
    spec = "json_schema:schema=shop_models:Ticket"
    code = "import sys; sys.path[:] = [p for p in sys.path if p]; " + (
        "from fmtharness.harness.cli import main; main()"
    )
    command = [sys.executable, "-c", code, "eval", *options, "--evaluator", spec]
    environment = {**os.environ, "PYTHONPATH": import_path(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rate = json.loads(done.stdout)["json_schema"]["metrics"]["schema_valid_rate"]
    assert (rate["numerator"], rate["denominator"]) == (10, 40)


# Gates

GATE = """
completions = "rows.jsonl"
{keys}
[thresholds.json_schema]
schema_valid_rate = {{ min = 1.0 }}
[thresholds.json_strict]
format_success_rate = {{ min = 1.0 }}
"""


def gate(folder: Path, keys: str, text: str = GATE) -> Path:
    path = folder / "own.fmt.toml"
    path.write_text(text.format(keys=keys))
    return path


@pytest.mark.parametrize("spec", ["list.json", "shop_models:ADAPTER"])
def test_a_gate_takes_a_schema_relative_to_itself(
    here: Path, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = here / "gates"
    folder.mkdir()
    (folder / "list.json").write_text('{"type": "array", "items": {"type": "integer"}}')
    (folder / "rows.jsonl").write_text('{"id": "1", "text": "[1]"}\n{"id": "2", "text": "[null]"}')
    found = judge_gate(read_gate(gate(folder, f'schema = "{spec}"')))
    failure = found["json_schema.schema_valid_rate.min"].failure
    assert "/0: expected an integer, got null" in failure
    assert found["json_strict.format_success_rate.min"].failure == "", "any root"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ('schema = "none.json"', "[thresholds] json_schema: "),
        ('schema = "shop_models:Tickt"', "has no 'Tickt', did you mean 'Ticket'?"),
        ("schema = 3", "schema = 3: "),
        ('shema = "ticket.json"', "has no key 'shema', did you mean 'schema'?"),
    ],
)
def test_a_gate_s_faulty_schema(here: Path, keys: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_gate(gate(here, keys))
    assert said in str(caught.value)


def test_a_gate_s_schema_that_nothing_needs(here: Path) -> None:
    text = GATE.replace("[thresholds.json_schema]\nschema_valid_rate = {{ min = 1.0 }}", "")
    with pytest.raises(ConfigError, match="has the key 'schema', but no threshold needs it"):
        read_gate(gate(here, 'schema = "ticket.json"', text))


def test_a_gate_joins_its_schema_with_options(here: Path) -> None:
    (here / "date.json").write_text('{"format": "date"}')
    keys = 'schema = "date.json"\nevaluators = ["json_schema:assert_formats=true"]'
    (here / "rows.jsonl").write_text(json.dumps({"id": "1", "text": '"soon"'}))
    found = judge_gate(read_gate(gate(here, keys)))
    assert "schema_format" in found["json_schema.schema_valid_rate.min"].failure


# assert_format


class Ticket(BaseModel):
    kind: str
    price: float = 0


@pytest.mark.parametrize(
    "schema",
    [
        Ticket,
        TypeAdapter(Ticket),
        Ticket.model_json_schema(),
        "ticket.json",
        Path("ticket.json"),
        "shop_models:Ticket",
    ],
)
def test_assert_format_takes_a_schema(here: Path, assert_format: AssertFormat, schema: Any) -> None:
    strict, fits = assert_format('{"kind": "a"}', schema=schema)
    assert (strict.evaluator, fits.evaluator) == ("json_strict", "json_schema")
    with pytest.raises(pytest.fail.Exception, match='the key "kind" is missing'):
        assert_format("{}", schema=schema)
    with pytest.raises(pytest.fail.Exception, match="the text fails json_strict, json_schema"):
        assert_format("{,}", schema=schema)


def test_assert_format_shows_the_place(assert_format: AssertFormat) -> None:
    with pytest.raises(pytest.fail.Exception) as caught:
        assert_format('{"kind": "a", "price": "12"}', schema=Ticket)
    assert str(caught.value).startswith(
        "the text fails json_schema\n"
        'schema_type: /price: expected a number, got "12" (a string)\n'
        " --> text:1:24\n"
    )
    assert assert_format("[]", schema={"type": "array"})[1].passed, "any root"
    (only,) = assert_format("[]", "json_array", schema=True)[1:]
    assert only.passed


@pytest.mark.parametrize("schema", ["none.json", "nowhere:X", 3, [1], {"type": "strin"}])
def test_assert_format_s_faulty_schema(assert_format: AssertFormat, schema: Any) -> None:
    with pytest.raises(pytest.fail.Exception) as caught:
        assert_format("{}", schema=schema)
    assert "\n" not in str(caught.value)


def test_what_has_no_schema() -> None:
    assert schema_of_model({"type": "null"}) == {"type": "null"}
    for wrong in (3, None, [1], "text", json, AssertFormat):
        with pytest.raises(UserError, match="expected a Pydantic model"):
            schema_of_model(wrong)


# Consent


@pytest.mark.parametrize(
    "override",
    [
        'eval.evaluators=["json_schema:schema=shop_models:Ticket"]',
        'eval.evaluators=["json_schema:schema_file=shop_models:Ticket"]',
    ],
)
def test_a_run_s_folder_names_no_code(here: Path, override: str) -> None:
    config = load_config(overrides=[override])
    path = here / "config.toml"
    path.write_text(config.toml())
    sys.modules.pop("shop_models", None)
    with pytest.raises(ConfigError) as caught:
        load_config(path, asked=False)
    assert "'shop_models:Ticket' is code, and a run's folder cannot choose what runs" in str(
        caught.value
    )
    assert "shop_models" not in sys.modules
    assert load_config(path).evaluators[0].name == "json_schema"


def test_a_run_s_folder_may_name_a_schema_s_file(here: Path) -> None:
    config = load_config(overrides=['eval.evaluators=["json_schema:schema=ticket.json"]'])
    (here / "config.toml").write_text(config.toml())
    assert load_config(here / "config.toml", asked=False).evaluators == config.evaluators


def test_an_option_of_any_component_that_names_a_schema_is_looked_at(here: Path) -> None:
    from fmtharness.harness.config.sections import unasked_code

    tables = {"mix": [{"schema": "shop_models:Ticket"}, {"schema": "ticket.json"}], "n": "a:b"}
    (line,) = unasked_code(tables, "config.toml: [data]")
    assert line.startswith("config.toml: [data] schema: 'shop_models:Ticket' is code")
