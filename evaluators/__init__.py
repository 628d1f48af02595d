"""The built-in formats and the evaluators that cross formats.

    fmtharness_formats()    -> JsonFormat, YamlFormat, ...
    fmtharness_evaluators() -> DuplicateJsonObjects, Extras, JsonSchema, Loops, ...

`<format>_strict` and `<format>_match` are not here: the core derives them from the Format.
"""

from __future__ import annotations

from collections.abc import Sequence

from fmtharness.evaluators.answers.loops import Loops
from fmtharness.evaluators.answers.open_request import OpenRequest
from fmtharness.evaluators.answers.unasked_format import UnaskedFormat
from fmtharness.evaluators.json.array import JsonArrayFormat
from fmtharness.evaluators.json.extras import Extras
from fmtharness.evaluators.json.format import JsonFormat
from fmtharness.evaluators.json.leniency import JsonLeniency
from fmtharness.evaluators.json.lines import JsonlFormat
from fmtharness.evaluators.json.objects import DuplicateJsonObjects
from fmtharness.evaluators.json.schema import JsonSchema
from fmtharness.evaluators.json.tool_call import ToolCallFormat
from fmtharness.evaluators.regex.format import RegexFormat
from fmtharness.evaluators.tables.csv import CsvFormat
from fmtharness.evaluators.tables.markdown import MarkdownTableFormat
from fmtharness.evaluators.toml.format import TomlFormat
from fmtharness.evaluators.xml.format import XmlFormat
from fmtharness.evaluators.yaml.format import YamlFormat
from fmtharness.harness import hookimpl
from fmtharness.harness.contracts import Evaluator, Format


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
    return [
        DuplicateJsonObjects,
        Extras,
        JsonLeniency,
        JsonSchema,
        Loops,
        OpenRequest,
        UnaskedFormat,
    ]
