"""unknown_as_null: the source is silent on some fields, and the request says what to put there.

    guest, room, nights from this note; null where it says nothing.
    Ada Lopez stays for 4 nights.     ->  {"guest": "Ada Lopez", "room": null, "nights": 4}

Null where the Format holds it; else the field is left out, or a word of the request stands in it.
Where lists may be empty, an empty list says that none is known.
"""

from __future__ import annotations

from typing import Any

from fmtharness.generators.asking import named, speak, structure
from fmtharness.generators.context import Context, Draft, Wording
from fmtharness.generators.ownership import by_split, owner
from fmtharness.generators.schemas import Schema, styled

ASK: Wording = {
    "train": (
        "Fields: {keys}. {rule}",
        "Extract {keys} from the note. {rule}",
        "{rule} The fields are {keys}.",
        "I need a record of {keys}. {rule}",
        "Fill the form ({keys}) as far as the text allows. {rule}",
        "please take this apart into {keys}. {rule}",
        "{keys} - that is what our database stores. {rule}",
        "Our last clerk invented things when he didn't know them, so be careful: {keys}. {rule}",
        "Parse this. Schema: {keys}. {rule}",
        "Would you copy what is known into {keys}? {rule} Thank you!",
        "DO NOT GUESS. {rule} {keys}.",
        "Turn the text into {keys}; it won't tell you everything. {rule}",
        "{keys}. All from the text below, nothing from your own head. {rule}",
        "Use these keys: {keys}. {rule} A remark of yours would be fine but gets thrown away, so "
        "save it.",
        "Half of the information is missing, as always. Never mind: {keys}. {rule}",
        "Structured output wanted: {keys}. {rule}",
    ),
    "dev": (
        "Get {keys} out of the message. {rule}",
        "What do we know about {keys}? {rule}",
        "{rule} I am after {keys}.",
        "look for {keys}, some aren't there. {rule}",
        "The table has columns for {keys}. {rule}",
    ),
    "eval": (
        "Note down {keys}. {rule}",
        "Collect what is said on {keys}. {rule}",
        "{rule} Otherwise report {keys} faithfully.",
        "Convert this into a record with {keys}. {rule}",
        "Kindly identify {keys} in what follows. {rule}",
        "{keys} plz, honest answers only. {rule}",
    ),
}
RULES: dict[str, Wording] = {
    "null": {
        "train": (
            "Where the text is silent, write null.",
            "Unknown fields are null.",
            "If something isn't said, null, not an empty string.",
            "Missing = null.",
            "Put null for whatever you can't find, and keep the key.",
            "No guesses: null if it does not say.",
        ),
        "dev": (
            "What is not mentioned gets null.",
            "Fields without information stay, with null.",
            "null for the ones you would have to guess.",
        ),
        "eval": (
            "Anything not stated becomes null.",
            "Absent details must appear as null.",
            "null marks what nobody told us.",
        ),
    },
    "omit": {
        "train": (
            "Leave out a key if the text says nothing on it.",
            "Omit what is unknown.",
            "Only the fields that are told; drop the rest.",
            "No key without a value.",
        ),
        "dev": ("Skip fields that are not mentioned.", "Unmentioned ones do not appear."),
        "eval": ("Whatever is not stated is not listed.", "Exclude keys that lack a value."),
    },
    "word": {
        "train": (
            'Write "{word}" where the text is silent.',
            'Unknown is written as "{word}".',
            'If it does not say, use the text "{word}".',
        ),
        "dev": ('What is not mentioned reads "{word}".', 'Gaps are filled with "{word}".'),
        "eval": ('"{word}" replaces anything not stated.', 'For missing details put "{word}".'),
    },
    "list": {
        "train": (
            "{key} is a list; empty if none is named.",
            "{key} lists those mentioned, [] if there are none.",
        ),
        "dev": ("Make {key} a list, an empty one where nothing is named.",),
        "eval": ("{key} holds a list, without members if none are given.",),
    },
}
FACT: Wording = {
    "train": (
        "the {label} is {value}",
        "{label}: {value}",
        "as for the {label}, it is {value}",
        "{value} is the {label}",
        "we have {value} as {label}",
        "{label} {value}",
    ),
    "dev": ("{label} reads {value}", "for {label} they gave {value}", "{value} ({label})"),
    "eval": (
        "they said {value} for {label}",
        "{label} given as {value}",
        "we know that {label} = {value}",
    ),
}
SILENT: Wording = {
    "train": (
        "nobody could tell me the {label}",
        "the {label} will follow later",
        "about the {label} I have heard nothing",
        "{label}: (left blank)",
        "somebody spilled coffee over the {label}",
    ),
    "dev": ("the {label} is still open", "no word on the {label}"),
    "eval": ("the {label} has not been decided", "we forgot to ask for the {label}"),
}
NAMED: Wording = {
    "train": ("{label}: {items}", "among the {label} are {items}"),
    "dev": ("{items} belong to the {label}",),
    "eval": ("as {label} we got {items}",),
}
OPENING: Wording = {
    "train": (
        "Note from the phone:",
        "What I wrote down:",
        "From the mail of this morning:",
        "He talked fast, but",
        "Here goes.",
        "",
    ),
    "dev": ("The message says:", "My scribbles:", "Heard on the line:"),
    "eval": ("According to the form,", "What reached us:", "The clerk noted:"),
}
WORDS = by_split(
    (
        "n/a", "missing", "unspecified", "none given", "TBD", "no data", "not on file",
        "to be asked", "undisclosed", "NIL", "no info", "not told", "see later", "not recorded",
        "unclear", "NN", "ask again", "empty", "gap", "no value", "nothing", "absent",
        "not available", "open point",
    )
)  # fmt: skip
LISTS = {
    "tags": "topic",
    "allergens": "product",
    "attachments": "code",
    "spare keys": "code",
    "co-workers": "person",
    "children": "person",
    "stopovers": "city",
    "former owners": "person",
    "accessories": "product",
    "exits": "place",
    "earlier dates": "date",
    "languages taught": "topic",
}


def make(context: Context) -> Draft:
    """A record of four to seven fields, one to three of which the source does not tell."""
    dice = context.dice
    rules = ["omit", "word"] + (["null"] * 4 if context.abilities.nulls else [])
    rule = dice.choice(rules)
    while True:
        schema = context.schema(4, 7)
        unknown = {field.key for field in dice.sample(schema.fields, dice.between(1, 3))}
        kept = tuple(f for f in schema.fields if f.key not in unknown)
        if rule != "omit" or owner(Schema(schema.domain, kept).id) == context.split:
            break
    known = context.values(schema)
    word = dice.choice(WORDS[context.split])
    value: dict[str, Any] = {}
    told = []
    for field in schema.fields:
        if field.key not in unknown:
            value[field.key] = known[field.key]
            told.append(
                context.say(FACT, label=field.label, value=context.written(known[field.key]))
            )
            continue
        if rule != "omit":
            value[field.key] = None if rule == "null" else word
        if dice.chance(0.35):
            told.append(context.say(SILENT, label=field.label))
    rules_told = [context.say(RULES[rule], word=word)]
    keys = [*schema.keys]
    shape: Any = "record"
    if rule == "null" and {"tree", "record"} <= context.abilities.shapes and dice.chance(0.3):
        shape = "tree"
        key, fact, items = _list(context, value)
        value[key] = items
        keys.append(key)
        told += fact
        rules_told.append(context.say(RULES["list"], key=key))
    dice.shuffle(told)
    opening = context.say(OPENING)
    source = f"{opening} " + dice.choice(("; ", ", ", ". ")).join(told) + "."
    ask = speak(context, ASK, keys=named(context, keys), rule=" ".join(rules_told))
    return Draft("unknown_as_null", shape, schema.id, value, ask, source.strip(), free=True)


def _list(context: Context, value: dict[str, Any]) -> tuple[str, list[str], list[Any]]:
    """A field that holds a list, what the source says of it, and its items: none, or a few."""
    dice, style = context.dice, context.style()
    labels = [
        label
        for label in LISTS
        if label not in value
        and owner(structure(value | {styled(label, style): [1]})) == context.split
    ]
    if not labels:
        raise ValueError(f"{context.split} owns no list for {', '.join(value)}")
    label = dice.choice(labels)
    items: list[Any] = []
    if dice.chance(0.5):
        items = [context.value(LISTS[label]) for _ in range(dice.between(1, 3))]
    fact = [context.say(NAMED, label=label, items=" and ".join(map(str, items)))] if items else []
    return styled(label, style), fact, items
