"""nested_record: a source describes an object of three to six levels, which is the answer.

    stage
      title: The plain belt
      rooms
        1. place: mill; items: lid / drum
        ->  {"stage": {"title": "The plain belt", "rooms": [{"place": "mill", "items": [...]}]}}

The source is an outline, a list of paths, or sentences; every value stands in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fmtharness.generators.context import Context, Draft, Wording
from fmtharness.generators.ownership import owner
from fmtharness.generators.schemas import styled
from fmtharness.generators.writing.grammar import Writer
from fmtharness.generators.writing.keys import MANY, ONE, RECORDS
from fmtharness.generators.writing.plans import (
    SHORT,
    Group,
    Leaf,
    Many,
    Node,
    leaves_of,
    plan_id,
    realise,
)
from fmtharness.generators.writing.voices import draw_voice, say

ASK: Wording = {
    "train": (
        "Turn this into nested records: {plan}.",
        "The shape is {plan}. Take the values from below.",
        "Bring the facts into the form {plan}.",
        "Read the source and build {plan}",
        "{plan}\nFill it from the following.",
        "Nest everything as it is told here; keys: {plan}.",
        "please sort this into {plan}",
        "Below you find facts on several levels. Store them as {plan}.",
        "Keep the levels. Structure: {plan}",
        "I need this tree as data, shaped like {plan}.",
        "Here's what we know. Make a deep object of it: {plan}.",
        "Convert the description to {plan}, and lose nothing.",
        "Depth matters: {plan}. Copy each value where it belongs.",
        "Could you restructure my notes? The result should be {plan}.",
        "The archive wants {plan}; the source is attached.",
        "From the outline, produce {plan}.",
        "Target: {plan}\nSource:",
        "All of this goes into one object, {plan}, no value changed.",
        "Mind the lists inside of lists: {plan}.",
        "Our loader expects {plan}. What it should load:",
        "put the stuff below where it belongs, {plan}",
        "Write down the hierarchy {plan} with these values.",
        "I typed this in a hurry. As data it would be {plan}.",
        "Each level of the text is a level of {plan}.",
        "Map the following onto {plan}.",
        "Transcribe, don't summarise. Form: {plan}.",
    ),
    "dev": (
        "Let the levels of the source become levels of {plan}.",
        "Wanted is {plan}; everything needed stands below.",
        "Make {plan} of what follows, value by value.",
        "Rebuild the tree {plan} from its description.",
        "facts below, form {plan}, go",
    ),
    "eval": (
        "Express the following as {plan}.",
        "The hierarchy reads {plan}. Complete it from the text.",
        "Encode what is said here in {plan}.",
        "Please structure these facts as {plan}, unchanged.",
        "Whatever is stated below belongs in {plan}.",
        "Inner lists included, give {plan}.",
    ),
}
TOP: Wording = {
    "train": ("the {key} is {value}", "{key}: {value}", "{key} = {value}"),
    "dev": ("{key} being {value}", "{key}, namely {value}"),
    "eval": ("{value} as {key}", "for {key} we have {value}"),
}
INNER: Wording = {
    "train": ("In {path}: {facts}.", "{path} - {facts}.", "As for {path}, {facts}."),
    "dev": ("Within {path}, {facts}.", "{path} says: {facts}."),
    "eval": ("Under {path} we note {facts}.", "At {path}: {facts}."),
}


def make(context: Context) -> Draft:
    """An object of three to six levels with lists of records that have lists."""
    dice = context.dice
    style = context.style()
    hard = context.strictness == "hard"
    depth = dice.between(3, 6 if hard else 5)
    while True:
        plan = Group({})
        _fill(context, plan, depth, style)
        most = 70 if dice.chance(0.1) else 34
        if leaves_of(plan) <= most and owner(plan_id(plan)) == context.split:
            break
    writer = Writer(context.split, dice)
    value = realise(plan, context, writer)
    way = dice.choice(("outline", "outline", "paths", "sentences"))
    if way == "outline":
        source = "\n".join(_outline(context, value, ""))
    elif way == "paths":
        joint = dice.choice((".", "/", " > ", " - "))
        source = "\n".join(
            f"{joint.join(path)}: {context.written(leaf)}" for path, leaf in _leaves(value, ())
        )
    else:
        source = _sentences(context, value, "")
    asked = say(context, draw_voice(dice), ASK, plan=_shape(plan))
    return Draft("nested_record", "tree", plan_id(plan), value, asked, source)


def _fill(context: Context, group: Group, depth: int, style: str) -> None:
    """Fill the record with short leaves, a list now and then, and one record a level deeper."""
    dice = context.dice
    for _ in range(dice.between(1, 3)):
        kind = dice.choice(SHORT)
        if dice.chance(0.25) and kind in MANY:
            key = dice.choice(MANY[kind])
            node: Node = Many(Leaf(kind), dice.between(2, 4))
        else:
            key, node = dice.choice(ONE[kind]), Leaf(kind)
        if key.casefold() not in {known.casefold().replace("_", " ") for known in group.fields}:
            group.fields.setdefault(styled(key, style), node)
    if depth > 1:
        record = dice.choice(RECORDS)
        inner = Group({})
        _fill(context, inner, depth - 1, style)
        several = dice.chance(0.45)
        node = Many(inner, dice.between(2, 3)) if several else inner
        group.fields.setdefault(
            styled(dice.choice(record.many if several else record.one), style), node
        )


def _outline(context: Context, value: Any, indent: str) -> Iterator[str]:
    """Indented lines; the records of a list are numbered."""
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield f"{indent}{key}"
            yield from _outline(context, inner, indent + "  ")
        elif isinstance(inner, list) and isinstance(inner[0], dict):
            for number, item in enumerate(inner, 1):
                yield f"{indent}{key} {number}"
                yield from _outline(context, item, indent + "  ")
        elif isinstance(inner, list):
            yield f"{indent}{key}: " + " / ".join(map(context.written, inner))
        else:
            yield f"{indent}{key}: {context.written(inner)}"


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    members = (
        value.items()
        if isinstance(value, dict)
        else ((str(number), item) for number, item in enumerate(value, 1))
    )
    for key, inner in members:
        if isinstance(inner, dict | list):
            yield from _leaves(inner, (*path, key))
        else:
            yield (*path, key), inner


def _sentences(context: Context, value: Any, path: str) -> str:
    """A sentence for the plain facts of each record, outermost first."""
    facts, deeper = [], []
    for key, inner in value.items():
        name = f"{path} {key}".strip()
        if isinstance(inner, dict):
            deeper.append(_sentences(context, inner, name))
        elif isinstance(inner, list) and isinstance(inner[0], dict):
            deeper += [
                _sentences(context, item, f"{name} {number}")
                for number, item in enumerate(inner, 1)
            ]
        else:
            told = (
                map(context.written, inner) if isinstance(inner, list) else [context.written(inner)]
            )
            facts.append(context.say(TOP, key=key, value=" + ".join(told)))
    if facts:
        joined = "; ".join(facts)
        first = context.say(INNER, path=path, facts=joined) if path else f"{joined}."
        return "\n".join([first, *filter(None, deeper)])
    return "\n".join(filter(None, deeper))


def _shape(node: Node) -> str:
    """`{title, rooms: [{place, items: []}]}`"""
    if isinstance(node, Group):
        parts = (
            key if isinstance(inner, Leaf) else f"{key}: {_shape(inner)}"
            for key, inner in node.fields.items()
        )
        return "{" + ", ".join(parts) + "}"
    return f"[{_shape(node.item)}]" if isinstance(node, Many) else ""
