"""What a component must offer: Protocols, one per hook, and the base of their options.

A component is an immutable pydantic model whose fields are its TOML keys, with its name and the
constants of its contract as ClassVars:

    class NoDigits(Options):
        name: ClassVar[str] = "no_digits"
        metric: ClassVar[str] = "digit_free_rate"
        limit: int = 0

        def evaluate(self, example: Example | None, completion: Completion) -> Verdict: ...
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import msgspec
from pydantic import BaseModel, ConfigDict

from harness.records import Completion, Example, Problem, Verdict

if TYPE_CHECKING:
    from harness.config import ModelOptions
    from harness.training import TrainingRun

Split = Literal["train", "eval"]
Shape = Literal["record", "table", "tree", "list", "call"]
"""What a value looks like.

    record   {"city": "Oslo", "nights": 4}                  keys with scalars
    table    [{"city": "Oslo"}, {"city": "Riga"}]           rows alike, at the root or under one key
    list     ["Oslo", "Riga"]                               scalars at the root
    tree     {"guest": {"name": "Ada"}, "rooms": ["A-1"]}   objects and lists in each other
    call     {"name": "book", "arguments": {"city": "Oslo"}}
"""
Corruption = Callable[[str, Random], str | None]
"""Breaks a rendered text, or returns None where the text offers nothing to break that way."""


class Options(BaseModel):
    """Base of a component's options: immutable, no unknown keys, no silent type changes."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class Parsed(msgspec.Struct, frozen=True):
    """What a strict parser made of a text: a value, or the problems that forbid one."""

    value: Any = None
    problems: tuple[Problem, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.problems


class Rate(msgspec.Struct, frozen=True):
    """A metric as two counters summed over Verdicts.

    Besides the keys of `Verdict.counts`, `passed`, `failed`, `scored` (passed + failed) and
    `unscored` exist; they are counted from the Verdicts, and a count of that name is ignored.
    """

    name: str
    numerator: str
    denominator: str = "scored"


class Format(Protocol):
    """An output format: how to ask for it, render it, parse it strictly, and break it.

    `parse(render(value))` is the value, and `render` raises ValueError for a value that would not
    come back; `harness.testing.check_format` tries this and more. The class may also have, and
    need not:

        title: ClassVar[str]                 what people call it, with its article if it has one
                                             ("JSON Lines", "a table"); else made from its name
        labels: ClassVar[Mapping[str, str]]  what each label that `parse` gives means
        evaluators: ClassVar[tuple[str, ...]]
                                             what judges its Completions where nothing else is
                                             named, besides <name>_strict and <name>_match
        def for_value(self, value) -> Self   the Format with the options that an Example of this
                                             value sets (a pattern, a schema); they go into the
                                             Example's `format_options`, and it is judged by them
    """

    name: ClassVar[str]
    shapes: ClassVar[frozenset[Shape]]
    """The shapes of value it can hold."""

    def instruction(self, value: Any) -> str:
        """One sentence that asks for this format, for a value of this shape."""

    def render(self, value: Any) -> str:
        """The value as text, the way a model should write it; ValueError where it cannot be held.

        What the format has no types for is text: CSV refuses 4 and holds "4".
        """

    def parse(self, text: str) -> Parsed:
        """The whole text as a value, or all problems; never raises."""

    def corruptions(self) -> Mapping[str, Corruption]:
        """Named ways to break a rendered text; the names are the labels `parse` gives for them."""


class Generator(Protocol):
    """A source of Examples.

    It may also have, and need not, as a field or a property:

        formats: Sequence[str]   the names of the formats that its Examples are in; where
                                 [eval] evaluators is not set, they say who judges
    """

    name: ClassVar[str]

    def generate(self, split: Split, n: int, rng: Random) -> Iterator[Example]:
        """Yield n Examples; Example i depends on the split, the rng's seed and i alone."""


class Evaluator(Protocol):
    """A judge of Completions: pure, no input or output.

    The class may also have, and need not:

        rates: ClassVar[tuple[Rate, ...]]   its rates, headline first; without it the one rate is
                                            `metric`, the share of scored Completions that pass
        needs_example: ClassVar[bool]       True where a text cannot be judged without its Example:
                                            one that has none is then unscored
        formats: ClassVar[frozenset[str]]   the formats that it judges; it gives no Verdict on the
                                            answer to an Example in another format
    """

    name: ClassVar[str]
    metric: ClassVar[str]
    """The name of its headline rate."""

    def evaluate(self, example: Example | None, completion: Completion) -> Verdict:
        """Judge one Completion; `example` is None where only the text is known."""


class Trainer(Protocol):
    """A way to fine-tune."""

    name: ClassVar[str]

    def train(self, examples: Sequence[Example], run: TrainingRun) -> Path:
        """Train on the Examples and return the folder of the adapter."""


class Backend(Protocol):
    """A way to produce Completions."""

    name: ClassVar[str]

    def complete(
        self, examples: Sequence[Example], model: ModelOptions, adapter: Path | None
    ) -> Iterable[Completion]:
        """Yield one Completion per Example, in their order, by the model with the adapter on it."""


def rates_of(evaluator: Evaluator | type[Evaluator]) -> tuple[Rate, ...]:
    """The evaluator's rates, headline first."""
    declared: Sequence[Rate] = getattr(evaluator, "rates", ())
    return tuple(declared) or (Rate(evaluator.metric, "passed"),)


def needs_example(evaluator: Evaluator) -> bool:
    """Whether the evaluator cannot judge a text without its Example."""
    return _needs_example(type(evaluator))


def applies(evaluator: Evaluator, example: Example | None) -> bool:
    """Whether the evaluator judges answers to this Example; to an unknown one, always."""
    formats = formats_of(evaluator)
    return example is None or formats is None or example.format in formats


def formats_of(evaluator: Evaluator) -> frozenset[str] | None:
    """The formats that the evaluator judges; None for any."""
    return _formats(type(evaluator))


# These are asked for each Completion, and pydantic is slow to say that there is no attribute.
@functools.cache
def _needs_example(kind: Hashable) -> bool:
    return bool(getattr(kind, "needs_example", False))


@functools.cache
def _formats(kind: Hashable) -> frozenset[str] | None:
    named = getattr(kind, "formats", None)
    return None if named is None else frozenset(named)
