"""The built-in formats and the evaluators that cross formats.

    fmtharness_formats()    -> JsonFormat, YamlFormat, ...
    fmtharness_evaluators() -> DuplicateJsonObjects, Extras, JsonLeniency, JsonSchema

`<format>_strict` and `<format>_match` are not here: the core derives them from the Format.
"""

from __future__ import annotations

from collections.abc import Sequence

from evaluators.json.array import JsonArrayFormat
from evaluators.json.extras import Extras
from evaluators.json.format import JsonFormat
from evaluators.json.leniency import JsonLeniency
from evaluators.json.lines import JsonlFormat
from evaluators.json.objects import DuplicateJsonObjects
from evaluators.json.schema import JsonSchema
from evaluators.json.tool_call import ToolCallFormat
from evaluators.regex.format import RegexFormat
from evaluators.tables.csv import CsvFormat
from evaluators.tables.markdown import MarkdownTableFormat
from evaluators.toml.format import TomlFormat
from evaluators.xml.format import XmlFormat
from evaluators.yaml.format import YamlFormat
from harness import hookimpl
from harness.contracts import Evaluator, Format


@hookimpl
def fmtharness_formats() -> Sequence[type[Format]]:
    """JSON and the formats built on it, then the others."""
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
    """Evaluators of what the derived ones do not measure."""
    return [DuplicateJsonObjects, Extras, JsonLeniency, JsonSchema]
