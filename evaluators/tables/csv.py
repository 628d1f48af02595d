"""CSV as a Format: RFC 4180 with a header row, and nothing else.

    CsvFormat().render([{"city": "Oslo", "note": "a, b"}]) -> 'city,note\\nOslo,"a, b"'
    CsvFormat().parse("city,nights\\nOslo")                 -> problems ragged_row at 12:16

Every cell is text. Stricter than the RFC, where readers differ or where prose would pass: the names
of the columns are unique and not empty, all lines end alike, no line is blank, and outside quotes a
field neither begins nor ends with a blank and holds no control character. A table of one column has
no delimiters to distinguish it from other lines of text, so its lines are taken as they are, unless
another delimiter splits them evenly or a code fence stands among them.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Literal

from pydantic import Field

from fmtharness.evaluators.one_edit import Mends, all_of_one_edit
from fmtharness.evaluators.possessive import re
from fmtharness.evaluators.tables.csv_corruptions import corruptions_of
from fmtharness.evaluators.tables.csv_fields import CONTROL, LINE_ENDS
from fmtharness.evaluators.tables.csv_reader import (
    CALLED,
    LABELS,
    Split,
    lines_like_a_table,
    read,
    rows_of,
)
from fmtharness.harness.contracts import Corruption, Options, Parsed, Shape
from fmtharness.harness.formats import Consumer
from fmtharness.harness.records import Example, Problem
from fmtharness.harness.surroundings import strictly

# What a cell of a one-column table may be without quotes: nothing that could be something else.
_PLAIN: Final = re.compile(r"\w(?:[\w .:-]*\w)?").fullmatch

_MENDS: Final = Mends("", "", frozenset({"ragged_row", "no_rows", "padded_field", "text_before"}))


class CsvFormat(Options):
    """Strict CSV: a header row and at least one more, all of one width; every cell is text.

    parse("city,nights\\nOslo,4") -> Parsed(value=[{"city": "Oslo", "nights": "4"}])
    parse("city, nights\\nOslo,4") -> problems padded_field at 5:6

    A line ends with LF or CRLF, and the last one need not. By RFC 4180 any two lines of prose are a
    table of one column, so a table has two or more unless `min_columns` is 1.
    """

    name: ClassVar[str] = "csv"
    title: ClassVar[str] = "CSV"
    shapes: ClassVar[frozenset[Shape]] = frozenset({"table"})
    labels: ClassVar[Mapping[str, str]] = LABELS

    delimiter: Literal[",", ";", "\t", "|"] = ","
    """What stands between two fields."""
    min_columns: int = Field(default=2, ge=1)
    """The fewest columns that a table may have."""

    def instruction(self, value: Any) -> str:
        """One sentence that asks for CSV and nothing else."""
        by = "" if self.delimiter == "," else f" separated by {CALLED[self.delimiter]}"
        return f"Answer with CSV{by}, a header row first, and nothing else."

    def render(self, value: Any) -> str:
        """A line for the header and one for each record; quotes only where they are needed."""
        columns = columns_of(value)
        rows = [columns, *([record[column] for column in columns] for record in value)]

        def field(cell: str) -> str:
            needed = (
                CONTROL.search(cell)
                or cell != cell.strip()
                or any(sign in cell for sign in (self.delimiter, '"', "\ufeff"))
                or (len(columns) == 1 and not _PLAIN(cell))
            )
            return '"' + cell.replace('"', '""') + '"' if needed else cell

        text = "\n".join(self.delimiter.join(map(field, row)) for row in rows)
        if self.parse(text).value != value:
            raise ValueError(f"CSV cannot hold {value!r:.80}")
        return text

    def parse(self, text: str) -> Parsed:
        """The whole text as a list of records, or all problems."""
        split = functools.cache(rows_of)

        @functools.cache
        def own() -> set[str]:
            return lines_like_a_table(text.removeprefix("\ufeff"), self.delimiter, split)

        parsed = strictly(
            text,
            lambda inner: self._read(inner, split),
            lambda line: not own().isdisjoint(LINE_ENDS.split(line)),
        )
        mends = _MENDS._replace(insert=self.delimiter + '\n"', replace=self.delimiter)
        return all_of_one_edit(text, parsed, mends, self._passes)

    def _passes(self, text: str) -> bool:
        """Whether a text is a table of several columns, since any text is one of one column."""
        parsed = self._read(text, rows_of)
        return parsed.ok and len(parsed.value[0]) > 1

    def _read(self, text: str, split: Split) -> Parsed:
        parsed = read(text, self.delimiter, split)
        if not parsed.ok or len(parsed.value[0]) >= self.min_columns:
            return parsed
        return Parsed(problems=(Problem("too_narrow", LABELS["too_narrow"], 0, len(text)),))

    def grammar(self, example: Example | None) -> str:
        """What constrained decoding allows, in Lark: rows of one width, up to 15 more columns."""
        sign = json.dumps(self.delimiter)
        least = max(2, self.min_columns)
        widths = range(least, least + 15)
        inner = rf'"\x00-\x1f\x7f\x{{feff}}{re.escape(self.delimiter)}'
        plain = rf"[^ {inner}](?:[^{inner}]*[^ {inner}])?"
        rules = [f"start: {' | '.join(f'w{width}' for width in widths)}"]
        for width in widths:
            head = f" {sign} ".join(["NAME"] * width)
            row = f" {sign} ".join(["FIELD?"] * width)
            rules += [f'w{width}: {head} ("\\n" r{width})+ "\\n"?', f"r{width}: {row}"]
        rules.append(rf'NAME: /{plain}|"(?:[^"\r\x{{feff}}]|"")+"/')
        rules.append(rf'FIELD: /{plain}|"(?:[^"\r\x{{feff}}]|"")*"/')
        return "\n".join(rules)

    def consumers(self) -> Sequence[Consumer]:
        """Readers of CSV, for fields between commas."""
        from fmtharness.evaluators.consumers import csv_readers

        return csv_readers() if self.delimiter == "," else ()

    def corruptions(self) -> Mapping[str, Corruption]:
        """Ways to break a rendered table; each is named by the label `parse` gives it."""
        return corruptions_of(self.delimiter, self.min_columns)


def columns_of(value: Any) -> list[str]:
    """The columns of a list of records that have the same keys and texts; ValueError for any other.

    columns_of([{"city": "Oslo"}, {"city": "Riga"}]) -> ["city"]
    """
    if not isinstance(value, list) or not value or not all(isinstance(row, dict) for row in value):
        raise ValueError(f"a table is a list of one or more records, and no {value!r:.80}")
    columns = list(value[0])
    for row in value:
        if row.keys() != value[0].keys():
            raise ValueError(f"each record has the keys {columns!r:.80}, and not {list(row)!r:.80}")
        if not all(isinstance(cell, str) for cell in (*row, *row.values())):
            raise ValueError(f"keys and cells are texts: {row!r:.80}")
    return columns
