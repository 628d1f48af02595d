"""long_list: 20 to 80 elements are asked for, and the answer holds exactly these and stops.

    Write the whole numbers from 8 to 31, all 24 of them. Put them into `numbers`.
        ->  {"numbers": [8, 9, 10, ..., 31]}

Most lists follow a rule (numbers, letters, weekdays), some are made up (products,
names), some are rows (a timetable, a roster). At times a field comes after the list.
"""

from __future__ import annotations

from typing import Any

from fmtharness.generators import pools
from fmtharness.generators.asking import distinct, joined, owned_keys, scalar, speak
from fmtharness.generators.context import Context, Draft, Wording
from fmtharness.generators.sequences import SCALARS, WEEKDAYS
from fmtharness.generators.values import draw

MOST_LEAVES = 150
"""Rows have fewer elements where they are wide, so that an answer stays within 1,500 tokens."""

ASK: Wording = {
    "train": (
        "Write {what}, all {n} of them.",
        "Give me {what}.",
        "I need {what}. That makes {n} elements, no more and no fewer.",
        "List {what}. Stop after the last one.",
        "Please be so kind as to write down {what}; there should be {n} in the end.",
        "{what} - {n} entries.",
        "ok so what i want is {what}, {n} in total, dont repeat yourself",
        "Task: enumerate {what}. Expected length: {n}.",
        "My little program tests lists of {n} elements. Fill one with {what}.",
        "Could you type out {what} for me? I always lose count before {n}.",
        "GIVE ME {n} ELEMENTS: {what}!",
        "We print labels this afternoon and somebody has to produce {what}, so here I am asking "
        "you. {n} labels, not one beyond that.",
        "Generate {what}; len == {n}.",
        "Hello! For a class I should like to have {what}. Thanks a lot.",
        "Output {what}, complete, without dots in place of elements.",
        "Return a list with {what} and end it there.",
        "Nothing fancy: {what}.",
        "Produce test data, namely {what}. The importer rejects anything but {n} elements.",
        "Long list coming up! {what}, please, and mind that you close it properly.",
    ),
    "dev": (
        "Spell out {what} in full.",
        "The list should contain {what}, {n} altogether.",
        "For a quiz we are in want of {what}. Count to {n}, then finish.",
        "make me {what} pls",
        "Compile {what}, with size {n}.",
        "Would you mind listing {what}?",
    ),
    "eval": (
        "Show {what} without skipping any.",
        "Let me have {what}. {n} is the number I count on.",
        "Fixture needed: {what}; exactly {n} members.",
        "I am copying {what} onto cards, one each, {n} cards lie here.",
        "can u do {what}? ends at {n}",
        "Kindly supply {what}, the whole series.",
        "A list, please, of {what}.",
        "Everything from the first to the {n}th: {what}.",
    ),
}
WHERE: Wording = {
    "train": (
        "Put them into `{key}`.",
        "The list is called {key}.",
        'Use the key "{key}".',
        "They belong under {key}.",
        "Key: {key}.",
        "{key} holds them.",
        "Our loader reads {key}.",
        "They go in a list named {key}, please.",
    ),
    "dev": ("Let {key} be its name.", 'All of it sits in "{key}".', "{key} = the list."),
    "eval": (
        "Store the series as {key}.",
        "It is looked up by the name {key}.",
        "I access it through `{key}`.",
        "The field for it is {key}.",
    ),
}
AFTER: Wording = {
    "train": (
        "After it {key} says how many there are.",
        "Then {key}, the number of elements.",
        "Close with {key}: the length.",
    ),
    "dev": ("{key} follows with the count.", "Behind the list {key} tells its size."),
    "eval": ("Finally {key} gives the total number.", "Last comes {key}, how many it has."),
}
ROWS: Wording = {
    "train": (
        "Each has {fields}.",
        "Fields of each: {fields}.",
        "Every element consists of {fields}.",
        "Per row {fields}, always in this order.",
    ),
    "dev": ("{fields} make up one element.", "One row is {fields}."),
    "eval": ("An element carries {fields}.", "Columns: {fields}.", "Every entry shows {fields}."),
}
WHAT: dict[str, Wording] = {
    "count": {
        "train": (
            "the whole numbers from {first} to {last}",
            "all integers between {first} and {last}, both included",
            "{first}, {second}, {third} and so on up to {last}",
        ),
        "dev": ("every integer, {first} to {last}", "the numbers {first} through {last}"),
        "eval": ("what you get by counting from {first} to {last}", "the range {first}..{last}"),
    },
    "step": {
        "train": (
            "the numbers from {first} to {last} in steps of {step}",
            "{first}, {second}, {third} ... {last}",
        ),
        "dev": ("{n} numbers that begin at {first} and change by {step} each time",),
        "eval": ("the progression {first}, {second}, ... until {last}",),
    },
    "multiples": {
        "train": ("the first {n} multiples of {step}", "the {step} times table up to {n} times"),
        "dev": ("{n} multiples of {step}, beginning with {step} itself",),
        "eval": ("{step} times 1, {step} times 2 and so forth up to {step} times {n}",),
    },
    "squares": {
        "train": ("the squares of 1 to {n}", "the first {n} square numbers"),
        "dev": ("1 squared, 2 squared, up to {n} squared",),
        "eval": ("n * n for n from 1 through {n}",),
    },
    "letters": {
        "train": ("the letters {first} to {last}", "the alphabet from {first} until {last}"),
        "dev": ("each letter, {first} through {last}",),
        "eval": ("the characters of the alphabet, starting at {first}, ending with {last}",),
    },
    "weekdays": {
        "train": ("{n} weekdays in a row, the first is {first}", "{n} days on end from {first}"),
        "dev": ("the names of {n} successive days, {first} being day one",),
        "eval": ("which day it is on each of {n} days if we start on a {first}",),
    },
    "months": {
        "train": ("the next {n} months starting with {first}", "{n} months on end from {first}"),
        "dev": ("the names of {n} successive months, {first} being the first",),
        "eval": ("the month for each of {n} rents, the first due in {first}",),
    },
    "buzz": {
        "train": ('1 to {n} with "{word}" in place of every multiple of {step}',),
        "dev": ('a counting game up to {n} where multiples of {step} become "{word}"',),
        "eval": ('the numbers 1 to {n}; whatever {step} divides is called "{word}"',),
    },
    "labels": {
        "train": ('"{first}", "{second}" and so on up to "{last}"',),
        "dev": ('labels that run from "{first}" to "{last}"',),
        "eval": ('the series "{first}" ... "{last}", numbered without gaps',),
    },
    "made_up": {
        "train": (
            "{n} {things} that you make up, all different",
            "{n} invented {things}",
            "{n} {things} for a game, none of them twice",
        ),
        "dev": ("{n} fictitious {things}, each a new one",),
        "eval": ("{n} {things} out of thin air, without duplicates",),
    },
    "squares_rows": {
        "train": ("the numbers 1 to {n} with their squares",),
        "dev": ("a table of squares, 1 through {n}",),
        "eval": ("n beside n squared, n running from 1 to {n}",),
    },
    "times_table": {
        "train": ("the multiplication table of {step} from 1 to {n}",),
        "dev": ("{step} times each factor up to {n}, with the product",),
        "eval": ("factor and product for {step}, the factors being 1 to {n}",),
    },
    "calendar": {
        "train": ("{n} days with number and weekday, day 1 is a {first}",),
        "dev": ("a calendar of {n} days that opens on a {first}",),
        "eval": ("days 1 to {n}, each with its weekday; the first is a {first}",),
    },
    "made_up_rows": {
        "train": ("{n} invented rows of {things}", "{n} made-up records for {things}"),
        "dev": ("sample data: {n} fictitious records of {things}",),
        "eval": ("dummy entries, {n} of them, for {things}",),
    },
    "timetable": {
        "train": ("a timetable of {n} departures, the earliest first",),
        "dev": ("{n} trains of an imaginary station, ordered by departure",),
        "eval": ("the departure board of a station in a novel, {n} lines by time",),
    },
}
THINGS = {
    "products": "product",
    "first and last names": "person",
    "company names": "company",
    "email addresses": "email",
    "article codes": "code",
    "street addresses": "address",
    "phone numbers": "phone",
    "version numbers": "version",
    "reminders": "note",
}
ROW_THINGS = {
    "a stock list": {"product": "product", "amount": "count"},
    "a guest list": {"person": "person", "city": "city", "adult": "flag"},
    "a price list": {"product": "product", "price": "price"},
    "an address book": {"person": "person", "phone": "phone"},
    "a library": {"person": "person", "topic": "topic", "year": "year"},
    "a repair log": {"product": "product", "state": "state", "hours": "count"},
    "a workshop plan": {"topic": "topic", "place": "place"},
    "a rating page": {"company": "company", "score": "rating"},
}
LIST_KEYS = tuple(
    "numbers sequence series list values output result elements answer array chain terms words "
    "labels names range run steps row run_list all_of_them out test_data fixture payload strings "
    "column cells stack pool catalogue samples sample_list generated content tokens queue".replace(
        "_", "~"
    ).split()
)
LABELS = {
    "list": tuple(label.replace("~", " ") for label in LIST_KEYS),
    "count": ("count", "total", "length", "size", "how many", "n", "list size"),
    "n": ("n", "number", "base", "no", "index", "i"),
    "square": ("square", "squared", "n squared", "power", "sq"),
    "factor": ("factor", "times", "by", "multiplier"),
    "product_of": ("product", "result", "is", "makes"),
    "day": ("day", "number", "day number", "no", "nr"),
    "weekday": ("weekday", "name", "day name", "day of week", "called"),
    "time": ("time", "departs", "departure", "leaves at"),
    "to": ("to", "destination", "towards", "final stop"),
    "platform": ("platform", "track", "gate", "bay"),
    "product": ("product", "article", "item", "goods", "name"),
    "amount": ("amount", "stock", "pieces", "quantity", "left"),
    "person": ("person", "name", "who", "full name"),
    "city": ("city", "from", "home", "town", "place"),
    "adult": ("adult", "vip", "confirmed", "vegetarian", "paid"),
    "price": ("price", "cost", "unit price", "euros"),
    "phone": ("phone", "call", "tel", "mobile"),
    "topic": ("topic", "about", "subject", "theme"),
    "year": ("year", "printed", "since", "published"),
    "state": ("state", "status", "progress", "phase"),
    "hours": ("hours", "work", "effort", "time spent"),
    "place": ("place", "where", "room", "venue"),
    "company": ("company", "firm", "business", "brand"),
    "score": ("score", "stars", "rating", "points"),
}
Listed = tuple[str, list[Any], dict[str, Any]]
"""The kind of list, its elements (scalars, or dicts by slot), and the fields of its wording."""


def make(context: Context) -> Draft:
    """A list of scalars or of rows, at the root or under a key."""
    dice, shapes = context.dice, context.abilities.shapes
    scalars = bool({"tree", "list"} & shapes)
    rows = "table" in shapes and (not scalars or dice.chance(0.4))
    n = dice.between(20, dice.choice((28, 40, 40, 60, 80)))
    kind, items, fields = (_rows if rows else _scalars)(context, n)
    rooted = not context.abilities.table_in_object if rows else "tree" not in shapes
    row_slots = [*items[0]] if rows else []
    closing = not rooted and not rows and dice.chance(0.4)
    slots = {
        **({} if rooted else {"list": LABELS["list"]}),
        **({"count": LABELS["count"]} if closing else {}),
        **{slot: LABELS[slot] for slot in row_slots},
    }

    def whole(keys: Any, elements: list[Any]) -> Any:
        found = [{keys[s]: row[s] for s in row} if rows else row for row in elements]
        if rooted:
            return found
        return {keys["list"]: found} | ({keys["count"]: len(items)} if closing else {})

    # A list of scalars at the root has no keys that a split could own.
    keys = owned_keys(context, slots, lambda keys: whole(keys, items[:1])) if slots else {}
    value = whole(keys, [_typed(context, item) for item in items])
    if closing:
        value[keys["count"]] = scalar(context, len(items))
    n = len(items)
    text = speak(context, ASK, what=context.say(WHAT[kind], **(fields | {"n": n})), n=n)
    parts = [text[0].upper() + text[1:] if dice.chance(0.8) else text]
    if not rooted:
        parts.append(context.say(WHERE, key=keys["list"]))
    if rows:
        parts.append(context.say(ROWS, fields=", ".join(keys[slot] for slot in row_slots)))
    if closing:
        parts.append(context.say(AFTER, key=keys["count"]))
    shape: Any = "table" if rows else "list" if rooted else "tree"
    ask = joined(parts, dice.choice((" ", " ", "\n")))
    invented = kind in INVENTED
    return Draft("long_list", shape, f"{kind}[]", value, ask, "", free=True, open=invented)


def _typed(context: Context, item: Any) -> Any:
    if isinstance(item, dict):
        return {slot: scalar(context, inner) for slot, inner in item.items()}
    return scalar(context, item)


def _scalars(context: Context, n: int) -> Listed:
    dice, split = context.dice, context.split
    kind: str = dice.choice((*SCALARS, "made_up", "made_up"))
    if kind != "made_up":
        return kind, *SCALARS[kind](context, n)
    things = dice.choice(tuple(THINGS))
    n = min(n, 50)
    items = distinct(lambda: draw(THINGS[things], split, dice), n)
    return kind, items, {"things": things}


def _rows(context: Context, n: int) -> Listed:
    dice, split = context.dice, context.split
    kind = dice.choice((*ROW_KINDS, "made_up_rows", "made_up_rows"))
    if kind == "squares_rows":
        n = min(n, 31)
        return kind, [{"n": i, "square": i * i} for i in range(1, n + 1)], {}
    if kind == "times_table":
        step = dice.between(2, 12)
        products = [{"factor": i, "product_of": i * step} for i in range(1, n + 1)]
        return kind, products, {"step": step}
    if kind == "calendar":
        start, n = dice.below(7), min(n, 31)
        days = [{"day": i + 1, "weekday": WEEKDAYS[(start + i) % 7]} for i in range(n)]
        return kind, days, {"first": WEEKDAYS[start]}
    if kind == "timetable":
        n = min(n, 40)
        times = sorted(distinct(lambda: draw("time", split, dice), n))
        board: list[dict[str, Any]] = [
            {"time": time, "to": dice.choice(pools.CITY[split]), "platform": dice.between(1, 12)}
            for time in times
        ]
        return kind, board, {}
    things: str = dice.choice(tuple(ROW_THINGS))
    columns = ROW_THINGS[things]
    n = min(n, MOST_LEAVES // (2 * len(columns)))
    invented = [{slot: draw(of, split, dice) for slot, of in columns.items()} for _ in range(n)]
    return kind, invented, {"things": things}


INVENTED = frozenset({"made_up", "made_up_rows", "timetable"})
"""Kinds of list for which any content would do, so no answer is compared with the value."""
ROW_KINDS = ("squares_rows", "times_table", "calendar", "timetable")
