"""Lists that follow a rule: counting, steps, squares, letters, days, numbered labels.

    SCALARS["multiples"](context, 24)  ->  ([7, 14, ..., 168], {"step": 7})

Each returns the elements, at times fewer than asked for, and the fields of a wording that
states the rule.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fmtharness.generators import pools
from fmtharness.generators.context import Context

WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]


def _count(context: Context, n: int) -> tuple[list[Any], dict[str, Any]]:
    first = context.dice.choice((1, 0, 1, context.dice.between(2, 200)))
    items = [*range(first, first + n)]
    return items, {"first": items[0], "second": items[1], "third": items[2], "last": items[-1]}


def _step(context: Context, n: int) -> tuple[list[Any], dict[str, Any]]:
    step = context.dice.choice((-5, -2, -1, 2, 2, 3, 5, 10, 0.5))
    first = context.dice.between(0, 40) if step > 0 else context.dice.between(n // 2, 99)
    items = [first + step * i for i in range(n)]
    if step != 0.5:
        items = [int(item) for item in items]
    fields = {"first": items[0], "second": items[1], "third": items[2], "last": items[-1]}
    return items, fields | {"step": step}


def _multiples(context: Context, n: int) -> tuple[list[Any], dict[str, Any]]:
    step = context.dice.between(2, 12)
    return [step * i for i in range(1, n + 1)], {"step": step}


def _squares(_: Context, n: int) -> tuple[list[Any], dict[str, Any]]:
    return [i * i for i in range(1, min(n, 31) + 1)], {}


def _letters(context: Context, n: int) -> tuple[list[Any], dict[str, Any]]:
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    n = min(n, 26)
    first = context.dice.between(0, 26 - n)
    items = [*alphabet[first : first + n]]
    if context.dice.chance(0.4):
        items.reverse()
    if context.dice.chance(0.5):
        items = [letter.upper() for letter in items]
    return items, {"first": items[0], "last": items[-1]}


def _round(names: list[str]) -> Callable[[Context, int], tuple[list[Any], dict[str, Any]]]:
    def run(context: Context, n: int) -> tuple[list[Any], dict[str, Any]]:
        start = context.dice.below(len(names))
        return [names[(start + i) % len(names)] for i in range(n)], {"first": names[start]}

    return run


def _buzz(context: Context, n: int) -> tuple[list[Any], dict[str, Any]]:
    word = context.dice.choice(pools.ITEM[context.split])
    step = context.dice.between(3, 7)
    items = [word if i % step == 0 else i for i in range(1, n + 1)]
    return [str(item) for item in items] if context.dice.chance(0.2) else items, {
        "word": word,
        "step": step,
    }


def _labels(context: Context, n: int) -> tuple[list[Any], dict[str, Any]]:
    word = context.dice.choice(context.dice.choice((pools.BRAND, pools.ITEM))[context.split])
    gap = context.dice.choice((" ", "-", "_", " no. "))
    items = [f"{word}{gap}{i}" for i in range(1, n + 1)]
    return items, {"first": items[0], "second": items[1], "last": items[-1]}


SCALARS: dict[str, Callable[[Context, int], tuple[list[Any], dict[str, Any]]]] = {
    "count": _count,
    "step": _step,
    "multiples": _multiples,
    "squares": _squares,
    "letters": _letters,
    "weekdays": _round(WEEKDAYS),
    "months": _round(MONTHS),
    "buzz": _buzz,
    "labels": _labels,
}
