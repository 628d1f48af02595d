"""described_document: a prompt describes a document, part by part, and the answer follows it.

    Prepare a booklet about a mossy lid. It has:
    - title: text
    - steps: list of exactly 3 texts
        ->  {"title": "The plain belt", "steps": ["...", "...", "..."]}

The description is a bulleted list, running text or a skeleton; counts are exact.
"""

from __future__ import annotations

from fmtharness.generators.context import Context, Draft, Wording
from fmtharness.generators.dice import Dice
from fmtharness.generators.writing.grammar import Writer
from fmtharness.generators.writing.outlines import Teller, bullets, prose, skeleton
from fmtharness.generators.writing.plans import Group, Many, draw_plan, nodes, plan_id, realise
from fmtharness.generators.writing.voices import draw_voice, say

ASK: Wording = {
    "train": (
        "Prepare a {document} about {topic}.",
        "I need a {document} on {topic}. This is how it is built:",
        "Please write a {document} about {topic} for {reader}. The structure is described below.",
        "We are putting together a {document} for {reader}; its subject is {topic}.",
        "Document: {document}. Subject: {topic}. Readers: {reader}.",
        "write me a {document} about {topic}, structured as follows",
        "Our print shop wants the {document} on {topic} as data, so stick to the parts below.",
        "Fill the following structure with a {document} about {topic}.",
        "Imagine a {document} about {topic}. Make it up from start to end, in this shape:",
        "Could you put together a {document} about {topic}? It has to have these parts.",
        "For {reader} I'd like a {document}: everything about {topic}.",
        "The {document} about {topic} was lost in the move. Write a new one; this was in it.",
        "hi, i help {reader} with their website and they want a {document} about {topic}. parts:",
        "Topic is {topic}, the form is a {document}, the parts are given.",
        "Generate the content of a {document} about {topic}.",
        "Draft a {document}. It's for {reader} and deals with {topic}.",
        "You're the editor of a {document} about {topic}. Follow the plan.",
        "Every month {reader} get a {document}. This time: {topic}, with the usual parts.",
        "Spec for a {document} ({topic}):",
        "As discussed on the phone: one {document} about {topic}, and all of the parts filled in.",
        "A {document} about {topic}. Parts, in this order:",
        "Nobody has time to write our {document}, so please do it. Subject: {topic}.",
        "I teach {reader}. Tomorrow's handout is a {document} about {topic}, built like this:",
        "Produce sample data: a {document} about {topic}.",
        "Let me explain what I need. It's a {document} for {reader}, it's about {topic}, and our "
        "software wants the following in it.",
        "Test content needed. Kind: {document}; about: {topic}.",
        "Write the {document} that {reader} would love to read about {topic}.",
        "the {document} thing again. {topic} this time. same parts as always",
    ),
    "dev": (
        "Set up a {document} that deals with {topic}.",
        "{reader} asked for a {document}. Let it be about {topic}, with what is listed.",
        "Author a {document}; {topic} is its theme.",
        "below is the outline of a {document} about {topic}, turn it into the real thing",
        "Make the {document} on {topic} complete, part by part.",
        "A {document} is wanted, and {topic} is what it's on.",
    ),
    "eval": (
        "Supply a {document} treating {topic}; its parts are laid down here.",
        "What we'd like to receive is a {document} on {topic}, to be read by {reader}.",
        "Create the complete {document} on {topic} according to the description.",
        "ok so {reader} need a {document}, it's about {topic}, see the parts",
        "The archive of {reader} lacks a {document} about {topic}. Its make-up:",
        "Assemble a {document} concerning {topic}.",
        "Build the {document} as described. What it is about: {topic}.",
        "I was asked to deliver a {document} about {topic}, and its structure is fixed.",
    ),
}
DOCUMENTS = [
    "booklet",
    "leaflet",
    "handbook",
    "brochure",
    "factsheet",
    "guide",
    "programme",
    "report",
    "catalogue",
    "course",
    "newsletter",
    "profile",
    "dossier",
    "workbook",
    "script",
    "curriculum",
    "folder",
    "portfolio",
    "manual",
    "record",
    "almanac",
    "fanzine",
    "brief",
    "plan",
    "proposal",
    "survey",
    "travelogue",
    "logbook",
    "compendium",
    "primer",
    "yearbook",
    "scrapbook",
]
REMARK: Wording = {
    "train": (
        "Invent whatever you need.",
        "Make up all names and numbers.",
        "No placeholders, real sentences please.",
        "Keep the order of the parts.",
        "No key may be missing and none may be added.",
        "counts must be right!!",
        "Don't repeat yourself.",
        "Everything in English.",
        "If you are unsure, decide; I won't complain.",
        "The tone is yours to pick.",
        "Short sentences are fine.",
        "Please count the elements before you send it.",
    ),
    "dev": (
        "All content may be fictional.",
        "Take the numbers of elements seriously.",
        "Every part has to be there.",
    ),
    "eval": (
        "Fiction is welcome.",
        "Stick to the number of elements given.",
        "Neither leave out a key nor add one.",
        "Each text should differ from the others.",
    ),
}


def leaves_wanted(dice: Dice) -> int:
    """How many leaves an answer has: mostly 5 to 20, now and then up to 110."""
    size = dice.weighted({"small": 0.2, "middle": 0.58, "large": 0.16, "huge": 0.06})
    low, high = {"small": (3, 6), "middle": (7, 17), "large": (18, 40), "huge": (45, 110)}[size]
    return dice.between(low, high)


def make(context: Context) -> Draft:
    """A document of up to 110 texts and numbers, two to four levels deep."""
    dice = context.dice
    leaves = leaves_wanted(dice)
    plan = draw_plan(context, leaves, depth=dice.between(2, 3 if leaves < 18 else 4))
    writer = Writer(context.split, dice)
    writer.sentences = (1, 3) if leaves > 20 else (2, 4)
    value = realise(plan, context, writer)
    topic = writer.topic
    assert topic is not None

    voice = draw_voice(dice)
    reader = writer.fill("{the|our|some} {role+}").replace("some the", "the")
    asked = say(
        context, voice, ASK, document=dice.choice(DOCUMENTS), topic=topic.name, reader=reader
    )
    asked = asked[0].upper() + asked[1:] if voice == "plain" else asked
    tail = [say(context, voice, REMARK)] if dice.chance(0.5) else []
    return Draft(
        "described_document",
        "tree",
        plan_id(plan),
        value,
        asked,
        told(context, plan),
        tail=tail,
        open=True,
        tags={"required_keys": required(plan), "lengths": lengths(plan)},
    )


def told(context: Context, plan: Group) -> str:
    """The plan in one of the ways in which people describe a document."""
    teller = Teller(context.dice, typed=context.abilities.typed)
    way = context.dice.choice(("bullets", "bullets", "prose", "prose", "wide", "line"))
    if way == "bullets":
        return bullets(plan, teller)
    return prose(plan, teller) if way == "prose" else skeleton(plan, teller, wide=way == "wide")


def required(plan: Group) -> list[str]:
    """The paths of all keys, as `sections.*.heading`."""
    return [".".join(path) for path, _ in nodes(plan)]


def lengths(plan: Group) -> dict[str, int]:
    """The exact number of elements of each list outside of lists."""
    return {
        ".".join(path): node.count
        for path, node in nodes(plan)
        if isinstance(node, Many) and "*" not in path
    }
