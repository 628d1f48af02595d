"""Breaks rendered CSV the way models break it; each way is named by the label it is judged with.

    corruptions_of(",")["empty_column"]("a,b\\n1,2", Random(1)) -> ",b\\n1,2"

The text must be a valid table with this delimiter. A corruption that does not apply gives None.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from random import Random
from typing import Final

from fmtharness.evaluators.tables.csv_reader import DELIMITERS, Cell, Row, read, rows_of
from fmtharness.harness import surroundings
from fmtharness.harness.contracts import Corruption

_Way = Callable[[str, Random, str], str | None]


def corruptions_of(delimiter: str) -> Mapping[str, Corruption]:
    """Every way to break a table that has this delimiter."""

    def bound(way: _Way) -> Corruption:
        return lambda text, rng: way(text, rng, delimiter)

    def around(way: Corruption) -> Corruption:
        # With one column, an extra line is an extra row.
        return lambda text, rng: None if _width(text, delimiter) == 1 else way(text, rng)

    outside = dict(surroundings.CORRUPTIONS)
    outside |= {name: around(outside[name]) for name in ("text_before", "text_after")}
    return {**outside, **{name: bound(way) for name, way in _CORRUPTIONS.items()}}


def _width(text: str, delimiter: str) -> int:
    return len(rows_of(text, delimiter)[0][0].cells)


def _replaced(text: str, cell: Cell | Row, new: str) -> str:
    return text[: cell.start] + new + text[cell.end :]


def _cells(text: str, delimiter: str, first: int = 0) -> list[Cell]:
    return [cell for row in rows_of(text, delimiter)[0][first:] for cell in row.cells]


def _ragged_row(text: str, rng: Random, delimiter: str) -> str | None:
    rows = rows_of(text, delimiter)[0]
    cells = [cell for row in rows[1:] for cell in row.cells]
    if len(rows[0].cells) == 1:
        return None
    if bare := [
        c for c in cells if delimiter in c.value and not re.search(r'^\s|["\r\n]', c.value)
    ]:
        cell = rng.choice(bare)
        return _replaced(text, cell, cell.value)
    row = rng.choice(rows[1:])
    end = row.cells[-2].end
    if row is not rows[-1] and text[row.start : end] and rng.random() < 0.5:
        return text[:end] + text[row.end :]
    return text[: row.end] + delimiter + text[row.end :]


def _truncated(text: str, rng: Random, delimiter: str) -> str | None:
    quoted = [cell for cell in _cells(text, delimiter) if cell.quoted]
    if not quoted:
        return None
    cell = rng.choice(quoted)
    cut = rng.randrange(cell.start + 1, cell.end)
    # Half of a doubled quote would close the field.
    return text[: cut - text.count('"', cell.start + 1, cut) % 2]


def _bare_quote(text: str, rng: Random, delimiter: str) -> str | None:
    cells = [cell for cell in _cells(text, delimiter) if not cell.quoted and cell.value]
    if not cells:
        return None
    cell = rng.choice(cells)
    return _replaced(text, cell, f'{cell.value} "{rng.choice(["x", "new"])}"')


def _text_after_quote(text: str, rng: Random, delimiter: str) -> str | None:
    cell = rng.choice(_cells(text, delimiter))
    quoted = text[cell.start : cell.end] if cell.quoted else f'"{cell.value}"'
    return _replaced(text, cell, quoted + rng.choice(["x", " (new)", " "]))


def _backslash_escape(text: str, rng: Random, delimiter: str) -> str | None:
    for cell in _cells(text, delimiter):
        if '"' in cell.value and not re.search(r"[\\\r\n]", cell.value):
            return _replaced(text, cell, json.dumps(cell.value, ensure_ascii=False))
    return None


def _padded_field(text: str, rng: Random, delimiter: str) -> str | None:
    cells = [c for row in rows_of(text, delimiter)[0] for c in row.cells[1:]]
    if not cells:
        return None
    for cell in reversed(cells):
        text = _replaced(text, cell, " " + text[cell.start : cell.end])
    return text


def _wrong_delimiter(text: str, rng: Random, delimiter: str) -> str | None:
    others = [other for other in DELIMITERS if other not in text]
    rows = rows_of(text, delimiter)[0]
    empty = any(not any(text[c.start : c.end] for c in row.cells) for row in rows)
    if not others or empty or len(rows[0].cells) == 1:
        return None
    other = rng.choice(others)
    return "\n".join(other.join(text[c.start : c.end] for c in row.cells) for row in rows)


def _duplicate_column(text: str, rng: Random, delimiter: str) -> str | None:
    header = rows_of(text, delimiter)[0][0].cells
    if len(header) == 1:
        return None
    one, other = rng.sample(header, 2)
    return _replaced(text, other, text[one.start : one.end])


def _empty_column(text: str, rng: Random, delimiter: str) -> str | None:
    header = rows_of(text, delimiter)[0][0].cells
    return _replaced(text, rng.choice(header), "") if len(header) > 1 else None


def _no_rows(text: str, rng: Random, delimiter: str) -> str | None:
    header = rows_of(text, delimiter)[0][0]
    return text[: header.end] if len(header.cells) > 1 else None


def _blank_line(text: str, rng: Random, delimiter: str) -> str:
    row = rng.choice(rows_of(text, delimiter)[0][1:])
    return text[: row.start] + "\n" + text[row.start :]


def _no_value(text: str, rng: Random, delimiter: str) -> str:
    value = read(text, delimiter).value
    return json.dumps(value, ensure_ascii=False, indent=rng.choice([None, 2]))


_CORRUPTIONS: Final[Mapping[str, _Way]] = {
    "no_value": _no_value,
    "wrong_delimiter": _wrong_delimiter,
    "ragged_row": _ragged_row,
    "no_rows": _no_rows,
    "duplicate_column": _duplicate_column,
    "empty_column": _empty_column,
    "blank_line": _blank_line,
    "padded_field": _padded_field,
    "bare_quote": _bare_quote,
    "text_after_quote": _text_after_quote,
    "backslash_escape": _backslash_escape,
    "truncated": _truncated,
}
