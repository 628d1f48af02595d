"""list: an enumeration in running text or bullets becomes a list under a key.

List all guests under the key guests.
Guests: Ada Lopez, Omar Chen and Mei Holm.
    ->  {"guests": ["Ada Lopez", "Omar Chen", "Mei Holm"]}

In a Format whose root is the list itself, the items stand alone and no key is asked for.
"""

from __future__ import annotations

from fmtharness.generators.context import Context, Draft, Wording
from fmtharness.generators.ownership import by_split
from fmtharness.generators.schemas import styled
from fmtharness.generators.values import Scalar

KINDS = {
    "guests": "person",
    "speakers": "person",
    "team members": "person",
    "drivers": "person",
    "players": "person",
    "authors": "person",
    "winners": "person",
    "nurses": "person",
    "cities": "city",
    "stops": "city",
    "branches": "city",
    "destinations": "city",
    "tour cities": "city",
    "offices": "city",
    "countries": "country",
    "markets": "country",
    "export countries": "country",
    "suppliers": "company",
    "sponsors": "company",
    "clients": "company",
    "partner firms": "company",
    "exhibitors": "company",
    "products": "product",
    "spare parts": "product",
    "shopping list": "product",
    "lost items": "product",
    "gifts": "product",
    "topics": "topic",
    "courses": "topic",
    "hobbies": "topic",
    "skills": "topic",
    "rooms": "place",
    "locations": "place",
    "meeting points": "place",
    "order ids": "code",
    "serial numbers": "code",
    "badges": "code",
    "ticket ids": "code",
    "dates": "date",
    "holidays": "date",
    "deadlines": "date",
    "start times": "time",
    "departures": "time",
    "addresses": "address",
    "emails": "email",
    "recipients": "email",
    "phone numbers": "phone",
    "prices": "price",
    "readings": "price",
    "bids": "amount",
    "amounts": "amount",
    "years": "year",
    "releases": "version",
}
NAMES = by_split(KINDS)
ASK: Wording = {
    "train": (
        "List them under the key {key}.",
        "Collect all entries in a list called {key}.",
        "Make a list; its key is {key}.",
        "Put every item into {key}.",
        "Name the list {key} and keep all of it.",
        "The result has a single field {key} with each entry.",
        "Store these entries in {key}.",
        "{key} is the name of the list to make.",
        "Fill {key} with what is listed.",
    ),
    "dev": (
        "Write the items as a list named {key}.",
        "{key} holds the list of everything mentioned.",
        "Use {key} for the list of all that follows.",
    ),
    "eval": (
        "Gather the entries as {key}.",
        "One key, {key}, holding the list of all items.",
        "Everything named here belongs in the list {key}.",
        "Itemise this under {key}.",
    ),
}
ASK_ALONE: Wording = {
    "train": (
        "List all the {label}.",
        "Give me the {label} as a list.",
        "Collect the {label}, in this order.",
        "Which {label} are named? List them.",
        "Put every one of the {label} into a list.",
    ),
    "dev": (
        "Write down the {label}, item by item.",
        "I need each of the {label}, nothing skipped.",
        "Enumerate the {label}.",
    ),
    "eval": (
        "Gather the {label}, one entry each.",
        "Itemise the {label} below.",
        "What are the {label}? A plain list of them.",
    ),
}
SOURCE: Wording = {
    "train": ("{label}: {items}.", "These are the {label}: {items}.", "We have {items}."),
    "dev": (
        "Here come the {label}: {items}.",
        "{label}, as far as known: {items}.",
        "On the list of {label}: {items}.",
    ),
    "eval": ("The {label} are {items}.", "{label} so far - {items}.", "Known {label} = {items}."),
}
BULLETS: Wording = {
    "train": ("* {item}", "{number}. {item}"),
    "dev": ("+ {item}", "{number}) {item}"),
    "eval": ("- {item}", "({number}) {item}"),
}


def make(context: Context) -> Draft:
    """A list of two to five values of one kind."""
    dice = context.dice
    label = dice.choice(NAMES[context.split])
    key = styled(label, context.style())
    size = dice.between(2, 6 if context.strictness == "hard" else 4)
    items: list[Scalar] = []
    while len(items) < size:
        item = context.value(KINDS[label])
        if item not in items:
            items.append(item)
    texts = [context.written(item) for item in items]
    if dice.chance(0.4):
        bullet = context.one_of(BULLETS)
        source = "\n".join(
            context.say(bullet, number=number, item=text) for number, text in enumerate(texts, 1)
        )
    else:
        source = context.say(SOURCE, label=label, items=", ".join(texts))
    if "tree" in context.abilities.shapes:
        ask = context.say(ASK, key=key)
        return Draft("list", "tree", f"{label}[]", {key: items}, ask, source)
    return Draft("list", "list", f"{label}[]", items, context.say(ASK_ALONE, label=label), source)
