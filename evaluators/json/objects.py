"""Counts the complete JSON objects that stand side by side in a text.

'{"a":1}{"a":1}'                       -> objects 2, failed
'so { it goes {"a":"}"}'               -> objects 1
'{"items":[{"a":1},{"a":2}'            -> objects 0, for one object is truncated
'{"rows":[{"a":1},{"a":2}],"ok":True}' -> objects 0, for one object is broken at the T
"""

from __future__ import annotations

from typing import ClassVar

from fmtharness.evaluators.json.reader import read
from fmtharness.evaluators.json.side_by_side import find_objects
from fmtharness.evaluators.json.tool_call import in_tags
from fmtharness.harness.contracts import Options, Rate
from fmtharness.harness.records import Completion, Example, Problem, Verdict


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
