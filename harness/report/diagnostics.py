r"""Shows a Verdict on its text: where each problem stands, under the line that it stands in.

    diagnosis('{"a": True,}', verdict) ->

    python_literal: True is Python; JSON writes true
     --> text:1:7
      |
    1 | {"a": True,}
      |       ^^^^ python_literal

    ...

    json_strict: failed (python_literal, trailing_comma)

Problems with one label and one message share a block. Whatever a terminal would hide, or draw in
another width, is written out: a tab as its control picture, a zero width space as `<U+200B>`. The
other widths are those of `unicodedata`, so decomposed Hangul is the one script whose carets drift,
and right-to-left text stands in the order of its characters only where the terminal keeps it.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from fmtharness.harness.records import Problem, Verdict
from fmtharness.harness.text import visible

MOST_BLOCKS: Final = 10
"""How many different problems are shown in full."""

MOST_PLACES: Final = 8
"""How many further places of one problem are listed."""

WIDTH: Final = 80
"""How many cells of a line are shown, and how many characters at most."""

MOST_OF_A_MESSAGE: Final = 300

_BREAK: Final = re.compile(r"\r\n|\r|\n")
_RED, _BLUE, _GREEN, _YELLOW, _PLAIN = (f"\x1b[{code}m" for code in ("1;31", "1;34", 32, 33, 0))


class Lines:
    r"""A text cut into lines by \n, \r\n and \r; lines and columns count from 1, in characters."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = [0, *(match.end() for match in _BREAK.finditer(text))]
        self.last = len(text.rstrip("\r\n"))

    def span(self, problem: Problem) -> tuple[int, int]:
        """The problem's span, in order and inside the text.

        An empty span at the text's end moves in front of the line breaks there, since the empty
        line behind them shows nothing.
        """
        size = len(self.text)
        start, end = sorted(min(max(at, 0), size) for at in (problem.start, problem.end))
        return (self.last, self.last) if start == size else (start, end)

    def place(self, at: int) -> tuple[int, int]:
        """Line and column of the character at `at`."""
        line = bisect_right(self.starts, at)
        return line, at - self.starts[line - 1] + 1

    def line(self, number: int) -> str:
        """A line with its break."""
        following = self.starts[number] if number < len(self.starts) else None
        return self.text[self.starts[number - 1] : following]


class _Style(NamedTuple):
    color: bool
    encoding: str

    def paint(self, code: str, text: str) -> str:
        return f"{code}{text}{_PLAIN}" if self.color and text else text

    def visible(self, char: str) -> str:
        return visible(char, self.encoding)

    def sentence(self, text: str) -> str:
        """The text on one line, cut where it is very long."""
        words = " ".join(text.split())
        cut = words[:MOST_OF_A_MESSAGE] + "..." if len(words) > MOST_OF_A_MESSAGE else words
        return visible(cut, self.encoding)


def diagnosis(
    text: str,
    verdict: Verdict,
    *,
    name: str = "text",
    color: bool = False,
    encoding: str = "utf-8",
) -> str:
    """The Verdict in words, without a line break at its end.

    A pass or an unscored Verdict is one line. A failure has a block for each problem, at most
    MOST_BLOCKS (one of each label, before any has a second), and then that line. `name` is what the
    places refer to, such as a file; characters that `encoding` lacks are written out. Any span is
    allowed, even one outside of the text.
    """
    style = _Style(color, encoding)
    evaluator = style.sentence(verdict.evaluator)
    if verdict.passed:
        return f"{evaluator}: {style.paint(_GREEN, 'passed')}"
    if verdict.passed is None:
        reasons = [problem.message for problem in verdict.problems] or ["it gave no reason"]
        return f"{evaluator}: {style.paint(_YELLOW, 'unscored')}: {style.sentence(reasons[0])}"
    lines = Lines(text)
    groups: dict[tuple[str, str], list[Problem]] = {}
    for problem in verdict.problems:
        groups.setdefault((problem.label, problem.message), []).append(problem)
    chosen = _chosen([*groups.values()])
    blocks = ["\n".join(_block(lines, group, name, style)) for group in chosen]
    if more := len(verdict.problems) - sum(map(len, chosen)):
        blocks.append(f"... and {more} more")
    labels = dict.fromkeys([*verdict.labels, *(problem.label for problem in verdict.problems)])
    listed = f" ({', '.join(map(style.sentence, labels))})" if labels else ""
    return "\n\n".join([*blocks, f"{evaluator}: {style.paint(_RED, 'failed')}{listed}"])


def _chosen(groups: Sequence[list[Problem]]) -> list[list[Problem]]:
    """The groups to show, in order: the first of each label, then the second of each, ..."""
    seen: Counter[str] = Counter()
    ranked = []
    for at, group in enumerate(groups):
        ranked.append((seen[group[0].label], at))
        seen[group[0].label] += 1
    return [groups[at] for at in sorted(at for _, at in sorted(ranked)[:MOST_BLOCKS])]


def _block(lines: Lines, group: Sequence[Problem], name: str, style: _Style) -> Iterator[str]:
    """The block for problems with one label and message: the first in full, then the places."""
    label = style.sentence(group[0].label)
    spans = [lines.span(problem) for problem in group]
    start, end = spans[0]
    first, column = lines.place(start)
    last = lines.place(max(start, end - 1))[0]
    shown_name = visible(name, style.encoding)
    gutter = len(str(last))

    def row(number: int | None, content: str) -> str:
        head = f"{'' if number is None else number:>{gutter}} |"
        return f"{style.paint(_BLUE, head)} {content}" if content else style.paint(_BLUE, head)

    def marked(number: int, drawn: tuple[str, str], note: str) -> Iterator[str]:
        yield row(number, drawn[0])
        yield row(None, style.paint(_RED, f"{drawn[1]} {note}"))

    yield f"{style.paint(_RED, label)}: {style.sentence(group[0].message)}"
    yield f"{' ' * gutter}{style.paint(_BLUE, '-->')} {shown_name}:{first}:{column}"
    yield row(None, "")
    if first == last:
        drawn, rest = _draw_all(lines, first, spans, style)
        yield from marked(first, drawn, label)
    else:
        drawn, rest = _draw_all(lines, first, spans[:1], style)[0], spans[1:]
        yield from marked(first, drawn, f"{label} starts here")
        if last - first > 1:
            yield style.paint(_BLUE, "...")
        at = end - lines.starts[last - 1]
        drawn = _draw(lines.line(last).rstrip("\r\n"), [(0, at)], at, WIDTH * 3 // 4, style)
        yield from marked(last, drawn, "ends here")
    if rest:
        places = [":".join(map(str, lines.place(start))) for start, _ in rest[:MOST_PLACES]]
        more = f" and {len(rest) - MOST_PLACES} more" if len(rest) > MOST_PLACES else ""
        yield f"{' ' * gutter} {style.paint(_BLUE, '=')} also at {', '.join(places)}{more}"


def _draw_all(
    lines: Lines, number: int, spans: Sequence[tuple[int, int]], style: _Style
) -> tuple[tuple[str, str], list[tuple[int, int]]]:
    """The line with the spans that fit into the window around the first, and the other spans."""
    begin = lines.starts[number - 1]
    line = lines.line(number)
    content = line.rstrip("\r\n")
    start, end = spans[0]
    if start < end and start - begin >= len(content):
        content = line  # the span starts in the line break, which is made visible
    low, high = _window(content, start - begin, WIDTH // 4, style)
    drawn, rest = [(start - begin, end - begin)], []
    for start, end in spans[1:]:
        if low <= start - begin and end - begin <= high:
            drawn.append((start - begin, end - begin))
        else:
            rest.append((start, end))
    return _draw(content, drawn, drawn[0][0], WIDTH // 4, style), rest


def _window(line: str, at: int, before: int, style: _Style) -> tuple[int, int]:
    """Which characters to show around `at`: WIDTH cells, `before` of them to its left."""
    at = min(at, len(line))
    # A character without a cell of its own counts too, so that the window ends in any case.
    left = [max(1, _cells(style.visible(c))) for c in reversed(line[max(0, at - WIDTH) : at])]
    right = [max(1, _cells(style.visible(c))) for c in line[at : at + WIDTH]]
    behind = _fitting(right, WIDTH - sum(left[: _fitting(left, before)]))
    return at - _fitting(left, WIDTH - sum(right[:behind])), at + behind


def _fitting(costs: Iterable[int], room: int) -> int:
    """How many of the first costs fit into the room in sum."""
    return bisect_right([*accumulate(costs)], room)


def _draw(
    line: str, spans: Iterable[tuple[int, int]], at: int, before: int, style: _Style
) -> tuple[str, str]:
    """The window around `at` as it is shown, and the line of carets below it.

    What a window leaves out is an ellipsis; carets below it say that the span goes on there.
    """
    low, high = _window(line, at, before, style)
    head, tail = "..." if low > 0 else "", "..." if high < len(line) else ""
    shown = [head, *(style.visible(char) for char in line[low:high]), tail]
    edges = [0, *accumulate(_cells(piece) for piece in shown)]
    carets = [" "] * (edges[-1] + 1)
    for start, end in spans:
        # Piece 0 is the head, so the character at `low` is piece 1.
        first = edges[max(start - low + 1, 0)]
        last = edges[min(end - low + 1, high - low + 2 if end > high else high - low + 1)]
        if first >= last:
            # A span without a cell: a combining mark sits on the cell before, an empty span is a
            # place between two characters.
            first = max(first - 1, 0) if end > start else first
            last = first + 1
        carets[first:last] = "^" * (last - first)
    return "".join(shown), "".join(carets).rstrip()


def _cells(shown: str) -> int:
    """How many cells of a terminal the text takes."""
    if shown.isascii():
        return len(shown)
    return sum(
        0
        if unicodedata.category(char) in ("Mn", "Me")
        else 2
        if unicodedata.east_asian_width(char) in "WF"
        else 1
        for char in shown
    )
