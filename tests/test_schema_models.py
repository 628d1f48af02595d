"""A team's Pydantic models as schemas: what their fields mean, and where modules are found."""

from __future__ import annotations

import datetime
import enum
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, constr, field_validator
from typing_extensions import TypedDict

from fmtharness.evaluators.json.schema import JsonSchema
from fmtharness.harness.errors import UserError
from fmtharness.harness.gates.pytest_plugin import AssertFormat
from fmtharness.harness.records import Completion, Verdict
from fmtharness.harness.schemas import load_schema, schema_of_model

type_item = TypeVar("type_item")


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = Field(ge=1, le=9)


class Dog(BaseModel):
    kind: Literal["dog"]


class Address(BaseModel):
    model_config = ConfigDict(extra="forbid")
    zip: str = Field(pattern=r"^\d{5}$")


class Ticket(BaseModel):
    color: Color = Color.RED
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] = Dog(kind="dog")
    address: Address | None = None
    start: str = Field("", alias="from")
    code: constr(min_length=2, max_length=3) = "ab"  # type: ignore[valid-type]
    price: Decimal = Decimal(1)

    @field_validator("start")
    @classmethod
    def _never_x(cls, text: str) -> str:
        if text == "x":
            raise ValueError("no x")
        return text


class Stamp(BaseModel):
    id: uuid.UUID
    day: datetime.date


class Tree(BaseModel):
    value: int
    children: list[Tree] = []


class Page(BaseModel, Generic[type_item]):
    items: list[type_item]


class Addresses(RootModel[list[Address]]):
    pass


class Row(TypedDict):
    a: int


@dataclass
class Point:
    x: int


def judged(model: Any, text: str, **options: Any) -> Verdict:
    judge = JsonSchema(schema=schema_of_model(model), **options)
    return judge.evaluate(None, Completion(example_id="1", text=text))


@pytest.mark.parametrize(
    ("model", "text", "said", "marked"),
    [
        (
            Ticket,
            '{"color": "rad"}',
            '/color: "rad" is none of "red", "blue", did you mean "red"?',
            '"rad"',
        ),
        (
            Ticket,
            '{"pet": {"kind": "cow"}}',
            '/pet/kind: "cow" is none of "cat", "dog"',
            '"cow"',
        ),
        (
            Ticket,
            '{"pet": {"kind": "cat", "lives": 10}}',
            "/pet/lives: expected at most 9, got 10",
            "10",
        ),
        (
            Ticket,
            '{"address": {"zip": "1"}}',
            r'/address/zip: "1" does not match the pattern "^\\d{5}$"',
            '"1"',
        ),
        (Ticket, '{"address": 4}', "/address: expected an object or null, got 4 (an integer)", "4"),
        (
            Ticket,
            '{"address": {"zip": "12345", "zap": 1}}',
            '/address/zap: the key "zap" is not allowed here, did you mean "zip"?',
            '"zap"',
        ),
        (Ticket, '{"from": 1}', "/from: expected a string, got 1 (an integer)", "1"),
        (
            Ticket,
            '{"code": "abcd"}',
            '/code: "abcd" has 4 characters; expected at most 3',
            '"abcd"',
        ),
        (
            Ticket,
            '{"price": []}',
            "/price: expected a number or a string, got an empty array",
            "[]",
        ),
        (
            Tree,
            '{"value": 1, "children": [{"value": 2, "children": [{"value": "3"}]}]}',
            '/children/0/children/0/value: expected an integer, got "3" (a string)',
            '"3"',
        ),
        (Page[Cat], '{"items": [1]}', "/items/0: expected an object, got 1 (an integer)", "1"),
        (Addresses, "[{}]", '/0: the key "zip" is missing', "{}"),
        (Row, '{"a": "1"}', '/a: expected an integer, got "1" (a string)', '"1"'),
        (Point, '{"x": null}', "/x: expected an integer, got null", "null"),
    ],
)
def test_what_a_field_means(model: Any, text: str, said: str, marked: str) -> None:
    [problem] = judged(model, text).problems
    assert (problem.message, text[problem.start : problem.end]) == (said, marked)


def test_what_json_schema_does_not_say() -> None:
    assert judged(Ticket, '{"from": "x"}').passed, "a validator is code"
    text = '{"id": "nope", "day": "today"}'
    assert judged(Stamp, text).passed, "the standard asserts no format unless it is asked to"
    strict = judged(Stamp, text, assert_formats=True)
    assert [each.message for each in strict.problems] == [
        '/id: "nope" is not of the format "uuid"',
        '/day: "today" is not of the format "date"',
    ]


def test_assert_format_joins_a_model_with_options(assert_format: AssertFormat) -> None:
    text = '{"id": "nope", "day": "2026-11-29"}'
    assert_format(text, schema=Stamp)
    with pytest.raises(pytest.fail.Exception, match='not of the format "uuid"'):
        assert_format(text, "json_schema:assert_formats=true", schema=Stamp)
    with pytest.raises(pytest.fail.Exception, match="pass schema= or example="):
        assert_format(text, "json_schema")
    with pytest.raises(pytest.fail.Exception, match="stands where nothing may stand"):
        assert_format(text, schema=False)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "src/shopsrc").mkdir(parents=True)
    (tmp_path / "shopflat").mkdir()
    (tmp_path / "tests").mkdir()
    for package in ("src/shopsrc", "shopflat"):
        (tmp_path / package / "__init__.py").write_text("")
        (tmp_path / package / "models.py").write_text("TICKET = {'type': 'object'}\n")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith(("shopsrc", "shopflat"))]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("shopsrc.models:TICKET", "src/shopsrc is there: install the project with"),
        ("shopflat/models.py:TICKET", "did you mean 'shopflat.models:TICKET'?"),
        ("shopflat.models.TICKET", "did you mean 'shopflat.models:TICKET'?"),
        ("shopflat.modles:TICKET", "did you mean 'shopflat.models'?"),
    ],
)
def test_the_way_to_a_module(folder: Path, spec: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        load_schema(spec)
    assert said in str(caught.value)


def test_a_package_below_src_that_is_on_the_path(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(folder / "src"))
    assert load_schema("shopsrc.models:TICKET") == {"type": "object"}
