"""open_writing: a short request for a text, which becomes an object of real content.

    Write a riddle about a mossy lid. Keys: riddle, answer.
        ->  {"riddle": "By day I ...", "answer": "..."}

The prompt names the keys, or says what must be in the text, or leaves everything open.
"""

from __future__ import annotations

import re

from fmtharness.generators.context import Context, Draft, Wording
from fmtharness.generators.ownership import owner
from fmtharness.generators.schemas import styled
from fmtharness.generators.writing.grammar import Writer, draw_topic
from fmtharness.generators.writing.plans import (
    LONG,
    Group,
    Leaf,
    Many,
    Node,
    group_of,
    nodes,
    plan_id,
    realise,
    shape_of,
)
from fmtharness.generators.writing.texts import TEXTS, Text
from fmtharness.generators.writing.voices import draw_voice, listed, say
from fmtharness.harness.matching import leaves

ASK: Wording = {
    "train": (
        "Write {text} {link} {topic}.",
        "{text} {link} {topic}, please.",
        "I need {text} {link} {topic}.",
        "Could you draft {text} {link} {topic} for me?",
        "Please compose {text} {link} {topic}.",
        "Make me {text} {link} {topic}.",
        "can u do {text} {link} {topic}",
        "We're still missing {text} {link} {topic}. Would you write it?",
        "My boss wants {text} {link} {topic} by noon, and I've no idea how to begin.",
        "Topic: {topic}. Wanted: {text}.",
        "Task: {text}. Subject: {topic}.",
        "Give me {text} {link} {topic}, something fresh.",
        "Invent {text} {link} {topic}.",
        "so i promised a friend {text} {link} {topic}... help",
        "Generate {text} {link} {topic}.",
        "I'd love to have {text} {link} {topic}, if it isn't too much trouble.",
        "Think of {topic}. Now write {text} {link} it.",
        "For our club magazine we would like {text} {link} {topic}.",
        "{text} {link} {topic}. Go.",
        "Put together {text} {link} {topic}; keep it lively.",
        "It's for the school: {text} {link} {topic}.",
        "Hello! I run a little shop and could use {text} {link} {topic}.",
        "Produce {text} {link} {topic} in plain words.",
        "How would you write {text} {link} {topic}? Show me.",
        "Let's have {text} {link} {topic}.",
        "Yesterday I saw {topic}, and now I can't stop thinking of it. Write {text} {link} it!",
        "Create {text} {link} {topic} for me, would you?",
        "What I want is {text} {link} {topic}, made up by you.",
        "A display in our hall shows one thing a day. Tomorrow: {text} {link} {topic}.",
        "Do {text} {link} {topic} and surprise me.",
        "Fill the gap on page four with {text} {link} {topic}.",
        "quick one - {text} {link} {topic}",
    ),
    "dev": (
        "Come up with {text} {link} {topic}.",
        "What about {text} {link} {topic}? You are free in the details.",
        "Our website lacks {text} {link} {topic}.",
        "somebody asked me for {text} {link} {topic}, your turn",
        "Kindly prepare {text} {link} {topic}.",
        "New entry: {text} {link} {topic}.",
        "Tonight's job for you is {text} {link} {topic}.",
        "Write up {topic} as {text}.",
    ),
    "eval": (
        "Would you please come up with {text} {link} {topic}?",
        "Looking for {text} {link} {topic}.",
        "The assignment: {text} {link} {topic}.",
        "hey, {text} {link} {topic} would be great",
        "You're the author now: {text} {link} {topic}.",
        "I was told that you're good at this. {text} {link} {topic}, then!",
        "Our app displays {text} {link} {topic}; provide one.",
        "Describe {topic} by way of {text}.",
        "Grandpa wishes for {text} {link} {topic}.",
        "Please think up {text} {link} {topic}.",
        "One more thing before lunch: {text} {link} {topic}.",
        "Compile {text} {link} {topic}.",
    ),
}
KEYS: Wording = {
    "train": (
        "Keys: {keys}.",
        "Use the keys {keys}.",
        "The fields are {keys}.",
        "I need {keys} in it.",
        "It should have {keys}.",
        "Return {keys}.",
        "with {keys}",
        "Structure: {keys}.",
        "It has these parts: {keys}.",
        "Please name the keys exactly {keys}.",
        "top-level keys {keys}, nothing else",
        "Split it into {keys}.",
    ),
    "dev": (
        "Call the keys {keys}.",
        "What we store is {keys}.",
        "The properties must be {keys}.",
        "Divide it into {keys}.",
    ),
    "eval": (
        "Expected keys: {keys}.",
        "The object consists of {keys}.",
        "My code looks for {keys}.",
        "Don't rename these: {keys}.",
        "Columns of our table: {keys}.",
    ),
}
COUNT: Wording = {
    "train": (
        "{key}: exactly {n}.",
        "Put {n} elements into {key}.",
        "{key} is a list of {n}.",
        "I want {n} in {key}.",
        "Make it {n} for {key}.",
    ),
    "dev": ("{key} has {n} entries.", "There are {n} of them in {key}.", "{n} strings for {key}."),
    "eval": (
        "{key} needs {n} entries, no more, no less.",
        "The list {key} contains {n} texts.",
        "Fill {key} with {n} of them.",
    ),
}
MUST: Wording = {
    "train": (
        "Mention the {word}.",
        'The word "{word}" must be in it.',
        "There has to be a {word} in it somewhere.",
        "don't forget the {word}",
        "Work in the {word}, too.",
        "It must say something on the {word}.",
    ),
    "dev": ("Somewhere the {word} should turn up.", "Let the {word} appear."),
    "eval": (
        "The {word} has to occur.",
        "Bring in the {word}.",
        "Make sure that {word} is named.",
    ),
}
FREE: Wording = {
    "train": (
        "Choose the keys yourself.",
        "Any keys you like.",
        "The shape is up to you.",
        "Structure it sensibly.",
        "you decide what goes in",
        "Pick a structure that fits.",
    ),
    "dev": ("Name the keys as you see fit.", "I leave the layout to you."),
    "eval": (
        "Which keys you use doesn't matter.",
        "Organise it as you think best.",
        "The structure is yours to choose.",
    ),
}
NUMBER_WORDS = {"three": 3, "five": 5}


def make(context: Context) -> Draft:
    """A text of one of fifty kinds, short or now and then long, about a topic of its own."""
    dice = context.dice
    mode = dice.weighted({"named": 0.5, "told": 0.25, "free": 0.25})
    size = dice.weighted({"small": 0.3, "middle": 0.5, "large": 0.14, "huge": 0.06})
    text, plan = _drawn(context, size)
    topic = draw_topic(context.split, dice, dice.choice(text.topics))
    writer = Writer(context.split, dice, topic)
    writer.sentences = {"small": (1, 2), "middle": (2, 4), "large": (5, 9), "huge": (20, 55)}[size]
    words = []
    if any(isinstance(node, Leaf) and node.kind in LONG for _, node in nodes(plan)):
        count = {"named": dice.below(2), "told": dice.between(1, 2), "free": 0}[mode]
        words = [writer.fill(dice.choice(("{thing}", "{food}", "{animal}"))) for _ in range(count)]
    value = realise(plan, context, writer, [*words])
    told = " ".join(str(leaf) for leaf in leaves(value).values())
    words = [word for word in words if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", told)]

    voice = draw_voice(dice)
    asked = [say(context, voice, ASK, text=text.name, link=text.link, topic=topic.name)]
    if mode == "named":
        asked.append(say(context, voice, KEYS, keys=listed(dice, [*plan.fields])))
        asked += [
            say(context, voice, COUNT, key=key, n=node.count)
            for key, node in plan.fields.items()
            if isinstance(node, Many) and (node.count > 5 or dice.chance(0.4))
        ]
    asked += [say(context, voice, MUST, word=word) for word in words]
    if mode != "named" and dice.chance(0.3):
        asked.append(say(context, voice, FREE))
    ask = " ".join(asked) if dice.chance(0.8) else "\n".join(asked)
    ask = ask[0].upper() + ask[1:] if voice == "plain" else ask
    tags = {
        "required_keys": [*plan.fields] if mode == "named" else [],
        "required_words": [word.casefold() for word in words],
    }
    return Draft(
        "open_writing", shape_of(plan), plan_id(plan), value, ask, "", open=True, tags=tags
    )


def _drawn(context: Context, size: str) -> tuple[Text, Group]:
    """A kind of text and a plan for it that the split owns."""
    dice = context.dice
    style = context.style()
    lists = "tree" in context.abilities.shapes
    while True:
        text = dice.choice(TEXTS)
        more = dice.sample(text.more, dice.below(len(text.more) + 1))
        kinds = [*text.core, *(more if size != "small" else more[:1])]
        if dice.chance(0.3):
            dice.shuffle(kinds)
        plan = group_of(context, kinds, style)
        fields: dict[str, Node] = {}
        for key, node in plan.fields.items():
            if isinstance(node, Many):
                fixed = NUMBER_WORDS.get(text.name.split()[0])
                high = {"small": 3, "middle": 5, "large": 8, "huge": 12}[size]
                node = Many(node.item, fixed or dice.between(2, high))
            fields[key] = node
        plan = Group(fields)
        if lists and size != "small" and dice.chance(0.1):
            noun = text.name.split(maxsplit=1)[1].replace("-", " ")
            plan = Group({styled(noun, style): plan})
        if owner(plan_id(plan)) == context.split:
            return text, plan
