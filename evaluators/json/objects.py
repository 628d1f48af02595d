"""Counts the complete JSON objects that stand side by side in a text.

    '{"a":1}{"a":1}'                       -> objects 2, failed
    'so { it goes {"a":"}"}'               -> objects 1
    '{"items":[{"a":1},{"a":2}'            -> objects 0, for one object is truncated
    '{"rows":[{"a":1},{"a":2}],"ok":True}' -> objects 0, for one object is broken at the T

From a brace the count follows the longest prefix that a valid object could have (RFC 8259's
grammar; repeated keys, lone surrogates and depth do not matter here) and goes on behind it: behind
the object if it is complete, else at the first character that no valid object could have there. So
a complete object inside a broken or truncated one is not counted as its neighbour.
"""

from __future__ import annotations

import re
from typing import ClassVar, Final

from fmtharness.evaluators.json.reader import SAFE_DEPTH, UNREAD, read, whole
from fmtharness.evaluators.json.scanner import CHARS, DONE, END, FLAT_OBJECT, WS, Scanner
from fmtharness.evaluators.json.tool_call import in_tags
from fmtharness.harness.contracts import Options, Rate
from fmtharness.harness.records import Completion, Example, Problem, Verdict

# The text up to a brace worth following; braces that break off at once are skipped.
_NEXT_BRACE: Final = re.compile(
    rf'(?:[^{{]++|\{{(?!{WS}(?:["}}]|\Z))|\{{{WS}"{CHARS}"{WS}(?![:]|\Z))*+'
).match
_FLAT: Final = re.compile(FLAT_OBJECT).match


def find_objects(text: str) -> list[tuple[int, int]]:
    """Where each complete object stands, side by side, as (start, end)."""
    if text[:1] == "{" and text[-1:] == "}" and whole(text, SAFE_DEPTH, False, False) is not UNREAD:
        return [(0, len(text))]
    found: list[tuple[int, int]] = []
    pos = 0
    while True:
        skipped = _NEXT_BRACE(text, pos)
        start = skipped.end() if skipped else pos
        if start == len(text):
            return found
        end = _quick_end(text, start, first=pos == 0)
        if end is None:
            scanner = Scanner(text, start)
            outcome = scanner.run()
            if outcome == END:
                return found
            pos = scanner.pos
            end = pos if outcome == DONE else None
        if end is not None:
            found.append((start, end))
            pos = end


def _quick_end(text: str, start: int, *, first: bool) -> int | None:
    """Where the object at `start` ends, if a cheap check tells."""
    if first:
        # Most texts are one object; repeating this check could read the whole text again.
        value = read(text, start, unique_keys=False)
        return value[1] if isinstance(value, tuple) else None
    flat = _FLAT(text, start)
    return flat.end() if flat else None


def _is_array(text: str) -> bool:
    """Whether the whole text is one JSON array."""
    start = len(text) - len(text.lstrip(" \t\r\n"))
    found = read(text, start, unique_keys=False) if text[start : start + 1] == "[" else None
    return isinstance(found, tuple) and not text[found[1] :].strip(" \t\r\n")


class DuplicateJsonObjects(Options):
    """Fails a completion in which two or more complete JSON objects stand side by side.

    '{"a": 1}\\n{"a": 1}' -> failed, label duplicate_objects at 9:17, counts {"objects": 2}
    """

    name: ClassVar[str] = "duplicate_json_objects"
    metric: ClassVar[str] = "duplicate_json_objects_rate"
    formats: ClassVar[frozenset[str]] = frozenset({"json", "tool_call"})
    rates: ClassVar[tuple[Rate, ...]] = (Rate("duplicate_json_objects_rate", "failed"),)

    def evaluate(self, example: Example | None, completion: Completion) -> Verdict:
        """Count the objects of one completion; an Example is not needed.

        If the Example's value is an array, its objects may stand side by side, so they count only
        if the whole text is neither one array nor the tool calls that the Example asks for.
        """
        objects = find_objects(completion.text)
        if example is not None and isinstance(example.value, list):
            calls = in_tags(example)
            if calls.parse(completion.text).ok if calls else _is_array(completion.text):
                objects = objects[:1]
        problems: tuple[Problem, ...] = ()
        if len(objects) > 1:
            message = f"{len(objects)} complete JSON objects stand side by side"
            start, end = objects[1][0], objects[-1][1]
            problems = (Problem("duplicate_objects", message, start, end),)
        return Verdict(
            id=completion.example_id,
            evaluator=self.name,
            passed=not problems,
            labels=tuple(problem.label for problem in problems),
            problems=problems,
            counts={"objects": len(objects)},
        )
