"""sort_and_filter: rows are sorted, filtered or cut, and the rows or their names are the answer.

Only what costs more than 20, the cheapest first: name and price.
desk lamp 41.5; mug 7.25; rug 25.75
    ->  {"rows": [{"name": "rug", "price": 25.75}, {"name": "desk lamp", "price": 41.5}]}
"""

from __future__ import annotations

from typing import Any

from fmtharness.generators.asking import joined, named, owned_keys, scalar, speak
from fmtharness.generators.context import Context, Draft, Wording
from fmtharness.generators.values import draw, surface

ASK: Wording = {
    "train": (
        "{order} {layout}",
        "Here are some {things}. {order} {layout}",
        "Task: {order} {layout}",
        "{layout} {order}",
        "Please go through the {things} below. {order} {layout}",
        "these {things} are a mess. {order} {layout}",
        "Query over the {things}: {order} {layout}",
        "I can't see through this any more: so many {things}! {order} {layout}",
        "A script hands you {things}. {order} {layout}",
        "Tidy up the {things} for me, would you? {order} {layout}",
        "{things}, unsorted, as the shop sent them. {order} {layout}",
        "Apply this to the {things}. {order} {layout}",
        "BEFORE LUNCH PLEASE. {order} {layout}",
        "I would do it in a spreadsheet, but the laptop is at home. {order} {layout}",
        "Think what you like of the {things}, but keep it to yourself. {order} {layout}",
        "Process the records ({things}). {order} {layout}",
    ),
    "dev": (
        "We keep a list of {things}. {order} {layout}",
        "Arrange it like this: {order} {layout}",
        "the {things} again. {order} {layout}",
        "Your input are {things}. {order} {layout}",
        "With the {things} do the following. {order} {layout}",
    ),
    "eval": (
        "Consider these {things}. {order} {layout}",
        "From the {things} listed, this is what I want. {order} {layout}",
        "Rearrange, please. {order} {layout}",
        "got {things} here. {order} {layout}",
        "Kindly handle the {things} as follows: {order} {layout}",
    ),
}
ORDERS: dict[str, Wording] = {
    "ascending": {
        "train": (
            "Sort by {by}, smallest first.",
            "Order them by {by}, ascending.",
            "The lowest {by} comes first, the highest last.",
        ),
        "dev": ("Sorted by {by} from low to high.",),
        "eval": ("Rank them upwards by {by}.", "Begin with the least {by}."),
    },
    "descending": {
        "train": (
            "Sort by {by}, largest first.",
            "Order them by {by}, descending.",
            "The highest {by} goes on top.",
        ),
        "dev": ("Sorted by {by} from high to low.",),
        "eval": ("Rank them downwards by {by}.", "Begin with the greatest {by}."),
    },
    "above": {
        "train": (
            "Keep only those with {by} above {limit}, in the given order.",
            "Filter: {by} > {limit}. Don't reorder.",
            "Drop whatever has {by} of {limit} or less.",
        ),
        "dev": ("I want the ones whose {by} is more than {limit}, order unchanged.",),
        "eval": ("Which have a {by} over {limit}? Same order as below.",),
    },
    "below": {
        "train": (
            "Keep only those with {by} below {limit}, in the given order.",
            "Filter: {by} < {limit}. Don't reorder.",
            "Remove all that have {by} of {limit} or more.",
        ),
        "dev": ("I want the ones whose {by} is less than {limit}, order unchanged.",),
        "eval": ("Which have a {by} under {limit}? Same order as below.",),
    },
    "top": {
        "train": (
            "The {n} with the highest {by}, best first.",
            "Top {n} by {by}, descending.",
            "Cut it to the {n} largest by {by}, largest first.",
        ),
        "dev": ("Only the leading {n} by {by}, from the top.",),
        "eval": ("Name the first {n} when ranked by {by}, highest on top.",),
    },
    "alphabet": {
        "train": ("Sort by {name} from A to Z.", "Alphabetical order of {name}."),
        "dev": ("Let {name} run through the alphabet.",),
        "eval": ("Alphabetise them by {name}.",),
    },
    "reverse": {
        "train": ("Turn the order round.", "Reverse the list, last one first."),
        "dev": ("Backwards, please: the last becomes the first.",),
        "eval": ("Invert the sequence.",),
    },
    "flagged": {
        "train": ("Only those where {flag} is true, in the given order.", "Keep what has {flag}."),
        "dev": ("Just the ones with {flag} set, order unchanged.",),
        "eval": ("Select everything with {flag} = true; leave the order alone.",),
    },
}
ROWS: Wording = {
    "train": ("Each row: {keys}.", "Rows of {keys}.", "Per entry give {keys}."),
    "dev": ("Every row has the fields {keys}.", "{keys} for each that is left."),
    "eval": ("An entry shows {keys}.", "Report {keys} per item."),
}
NAMES: Wording = {
    "train": ("Just the names, no other columns.", "Give only each one's {name}."),
    "dev": ("Nothing but the {name} of each.",),
    "eval": ("Show the {name} column alone.",),
}
UNDER: Wording = {
    "train": ("Put the result under {key}.", "It belongs in {key}.", "Key of the list: {key}."),
    "dev": ("Its key is to be {key}.", "{key} takes the result."),
    "eval": ("Everything is stored at {key}.", "Name the outcome {key}."),
}
COUNT: Wording = {
    "train": ("Add {key}, how many there are.", "{key} is their number."),
    "dev": ("Besides, {key} counts them.",),
    "eval": ("Also give {key}, the number of hits.",),
}
LINE: Wording = {
    "train": ("{cells}", "* {cells}", "{cells};"),
    "dev": ("+ {cells}", "~ {cells}"),
    "eval": ("- {cells}", "> {cells}"),
}
CELL: Wording = {
    "train": ("{label} {value}", "{label}: {value}", "{label}={value}"),
    "dev": ("{label} as {value}", "{label} ~ {value}"),
    "eval": ("{label} is {value}", "{label} -> {value}"),
}
THINGS: dict[str, tuple[dict[str, str], dict[str, str], dict[str, str]]] = {
    "products": ({"product": "product"}, {"price": "price", "stock": "count"}, {"new": "flag"}),
    "runners": ({"runner": "person"}, {"minutes": "count", "age": "count"}, {"injured": "flag"}),
    "cities": ({"city": "city"}, {"hotels": "count", "rain days": "count"}, {"visited": "flag"}),
    "firms": ({"firm": "company"}, {"founded": "year", "staff": "amount"}, {"listed": "flag"}),
    "courses": ({"subject": "topic"}, {"hours": "count", "fee": "price"}, {"full": "flag"}),
    "rooms": ({"place": "place"}, {"seats": "count", "windows": "count"}, {"heated": "flag"}),
    "films": ({"director": "person"}, {"score": "rating", "shot": "year"}, {"silent": "flag"}),
    "parcels": ({"code": "code"}, {"weight": "price", "stamps": "count"}, {"insured": "flag"}),
    "countries": ({"country": "country"}, {"medals": "count", "athletes": "amount"}, {}),
    "tickets": (
        {"caller": "person"},
        {"priority": "count", "waited": "amount"},
        {"urgent": "flag"},
    ),
}
KEYS = {
    "list": (
        "rows", "result", "sorted", "filtered", "items", "ranking", "selection", "output", "hits",
        "left", "matches", "ordered list", "final list", "found", "kept", "chosen",
    ),
    "count": ("count", "total", "size", "number", "hits count", "how many"),
}  # fmt: skip


def make(context: Context) -> Draft:
    """Four to ten rows of a name, a number or two and perhaps a flag, and one order."""
    dice, shapes = context.dice, context.abilities.shapes
    things = dice.choice(tuple(THINGS))
    names, numbers, flags = THINGS[things]
    picked = dice.sample(tuple(numbers), dice.between(1, 2))
    flag = next(iter(flags), "") if dice.chance(0.5) else ""
    columns = names | {label: numbers[label] for label in picked} | ({flag: "flag"} if flag else {})
    name, by = next(iter(names)), picked[0]
    rows = _rows(context, columns, name, by)
    kinds = [kind for kind in ORDERS if flag or kind != "flagged"]
    kind = dice.choice(kinds)
    limit = sorted(row[by] for row in rows)[dice.between(1, len(rows) - 2)]
    n = dice.between(2, len(rows) - 1)
    result = _ordered(kind, rows, name, by, flag, limit, n)
    if not result:
        raise ValueError("no row is left")
    order = context.say(ORDERS[kind], by=by, limit=limit, n=n, name=name, flag=flag)

    as_names = "table" not in shapes or (bool({"tree", "list"} & shapes) and dice.chance(0.25))
    rooted = "tree" not in shapes if as_names else not context.abilities.table_in_object
    counting = not rooted and dice.chance(0.25) and "tree" in shapes
    slots = {} if rooted else {"list": KEYS["list"]}
    slots |= {"count": KEYS["count"]} if counting else {}
    slots |= {} if as_names else {label: (label,) for label in columns}

    def whole(keys: Any) -> Any:
        found: list[Any] = [scalar(context, row[name]) for row in result]
        if not as_names:
            found = [{keys[c]: scalar(context, row[c]) for c in columns} for row in result]
        if rooted:
            return found
        counted = {keys["count"]: scalar(context, len(result))} if counting else {}
        return {keys["list"]: found} | counted

    # Without a key of its own a table has its columns only, so the split must own these.
    keys = owned_keys(context, slots, whole) if slots else {}
    value = whole(keys)
    layout = (
        context.say(NAMES, name=name)
        if as_names
        else context.say(ROWS, keys=named(context, [keys[c] for c in columns]))
    )
    ask = speak(context, ASK, things=things, order=order, layout=layout)
    extra = [] if rooted else [context.say(UNDER, key=keys["list"])]
    extra += [context.say(COUNT, key=keys["count"])] if counting else []
    shape: Any = "table" if not as_names else "list" if rooted else "tree"
    asked = joined([ask[0].upper() + ask[1:], *extra])
    source = _told(context, rows, dice.chance(0.25))
    return Draft("sort_and_filter", shape, ",".join(columns), value, asked, source, free=True)


def _rows(context: Context, columns: dict[str, str], name: str, by: str) -> list[dict[str, Any]]:
    """Rows whose names and whose numbers to sort by all differ."""
    wanted = context.dice.between(4, context.dice.choice((5, 7, 10)))
    found: list[dict[str, Any]] = []
    while len(found) < wanted:
        row = {label: draw(kind, context.split, context.dice) for label, kind in columns.items()}
        if all(row[name] != other[name] and row[by] != other[by] for other in found):
            found.append(row)
    return found


def _ordered(
    kind: str, rows: list[dict[str, Any]], name: str, by: str, flag: str, limit: Any, n: int
) -> list[dict[str, Any]]:
    """The rows as the order wants them."""
    upwards = sorted(rows, key=lambda row: row[by])
    if kind in ("ascending", "descending"):
        return upwards if kind == "ascending" else upwards[::-1]
    if kind == "top":
        return upwards[::-1][:n]
    if kind == "alphabet":
        return sorted(rows, key=lambda row: str(row[name]).casefold())
    if kind == "reverse":
        return rows[::-1]
    if kind == "flagged":
        return [row for row in rows if row[flag]]
    return [row for row in rows if (row[by] > limit if kind == "above" else row[by] < limit)]


def _told(context: Context, rows: list[dict[str, Any]], as_table: bool) -> str:
    if as_table:
        lines = [" | ".join(rows[0])]
        return "\n".join([*lines, *(" | ".join(map(surface, row.values())) for row in rows)])
    line, cell = context.one_of(LINE), context.one_of(CELL)
    return "\n".join(
        context.say(
            line,
            cells=", ".join(
                context.say(cell, label=label, value=context.written(value))
                for label, value in row.items()
            ),
        )
        for row in rows
    )
