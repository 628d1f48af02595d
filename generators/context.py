"""What one Example is made with: its split, random source, Format, and the wordings it used.

    context.say({"train": ("Use {format}.",), "dev": (...), "eval": (...)}, format="JSON")
        ->  "Use JSON."      and the wording's id is noted in context.templates

    abilities(JsonFormat())  ->  Abilities(shapes={record, table, tree}, nulls=True, ...)

A family puts its parts into a `Draft`; strictness, temptations and bad outputs then change it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

from fmtharness.generators.dice import Dice
from fmtharness.generators.schemas import STYLES, Schema, draw_schema, styled
from fmtharness.generators.values import Scalar, draw, surface
from fmtharness.harness.contracts import Format, Shape, Split
from fmtharness.harness.errors import PluginError
from fmtharness.harness.formats import for_value, title
from fmtharness.harness.matching import same_value
from fmtharness.harness.records import Message

Strictness = Literal["easy", "medium", "hard"]
Wording = Mapping[Split, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a Format can hold, found by rendering and parsing small probes."""

    shapes: frozenset[Shape]
    styles: Mapping[str, float]
    """Key styles and their weights; in TOML, for example, `"two words"` needs quotes as a key."""
    nulls: bool
    typed: bool
    """Whether numbers and flags parse back as such; else every scalar is a text."""
    escapes: bool
    """Whether a text may hold quotes, backslashes, tabs and line breaks."""
    calls: bool
    """Whether several tool calls can stand in one answer."""
    table_in_object: bool
    """Whether a table's rows stand under a key of a root object; else they are the root."""


def abilities(target: Format) -> Abilities:
    """Find out from the Format what it holds, so that no generator has to know a format."""
    shapes = set(target.shapes)
    rows = [{"a": "x", "b": "x"}, {"a": "y", "b": "y"}]
    table_in_object = _returns(target, {"rows": rows})
    if not (table_in_object or _returns(target, rows)):
        shapes.discard("table")
    probe = next((_PROBES[shape] for shape in _PROBES if shape in shapes), None)
    if probe is None:
        raise PluginError(
            f"format {target.name!r} claims no shape that it holds (it claims "
            f"{', '.join(sorted(map(str, target.shapes))) or 'none'}; there are "
            f"{', '.join(_PROBES)}): let it render and parse a value of one of them"
        )

    def takes(key: str, scalar: Any) -> bool:
        value = probe(key, scalar)
        return _returns(target, value) or _returns(target, {"rows": value})

    def plainly(key: str) -> bool:
        """Whether the key is written like any other, for example without quotes of its own."""
        both = [probe(key, "x"), probe("word", "x")]
        try:
            written = [for_value(target, value).render(value) for value in both]
        except ValueError:  # a table that stands under a key of a root object
            written = [target.render({"rows": value}) for value in both]
        return written[0].replace(key, "word") == written[1]

    call = {"name": "a", "arguments": {"b": "x"}}
    return Abilities(
        shapes=frozenset(shapes),
        styles={
            name: weight
            for name, weight in STYLES.items()
            if takes(styled("two words", name), "x") and plainly(styled("two words", name))
        }
        or {"snake": 1.0},
        nulls=takes("a", None),
        typed=all(takes("a", scalar) for scalar in (4, 2.5, True)),
        escapes=takes("a", 'C:\\new "x"\n\ty'),
        calls="call" in shapes and _returns(target, [call, call]),
        table_in_object=table_in_object,
    )


_PROBES: Mapping[Shape, Callable[[str, Any], Any]] = {
    "record": lambda key, scalar: {key: scalar},
    "table": lambda key, scalar: [{key: scalar, "b": "x"}],
    "tree": lambda key, scalar: {"a": {key: scalar}},
    "call": lambda key, scalar: {"name": "a", "arguments": {key: scalar}},
    "list": lambda key, scalar: [scalar],
}
"""A value of each shape with this key and this scalar in it."""


def _returns(target: Format, probe: Any) -> bool:
    try:
        bound = for_value(target, probe)
        parsed = bound.parse(bound.render(probe))
    except Exception:  # a Format may raise any error for what it cannot hold
        return False
    return parsed.ok and same_value(parsed.value, probe)


@dataclass(slots=True)
class Context:
    """The means to make one Example."""

    split: Split
    dice: Dice
    format: Format
    abilities: Abilities
    strictness: Strictness
    quoted: bool = False
    """Whether the source puts its texts into double quotes."""
    templates: list[str] = field(default_factory=list)

    def say(self, wording: Wording, **fields: object) -> str:
        """One of the split's wordings with its fields filled in; notes which."""
        template: str = self.dice.choice(wording[self.split])
        self.templates.append(template_id(template))
        return template.format(**fields)

    def one_of(self, wording: Wording) -> Wording:
        """One variant of a wording, for lines that must look alike."""
        return {self.split: (self.dice.choice(wording[self.split]),)}

    def style(self) -> str:
        """A key style that the Format can hold."""
        return self.dice.weighted(self.abilities.styles)

    def schema(self, low: int, high: int, *, style: str | None = None) -> Schema:
        """A schema of this split with low to high fields."""
        return draw_schema(self.split, self.dice, low, high, style or self.style())

    def values(self, schema: Schema) -> dict[str, Scalar]:
        """A value for each key of the schema."""
        return {field.key: self.value(field.kind) for field in schema.fields}

    def value(self, kind: str) -> Scalar:
        """A value of this kind, as text if the Format holds only text."""
        drawn = draw(kind, self.split, self.dice)
        return drawn if self.abilities.typed else surface(drawn)

    def written(self, value: Scalar) -> str:
        """The value as the source writes it."""
        text = surface(value)
        return f'"{text}"' if self.quoted and isinstance(value, str) and '"' not in text else text

    def rendered(self, record: Mapping[str, Scalar]) -> str:
        """A record in the Format, or the shape nearest to one that it holds."""
        shapes = self.abilities.shapes
        value: Any = record
        if shapes <= {"table", "list"}:
            value = [record] if "table" in shapes else [*record.values()]
        elif shapes == {"call"}:
            value = {"name": "show", "arguments": record}
        return for_value(self.format, value).render(value)

    def absent(self, schema: Schema) -> str | None:
        """The key of a value to leave out of the source, now and then if null may be answered."""
        if self.strictness == "hard" and self.abilities.nulls and self.dice.chance(0.3):
            key: str = self.dice.choice(schema.keys)
            return key
        return None

    @property
    def format_name(self) -> str:
        """The Format's name as people say it: JSON, YAML, Markdown table."""
        return title(self.format)


def template_id(template: str) -> str:
    """A wording's id: a hash of its words, so case and punctuation do not make a new wording."""
    words = " ".join(re.findall(r"\{?\w+\}?", template.casefold()))
    if not re.search(r"(?<!\{)\b\w+\b(?!\})", words):  # a layout without words: punctuation counts
        words = template
    return sha256(words.encode()).hexdigest()[:10]


@dataclass(slots=True)
class Draft:
    """A prompt in the making, and the value that answers it."""

    family: str
    shape: Shape
    schema: str
    value: Any
    ask: str
    source: str
    lead: list[str] = field(default_factory=list)
    tail: list[str] = field(default_factory=list)
    system: str = ""
    history: list[Message] = field(default_factory=list)
    contradicted: bool = False
    """Whether something in the prompt asks to break the format."""
    free: bool = False
    """Whether values are worked out, so that the request must not speak of copying them."""
    open: bool = False
    """Whether many answers are right: `value` is then one of them, and no answer is compared
    with it."""
    tags: dict[str, Any] = field(default_factory=dict)
    """What evaluators may ask of an open answer: `required_keys`, `json_schema`, and so on."""
    retry: tuple[str, str] | None = None
    """A broken answer, and the user's reply to it."""

    def messages(self) -> tuple[Message, ...]:
        """The chat up to the answer."""
        system = [Message("system", self.system)] if self.system else []
        user = Message("user", lines([*self.lead, self.ask, self.source, *self.tail]))
        again: list[Message] = []
        if self.retry:
            again = [Message("assistant", self.retry[0]), Message("user", self.retry[1])]
        return (*system, *self.history, user, *again)


def lines(parts: Iterable[str]) -> str:
    """The parts that are not empty, one on each line."""
    return "\n".join(filter(None, parts))
