"""extract: a sentence with facts becomes a record with the named keys.

    Extract customer, city from this text.
    About the order: the city is Oslo, the customer is Ada Lopez.
        ->  {"customer": "Ada Lopez", "city": "Oslo"}

Every fact names its field, so which value belongs to which key is never a guess; facts that nobody
asked for stand between them at hard strictness.
"""

from __future__ import annotations

from fmtharness.generators.context import Context, Draft, Wording
from fmtharness.generators.schemas import DOMAINS

ASK: Wording = {
    "train": (
        "Extract {keys} from this text.",
        "Pull {keys} out of the text below.",
        "From the message, get {keys}.",
        "Find {keys} in the following.",
        "Read this and collect {keys}.",
        "Fields: {keys}. Take them from the text.",
    ),
    "dev": (
        "What does the text say on {keys}?",
        "Look through this for {keys}.",
        "Note down {keys} as they appear here.",
    ),
    "eval": (
        "Turn the passage into a record with {keys}.",
        "I need {keys} from what follows.",
        "Keys wanted: {keys}. Look them up here:",
        "Capture {keys} as stated below.",
        "Which {keys} does it mention?",
    ),
}
OPENING: Wording = {
    "train": ("About the {domain}: ", "{domain} update: ", "Hello, for the {domain} ", ""),
    "dev": ("Here is the {domain}: ", "Facts on the {domain}: "),
    "eval": ("Regarding our {domain}, ", "Message on the {domain}: ", "Notes, {domain}: "),
}
FACT: Wording = {
    "train": ("the {label} is {value}", "{label}: {value}", "the {label} was {value}"),
    "dev": ("the {label} reads {value}", "{label} being {value}", "as {label} we noted {value}"),
    "eval": ("{label} is {value}", "{label} = {value}", "we have {label} {value}"),
}


def make(context: Context) -> Draft:
    """A record of three or four facts in one sentence."""
    dice = context.dice
    schema = context.schema(3, 5 if context.strictness == "hard" else 4)
    value = context.values(schema)
    absent = context.absent(schema)
    told = [
        (field.label, context.written(value[field.key]))
        for field in schema.fields
        if field.key != absent
    ]
    if context.strictness == "hard":
        asked = {field.label for field in schema.fields}
        others = [item for item in DOMAINS[schema.domain].items() if item[0] not in asked]
        label, kind = dice.choice(others)
        if dice.chance(0.5):
            told.append((label, context.written(context.value(kind))))
    dice.shuffle(told)
    if absent:
        value[absent] = None
    facts = (context.say(FACT, label=label, value=text) for label, text in told)
    source = (
        context.say(OPENING, domain=schema.domain) + dice.choice((", ", "; ")).join(facts) + "."
    )
    ask = context.say(ASK, keys=", ".join(schema.keys))
    return Draft("extract", "record", schema.id, value, ask, source)
