"""Reads CSV character by character: its rows with their spans, and what is wrong with them.

    read("city,nights\\nOslo,4", ",", rows_of) -> Parsed(value=[{"city": "Oslo", "nights": "4"}])
    rows_of('a,"b"', ",")[0][0].cells[1] -> Cell(start=2, end=5, value="b", quoted=True)

`lines_like_a_table` finds the text around a table; it is needed only for a broken text.
"""

from __future__ import annotations

from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from fmtharness.evaluators.possessive import re
from fmtharness.evaluators.tables.csv_fields import (
    LINE_ENDS,
    SPENT,
    Cell,
    Place,
    field_at,
    patterns_of,
)
from fmtharness.harness import surroundings
from fmtharness.harness.contracts import Parsed
from fmtharness.harness.records import Problem
from fmtharness.harness.text import LONE_SURROGATE

LABELS: Final[Mapping[str, str]] = {
    **surroundings.LABELS,
    "too_narrow": "the table has fewer columns than `min_columns`",
    "wrong_delimiter": "another delimiter than the one asked for separates the fields",
    "ragged_row": "a row has more or fewer fields than the header",
    "no_rows": "a header stands alone",
    "duplicate_column": "a column's name stands twice in the header",
    "empty_column": "a column has no name",
    "blank_line": "a line is blank",
    "padded_field": "a field begins or ends with a blank outside quotes",
    "bare_quote": "a double quote stands inside a field that has no quotes around it",
    "text_after_quote": "text follows the quote that closes a field",
    "unescaped_quote": "a quote inside a quoted field is not doubled",
    "unclosed_quote": "a quoted field is not closed before the next field or line",
    "backslash_escape": "a quote is escaped with a backslash instead of being doubled",
    "truncated": "the text ends inside a quoted field",
    "raw_control_character": "a control character stands outside quotes",
    "mixed_line_ends": "a line ends with CRLF and the first one with LF, or the other way round",
    "lone_surrogate": "half of a surrogate pair stands alone, which UTF-8 cannot hold",
    "bare_carriage_return": "a carriage return ends a line without a line feed",
}
"""Every label that strict CSV can give, and its meaning in one line."""
DELIMITERS: Final = (",", ";", "\t", "|")
CALLED: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "pipes"}
_FENCE: Final = re.compile(r"(?:```|~~~)[\w+.-]*[ \t]*").fullmatch
_QUOTES: Final = {"bare_quote", "text_after_quote", "unescaped_quote", "unclosed_quote"}
_STOPS: Final = (".", ":", "!", "?")
# Lines of JSON, HTML and Markdown, which may hold delimiters too.
_FOREIGN: Final = re.compile(
    r"[ \t]*(?:(?!(?:\{\}|\[\w*\])[,;\t|])[{}\[\]<>]|#+ |[-*] "
    r'|"(?:[^"\\\r\n]|\\.)*+"[ \t]*:)'
).match


class Row(NamedTuple):
    """One record with its span, which is without the line's end."""

    start: int
    end: int
    cells: tuple[Cell, ...]


Split = Callable[[str, str], tuple[list[Row], list[Problem]]]
"""`rows_of`, which may keep what it found, since a broken text is split several times."""


def read(text: str, delimiter: str, split: Split) -> Parsed:
    """The records of a text that is a table and nothing else, or its problems."""
    rows, noted = split(text, delimiter)
    problems = list(noted)
    if wrong := _by_another(text, rows, delimiter, split):
        return Parsed(problems=tuple(wrong))
    for sign in LONE_SURROGATE.finditer(text):
        problems.append(Problem("lone_surrogate", LABELS["lone_surrogate"], *sign.span()))
    if rows:
        problems += _header_problems(rows[0])
        problems = list(_with_ragged(text, rows, problems))
    if len(rows) == 1 and not any(problem.label == "truncated" for problem in problems):
        message = LABELS["no_rows"]
        problems.append(Problem("no_rows", message, rows[0].start, rows[0].end))
    if problems and not lines_like_a_table(text, delimiter, split):
        return Parsed(problems=(Problem("no_value", LABELS["no_value"], 0, len(text.rstrip())),))
    if problems:
        return Parsed(problems=tuple(problems))
    names = [cell.value for cell in rows[0].cells]
    return Parsed([dict(zip(names, (c.value for c in row.cells), strict=True)) for row in rows[1:]])


def rows_of(text: str, delimiter: str) -> tuple[list[Row], list[Problem]]:
    """Every row but blank lines, and what is wrong with its fields; reads each character once."""
    problems: list[Problem] = []

    def note(label: str, start: int, end: int) -> None:
        problems.append(Problem(label, LABELS[label], start, end))

    rows: list[Row] = []
    cells: list[Cell] = []
    start = at = before = 0
    guess = True
    first = ""
    clean = patterns_of(delimiter).clean
    while True:
        if found := clean(text, at):
            quoted, plain, separator = found.groups()
            end = found.start(3)
            value = plain if quoted is None else quoted.replace('""', '"')
            cells.append(Cell(at, end, value, quoted is not None))
        else:
            place = Place(len(cells), len(rows[0].cells) if rows else None) if guess else None
            cell, found = field_at(text, at, delimiter, place, note)
            guess = guess and not (problems and problems[-1].label in SPENT)
            cells.append(cell)
            end = found.start("separator")
            separator = found["separator"]
        at = found.end()
        if separator == delimiter:
            continue
        if separator == "\r":
            note("bare_carriage_return", end, at)
        elif separator and separator != (first := first or separator):
            note("mixed_line_ends", end, at)
        if len(cells) == 1 and not cells[0].quoted and not text[start:end].strip(" \t"):
            del problems[before:]
            note("blank_line", start, at)
        else:
            if len(cells) == 1 and not cells[0].quoted and _FENCE(cells[0].value):
                note("code_fence", start, end)
            rows.append(Row(start, end, tuple(cells)))
        if at == len(text):
            return rows, problems
        start, before, cells, guess = at, len(problems), [], True


def _header_problems(header: Row) -> Iterator[Problem]:
    seen: set[str] = set()
    for cell in header.cells:
        name = cell.value if cell.quoted else cell.value.strip(" \t")
        if not name:
            yield Problem("empty_column", LABELS["empty_column"], cell.start, cell.end)
        elif name in seen:
            message = f"the column {name!r:.40} stands twice in the header"
            yield Problem("duplicate_column", message, cell.start, cell.end)
        seen.add(name)


def _with_ragged(text: str, rows: Sequence[Row], problems: Sequence[Problem]) -> Iterator[Problem]:
    """The problems and the rows that are too short or too long, one of them for each fault.

    A wrong quote, a cut or an extra delimiter in the header is why a row has another width; and the
    width is why there is a blank or a tab in it, which belong to a text without quotes.
    """
    width = len(rows[0].cells)
    starts = [row.start for row in rows]
    quotes: set[int] = set()
    for problem in problems:
        number = bisect(starts, problem.start) - 1
        if problem.label == "truncated" and len(rows[-1].cells) < width:
            quotes.add(len(rows) - 1)
        elif problem.label in _QUOTES:
            quotes.add(number)
    named = sum(1 for cell in rows[0].cells if cell.value.strip(" \t"))
    extra = named < width and {len(row.cells) for row in rows[1:]} == {named}
    ragged = {number for number, row in enumerate(rows) if len(row.cells) != width}
    # What stands in place of a delimiter or of a line's end is why the width is another.
    controls = {
        bisect(starts, problem.start) - 1
        for problem in problems
        if problem.label == "raw_control_character" and text[problem.start] != "\t"
    }
    ragged -= {n for n in controls & ragged if len(rows[n].cells) in (width - 1, 2 * width - 1)}
    nameless = {
        cell.start for cell in rows[0].cells if not (cell.quoted or cell.value.strip(" \t"))
    }
    spent, opened = -1, (-1, False)
    for problem in problems:
        number = bisect(starts, problem.start) - 1
        if problem.label == "bare_quote":
            opened = number, not (opened[0] == number and opened[1])
        # What stands behind a quote that opens late is meant to be inside.
        inside = number in ragged or opened == (number, True) or problem.start in nameless
        tab = problem.label == "raw_control_character" and text[problem.start] == "\t"
        if inside and (tab or problem.label == "padded_field"):
            continue
        if problem.label in _QUOTES or problem.label == "truncated":
            if number == spent:
                continue
            spent = number if problem.label in SPENT else spent
        yield problem
    in_both = ragged & quotes
    for number in () if extra else sorted(ragged):
        row = rows[number]
        # A quote that lacks its other half may have a line break between them.
        before = number + 1 in in_both and len(row.cells) < width
        if number not in quotes and not before:
            message = f"fields in this row: {len(row.cells)}, in the header: {width}"
            yield Problem("ragged_row", message, row.start, row.end)


def _width(rows: Sequence[Row]) -> int:
    """How many fields each row has, or 1 where they differ."""
    widths = {len(row.cells) for row in rows}
    return widths.pop() if len(widths) == 1 else 1


def _by_another(text: str, rows: Sequence[Row], delimiter: str, split: Split) -> list[Problem]:
    """What is wrong with rows that have equal widths only with another delimiter."""
    if len(rows) < 2 or _width(rows) > 1 or _FOREIGN(text, rows[0].start):
        return []
    for other in DELIMITERS:
        if other != delimiter and other in text:
            found, problems = split(text, other)
            if len(found) > 1 and _width(found) > 1:
                message = f"{CALLED[other]} separate the fields, and not {CALLED[delimiter]}"
                start, end = found[0].start, found[0].end
                return [Problem("wrong_delimiter", message, start, end)] + [
                    problem for problem in problems if problem.label != "padded_field"
                ]
    return []


def lines_like_a_table(text: str, delimiter: str, split: Split) -> set[str]:
    """The lines that a broken table may consist of, by the delimiter that gives most of them."""
    rows = split(text, delimiter)[0]
    if _by_another(text, rows, delimiter, split):
        found = [row for row in rows if not _FENCE(text, row.start, row.end)]
        return {line for row in found for line in LINE_ENDS.split(text[row.start : row.end])}
    others = [other for other in DELIMITERS if other != delimiter and other in text]
    found = max((_alike(text, sign, split) for sign in (delimiter, *others)), key=len)
    if not found:
        found = [
            row
            for row in rows
            if not (len(row.cells) > 1 or _FOREIGN(text, row.start) or _ends_a_sentence(text, row))
        ]
        if len(found) == 1 and " " in text and not found[0].cells[0].quoted:
            found = []
    return {line for row in found for line in LINE_ENDS.split(text[row.start : row.end]) if line}


def _alike(text: str, delimiter: str, split: Split) -> list[Row]:
    """The rows with delimiters that are not prose: of the usual width, or without blanks."""
    rows = split(text, delimiter)[0]

    def foreign(row: Row) -> bool:
        return not (delimiter == "\t" and row.cells[0].value) and bool(_FOREIGN(text, row.start))

    several = [row for row in rows if len(row.cells) > 1 and not foreign(row)]
    if not several:
        return []
    usual = Counter(len(row.cells) for row in several).most_common(1)[0][0]
    padding = 2 * sum(_tight(row) < len(row.cells) - 1 for row in several) > len(several)

    def fits(row: Row) -> bool:
        prose = delimiter in ",;" and _ends_a_sentence(text, row)
        if padding:
            return len(row.cells) == usual and not (prose and row is several[0])
        tight = _tight(row)
        return (
            tight >= usual - 1
            or (len(row.cells) == usual and not prose)
            or (tight > 0 and not (prose or foreign(row)))
            or (tight == len(row.cells) - 1 and delimiter != ",")
        )

    found = [row for row in rows if len(row.cells) > 1 and fits(row)]
    # A word above the only row is a header that lacks its delimiters.
    if found == rows[1:] and len(found) == 1 and _is_word(text, rows[0]):
        found.insert(0, rows[0])
    last = rows[-1]
    # A word or an open quote below the last full row is a row that was cut short.
    if (
        found
        and rows[-2:-1] == found[-1:]
        and last.end == len(text)
        and len(last.cells) == 1
        and (last.cells[0].quoted or _is_word(text, last))
    ):
        found.append(last)
    return found


def _is_word(text: str, row: Row) -> bool:
    return not re.search(r"\s|[.:!?]\Z", text[row.start : row.end])


def _tight(row: Row) -> int:
    """How many of its delimiters no blank follows."""
    return sum(cell.quoted or cell.value[:1] not in (" ", "\t") for cell in row.cells[1:])


def _ends_a_sentence(text: str, row: Row) -> bool:
    return not row.cells[-1].quoted and text[row.start : row.end].rstrip("'\")*_ ")[-1:] in _STOPS
