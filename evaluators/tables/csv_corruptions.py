"""Breaks rendered CSV the way models break it; each way is named by the label it is judged with.

    corruptions_of(",")["empty_column"]("a,b\\n1,2", Random(1)) -> ",b\\n1,2"

The text must be a valid table with this delimiter. A corruption that does not apply gives None.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Final

from fmtharness.evaluators.possessive import re
from fmtharness.evaluators.tables.csv_fields import CONTROL, Cell
from fmtharness.evaluators.tables.csv_reader import DELIMITERS, Row, read, rows_of
from fmtharness.harness import surroundings
from fmtharness.harness.contracts import Corruption

_Way = Callable[[str, Random, str], str | None]


def corruptions_of(delimiter: str, min_columns: int = 1) -> Mapping[str, Corruption]:
    """Every way to break a table that has this delimiter."""

    def bound(way: _Way) -> Corruption:
        return lambda text, rng: way(text, rng, delimiter)

    def around(way: Corruption) -> Corruption:
        # With one column, an extra line is an extra row.
        return lambda text, rng: None if _width(text, delimiter) == 1 else way(text, rng)

    outside = dict(surroundings.CORRUPTIONS)
    outside |= {name: around(outside[name]) for name in ("text_before", "text_after")}
    ways = {**outside, **{name: bound(way) for name, way in _CORRUPTIONS.items()}}
    return ways if min_columns == 2 else {k: v for k, v in ways.items() if k != "too_narrow"}


def _rows(text: str, delimiter: str) -> list[Row]:
    return rows_of(text, delimiter)[0]


def _width(text: str, delimiter: str) -> int:
    return len(_rows(text, delimiter)[0].cells)


def _replaced(text: str, cell: Cell | Row, new: str) -> str:
    return text[: cell.start] + new + text[cell.end :]


def _cells(text: str, delimiter: str, first: int = 0) -> list[Cell]:
    return [cell for row in _rows(text, delimiter)[first:] for cell in row.cells]


def _written(text: str, delimiter: str) -> list[list[str]]:
    """The fields of each row, as they are written."""
    return [[text[c.start : c.end] for c in row.cells] for row in _rows(text, delimiter)]


def _joined(rows: Sequence[Sequence[str]], delimiter: str) -> str:
    return "\n".join(delimiter.join(row) for row in rows)


def _doubled(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _no_value(text: str, rng: Random, delimiter: str) -> str:
    value = read(text, delimiter, rows_of).value
    ways: list[Callable[[], str]] = [
        lambda: json.dumps(value, ensure_ascii=False),
        lambda: json.dumps(value, ensure_ascii=False, indent=2),
        lambda: "\n".join(json.dumps(row, ensure_ascii=False) for row in value),
        lambda: "I'm sorry, but I cannot help with that.",
        lambda: "".join(
            "<table>" + "".join(f"<tr><td>{json.dumps(c)}</td></tr>" for c in row.values())
            for row in value
        ),
    ]
    return rng.choice(ways)()


def _too_narrow(text: str, rng: Random, delimiter: str) -> str:
    """One column of the table, or whole lines in quotes."""
    rows = _rows(text, delimiter)
    if rng.random() < 0.5:
        return "\n".join(_doubled(text[row.start : row.end]) for row in rows)
    return "\n".join(_doubled(row.cells[0].value) for row in rows)


def _unquoted(text: str, rng: Random, delimiter: str) -> str | None:
    """A field that holds the delimiter, without quotes or in the wrong kind of quotes."""
    cells = [
        c
        for c in _cells(text, delimiter, 1)
        if delimiter in c.value
        and not re.search(r'["\r\n]', c.value)
        and c.value == c.value.strip()
    ]
    if not cells or any(CONTROL.search(cell.value.replace(delimiter, "")) for cell in cells):
        return None
    cell = rng.choice(cells)
    before, after = rng.choice([("", ""), ("", ""), ("'", "'"), ("“", "”")])
    return _replaced(text, cell, before + cell.value + after)


def _broken_line(text: str, rng: Random, delimiter: str) -> str | None:
    """A line break in a field without quotes."""
    cells = [c for c in _cells(text, delimiter, 1) if re.fullmatch(r"\w+ \w+", c.value)]
    return (
        None if not cells else _replaced(text, c := rng.choice(cells), c.value.replace(" ", "\n"))
    )


def _ragged_row(text: str, rng: Random, delimiter: str) -> str | None:
    rows = _written(text, delimiter)
    width = len(rows[0])
    if width == 1:
        return None
    if rng.random() < 0.5 and (broken := _unquoted(text, rng, delimiter)):
        return broken
    if rng.random() < 0.1 and (broken := _broken_line(text, rng, delimiter)):
        return broken
    number = rng.randrange(1, len(rows))
    row = rows[number]
    way = rng.randrange(6)
    if way == 0:
        del row[rng.randrange(width)]
    elif way == 1:
        row.pop()
    elif way == 2:
        row.append(rng.choice(["", "x", "n/a", "12"]))
    elif way == 3:
        row.insert(rng.randrange(width), rng.choice(["x", "1"]))
    elif way == 4:
        rows[1:] = [[str(index), *each] for index, each in enumerate(rows[1:], rng.randrange(2))]
    else:
        rows[1:] = [[*each, ""] for each in rows[1:]]
    # A line without any character would be a blank one, and one with a few words may be prose.
    prose = re.search(r"[\s.:!?]" if len(row) == 1 else r"[.:!?]\Z", row[-1])
    indented = delimiter == "\t" and not row[0]
    bare = prose or indented or not all(map(any, rows))
    return None if bare and way < 2 else _joined(rows, delimiter)


def _truncated(text: str, rng: Random, delimiter: str) -> str | None:
    quoted = [cell for cell in _cells(text, delimiter) if cell.quoted]
    if not quoted:
        return None
    cell = rng.choice(quoted)
    cut = rng.randrange(cell.start + 1, cell.end)
    # Half of a doubled quote would close the field, and a last line break could be the text's own.
    while text[cut - 1] in "\r\n":
        cut -= 1
    return text[: cut - text.count('"', cell.start + 1, cut) % 2]


def _unclosed_quote(text: str, rng: Random, delimiter: str) -> str | None:
    """A field that needs no quotes, or only because of a text's own quotes, has just the first."""
    rows = _written(text, delimiter)
    places = [
        (number, at)
        for number, row in enumerate(rows[:-1])
        for at, cell in enumerate(row)
        if cell and not re.search(r'["\r\n]', cell)
    ]
    if len(rows[0]) == 1 or not places or any("\n" in cell for row in rows for cell in row):
        return None
    number, at = rng.choice(places)
    rows[number][at] = '"' + rows[number][at]
    return _joined(rows, delimiter)


def _unescaped_quote(text: str, rng: Random, delimiter: str) -> str | None:
    cell = rng.choice(_cells(text, delimiter))
    inner = re.sub(r'["\r\n]', "", cell.value)
    if not inner:
        return None
    ways = ['{} "x" y', '24" {}', '{} the "big" one', '"{}" is it', '{} a "b, c" d']
    return _replaced(text, cell, '"' + rng.choice(ways).format(inner) + '"')


def _bare_quote(text: str, rng: Random, delimiter: str) -> str | None:
    cells = [cell for cell in _cells(text, delimiter) if not cell.quoted and cell.value]
    if not cells:
        return None
    cell = rng.choice(cells)
    ways = ['{} "x"', '{} "new"', '{}"', '{} 24" wide', "5'10\" {}", 'so "called" {}']
    return _replaced(text, cell, rng.choice(ways).format(cell.value))


def _text_after_quote(text: str, rng: Random, delimiter: str) -> str | None:
    cell = rng.choice(_cells(text, delimiter))
    quoted = text[cell.start : cell.end] if cell.quoted else f'"{cell.value}"'
    return _replaced(text, cell, quoted + rng.choice(["x", " (new)", ".", " km", " # note"]))


def _backslash_escape(text: str, rng: Random, delimiter: str) -> str | None:
    cells = [
        cell
        for cell in _cells(text, delimiter)
        if '"' in cell.value and not re.search(r"[\\\x00-\x1f]", cell.value)
    ]
    if not cells:
        return None
    cell = rng.choice(cells)
    return _replaced(text, cell, json.dumps(cell.value, ensure_ascii=False))


def _padded_field(text: str, rng: Random, delimiter: str) -> str | None:
    rows = _written(text, delimiter)
    width = len(rows[0])
    if width == 1:
        return None
    way = rng.randrange(4)
    if way == 0:
        rows = [[row[0], *(" " + cell for cell in row[1:])] for row in rows]
    elif way == 1:
        rows = [[*(cell + " " for cell in row[:-1]), row[-1]] for row in rows]
        if any(not cell.strip() for row in rows for cell in row):
            return None
    elif way == 2:
        row = rng.choice(rows)
        at = rng.randrange(1, width)
        if row[-1].endswith((".", "!", "?", ":")):
            return None  # reads as prose
        row[at] = rng.choice([" ", "  "]) + row[at]
    else:
        # Columns that are lined up.
        wide = max(len(row[0]) for row in rows)
        if '"' in text or "\n" in "".join(map("".join, rows)) or any(not row[0] for row in rows):
            return None
        rows = [[row[0].ljust(wide + 1), *row[1:]] for row in rows]
    return _joined(rows, delimiter)


def _wrong_delimiter(text: str, rng: Random, delimiter: str) -> str | None:
    others = [other for other in DELIMITERS if other not in text]
    rows = _written(text, delimiter)
    if not others or len(rows[0]) == 1 or not all(map(any, rows)):
        return None
    other = rng.choice(others)
    if other == "|" and rng.random() < 0.5 and "\n" not in "".join(map("".join, rows)):
        dashes = ["---"] * len(rows[0])
        return "\n".join("| " + " | ".join(row) + " |" for row in [rows[0], dashes, *rows[1:]])
    return _joined(rows, rng.choice([other, other, f" {other} "]) if other == "|" else other)


def _duplicate_column(text: str, rng: Random, delimiter: str) -> str | None:
    rows = _written(text, delimiter)
    header = rows[0]
    if len(header) == 1:
        return None
    one, other = rng.sample(range(len(header)), 2)
    if rng.random() < 0.5:
        header[other] = header[one]
    else:
        for row in rows:
            row.insert(other, row[one])
    return _joined(rows, delimiter)


def _empty_column(text: str, rng: Random, delimiter: str) -> str | None:
    rows = _written(text, delimiter)
    if len(rows[0]) == 1:
        return None
    way = rng.randrange(3)
    if way == 0:
        rows[0][rng.randrange(len(rows[0]))] = rng.choice(["", "", '""'])
    elif way == 1:
        # The index that a data frame writes.
        rows = [["", *rows[0]], *([str(index), *row] for index, row in enumerate(rows[1:]))]
    else:
        rows = [[*row, ""] for row in rows]
    return _joined(rows, delimiter)


def _no_rows(text: str, rng: Random, delimiter: str) -> str | None:
    header = _rows(text, delimiter)[0]
    return text[: header.end] + rng.choice(["", "\n"]) if len(header.cells) > 1 else None


def _blank_line(text: str, rng: Random, delimiter: str) -> str:
    rows = _rows(text, delimiter)
    blank = rng.choice(["\n", "\n", "\n\n", "  \n"])
    way = rng.randrange(4)
    if way == 0:
        return text + "\n" + blank
    if way == 1:
        return blank + text
    for row in reversed(rows[1:] if way == 2 else [rng.choice(rows[1:])]):
        text = text[: row.start] + blank + text[row.start :]
    return text


def _raw_control_character(text: str, rng: Random, delimiter: str) -> str | None:
    cells = [c for c in _cells(text, delimiter) if not c.quoted and len(c.value) > 1]
    if not cells:
        return None
    cell = rng.choice(cells)
    signs = [sign for sign in "\t\x00\x07\x08\x1b\x7f\x0b\x0c" if sign != delimiter]
    at = rng.randrange(1, len(cell.value))
    if " " in cell.value[at - 1 : at + 1]:
        return None
    return _replaced(text, cell, cell.value[:at] + rng.choice(signs) + cell.value[at:])


def _bare_carriage_return(text: str, rng: Random, delimiter: str) -> str:
    rows = _rows(text, delimiter)
    for row in rows[:-1] if rng.random() < 0.5 else [rng.choice(rows[:-1])]:
        text = text[: row.end] + "\r" + text[row.end + 1 :]
    return text


def _mixed_line_ends(text: str, rng: Random, delimiter: str) -> str:
    """One line, or all but the first, ends with CRLF."""
    rows = _rows(text, delimiter)
    text += "\n"
    for row in reversed(rows[1:] if rng.random() < 0.5 else [rng.choice(rows[1:])]):
        text = text[: row.end] + "\r" + text[row.end :]
    return text


def _lone_surrogate(text: str, rng: Random, delimiter: str) -> str | None:
    # Between two quotes it would part them.
    cells = [cell for cell in _cells(text, delimiter) if cell.value and '"' not in cell.value]
    if not cells:
        return None
    cell = rng.choice(cells)
    at = rng.randrange(cell.start + cell.quoted, cell.end)
    return text[:at] + rng.choice(["\ud83d", "\ude00"]) + text[at:]


_CORRUPTIONS: Final[Mapping[str, _Way]] = {
    "no_value": _no_value,
    "too_narrow": _too_narrow,
    "wrong_delimiter": _wrong_delimiter,
    "ragged_row": _ragged_row,
    "no_rows": _no_rows,
    "duplicate_column": _duplicate_column,
    "empty_column": _empty_column,
    "blank_line": _blank_line,
    "padded_field": _padded_field,
    "bare_quote": _bare_quote,
    "text_after_quote": _text_after_quote,
    "unescaped_quote": _unescaped_quote,
    "unclosed_quote": _unclosed_quote,
    "backslash_escape": _backslash_escape,
    "truncated": _truncated,
    "raw_control_character": _raw_control_character,
    "mixed_line_ends": _mixed_line_ends,
    "lone_surrogate": _lone_surrogate,
    "bare_carriage_return": _bare_carriage_return,
}
