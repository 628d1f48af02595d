"""prose: a text in plain words, which names no field, becomes a record.

    Extract guest, room, check_in.
    Ada Lopez will be there on 2026-03-04, code A-2031.
        ->  {"guest": "Ada Lopez", "room": "A-2031", "check_in": "2026-03-04"}

No two fields of the schema have values of the same kind, so each value fits only one key.
"""

from __future__ import annotations

from fmtharness.generators.context import Context, Draft, Wording

ASK: Wording = {
    "train": (
        "Extract {keys}.",
        "Read the text and note {keys}.",
        "The keys are {keys}; the text has their values.",
    ),
    "dev": (
        "What are {keys} according to the text?",
        "Fill in {keys} from this account.",
        "Gather {keys} from the sentence below.",
    ),
    "eval": (
        "Summarise the message as {keys}.",
        "Which values belong to {keys} in this story?",
        "Out of the words below, determine {keys}.",
    ),
}
PHRASES: dict[str, Wording] = {
    "person": {
        "train": ("{value} is in charge", "we spoke with {value}"),
        "dev": ("ask for {value}", "{value} takes care of it"),
        "eval": ("{value} signed for it", "the name on it is {value}"),
    },
    "company": {
        "train": ("it comes through {value}", "{value} pays"),
        "dev": ("the firm is {value}", "business goes through {value}"),
        "eval": ("everything runs via {value}", "{value} is behind it"),
    },
    "product": {
        "train": ("people want the {value}", "it concerns a {value}"),
        "dev": ("one {value} is enough", "they ordered a {value}"),
        "eval": ("the thing itself is a {value}", "everyone asked for one {value}"),
    },
    "email": {
        "train": ("write to {value}", "mail goes to {value}"),
        "dev": ("answers should reach {value}", "drop a line to {value}"),
        "eval": ("reachable at {value}", "send messages to {value}"),
    },
    "phone": {
        "train": ("call {value}", "ring {value} in case of questions"),
        "dev": ("the number to try is {value}", "phone {value} for more"),
        "eval": ("dial {value}", "the line is {value}"),
    },
    "address": {
        "train": ("the door is at {value}", "walk to {value}"),
        "dev": ("come to {value}", "the building is {value}"),
        "eval": ("you will find it at {value}", "head for {value}"),
    },
    "city": {
        "train": ("all of it happens in {value}", "it is in {value}"),
        "dev": ("the town is {value}", "it takes place in the town of {value}"),
        "eval": ("{value} is where it ends up", "somewhere in {value}"),
    },
    "country": {
        "train": ("the land is {value}", "it stems from {value}"),
        "dev": ("its homeland is {value}", "the passport says {value}"),
        "eval": ("{value} is the nation", "within {value}"),
    },
    "place": {
        "train": ("look in the {value}", "it stands in the {value}"),
        "dev": ("wait by the {value}", "try the {value} first"),
        "eval": ("you meet it near the {value}", "kept at the {value}"),
    },
    "code": {
        "train": ("the code reads {value}", "filed as {value}"),
        "dev": ("the sticker says {value}", "look it up under {value}"),
        "eval": ("marked {value}", "its identifier is {value}"),
    },
    "date": {
        "train": ("it was on {value}", "the day is {value}"),
        "dev": ("noted on {value}", "the calendar says {value}"),
        "eval": ("mark {value} in the calendar", "as of {value}"),
    },
    "time": {
        "train": ("at {value} sharp", "the clock said {value}"),
        "dev": ("the hour is {value}", "punctually at {value}"),
        "eval": ("around {value}", "not later than {value}"),
    },
    "price": {
        "train": ("the figure is {value}", "it came to {value}"),
        "dev": ("the number given is {value}", "it adds up to {value}"),
        "eval": ("it amounts to {value}", "{value} was measured"),
    },
    "state": {
        "train": ("by now it is {value}", "it has been {value}"),
        "dev": ("at this point {value}", "it counts as {value}"),
        "eval": ("currently {value}", "it got {value}"),
    },
    "topic": {
        "train": ("all about {value}", "the theme is {value}"),
        "dev": ("the talk is of {value}", "it belongs to {value}"),
        "eval": ("it deals with {value}", "in the field of {value}"),
    },
    "version": {
        "train": ("it runs {value}", "version {value}"),
        "dev": ("it is on {value} now", "the build is {value}"),
        "eval": ("release {value}", "updated to {value}"),
    },
    "year": {
        "train": ("back in {value}", "the year was {value}"),
        "dev": ("the year {value} is printed inside", "it goes back to {value}"),
        "eval": ("it dates from {value}", "made during {value}"),
    },
}


def make(context: Context) -> Draft:
    """Three or four facts, told in any order."""
    dice = context.dice
    while True:
        schema = context.schema(3, 4)
        kinds = [field.kind for field in schema.fields]
        if len(set(kinds)) == len(kinds) and all(kind in PHRASES for kind in kinds):
            break
    value = context.values(schema)
    absent = context.absent(schema)
    told = [
        context.say(PHRASES[field.kind], value=context.written(value[field.key]))
        for field in schema.fields
        if field.key != absent
    ]
    dice.shuffle(told)
    if absent:
        value[absent] = None
    ask = context.say(ASK, keys=", ".join(schema.keys))
    text = dice.choice((", ", "; ", ". ")).join(told) + "."
    return Draft("prose", "record", schema.id, value, ask, text[0].upper() + text[1:])
