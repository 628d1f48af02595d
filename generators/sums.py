"""Small tasks of arithmetic and of the calendar, with their right results.

solved("share", context)  ->  ({"a": 31, "b": 4}, {"each": 7, "left": 3})
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from fmtharness.generators import pools
from fmtharness.generators.context import Context, Wording
from fmtharness.generators.ownership import owned, owner
from fmtharness.generators.sequences import WEEKDAYS
from fmtharness.generators.values import draw

LINE: Wording = {
    "train": ("{count} x {item} at {price} each", "{count} of the {item}, {price} apiece"),
    "dev": ("{item}, {count} pieces for {price} each",),
    "eval": ("{item} - {price} each, {count} wanted",),
}
UNITS = {
    "kilometres": ("metres", 1000),
    "metres": ("centimetres", 100),
    "kilograms": ("grams", 1000),
    "hours": ("minutes", 60),
    "minutes": ("seconds", 60),
    "days": ("hours", 24),
    "weeks": ("days", 7),
    "dozens": ("pieces", 12),
    "litres": ("millilitres", 1000),
    "years": ("months", 12),
    "feet": ("inches", 12),
    "yards": ("feet", 3),
    "euros": ("cents", 100),
}
Solved = tuple[dict[str, object], dict[str, Any]]
"""The fields of the wording, and the right results by slot."""


def neat(number: float) -> int | float:
    """A number with at most two decimals, whole if it is."""
    rounded = round(number, 2)
    return int(rounded) if rounded == int(rounded) else rounded


def _mine(context: Context, number: int | float) -> bool:
    """Whether the split owns the number; those of few digits belong to all."""
    small = number < 1000 and number == int(number)
    return small or owner(str(number)) == context.split


def solved(kind: str, context: Context) -> Solved:
    """A task of this kind; drawn until the split owns every result."""
    while True:
        fields, results = SOLVERS[kind](context)
        numbers = [n for n in results.values() if isinstance(n, int | float)]
        if all(_mine(context, number) for number in numbers):
            return fields, results


def _bill(context: Context) -> Solved:
    dice = context.dice
    items = dice.sample(pools.ITEM[context.split], dice.between(1, 4))
    counts = [dice.between(1, 6) for _ in items]
    cents = [dice.choice((50, 100)) * dice.between(1, 30) for _ in items]
    total = sum(count * price for count, price in zip(counts, cents, strict=True))
    given = (
        -(-total // 1000) * 10 if dice.chance(0.85) else max(1, total // 100 - dice.between(1, 5))
    )
    bill = [
        context.say(LINE, count=count, item=item, price=neat(price / 100))
        for count, item, price in zip(counts, items, cents, strict=True)
    ]
    enough = given * 100 >= total
    results = {"total": neat(total / 100), "pieces": sum(counts), "enough": enough}
    if enough:
        results["change"] = neat(given - total / 100)
    return {"bill": ", ".join(bill), "given": given}, results


def _two(context: Context) -> Solved:
    a, b = (context.dice.between(2, context.dice.choice((20, 100, 400))) for _ in "ab")
    results = {"sum": a + b, "difference": abs(a - b), "larger": max(a, b)}
    return {"a": a, "b": b}, results | {"even": (a + b) % 2 == 0}


def _several(context: Context) -> Solved:
    numbers = [context.dice.between(1, 60) for _ in range(context.dice.between(3, 7))]
    return {"numbers": ", ".join(map(str, numbers))}, {
        "sum": sum(numbers),
        "mean": neat(sum(numbers) / len(numbers)),
        "lowest": min(numbers),
        "highest": max(numbers),
        "count": len(numbers),
    }


def _day(context: Context, first: int = 1990, last: int = 2030) -> date:
    start = date(first, 1, 1)
    return start + timedelta(context.dice.below((date(last, 12, 31) - start).days))


def _days(context: Context) -> Solved:
    start = _day(context)
    days = context.dice.between(1, context.dice.choice((30, 120, 500)))
    end = start + timedelta(days)
    return {"start": start, "end": end}, {
        "days": days,
        "weeks": days // 7,
        "weekday": WEEKDAYS[start.weekday()],
        "end weekday": WEEKDAYS[end.weekday()],
    }


def _later(context: Context) -> Solved:
    start = _day(context)
    days, end = owned(
        context.split,
        lambda: (days := context.dice.between(2, 90), str(start + timedelta(days))),
        lambda pair: pair[1],
    )
    results: dict[str, Any] = {"date": end, "weekday": WEEKDAYS[start.weekday()]}
    return {"start": start, "days": days}, results


def _age(context: Context) -> Solved:
    start, end = _day(context, 1930, 2010), _day(context, 2012, 2030)
    age = end.year - start.year - ((end.month, end.day) < (start.month, start.day))
    results = {"age": age, "adult": age >= 18, "birthday": WEEKDAYS[start.weekday()]}
    return {"start": start, "end": end}, results


def _units(context: Context) -> Solved:
    dice = context.dice
    unit: str = dice.choice(tuple(UNITS))
    into, factor = UNITS[unit]
    a = dice.choice((dice.between(2, 40), dice.between(2, 12), dice.between(1, 9) + 0.5))
    if dice.chance(0.3):
        unit, into, a = into, unit, neat(a * factor)
        return {"a": a, "unit": unit, "into": into}, {"converted": neat(a / factor)}
    return {"a": a, "unit": unit, "into": into}, {"converted": neat(a * factor)}


def _clock(context: Context) -> Solved:
    def one() -> tuple[str, int, str, bool]:
        start, minutes = context.dice.below(24 * 60), context.dice.between(5, 240)
        end = start + minutes
        return _time(start), minutes, _time(end % 1440), end < 1440

    start, minutes, end, same = owned(context.split, one, lambda drawn: drawn[2])
    return {"start": start, "minutes": minutes}, {"end": end, "same day": same}


def _time(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _share(context: Context) -> Solved:
    b = context.dice.between(2, 12)
    a = context.dice.between(b, 150)
    return {"a": a, "b": b}, {"each": a // b, "left": a % b}


def _discount(context: Context) -> Solved:
    a, b = context.dice.between(2, 60) * 5, context.dice.choice((5, 10, 15, 20, 25, 30, 50))
    results = {"saved": neat(a * b / 100), "price": neat(a - a * b / 100)}
    return {"a": a, "b": b, "item": draw("product", context.split, context.dice)}, results


def _field(context: Context) -> Solved:
    a, b = context.dice.between(3, 40), context.dice.between(3, 30)
    return {"a": a, "b": b}, {"area": a * b, "fence": 2 * (a + b), "square": a == b}


def _trip(context: Context) -> Solved:
    a, b = context.dice.between(4, 120), context.dice.between(2, 8)
    return {"a": a, "b": b}, {"kilometres": a * b, "minutes": b * 60}


SOLVERS: dict[str, Callable[[Context], Solved]] = {
    "bill": _bill,
    "two": _two,
    "several": _several,
    "days": _days,
    "later": _later,
    "age": _age,
    "units": _units,
    "clock": _clock,
    "share": _share,
    "discount": _discount,
    "field": _field,
    "trip": _trip,
}
