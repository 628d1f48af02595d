r"""Reads what broken JSON means, so that its calls can be judged although its syntax is wrong.

    recovered("{'name': 'ring', 'ok': True,}", 64).text
    -> '{"name": "ring", "ok": true }', whose `source` leads from its problems to the text's

Each mistake that the JSON judge names is mended where it stands. A text that is cut off, or whose
mistakes leave more than one reading, means nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Set
from typing import Final

from fmtharness.evaluators.json.labels import LABELS, Problems
from fmtharness.evaluators.json.recovery import walk
from fmtharness.evaluators.json.tool_call_python import Translated
from fmtharness.evaluators.possessive import re
from fmtharness.harness.records import Problem

_ESCAPE_OR_QUOTE: Final = re.compile(r'\\([\'"`])|"|[\x00-\x1f]|\\.', re.DOTALL).sub


class _All(Problems):
    """Keeps every problem, however many there are of one label."""

    def add(self, label: str, start: int, end: int, message: str | None = None) -> None:
        self._found.append(Problem(label, message or LABELS.get(label, label), start, end))


def recovered(text: str, max_depth: int) -> Translated | None:
    """Strict JSON for a broken object or array, in time linear in it; None where that fails.

    The result is not parsed: it may still be broken.
    """
    found = _All()
    if walk(text, 0, found, max_depth, unique_keys=False) != len(text):
        return None
    parts: list[str] = []
    spans: list[tuple[int, int]] = []
    at = 0
    for problem in found.in_order():
        mend = _MENDS.get(problem.label)
        if mend is None:
            return None
        if problem.start < at:
            continue
        start, end = problem.start, problem.end
        for part, span in (
            (text[at:start], (at, start)),
            (mend(text[start:end]), (start, end)),
        ):
            if part:
                parts.append(part)
                spans.append(span)
        at = end
    parts.append(text[at:])
    spans.append((at, len(text)))
    starts = [0]
    for part in parts:
        starts.append(starts[-1] + len(part))
    return Translated("".join(parts), [], starts[:-1], spans)


def mendable(labels: Set[str]) -> bool:
    """Whether text with such mistakes can be recovered."""
    return labels <= _MENDS.keys() | {"duplicate_key", "lone_surrogate"}


def _blank(written: str) -> str:
    return " " * len(written)


def _requoted(written: str) -> str:
    """A string in other quotes as one in double quotes."""

    def escaped(match: re.Match[str]) -> str:
        sign = match[1] or match[0]
        return sign if len(sign) > 1 or sign in "'`" else json.dumps(sign)[1:-1]

    return f'"{_ESCAPE_OR_QUOTE(escaped, written[1:-1])}"'


def _quoted(written: str) -> str:
    return json.dumps(written.strip('"'), ensure_ascii=False)


def _with_colon(written: str) -> str:
    if written in ("=", "=>", "->", ";"):
        return ":"
    return f": {'null' if written in ',}' else ''}{written}"


_MENDS: Final[Mapping[str, Callable[[str], str]]] = {
    "trailing_comma": _blank,
    "extra_comma": _blank,
    "comment": _blank,
    "bad_whitespace": _blank,
    "python_literal": lambda written: {"True": "true", "False": "false"}.get(written, "null"),
    "nan_or_infinity": lambda written: "0",
    "leading_zero": lambda written: "0",
    "bad_number": lambda written: "0",
    "unquoted_key": _quoted,
    "unquoted_value": _quoted,
    "single_quotes": _requoted,
    "smart_quotes": _requoted,
    "missing_comma": lambda written: "," if written == ";" else f",{written}",
    "missing_colon": _with_colon,
    "missing_value": lambda written: f"null{written}",
    "bad_escape": lambda written: json.dumps(written[1:])[1:-1],
    "raw_control_character": lambda written: json.dumps(written)[1:-1],
    "unescaped_quote": lambda written: "'" if written == '"' else written,
}
"""What each mistake is in strict JSON."""
