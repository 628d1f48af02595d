"""edit: a record in the format and one change become the whole changed record.

    {"guest": "Ada Lopez", "nights": 4}
    Set nights to 7.
        ->  {"guest": "Ada Lopez", "nights": 7}

Both key sets, before and after, are schemas of the split.
"""

from __future__ import annotations

from fmtharness.generators.context import Context, Draft, Wording
from fmtharness.generators.ownership import owner
from fmtharness.generators.schemas import Schema

SET: Wording = {
    "train": (
        "Set {key} to {value}.",
        "Change {key} to {value}.",
        "{key} is now {value}.",
        "The new {key} is {value}.",
        "{key} should be {value}.",
    ),
    "dev": (
        "Let {key} be {value}.",
        "{key} has to be {value} from now on.",
        "Correct {key} to {value}.",
    ),
    "eval": ("Update {key}: {value}.", "Replace the {key} with {value}.", "Make {key} {value}."),
}
ADD: Wording = {
    "train": (
        "Add {key} with the value {value}.",
        "Also add {key}: {value}.",
        "Give it a new key {key} set to {value}.",
        "Include {key} = {value} at the end.",
    ),
    "dev": ("Extend it by {key}, namely {value}.", "A further key is {key}: {value}."),
    "eval": ("Append a key {key} holding {value}.", "Put in {key}, which is {value}."),
}
REMOVE: Wording = {
    "train": (
        "Remove {key}.",
        "Delete the key {key}.",
        "Drop {key}.",
        "Without {key}, please.",
        "Get rid of {key}.",
    ),
    "dev": ("Erase {key}.", "{key} is to go.", "Strike out {key}."),
    "eval": ("Take out {key}.", "Leave {key} out.", "We no longer need {key}."),
}
WHOLE: Wording = {
    "train": ("Give the whole record.", "Show the full result.", "Send back all of it."),
    "dev": ("Output the record in full.", "The answer is the entire record."),
    "eval": ("Return everything.", "Print the complete updated record.", "I want all keys back."),
}


def make(context: Context) -> Draft:
    """One field of a record is set, added at the end, or removed."""
    dice = context.dice
    change = dice.choice(("set", "set", "add", "remove"))
    style = context.style()
    while True:
        schema = context.schema(3, 5 if context.strictness == "hard" else 4, style=style)
        odd = schema.fields[-1] if change == "add" else dice.choice(schema.fields)
        smaller = Schema(schema.domain, tuple(field for field in schema.fields if field != odd))
        if change == "set" or owner(smaller.id) == context.split:
            break
    whole = context.values(schema)
    part = {key: value for key, value in whole.items() if key != odd.key}
    if change == "set":
        new = context.value(odd.kind)
        while new == whole[odd.key]:
            new = context.value(odd.kind)
        before, after = whole, whole | {odd.key: new}
        told = context.say(SET, key=odd.key, value=context.written(after[odd.key]))
    elif change == "add":
        before, after = part, whole
        told = context.say(ADD, key=odd.key, value=context.written(whole[odd.key]))
    else:
        before, after = whole, part
        told = context.say(REMOVE, key=odd.key)
    ask = context.rendered(before)
    final = smaller if change == "remove" else schema
    return Draft("edit", "record", final.id, after, ask, f"{told} {context.say(WHOLE)}")
