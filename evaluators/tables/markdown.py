"""A Markdown table as a Format: one GFM table and nothing else.

    MarkdownTableFormat().render([{"city": "Oslo"}])  -> "| city |\\n| --- |\\n| Oslo |"
    MarkdownTableFormat().parse("| a |\\n| --- |\\n| 1") -> problems truncated at 17:17

Every cell is text, as it is written: Markdown inside a cell is kept, and only a backslash before a
pipe is removed. Stricter than GFM, which pads and cuts rows until they fit: all rows have the same
width, each has its outer pipes, and the columns have unique names. A cell that a reader would trim
or a line that one would break otherwise than the others is refused, too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple

from fmtharness.evaluators.one_edit import Mends, all_of_one_edit
from fmtharness.evaluators.possessive import re
from fmtharness.evaluators.tables.csv import columns_of
from fmtharness.evaluators.tables.markdown_corruptions import CORRUPTIONS
from fmtharness.harness import surroundings
from fmtharness.harness.contracts import Corruption, Options, Parsed, Shape
from fmtharness.harness.records import Problem
from fmtharness.harness.surroundings import strictly

LABELS: Final[Mapping[str, str]] = {
    **surroundings.LABELS,
    "no_delimiter_row": "no row of dashes follows the header",
    "bad_delimiter_row": "the row of dashes is malformed or not as wide as the header",
    "ragged_row": "a row has more or fewer cells than the header",
    "missing_outer_pipe": "a row does not begin and end with a pipe",
    "no_rows": "no row follows the header",
    "duplicate_column": "a column's name stands twice in the header",
    "empty_column": "a column has no name",
    "blank_line": "a blank line, which ends a table, stands between its rows",
    "multiple_roots": "more than one table",
    "indented_line": "a line is indented by a tab or by four blanks, which makes it code",
    "bad_escape": "readers differ about whether the pipe behind so many backslashes ends the cell",
    "raw_control_character": "a control character or a separator of lines, U+2028 or U+2029",
    "padded_cell": "a cell begins or ends with a blank that only some readers take off",
    "lone_surrogate": "half of a surrogate pair stands alone, which UTF-8 cannot hold",
    "broken_row": "a line break stands inside a row",
    "truncated": "the text ends inside a row",
}
"""Every label that a strict Markdown table can give, and its meaning in one line."""

_LINE: Final = re.compile(r"([^\r\n]*)(\r\n|\r|\n|\Z)")
_PIPE: Final = re.compile(r"(?<!\\)(\\*+)\|")
_DASHES: Final = re.compile(r":?-+:?").fullmatch
_SIGNS: Final = re.compile(r"[ \x00-\x1f\x7f|:+=_–—-]*").fullmatch
_BORDER: Final = re.compile(r"\+(?:[-=:]+\+)+").fullmatch
"""A line between the rows of a grid table."""
_BREAK: Final = re.compile(r"[ \t]*(?:\r\n?|\n)[ \t]*").fullmatch
_DASH: Final = re.compile(r"[-=_–—]")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u2028\u2029]")
_ODD: Final = re.compile(rf"{_CONTROL.pattern}|[\ud800-\udfff]")
_FOREIGN: Final = ("{", "[", "<", '"', "}")
_MENDS: Final = Mends(
    insert="\n|",
    replace="\n|",
    follow=frozenset({"missing_outer_pipe", "ragged_row", "no_rows", "empty_column"}),
)
_Note = Callable[..., None]


class _Row(NamedTuple):
    start: int
    end: int
    cells: tuple[tuple[int, int], ...]
    unsure: int
    """How many of its pipes end a cell for some readers only."""
    opens: bool
    closes: bool

    def fits(self, width: int) -> bool:
        """Whether it is as wide, or would be without what stands outside its outer pipes."""
        outside = 2 - self.opens - self.closes
        cells = len(self.cells)
        return width == cells - outside or cells <= width <= cells + self.unsure


class MarkdownTableFormat(Options):
    """A strict Markdown table: header, row of dashes and one row or more, all of one width.

    parse("| a | b |\\n| --- | --- |\\n| x | y |") -> Parsed(value=[{"a": "x", "b": "y"}])
    parse("| a | b |\\n| --- | --- |\\n| x |")     -> problems ragged_row at 24:29
    """

    name: ClassVar[str] = "markdown_table"
    title: ClassVar[str] = "a Markdown table"
    shapes: ClassVar[frozenset[Shape]] = frozenset({"table"})
    labels: ClassVar[Mapping[str, str]] = LABELS

    def instruction(self, value: Any) -> str:
        """One sentence that asks for a Markdown table and nothing else."""
        return "Answer with one Markdown table and nothing else."

    def render(self, value: Any) -> str:
        """A line for the header, the dashes and each record, with one blank around each cell."""
        columns = columns_of(value)
        rows = [[record[column] for column in columns] for record in value]
        lines = [
            "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
            for row in (columns, ["---"] * len(columns), *rows)
        ]
        text = "\n".join(lines)
        if self.parse(text).value != value:
            raise ValueError(f"a Markdown table cannot hold {value!r:.80}")
        return text

    def parse(self, text: str) -> Parsed:
        """The whole text as a list of records, or all problems."""
        parsed = strictly(
            text, _read, functools.partial(_looks, functools.cache(lambda: _pipes(text)))
        )
        return all_of_one_edit(text, parsed, _MENDS, lambda mended: _read(mended).ok)

    def corruptions(self) -> Mapping[str, Corruption]:
        """Ways to break a rendered table; each is named by the label `parse` gives it."""
        return CORRUPTIONS


def _looks(usual: Callable[[], int], line: str) -> bool:
    """Whether a line could be a row: of JSON, HTML or CSV only with the usual pipes."""
    line = line.strip()
    if "|" not in line:
        return bool(_BORDER(line))
    pipes = line.count("|") - line.count("\\|")
    return not line.startswith(_FOREIGN) or max(1, usual() - 2) <= pipes <= usual()


def _pipes(text: str) -> int:
    """How many pipes the first row of dashes has; 0 where there is none."""
    for line in _LINE.finditer(text):
        if "|" in line[1] and _like_dashes(text, *line.span(1)):
            return line[1].count("|")
    return 0


def _read(text: str) -> Parsed:
    problems: list[Problem] = []

    def note(label: str, start: int, end: int, message: str = "") -> None:
        problems.append(Problem(label, message or LABELS[label], start, end))

    rows, cut, bordered = _rows(text, note)
    if rows:
        below = len(rows) > 1 and _like_dashes(text, rows[1].start, rows[1].end)
        rows[0], dashes = (rows[0], None) if below else _without_dashes(text, rows[0])
        if dashes:
            note("bad_delimiter_row", *dashes, "the row of dashes has no line of its own")
        names = _texts(text, rows[0])
        _check_header(text, rows[0], note)
        body = rows[1:]
        width = _width(rows[0], body, note)
        if body and _like_dashes(text, body[0].start, body[0].end):
            _check_dashes(text, body.pop(0), width, note)
        elif body and text.count("---", body[0].start, body[0].end) > 1:
            row = body.pop(0)
            if row.opens and row.closes:
                note("bad_delimiter_row", row.start, row.end)
            cut = cut or len(row.cells) >= 2 * width
        elif body and not (bordered or dashes):
            note("no_delimiter_row", body[0].start, body[0].end)
        for row in body:
            if not row.fits(width):
                message = f"cells in this row: {len(row.cells)}, in the header: {width}"
                note("ragged_row", row.start, row.end, message)
        if not (body or cut or dashes):
            note("no_rows", rows[0].start, rows[0].end)
    if problems:
        return Parsed(problems=tuple(problems))
    return Parsed([dict(zip(names, _texts(text, row), strict=True)) for row in body])


def _without_dashes(text: str, header: _Row) -> tuple[_Row, tuple[int, int] | None]:
    """The header without a row of dashes that stands on its line, and the span of the dashes."""
    dashed = [bool(_DASHES(text, *cell)) for cell in header.cells]
    at = dashed.index(True) if True in dashed else 0
    for width in (at - 1, at):  # a cell may stand where the line break is missing
        if width > 0 and len(dashed) >= at + width and all(dashed[at : at + width]):
            span = header.cells[at][0], header.cells[at + width - 1][1]
            end = header.cells[width - 1][1]
            return header._replace(end=end, cells=header.cells[:width]), span
    return header, None


def _width(header: _Row, others: Sequence[_Row], note: _Note) -> int:
    """How wide the table is: as its header, unless all other rows have another width in common."""
    widths = {len(row.cells) for row in others}
    if len(others) < 2 or len(widths) > 1:
        return len(header.cells)
    width = widths.pop()
    if header.fits(width):
        return width
    named = sum(1 for start, end in header.cells if start < end)
    if named != width:
        message = f"cells in the header: {len(header.cells)}, in all other rows: {width}"
        note("ragged_row", header.start, header.end, message)
    return width


def _rows(text: str, note: _Note) -> tuple[list[_Row], bool, bool]:
    """The rows of the first table, whether the text ends within one more, and has borders."""
    rows: list[_Row] = []
    bordered = False
    unclosed: list[_Row] = []
    broken: list[tuple[int, int]] = []
    gap: tuple[int, int] | None = None
    lines = [line for line in _LINE.finditer(text) if line[0]]
    for number, line in enumerate(lines):
        start, end = line.span(1)
        said = line[1].strip(" \t")
        if not said:
            gap = gap or line.span()
            continue
        if gap and rows:
            if number + 1 < len(lines) and _like_dashes(text, *lines[number + 1].span(1)):
                note("multiple_roots", start, len(text.rstrip()))
                for row in unclosed:
                    note("missing_outer_pipe", row.start, row.end)
                return rows, False, bordered
            note("blank_line", *gap)
        gap = None
        if said[0] == "+" and _BORDER(said):
            note("bad_delimiter_row", start, end, "a border, which a grid table has")
            bordered = True
            continue
        row = _row(text, start, end, note)
        if rows and rows[-1].opens and not rows[-1].closes and text[row.start : row.end] == "|":
            row = row._replace(opens=False, closes=True)
        if rows and _moved(text, rows[-1], row):
            # The pipe at the break belongs to the other line.
            rows[-1] = rows[-1]._replace(cells=rows[-1].cells[: len(row.cells)])
            row = row._replace(cells=row.cells[-len(rows[-1].cells) :])
        if rows and not (rows[-1].closes and row.opens) and _halves(text, rows, row):
            if unclosed[-1:] == rows[-1:]:
                unclosed.pop()
            broken.append((rows[-1].end, row.start))
            rows[-1] = _joined(rows[-1], row)
            continue
        rows.append(row)
        if row.opens and row.closes:
            continue
        unclosed.append(row)
        short = len(row.cells) <= len(rows[0].cells)
        if row.opens and short and unclosed == rows[-1:] and not line[2]:
            note("truncated", end, end)
            return rows[:-1], True, bordered
    for row in unclosed:
        note("missing_outer_pipe", row.start, row.end)
    for span in broken:
        note("broken_row", *span)
    return rows, False, bordered


def _halves(text: str, rows: Sequence[_Row], row: _Row) -> bool:
    """Whether the last row and this one are one row with a line break inside."""
    one = rows[-1]
    if not (one.opens and row.closes) or not _BREAK(text, one.end, row.start):
        return False
    if len(rows) > 1:
        return len(_joined(one, row).cells) == len(rows[0].cells)
    rest = _LINE.match(text, row.end)
    below = rest and _LINE.match(text, rest.end())
    dashes = _like_dashes(text, row.start, row.end)
    return bool(not dashes and below and _like_dashes(text, *below.span(1)))


def _moved(text: str, one: _Row, other: _Row) -> bool:
    """Whether a pipe missing at the end of a line or the start of the next is on the other line."""
    if one.closes and one.opens and other.closes and not other.opens:
        start, end = one.cells[-1]
        return start == end and len(one.cells) == len(other.cells) + 1
    if one.opens and not one.closes and other.opens and other.closes:
        start, end = other.cells[0]
        return start == end and len(other.cells) == len(one.cells) + 1
    return False


def _joined(one: _Row, other: _Row) -> _Row:
    """Two halves of a row; where neither has a pipe at the break, it is inside a cell."""
    cells = (*one.cells, *other.cells)
    if not (one.closes or other.opens):
        middle = (one.cells[-1][0], other.cells[0][1])
        cells = (*one.cells[:-1], middle, *other.cells[1:])
    return _Row(one.start, other.end, cells, one.unsure + other.unsure, True, True)


def _row(text: str, start: int, end: int, note: _Note) -> _Row:
    """One line as a row."""
    line = text[start:end]
    first, last = end - len(line.lstrip(" \t")), start + len(line.rstrip(" \t"))
    if first - start > 3 or "\t" in text[start:first]:
        note("indented_line", start, first)
    for sign in _ODD.finditer(text, first, last):
        surrogate = "\ud800" <= sign[0] <= "\udfff"
        note("lone_surrogate" if surrogate else "raw_control_character", *sign.span())
    pipes = []
    unsure = 0
    for found in _PIPE.finditer(text, first, last):
        if not found[1]:
            pipes.append(found.start())
        elif len(found[1]) % 2 == 0:
            note("bad_escape", *found.span())
            unsure += 1
    opens = pipes[:1] == [first]
    closes = pipes[opens:][-1:] == [last - 1]
    between = pipes[opens : len(pipes) - closes]
    lefts = [first + opens, *(pipe + 1 for pipe in between)]
    rights = [*between, last - closes]
    cells = []
    for start, end in zip(lefts, rights, strict=True):
        cell = text[start:end].strip(" \t")
        start = text.index(cell[0], start) if cell else start
        end = start + len(cell)
        cells.append((start, end))
        if cell != cell.strip() or "\ufeff" in cell[:1] + cell[-1:]:
            for at in {start, end - 1}:
                if (text[at].isspace() or text[at] == "\ufeff") and not _CONTROL.match(text, at):
                    note("padded_cell", at, at + 1)
    return _Row(first, last, tuple(cells), unsure, opens, closes)


def _texts(text: str, row: _Row) -> list[str]:
    return [text[start:end].replace("\\|", "|") for start, end in row.cells]


def _like_dashes(text: str, start: int, end: int) -> bool:
    return bool(_SIGNS(text, start, end) and _DASH.search(text, start, end))


def _check_header(text: str, header: _Row, note: _Note) -> None:
    seen: set[str] = set()
    for name, span in zip(_texts(text, header), header.cells, strict=True):
        if not name:
            note("empty_column", *span)
        elif name in seen:
            note("duplicate_column", *span, f"the column {name!r:.40} stands twice in the header")
        seen.add(name)


def _check_dashes(text: str, row: _Row, width: int, note: _Note) -> None:
    if re.search(r"[\r\n]", text[row.start : row.end]) or (
        not (row.opens and row.closes) and row.fits(width)
    ):
        return  # what is wrong is the line break or the outer pipe
    line = _LINE.match(text, row.start)
    if line and "\t" in line[1]:
        note("bad_delimiter_row", row.start, row.end, "a tab stands in the row of dashes")
    if len(row.cells) != width:
        message = f"cells in the row of dashes: {len(row.cells)}, in the header: {width}"
        note("bad_delimiter_row", row.start, row.end, message)
    for start, end in row.cells:
        if not (_DASHES(text, start, end) or _CONTROL.search(text, start, end)):
            message = f"{text[start:end]!r:.40} is no cell of a row of dashes"
            note("bad_delimiter_row", start, end, message)
