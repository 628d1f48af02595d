"""JSON as a Format: how to ask for it, render it, parse it strictly, and break it.

    JsonFormat().render({"a": 1})   -> '{"a": 1}'
    JsonFormat().parse('{"a": 1,}') -> Parsed(problems=(Problem("trailing_comma", ..., 7, 8),))

The rules beyond RFC 8259's grammar (the root, the depth, unique keys, no lone surrogates) are
options. Schemas are not checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, ClassVar, Literal

from pydantic import Field

from fmtharness.evaluators.json.allowed import schema_for
from fmtharness.evaluators.json.corruptions import CORRUPTIONS, too_deep
from fmtharness.evaluators.json.diagnosis import Diagnosis, diagnose
from fmtharness.evaluators.json.labels import LABELS
from fmtharness.evaluators.json.reader import REPEATED, UNREAD, build, whole
from fmtharness.evaluators.json.rungs import Ladder
from fmtharness.evaluators.rendering import checked, dumped
from fmtharness.harness.contracts import Corruption, Options, Parsed, Shape
from fmtharness.harness.formats import Consumer
from fmtharness.harness.records import Example

_STARTS, _ENDS = "{[ \n", "}] \n"
_ROOTS = {"object": dict, "array": list, "any": object}


class JsonFormat(Options):
    """Strict JSON: the whole text is one RFC 8259 value, by default an object.

    parse('{"a": 1}')                -> Parsed(value={"a": 1})
    parse('```json\\n{"a": 1,}\\n```') -> problems code_fence at 0:7, trailing_comma at 15:16

    A number beyond a float's range is read as infinity, as Python reads it, and an integer of more
    than 20,000 digits as Decimal.
    """

    name: ClassVar[str] = "json"
    shapes: ClassVar[frozenset[Shape]] = frozenset({"record", "table", "tree"})
    labels: ClassVar[Mapping[str, str]] = LABELS
    evaluators: ClassVar[tuple[str, ...]] = ("duplicate_json_objects", "extras")

    root: Literal["object", "array", "any"] = "object"
    """What the root value must be."""
    max_depth: int = Field(default=64, ge=1)
    """How many objects and arrays may be open at once."""
    unique_keys: bool = True
    """Whether a key that an object repeats is a problem."""
    unicode_scalars: bool = True
    """Whether a lone surrogate, raw or escaped, is a problem."""
    layout: Literal["line", "compact", "indented"] = "line"
    """How a value is written: on one line, there without spaces, or indented by two. Any layout
    is read."""

    def instruction(self, value: Any) -> str:
        """One sentence that asks for JSON and nothing else."""
        kind = (
            "object" if isinstance(value, dict) else "array" if isinstance(value, list) else "value"
        )
        return f"Answer with one JSON {kind} and nothing else."

    def render(self, value: Any) -> str:
        """The value in the layout, in Unicode; a line has a space after each comma and colon."""
        return checked(self, dumped(value, self.layout), value)

    def parse(self, text: str) -> Parsed:
        """The whole text as a value, or all problems."""
        diagnosis = self.diagnose(text)
        if diagnosis.problems:
            return Parsed(problems=diagnosis.problems)
        return Parsed(build(text) if diagnosis.value is UNREAD else diagnosis.value)

    def diagnose(self, text: str) -> Diagnosis:
        """All problems, and the first value if it was read on the way."""
        value = None
        # Most failing texts show at their ends that they are not a bare value.
        if text[:1] in _STARTS and text[-1:] in _ENDS:
            value = whole(text, self.max_depth, self.unique_keys, self.unicode_scalars)
            if not (value is UNREAD or value is REPEATED) and isinstance(value, _ROOTS[self.root]):
                return Diagnosis((), 0, len(text), value)
        return diagnose(
            text,
            root=self.root,
            max_depth=self.max_depth,
            unique_keys=self.unique_keys,
            unicode_scalars=self.unicode_scalars,
            known=value,
        )

    def grammar(self, example: Example | None) -> dict[str, Any]:
        """The schema that constrained decoding holds the answer to: the Example's, or the root."""
        return schema_for(example, self.root)

    def mend(self, text: str) -> str | None:
        """The value that a lenient checker finds in the text, rendered; None if it finds none."""
        found = Ladder(lambda tried: self.parse(tried).ok, self.root).taken(text)
        if found is None:
            return None
        try:
            return self.render(self.parse(found).value)
        except ValueError:
            return None

    def consumers(self) -> Sequence[Consumer]:
        """Readers of JSON in several languages."""
        from fmtharness.evaluators.consumers import json_readers

        return json_readers()

    def corruptions(self) -> Mapping[str, Corruption]:
        """Ways to break a rendered object or array; each is named by the label `parse` gives it."""
        ways = {**CORRUPTIONS, "too_deep": too_deep(self.max_depth)}
        if not self.unique_keys:
            del ways["duplicate_key"]
        if not self.unicode_scalars:
            del ways["lone_surrogate"]
        if self.root != "any":
            wrap = "[{}]" if self.root == "object" else '{{"items": {}}}'
            room = JsonFormat(root="any", max_depth=self.max_depth)

            def wrong_root(text: str, rng: Random) -> str | None:
                wrapped = wrap.format(text)
                return wrapped if room.parse(wrapped).ok else rng.choice(['"done"', "3", "null"])

            ways["wrong_root"] = wrong_root
        return ways
