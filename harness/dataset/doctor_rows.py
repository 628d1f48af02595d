r"""What one row tells: its own faults, and the few numbers by which all rows are compared.

seen = Looked("rows.jsonl", Aims())
seen.add(Row(1, {...}, Example(id="a", prompt=..., completion='{"a": 1,}', format="json")))
seen.counts     Counter({"fails_format": 1})
seen.places     {"fails_format": [Place("rows.jsonl", 1, "a", '{"a": 1,}', problems=(...))]}
seen.facts()    an array with one FACTS for each row, about 100 bytes

A target is judged by the strict evaluator of its row's format, and by json_schema where the row
has a schema.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from hashlib import blake2b
from typing import Any, Final

import msgspec
import numpy as np

from fmtharness.harness.contracts import Evaluator, applies
from fmtharness.harness.dataset.doctor_checks import Place
from fmtharness.harness.dataset.doctor_text import TURNS, UNFILLED, faults, scripts
from fmtharness.harness.dataset.near import Near, normalized
from fmtharness.harness.dataset.reader import Row
from fmtharness.harness.formats import for_example
from fmtharness.harness.judging.verdicts import verdicts_on
from fmtharness.harness.options import build
from fmtharness.harness.plugins import component, registry
from fmtharness.harness.records import (
    NO_FORMAT,
    OPEN,
    Completion,
    Example,
    Problem,
    Verdict,
    encode,
)
from fmtharness.harness.text import LONE_SURROGATE

FIRST: Final = 3
"""How many places are kept for each check and block."""
HASHES: Final = (
    "prompt", "exact", "target", "value", "keys", "order", "types", "system",
)  # fmt: skip
FACTS: Final = np.dtype(
    [
        ("line", "<u4"),
        *((name, "<u8") for name in HASHES),
        *((name, "<u4") for name in ("prompt_size", "target_size", "flags")),
        *((name, "<u2") for name in ("format", "asked_in", "answered_in")),
    ]
)
"""Hashes are 0 where there is nothing to compare; sizes count characters."""
HAS_TARGET, TIGHT, SPACED, INDENTED, CRLF, LF, ESCAPED, WRITTEN, NFD, NFC = (
    1 << bit for bit in range(10)
)
LAYOUTS: Final = (TIGHT, SPACED, INDENTED)
FENCE: Final = re.compile(r"\s*(?:```|~~~)[\w+-]*[ \t]*\r?\n(.*?)\r?\n?(?:```|~~~)\s*", re.DOTALL)
"""A fence around all of a text, and what it holds."""
SHORT_QUESTION: Final = 32
"""Below this many characters a question is compared together with its system prompt."""
_KEYED: Final = frozenset({"json", "tool_call", "json_array", "yaml", "toml"})
_JSON: Final = frozenset({"json", "tool_call", "json_array"})
_ASKS_LAYOUT: Final = (
    "indent", "compact", "pretty", "minif", "one line", "single line", "whitespace", "white space",
    "line break", "spaces",
)  # fmt: skip
_ASKS_ORDER: Final = ("order", "sequence", "sorted")
_ESCAPED: Final = re.compile(r"\\u00[89a-fA-F]|\\u0[1-9a-fA-F]|\\u[1-9a-cA-C]")
_sorted: Final = msgspec.json.Encoder(order="deterministic")


class Aims(msgspec.Struct):
    """What all rows are held to."""

    markers: tuple[str, ...] = ()
    """A tokenizer's stop and special tokens."""
    longest: int | None = None
    """max_seq_length: a row that may have more tokens is kept, to be tokenized."""
    own: bool = True
    """Whether the rows are Examples; of those with a value, the reader parses no target."""
    frame: int = 0
    """Tokens that a template puts around a message, at most."""


class Looked:
    """The rows of one block, looked at one after another."""

    def __init__(
        self, file: str, aims: Aims, near: Near | None = None, *, keep: bool = False
    ) -> None:
        self.file, self.aims, self.near = file, aims, near
        self.counts: Counter[str] = Counter()
        self.labels: dict[str, Counter[str]] = {}
        self.places: dict[str, list[Place]] = {}
        self.formats: list[str] = []
        self.long: list[tuple[int, Example]] = []
        """What may be longer than max_seq_length."""
        self.prompts: list[tuple[int, str]] = []
        """Normalised prompts, if they are to be kept."""
        self.keep = keep
        self._facts: list[tuple[int, ...]] = []

    def facts(self) -> Any:
        """One row of FACTS for each row looked at."""
        return np.array(self._facts, dtype=FACTS)

    def add(self, row: Row) -> None:
        """Look at one row."""
        example = row.example
        said, system, prompt = texts_of(example)
        asked = normalized(prompt)
        if self.keep:
            self.prompts.append((row.line, asked))
        self._prompt(row, prompt, asked)
        target = example.completion
        for text in (prompt, target or ""):
            if not text.isascii() and (found := LONE_SURROGATE.search(text)):
                problem = Problem("lone_surrogate", "half of a pair stands here", *found.span())
                place = self._at(row, text, (problem,), "lone_surrogate")
                self.found("lone_surrogate", row, place)
                break
        if (rejected := example.rejected) is not None:
            if target is not None and rejected.strip() == target.strip():
                self.found("rejected_is_target", row)
            elif not rejected.strip():
                self.found("empty_rejected", row)
        value: Any = msgspec.UNSET
        if target is not None:
            value = self._target(row, target, said)
        self._facts.append(self._of(row.line, example, said, system, asked, value))

    def found(self, check: str, row: Row, place: Place | None = None) -> None:
        """Count what a check found, and keep the first places."""
        self.counts[check] += 1
        kept = self.places.setdefault(check, [])
        if len(kept) < FIRST:
            kept.append(place or Place(self.file, row.line, row.example.id))

    def _prompt(self, row: Row, prompt: str, asked: str) -> None:
        if not row.example.prompt and row.example.format == NO_FORMAT:
            return  # plain text
        if not asked:
            self.found("empty_prompt", row)
            return
        if row.example.prompt[-1].role == "assistant":
            self.found("ends_with_answer", row)
        checks = (("templated_prompt", TURNS, "<["), ("unfilled_prompt", UNFILLED, "{"))
        for check, pattern, begins in checks:
            if any(each in prompt for each in begins) and (found := pattern.search(prompt)):
                problem = Problem(check, f"{found[0]!r} stands in the prompt", *found.span())
                self.found(check, row, self._at(row, prompt, (problem,), check))
        match = self.near.match(asked) if self.near else None
        if match and match.known.text != asked:  # equal ones have a check of their own
            beside = f"{match.known.file}, line {match.known.line} ({match.similarity:.0%})"
            place = Place(self.file, row.line, row.example.id, beside=beside)
            self.found("near_duplicates", row, place)

    def _target(self, row: Row, target: str, prompt: str) -> Any:
        """The value of a target that passes; UNSET for others."""
        example, value = row.example, row.example.value
        if not target.strip():
            self.found("empty_target", row)
            return msgspec.UNSET
        if target[0].isspace() or target[-1].isspace():
            self.found("outer_space", row)
        # The reader has parsed all targets but those of Examples, which bring a value of their own.
        if self.aims.own or value is msgspec.UNSET:
            verdict = judged(example, target, strict(example.format))
            strictly = verdict is None or bool(verdict.passed)
            if verdict is not None and not verdict.passed:
                value = msgspec.UNSET
                self._failed(_failure(example, target, verdict), row, verdict)
            elif verdict is not None and value is msgspec.UNSET:
                value = value_of(example, target)
        else:
            strictly = True
        if strictly and "json_schema" in example.tags:
            fits = judged(example, target, schema_judge())
            if fits is not None and not fits.passed:
                self._failed("unscored" if fits.passed is None else "fails_schema", row, fits)
        if self.aims.longest is not None and self._may_be_cut_off(example, target):
            self.long.append((row.line, example))
        for check, start, end, message in faults(target, prompt, example.format, self.aims.markers):
            problem = Problem(check, message, start, end)
            self.found(check, row, self._at(row, target, (problem,), check))
        return value

    def _may_be_cut_off(self, example: Example, target: str) -> bool:
        """Whether it may be too long: a token takes a byte or more, except the template's own."""
        size = len(target.encode(errors="replace")) + self.aims.frame * (1 + len(example.prompt))
        size += sum(len(each.content.encode(errors="replace")) for each in example.prompt)
        return bool(example.tools) or self.aims.longest is None or size > self.aims.longest

    def _failed(self, check: str, row: Row, verdict: Verdict) -> None:
        problems, by = verdict.problems[:FIRST], verdict.evaluator
        self.found(check, row, self._at(row, row.example.target, problems, by))
        self.labels.setdefault(check, Counter()).update(verdict.labels)

    def _at(self, row: Row, text: str, problems: tuple[Problem, ...], by: str) -> Place:
        return Place(self.file, row.line, row.example.id, text, problems, by)

    def _of(
        self, line: int, example: Example, said: str, system: str, asked: str, value: Any
    ) -> tuple[int, ...]:
        target, form = example.completion, example.format
        if form not in self.formats:
            self.formats.append(form)
        exact = 0  # plain text answers nothing, and what is left to the model has many answers
        if example.prompt and OPEN not in example.tags:
            exact = hashed(encode((example.prompt, example.tools, example.tags.get("json_schema"))))
        flags = kinds = answer = meaning = keys = order = types = 0
        if target is not None:
            flags, kinds = HAS_TARGET | _flags(target), scripts(target)
            answer = hashed(target.encode(errors="surrogatepass"))
            meaning = answer
        if target is not None and form in _KEYED and isinstance(value, dict | list):
            meaning = _meaning(value, answer)
            keys, order, types = _keys(value, said)
            if form in _JSON and value and not _any(_ASKS_LAYOUT, said.lower()):
                flags |= _layout(target)
        return (
            line, hashed(asked.encode(errors="surrogatepass")) if asked else 0,
            exact, answer, meaning, keys, order, types,
            hashed(system.encode(errors="surrogatepass")) if system else 0,
            len(said), len(target or ""), flags, self.formats.index(form), scripts(said), kinds,
        )  # fmt: skip


def _any(words: Sequence[str], text: str) -> bool:
    # Five times as fast as a pattern of them.
    for word in words:  # noqa: SIM110 - a generator would take twice the time
        if word in text:
            return True
    return False


def hashed(data: bytes) -> int:
    """8 bytes of a hash, the same in every process; never 0."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little") or 1


def texts_of(example: Example) -> tuple[str, str, str]:
    """All of a prompt, its system prompt, and what is asked, by which prompts are compared.

    A short question is compared with its system prompt, which may then hold what varies.
    """
    system = "\n".join(each.content for each in example.prompt if each.role == "system")
    asked = "\n".join(each.content for each in example.prompt if each.role != "system")
    said = f"{system}\n{asked}" if system else asked
    return said, system, said if 0 < len(asked.strip()) < SHORT_QUESTION else asked


def judged(example: Example, text: str, judge: Evaluator | None) -> Verdict | None:
    """The Verdict on a text as an answer; None if nothing judges its format."""
    if judge is None or not applies(judge, example):
        return None
    completion = Completion(example_id=example.id, text=text)
    return verdicts_on(completion, (judge,), {example.id: example}, frozenset())[0]


def _failure(example: Example, target: str, verdict: Verdict) -> str:
    """The check that a failed or unscored target belongs to."""
    if verdict.passed is None:
        return "unscored"
    fenced = FENCE.fullmatch(target)
    inside = judged(example, fenced[1], strict(example.format)) if fenced else None
    return "fenced_target" if inside and inside.passed else "fails_format"


def value_of(example: Example, text: str) -> Any:
    """What a text means in the Example's format; it must be strict."""
    return for_example(_format(example.format), example).parse(text).value


@functools.cache
def _format(name: str) -> Any:
    return component("formats", name)()


@functools.cache
def strict(form: str) -> Evaluator | None:
    """The strict evaluator of a format. Raises UserError for an unknown format."""
    if form == "none":
        return None
    component("formats", form)
    name = f"{form}_strict"
    return build("evaluators", name) if name in registry()["evaluators"] else None


@functools.cache
def schema_judge() -> Evaluator:
    built: Evaluator = build("evaluators", "json_schema")
    return built


def _flags(target: str) -> int:
    flags = 0
    if "\n" in target:
        flags |= CRLF if "\r\n" in target else LF
    if not target.isascii():
        flags |= WRITTEN
        if not unicodedata.is_normalized("NFC", target):
            flags |= NFD
        elif not unicodedata.is_normalized("NFD", target):
            flags |= NFC
    elif "\\u" in target and _ESCAPED.search(target):
        flags |= ESCAPED
    return flags


def _layout(target: str) -> int:
    if "\n" in target.strip():
        return INDENTED
    return SPACED if '": ' in target or ", " in target else TIGHT


def _meaning(value: Any, otherwise: int) -> int:
    try:
        return hashed(_sorted.encode(value))
    except (ValueError, TypeError, RecursionError, OverflowError):
        return otherwise


def _keys(value: Any, prompt: str) -> tuple[int, int, int]:
    """Hashes of the set of keys, of their order, and of their values' types; 0 for none.

    An order that the prompt asks for, or in which it names the keys, counts as none.
    """
    if isinstance(value, list):
        value = value[0] if value and isinstance(value[0], dict) else None
    if not isinstance(value, Mapping) or not value:
        return 0, 0, 0
    names = tuple(map(str, value))
    keys, order = _of_keys(names)
    types = _of_types(names, tuple(map(type, value.values())))
    named = [prompt.find(name) for name in names]
    asked = (-1 not in named and named == sorted(named)) or _any(_ASKS_ORDER, prompt.lower())
    return keys, 0 if asked else order, types


@functools.lru_cache(20_000)
def _of_keys(names: Sequence[str]) -> tuple[int, int]:
    return (
        hashed("\0".join(sorted(names)).encode(errors="surrogatepass")),
        hashed("\0".join(names).encode(errors="surrogatepass")),
    )


@functools.lru_cache(20_000)
def _of_types(names: Sequence[str], types: Sequence[type]) -> int:
    """0 if a value is null, which stands for any type."""
    if type(None) in types:
        return 0
    kinds = {int: "number", float: "number", Decimal: "number"}
    pairs = sorted(zip(names, (kinds.get(each, each.__name__) for each in types), strict=True))
    return hashed(repr(pairs).encode(errors="surrogatepass"))
