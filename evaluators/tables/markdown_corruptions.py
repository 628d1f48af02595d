"""Breaks rendered Markdown tables the way models break them; each way is named by its label.

    CORRUPTIONS["no_rows"]("| a |\\n| --- |\\n| 1 |", Random(0)) -> "| a |\\n| --- |"

The text must be as MarkdownTableFormat renders it. A corruption that does not apply gives None.
"""

from __future__ import annotations

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
    return json.dumps(rows, ensure_ascii=False, indent=rng.choice([None, 2]))


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
        lambda line: line.replace("---", "- - -", 1),
        lambda line: line.replace("---", "===", 1),
        lambda line: line.replace(" | ", "-+-") if " | " in line else "| -+- |",
    ]
    return _edited(text, 1, rng.choice(ways))


def _ragged_row(text: str, rng: Random) -> str:
    bodies = range(2, text.count("\n") + 1)
    if piped := [number for number in bodies if "\\|" in text.split("\n")[number]]:
        return _edited(text, rng.choice(piped), lambda line: line.replace("\\|", "|", 1))

    def uneven(line: str) -> str:
        cells = _cells(line)
        return _line(cells[:-1] if len(cells) > 1 and rng.random() < 0.5 else [*cells, "x"])

    return _edited(text, rng.choice(bodies), uneven)


def _missing_outer_pipe(text: str, rng: Random) -> str:
    lines = text.split("\n")
    first, last = rng.choice(
        [(0, -2), (2, -2), (2, None)] if len(_cells(lines[0])) > 1 else [(0, -2), (2, None)]
    )
    return "\n".join(line[first:last] for line in lines)


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
    return _edited(text, rng.randrange(2, text.count("\n") + 1), lambda line: "\n" + line)


def _multiple_roots(text: str, rng: Random) -> str:
    return text + "\n\n" + text


def _indented_line(text: str, rng: Random) -> str:
    return "\n".join(rng.choice(["    ", "\t"]) + line for line in text.split("\n"))


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
}
