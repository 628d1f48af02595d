"""A JSON array as a Format: strict JSON, as `JsonFormat` has it, whose root is an array.

    JsonArrayFormat().parse('[{"a": 1}, {"a": 2}]') -> Parsed(value=[{"a": 1}, {"a": 2}])
    JsonArrayFormat().parse("1") -> Parsed(problems=(Problem("wrong_root", ..., 0, 1),))

The elements are not checked: a table and a list differ only in how the prompt asks for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from fmtharness.evaluators.json.format import JsonFormat
from fmtharness.evaluators.json.labels import LABELS
from fmtharness.evaluators.rendering import checked, dumped
from fmtharness.harness.contracts import Corruption, Options, Parsed, Shape
from fmtharness.harness.formats import Consumer
from fmtharness.harness.records import Example


class JsonArrayFormat(Options):
    """Strict JSON: the whole text is one RFC 8259 array.

    parse('["Oslo", "Riga"]')  -> Parsed(value=["Oslo", "Riga"])
    parse('["Oslo", "Riga",]') -> problem trailing_comma at 15:16
    """

    name: ClassVar[str] = "json_array"
    title: ClassVar[str] = "a JSON array"
    shapes: ClassVar[frozenset[Shape]] = frozenset({"table", "list"})
    labels: ClassVar[Mapping[str, str]] = LABELS

    max_depth: int = Field(default=64, ge=1)
    """How many objects and arrays may be open at once."""
    unique_keys: bool = True
    """Whether a key that an object repeats is a problem."""
    unicode_scalars: bool = True
    """Whether a lone surrogate, raw or escaped, is a problem."""

    def instruction(self, value: Any) -> str:
        """One sentence that asks for an array of objects or of values, and nothing else."""
        rows = bool(value) and all(isinstance(row, dict) for row in value)
        return f"Answer with one JSON array of {'objects' if rows else 'values'} and nothing else."

    def render(self, value: Any) -> str:
        """The array on one line, in Unicode, with a space after each comma and colon."""
        return checked(self, dumped(value), value)

    def parse(self, text: str) -> Parsed:
        """The whole text as a list, or all problems."""
        return self._json().parse(text)

    def grammar(self, example: Example | None) -> dict[str, Any]:
        """The schema that constrained decoding holds the answer to."""
        return self._json().grammar(example)

    def consumers(self) -> Sequence[Consumer]:
        """Readers of JSON in several languages."""
        return self._json().consumers()

    def corruptions(self) -> Mapping[str, Corruption]:
        """JSON's ways to break an array; each is named by the label `parse` gives it."""
        return self._json().corruptions()

    def _json(self) -> JsonFormat:
        return JsonFormat(
            root="array",
            max_depth=self.max_depth,
            unique_keys=self.unique_keys,
            unicode_scalars=self.unicode_scalars,
        )
