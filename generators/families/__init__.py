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
    described_document,
    edit,
    extract,
    fill_the_example,
    key_values,
    listing,
    nested,
    nested_record,
    open_writing,
    prose,
    schema_instance,
    table,
    tool_call,
)
from fmtharness.harness.contracts import Shape


@dataclass(frozen=True, slots=True)
class Family:
    """How a family makes a Draft, and the shapes it needs: any one of them will do."""

    make: Callable[[Context], Draft]
    shapes: frozenset[Shape]
    open: bool = False
    """Whether the content is free, so that no answer can be compared with the target."""


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
    "nested_record": Family(nested_record.make, frozenset({"tree"})),
    "open_writing": Family(open_writing.make, frozenset({"record", "tree"}), open=True),
    "described_document": Family(described_document.make, frozenset({"tree"}), open=True),
    "schema_instance": Family(schema_instance.make, frozenset({"record", "tree"}), open=True),
    "fill_the_example": Family(fill_the_example.make, frozenset({"record", "tree"}), open=True),
}
