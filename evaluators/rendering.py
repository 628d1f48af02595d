"""The last steps of a `render`: a value as JSON, and the check that parsing a text gives its value.

dumped({"a": [1, None]})              -> '{"a": [1, null]}'
checked(JsonArrayFormat(), "[1]", [1]) -> "[1]"
"""

from __future__ import annotations

import json
from typing import Any, Final

from fmtharness.harness.contracts import Format
from fmtharness.harness.matching import same_value

_LAYOUTS: Final[dict[str, dict[str, Any]]] = {
    "line": {},
    "compact": {"separators": (",", ":")},
    "indented": {"indent": 2},
}


def dumped(value: Any, layout: str = "line") -> str:
    """The value as JSON on one line, compact or indented; ValueError for what JSON does not have.

    dumped({"a": [1, None]}) -> '{"a": [1, null]}'
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, **_LAYOUTS[layout])
    except (TypeError, RecursionError) as error:
        raise ValueError(f"JSON does not hold the value: {error}") from error


def checked(tested: Format, text: str, value: Any) -> str:
    """The text, if the Format reads it as the value; else a ValueError says why it does not.

    checked(JsonArrayFormat(), "[1]", [1]) -> "[1]"
    """
    parsed = tested.parse(text)
    if not parsed.ok:
        raise ValueError(f"{tested.name} does not hold the value: {parsed.problems[0].message}")
    if not same_value(parsed.value, value):
        raise ValueError(f"{tested.name} would read {value!r:.80} as {parsed.value!r:.80}")
    return text
