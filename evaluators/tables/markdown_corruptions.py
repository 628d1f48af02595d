"""Breaks rendered Markdown tables the way models break them; each way is named by its label.

    CORRUPTIONS["no_rows"]("| a |\\n| --- |\\n| 1 |", Random(0)) -> "| a |\\n| --- |"

The text must be as MarkdownTableFormat renders it. A corruption that does not apply gives None.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Final

from fmtharness.harness import surroundings
from fmtharness.harness.contracts import Corruption


def _edited(text: str, number: int, new: Callable[[str], str]) -> str:
    lines = text.split("\n")
    lines[number] = new(lines[number])
    return "\n".join(lines)


def _cells(line: str) -> list[str]:
    """The cells of a rendered line, as they are written."""
    return line[2:-2].split(" | ")


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _no_value(text: str, rng: Random) -> str:
    lines = [[cell.replace("\\|", "|") for cell in _cells(line)] for line in text.split("\n")]
    names, _, *body = lines
    rows = [dict(zip(names, cells, strict=False)) for cells in body]
    ways: list[Callable[[], str]] = [
        lambda: json.dumps(rows, ensure_ascii=False, indent=rng.choice([None, 2])),
        lambda: "I'm sorry, but I cannot help with that.",
        lambda: "\n".join(",".join(json.dumps(cell) for cell in row) for row in [names, *body]),
        lambda: _html([names, *body]),
        lambda: _boxed(text),
    ]
    return rng.choice(ways)().replace("|", "/")


def _html(rows: Sequence[Sequence[str]]) -> str:
    lines = ["<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in rows]
    return "\n".join(["<table>", *lines, "</table>"])


def _boxed(text: str) -> str:
    """The table drawn with the characters of boxes."""
    lines = ["│ " + " │ ".join(_cells(line)) + " │" for line in text.split("\n")]
    lines[1] = "├" + "┼".join("───" for _ in _cells(text.split("\n")[1])) + "┤"
    return "\n".join(lines)


def _truncated(text: str, rng: Random) -> str:
    lines = text.split("\n")
    last = rng.randrange(len(lines))
    cells = _cells(lines[last])
    full = [number for number, cell in enumerate(cells) if cell]
    if not full:
        return "\n".join([*lines[:last], "|"]) if last else text[:1]
    chosen = rng.choice(full)
    cut = cells[chosen][: rng.randrange(1, len(cells[chosen]) + 1)]
    return "\n".join([*lines[:last], _line([*cells[:chosen], cut])[:-2]])


def _no_delimiter_row(text: str, rng: Random) -> str | None:
    header, _, *body = text.split("\n")
    return None if body[0].strip("|-=_ ") == "" else "\n".join([header, *body])


def _bad_delimiter_row(text: str, rng: Random) -> str:
    ways: list[Callable[[str], str]] = [
        lambda line: line[:-2] + "| --- |",
        lambda line: line[:-6] if line.count("|") > 2 else "| --- | --- |",
        lambda line: line.replace("---", "- - -", 1),
        lambda line: line.replace("---", rng.choice(["===", "___", "——", "--:-", "::--", "- -"])),
        lambda line: line.replace("---", "", 1) if line.count("|") > 2 else "| === |",
        lambda line: line.replace(" | ", "-+-") if " | " in line else "| -+- |",
    ]
    if rng.random() < 0.2:
        return _grid(text)
    return _edited(text, 1, rng.choice(ways))


def _grid(text: str) -> str:
    """The table with the borders of a grid."""
    header, dashes, *body = text.split("\n")
    border = "+" + "+".join("---" for _ in _cells(dashes)) + "+"
    return "\n".join([border, header, border.replace("-", "="), *body, border])


def _ragged_row(text: str, rng: Random) -> str:
    lines = text.split("\n")
    bodies = range(2, len(lines))
    piped = [number for number in bodies if "\\|" in lines[number]]
    if piped and rng.random() < 0.7:
        return _edited(text, rng.choice(piped), lambda line: line.replace("\\|", "|", 1))
    cells = _cells(lines[number := rng.choice(bodies)])
    at = rng.randrange(len(cells))
    ways: list[Callable[[], None]] = [
        lambda: cells.append(rng.choice(["x", "", "n/a"])),
        lambda: cells.insert(at, "x"),
        lambda: cells.__setitem__(at, "`a | b`"),
        lambda: cells.__setitem__(at, f"{cells[at]} | {cells[at] or 'x'}"),
        *([lambda: cells.__delitem__(at), lambda: cells.__delitem__(-1)] if len(cells) > 1 else []),
    ]
    rng.choice(ways)()
    return _edited(text, number, lambda line: _line(cells))


def _missing_outer_pipe(text: str, rng: Random) -> str | None:
    lines = text.split("\n")
    if any(not cells[0] or not cells[-1] for cells in map(_cells, lines)):
        return None  # the pipe beside an empty cell would be the outer one
    narrow = len(_cells(lines[0])) == 1
    way = rng.randrange(3)
    if way == 0:
        # One row, and not the end of the last one, which would be cut.
        number = rng.randrange(len(lines))
        first, last = rng.choice([(2, None), (2, None) if number == len(lines) - 1 else (0, -2)])
        return _edited(text, number, lambda line: line[first:last])
    first, last = rng.choice([(0, -2), (2, None)] if narrow else [(0, -2), (2, -2), (2, None)])
    start = 1 if way == 1 and len(lines) > 3 else 0
    return "\n".join([*lines[:start], *(line[first:last] for line in lines[start:])])


def _no_rows(text: str, rng: Random) -> str:
    return "\n".join(text.split("\n")[:2])


def _duplicate_column(text: str, rng: Random) -> str | None:
    cells = _cells(text.split("\n")[0])
    if len(cells) == 1:
        return None
    one, other = rng.sample(range(len(cells)), 2)
    cells[other] = cells[one]
    return _edited(text, 0, lambda line: _line(cells))


def _empty_column(text: str, rng: Random) -> str:
    cells = _cells(text.split("\n")[0])
    cells[rng.randrange(len(cells))] = ""
    return _edited(text, 0, lambda line: _line(cells))


def _blank_line(text: str, rng: Random) -> str:
    lines = text.split("\n")
    blank = rng.choice(["\n", "\n", "\n\n", "  \n"])
    if rng.random() < 0.3:
        return "\n".join([*lines[:2], *(blank + line for line in lines[2:])])
    return _edited(text, rng.randrange(2, len(lines)), lambda line: blank + line)


def _multiple_roots(text: str, rng: Random) -> str:
    other = rng.choice([text, "| x | y |\n| --- | --- |\n| 1 | 2 |", "| x |\n|:-:|\n| 1 |"])
    return text + rng.choice(["\n\n", "\n\n\n"]) + other


def _indented_line(text: str, rng: Random) -> str:
    indent = rng.choice(["    ", "\t", "        ", " \t"])
    if rng.random() < 0.4:
        return _edited(text, rng.randrange(2, text.count("\n") + 1), lambda line: indent + line)
    return "\n".join(indent + line for line in text.split("\n"))


def _in_a_cell(text: str, rng: Random, new: Callable[[str], str]) -> str:
    """The text with one cell of its rows written anew."""
    number = rng.randrange(2, text.count("\n") + 1)
    cells = _cells(text.split("\n")[number])
    at = rng.randrange(len(cells))
    cells[at] = new(cells[at])
    return _edited(text, number, lambda line: _line(cells))


def _bad_escape(text: str, rng: Random) -> str:
    ways = ["a\\\\|b", "C:\\\\|D:", "\\\\|", "x \\\\\\\\| y"]
    return _in_a_cell(text, rng, lambda cell: f"{cell} {rng.choice(ways)}".strip())


def _raw_control_character(text: str, rng: Random) -> str:
    sign = rng.choice("\x00\x07\x08\x0b\x0c\x1b\x7f\u2028")
    return _in_a_cell(text, rng, lambda cell: f"{cell[:1]}{sign}{cell[1:]}")


def _padded_cell(text: str, rng: Random) -> str:
    sign = rng.choice("\xa0\xa0\u3000\u2003\ufeff")
    before, after = rng.choice([(sign, ""), ("", sign)])
    return _in_a_cell(text, rng, lambda cell: before + cell + after)


def _lone_surrogate(text: str, rng: Random) -> str:
    sign = rng.choice(["\ud83d", "\ude00"])
    return _in_a_cell(text, rng, lambda cell: f"{cell[:1]}{sign}{cell[1:]}")


def _broken_row(text: str, rng: Random) -> str | None:
    lines = text.split("\n")
    number = rng.randrange(2, len(lines))
    places = [at for at, sign in enumerate(lines[number]) if sign == " "][1:-1]
    if not places:
        return None
    at = rng.choice(places)
    first, second = lines[number][:at], lines[number][at + 1 :]
    if second.startswith(("{", "[", "<", '"', "}")):
        return None
    if first.endswith("|") or second.startswith("|") or "|" not in second[:-1] + first[1:]:
        return None
    return _edited(text, number, lambda line: first + "\n" + second)


CORRUPTIONS: Final[Mapping[str, Corruption]] = {
    **surroundings.CORRUPTIONS,
    "no_value": _no_value,
    "truncated": _truncated,
    "no_delimiter_row": _no_delimiter_row,
    "bad_delimiter_row": _bad_delimiter_row,
    "ragged_row": _ragged_row,
    "missing_outer_pipe": _missing_outer_pipe,
    "no_rows": _no_rows,
    "duplicate_column": _duplicate_column,
    "empty_column": _empty_column,
    "blank_line": _blank_line,
    "multiple_roots": _multiple_roots,
    "indented_line": _indented_line,
    "bad_escape": _bad_escape,
    "broken_row": _broken_row,
    "padded_cell": _padded_cell,
    "lone_surrogate": _lone_surrogate,
    "raw_control_character": _raw_control_character,
}
