"""Reads a user's rows as Examples.

form_of(Source("rows.jsonl"))      "prompt-completion"
[*rows(Source("rows.jsonl"))]      [Row(1, {"prompt": ..., ...}, Example(id="1", ...)), ...]
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from fmtharness.harness.errors import DataError
from fmtharness.harness.formats import DEFAULT_FORMAT
from fmtharness.harness.records import Example, Message, decode, numbered_lines


class Source(msgspec.Struct, frozen=True):
    """Where rows are, and how to read them."""

    name: str
    """A file, or a dataset of the hub as `hf:owner/name:split`."""
    form: str | None = None
    """The form of the rows; recognised if not set."""
    format: str | None = None
    """The Format of the targets, such as `json:root=array`; if not set that of the row, else JSON.
    """
    schema: dict[str, Any] | None = None
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
    """The form of the rows, by the first of them."""
    for _, raw in itertools.islice(_raw(source), 1):
        return "example" if "id" in raw else "prompt"
    raise DataError(f"{source.name}: there is no row in it")


def rows(source: Source) -> Iterator[Row]:
    """The rows in their order. Raises DataError for the first that can't be read, with its line."""
    form = source.form or form_of(source)
    for line, raw in itertools.islice(_raw(source), source.limit):
        if form == "example":
            example = msgspec.convert(raw, Example)
        else:
            prompt = (Message("user", raw["prompt"]),)
            example = Example(id=str(line), prompt=prompt, format=source.format or DEFAULT_FORMAT)
        yield Row(line, raw, example)


def examples(source: Source) -> Iterator[Example]:
    """The rows as Examples."""
    return (row.example for row in rows(source))


def _raw(source: Source) -> Iterator[tuple[int, dict[str, Any]]]:
    decoder = msgspec.json.Decoder(dict[str, Any])
    for number, line in numbered_lines(Path(source.name)):
        yield number, decode(decoder, line)
