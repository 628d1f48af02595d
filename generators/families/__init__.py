"""The task families: what is asked.

    FAMILIES["list"].make(context)  ->  Draft("list", "tree", "guests[]", {"guests": [...]}, ...)

A family makes a Draft from a Context; it knows neither the format nor the split it works for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fmtharness.generators.context import Context, Draft
from fmtharness.generators.families import (
    classify,
    convert,
    edit,
    extract,
    key_values,
    listing,
    nested,
    prose,
    table,
    tool_call,
)
from fmtharness.harness.contracts import Shape


@dataclass(frozen=True, slots=True)
class Family:
    """How a family makes a Draft, and the shapes it needs: any one of them will do."""

    make: Callable[[Context], Draft]
    shapes: frozenset[Shape]


FAMILIES: dict[str, Family] = {
    "extract": Family(extract.make, frozenset({"record"})),
    "key_values": Family(key_values.make, frozenset({"record"})),
    "edit": Family(edit.make, frozenset({"record"})),
    "convert": Family(convert.make, frozenset({"record", "table"})),
    "list": Family(listing.make, frozenset({"tree", "list"})),
    "table": Family(table.make, frozenset({"table"})),
    "nested": Family(nested.make, frozenset({"tree"})),
    "tool_call": Family(tool_call.make, frozenset({"tree", "call"})),
    "classify": Family(classify.make, frozenset({"record"})),
    "prose": Family(prose.make, frozenset({"record"})),
}
