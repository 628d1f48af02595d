"""JSON Schemas as users name them: a file, a Pydantic model, or what a row of data carries.

    load_schema("ticket.json")          -> {"type": "object", "properties": ...}
    load_schema("app.models:Ticket")    -> {"title": "Ticket", "type": "object", ...}
    load_schema("app.models:Tickt")     UserError("app.models:Tickt: module app.models has no
                                        'Tickt', did you mean 'Ticket'?")
    schema_of_row({"prompt": "...", "schema": '{"type": "array"}'})  -> {"type": "array"}

A module is imported only here, and only for a spec that a user wrote; no row's text names one.
"""

from __future__ import annotations

import contextlib
import json
import pkgutil
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Final

from fmtharness.harness.errors import DataError, UserError
from fmtharness.harness.files import near_miss
from fmtharness.harness.options import why_not
from fmtharness.harness.text import did_you_mean, one_line

Schema = dict[str, Any] | bool
"""`true` and `false` are schemas, too: everything fits, nothing fits."""

_CODE: Final = re.compile(r"(?!\d)[\w.]+:(?!\d)[\w.]+").fullmatch


def names_code(spec: object) -> bool:
    """Whether this spec is `package.module:Model`; a file of such a name is `./name`."""
    return isinstance(spec, str) and _CODE(spec) is not None


def load_schema(spec: str, where: str = "") -> Schema:
    """The schema in a JSON file, or that of `package.module:Model`.

    The model is a Pydantic model, a TypeAdapter, a dataclass or another type that Pydantic takes,
    or a schema that stands in the module as a dict. Raises UserError, with one sentence that
    starts with `where`.
    """
    try:
        return _of_module(*spec.split(":")) if names_code(spec) else _of_file(Path(spec))
    except UserError as error:
        raise UserError(f"{where}{': ' if where else ''}{spec}: {error}") from None


def schema_of_model(model: Any) -> Schema:
    """The schema of a Pydantic model or of another type; UserError if there is none."""
    if isinstance(model, dict | bool):
        return model
    from pydantic import BaseModel, TypeAdapter
    from pydantic.errors import PydanticUserError

    found: dict[str, Any]
    try:
        if isinstance(model, type) and issubclass(model, BaseModel):
            found = model.model_json_schema()
        elif isinstance(model, TypeAdapter):
            found = model.json_schema()
        elif isinstance(model, FunctionType | ModuleType | str | int | float | list | tuple | None):
            raise UserError(f"it is a {type(model).__name__}, and a Pydantic model is due")
        else:
            found = TypeAdapter(model).json_schema()
    except PydanticUserError as error:
        raise UserError(
            f"it has no JSON Schema, and a Pydantic model is due ({one_line(error.message)})"
        ) from None
    except Exception as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"its JSON Schema cannot be made ({_said(error)})") from None
    return found


def _of_file(path: Path) -> Schema:
    try:
        loaded = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"it cannot be read ({error.strerror}){near_miss(path)}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"it is not UTF-8: {error.reason} at byte {error.start}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"it is not JSON: {why_not(error)}") from None
    if not isinstance(loaded, dict | bool):
        raise UserError("it holds no JSON Schema, which is an object, or true or false")
    return loaded


def _of_module(name: str, attribute: str) -> Schema:
    with _here():
        found: Any = _imported(name)
        for step in attribute.split("."):
            if not hasattr(found, step):
                owner = f"module {name}" if isinstance(found, ModuleType) else found.__qualname__
                raise UserError(f"{owner} has no {step!r}{did_you_mean(step, dir(found))}")
            found = getattr(found, step)
        return schema_of_model(found)


def _imported(name: str) -> ModuleType:
    try:
        __import__(name)
        return sys.modules[name]
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if not f"{name}.".startswith(f"{missing}."):
            raise UserError(f"module {name} needs {missing}, which is not installed") from None
        parent, _, last = missing.rpartition(".")
        around = getattr(sys.modules.get(parent), "__path__", None) if parent else None
        near = did_you_mean(last, {each.name for each in pkgutil.iter_modules(around)})
        near = f", did you mean {parent!r}?" if last == "py" else near
        raise UserError(f"there is no module {missing!r}{near}") from None
    except (Exception, SystemExit) as error:
        raise UserError(f"module {name} cannot be imported ({_said(error)})") from None


@contextlib.contextmanager
def _here() -> Iterator[None]:
    """The current directory is importable, as for `python -m`; what is printed is no result."""
    sys.path.insert(0, here := str(Path.cwd()))
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(here)


def _said(error: BaseException) -> str:
    return one_line(f"{type(error).__name__}: {error}")


def schema_of_row(raw: Mapping[str, Any]) -> Schema | None:
    """The schema that a row of data brings, or None.

    It stands under `response_format` or `text.format` as OpenAI writes them, `structured_outputs`
    or `guided_json` as vLLM does, `json_schema` or `schema` as sets of JSON tasks do; in the row,
    its `body` or `extra_body`; as an object or as JSON. Raises DataError for what is no schema.
    """
    for place in (raw, raw.get("body"), raw.get("extra_body")):
        if isinstance(place, Mapping):
            found = _in_place(place)
            if found is not None:
                return found
    return None


def _in_place(row: Mapping[str, Any]) -> Schema | None:
    text = row.get("text")
    for key, asked in (
        ("response_format", row.get("response_format")),
        ("text.format", text.get("format") if isinstance(text, Mapping) else None),
    ):
        asked = _read(asked, key) if isinstance(asked, str) and asked[:1] == "{" else asked
        if isinstance(asked, Mapping) and asked.get("type") in ("json_schema", "json_object"):
            found = asked.get("json_schema", asked.get("schema"))
            if found is not None:
                return _schema(found, key)
            if asked["type"] == "json_schema":
                raise DataError(f"{key!r} has the type json_schema, but no schema")
            return {"type": "object"}
    outputs = row.get("structured_outputs")
    if isinstance(outputs, Mapping) and outputs.get("json") is not None:
        return _schema(outputs["json"], "structured_outputs.json")
    for key in ("guided_json", "json_schema"):
        if row.get(key) is not None:
            return _schema(row[key], key)
    plain = row.get("schema")
    if isinstance(plain, str) and plain.lstrip()[:1] != "{":
        return None  # such as the tables of a database
    return None if plain is None else _schema(plain, "schema")


def _schema(found: Any, key: str) -> Schema:
    """The schema itself, out of JSON and of OpenAI's wrapper of name, schema and strict."""
    found = _read(found, key) if isinstance(found, str) else found
    wrapper = {"name", "schema", "strict", "description", "type"}
    if isinstance(found, Mapping) and "schema" in found and found.keys() <= wrapper:
        return _schema(found["schema"], f"{key}.schema")
    if isinstance(found, bool):
        return found
    if not isinstance(found, Mapping):
        raise DataError(f"{key!r} is no JSON Schema, which is an object, or true or false")
    return dict(found)


def _read(text: str, key: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{key!r} is not JSON: {why_not(error)}") from None
