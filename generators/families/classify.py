"""classify: a message with one clue word becomes a record with its label.

    Labels: billing (invoice, refund), travel (visa, luggage). Keys: label, sender.
    Ada Lopez writes about the visa.
        ->  {"label": "travel", "sender": "Ada Lopez"}

The clue stands beside its label in the prompt, so it only has to be found.
"""

from __future__ import annotations

from fmtharness.generators.context import Context, Draft, Wording
from fmtharness.generators.ownership import divide, owned
from fmtharness.generators.schemas import styled
from fmtharness.generators.values import surface

CLUES = {
    "billing": "invoice refund receipt surcharge",
    "travel": "visa luggage passport itinerary",
    "repairs": "leak crack breakdown puncture",
    "health": "fever allergy prescription vaccine",
    "payroll": "salary bonus payslip overtime",
    "security": "password burglar fingerprint alarm",
    "catering": "menu buffet dessert waiter",
    "sports": "goalkeeper stadium marathon referee",
    "weather": "storm drought hail forecast",
    "music": "concert melody trumpet rehearsal",
    "legal": "contract lawsuit witness patent",
    "housing": "landlord tenancy mortgage apartment",
    "school": "homework exam pupil timetable",
    "traffic": "detour congestion roadworks junction",
    "energy": "turbine fuse meter blackout",
    "farming": "tractor cattle wheat fertiliser",
    "network": "bandwidth firewall packet latency",
    "shopping": "discount coupon checkout voucher",
    "cinema": "actor trailer premiere screenplay",
    "delivery": "parcel courier doorstep shipment",
    "banking": "overdraft cheque teller deposit",
    "gardening": "seedling compost hedge lawnmower",
    "fashion": "sleeve collar boutique fabric",
    "astronomy": "comet eclipse galaxy telescope",
    "printing": "ink cartridge toner margin",
    "hiring": "applicant interview vacancy referral",
    "insurance": "claim premium liability coverage",
    "cooking": "recipe oven garlic saucepan",
    "politics": "ballot senator treaty referendum",
    "chemistry": "molecule acid catalyst beaker",
}
LABELS = divide(" ".join(CLUES))
LABEL_KEYS = (
    "label", "category", "topic", "kind", "area", "queue",
    "intent", "class", "tag", "section", "desk", "theme",
)  # fmt: skip
SENDER_KEYS = [
    "sender",
    "writer",
    "sent by",
    "contact person",
    "customer name",
    "requester",
    "caller",
]
ASK: Wording = {
    "train": (
        "Labels: {labels}. Keys: {keys}.",
        "Sort the message into {labels}. Give {keys}.",
        "Pick {keys}; the labels are {labels}.",
    ),
    "dev": (
        "The possible labels are {labels}. Return {keys}.",
        "Assign one of {labels} to the message, as {keys}.",
        "Decide between {labels}. I want {keys}.",
    ),
    "eval": (
        "Choose from {labels} and report {keys}.",
        "Options - {labels}. Fill in {keys}.",
        "Which of {labels} applies? State {keys}.",
    ),
}
MESSAGE: Wording = {
    "train": (
        "{person} writes about the {clue}.",
        "From {person}: I have a question on the {clue}.",
        "{person}: the {clue} again, please help.",
    ),
    "dev": (
        "{person} wrote to us on the {clue}.",
        "Message of {person}: something happened with the {clue}.",
        "We heard from {person}, it is about the {clue}.",
    ),
    "eval": (
        "A note by {person} concerning some {clue}.",
        "{person} called because of a {clue}.",
        "{person} asks: who deals with my {clue}?",
    ),
}


def make(context: Context) -> Draft:
    """Two labels, or three at hard strictness, with two clue words each, and a sender to copy."""
    dice = context.dice
    style = context.style()
    hard = context.strictness == "hard"
    labels = dice.sample(LABELS[context.split], 3 if hard else 2)
    clues = {label: dice.sample(CLUES[label].split(), 2) for label in labels}
    label = dice.choice(labels)

    def draw() -> tuple[str, str]:
        return dice.choice(LABEL_KEYS), dice.choice(SENDER_KEYS)

    names = owned(context.split, draw, lambda pair: ",".join(sorted(pair)))
    person = surface(context.value("person"))
    first, second = (styled(name, style) for name in names)
    value = {first: label, second: person}
    if dice.chance(0.5):
        value = {second: person, first: label}
    options = ", ".join(f"{name} ({', '.join(words)})" for name, words in clues.items())
    ask = context.say(ASK, labels=options, keys=", ".join(value))
    source = context.say(MESSAGE, person=person, clue=dice.choice(clues[label]))
    return Draft("classify", "record", ",".join(sorted(names)), value, ask, source)
