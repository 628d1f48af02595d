"""How the messages of a schema's violations show values and lists of them.

    stands("Oslo") -> '"Oslo"'    given([1]) -> "an array"    listed(["1", "2"]) -> "1, 2"

Whatever stands in a completion or a schema is cut to a length that a line can hold.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

LONGEST: Final = 200
_LONGEST_VALUE: Final = 60
_MOST_NAMED: Final = 20
COUNTS: Final = {
    "Length": ("character", "characters"),
    "Items": ("item", "items"),
    "Properties": ("key", "keys"),
}


def named(keys: Sequence[str]) -> str:
    return listed([as_json(key) for key in keys])


def listed(shown: Sequence[str]) -> str:
    """All of them up to a bound, else how many more there are."""
    kept: list[str] = []
    for each in shown[:_MOST_NAMED]:
        if kept and len(", ".join(kept)) + len(each) > LONGEST - _LONGEST_VALUE:
            break
        kept.append(each)
    more = len(shown) - len(kept)
    return ", ".join(kept) + (f" and {more:,} more" if more else "")


def counted(count: int, unit: str) -> str:
    return f"{count:,} {COUNTS[unit][count != 1]}"


def stands(part: Any) -> str:
    """What stands there: a scalar as JSON, of a container only what it is."""
    if isinstance(part, dict | list):
        return "the object" if isinstance(part, dict) else "the array"
    return as_json(part)


def given(part: Any) -> str:
    """The same where another type or value is expected."""
    if isinstance(part, dict | list):
        empty = "" if part else "empty "
        kind = f"{empty}object" if isinstance(part, dict) else f"{empty}array"
        return f"an {kind}"
    return as_json(part)


def as_json(value: Any) -> str:
    """A value as JSON, without its middle if that is long."""
    if isinstance(value, str) and len(value) > 2 * _LONGEST_VALUE:
        value = f"{value[:_LONGEST_VALUE]}…{value[-_LONGEST_VALUE:]}"
    try:
        written = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):  # a Decimal, or a number of thousands of digits
        written = "a number beyond all bounds" if isinstance(value, int) else str(value)
    if len(written) <= _LONGEST_VALUE:
        return written
    return f"{written[: _LONGEST_VALUE // 2]} … {written[-_LONGEST_VALUE // 2 :]}"
