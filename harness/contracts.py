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
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from random import Random
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import msgspec
from pydantic import BaseModel, ConfigDict, field_validator

from fmtharness.harness import records
from fmtharness.harness.records import NO_FORMAT, Completion, Example, Metric, Problem, Verdict
from fmtharness.harness.text import bytes_of

BUILTIN_MODEL = "smollm2-135m-instruct"
HUB_ID_OF_BUILTIN = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""The model whose weights the built-in one has in 4 bits a weight (GGUF's Q4_1)."""
Split = Literal["train", "dev", "eval"]
GIVEN = ("messages", "tools", "add_generation_prompt")
"""What every chat template is given, so that no option can set it."""
CHOOSE_BY = ("format_success_rate", "exact_match_rate")
"""The rates that checkpoints are chosen by: the first decides, the second between equals."""
OVER_BUDGET = "retention/over_budget"
"""Among an evaluation's rates: by how much the model is over the retention budget, 0 if it is not.
A number of its own, without numerator, denominator or interval."""
Shape = Literal["record", "table", "tree", "list", "call"]
"""What a value looks like.

    record   {"city": "Oslo", "nights": 4}                  keys with scalars
    table    [{"city": "Oslo"}, {"city": "Riga"}]           rows alike, at the root or under one key
    list     ["Oslo", "Riga"]                               scalars at the root
    tree     {"guest": {"name": "Ada"}, "rooms": ["A-1"]}   objects and lists in each other
    call     {"name": "book", "arguments": {"city": "Oslo"}}
"""
Corruption = Callable[[str, Random], str | None]
"""Breaks a rendered text, or returns None if the text cannot be broken in this way."""


class Options(BaseModel):
    """Base of a component's options: immutable, no unknown keys, no silent type changes."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class ModelOptions(Options):
    """[model]: which weights, and how they are held in memory."""

    name: str = BUILTIN_MODEL
    """A local folder, a GGUF file, a hub id, or the built-in model."""
    revision: str | None = None
    """Branch, tag or commit of a hub model."""
    trust_remote_code: bool = False
    """Run code that comes with a hub model; never on unless set here."""
    device: str = "auto"
    """`cpu`, `cuda`, `cuda:1`, or `auto`: the first GPU where there is one."""
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    """The type that activations and unquantized weights have; auto is bf16 where it is fast."""
    quantization: Literal["auto", "nf4", "none"] = "auto"
    """How the base weights are quantized; auto is what the run's trainer trains on, else none."""
    chat_template: Path | None = None
    """A Jinja file that replaces the model's chat template, in training and generation; or
    `chatml` or `plain`, for base models that have none."""
    chat_template_kwargs: dict[str, bool | int | float | str] = {}
    """What the chat template gets besides the messages, such as `{ enable_thinking = false }`."""
    template_date: str | None = None
    """What a template takes for today, such as `2026-11-29`; the day on which the run began if
    unset."""
    dequantize: Literal["auto", "never"] = "auto"
    """Whether NF4 weights are expanded once where memory allows: same numbers, less work."""
    memory_limit: str | None = None
    """What training and generation may take of a GPU's memory, such as `4GiB`; all if unset."""

    @field_validator("chat_template_kwargs")
    @classmethod
    def _are_names(cls, table: dict[str, Any]) -> dict[str, Any]:
        for name in table:
            if not name.isidentifier() or name in GIVEN:
                raise ValueError(f"{name!r} is no variable that a template can be given")
        return table

    @field_validator("template_date")
    @classmethod
    def _is_a_date(cls, text: str | None) -> str | None:
        if text is not None and not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            raise ValueError("it must be a date, such as '2026-11-29'")
        if text is not None:
            date.fromisoformat(text)
        return text

    @field_validator("memory_limit")
    @classmethod
    def _is_a_size(cls, text: str | None) -> str | None:
        if text is not None and not bytes_of(text):
            raise ValueError("it must be a size, such as '4GiB' or '3500MiB'")
        return text


class Parsed(msgspec.Struct, frozen=True):
    """The result of a strict parser: a value, or the problems of the text."""

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

    `parse(render(value))` is the value, and `render` raises ValueError for a value that does not
    survive this round trip; `fmtharness.harness.testing.check_format` tests this and more. Optional
    members of the class:

        title: ClassVar[str]                 what people call it, with its article if it has one
                                             ("JSON Lines", "a table"); else made from its name
        labels: ClassVar[Mapping[str, str]]  what each label that `parse` gives means
        evaluators: ClassVar[tuple[str, ...]]
                                             its Completions' default evaluators besides
                                             <name>_strict and <name>_match
        def for_value(self, value) -> Self   the Format with the options that an Example of this
                                             value sets (a pattern, a schema); they go into the
                                             Example's `format_options`, and it is judged by them
        def paired(self, example, value) -> tuple[Any, Any]
                                             the Example's value and a predicted one as <name>_match
                                             compares them, leaf by leaf: what belongs together has
                                             one path, where the order is free
        def grammar(self, example) -> str | Mapping | None    what constrained decoding allows: a
                                             JSON Schema, Lark as llguidance reads it, or None
        def consumers(self) -> Sequence[formats.Consumer]     the readers of `eval --consumers`
        def mend(self, text) -> str | None   what a failing text means, as a text that passes; in
                                             rounds it is preferred to the model's own
    """

    name: ClassVar[str]
    shapes: ClassVar[frozenset[Shape]]
    """The shapes of value it can hold."""

    def instruction(self, value: Any) -> str:
        """One sentence that asks for this format, for a value of this shape."""

    def render(self, value: Any) -> str:
        """The value as text, the way a model should write it; ValueError if it cannot be held.

        A value that the format has no type for must be a text: CSV refuses 4 and holds "4".
        """

    def parse(self, text: str) -> Parsed:
        """The whole text as a value, or all problems; never raises."""

    def corruptions(self) -> Mapping[str, Corruption]:
        """Named ways to break a rendered text; the names are the labels `parse` gives for them."""


class Generator(Protocol):
    """A source of Examples, in three splits that should share as little as can be.

    The model is trained on `train`; on `dev` checkpoints are chosen and training stops; nothing
    looks at `eval` before the final table.

    Optional fields or properties:

        formats: Sequence[str]   the names of the formats that its Examples are in; if
                                 [eval] evaluators is not set, they imply the evaluators
        evaluators: Sequence[str]            specs of more evaluators that are implied
        targets: bool            False if its Examples have no target; no evaluator that compares
                                 with one is then implied
        sized: bool              whether it ends; it is asked for `config.ALL` if no number is set
        inputs: Mapping[str, str]            hashes of what it reads besides its options' files
        parts: Mapping[str, Generator]       the generators that it draws from
        def with_completions(self, complete) -> Self     the generator with a run's model, which
                                 `complete(examples, max_new_tokens)` asks for Completions
        def focused(self, labels) -> Self        the generator whose broken answers are broken in
                                 the ways of these labels, by how often each came
        def to_be_asked(self) -> Self    without the texts that only keep the base, for a round
    """

    name: ClassVar[str]

    def generate(self, split: Split, n: int, rng: Random) -> Iterator[Example]:
        """Yield n Examples; Example i depends on the split, the rng's seed and i alone."""


class Evaluator(Protocol):
    """A judge of Completions: pure, no input or output.

    Optional members of the class:

        rates: ClassVar[tuple[Rate, ...]]   its rates, headline first; without it the one rate is
                                            `metric`, the share of scored Completions that pass
        needs_example: ClassVar[bool]       True if a text cannot be judged without its Example:
                                            a text without one is then unscored
        needs_value: ClassVar[bool]         True if it compares with the Example's value: it gives
                                            no Verdict on the answer to an Example without one
        formats: ClassVar[frozenset[str]]   the formats that it judges; it gives no Verdict on the
                                            answer to an Example in another format
        needs_format: ClassVar[bool]        False if it judges answers to what asks for none, too
        def lacks(self, example: Example | None) -> str
                                            what the Example has not and a Verdict needs, in a few
                                            words ("schema"), or empty: it gives no Verdict on the
                                            answer to an Example that lacks something; None is a
                                            text without an Example
    """

    name: ClassVar[str]
    metric: ClassVar[str]
    """The name of its headline rate."""

    def evaluate(self, example: Example | None, completion: Completion) -> Verdict:
        """Judge one Completion; `example` is None if only the text is known."""


class Loaded(NamedTuple):
    """A model of transformers, ready to run, and the tokenizer that belongs to it."""

    model: Any
    tokenizer: Any
    quantized: int = 0
    """How many of the model's weights were quantized, also if they are dequantized now."""


class TrainingRun(Protocol):
    """The run that a Trainer works in: its folder, model, scalars and in-training evaluations."""

    folder: Path
    """The run's folder; a Trainer writes to `checkpoints/` and `adapter/` in it."""
    seed: int
    model: ModelOptions
    inputs: str
    """A hash of what shapes the adapter but the Trainer's `length`; a checkpoint must share it."""
    backend: str
    """The name of the backend that the run's completions come from."""
    fed: Mapping[str, Completion]
    """Completions of the first train Examples by the untuned model, by the Example's id; they say
    which token ids the backend fed."""
    initial_adapter: Path | None
    """The folder of an adapter that a later round trains on."""
    certificate: dict[str, Any]
    """The certificate that `start` was given."""
    facts: dict[str, Any]
    """What the Trainer wants in the manifest: tokens, seconds, peak memory."""

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes into the folder."""

    def start(self, step: int, certificate: dict[str, Any]) -> None:
        """Open the scalars, keeping those up to `step`; the certificate goes into the manifest."""

    def log(self, step: int, values: dict[str, float]) -> None:
        """Write scalars of one step; of several processes, only the one that leads does."""

    def evaluate(
        self,
        loaded: Loaded,
        step: int,
        *,
        n_prompts: int,
        max_new_tokens: int,
        batch_size: int,
    ) -> dict[str, Metric]:
        """Judge a model in memory, given with its tokenizer, on the first dev Examples.

        Writes completions and verdicts of the arm `sft` at this step, logs every rate and returns
        the rates by name: those of the dev Examples bare, those of an evaluation set and of
        retention as `open/format_success_rate`, and OVER_BUDGET. The model is left in evaluation
        mode.
        """


class Trainer(Protocol):
    """A way to fine-tune.

    Optional members of the class:

        incidental: ClassVar[frozenset[str]]
                              its options that do not shape the adapter: if one of them changes,
                              nothing is trained again, and a stopped training is resumed
        length: ClassVar[str]
                              its option, a number, that says how long it trains: if only this was
                              raised, the training goes on from its last checkpoint
    """

    name: ClassVar[str]

    def train(self, examples: Sequence[Example], run: TrainingRun) -> Path:
        """Train on the Examples and return the folder of the adapter."""


class Backend(Protocol):
    """A way to produce Completions.

    Optional: `likelihood` as `backends.transformers` has it, and as `backends.openai` has them
    `incidental` (options that shape no Completion), `remote` (it asks a server, so that no run's
    folder may choose it) and `source` (what the Completions come from, in a few words).
    """

    name: ClassVar[str]

    def complete(
        self, examples: Sequence[Example], model: ModelOptions, adapter: Path | None
    ) -> Iterable[Completion]:
        """Yield one Completion per Example, in any order, by the model with the adapter on it."""


def rates_of(evaluator: Evaluator | type[Evaluator]) -> tuple[Rate, ...]:
    """The evaluator's rates, headline first."""
    declared: Sequence[Rate] = getattr(evaluator, "rates", ())
    return tuple(declared) or (Rate(evaluator.metric, "passed"),)


def needs_example(evaluator: Evaluator) -> bool:
    """Whether the evaluator cannot judge a text without its Example."""
    kind = type(evaluator)
    return _may_need(kind) and (_flag(kind, "needs_example") or bool(lacks(evaluator, None)))


def needs_value(evaluator: Evaluator) -> bool:
    """Whether the evaluator compares with the value of an Example."""
    return _flag(type(evaluator), "needs_value")


def applies(evaluator: Evaluator, example: Example | None) -> bool:
    """Whether the evaluator judges answers to this Example; to an unknown one, always."""
    return example is None or (judges(evaluator, example.format) and not lacks(evaluator, example))


def judges(evaluator: Evaluator, name: str) -> bool:
    """Whether the evaluator judges answers in the format of this name."""
    formats = formats_of(evaluator)
    if formats is not None:
        return name in formats
    return name != NO_FORMAT or not _flag(type(evaluator), "needs_format", True)


def lacks(evaluator: Evaluator, example: Example | None) -> str:
    """What a Verdict of the evaluator needs and the Example lacks: `target`; empty if nothing."""
    kind = type(evaluator)
    if example is not None and example.value is msgspec.UNSET and _flag(kind, "needs_value"):
        return records.wanted(example)
    own = _lacks(kind)
    return own(evaluator, example) if own else ""


def formats_of(evaluator: Evaluator) -> frozenset[str] | None:
    """The formats that the evaluator judges; None for any."""
    return _formats(type(evaluator))


# These are asked for each Completion, and pydantic is slow to say that there is no attribute.
@functools.cache
def _flag(kind: Hashable, member: str, default: bool = False) -> bool:
    return bool(getattr(kind, member, default))


@functools.cache
def _may_need(kind: Hashable) -> bool:
    return _flag(kind, "needs_example") or _lacks(kind) is not None


@functools.cache
def _lacks(kind: Hashable) -> Callable[[Any, Example | None], str] | None:
    return getattr(kind, "lacks", None)


@functools.cache
def _formats(kind: Hashable) -> frozenset[str] | None:
    named = getattr(kind, "formats", None)
    return None if named is None else frozenset(named)
