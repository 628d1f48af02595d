"""Measures what stands around the JSON value, and which keys are missing or invented.

    'Sure:\\n```json\\n{"a": 1}\\n```', Example value {"a": 2, "b": 3}
    -> failed, counts characters_before 13, characters_after 3, text_before 1, code_fence 1,
       missing_keys 1, ...

Only what stands outside the value decides `passed`; the keys are counted separately. Keys are
compared if the value by itself is valid JSON, however it is wrapped; `compared` says so.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from msgspec import UNSET

from fmtharness.evaluators.json.format import JsonFormat
from fmtharness.evaluators.json.reader import UNREAD
from fmtharness.evaluators.json.scanner import SPACE
from fmtharness.evaluators.json.tool_call import in_tags
from fmtharness.harness.contracts import Options, Parsed, Rate
from fmtharness.harness.matching import Path
from fmtharness.harness.records import Completion, Example, Verdict

# The strict evaluator checks the value itself.
_FORMAT: Final = JsonFormat(root="any", unique_keys=False, unicode_scalars=False)
_OUTSIDE: Final = (
    "byte_order_mark",
    "text_before",
    "text_after",
    "code_fence",
    "multiple_roots",
    "no_json",
    "text_between",
)


class Extras(Options):
    """Fails a completion that holds anything besides the JSON value.

    'Here you go: {"a": 1}' -> failed, label text_before, counts characters_before 12, ...
    """

    name: ClassVar[str] = "extras"
    metric: ClassVar[str] = "extras_rate"
    formats: ClassVar[frozenset[str]] = frozenset({"json", "tool_call"})
    rates: ClassVar[tuple[Rate, ...]] = (
        Rate("extras_rate", "failed"),
        Rate("prose_before_rate", "text_before"),
        Rate("prose_after_rate", "text_after"),
        Rate("code_fence_rate", "code_fence"),
        Rate("multiple_values_rate", "multiple_roots"),
        Rate("truncated_rate", "truncated"),
        Rate("empty_rate", "empty"),
        Rate("missing_keys_rate", "with_missing_keys", "compared"),
        Rate("unexpected_keys_rate", "with_unexpected_keys", "compared"),
    )

    def evaluate(self, example: Example | None, completion: Completion) -> Verdict:
        """Measure one completion; without an Example the keys are not compared."""
        text = completion.text
        calls = in_tags(example)
        diagnosis = calls.diagnose(text) if calls else _FORMAT.diagnose(text)
        start, end = diagnosis.start, diagnosis.end
        found = {problem.label for problem in diagnosis.problems}
        missing = unexpected = compared = 0
        if example is not None and example.value is not UNSET:
            value = diagnosis.value
            if value is not UNREAD:
                parsed = Parsed(value)
            else:
                parsed = (calls or _FORMAT).parse(text[start:end])
            if parsed.ok:
                expected, given = keys(example.value), keys(parsed.value)
                missing, unexpected = len(expected - given), len(given - expected)
                compared = 1
        outside = tuple(problem for problem in diagnosis.problems if problem.label in _OUTSIDE)
        return Verdict(
            id=completion.example_id,
            evaluator=self.name,
            passed=not outside,
            labels=tuple(dict.fromkeys(problem.label for problem in outside)),
            problems=outside,
            counts={
                "characters_before": len(text[:start].strip(SPACE)),
                "characters_after": len(text[end:].strip(SPACE)),
                "text_before": int("text_before" in found),
                "text_after": int("text_after" in found or "no_json" in found),
                "code_fence": int("code_fence" in found),
                "multiple_roots": int("multiple_roots" in found),
                "truncated": int("truncated" in found or completion.finish_reason == "length"),
                "empty": int("empty" in found),
                "compared": compared,
                "missing_keys": missing,
                "unexpected_keys": unexpected,
                "with_missing_keys": int(missing > 0),
                "with_unexpected_keys": int(unexpected > 0),
            },
        )


def keys(value: Any) -> set[Path]:
    """Every key of every object by its path; all elements of an array share the step '*'."""
    found: set[Path] = set()
    left: list[tuple[Path, Any]] = [((), value)]
    while left:
        path, node = left.pop()
        if isinstance(node, dict):
            for key, child in node.items():
                found.add((*path, key))
                left.append(((*path, key), child))
        elif isinstance(node, list | tuple):
            left += [((*path, "*"), child) for child in node]
    return found
