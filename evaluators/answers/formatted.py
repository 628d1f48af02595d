"""Tells whether a text is in one of the built-in formats, or holds little besides.

    formatted('Sure: {"boil": true, "egg": "egg"', ("json",))  -> Formatted("json", 6, 33)
    formatted("Hello: put it into boiling water.", ("yaml",))  -> None

A text is in a format if 80% of its characters are, blanks and fences aside: so a fence, and a
short sentence before or behind, change nothing. JSON counts where it is broken or cut off, too, and
a table, YAML or XML where it is cut off. What prose or code could be as well does not count: one
line with a colon, YAML keys with a capital, rows of numbers, an HTML element, or the dictionary
that a program assigns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from fmtharness.evaluators.json.format import JsonFormat
from fmtharness.evaluators.json.reader import UNREAD
from fmtharness.evaluators.possessive import re
from fmtharness.evaluators.tables.csv import CsvFormat
from fmtharness.evaluators.toml.format import TomlFormat
from fmtharness.evaluators.xml.format import XmlFormat

SHARE: Final = 0.8
"""How much of a text must be in the format."""

_JSON: Final = JsonFormat(root="any", unique_keys=False, unicode_scalars=False)
_CSV, _TOML, _XML = CsvFormat(), TomlFormat(), XmlFormat()
_FENCE: Final = re.compile(r"^[ \t]*(?:`{3,}|~{3,})[ \t]*([\w+.#-]*)[^\n`]*$", re.MULTILINE)
_DATA: Final = frozenset({"", "json", "jsonl", "yaml", "yml", "toml", "xml", "csv", "text", "txt"})
"""The languages of fences that may hold data; anything in another language is code."""
_BLANK_LINES: Final = re.compile(r"\n[ \t]*\n\s*")
_STARTS_JSON: Final = re.compile(
    r"""(?:\[\s*)?\{\s*(?:["'“][^"'”\n]*(?:["'”]\s*(?::|\Z)|\Z)|\Z)|\[\s*["'“]"""
).match
_CODE_BEFORE: Final = re.compile(r"(?:[=(,\[]|\b(?:return|print|in))\s*\Z").search
_KEY: Final = r"[^\W\dA-Z][\w-]*(?: [\w-]+){0,2}"
_ROOT_KEY: Final = re.compile(rf"({_KEY}):(?:[ \t]+\S.*)?").fullmatch
_ITEM_KEY: Final = re.compile(rf"- {_KEY}:(?:[ \t]+\S.*)?").fullmatch
_INNER: Final = re.compile(r"[ \t]+\S.*|[ \t]*- \S.*|[ \t]*-").fullmatch
_INNER_KEY: Final = re.compile(rf"[ \t]+{_KEY}:(?:[ \t]+\S.*)?").fullmatch
_ROW: Final = re.compile(r"\s*\|.*\|\s*").fullmatch
_DASHES: Final = re.compile(r"\s*\|(?:\s*:?-+:?\s*\|)+\s*").fullmatch
_TABLE_HEADER: Final = re.compile(r"^\[\[?[\w.\"'-]+\]\]?[ \t]*$", re.MULTILINE).search
_ROOT_TAG: Final = re.compile(r"\s*(?:<\?xml[^>]*>\s*)?<([A-Za-z_][\w.-]*)[^<>]*>").match
_HTML: Final = re.compile(
    "html|head|body|div|span|p|a|b|i|u|s|em|strong|h[1-6]|[uod]l|li|table|t[rdh]|img|[bh]r|form|"
    "input|button|label|select|textarea|script|style|link|nav|main|section|article|header|footer|"
    "figure|iframe|video|audio|canvas|svg|pre|code|blockquote",
    re.IGNORECASE,
).fullmatch


class Formatted(NamedTuple):
    """A format, and where in the text it stands."""

    format: str
    start: int
    end: int


def formatted(text: str, formats: tuple[str, ...]) -> Formatted | None:
    """The first of the formats that most of the text is in."""
    whole = _weight(_FENCE.sub("", text))
    if not whole:
        return None
    wanted = [name for name in formats if name in TELLS]
    if "json" in wanted and (span := _json(text)) and _weight(text[slice(*span)]) >= SHARE * whole:
        return Formatted("json", *span)
    for start, end in _pieces(text):
        piece = text[start:end]
        if _weight(piece) < SHARE * whole:
            continue
        for name in wanted:
            if TELLS[name](piece):
                return Formatted(name, start, end)
    return None


def _weight(text: str) -> int:
    """How many characters of it are not blanks."""
    return len("".join(text.split()))


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the value may stand: in each fence; else in all of it, or without outer parts."""
    fences = list(_FENCE.finditer(text))
    if fences:
        closing = [*(fence.start() for fence in fences[1::2]), len(text)]
        for fence, end in zip(fences[::2], closing, strict=False):
            if fence[1].lower() in _DATA:
                yield fence.end(), end
        return
    first, last = 0, len(text)
    firsts, lasts = [first], [last]
    gaps = [gap.span() for gap in _BLANK_LINES.finditer(text)]
    if gaps:
        firsts.append(gaps[0][1])
        lasts.append(gaps[-1][0])
    line = text.find("\n")
    if line > 0 and text[:line].rstrip().endswith((":", ".", "!")):
        firsts.append(line + 1)
    yield from ((start, end) for start in firsts for end in lasts if start < end)


def _json(text: str) -> tuple[int, int] | None:
    """From the first to the last object or array; None without one, or in what looks like code."""
    if "{" not in text and "[" not in text:
        return None
    found = _JSON.diagnose(text)
    start, end = found.start, found.end
    if text[start : start + 1] not in ("{", "[") or _CODE_BEFORE(text, 0, start):
        return None
    broken = found.value is UNREAD and not _JSON.parse(text[start:end]).ok
    if broken and not _STARTS_JSON(text, start):
        return None
    for problem in found.problems:
        if problem.label == "multiple_roots":
            end = max(end, problem.end)
    return start, end


def _yaml(piece: str) -> bool:
    lines = [line.rstrip() for line in piece.strip().splitlines() if line.strip()]
    if lines[0] == "---":
        del lines[0]
    roots = [match[1] for line in lines if (match := _ROOT_KEY(line))]
    items = [line for line in lines if _ITEM_KEY(line)]
    if not all(_ROOT_KEY(line) or _INNER(line) for line in lines):
        return False
    if roots:
        return len(set(roots)) == len(roots) > 1 and bool(_ROOT_KEY(lines[0]))
    return bool(items) and bool(_ITEM_KEY(lines[0])) and any(map(_INNER_KEY, lines))


def _toml(piece: str) -> bool:
    if "=" not in piece:
        return False
    parsed = _TOML.parse(piece.strip())
    return parsed.ok and (len(parsed.value) > 1 or bool(_TABLE_HEADER(piece)))


def _xml(piece: str) -> bool:
    root = _ROOT_TAG(piece)
    if root is None or _HTML(root[1]):
        return False
    problems = _XML.parse(piece.strip()).problems
    return all(problem.label == "truncated" for problem in problems)


def _csv(piece: str) -> bool:
    lines = piece.strip().splitlines()
    if len(lines) < 2 or "," not in lines[0] or "," not in lines[-1]:
        return False
    parsed = _CSV.parse(piece.strip())
    if not parsed.ok:
        return False
    cells = [cell for row in parsed.value for cell in row.values()]
    words = sum(len(cell.split()) for cell in cells)
    return all(name[:1].isalpha() for name in parsed.value[0]) and words <= 5 * len(cells)


def _markdown_table(piece: str) -> bool:
    lines = piece.strip().splitlines()
    if len(lines) < 3 or not _DASHES(lines[1]):
        return False
    return all(map(_ROW, lines[:-1])) and lines[-1].lstrip().startswith("|")


def _told_apart(piece: str) -> bool:
    return False  # `formatted` looks for JSON in the whole text.


TELLS: Final[dict[str, Callable[[str], bool]]] = {
    "json": _told_apart,
    "yaml": _yaml,
    "toml": _toml,
    "xml": _xml,
    "csv": _csv,
    "markdown_table": _markdown_table,
}
"""How each format is told from prose and code."""
