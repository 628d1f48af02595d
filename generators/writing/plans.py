"""Plans of documents: which keys, how deep, how many elements; and values made by a plan.

    plan = draw_plan(context, leaves=6, depth=2)
        ->  Group({"title": Leaf("title"), "steps": Many(Leaf("step"), 4), ...})
    realise(plan, context, writer)  ->  {"title": "The mossy lid", "steps": ["Clean ...", ...]}

A plan belongs to the split that its keys hash to, as a schema does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from fmtharness.generators.context import Context
from fmtharness.generators.ownership import owner
from fmtharness.generators.schemas import styled
from fmtharness.generators.values import KINDS
from fmtharness.generators.writing.grammar import Writer
from fmtharness.generators.writing.keys import MANY, ONE, RECORDS
from fmtharness.generators.writing.lines import LINES
from fmtharness.generators.writing.topical import TOPICAL
from fmtharness.harness.contracts import Shape

Node: TypeAlias = "Leaf | Many | Group"


@dataclass(frozen=True, slots=True)
class Leaf:
    """One text, number or flag."""

    kind: str
    options: tuple[str, ...] = ()
    """Of a choice: what may stand there."""


@dataclass(frozen=True, slots=True)
class Many:
    """A list of `count` elements."""

    item: Leaf | Group
    count: int


@dataclass(frozen=True, slots=True)
class Group:
    """A record: its keys as they stand in the answer."""

    fields: dict[str, Node] = field(default_factory=dict)


NUMBERS = frozenset({"count", "amount", "year"})
TYPES = {
    **dict.fromkeys(NUMBERS, "integer"),
    "price": "number",
    "rating": "number",
    "flag": "boolean",
}
"""The JSON types of leaves that are not text."""
LONG = frozenset(
    ["paragraph", "sentence", "summary", "fact", "tip", "step", "note", "praise", "answer"]
)
"""Kinds of text that may take in one more sentence."""
MENTION = (
    "There's also the {word}.",
    "And yes, the {word} is part of it.",
    "Don't forget the {word}!",
    "Nobody expected the {word}.",
    "The {word} came later.",
    "All of it because of the {word}.",
)
SHORT = tuple(
    kind
    for kind in (*LINES, "person", "city", "company", "date", "time", "count", "price", "code")
    if kind
    in [
        "title",
        "item",
        "tag",
        "role",
        "place",
        "mood",
        "animal",
        "material",
        "dish",
        "team",
        "nickname",
        "person",
        "city",
        "company",
        "date",
        "time",
        "count",
        "price",
        "code",
        "ingredient",
        "option",
        "trait",
    ]
)
"""Kinds whose values are short enough to be listed in a source."""


def plan_id(node: Node) -> str:
    """The keys at every depth without order, case and separators, as data statistics name them."""
    if isinstance(node, Group):
        named = ((key, _inner(inner)) for key, inner in node.fields.items())
        return ",".join(
            sorted("".join(filter(str.isalnum, key.casefold())) + n for key, n in named)
        )
    return _inner(node)


def _inner(node: Node) -> str:
    if isinstance(node, Group):
        return f"({plan_id(node)})"
    return f"[{plan_id(node.item)}]" if isinstance(node, Many) else ""


def leaf(context: Context, kind: str) -> Leaf:
    """A leaf of this kind, with words to choose from where it is a choice."""
    if kind != "choice":
        return Leaf(kind)
    writer = Writer(context.split, context.dice)
    pool = context.dice.choice(("{adj}", "{mood}", "{material}", "{weather}"))
    options: list[str] = []
    while len(options) < 3:
        word = writer.fill(pool)
        if word not in options:
            options.append(word)
    return Leaf(kind, tuple(options))


def draw_plan(context: Context, leaves: int, depth: int) -> Group:
    """A plan of this split with about `leaves` leaves, and records at most `depth` deep."""
    style = context.style()
    while True:
        plan = _group(context, leaves, depth, style)
        if owner(plan_id(plan)) == context.split:
            return plan


def _group(context: Context, leaves: int, depth: int, style: str) -> Group:
    dice = context.dice
    fields: dict[str, Node] = {}
    lists = "tree" in context.abilities.shapes
    left = leaves
    while left > 0 and len(fields) < 18:
        drawn = dice.random()
        if not lists or left < 3 or drawn < 0.4:
            kind = dice.choice(tuple(ONE))
            added = _add(context, fields, ONE[kind], leaf(context, kind), style)
            left -= added
        elif drawn < 0.65 or depth < 2:
            kind = dice.choice(tuple(MANY))
            count = (
                dice.between(2, min(12, max(2, left))) if dice.chance(0.3) else dice.between(2, 5)
            )
            if _add(context, fields, MANY[kind], Many(leaf(context, kind), count), style):
                left -= count
        else:
            left -= _add_record(context, fields, left, depth, style)
    return Group(fields)


def _add_record(
    context: Context, fields: dict[str, Node], left: int, depth: int, style: str
) -> int:
    """Add one or several records to the fields; returns how many leaves they have."""
    dice = context.dice
    record = dice.choice(RECORDS)
    size = dice.between(2, min(5, len(record.kinds)))
    chosen = set(dice.sample(record.kinds, size))
    inner = group_of(context, [kind for kind in record.kinds if kind in chosen], style)
    if depth > 2 and left > 12 and dice.chance(0.4):
        _add_record(context, inner.fields, left // 3, depth - 1, style)
    cost = leaves_of(inner)
    count = dice.between(2, 6)
    if dice.chance(0.65) and cost * count <= left + 4:
        added = _add(context, fields, record.many, Many(inner, count), style)
        return cost * count * added
    return cost * _add(context, fields, record.one, inner, style)


def group_of(context: Context, kinds: list[str], style: str) -> Group:
    """A record with a field of each kind, under one of the names of that kind."""
    fields: dict[str, Node] = {}
    for kind in kinds:
        bare = kind.rstrip("*")
        one = leaf(context, bare)
        node: Node = one
        if kind.endswith("*") and "tree" in context.abilities.shapes:
            names, node = MANY[bare], Many(one, context.dice.between(2, 4))
        else:
            names = ONE[bare]
        while not _add(context, fields, names, node, style):
            pass  # another of its names
    return Group(fields)


def _add(
    context: Context, fields: dict[str, Node], names: tuple[str, ...], node: Node, style: str
) -> int:
    """Add the node under one of the names; 0 if the record has that name already, else 1."""
    key = styled(context.dice.choice(names), style)
    if key.casefold() in map(str.casefold, fields):
        return 0
    fields[key] = node
    return 1


def shape_of(plan: Group) -> Shape:
    """`record` if it has leaves alone, else `tree`."""
    flat = all(isinstance(node, Leaf) for node in plan.fields.values())
    return "record" if flat else "tree"


def leaves_of(node: Node) -> int:
    """How many leaves a value of the plan has."""
    if isinstance(node, Group):
        return sum(map(leaves_of, node.fields.values()))
    return leaves_of(node.item) * node.count if isinstance(node, Many) else 1


def nodes(node: Node, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Node]]:
    """Every node below this one and the keys that lead there; `*` is each element of a list."""
    if isinstance(node, Group):
        for key, inner in node.fields.items():
            yield (*path, key), inner
            yield from nodes(inner, (*path, key))
    elif isinstance(node, Many) and isinstance(node.item, Group):
        yield from nodes(node.item, (*path, "*"))


def realise(node: Node, context: Context, writer: Writer, must: list[str] | None = None) -> Any:
    """A value by the plan; words of `must` that found a place in it are taken out of the list."""
    if isinstance(node, Group):
        return {key: realise(inner, context, writer, must) for key, inner in node.fields.items()}
    if isinstance(node, Many):
        return _list(node, context, writer, must)
    text = _scalar(node, context, writer)
    if must and node.kind in LONG:
        text += " " + writer.fill(context.dice.choice(MENTION).replace("{word}", must.pop()))
    return text


def _list(node: Many, context: Context, writer: Writer, must: list[str] | None) -> list[Any]:
    found: list[Any] = []
    for _ in range(node.count):
        for _ in range(9):
            value = realise(node.item, context, writer, must)
            if value not in found:
                break
        found.append(value)
    return found


def _scalar(node: Leaf, context: Context, writer: Writer) -> Any:
    kind = node.kind
    if kind == "choice":
        return context.dice.choice(node.options)
    if kind == "paragraph":
        count = context.dice.between(*writer.sentences)
        return " ".join(write(writer, "sentence") for _ in range(count))
    if kind == "person":
        return writer.fill("{first} {last}")
    if kind == "city":
        return writer.fill("{city}")
    if kind in KINDS and kind not in LINES:
        return context.value(kind)
    return write(writer, kind)


def write(writer: Writer, kind: str) -> str:
    """A text of a kind of `LINES`, which at times names the topic."""
    return writer.one(LINES[kind], TOPICAL.get(kind, ()))
