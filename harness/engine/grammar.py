"""Grammars for constrained decoding: what an Example's Format allows, compiled by llguidance.

    ignored_keywords({"type": "array", "uniqueItems": True})   ["uniqueItems"]
    matchers(loaded, examples, prompts, {2})   a Matcher each, None where a Format has no grammar
    masked(logits, rows)         the logits, -inf where a row's grammar forbids the token

A Format says what it allows as a JSON Schema or as a grammar in llguidance's dialect of Lark. Of a
schema the grammar holds what the library can express; the judge checks all of it.
"""

from __future__ import annotations

import functools
import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakKeyDictionary

import torch

from fmtharness.harness.contracts import Loaded
from fmtharness.harness.engine.context import embedded
from fmtharness.harness.engine.encoding import text_of, think_tag_of, token_ids
from fmtharness.harness.engine.reasoning import AFTER, LONGEST, think_tags
from fmtharness.harness.engine.subschemas import nests_deeper, rewritten, without_annotations
from fmtharness.harness.errors import ModelError
from fmtharness.harness.formats import for_example
from fmtharness.harness.plugins import registry
from fmtharness.harness.progress import say
from fmtharness.harness.records import Example
from fmtharness.harness.text import first_line

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

WHITESPACE: Final = r" |\n {0,24}"
"""What may stand between two tokens of JSON: a blank, or a line break and an indent. Without such a
bound a small model can write blanks up to its limit."""
_KEYS: Final = re.compile(r"Unimplemented keys: (\[.*\])").fullmatch
_FORMAT: Final = re.compile(r"Unknown format: (.*)").fullmatch
_DEEPEST: Final = 100
"""How deep a schema may nest: llguidance refuses some deeper ones, and crashes on others."""
_tokenizers: WeakKeyDictionary[Any, dict[tuple[int, frozenset[int]], LLTokenizer]] = (
    WeakKeyDictionary()
)


class Compiled(NamedTuple):
    """A grammar as llguidance takes it, and what it does not hold."""

    text: str
    """Empty if there is none; `fault` then says why."""
    ignored: tuple[str, ...] = ()
    """Keywords of the JSON Schema that the grammar leaves to the judge."""
    fault: str = ""


def grammar_of(example: Example) -> str | Mapping[str, Any] | None:
    """What the Example's Format allows: a JSON Schema, a Lark grammar, or None."""
    known = registry()["formats"].get(example.format)
    if known is None or not callable(getattr(known.component, "grammar", None)):
        return None
    found: str | Mapping[str, Any] | None
    found = for_example(known.component(), example).grammar(example)
    return found


def ignored_keywords(schema: Mapping[str, Any]) -> list[str]:
    """The keywords of a JSON Schema that its grammar does not hold, such as `format (phone)`."""
    return list(compiled(schema).ignored)


def compiled(grammar: str | Mapping[str, Any]) -> Compiled:
    """The grammar, checked. A schema that cannot be compiled becomes one of its root's type.

    Raises nothing: what is no grammar at all has a fault.
    """
    try:
        if isinstance(grammar, str) and not grammar.startswith("{"):
            return _of_lark(grammar)
        schema = dict(json.loads(grammar) if isinstance(grammar, str) else grammar)
        if nests_deeper(schema, _DEEPEST):
            root = _attempted(_root_of(schema))
            return root._replace(ignored=(f"all of it (it nests deeper than {_DEEPEST})",))
        return _of_schema(json.dumps(without_annotations(schema)))
    except Exception as error:  # a plugin's grammar may be anything, such as half of a schema
        return Compiled("", fault=first_line(error))


@functools.lru_cache(4096)
def _of_lark(source: str) -> Compiled:
    from llguidance import LLMatcher

    return _checked(LLMatcher.grammar_from_lark(source))


@functools.lru_cache(4096)
def _of_schema(source: str) -> Compiled:
    """The grammar of what can be compiled: all, all but some patterns, or the root's type."""
    schema = json.loads(source)
    whole = found = _attempted(schema)
    if not found.text and (without := _without_patterns(schema)) != schema:
        found = _attempted(without, "pattern")
    if not found.text:
        found = _attempted(_root_of(schema), f"all of it ({whole.fault})")
    return found if found.text else whole


def _root_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": schema["type"]} if "type" in schema else {}


def _attempted(schema: dict[str, Any], *left_out: str) -> Compiled:
    """The schema's grammar, from which the named keywords were left out before."""
    from llguidance import LLMatcher

    options: Any = {"whitespace_pattern": WHITESPACE, "lenient": True}
    try:
        text = LLMatcher.grammar_from_json_schema(schema, overrides=options)
    except Exception as error:  # such as an integer of more than 64 bits
        return Compiled("", fault=first_line(error))
    found = _checked(text)
    return found._replace(ignored=tuple(dict.fromkeys([*left_out, *found.ignored])))


def _checked(text: str) -> Compiled:
    from llguidance import LLMatcher

    failed, said = LLMatcher.validate_grammar_with_warnings(text)
    if failed:
        return Compiled("", fault=first_line(ValueError(said[0])))
    return Compiled(text, tuple(_told(said)))


def _without_patterns(schema: dict[str, Any]) -> Any:
    """The schema without the patterns that llguidance cannot compile, such as look-ahead."""

    def kept(schema: dict[str, Any]) -> dict[str, Any]:
        found = dict(schema)
        if not _holds(found.get("pattern")):
            del found["pattern"]
        named = found.get("patternProperties")
        if isinstance(named, dict) and not all(map(_holds, named)):
            del found["patternProperties"]
        return found

    return rewritten(schema, kept)


def _holds(pattern: object) -> bool:
    return not isinstance(pattern, str) or bool(
        _attempted({"type": "string", "pattern": pattern}).text
    )


def _told(warnings: Sequence[str]) -> list[str]:
    found = []
    for warning in warnings:
        if keys := _KEYS(warning):
            found += json.loads(keys[1])
        elif name := _FORMAT(warning):
            found.append(f"format ({name[1]})")
        else:
            found.append("oneOf" if warning.startswith("oneOf") else warning)
    return sorted({*found})


class Thinking(NamedTuple):
    """How a thought ends that the prompt has opened; the grammar holds from there."""

    tokenizer: Any
    close: str
    breaks: frozenset[int]
    """The tokens of the line breaks that may stand between the closing tag and the answer."""


class Matcher:
    """Where one row is in its grammar, and how often that changed what the model would write."""

    def __init__(self, start: LLMatcher, thinking: Thinking | None = None) -> None:
        self._start, self._thinking = start, thinking
        self.begin()

    def begin(self) -> None:
        """Go back to the beginning of the answer."""
        self._now = self._start.deep_copy()
        self._thought: list[int] | None = [] if self._thinking else None
        self._breaks = 0
        self.interventions = 0
        self.fault = ""
        """Why the grammar was given up in the middle; the row is then written freely."""

    @property
    def holds(self) -> bool:
        """Whether the next token is bound: not inside think tags, nor after a fault."""
        return self._thought is None and not self.fault

    def bits(self) -> bytes:
        """One bit per token, the lowest first: whether it may come next; none after a fault."""
        found = bytearray(self._now.compute_bitmask())
        if self._now.is_error() or not any(found):
            self._give_up("no token may come next")
            return b""
        if self._breaks and self._thinking:
            for token in self._thinking.breaks:
                found[token // 8] |= 1 << token % 8
        return bytes(found)

    def accept(self, token: int) -> None:
        """Take the token that was written."""
        thinking = self._thinking
        if thinking and self._thought is not None:
            self._thought.append(token)
            if thinking.close in text_of(thinking.tokenizer, self._thought[-LONGEST:]):
                self._thought, self._breaks = None, AFTER
        elif thinking and self._breaks and token in thinking.breaks:
            self._breaks -= 1
        elif not self.fault:
            self._breaks = 0
            if not self._now.consume_token(token):
                self._give_up(f"the token {token} does not fit")

    def _give_up(self, why: str) -> None:
        self.fault = first_line(ValueError(self._now.get_error() or why))


def matchers(
    loaded: Loaded,
    examples: Sequence[Example],
    prompts: Sequence[Sequence[int]],
    stop_ids: Collection[int],
) -> list[Matcher | None]:
    """A Matcher for each Example, None where there is no grammar; says what no grammar holds.

    `prompts` are the Examples' token ids. Raises ModelError for a tokenizer that llguidance cannot
    read.
    """
    from llguidance import LLMatcher

    _, tokenizer, *_ = loaded
    tags = think_tags(tokenizer.chat_template)
    breaks = [token_ids(tokenizer, text) for text in ("\n", "\n\n")]
    single = frozenset(ids[0] for ids in breaks if len(ids) == 1)
    thinking = Thinking(tokenizer, tags.close, single) if tags else None
    vocabulary = _vocabulary(loaded, stop_ids)
    starts: dict[str, LLMatcher] = {}
    found: list[Matcher | None] = []
    lacking: Counter[str] = Counter()
    ignored: Counter[str] = Counter()
    for example, prompt in zip(examples, prompts, strict=True):
        made = _made(example)
        ignored.update(made.ignored)
        if not made.text:
            lacking[f"{example.format} ({made.fault})"] += 1
            found.append(None)
            continue
        if made.text not in starts:
            starts[made.text] = LLMatcher(vocabulary, made.text, log_level=0)
        opened = think_tag_of(tokenizer, prompt) if prompt else ""
        found.append(Matcher(starts[made.text], thinking if opened else None))
    if lacking:
        say(
            f"generate: {lacking.total()} of {len(examples)} prompts have no grammar and are "
            f"answered freely: {_listed(lacking)}"
        )
    if ignored:
        say(
            f"generate: the grammars of JSON Schemas do not hold {_listed(ignored)}; the judge "
            f"checks all of a schema"
        )
    return found


def _made(example: Example) -> Compiled:
    try:
        allowed = grammar_of(example)
    except Exception as error:  # a plugin's Format may raise anything
        return Compiled("", fault=f"it raised {type(error).__name__}: {first_line(error)}")
    return Compiled("", fault="no grammar") if allowed is None else compiled(allowed)


def say_faults(rows: Sequence[Matcher | None]) -> None:
    """Say how many answers left their grammar, and why the first did."""
    faults = [row.fault for row in rows if row is not None and row.fault]
    if faults:
        say(
            f"generate: {len(faults)} of {len(rows)} completions left their grammar and went on "
            f"freely, the first because {faults[0]}"
        )


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in counts.most_common())


def _vocabulary(loaded: Loaded, stop_ids: Collection[int]) -> LLTokenizer:
    """The model's tokens as bytes; it takes a second, so it is kept."""
    from llguidance.hf import from_tokenizer

    model, tokenizer, *_ = loaded
    size = max(embedded(model), len(tokenizer))
    known = _tokenizers.setdefault(tokenizer, {})
    key = size, frozenset(stop_ids)
    if key not in known:
        try:
            known[key] = from_tokenizer(tokenizer, n_vocab=size, eos_token=sorted(stop_ids))
        except ValueError as error:
            raise ModelError(
                f"model {tokenizer.name_or_path!r}: llguidance cannot read its tokenizer "
                f"({first_line(error)}); set eval.constrained = false"
            ) from error
    return known[key]


def masked(logits: torch.Tensor, rows: Sequence[Matcher | None]) -> torch.Tensor:
    """The logits (rows, V) with -inf where a row's grammar forbids the token.

    Counts an intervention in each row whose largest logit is of a forbidden token.
    """
    bits = {at: row.bits() for at, row in enumerate(rows) if row is not None and row.holds}
    held = [at for at, found in bits.items() if found]
    if not held:
        return logits
    packed = torch.frombuffer(bytearray(b"".join(bits[at] for at in held)), dtype=torch.uint8)
    packed = packed.view(len(held), -1, 1).to(logits.device)
    shifts = torch.arange(8, dtype=torch.uint8, device=logits.device)
    allowed = ((packed >> shifts) & 1).bool().flatten(1)
    width = logits.shape[1]
    if allowed.shape[1] < width:  # a head that is padded beyond the vocabulary
        allowed = torch.nn.functional.pad(allowed, (0, width - allowed.shape[1]))
    places = torch.tensor(held, device=logits.device)
    some = logits[places]
    forbidden = ~allowed[:, :width]
    changed = forbidden.gather(1, some.argmax(-1, keepdim=True))[:, 0].tolist()
    for at, intervened in zip(held, changed, strict=True):
        row = rows[at]
        if row is not None:
            row.interventions += intervened
    return logits.index_copy(0, places, some.masked_fill(forbidden, float("-inf")))
