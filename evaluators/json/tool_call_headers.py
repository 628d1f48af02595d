"""Finds names that stand before the arguments of a call, outside of its JSON.

    name_before('ring {"at": 4}', 5, 14, problems, ())
    -> [missing_name at 0:4], in place of text_before, missing_name and missing_arguments

Models that were taught [TOOL_CALLS]name[ARGS]{...}, or a name on the line above, write so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fmtharness.evaluators.json.scanner import DONE, SPACE, WS, Scanner
from fmtharness.evaluators.json.tool_call_faults import problem
from fmtharness.evaluators.possessive import re
from fmtharness.harness.records import Problem

_WORD: Final = re.compile(r"[A-Za-z_][\w.]*+", re.ASCII).fullmatch
_NAME_AND_BRACE: Final = re.compile(
    rf"{WS}(?:[,;]{WS})?([A-Za-z_][\w.]*+):?+{WS}(?=\{{)", re.ASCII
).match
_NO_NAMES: Final = frozenset(
    ["json", "answer", "call", "calls", "function", "output", "result", "response", "tool", "tools"]
)
"""Words that stand before JSON and name no tool."""


def name_before(
    text: str, start: int, end: int, found: Sequence[Problem], tools: Sequence[str]
) -> list[Problem]:
    """The problems of a text whose JSON stands at start:end, each said once.

    If the name of a call stands before an object that is its arguments, all that is wrong is where
    the name stands. The same goes for the calls behind it.
    """
    own = [each for each in found if (each.start, each.end) == (start, end)]
    before = next((each for each in found if each.label == "text_before"), None)
    if {each.label for each in own} != {"missing_name", "missing_arguments"} or before is None:
        return list(found)
    name = text[before.start : before.end].removesuffix(":")
    if not _is_name(name, tools):
        return list(found)
    dropped = [*own, before, *(each for each in found if each.label == "unexpected_key")]
    said = [each for each in found if each not in dropped]
    said += _misplaced(name, before.start, tools)
    while next_name := _NAME_AND_BRACE(text, end):
        scanner = Scanner(text, next_name.end())
        if not _is_name(next_name[1], tools) or scanner.run() != DONE:
            break
        said += _misplaced(next_name[1], next_name.start(1), tools)
        end = scanner.pos
    if not text[end:].strip(SPACE + "`"):
        said = [each for each in said if each.label != "text_after"]
    return said


def is_name_before(text: str, found: Problem) -> bool:
    """Whether the problem is a name that stands before its arguments."""
    return found.label == "missing_name" and bool(_WORD(text[found.start : found.end]))


def _is_name(word: str, tools: Sequence[str]) -> bool:
    if not _WORD(word) or word.lower() in _NO_NAMES:
        return word in tools
    return not tools or word in tools or "_" in word or "." in word


def _misplaced(name: str, at: int, tools: Sequence[str]) -> list[Problem]:
    end = at + len(name)
    message = f"{name!r:.60} stands before the arguments, not as the value of the key 'name'"
    said = [problem("missing_name", at, end, message)]
    if tools and name not in tools:
        message = f"{name!r:.60} is none of the tools: {', '.join(tools):.200}"
        said.append(problem("unknown_tool", at, end, message))
    return said
