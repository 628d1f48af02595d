"""What parsers read differently in quoted and block texts.

quoted_faults('"a\\n\\tb"', 0, 6) -> ("tab_indent", 3, 4), a tab in the indentation
block_fault("|\\n\\n", 0, 3)      -> "a block text of blanks alone, ...: quote it"
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fmtharness.evaluators.possessive import re
from fmtharness.evaluators.yaml.errors import until

_HEAD: Final = re.compile(r"[|>]([-+0-9]*+)[^\r\n]*+")
_BLANKS: Final = re.compile(r"[ \t\r\n]*+")
_INDENT: Final = re.compile(r"\n *+(\t[ \t]*+)|(?<!\\)(?:\\\\)*+\\\r?\n(?=[ \t]*+\r?\n)")
_NO_LINE_BREAK: Final = (
    "the last line of a block text has no line break, which parsers add or do not: write `|-`"
)
_BLANK_TEXT: Final = "a block text of blanks alone, which parsers read differently: quote it"
_BLANK_LINE: Final = (
    "a block text starts or ends with lines of blanks, which parsers read differently: quote it"
)
_ROOT_INDENT: Final = (
    "parsers read the number behind | or > differently where the text is the root: quote it"
)
_ESCAPED_BREAK: Final = (
    "an empty line follows an escaped line break, which parsers read differently: write `\\n`"
)


def quoted_faults(text: str, start: int, end: int) -> Iterator[tuple[str, int, int, str | None]]:
    """Each label, span and message of what is unclear between the quotes of text[start:end]."""
    for found in _INDENT.finditer(text, start, end):
        if found[1]:
            yield "tab_indent", found.start(1), found.end(1), None
        elif text[start] == '"':
            at = text.rindex("\\", 0, found.end())
            yield "ambiguous_scalar", at, at + 1, _ESCAPED_BREAK


def block_fault(text: str, start: int, end: int, root: bool = False) -> str | None:
    """Why parsers read the block text text[start:end], from its `|` or `>`, differently."""
    head = _HEAD.match(text, start)
    if not head:
        return None
    if end == len(text) != head.end() and text[-1] not in "\r\n" and "-" not in head[1]:
        return _NO_LINE_BREAK
    if root and head[1].strip("-+"):
        return _ROOT_INDENT
    first = until(_BLANKS, text, head.end())
    if first >= end:
        return _BLANK_TEXT
    content = head.end() + len(text[head.end() : end].rstrip(" \t\r\n"))
    behind = until(_BLANKS, text, content)
    before, after = text[head.end() : first], text[content:behind]
    # Blanks before the content are its indentation, and those of the next line are its own.
    lines = [*before.split("\n")[1:-1], *after.split("\n")[1 : None if behind == len(text) else -1]]
    return _BLANK_LINE if any(line.strip("\r") for line in lines) else None
