"""arithmetic_and_dates: small sums, bills, days, ages and units; the right result is the answer.

    3 x desk lamp at 12.5 each, 2 x mug at 4. I pay with 50. Keys: total, change.
        ->  {"total": 45.5, "change": 4.5}

Every task names what it wants; whole results are whole numbers, others have at most two decimals.
"""

from __future__ import annotations

from fmtharness.generators.asking import joined, named, ordered, owned_keys, scalar, speak
from fmtharness.generators.context import Context, Draft, Wording
from fmtharness.generators.sums import SOLVERS, solved

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
        "eval": (
            "There are {a} chairs in one hall and {b} in another.",
            "Given {a} as well as {b}.",
        ),
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
        "eval": (
            "A loan runs from {start}; it is paid back on {end}.",
            "Begin {start}, end {end}.",
        ),
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


def make(context: Context) -> Draft:
    """One task and one to four of its results."""
    dice = context.dice
    kind = dice.choice(tuple(SOLVERS))
    fields, results = solved(kind, context)
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
    ask = joined([ask, *told])
    return Draft("arithmetic_and_dates", "record", schema, value, ask, "", free=True)
