"""What named peers would say of a text that should be JSON: true where their check passes.

    text '{"a": NaN}'  -> ifeval and deepeval pass it, promptfoo's is-json does not
    text '{"a": "b",}' -> promptfoo's contains-json passes it, the others do not

Their checks are reimplemented from their sources:

- IFEval, google-research/instruction_following_eval/instructions.py at 3f357bd, class JsonFormat;
  EleutherAI/lm-evaluation-harness has the same at 4e7e0d4, lm_eval/tasks/ifeval/instructions.py.
- promptfoo, promptfoo/promptfoo: is-json and contains-json of src/assertions/json.ts at 01f79c7,
  the extraction of src/util/json.ts as it is there (later than release 0.123.1), js-yaml 5.4.1.
- deepeval, confident-ai/deepeval at a2e0d4c, deepeval/metrics/json_correctness/json_correctness.py.

Schemas are not used here: promptfoo's may be left out, and deepeval's is taken to be the widest
model for the wanted root. Only `on_ample_stack` raises. docs/design/leniency.md says where
contains-json may differ from the original.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, Final, Literal, TypeVar

from pydantic import RootModel

from fmtharness.evaluators.json.reader import read
from fmtharness.evaluators.json.scanner import CHARS, DONE, FLAT_ARRAY, SCALAR, SPACE, WS, Scanner
from fmtharness.evaluators.json.side_by_side import find_objects
from fmtharness.evaluators.possessive import re
from fmtharness.evaluators.yaml.flow import reads

type_value = TypeVar("type_value")

_TICKS: Final = ("```json", "```Json", "```JSON", "```")
_MODELS: Final[dict[str, Any]] = {
    "object": RootModel[dict[str, Any]],
    "array": RootModel[list[Any]],
    "any": RootModel[Any],
}
_MEMBER: Final = f'"{CHARS}"{WS}:{WS}(?:{SCALAR}|{FLAT_ARRAY}){WS}'
_INNER_OBJECT: Final = re.compile(rf"\{{{WS}(?:{_MEMBER}(?:,{WS}{_MEMBER})*+)?+\}}").finditer
_BRACES: Final = re.compile(r"[{}]")
_LETTER: Final = re.compile(r"[a-zA-Z]").match

LONGEST_CANDIDATE: Final = 100_000
"""promptfoo reads at most this many characters from one brace on."""
MOST_STEPS: Final = 100_000
"""After this many steps the search for an object gives up; promptfoo would go on for minutes."""


def ifeval(text: str) -> bool:
    """IFEval's `json_format`: what Python reads without whitespace and ```, if there is any."""
    inner = text.strip()
    for tick in _TICKS:
        inner = inner.removeprefix(tick)
    inner = inner.removesuffix("```").strip()
    try:
        on_ample_stack(json.loads, inner)
    except (ValueError, RecursionError):
        return False
    return True


def deepeval(text: str, root: Literal["object", "array", "any"] = "object") -> bool:
    """deepeval's JSON correctness, with a pydantic model that takes any value of this root."""
    try:
        _MODELS[root].model_validate_json(text)
    except (ValueError, RecursionError):
        return False
    return True


def promptfoo_is_json(text: str) -> bool:
    """promptfoo's `is-json` without a schema: JavaScript's JSON.parse takes the whole text."""
    start = len(text) - len(text.lstrip(SPACE))
    found = read(text, start, unique_keys=False)
    if isinstance(found, tuple):
        end = found[1]
    elif found == 0 and text[start : start + 1] in ("{", "["):
        # JSON.parse has no limit of depth.
        scanner = Scanner(text, start)
        if scanner.run() != DONE:
            return False
        end = scanner.pos
    else:
        return False
    return not text[end:].strip(SPACE)


def promptfoo_contains_json(text: str) -> bool:
    """promptfoo's `contains-json` without a schema: JSON or YAML reads an object at some brace."""
    if "{" not in text:
        return False
    inner = (match.span() for match in _INNER_OBJECT(text))
    if any(end - start <= LONGEST_CANDIDATE for start, end in chain(inner, find_objects(text))):
        return True
    steps = 0
    for start, end, missing in _candidates(text):
        candidate = _with_hash_comments(text[start:end] + "}" * missing)
        taken, more = reads(candidate)
        if taken:
            return True
        steps += more + len(candidate) // 20
        if steps > MOST_STEPS:
            break
    return False


def _candidates(text: str) -> Iterator[tuple[int, int, int]]:
    """For each brace: where it starts, where the text to try ends, and how many braces to add.

    The text ends where as many braces closed as opened, whether or not they are in a string; else
    at the end of what promptfoo reads.
    """
    ends: dict[int, int] = {}
    opened: list[int] = []
    for match in _BRACES.finditer(text):
        if match[0] == "{":
            ends[match.start()] = len(text) + LONGEST_CANDIDATE
            opened.append(match.start())
        elif opened:
            ends[opened.pop()] = match.end()
    for start, end in ends.items():
        if end - start <= LONGEST_CANDIDATE:
            yield start, end, 0
            continue
        end = min(start + LONGEST_CANDIDATE, len(text))
        if end > start + 1:
            yield start, end, text.count("{", start, end) - text.count("}", start, end)


def _with_hash_comments(text: str) -> str:
    """The text with `//` outside of quotes turned into YAML's `#`, line by line."""
    if "//" not in text:
        return text
    return "\n".join(_line_with_hash(line) if "//" in line else line for line in text.split("\n"))


def _line_with_hash(line: str) -> str:
    quote = ""
    escaped = False
    blank, scheme = -1, -2
    for pos, char in enumerate(line):
        if char.isspace():
            blank = pos
        elif char == ":" and line.startswith("://", pos):
            scheme = pos
        if quote:
            if escaped or char == "\\":
                escaped = not escaped
            elif char == quote and (char == '"' or not _LETTER(line, pos + 1)):
                quote = ""
        elif char == '"' or (char == "'" and not (pos and _LETTER(line, pos - 1))):
            quote = char
        elif char == "/" and line.startswith("//", pos) and scheme < blank:
            rest = line[pos:].lstrip("/")
            return line[:pos] + "#" * ((len(line) - pos - len(rest)) // 2) + rest
    return line


def on_ample_stack(function: Callable[[str], type_value], text: str) -> type_value:
    """What `function(text)` returns or raises; the depth of the caller's stack does not matter.

    A RecursionError is raised where the stack of a new thread is too small as well.
    """
    try:
        return function(text)
    except RecursionError:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as fresh:
            return fresh.submit(function, text).result()
