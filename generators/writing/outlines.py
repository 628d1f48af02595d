"""A plan told in words: as a bulleted list, in running text, or as a skeleton.

skeleton(plan)  ->  {title, steps: [x 4], author: {name, city}}
bullets(plan, dice)
    ->  - title: text, a title
        - steps: list of exactly 4 texts, each a step
"""

from __future__ import annotations

from fmtharness.generators.dice import Dice
from fmtharness.generators.writing.plans import TYPES, Group, Leaf, Many, Node

MEANINGS: dict[str, tuple[str, ...]] = {
    "title": ("a title", "short and catchy", "what it's called", "a few words"),
    "summary": ("what it is about", "one sentence", "in short"),
    "paragraph": ("some sentences", "a short paragraph", "running text"),
    "sentence": ("one sentence", "a full sentence", "a single sentence"),
    "step": ("what to do", "an instruction", "begins with a verb"),
    "question": ("ends with a question mark", "something to ask", "a question"),
    "line": ("a line of verse", "lyrical", "poetic"),
    "remark": ("spoken", "as somebody would say it"),
    "ingredient": ("with an amount if you like", "something to eat"),
    "person": ("first and last name", "an invented name", "a person"),
    "date": ("YYYY-MM-DD", "ISO date"),
    "time": ("HH:MM", "24 hours"),
    "count": ("a small whole number", "whole number", "1 to 60"),
    "amount": ("whole number", "a number in the hundreds or thousands"),
    "year": ("four digits", "a year"),
    "price": ("a number with decimals", "no currency sign"),
    "rating": ("between 1 and 5, one decimal", "up to 5"),
    "flag": ("true or false", "yes or no as a boolean"),
    "email": ("an address with @",),
    "tag": ("one or two words", "a keyword"),
    "quote": ("something quotable", "what somebody said"),
    "trait": ("a few words", "a quality"),
    "pro": ("something good about it",),
    "con": ("something bad about it",),
}
"""What may be said of a kind, besides its type."""
WORDED = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
]


class Teller:
    """Tells plans with the same words throughout one prompt."""

    def __init__(self, dice: Dice, *, typed: bool) -> None:
        self.dice = dice
        self.typed = typed
        self.text: str = dice.choice(("text", "string", "text", "string", "plain text"))
        self.record: str = dice.choice(("object", "record", "object", "group"))
        self.list: str = dice.choice(("list", "array", "array"))
        self.exactly: str = dice.choice(("exactly ", "", "exactly ", "precisely "))
        self.worded = dice.chance(0.5)
        self.mark: str = dice.choice(('"', '"', "`", ""))
        self.bullet: str = dice.choice(("-", "*", "-", "+"))
        self.talkative = dice.random()

    def key(self, key: str) -> str:
        return f"{self.mark}{key}{self.mark}"

    def count(self, count: int) -> str:
        return self.exactly + (WORDED[count] if self.worded else str(count))

    def leaf(self, node: Leaf) -> str:
        """`text, a title`, or one of the words to choose from."""
        if node.options:
            return f"one of {', '.join(node.options)}"
        kind = TYPES.get(node.kind, self.text) if self.typed else self.text
        meanings = MEANINGS.get(node.kind)
        if meanings and self.dice.random() < self.talkative:
            meaning: str = self.dice.choice(meanings)
            return f"{kind}, {meaning}"
        return kind

    def many(self, node: Many) -> str:
        """`list of exactly four texts`, without what its records hold."""
        if isinstance(node.item, Group):
            return f"{self.list} of {self.count(node.count)} {self.record}s"
        if node.item.options:
            return f"{self.list} of {self.count(node.count)}, each {self.leaf(node.item)}"
        told, _, meaning = self.leaf(node.item).partition(", ")
        more = f" ({meaning})" if meaning else ""
        return f"{self.list} of {self.count(node.count)} {told}s{more}"


def bullets(plan: Group, teller: Teller, indent: str = "") -> str:
    """A line for each key; what a record holds stands below it, indented."""
    lines = []
    for key, node in plan.fields.items():
        start = f"{indent}{teller.bullet} {teller.key(key)}: "
        if isinstance(node, Leaf):
            lines.append(start + teller.leaf(node))
            continue
        inner = node if isinstance(node, Group) else node.item
        told = teller.record if isinstance(node, Group) else teller.many(node)
        if isinstance(inner, Group):
            each = "each with" if isinstance(node, Many) else "with"
            lines += [f"{start}{told}, {each}", bullets(inner, teller, indent + "  ")]
        else:
            lines.append(start + told)
    return "\n".join(lines)


def prose(plan: Group, teller: Teller) -> str:
    """The plan in sentences: first the keys on top, then what stands inside of each."""
    dice = teller.dice
    opening = dice.choice(("On top there are", "The keys are", "At the top level I want", "It has"))
    told = [f"{opening} {_and([teller.key(key) for key in plan.fields])}."]
    waiting: list[tuple[str, Node]] = [*plan.fields.items()]
    for key, node in waiting:
        name = teller.key(key)
        if isinstance(node, Leaf):
            if node.options or node.kind in TYPES or dice.chance(0.3):
                told.append(f"{name} is {_an(teller.leaf(node))}.")
        elif isinstance(node, Many) and isinstance(node.item, Leaf):
            told.append(f"{name} is {_an(teller.many(node))}.")
        else:
            record = node if isinstance(node, Group) else node.item
            assert isinstance(record, Group)
            keys = _and([teller.key(inner) for inner in record.fields])
            if isinstance(node, Many):
                told.append(f"{name} is {_an(teller.many(node))}; each of them has {keys}.")
            else:
                told.append(f"{name} is {_an(teller.record)} with {keys}.")
            told.append(_inside(name, record, teller))
    return " ".join(filter(None, told))


def _inside(name: str, record: Group, teller: Teller) -> str:
    """What stands under the keys of a record, where a name alone wouldn't tell."""
    told = []
    for key, node in record.fields.items():
        inner = teller.key(key)
        if isinstance(node, Leaf):
            if node.options or node.kind in TYPES:
                told.append(f"{inner} is {_an(teller.leaf(node))}")
        elif isinstance(node, Group):
            told.append(f"{inner} is {_an(teller.record)}: {_members(node, teller)}")
        else:
            told.append(f"{inner} is {_an(teller.many(node))}")
            if isinstance(node.item, Group):
                told[-1] += f", each with {_members(node.item, teller)}"
    return f"In {name}, {'; '.join(told)}." if told else ""


def _members(record: Group, teller: Teller) -> str:
    told = []
    for key, node in record.fields.items():
        if isinstance(node, Leaf):
            plain = not node.options and node.kind not in TYPES
            told.append(teller.key(key) + ("" if plain else f" ({teller.leaf(node)})"))
        elif isinstance(node, Group):
            told.append(f"{teller.key(key)} ({teller.record} of {_members(node, teller)})")
        else:
            more = f": {_members(node.item, teller)}" if isinstance(node.item, Group) else ""
            told.append(f"{teller.key(key)} ({teller.many(node)}{more})")
    return _and(told)


def skeleton(node: Node, teller: Teller, indent: str = "", *, wide: bool = False) -> str:
    """`{title, steps: [4 x text], author: {name, city}}`, on one line or a key a line."""
    if isinstance(node, Leaf):
        return teller.leaf(node).partition(", ")[0] if not node.options else "|".join(node.options)
    if isinstance(node, Many):
        return f"[{node.count} x {skeleton(node.item, teller, indent, wide=wide)}]"
    deeper = indent + "  "
    parts = [
        teller.key(key)
        + (
            ""
            if isinstance(inner, Leaf) and not inner.options and inner.kind not in TYPES
            else f": {skeleton(inner, teller, deeper, wide=wide)}"
        )
        for key, inner in node.fields.items()
    ]
    if wide:
        return "{\n" + "".join(f"{deeper}{part}\n" for part in parts) + indent + "}"
    return "{" + ", ".join(parts) + "}"


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _an(text: str) -> str:
    """The text with its article; a list of words to choose from has none."""
    if text.startswith("one of"):
        return text
    return f"{'an' if text[0] in 'aeiou' else 'a'} {text}"
