"""convert: rows in another notation become a record or a table.

    order id,city
    A-2031,Oslo
        ->  {"order_id": "A-2031", "city": "Oslo"}

The notations are drawn so that none is the Format's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fmtharness.generators.context import Context, Draft, Wording
from fmtharness.generators.families.table import row_count, rows_value
from fmtharness.generators.values import surface

ASK: Wording = {
    "train": (
        "Convert this {notation} to {keys}.",
        "Translate the {notation} into {keys}.",
        "Here is {notation}; the keys are {keys}.",
        "Rewrite this {notation} with the keys {keys}.",
        "I have some {notation} here. I want {keys}.",
        "Read the {notation} and give me {keys}.",
        "Parse the {notation}. The names to use are {keys}.",
        "{keys}: take these from the {notation}.",
    ),
    "dev": (
        "Bring the {notation} into {keys}.",
        "From this {notation} make {keys}.",
        "You get {notation} below; the wanted fields are {keys}.",
    ),
    "eval": (
        "This {notation} should become {keys}.",
        "Change the format of the {notation} below, using {keys}.",
        "Take this {notation} and restate it as {keys}.",
        "Reformat the {notation}; fields {keys}.",
    ),
}
Rows = Sequence[Sequence[str]]


def _csv(header: Sequence[str], rows: Rows) -> str:
    return "\n".join(",".join(row) for row in (header, *rows))


def _semicolons(header: Sequence[str], rows: Rows) -> str:
    return "\n".join("; ".join(row) for row in (header, *rows))


def _markdown(header: Sequence[str], rows: Rows) -> str:
    rule = ["---"] * len(header)
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *rows))


def _xml(header: Sequence[str], rows: Rows) -> str:
    tags = [name.replace(" ", "_") for name in header]
    return "\n".join(
        "".join(f"<{tag}>{cell}</{tag}>" for tag, cell in zip(tags, row, strict=True))
        for row in rows
    )


def _settings(header: Sequence[str], rows: Rows) -> str:
    return "\n\n".join(
        "\n".join(f"{name}={cell}" for name, cell in zip(header, row, strict=True)) for row in rows
    )


NOTATIONS: dict[str, Callable[[Sequence[str], Rows], str]] = {
    "CSV": _csv,
    "semicolon table": _semicolons,
    "markdown table": _markdown,
    "XML": _xml,
    "INI": _settings,
}
QUOTABLE = ("CSV", "semicolon table", "INI")


def make(context: Context) -> Draft:
    """One row becomes a record; sometimes two or three become a table."""
    dice = context.dice
    own = context.format.name.replace("_", " ").casefold()
    notation = dice.choice([name for name in NOTATIONS if name.casefold() != own])
    shapes = context.abilities.shapes
    exacting = context.strictness != "easy"
    many = "table" in shapes and ("record" not in shapes or (exacting and dice.chance(0.25)))
    schema = context.schema(2, 3) if many else context.schema(3, 4)
    records = [context.values(schema) for _ in range(row_count(context, schema) if many else 1)]
    cell = context.written if notation in QUOTABLE else surface
    rows = [[cell(value) for value in record.values()] for record in records]
    source = NOTATIONS[notation](schema.keys, rows)
    ask = context.say(ASK, notation=notation, keys=", ".join(schema.keys))
    if not many:
        return Draft("convert", "record", schema.id, records[0], ask, source)
    value, schema_id, under = rows_value(context, schema, records)
    return Draft("convert", "table", schema_id, value, f"{ask} {under}".strip(), source)
