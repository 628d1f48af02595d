"""Where the values of tool calls stand, whatever syntax the calls are in.

as_json(ToolCallFormat(syntax="mistral_args"), '[TOOL_CALLS]ring[ARGS]{"at": 4}', call)
-> Translated(text='{"name": "ring", "arguments": {"at": 4}}', ...), whose `source` leads from
   a problem at 36:37 of this JSON to the same problem at 29:30 of the text
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

from fmtharness.evaluators.json.places import places
from fmtharness.evaluators.json.scanner import SPACE
from fmtharness.evaluators.json.tool_call import ToolCallFormat
from fmtharness.evaluators.json.tool_call_python import TAGS, Translated, translated
from fmtharness.evaluators.json.tool_call_syntax import SYNTAXES, Piece

Part = tuple[str, tuple[int, int]]
"""A part of the JSON, and where it stands in the text."""


def as_json(target: ToolCallFormat, text: str, value: Any) -> Translated:
    """The JSON of the calls in a text that the Format parses as this value."""
    if target.syntax == "python":
        bare = text.strip(SPACE)
        start = text.index(TAGS[0]) + len(TAGS[0]) if bare.startswith(TAGS[0]) else 0
        end = text.rindex(TAGS[1]) if start else len(text)
        found = translated(text[start:end])
        spans = [(start + one, start + other) for one, other in found.spans]
        return found._replace(text=_rooted(found.text, value), spans=spans)
    syntax = SYNTAXES[target.syntax]
    parts: list[Part] = [("[", (0, 0))]
    for at, piece in enumerate(syntax.frame(text).pieces):
        parts += [(",", (piece.start, piece.start))] if at else []
        parts += _call(text, piece, syntax.rules.key)
    parts.append(("]", (len(text), len(text))))
    starts = [0, *itertools.accumulate(len(part) for part, _ in parts[:-1])]
    written = "".join(part for part, _ in parts)
    return Translated(_rooted(written, value), [], starts, [span for _, span in parts])


def _call(text: str, piece: Piece, key: str) -> Iterator[Part]:
    """The JSON of one piece: a call, or calls with commas between them."""
    start, end, name = piece
    inner = text[start:end]
    if name is not None:
        yield f'{{"name": {json.dumps(text[slice(*name)])}, "arguments": ', name
        yield inner, (start, end)
        yield "}", (end, end)
    elif inner.strip(SPACE).startswith("["):
        yield _open(inner), (start, end)
    elif key == "arguments":
        yield inner, (start, end)
    else:
        first, last = places(inner, [(key,)])[(key,)].key or (0, 0)
        yield inner[:first], (start, start + first)
        yield '"arguments"', (start + first, start + last)
        yield inner[last:], (start + last, end)


def _rooted(array: str, value: Any) -> str:
    return array if isinstance(value, list) else _open(array)


def _open(array: str) -> str:
    """The items of an array, which stay where they are."""
    first, last = array.index("["), array.rindex("]")
    return f"{array[:first]} {array[first + 1 : last]} {array[last + 1 :]}"
