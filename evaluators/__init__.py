"""The built-in formats and the evaluators that cross formats.

    fmtharness_formats()    -> JsonFormat
    fmtharness_evaluators() -> DuplicateJsonObjects, Extras, JsonLeniency

`<format>_strict` and `<format>_match` are not here: the core derives them from the Format.
"""

from __future__ import annotations

from collections.abc import Sequence

from evaluators.duplicate_json_objects import DuplicateJsonObjects
from evaluators.extras import Extras
from evaluators.json_format import JsonFormat
from evaluators.json_leniency import JsonLeniency
from harness import hookimpl
from harness.contracts import Evaluator, Format


@hookimpl
def fmtharness_formats() -> Sequence[type[Format]]:
    """JSON."""
    return [JsonFormat]


@hookimpl
def fmtharness_evaluators() -> Sequence[type[Evaluator]]:
    """What the evaluators that the core derives cannot say."""
    return [DuplicateJsonObjects, Extras, JsonLeniency]
