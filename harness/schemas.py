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

from fmtharness.harness.errors import ConfigError, DataError, UserError
from fmtharness.harness.files import near_miss
from fmtharness.harness.options import check, why_not
from fmtharness.harness.plugins import component
from fmtharness.harness.text import did_you_mean, one_line

Schema = dict[str, Any] | bool
"""`true` and `false` are schemas, too: everything fits, nothing fits."""

SCHEMA_EVALUATOR: Final = "json_schema"
"""The evaluator that holds texts to its option `schema`."""
ANY_JSON: Final = "json_strict:root=any"
"""The evaluator that goes with it: the schema says what the root is."""
_CODE: Final = re.compile(r"(?!\d)[\w.]+:(?!\d)[\w.]+").fullmatch


def names_code(spec: object) -> bool:
    """Whether this spec is `package.module:Model`; a file of such a name is `./name`."""
    return isinstance(spec, str) and _CODE(spec) is not None


def named_from(file: Path, spec: str) -> str:
    """The spec as it is meant in this file: a path is relative to the file's folder."""
    return spec if names_code(spec) else str(file.parent / spec)


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


def by_schema(schema: str | Schema, options: Mapping[str, Any], where: str) -> Any:
    """The evaluator that holds texts to a schema; ConfigError if the options do not fit."""
    if "schema" in options:
        raise ConfigError(f"{where}: the schema is given twice; give one")
    table = {**options, "schema": schema}
    instance, faults = check(component("evaluators", SCHEMA_EVALUATOR), table, where)
    if instance is None:
        raise ConfigError("\n".join(faults))
    return instance


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
            raise UserError(f"expected a Pydantic model, got a {type(model).__name__}")
        else:
            found = TypeAdapter(model).json_schema()
    except PydanticUserError as error:
        raise UserError(
            f"expected a Pydantic model, got what has no JSON Schema ({one_line(error.message)})"
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
        near = f", did you mean {meant!r}?" if (meant := _as_code(path)) else near_miss(path)
        raise UserError(f"it cannot be read ({error.strerror}){near}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"it is not UTF-8: {error.reason} at byte {error.start}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"it is not JSON: {why_not(error)}") from None
    if not isinstance(loaded, dict | bool):
        raise UserError("it holds no JSON Schema, which is an object, or true or false")
    return loaded


def _as_code(path: Path) -> str:
    """`app.models:Ticket` for `app/models.py:Ticket` and `app.models.Ticket`, if they are that."""
    file, colon, attribute = str(path).rpartition(":")
    if colon and file.endswith(".py") and Path(file).is_file():
        return f"{'.'.join(Path(file).with_suffix('').parts)}:{attribute}"
    name, _, attribute = str(path).rpartition(".")
    module = Path(*name.split("."))
    found = name and (module.is_dir() or module.with_suffix(".py").is_file())
    return f"{name}:{attribute}" if found else ""


def _of_module(name: str, attribute: str) -> Schema:
    # What a module prints when it is imported is no result of the command.
    with importable(Path.cwd()), contextlib.redirect_stdout(sys.stderr):
        found: Any = _imported(name)
        owner = f"module {name}"
        for step in attribute.split("."):
            if not hasattr(found, step):
                raise UserError(f"{owner} has no {step!r}{did_you_mean(step, dir(found))}")
            found, owner = getattr(found, step), step
        return schema_of_model(found)


def _imported(name: str) -> ModuleType:
    try:
        __import__(name)
        return sys.modules[name]
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if not f"{name}.".startswith(f"{missing}."):
            raise UserError(f"module {name} needs {missing}, which is not installed") from None
        raise UserError(f"there is no module {missing!r}{_near(missing)}") from None
    except (Exception, SystemExit) as error:
        raise UserError(f"module {name} cannot be imported ({_said(error)})") from None


def _near(missing: str) -> str:
    """Where the module is, or which one may be meant."""
    parent, _, last = missing.rpartition(".")
    if last == "py":
        return f", did you mean {parent!r}?"
    if not parent and any(Path("src", name).exists() for name in (last, f"{last}.py")):
        return (
            f" on the path, but src/{last} is there: install the project with `pip install -e .`, "
            f"or set PYTHONPATH=src"
        )
    around = getattr(sys.modules.get(parent), "__path__", None) if parent else None
    known = [each.name for each in pkgutil.iter_modules(around)]
    return did_you_mean(missing, [f"{parent}.{name}" if parent else name for name in known])


@contextlib.contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Inside, modules of this folder can be imported, before all others."""
    sys.path.insert(0, here := str(folder))
    try:
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
