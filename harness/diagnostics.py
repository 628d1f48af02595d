"""Shows where a text breaks and why, as a compiler does.

diagnosis('{"a": 1,}', verdict)  ->  'text:1:9: trailing_comma: ...', the line, a caret below it
"""

from __future__ import annotations

from harness.records import Verdict


def diagnosis(text: str, verdict: Verdict, *, name: str = "text", color: bool = False) -> str:
    """Each problem's place, label and message, with its line and a caret below the span."""
    shown = []
    for problem in verdict.problems:
        line_start = text.rfind("\n", 0, problem.start) + 1
        row = text.count("\n", 0, problem.start) + 1
        column = problem.start - line_start + 1
        line = text[line_start:].split("\n", 1)[0][:100]
        shown.append(f"{name}:{row}:{column}: {problem.label}: {problem.message}")
        shown += [f"  {line}", f"  {' ' * (column - 1)}^"]
    return "\n".join(shown)
