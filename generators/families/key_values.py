"""key_values: loose notes, one fact a line or a slot, become a record.

Make a record with nights, guest.
guest: Ada Lopez
nights: 4
    ->  {"nights": 4, "guest": "Ada Lopez"}
"""

from __future__ import annotations

from fmtharness.generators.context import Context, Draft, Wording

ASK: Wording = {
    "train": (
        "Make a record with {keys}.",
        "Structure these notes with the keys {keys}.",
        "Put the notes into {keys}.",
        "Here are some notes. Keys: {keys}.",
        "Tidy this up into {keys}.",
        "Turn the list below into one entry with {keys}.",
        "Arrange this by {keys}.",
        "Record {keys} from these details.",
        "The names to use are {keys}.",
        "Write down {keys}, taken from these lines.",
    ),
    "dev": (
        "From the jottings below, fill {keys}.",
        "These details become one record with {keys}.",
        "Bring the lines together as {keys}.",
    ),
    "eval": (
        "Convert these lines to the fields {keys}.",
        "Sort the details below under {keys}.",
        "The entry should hold {keys}.",
        "Store this using {keys} as names.",
    ),
}
LINE: Wording = {
    "train": ("{label}: {value}", "{label} - {value}", "{label} .. {value}", "* {label}: {value}"),
    "dev": ("{label} :: {value}", "{label} | {value}", "+ {label}: {value}"),
    "eval": ("{label} = {value}", "{label} -> {value}", "- {label}: {value}", "[{label}] {value}"),
}
UNKNOWN: Wording = {
    "train": ("unknown", "not given", "?"),
    "dev": ("not known", "left blank"),
    "eval": ("n/a", "not stated", "no entry"),
}


def make(context: Context) -> Draft:
    """A record of three to five notes, all written alike, in another order than asked for."""
    dice = context.dice
    schema = context.schema(3, 5 if context.strictness == "hard" else 4)
    value = context.values(schema)
    absent = context.absent(schema)
    line = context.one_of(LINE)
    told = []
    for field in schema.fields:
        if field.key != absent:
            text = context.written(value[field.key])
        elif dice.chance(0.5):
            text = context.say(UNKNOWN)
        else:
            continue
        told.append(context.say(line, label=field.label, value=text))
    dice.shuffle(told)
    if absent:
        value[absent] = None
    ask = context.say(ASK, keys=", ".join(schema.keys))
    source = dice.choice(("\n", "\n", "; ")).join(told)
    return Draft("key_values", "record", schema.id, value, ask, source)
