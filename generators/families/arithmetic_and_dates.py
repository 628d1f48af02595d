"""arithmetic_and_dates: small sums, bills, days, ages and units; the right result is the answer.

    3 x desk lamp at 12.5 each, 2 x mug at 4. I pay with 50. Keys: total, change.
        ->  {"total": 45.5, "change": 4.5}

Every task names what it wants; whole results are whole numbers, others have at most two decimals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any

from fmtharness.generators import pools
from fmtharness.generators.asking import named, ordered, owned_keys, scalar, speak
from fmtharness.generators.context import Context, Draft, Wording
from fmtharness.generators.families.long_list import WEEKDAYS
from fmtharness.generators.ownership import owned, owner
from fmtharness.generators.values import draw

ASK: Wording = {
    "train": (
        "{task} Keys: {keys}.",
        "{task} Give me {keys}.",
        "{task} The fields are {keys}.",
        "Work this out: {task} Answer with {keys}.",
        "Maths homework, sigh. {task} We must hand in {keys}.",
        "{task} (want: {keys})",
        "{task} Please return only {keys}; no working, no units.",
        "Compute {keys}. {task}",
        "i'm bad at numbers. {task} just fill {keys}",
        "Input for the calculator service: {task} Output fields: {keys}.",
        "{task}\nResult as {keys}, numbers unquoted where that is possible.",
        "Dear assistant, kindly calculate the following. {task} I expect {keys}.",
        "You may think aloud if you must, but the answer has only {keys}. {task}",
        "{task} And fast! {keys}!",
        "My brother and I have been arguing about this since lunch, and he is stubborn. {task} "
        "End it with {keys}.",
        "Solve it and store the outcome in {keys}: {task}",
        "{task} Return {keys} to the till.",
    ),
    "dev": (
        "{task} What are {keys}?",
        "Do the sum for me. {task} Name {keys}.",
        "{task} Our sheet has the columns {keys}.",
        "Reckon with care: {task} Write down {keys}.",
        "hey, {task} and then {keys} pls",
    ),
    "eval": (
        "{task} Determine {keys}.",
        "A question of arithmetic. {task} Provide {keys}.",
        "{task} I shall read {keys} off your answer.",
        "Help me count. {task} Put the outcome into {keys}.",
        "{task} the script wants {keys}",
        "Please find {keys} for this case: {task}",
    ),
}
MEANING: Wording = {
    "train": ("{key} is {meaning}.", "{key}: {meaning}.", "By {key} I mean {meaning}."),
    "dev": ("{key} stands for {meaning}.", "Under {key} I understand {meaning}."),
    "eval": ("{key} should be {meaning}.", "With {key} comes {meaning}."),
}
LINE: Wording = {
    "train": ("{count} x {item} at {price} each", "{count} of the {item}, {price} apiece"),
    "dev": ("{item}, {count} pieces for {price} each",),
    "eval": ("{item} - {price} each, {count} wanted",),
}
TASKS: dict[str, Wording] = {
    "bill": {
        "train": (
            "The bill: {bill}. We pay with {given}.",
            "{bill}. The customer hands over {given}.",
            "{person} buys this: {bill}, and lays {given} on the counter.",
        ),
        "dev": ("On the receipt are {bill}. {given} is paid in cash.",),
        "eval": ("In the basket: {bill}. {person} gives {given}.", "{bill}; cash: {given}."),
    },
    "two": {
        "train": (
            "The numbers are {a} and {b}.",
            "Take {a} and {b}.",
            "{person} has {a} stamps, a neighbour has {b}.",
        ),
        "dev": ("Let the first number be {a} and the second {b}.",),
        "eval": ("There are {a} chairs in one hall and {b} in another.", "Given {a} as well as {b}."),
    },
    "several": {
        "train": (
            "Scores: {numbers}.",
            "{person} noted the readings {numbers}.",
            "Look at these numbers: {numbers}.",
        ),
        "dev": ("The figures of the week were {numbers}.",),
        "eval": ("Measured values - {numbers}.", "We got {numbers} points in the rounds."),
    },
    "days": {
        "train": (
            "The work starts on {start} and ends on {end}.",
            "{person} leaves on {start} and returns on {end}.",
            "From {start} until {end}.",
        ),
        "dev": ("Two dates: {start} and, later, {end}.",),
        "eval": ("A loan runs from {start}; it is paid back on {end}.", "Begin {start}, end {end}."),
    },
    "later": {
        "train": (
            "Today is {start}. The parcel comes in {days} days.",
            "{days} days after {start} the guarantee expires.",
            "{person} signed on {start} and has {days} days.",
        ),
        "dev": ("Count {days} days on from {start}.",),
        "eval": ("It is {start}; {days} days from now we meet.", "Add {days} days to {start}."),
    },
    "age": {
        "train": (
            "{person} was born on {start}. Today is {end}.",
            "Born {start}; the date of the form is {end}.",
        ),
        "dev": ("The birthday of {person} is {start}, and we write {end}.",),
        "eval": ("{person} came into the world on {start}. The party is on {end}.",),
    },
    "units": {
        "train": (
            "{a} {unit} have to be converted.",
            "The sign says {a} {unit}.",
            "{person} ordered {a} {unit} of it.",
        ),
        "dev": ("Change {a} {unit} into what is asked.",),
        "eval": ("A label reads {a} {unit}.", "We have {a} {unit} in stock."),
    },
    "clock": {
        "train": (
            "The film begins at {start} and lasts {minutes} minutes.",
            "Departure {start}, travel time {minutes} minutes.",
        ),
        "dev": ("At {start} the cake goes into the oven for {minutes} minutes.",),
        "eval": ("The lecture starts at {start} and takes {minutes} minutes.",),
    },
    "share": {
        "train": (
            "{a} sweets are shared among {b} children, nobody gets more than another.",
            "{person} packs {a} eggs into boxes of {b}.",
            "{a} divided by {b}, as whole numbers.",
        ),
        "dev": ("{a} coins are dealt out evenly to {b} players.",),
        "eval": ("{a} seats go into rows of {b}.", "Split {a} tiles into stacks of {b}."),
    },
    "discount": {
        "train": (
            "A {item} costs {a}, today {b} percent off.",
            "{b}% discount on a {item} of {a}.",
        ),
        "dev": ("The {item} at {a} is reduced by {b} percent.",),
        "eval": ("On a {item} for {a} the shop takes off {b} percent.",),
    },
    "field": {
        "train": (
            "A garden is {a} metres long and {b} metres wide.",
            "The rectangle measures {a} by {b}.",
        ),
        "dev": ("A hall with sides of {a} and {b} metres.",),
        "eval": ("{person} fences a meadow, {a} m by {b} m.",),
    },
    "trip": {
        "train": (
            "{person} rides {a} kilometres an hour for {b} hours.",
            "A boat does {a} km per hour and is under way for {b} hours.",
        ),
        "dev": ("For {b} hours a truck drives at {a} km/h.",),
        "eval": ("The train keeps {a} km/h during {b} hours.",),
    },
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
SLOTS = {
    "total": ("total", "sum", "amount due", "to pay", "bill total", "grand total"),
    "change": ("change", "money back", "returned", "cash back", "rest"),
    "pieces": ("pieces", "items", "item count", "number of things", "articles"),
    "enough": ("enough", "covered", "sufficient", "is enough", "affordable"),
    "sum": ("sum", "together", "added", "in all", "plus"),
    "difference": ("difference", "gap", "minus", "distance", "how much more"),
    "larger": ("larger", "bigger", "maximum", "higher", "winner"),
    "even": ("even", "sum is even", "is even", "divisible by two"),
    "mean": ("mean", "average", "avg", "typical"),
    "lowest": ("lowest", "minimum", "min", "least", "worst"),
    "highest": ("highest", "max", "top", "best", "peak"),
    "count": ("count", "how many", "n", "number", "values"),
    "days": ("days", "days between", "duration", "length in days", "day count"),
    "weekday": ("weekday", "day of week", "which day", "start day", "day name"),
    "end weekday": ("end weekday", "last weekday", "ends on a", "final day"),
    "weeks": ("weeks", "full weeks", "whole weeks", "complete weeks"),
    "date": ("date", "due date", "deadline", "day", "on"),
    "age": ("age", "years old", "age in years", "old"),
    "adult": ("adult", "of age", "over 18", "is adult", "grown up"),
    "birthday": ("born on a", "birth weekday", "day of birth", "weekday of birth"),
    "converted": ("converted", "result", "value", "amount", "conversion", "in new unit"),
    "end": ("end", "ends at", "until", "finish", "over at", "arrival"),
    "same day": ("same day", "before midnight", "ends today", "no night shift"),
    "each": ("each", "per head", "share", "quotient", "apiece", "full groups"),
    "left": ("left over", "remainder", "rest", "remaining", "mod"),
    "saved": ("saved", "discount", "off", "reduction", "you save"),
    "price": ("price", "new price", "final price", "cost", "to pay"),
    "area": ("area", "square metres", "surface", "size"),
    "fence": ("perimeter", "around", "fence", "border", "edge"),
    "square": ("square", "is square", "all sides equal", "quadratic"),
    "kilometres": ("kilometres", "distance", "km", "travelled", "how far"),
    "minutes": ("minutes", "time in minutes", "riding minutes", "total minutes"),
}
MEANINGS = {
    "total": "what has to be paid",
    "change": "what comes back",
    "pieces": "the number of things bought",
    "enough": "true if the money is enough",
    "sum": "both added",
    "difference": "the larger number less the smaller",
    "larger": "the larger of the two",
    "even": "whether the sum is even",
    "mean": "the average, to two decimals",
    "lowest": "the smallest number",
    "highest": "the largest number",
    "count": "how many numbers there are",
    "days": "the days from the first date to the second",
    "weekday": "the weekday of the first date, in English",
    "end weekday": "the weekday of the second date",
    "weeks": "the full weeks in between",
    "date": "the resulting day as YYYY-MM-DD",
    "age": "the age in full years",
    "adult": "whether that is 18 or more",
    "birthday": "the weekday of the birth",
    "end": "the time when it is over, as HH:MM",
    "same day": "whether it is over before midnight",
    "each": "how many come out, as a whole number",
    "left": "what remains",
    "saved": "the amount taken off",
    "price": "what is still to pay",
    "area": "length times width",
    "fence": "the length of all four sides together",
    "square": "whether both sides are equal",
    "kilometres": "the way covered",
    "minutes": "the whole time in minutes",
}
Solved = tuple[dict[str, object], dict[str, Any]]
"""The fields of the wording, and the right results by slot."""


def make(context: Context) -> Draft:
    """One task and one to four of its results."""
    dice = context.dice
    kind = dice.choice(tuple(SOLVERS))
    fields, results = SOLVERS[kind](context)
    slots = dice.sample(tuple(results), dice.between(1, len(results)))
    keys = owned_keys(context, {slot: SLOTS[slot] for slot in slots})
    value = ordered(context, keys, {slot: scalar(context, results[slot]) for slot in slots})
    person = context.value("person")
    task = context.say(TASKS[kind], **({"person": person} | fields))
    meanings = MEANINGS | {"converted": f"the same in {fields.get('into')}"}
    # A key such as `rest` or `on` says little, so what it means is told.
    told = [
        context.say(MEANING, key=keys[slot], meaning=meanings[slot])
        for slot in slots
        if slot != keys[slot] or slot == "converted" or dice.chance(0.3)
    ]
    ask = speak(context, ASK, task=task, keys=named(context, value))
    schema = ",".join(sorted(keys))
    ask = " ".join([ask, *told])
    return Draft("arithmetic_and_dates", "record", schema, value, ask, "", free=True)


def neat(number: float) -> int | float:
    """A number with at most two decimals, whole if it is."""
    rounded = round(number, 2)
    return int(rounded) if rounded == int(rounded) else rounded


def _mine(context: Context, number: int | float) -> bool:
    """Whether the split owns the number; those of few digits belong to all."""
    return number < 1000 and number == int(number) or owner(str(number)) == context.split


def _until(context: Context, solve: Callable[[Context], Solved]) -> Solved:
    """Draw until the split owns every result."""
    while True:
        fields, results = solve(context)
        numbers = [n for n in results.values() if isinstance(n, int | float)]
        if all(_mine(context, number) for number in numbers):
            return fields, results


def _bill(context: Context) -> Solved:
    dice = context.dice
    items = dice.sample(pools.ITEM[context.split], dice.between(1, 4))
    counts = [dice.between(1, 6) for _ in items]
    cents = [dice.choice((50, 100)) * dice.between(1, 30) for _ in items]
    total = sum(count * price for count, price in zip(counts, cents, strict=True))
    given = -(-total // 1000) * 10 if dice.chance(0.85) else max(1, total // 100 - dice.between(1, 5))
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


SOLVERS: Mapping[str, Callable[[Context], Solved]] = {
    kind: lambda context, solve=solve: _until(context, solve)
    for kind, solve in {
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
    }.items()
}
