"""schema_instance: the prompt shows a schema, and the answer is an instance with sensible values.

    Give one instance of this schema.
    {"type": "object", "properties": {"stars": {"type": "integer", ...}}, ...}
        ->  {"stars": 4}

Schemas are JSON Schemas, indented or not, typed lists of fields, or types of TypeScript.
"""

from __future__ import annotations

import json
from typing import Any

from fmtharness.generators.context import Context, Draft, Wording
from fmtharness.generators.families.described_document import leaves_wanted
from fmtharness.generators.writing.grammar import Writer
from fmtharness.generators.writing.plans import (
    TYPES,
    Group,
    Leaf,
    Many,
    Node,
    draw_plan,
    nodes,
    plan_id,
    realise,
    shape_of,
)
from fmtharness.generators.writing.voices import draw_voice, say

ASK: Wording = {
    "train": (
        "Give one instance of this schema. Subject: {topic}.",
        "Make up data for {topic} that fits this schema:",
        "Write an object that is valid against the schema below. It's about {topic}.",
        "Schema first, then your job: describe {topic} with it.",
        "Please invent a record about {topic}. These are the fields and their types:",
        "fields + types below. subject is {topic}. fill all of them",
        "Our database takes entries of this type. Add one for {topic}.",
        "I need test data: one realistic entry on {topic}.",
        "Produce an example that validates, on the subject of {topic}.",
        "The form for {topic} has these fields. Complete it with invented but sensible values.",
        "What would an entry for {topic} look like under this schema?",
        "Instantiate the type for {topic}.",
        "A validator checks your answer against this. The theme is {topic}.",
        "Here's the data model of our app. Give me a sample about {topic}.",
        "Not the schema, an instance of it, please; write about {topic}.",
        "Populate this with content on {topic}.",
        "Using the definition below, describe {topic}.",
        "Let's mock the endpoint: return one entry on {topic} in this shape.",
        "hey can u give me dummy data for {topic}? has to match this",
        "All required fields, right types, sensible texts. Topic: {topic}.",
        "Could you be so kind as to fill in the following type for {topic}?",
        "Fixture for our tests, about {topic}. Definition:",
        "Respect the types and limits given here. Content: {topic}.",
        "Seed our catalogue with {topic}. Every entry has to conform to:",
        "The contract of our service is this; answer as the service would when asked for {topic}.",
        "I have a type and no data. Invent some: {topic}.",
        "Conform to the schema to the letter. It's for {topic}.",
        "Register {topic} in our system. Type of a registration:",
    ),
    "dev": (
        "Come up with a valid instance on {topic}.",
        "Show what {topic} would be in this data model.",
        "The schema is given, the content is your invention: {topic}.",
        "one sample of this type, theme {topic}",
        "Create something that a validator accepts; let it be on {topic}.",
        "Describe {topic} by means of these typed fields.",
    ),
    "eval": (
        "Deliver a conforming entry on {topic}.",
        "A single valid sample is needed. Its theme: {topic}.",
        "Take this type and write an instance that has to do with {topic}.",
        "would you mock {topic} for me, per this definition",
        "Every field has its type below. Fill them with regard to {topic}.",
        "Think of {topic} and fill the type accordingly.",
        "The importer validates strictly. Send it {topic}.",
        "Turn {topic} into data that meets this schema.",
    ),
}


def make(context: Context) -> Draft:
    """A record or a deeper object of up to 110 leaves, with the schema that describes it."""
    dice = context.dice
    tree = "tree" in context.abilities.shapes
    leaves = leaves_wanted(dice) if tree else dice.between(2, 7)
    plan = draw_plan(context, leaves, depth=dice.between(1, 3))
    writer = Writer(context.split, dice)
    writer.sentences = (1, 3)
    value = realise(plan, context, writer)
    topic = writer.topic
    assert topic is not None

    typed = context.abilities.typed
    tags: dict[str, Any] = {"required_keys": [".".join(path) for path, _ in nodes(plan)]}
    way = dice.choice(("schema", "schema", "schema", "list", "types", "class"))
    if way == "schema":
        schema = json_schema(plan, typed=typed)
        if dice.chance(0.25):
            schema = {"title": writer.fill("{Adj} {thing}"), **schema}
        indent = dice.choice((None, 2, 2, 4))
        source = json.dumps(schema, ensure_ascii=False, indent=indent)
        tags["json_schema"] = schema
    elif way == "list":
        source = field_list(plan, typed=typed)
    elif way == "types":
        source = f"type Entry = {typescript(plan, typed=typed)}"
    else:
        source = f"interface Entry {typescript(plan, typed=typed)}"
    voice = draw_voice(dice)
    asked = say(context, voice, ASK, topic=topic.name)
    parts = (asked, source) if dice.chance(0.8) else (source, asked)
    return Draft(
        "schema_instance", shape_of(plan), plan_id(plan), value, *parts, open=True, tags=tags
    )


def json_schema(node: Node, *, typed: bool) -> dict[str, Any]:
    """The JSON Schema that the values of a plan are valid against."""
    if isinstance(node, Group):
        return {
            "type": "object",
            "properties": {key: json_schema(n, typed=typed) for key, n in node.fields.items()},
            "required": [*node.fields],
            "additionalProperties": False,
        }
    if isinstance(node, Many):
        return {
            "type": "array",
            "items": json_schema(node.item, typed=typed),
            "minItems": node.count,
            "maxItems": node.count + (node.count % 2),
        }
    if node.options:
        return {"enum": [*node.options]}
    if not typed:
        return {"type": "string"}
    found: dict[str, Any] = {"type": TYPES.get(node.kind, "string")}
    if node.kind == "count":
        found |= {"minimum": 1, "maximum": 60}
    elif node.kind == "rating":
        found |= {"minimum": 1, "maximum": 5}
    elif node.kind in ("paragraph", "sentence"):
        found |= {"minLength": 10}
    elif node.kind == "date":
        found |= {"format": "date"}
    return found


def field_list(node: Group, *, typed: bool, indent: str = "") -> str:
    """`pages: integer`, a line for each field, inner fields indented."""
    lines = []
    for key, inner in node.fields.items():
        item = inner.item if isinstance(inner, Many) else inner
        times = f"array of {inner.count} " if isinstance(inner, Many) else ""
        if isinstance(item, Group):
            lines.append(f"{indent}{key}: {times}{'objects' if times else 'object'}")
            lines.append(field_list(item, typed=typed, indent=indent + "    "))
        else:
            told = _type(item, typed=typed)
            plural = "s" if times and "|" not in told else ""
            lines.append(f"{indent}{key}: {times}{told}{plural}")
    return "\n".join(lines)


def _type(node: Leaf, *, typed: bool) -> str:
    if node.options:
        return " | ".join(f'"{option}"' for option in node.options)
    return TYPES.get(node.kind, "string") if typed else "string"


def typescript(node: Node, *, typed: bool, indent: str = "") -> str:
    """`{ pages: number; steps: string[] /* 3 */ }`, a line for each key."""
    if isinstance(node, Group):
        deeper = indent + "  "
        lines = (
            f"{deeper}{key if key.isidentifier() else json.dumps(key)}: "
            f"{typescript(inner, typed=typed, indent=deeper)};"
            for key, inner in node.fields.items()
        )
        return "\n".join(["{", *lines, indent + "}"])
    if isinstance(node, Many):
        item = typescript(node.item, typed=typed, indent=indent)
        item = f"({item})" if "|" in item and isinstance(node.item, Leaf) else item
        return f"{item}[] /* {node.count} */"
    told = _type(node, typed=typed)
    return "number" if told == "integer" else told
