"""table: several short records become the rows of a table.

    One row per line, each with guest, nights, under rows.
    1. guest Ada Lopez, nights 4
    2. guest Omar Chen, nights 2
        ->  {"rows": [{"guest": "Ada Lopez", "nights": 4}, {"guest": "Omar Chen", "nights": 2}]}

In a Format whose root is the table itself (CSV), the rows stand alone and no name is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fmtharness.generators.context import Context, Draft, Wording
from fmtharness.generators.ownership import divide
from fmtharness.generators.schemas import Schema
from fmtharness.generators.values import Scalar

NAMES = divide("""
    items rows entries records results lines data members hits bundle batch set parts elements
""")
ASK: Wording = {
    "train": (
        "One row per line, each with {keys}.",
        "Make a table of these; columns {keys}.",
        "Give every line as a row with {keys}.",
        "Turn the lines into rows: {keys}.",
    ),
    "dev": (
        "Each line below makes one row: {keys}.",
        "Write the lines as a table having {keys}.",
        "All of these are rows; their fields are {keys}.",
    ),
    "eval": (
        "Tabulate what is below with {keys} for each.",
        "For every entry report {keys}.",
        "These become records having {keys}.",
        "Restructure all of them, each as {keys}.",
    ),
}
UNDER: Wording = {
    "train": ("The rows go under {name}.", "Put the rows in {name}."),
    "dev": ("Use {name} as the name for the rows.", "The key for all of them is {name}."),
    "eval": ("They are listed in {name}.", "Hold them all in {name}."),
}
LINE: Wording = {
    "train": ("{number}. {cells}", "* {cells}"),
    "dev": ("{number}) {cells}", "+ {cells}"),
    "eval": ("- {cells}", "#{number} {cells}"),
}
CELL: Wording = {
    "train": ("{label} {value}", "{label}: {value}"),
    "dev": ("{label} as {value}", "{label} ~ {value}"),
    "eval": ("{label} = {value}", "{label} is {value}"),
}


def make(context: Context) -> Draft:
    """Two or three rows of two or three fields, written alike."""
    schema = context.schema(2, 3)
    records = [context.values(schema) for _ in range(row_count(context, schema))]
    line, cell = context.one_of(LINE), context.one_of(CELL)
    told = []
    for number, record in enumerate(records, 1):
        cells = ", ".join(
            context.say(cell, label=field.label, value=context.written(record[field.key]))
            for field in schema.fields
        )
        told.append(context.say(line, number=number, cells=cells))
    ask = context.say(ASK, keys=", ".join(schema.keys))
    value, schema_id, under = rows_value(context, schema, records)
    return Draft("table", "table", schema_id, value, f"{ask} {under}".strip(), "\n".join(told))


def row_count(context: Context, schema: Schema) -> int:
    """Two rows or three; two where they are wide, so that an answer stays within 128 tokens."""
    return context.dice.between(2, 3 if len(schema.fields) == 2 else 2)


def rows_value(
    context: Context, schema: Schema, records: Sequence[Mapping[str, Scalar]]
) -> tuple[object, str, str]:
    """The table in the Format's way: its value, its schema id, and the words that name its key."""
    if not context.abilities.table_in_object:
        return list(records), f"[{schema.id}]", ""
    name = context.dice.choice(NAMES[context.split])
    return {name: list(records)}, f"{name}[{schema.id}]", context.say(UNDER, name=name)
