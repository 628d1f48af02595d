"""Judges whether an answer is in a format that nobody asked for.

'{"boil": true, "egg": "egg"}' to "How do I boil an egg?" -> failed, label unasked_format at 0:28
'Put it into boiling water.'                              -> passed
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from pydantic import field_validator

from fmtharness.evaluators.answers.formatted import TELLS, formatted
from fmtharness.harness.contracts import Options, Rate
from fmtharness.harness.plugins import component
from fmtharness.harness.records import NO_FORMAT, Completion, Example, Problem, Verdict

ASKS_FOR: Final = "asks_for"
"""The tag of an Example whose prompt asks for a format, or for some, though it is in none."""
_ARE_JSON: Final = dict.fromkeys(("json_array", "jsonl", "tool_call"), "json")
_CALLED: Final = {"json": "JSON", "yaml": "YAML", "toml": "TOML", "xml": "XML", "csv": "CSV"}


class UnaskedFormat(Options):
    """Fails an answer to an Example that asks for no format, if it is one or holds little besides.

    '{"boil": true, "egg": "egg"}' -> failed, label unasked_format at 0:28

    An Example's tag `asks_for` names formats that are welcome: "markdown_table", or a list. A text
    without an Example is judged as one that nobody asked a format of.
    """

    name: ClassVar[str] = "unasked_format"
    metric: ClassVar[str] = "unasked_format_rate"
    formats: ClassVar[frozenset[str]] = frozenset({NO_FORMAT})
    rates: ClassVar[tuple[Rate, ...]] = (Rate("unasked_format_rate", "failed"),)

    unasked: str | tuple[str, ...] = ()
    """The format, or formats, that are looked for; all that can be told from prose if it names
    none of them: json (with json_array, jsonl and tool_call), yaml, toml, xml, csv and
    markdown_table."""

    @field_validator("unasked")
    @classmethod
    def _exist(cls, named: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for name in [named] if isinstance(named, str) else named:
            component("formats", name)
        return named

    def evaluate(self, example: Example | None, completion: Completion) -> Verdict:
        """Judge one completion; an Example is needed only for its tag."""
        welcome = _names(example.tags.get(ASKS_FOR) if example else None)
        wanted = _names(self.unasked) & TELLS.keys() or TELLS.keys()
        found = formatted(
            completion.text, tuple(name for name in TELLS if name in wanted - welcome)
        )
        problems: tuple[Problem, ...] = ()
        if found:
            called = _CALLED.get(found.format, "a Markdown table")
            message = f"the answer is {called}, and nobody asked for it"
            problems = (Problem("unasked_format", message, found.start, found.end),)
        return Verdict(
            id=completion.example_id,
            evaluator=self.name,
            passed=not problems,
            labels=tuple(problem.label for problem in problems),
            problems=problems,
        )


def _names(named: Any) -> set[str]:
    """The formats as `formatted` calls them: `["jsonl", "csv"]` -> {"json", "csv"}."""
    listed = [named] if isinstance(named, str) else named if isinstance(named, list | tuple) else []
    return {_ARE_JSON.get(name, name) for name in listed if isinstance(name, str)}
