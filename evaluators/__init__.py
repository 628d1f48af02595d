"""The built-in formats and the evaluators that cross formats.

    fmtharness_formats()    -> JsonFormat, YamlFormat, ...
    fmtharness_evaluators() -> DuplicateJsonObjects, Extras, JsonLeniency, JsonSchema

`<format>_strict` and `<format>_match` are not here: the core derives them from the Format.
"""

from __future__ import annotations

from collections.abc import Sequence

from evaluators.csv_format import CsvFormat
from evaluators.duplicate_json_objects import DuplicateJsonObjects
from evaluators.extras import Extras
from evaluators.json_array_format import JsonArrayFormat
from evaluators.json_format import JsonFormat
from evaluators.json_leniency import JsonLeniency
from evaluators.json_schema import JsonSchema
from evaluators.jsonl_format import JsonlFormat
from evaluators.markdown_table_format import MarkdownTableFormat
from evaluators.regex_format import RegexFormat
from evaluators.toml_format import TomlFormat
from evaluators.tool_call_format import ToolCallFormat
from evaluators.xml_format import XmlFormat
from evaluators.yaml_format import YamlFormat
from harness import hookimpl
from harness.contracts import Evaluator, Format


@hookimpl
def fmtharness_formats() -> Sequence[type[Format]]:
    """JSON and what is made of it, then the others."""
    return [
        JsonFormat,
        JsonArrayFormat,
        JsonlFormat,
        ToolCallFormat,
        YamlFormat,
        TomlFormat,
        XmlFormat,
        CsvFormat,
        MarkdownTableFormat,
        RegexFormat,
    ]


@hookimpl
def fmtharness_evaluators() -> Sequence[type[Evaluator]]:
    """What the evaluators that the core derives cannot say."""
    return [DuplicateJsonObjects, Extras, JsonLeniency, JsonSchema]
