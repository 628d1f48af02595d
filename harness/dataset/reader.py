"""Reads a user's rows as Examples.

form_of(Source("rows.jsonl"))      "prompt-completion"
[*rows(Source("rows.jsonl"))]      [Row(1, {"prompt": ..., ...}, Example(id="1", ...)), ...]
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from fmtharness.harness.dataset.files import HUB, are_json_lines, raw_rows, unit_of
from fmtharness.harness.dataset.forms import FORMS, Data, Parts, fits, recognise
from fmtharness.harness.dataset.keys import advice, form_and_columns, nearest_form, overlooked
from fmtharness.harness.dataset.messages import called
from fmtharness.harness.errors import DataError, UserError
from fmtharness.harness.formats import DEFAULT_FORMAT, options_of
from fmtharness.harness.options import build
from fmtharness.harness.plugins import component
from fmtharness.harness.progress import say
from fmtharness.harness.records import NO_FORMAT, OPEN, Example, Message, read_records
from fmtharness.harness.schemas import Schema
from fmtharness.harness.text import one_line

EXAMPLE = "example"
TOOL_CALL = "tool_call"
MOST_KEYS = 12
"""How many of a row's keys an error names."""


class Source(msgspec.Struct, frozen=True):
    """Where rows are, and how to read them."""

    name: str
    """A file, or a dataset of the hub as `hf:owner/name:split`."""
    form: str | None = None
    """The form of the rows, with the columns that hold its keys if these have other names, such as
    `prompt-completion:prompt=question,completion=answer`; recognised if not set."""
    format: str | None = None
    """The Format of the targets, such as `json:root=array`; if not set that of the row, else JSON.
    `none` for rows that ask for no format.
    """
    schema: Schema | None = None
    """A JSON Schema for all targets; if not set that of the row."""
    limit: int | None = None
    """Read only the first so many rows."""


class Row(NamedTuple):
    """One row, as it stands and as an Example."""

    line: int
    """Its line in the file, or its place in an array or a table, from 1."""
    raw: dict[str, Any]
    example: Example


def form_of(source: Source) -> str:
    """The form of the rows, by the first of them.

    Raises DataError for an unknown form, and if there is no row.
    """
    if source.form is not None:
        return _known(source)[0]
    for line, raw in raw_rows(source.name):
        return _recognised(source, line, raw)
    what = "Example" if source.name.endswith(".jsonl") else "row"
    raise DataError(f"{source.name}: there is no {what} in it")


def rows(source: Source, *, parse: bool = True) -> Iterator[Row]:
    """The rows in their order, with a note on the form that was recognised.

    Without `parse` no target is read as a value. Raises DataError for the first row that cannot be
    read, with its line.
    """
    form = form_of(source)
    example_of = _Reader(source, form, parse=parse)
    count = 0
    for line, raw in itertools.islice(raw_rows(source.name), source.limit):
        yield Row(line, raw, example_of(line, raw))
        count += 1
    if source.form is None and form != EXAMPLE:
        counted = "1 row" if count == 1 else f"{count:,} rows"
        _say_once(f"{source.name}: {counted}, read as {FORMS[form].title} ({form})")


def examples(source: Source) -> Iterator[Example]:
    """The rows as Examples."""
    own = source.format is None and source.schema is None and are_json_lines(source.name)
    form = form_of(source) if own else None
    if form != EXAMPLE:
        return (row.example for row in rows(source))
    # Decoded at once, without the row as plain data, they take a third of the time.
    checked = _Reader(source, form, parse=True).checked
    read = read_records(Path(source.name), Example)
    return (checked(example) for example in itertools.islice(read, source.limit))


def reader_of(source: Source, form: str, *, parse: bool) -> Callable[[int, Any], Example]:
    """What makes a line's number and its row an Example; it raises as `rows` does."""
    return _Reader(source, form, parse=parse)


def target_of(source: Source, line: int, raw: dict[str, Any]) -> str | None:
    """The target in one row, as text; None if it has none. `source.form` must be set."""
    return _Reader(source, form_of(source), parse=False)(line, raw).completion


def where(source: Source, line: int) -> str:
    """A row's place, as errors name it: `rows.jsonl, line 3`."""
    return f"{source.name}, {unit_of(source.name)} {line}"


def normalised(prompt: Iterable[Message]) -> str:
    """A prompt in lower case, with one space for all white space: equal ones ask the same."""
    return "\0".join(f"{turn.role} {' '.join(turn.content.lower().split())}" for turn in prompt)


_said: set[str] = set()


def _say_once(note: str) -> None:
    """The same file may be read several times by one command."""
    if note not in _said:
        _said.add(note)
        say(note)


def _known(source: Source) -> tuple[str, dict[str, str]]:
    try:
        return form_and_columns(source.form or "")
    except ValueError as error:
        raise DataError(f"{source.name}: {error}") from error


def _recognised(source: Source, line: int, raw: Any) -> str:
    """The form of a row; DataError if it has none."""
    if not isinstance(raw, dict):
        raise DataError(f"{where(source, line)}: a row must be an object, not {raw!r:.60}")
    form = recognise(raw)
    if form is None:
        near = nearest_form(raw)
        raise DataError(
            f"{where(source, line)}: its keys ({_keys(raw)}) are those of no form; the nearest is "
            f"{near.title} ({near.name}) with {' and '.join(near.needs)}: {advice(raw)}"
        )
    if form in ("prompt", "text") and (why := overlooked(form, raw)):
        raise DataError(f"{where(source, line)}: {why}")
    return form


def _keys(raw: Mapping[str, Any]) -> str:
    named = [one_line(str(key), 40) for key in itertools.islice(raw, MOST_KEYS)]
    return ", ".join([*named, "..."] if len(raw) > MOST_KEYS else named) or "none"


class _Reader:
    """Makes the rows of one source into Examples."""

    def __init__(self, source: Source, form: str, *, parse: bool) -> None:
        self.source, self.form, self.parse = source, FORMS[form], parse
        self.forced = source.form is not None
        self.columns = _known(source)[1] if self.forced else {}
        self.needs = frozenset(self.columns.get(key, key) for key in self.form.needs)
        self.ids: set[str] = set()
        self.numbered = 0
        """The last line whose number is its row's id, before any row had an id of its own."""
        self.formats: dict[Any, _Target] = {}

    def __call__(self, line: int, raw: Any) -> Example:
        if not isinstance(raw, dict):
            raise DataError(f"{where(self.source, line)}: a row must be an object, not {raw!r:.60}")
        if not (self.needs <= raw.keys() if self.forced else fits(self.form.name, raw)):
            raise self._misfit(line, raw)
        try:
            if self.form.name == EXAMPLE:
                return self.checked(msgspec.convert(raw, Example))
            columns = self.columns.items()
            named = {key: raw[column] for key, column in columns if column in raw}
            return self._example(line, {**raw, **named} if named else raw)
        except ValueError as error:
            kind = "no Example: " if self.form.name == EXAMPLE else ""
            raise DataError(f"{where(self.source, line)}: {kind}{error}") from error
        except (AttributeError, KeyError, TypeError) as error:
            raise DataError(
                f"{where(self.source, line)}: it is not as rows of {self.form.title} are "
                f"({self.form.name}): {type(error).__name__}: {error}"
            ) from error

    def _misfit(self, line: int, raw: dict[str, Any]) -> DataError:
        at, form = where(self.source, line), self.form
        if form.name == EXAMPLE:
            at += ": no Example"
        needs = [self.columns.get(key, key) for key in form.needs]
        if lacking := [key for key in needs if key not in raw]:
            unsure = "" if self.forced else f", as which the first row was read ({form.name})"
            found = None if self.forced else recognise(raw)
            other = f" but those of {FORMS[found].title} ({found})" if found else ""
            return DataError(
                f"{at}: its keys ({_keys(raw)}) are not those of {form.title}{unsure}{other}: it "
                f"lacks {' and '.join(lacking)}; write null for what is not known"
            )
        found = _recognised(self.source, line, raw)
        return DataError(
            f"{at}: its keys ({_keys(raw)}) are those of {FORMS[found].title} ({found}), and the "
            f"first row is of {form.title} ({form.name}); say form = {form.name!r} to read all "
            f"as these"
        )

    def checked(self, example: Example) -> Example:
        """An own Example with what the source sets, and its target read if its value is not there.

        The target of one with the tag `open` is one of many right answers and no value.

        Raises DataError for an id that occurs twice.
        """
        if example.id in self.ids:
            raise DataError(
                f"{self.source.name}: two Examples have the id {example.id!r}; ids must be unique"
            )
        self.ids.add(example.id)
        source, changed = self.source, dict[str, Any]()
        if source.format is not None:
            target = self._format(source.format, None)
            changed["format"], changed["format_options"] = target.name, target.options
        if source.schema is not None:
            changed["tags"] = {**example.tags, "json_schema": source.schema}
        if changed:
            example = msgspec.structs.replace(example, value=msgspec.UNSET, **changed)
        if example.value is not msgspec.UNSET or example.completion is None or not self.parse:
            return example
        if example.tags.get(OPEN):
            return example
        options = json.dumps(example.format_options, sort_keys=True)
        read = self._format(example.format, options)
        return msgspec.structs.replace(example, value=_value(read, example.completion))

    def _example(self, line: int, raw: dict[str, Any]) -> Example:
        parts = self.form.read(raw)
        schema = self.source.schema if self.source.schema is not None else parts.schema
        tags = parts.tags
        if schema is not None:
            tags["json_schema"] = schema
        answer = parts.answer
        calls = isinstance(answer, Message) and bool(answer.tool_calls)
        spec, root = self._asked_format(parts, schema, calls=calls)
        target = self._format(spec, root)
        completion = None if answer is None else self._text(answer, target)
        rejected = None if parts.rejected is None else self._text(parts.rejected, target)
        parse = completion is not None and self.parse
        return Example(
            id=self._id(line, raw),
            prompt=parts.prompt,
            completion=completion,
            rejected=rejected,
            format=target.name,
            value=_value(target, completion) if parse and completion is not None else msgspec.UNSET,
            tools=parts.tools,
            format_options=target.options,
            tags=tags,
        )

    def _asked_format(
        self, parts: Parts, schema: Schema | None, *, calls: bool
    ) -> tuple[str, str | None]:
        """The spec of a row's format, and which options its schema adds."""
        if self.source.format is not None:
            return self.source.format, None
        if calls:
            return TOOL_CALL, None
        if schema is None and parts.free:
            return NO_FORMAT, None
        return DEFAULT_FORMAT, None if schema is None else _root_options(schema)

    def _text(self, answer: Message | Data, target: _Target) -> str:
        """A target as text. Raises ValueError for data that its Format cannot write."""
        if isinstance(answer, Message):
            return _written(answer, target.name, target.options)
        shown = one_line(repr(answer.value), 60)
        if self.source.name.startswith(HUB) or self.source.name.lower().endswith(".parquet"):
            # Their columns have all keys in all rows, so which of them a row lacks is not known.
            raise ValueError(f"the target is data ({shown}); write it as a text in that column")
        if target.built is None:
            raise ValueError(f"the target is data ({shown}), and format none takes only a text")
        try:
            return str(target.built.render(answer.value))
        except ValueError as error:
            raise ValueError(
                f"the target is data ({shown}), which format {target.name} does not write ({error})"
                f"; write it as a text"
            ) from error

    def _format(self, spec: str, options: str | None) -> _Target:
        """A Format with its options; `options` are more of them as JSON."""
        known = self.formats.get((spec, options))
        if known is None:
            known = self.formats[spec, options] = self._built(spec, options)
        return known

    def _built(self, spec: str, options: str | None) -> _Target:
        if spec == NO_FORMAT:
            return _Target(NO_FORMAT, {}, None)
        try:
            built: Any = build("formats", spec, where="format")
            if options:
                given = json.loads(options)
                built = component("formats", built.name).model_validate_json(
                    json.dumps({**given, **built.model_dump(mode="json", exclude_unset=True)})
                )
        except UserError as error:
            raise ValueError(str(error)) from error
        return _Target(built.name, options_of(built), built)

    def _id(self, line: int, raw: dict[str, Any]) -> str:
        for key in ("id", "custom_id", "doc_id"):
            given = raw.get(key)
            if isinstance(given, str) and given:
                break
            if isinstance(given, int) and not isinstance(given, bool):
                given = str(given)
                break
        else:
            given = str(line)
            if not self.ids:
                self.numbered = line
                return given  # lines differ, so they need not be remembered
        if given.isdecimal() and int(given) <= self.numbered:
            self.ids.add(given)  # an earlier line has this number
        name, again = given, itertools.count(2)
        while name in self.ids:
            name = f"{given}-{line}" if name == given else f"{given}-{line}-{next(again)}"
        self.ids.add(name)
        return name


class _Target(NamedTuple):
    """The format of a target: its name, its options, and the Format; None for none."""

    name: str
    options: dict[str, Any]
    built: Any


def _value(target: _Target, text: str) -> Any:
    """What the text means in its format; UNSET if nothing strict."""
    if target.built is None:
        return msgspec.UNSET
    parsed = target.built.parse(text)
    return parsed.value if parsed.ok else msgspec.UNSET


def _written(answer: Message, name: str, options: dict[str, Any]) -> str:
    """A target's text; its tool calls as the Format tool_call writes them, with its options.

    Raises ValueError for a turn that holds both.
    """
    if not answer.tool_calls:
        return answer.content
    if answer.content.strip():
        raise ValueError("the answer holds a text and tool calls, and a target is one of both")
    value = called(answer.tool_calls)
    asked = options if name == TOOL_CALL else {}
    syntax = {key: option for key, option in asked.items() if key == "syntax"}
    # A Format may ask for a list of one call. A name that it does not allow, or arguments that are
    # not an object, are left to the target's judges.
    for chosen, calls in ((asked, value), (asked, [value]), (syntax, value)):
        with suppress(ValueError):
            return str(_tool_call(json.dumps(chosen)).render(calls))
    return json.dumps(value, ensure_ascii=False)


@lru_cache(maxsize=16)
def _tool_call(options: str) -> Any:
    return component("formats", TOOL_CALL).model_validate_json(options)


def _root_options(schema: Schema) -> str | None:
    """Options of JSON that let in what the schema does; None for the default, an object."""
    if isinstance(schema, bool):
        return None
    kind = schema.get("type")
    if kind == "object" or (kind is None and ("properties" in schema or not schema)):
        return None
    return json.dumps({"root": "array" if kind == "array" else "any"})
