"""Fills sentences with words of a split and inflects them.

    Writer("train", dice).fill("{the topic} needs a(n) {adj} {thing}.")
        ->  "The night market needs an amber lantern."

A slot names a pool of `WORDS` and may end with the form that it wants: `{thing+}` is the plural,
`{verb~}` "cleaning", `{verb<}` "cleaned", `{verb>}` "cleans". `{a|b|c}` is one of three texts,
which may have slots of their own. A hyphen in a word stands for a blank.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

from fmtharness.generators.dice import Dice
from fmtharness.generators.writing.words import WORDS
from fmtharness.harness.contracts import Split

DOUBLED = frozenset(
    [
        "box",
        "chop",
        "scan",
        "scrub",
        "slop",
        "stir",
        "plan",
        "rub",
        "trim",
        "wrap",
        "hug",
        "knit",
        "mop",
        "pat",
        "pin",
        "plug",
        "tap",
        "tip",
        "zip",
    ]
) - {"box"}
AS_ONE = frozenset(["ox", "deer", "salmon", "trout", "squid"])
SLOT = re.compile(r"\{([^{}]*)\}")
START = re.compile(r"(^|[.!?] )([a-z])")
ARTICLE = re.compile(r"\b([Aa])\(n\) (?=(\w+))")
AN = re.compile(r"(?!eu|one\b|uni|use|usu|uku|ewe)[aeiou]|hour|honest|heir|honour", re.IGNORECASE)


def plural(noun: str) -> str:
    """`shelf` -> `shelves`, `box` -> `boxes`, `story` -> `stories`."""
    special = {"wolf": "wolves", "shelf": "shelves", "bookshelf": "bookshelves", "goose": "geese"}
    special |= {"mousetrap": "mousetraps", "dormouse": "dormice", "ox": "oxen"}
    special |= {"fisherman": "fishermen"}
    special |= {"postman": "postmen", "salesman": "salesmen", "craftsman": "craftsmen"}
    special |= {"ferryman": "ferrymen", "bargeman": "bargemen", "knife": "knives"}
    special |= {"penknife": "penknives", "midwife": "midwives", "tomato": "tomatoes"}
    special |= {"potato": "potatoes", "mango": "mangoes", "buffalo": "buffaloes"}
    special |= {"scarf": "scarves", "loaf": "loaves", "leaf": "leaves"}
    if noun in special:
        return special[noun]
    if noun in AS_ONE or noun.endswith(("'s", "craft", "sheep")):
        return noun
    if re.search(r"[^aeiou]y$", noun):
        return noun[:-1] + "ies"
    return noun + ("es" if re.search(r"(s|x|z|ch|sh)$", noun) else "s")


def _stem(verb: str) -> str:
    return verb + verb[-1] if verb in DOUBLED else verb


def _on_first(change: Callable[[str], str]) -> Callable[[str], str]:
    """The change, made to the first word of `wait-for` and to the last of `oven-roast`."""

    def changed(phrase: str) -> str:
        verb, _, rest = phrase.partition("-")
        if rest in ("for", "up"):
            return f"{change(verb)} {rest}"
        return change(phrase)

    return changed


@_on_first
def gerund(verb: str) -> str:
    """`bake` -> `baking`, `tie` -> `tying`, `chop` -> `chopping`."""
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    return (verb[:-1] if re.search(r"[^eoy]e$", verb) else _stem(verb)) + "ing"


@_on_first
def past(verb: str) -> str:
    """`bake` -> `baked`, `carry` -> `carried`, `chop` -> `chopped`."""
    if verb.endswith("e"):
        return verb + "d"
    return verb[:-1] + "ied" if re.search(r"[^aeiou]y$", verb) else _stem(verb) + "ed"


FORMS: Mapping[str, Callable[[str], str]] = {
    "+": plural,
    "~": gerund,
    "<": past,
    ">": _on_first(plural),
}


@cache
def _parts(text: str) -> tuple[str, ...]:
    """Literal texts at even places, slots at odd ones."""
    return tuple(SLOT.split(text))


@dataclass(slots=True)
class Topic:
    """What a text is about: `a folding ladder`, `the folding ladder`, `folding ladder`."""

    name: str
    the: str
    bare: str
    kind: str

    words: dict[str, list[str]] = field(default_factory=dict)
    """The words that it is made of, which the text should come back to."""

    @property
    def fields(self) -> dict[str, str]:
        return {"topic": self.name, "the topic": self.the, "bare topic": self.bare}


@dataclass(slots=True)
class Writer:
    """Writes texts of one split about a topic, with people who recur in it."""

    split: Split
    dice: Dice
    topic: Topic | None = None
    fields: dict[str, str] = field(default_factory=dict)
    """What further slots stand for."""
    sentences: tuple[int, int] = (2, 4)
    """How many sentences a paragraph has, at least and at most."""
    cast: dict[str, list[str]] = field(default_factory=dict)
    """Words that come back throughout the text."""
    told: set[str] = field(default_factory=set)
    """Texts and patterns written so far, so that none comes twice while there are others."""
    noted: dict[str, list[str]] | None = None
    """Where the words that are drawn are noted down."""
    used: set[str] = field(default_factory=set)
    """Words in the text that is being written."""

    def __post_init__(self) -> None:
        self.topic = self.topic or draw_topic(self.split, self.dice)
        self.fields = self.topic.fields | self.fields
        for pool in filter(CAST.__contains__, self.topic.words):
            others = [self.dice.choice(WORDS[pool][self.split]) for _ in range(2)]
            self.cast[pool] = [*self.topic.words[pool], *others]

    def fill(self, text: str) -> str:
        """The text with its slots filled in and its articles right."""
        self.used.clear()
        parts = _parts(text)
        while len(parts) > 1:
            text = "".join(
                self._slot(part) if place % 2 else part for place, part in enumerate(parts)
            )
            parts = tuple(SLOT.split(text))
        if "(n) " in text:
            text = ARTICLE.sub(lambda m: f"{m[1]}{'n' if AN.match(m[2]) else ''} ", text)
        return text

    def one(self, texts: tuple[str, ...], topical: tuple[str, ...] = ()) -> str:
        """One of the texts, or of those that name the topic, filled in; none comes twice."""
        for attempt in range(20):
            about = topical and self.dice.chance(TOPICAL_SHARE * min(1, len(topical) / 6))
            pattern: str = self.dice.choice(topical if about else texts)
            if pattern in self.told and attempt < 8:
                continue
            text = self.fill(pattern)
            if text[-1:] in ".!?:":
                text = START.sub(lambda m: m[1] + m[2].upper(), text)
            if text.casefold() not in self.told:
                break
        self.told |= {pattern, text.casefold()}
        return text

    def _slot(self, name: str) -> str:
        if name in self.fields:
            return self.fields[name]
        if name in CHOICES:
            name = CHOICES[name]
        if "|" in name:
            chosen: str = self.dice.choice(name.split("|"))
            return chosen
        if name in NUMBERS:
            return str(self.dice.between(*NUMBERS[name]))
        if name[0].isupper():
            word = self._slot(name[0].lower() + name[1:])
            return word[0].upper() + word[1:]
        form = FORMS.get(name[-1:])
        word = self._word(name[:-1] if form else name)
        return (form(word) if form else word).replace("-", " ")

    def _word(self, pool: str) -> str:
        """A word of the pool, often one of the cast, and none that the text has already."""
        words = WORDS[pool][self.split]
        for _ in range(4):
            if self.dice.chance(CAST.get(pool, 0)):
                cast = self.cast.setdefault(pool, [self.dice.choice(words) for _ in range(3)])
                word: str = self.dice.choice(cast)
            else:
                word = self.dice.choice(words)
            if word not in self.used:
                break
        self.used.add(word)
        if self.noted is not None:
            self.noted.setdefault(pool, []).append(word)
        return word


TOPICAL_SHARE = 0.35
"""How often a text names the topic, where there are six or more for it; else less often."""
CAST = {
    **dict.fromkeys(("thing", "place", "role", "animal", "food", "material"), 0.5),
    **dict.fromkeys(("first", "last", "city", "country", "activity", "event"), 0.7),
}
"""How often a word is one of the three that the text keeps coming back to."""
CHOICES = {
    "weekday": "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday",
    "month": "January|February|March|April|May|June|July|August|September|October|November",
}
NUMBERS = {"few": (2, 9), "dozens": (10, 90)}
"""Slots for numbers that belong to all splits."""

TOPICS: dict[str, tuple[str, ...]] = {
    "thing": ("{adj} {thing}", "{material} {thing}", "{adj} {adj} {thing}", "{thing}"),
    "place": ("{adj} {place}", "{place}", "{activity} {place}", "{adj} {place} for {role+}"),
    "animal": ("{adj} {animal}", "{animal}", "{adj} {animal} from the {place}"),
    "role": ("{adj} {role}", "{role} from {city}", "{role} with a(n) {thing}", "{mood} {role}"),
    "event": ("{adj} {event}", "{event} at the {place}", "{event} for {role+}", "{food} {event}"),
    "dish": ("{food} and {food} {soup|pie|salad|stew|cake}", "{adj} {food} {soup|pie|salad|bread}"),
    "activity": ("{activity}", "{activity} for {role+}", "{activity} at home"),
}


def draw_topic(split: Split, dice: Dice, kind: str | None = None) -> Topic:
    """A topic of this split, of a kind of `TOPICS`."""
    kind = kind or dice.choice(tuple(TOPICS))
    words: dict[str, list[str]] = {}
    draft = Writer(split, dice, Topic("", "", "", kind), noted=words)
    bare = draft.fill(dice.choice(TOPICS[kind]))
    if kind == "activity":
        return Topic(bare, bare, bare, kind, words)
    return Topic(draft.fill(f"a(n) {bare}"), f"the {bare}", bare, kind, words)
