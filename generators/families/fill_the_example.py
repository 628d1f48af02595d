"""fill_the_example: the prompt shows one item, and the answer is another of the same shape.

    This is what an entry looks like: {"title": "The plain belt", "stars": 4}
    Make one about a mossy lid.
        ->  {"title": "Mossy lids and sleepy bakers", "stars": 3}

The example holds another item's data, or placeholders where the content goes.
"""

from __future__ import annotations

from typing import Any

from fmtharness.generators.context import Context, Draft, Wording
from fmtharness.generators.families.described_document import leaves_wanted, lengths, required
from fmtharness.generators.writing.grammar import Writer
from fmtharness.generators.writing.plans import (
    TYPES,
    Group,
    Many,
    Node,
    draw_plan,
    plan_id,
    realise,
    shape_of,
)
from fmtharness.generators.writing.voices import draw_voice, say
from fmtharness.harness.formats import for_value

ASK: Wording = {
    "train": (
        "This is what an entry looks like:\n{example}\nMake one about {topic}.",
        "{example}\nAnother one like that, please, about {topic}.",
        "Here's our entry for {other}:\n{example}\nWrite the one for {topic}.",
        "example:\n{example}\n\nnow do {topic}, same keys",
        "We already have this:\n{example}\nThe next one is on {topic}. Keep the shape, change the "
        "content.",
        "I'd like data in the shape of this sample: {example}\nThe new subject is {topic}.",
        "Sample:\n{example}\nTask: the same structure, new content. Subject: {topic}.",
        "Follow the pattern of\n{example}\nand describe {topic}.",
        "Last week's record was {example}\nThis week it's about {topic}. What does the record say?",
        "Could you write one more of these, this time about {topic}?\n{example}",
        "About {topic}, please. It has to look like the following:\n{example}",
        "My colleague sent me this as a model:\n{example}\nShe wants the same for {topic}, and she "
        "is strict about the keys.",
        "Input for the next page: {topic}. The last page had:\n{example}",
        "Same keys, same types, other topic: {topic}.\n{example}",
        "Use this as your model, but copy no word of its content: {example}\nWrite on {topic}.",
        "{example}\n^ like this but for {topic}",
        "The system knows only entries of this form:\n{example}\nAdd {topic} to it.",
        "Continue our collection with {topic}. One of the earlier pieces:\n{example}",
        "Imitate the structure, not the words. New theme: {topic}.\n---\n{example}\n---",
        "I lost the file on {topic}. It looked like the one on {other}:\n{example}\nRebuild it.",
        "Look at this first:\n{example}\nThen do the same thing with {topic}.",
        "If {other} is\n{example}\nwhat is {topic}?",
        "Give me a sibling of this record. Its theme: {topic}.\n{example}",
        "The kids loved this one:\n{example}\nLet's have another, about {topic}.",
        "Keep to the form below. Fill in {topic}.\n{example}",
        "Reference: {example}\nWanted: {topic}",
        "Please produce a second document with the same keys and list lengths as the first; it "
        "deals with {topic}. First document:\n{example}",
        "one more pls. {topic}.\n{example}",
    ),
    "dev": (
        "Model:\n{example}\nMake its counterpart for {topic}.",
        "Such a record exists for {other}:\n{example}\nWe need it for {topic}, too.",
        "take this shape {example}\nand put {topic} in",
        "{example}\nIn the same manner, present {topic}.",
        "Write about {topic} in exactly this form:\n{example}",
        "A record like the one here is missing for {topic}:\n{example}",
    ),
    "eval": (
        "Our template entry is\n{example}\nPlease produce the entry for {topic}.",
        "{example}\nThat was {other}. Next comes {topic}.",
        "Mirror this structure with fresh content on {topic}:\n{example}",
        "The shape is given by an older item: {example}\nThe new item: {topic}.",
        "see below, i need that for {topic}\n{example}",
        "Write the analogue of this for {topic}. Not one value may stay.\n{example}",
        "An item from our stock:\n{example}\nDesign a new item around {topic}, keys unchanged.",
        "Let the next one be about {topic}:\n{example}",
    ),
}
PLACEHOLDERS: Wording = {
    "train": (
        "Replace the placeholders with content about {topic}:\n{example}",
        "{example}\nFill this in. Subject: {topic}.",
        "Here's the empty form, make it a full one about {topic}.\n{example}",
        "template:\n{example}\nfill every gap, it's for {topic}",
        "The shape:\n{example}\nThe content, invented by you: {topic}.",
        "Please complete this template with real text on {topic}. {example}",
        "Nothing in it may stay a placeholder. Theme: {topic}.\n{example}",
        "This is the skeleton of an article on {topic}:\n{example}\nGive me the whole thing.",
        "What is in here is just to show the types: {example}\nWrite the true entry for {topic}.",
        "A blank card looks like so: {example}\nI'd like the card for {topic}.",
    ),
    "dev": (
        "Swap the dummies for texts on {topic}:\n{example}",
        "{example}\nWrite this for {topic}, with everything filled in.",
        "The blanks are yours, the theme is {topic}.\n{example}",
    ),
    "eval": (
        "Put real content in place of the dummies; it concerns {topic}.\n{example}",
        "An unfilled item: {example}\nLet me have it filled, on {topic}.",
        "Content for {topic} is to go into this frame:\n{example}",
        "{example}\nis only a stub. Make {topic} of it.",
    ),
}
COUNT: Wording = {
    "train": ("{key} gets {n} elements.", "Put {n} into {key}.", "{n} in {key}, please."),
    "dev": ("{key} takes {n}.", "For {key} we want {n}."),
    "eval": ("There should be {n} under {key}.", "{key} must hold {n}."),
}


def make(context: Context) -> Draft:
    """Two values by one plan: one, perhaps without its content, is shown; the other is wanted."""
    dice = context.dice
    tree = "tree" in context.abilities.shapes
    leaves = leaves_wanted(dice) if tree else dice.between(2, 7)
    plan = draw_plan(context, min(leaves, 50), depth=dice.between(1, 3))
    writer, other = Writer(context.split, dice), Writer(context.split, dice)
    writer.sentences = other.sentences = (1, 3)
    value = realise(plan, context, writer)
    topic, shown_topic = writer.topic, other.topic
    assert topic is not None and shown_topic is not None
    blank = context.abilities.typed and tree and dice.chance(0.35)
    if blank:
        mark = dice.choice(("...", "", "<{}>", "[{}]", "{} here"))
        shown = placeholder(plan, mark, typed=context.abilities.typed)
    else:
        shown = realise(plan, context, other)
    bound: Any = for_value(context.format, shown)
    if "layout" in type(bound).model_fields and dice.chance(0.5):
        bound = bound.model_copy(update={"layout": "indented"})
    voice = draw_voice(dice)
    asked = say(
        context,
        voice,
        PLACEHOLDERS if blank else ASK,
        example=bound.render(shown),
        topic=topic.name,
        other=shown_topic.name,
    )
    tail = []
    if blank:
        tail = [
            say(context, voice, COUNT, key=key, n=node.count)
            for key, node in plan.fields.items()
            if isinstance(node, Many)
        ]
    tags = {"required_keys": required(plan), "lengths": lengths(plan)}
    return Draft(
        "fill_the_example",
        shape_of(plan),
        plan_id(plan),
        value,
        asked,
        "",
        tail=tail,
        open=True,
        tags=tags,
    )


def placeholder(node: Node, mark: str, *, typed: bool, key: str = "") -> Any:
    """The plan's shape with a placeholder for each leaf; a list has one element."""
    if isinstance(node, Group):
        return {k: placeholder(n, mark, typed=typed, key=k) for k, n in node.fields.items()}
    if isinstance(node, Many):
        return [placeholder(node.item, mark, typed=typed, key=key)]
    kind = TYPES.get(node.kind, "") if typed else ""
    if kind:
        return {"integer": 0, "number": 0.5, "boolean": False}[kind]
    return mark.format(key)
