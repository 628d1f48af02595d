"""A free answer as data: the same content, put into one of many objects, and how it is asked for.

    put(context, "kettles", "Kettles boil water. They whistle.", whole=True)
        ->  Object({"topic": "kettles", "sentences": ["Kettles boil water.", "They whistle."]},
                   "tree")

The keys belong to one split each. Which objects can be drawn depends on what the answer consists
of (list items, paragraphs, sentences) and on what the Format holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fmtharness.generators.context import Context, Draft, Wording
from fmtharness.generators.requests import BOUND, DEMANDS, PRIORITY
from fmtharness.generators.schemas import styled
from fmtharness.harness.contracts import Shape
from fmtharness.harness.formats import for_value, with_article

ITEM = re.compile(r"\s*(?:\d{1,2}[.)]|[-*•])\s+(.+)")
SENTENCE_END = re.compile(r"""(?<=[.!?])["')]*\s+(?=["'(]?[A-Z0-9])""")
CUT_TAIL = re.compile(r"""[.!?]["')]*(?=\s|$)""")
KEYS: dict[str, Wording] = {
    "topic": {
        "train": ("topic", "title", "subject", "about"),
        "dev": ("theme", "heading"),
        "eval": ("headline", "matter", "concerning"),
    },
    "text": {
        "train": ("answer", "text", "content", "body", "reply"),
        "dev": ("response", "message"),
        "eval": ("passage", "prose", "wording"),
    },
    "paragraphs": {
        "train": ("paragraphs", "sections", "blocks"),
        "dev": ("parts",),
        "eval": ("passages", "portions"),
    },
    "sentences": {
        "train": ("sentences", "lines", "statements"),
        "dev": ("phrases",),
        "eval": ("remarks", "utterances"),
    },
    "items": {
        "train": ("points", "items", "list", "entries", "ideas"),
        "dev": ("bullets",),
        "eval": ("elements", "notes"),
    },
    "number": {
        "train": ("n", "no", "number", "position"),
        "dev": ("index",),
        "eval": ("rank", "place"),
    },
    "item": {
        "train": ("text", "point", "item", "description"),
        "dev": ("bullet",),
        "eval": ("element", "note"),
    },
    "first": {
        "train": ("summary", "opening", "lead", "first"),
        "dev": ("start",),
        "eval": ("intro", "beginning"),
    },
    "rest": {
        "train": ("details", "rest", "more", "further"),
        "dev": ("remainder",),
        "eval": ("continuation", "following"),
    },
    "words": {
        "train": ("words", "word count", "length"),
        "dev": ("size",),
        "eval": ("total words", "extent"),
    },
    "inner": {
        "train": ("document", "result", "data", "article"),
        "dev": ("output",),
        "eval": ("piece", "work"),
    },
}
"""The keys of each role in an object."""
NAMED: Wording = {
    "train": (
        "Keys: {keys}.",
        "Use the keys {keys}.",
        "I need {keys} in it.",
        "It must have {keys}.",
        "The fields are called {keys}.",
        "Give it these keys: {keys}.",
    ),
    "dev": ("Name the keys {keys}.", "Structure it by {keys}."),
    "eval": ("The keys shall be {keys}.", "Fill these keys: {keys}.", "With {keys} as keys."),
}
SHAPED: Wording = {
    "train": (
        "It should look like this:\n{skeleton}",
        "Follow this structure:\n{skeleton}",
        "Same shape as here, with your own content:\n{skeleton}",
        "Template:\n{skeleton}",
    ),
    "dev": ("The layout is:\n{skeleton}", "Copy this build:\n{skeleton}"),
    "eval": ("The structure has to be:\n{skeleton}", "Fill in this skeleton:\n{skeleton}"),
}
TOLD: dict[str, Wording] = {
    "words": {
        "train": ("Also say how many words your text has.", "Count the words of it, too."),
        "dev": ("Tell me its number of words as well.",),
        "eval": ("Include how many words there are.",),
    },
    "items": {
        "train": ("Make it a list of points.", "Number the points."),
        "dev": ("Split it into bullets.",),
        "eval": ("Divide it into single points.",),
    },
    "paragraphs": {
        "train": ("One string for each paragraph.", "Keep the paragraphs apart."),
        "dev": ("Separate its parts.",),
        "eval": ("Give each passage on its own.",),
    },
    "sentences": {
        "train": ("One string for each sentence.", "Put every sentence on its own."),
        "dev": ("Separate the sentences.",),
        "eval": ("Single sentences, please.",),
    },
    "first": {
        "train": ("The first sentence stands alone.", "Begin with a summary, then the details."),
        "dev": ("Keep the start apart.",),
        "eval": ("An introduction first, the rest after it.",),
    },
}
"""What a request may say about an object without naming a key."""
OPEN: Wording = {
    "train": (
        "only {format}, no other text",
        "Reply with {format} and nothing else.",
        "Your whole answer is parsed as {format}, so write no word around it.",
        "I feed your reply to a program that reads {format}. Nothing before it, nothing after it.",
        "{instruction} No fence, no comment.",
        "pls answer in {format} only",
        "Everything you write must be {format}.",
        "Put all of it into {format}; do not say anything outside.",
        "Give me that as {format}, without an introduction.",
        "No prose. {format} alone.",
    ),
    "dev": (
        "Wrap it up as {format}, all of it.",
        "My script takes {format} only.",
    ),
    "eval": (
        "strictly {format}, nothing around it",
        "A parser for {format} gets your reply; text of another kind breaks it.",
        "The complete response has to be valid {format}.",
    ),
}
FREE: Wording = {
    "train": (
        "{instruction} What is in it is up to you.",
        "Output: {format}. You choose the structure.",
        "Answer as {format} with fields that fit.",
        "Any keys will do, but it must be {format} and nothing else.",
    ),
    "dev": ("{instruction} The structure is your choice.", "{format}, built as you like, alone."),
    "eval": ("{instruction} Decide on the fields yourself.", "Free structure, but pure {format}."),
}
"""The same where nothing is said about the structure."""
HOW = {"open": 3.0, "told": 1.0, "named": 2.0, "shaped": 1.0}
"""How often a request says nothing, a little, the keys, or the structure of the object."""


class Object(NamedTuple):
    """A value with an answer's content."""

    value: Any
    shape: Shape
    told: str = ""
    """The role that says what is special about it."""


class Content(NamedTuple):
    """What an answer consists of."""

    text: str
    paragraphs: list[str]
    sentences: list[str]
    items: list[str]


def content(text: str) -> Content:
    """The parts of an answer: list items are its lines that begin with a number or a bullet."""
    text = text.strip()
    items = [found[1].strip() for line in text.splitlines() if (found := ITEM.fullmatch(line))]
    flat = " ".join(text.split())
    sentences = [each.strip() for each in SENTENCE_END.split(flat)]
    paragraphs = [each.strip() for each in re.split(r"\n\s*\n", text)]
    return Content(text, paragraphs, sentences, items)


def repeats(text: str) -> bool:
    """Whether two of an answer's sentences or list items are equal, or it holds an empty one."""
    parts = [each.casefold() for each in _plain(content(text))]
    return len({*parts}) < len(parts) or not all(parts)


def learnable(text: str) -> bool:
    """Whether a model may learn it: the text of a special token would become that token."""
    return bool(text.strip()) and "<|" not in text and "\ufffd" not in text


def whole_part(text: str) -> str:
    """A text that was cut off, up to its last whole sentence; empty if there is none."""
    ends = [found.end() for found in CUT_TAIL.finditer(text)]
    # The last one may be the dot of a number, such as that of a list's next item.
    while ends and re.search(r"(^|\s)\d{1,2}\.$", text[: ends[-1]]):
        ends.pop()
    return text[: ends[-1]] if ends else ""


Key = Callable[[str], str]
Builder = Callable[[Key, str, Content], Any]


def _points(key: Key, found: Content) -> list[Any]:
    number, item = key("number"), key("item")
    parts = found.items if len(found.items) > 1 else found.sentences
    return [{number: n, item: part} for n, part in enumerate(parts, 1)]


def _plain(found: Content) -> list[str]:
    return found.items if len(found.items) > 1 else found.sentences


_RECORDS: Mapping[str, Builder] = {
    "text": lambda key, topic, found: {key("text"): found.text},
    "topic": lambda key, topic, found: {key("topic"): topic, key("text"): found.text},
    "words": lambda key, topic, found: {
        key("text"): found.text,
        key("words"): len(found.text.split()),
    },
}
_TREES: Mapping[str, Builder] = {
    "items": lambda key, topic, found: {key("topic"): topic, key("items"): _points(key, found)},
    "bare items": lambda key, topic, found: {key("items"): _plain(found)},
    "sentences": lambda key, topic, found: {
        key("topic"): topic,
        key("sentences"): found.sentences,
    },
    "first": lambda key, topic, found: {
        key("first"): found.sentences[0],
        key("rest"): found.sentences[1:],
    },
    "nested": lambda key, topic, found: {
        key("topic"): topic,
        key("inner"): {key("first"): found.sentences[0], key("rest"): found.sentences[1:]},
    },
    "counted": lambda key, topic, found: {
        key("inner"): {key("topic"): topic, key("sentences"): found.sentences},
        key("words"): len(found.text.split()),
    },
}
_PARAGRAPHS: Mapping[str, Builder] = {
    "paragraphs": lambda key, topic, found: {
        key("topic"): topic,
        key("paragraphs"): found.paragraphs,
    },
    "numbered": lambda key, topic, found: {
        key("topic"): topic,
        key("paragraphs"): [
            {key("number"): n, key("text"): each} for n, each in enumerate(found.paragraphs, 1)
        ],
    },
}


def put(context: Context, topic: str, answer: str) -> Object:
    """An object with the answer's content, of a shape that the Format holds.

    Raises ValueError if the Format holds no shape that an answer can be put into.
    """
    found, shapes = content(answer), context.abilities.shapes
    choices: dict[str, tuple[Builder, Shape]] = {}
    if "record" in shapes:
        choices |= {name: (build, "record") for name, build in _RECORDS.items()}
    if "tree" in shapes and len(_plain(found)) > 1:
        choices |= {name: (build, "tree") for name, build in _TREES.items()}
        if len(found.items) < 2 and len(found.sentences) < 2:
            del choices["items"]
    if "tree" in shapes and len(found.paragraphs) > 1:
        choices |= {name: (build, "tree") for name, build in _PARAGRAPHS.items()}
    if not choices and "table" in shapes:
        choices["table"] = (lambda key, topic, found: _points(key, found), "table")
    if not choices and "list" in shapes:
        choices["list"] = (lambda key, topic, found: _plain(found), "list")
    if not choices:
        raise ValueError(f"format {context.format.name!r} holds no shape for an answer's text")
    name = context.dice.choice(tuple(choices))
    build, shape = choices[name]
    taken: dict[str, str] = {}
    style = context.style()

    def key(role: str) -> str:
        """One key for each role, different from those of the others."""
        if role not in taken:
            free = [each for each in KEYS[role][context.split] if each not in taken.values()]
            taken[role] = context.dice.choice(free)
        return styled(taken[role], style)

    value = build(key, topic, found)
    if not context.abilities.typed:
        value = _as_texts(value)
    return Object(value, shape, name if name in TOLD else "")


def _as_texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_texts(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_as_texts(inner) for inner in value]
    return str(value)


def request(context: Context, ask: str, made: Object) -> Draft:
    """The request for the object: the ask, what it says about its structure, and the demand."""
    dice = context.dice
    draft = Draft("self_answers", made.shape, "", made.value, ask, "")
    how = dice.weighted(HOW)
    if how == "told" and made.told:
        draft.tail.append(context.say(TOLD[made.told]))
    if how == "named" and (named := _named(made.value)):
        draft.tail.append(context.say(NAMED, keys=_listed(named, dice.chance(0.5))))
    if how == "shaped":
        skeleton = _skeleton(made.value)
        written = for_value(context.format, skeleton).render(skeleton)
        draft.tail.append(context.say(SHAPED, skeleton=written))
    demand = _demand(context, made.value, free=not draft.tail)
    place = dice.choice(("system", "first", "last", "last", "last"))
    if place == "system":
        draft.system = demand
    elif place == "first":
        draft.lead.append(demand)
    else:
        draft.tail.append(demand)
    return draft


def _demand(context: Context, value: Any, *, free: bool) -> str:
    """The demand for the format: easy asks for it, medium and hard for nothing but it."""
    name = with_article(context.format)
    if context.strictness == "easy":
        return context.say(DEMANDS["easy"], format=name)
    instruction = for_value(context.format, value).instruction(value)
    wording = context.dice.choice((OPEN, FREE if free else OPEN, BOUND))
    said = context.say(wording, format=name, instruction=instruction)
    if context.strictness == "hard":
        said = f"{said} {context.say(PRIORITY, format=context.format_name)}"
    return said


def _named(value: Any) -> list[str]:
    """The keys of an object, or of a table's rows."""
    row = value[0] if isinstance(value, list) and value else value
    return [*row] if isinstance(row, dict) else []


def _listed(keys: list[str], quoted: bool) -> str:
    names = [f'"{key}"' if quoted else key for key in keys]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _skeleton(value: Any) -> Any:
    """The value's structure: one element of each list, `...` for a text, 0 for a number."""
    if isinstance(value, dict):
        return {key: _skeleton(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_skeleton(inner) for inner in value[:1]]
    return "..." if isinstance(value, str) else 0
