"""The task families: what is asked.

    FAMILIES["list"].make(context)  ->  Draft("list", "tree", "guests[]", {"guests": [...]}, ...)

A family makes a Draft from a Context; it knows neither the format nor the split it works for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fmtharness.generators.context import Context, Draft
from fmtharness.generators.families import (
    arithmetic_and_dates,
    classify,
    conversation_summary,
    convert,
    described_document,
    edit,
    extract,
    fill_the_example,
    key_values,
    languages,
    listing,
    long_list,
    merge_records,
    nested,
    nested_record,
    open_writing,
    prose,
    question_about_passage,
    quotes_and_escapes,
    schema_instance,
    sort_and_filter,
    table,
    tool_call,
    unknown_as_null,
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
    "long_list": Family(long_list.make, frozenset({"tree", "list", "table"})),
    "question_about_passage": Family(question_about_passage.make, frozenset({"record"})),
    "arithmetic_and_dates": Family(arithmetic_and_dates.make, frozenset({"record"})),
    "unknown_as_null": Family(unknown_as_null.make, frozenset({"record"})),
    "quotes_and_escapes": Family(quotes_and_escapes.make, frozenset({"record"})),
    "languages": Family(languages.make, frozenset({"record", "table"})),
    "sort_and_filter": Family(sort_and_filter.make, frozenset({"table", "tree", "list"})),
    "merge_records": Family(merge_records.make, frozenset({"record"})),
    "conversation_summary": Family(conversation_summary.make, frozenset({"tree", "record"})),
    "nested_record": Family(nested_record.make, frozenset({"tree"})),
    "open_writing": Family(open_writing.make, frozenset({"record", "tree"}), open=True),
    "described_document": Family(described_document.make, frozenset({"tree"}), open=True),
    "schema_instance": Family(schema_instance.make, frozenset({"record", "tree"}), open=True),
    "fill_the_example": Family(fill_the_example.make, frozenset({"record", "tree"}), open=True),
}
