"""Draws values: one function per kind of value, every result owned by one split.

    draw("person", "train", dice)  ->  "Ada Lopez"
    draw("price", "eval", dice)    ->  129.95
    surface(True)                  ->  "true"

A value looks the same in the prompt and in the target, so it can be copied: decimals have no
trailing zero, dates are ISO, and no string has a comma, a line break or outer blanks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from fmtharness.generators import pools
from fmtharness.generators.dice import Dice
from fmtharness.generators.ownership import BySplit, owned
from fmtharness.harness.contracts import Split

Scalar: TypeAlias = str | int | float | bool | None
Draw = Callable[[Split, Dice], Scalar]

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
ACCENTS = str.maketrans("áàéèíóöúüøøäÖőčćďěłňřšůýžñçëï", "aaeeioouuooaOoccdelnrsuyzncei")


def draw(kind: str, split: Split, dice: Dice) -> Scalar:
    """A value of this kind that only this split can draw, small numbers and flags excepted."""
    return KINDS[kind](split, dice)


def surface(value: Scalar) -> str:
    """How a value is written in a prompt."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _person(split: Split, dice: Dice) -> str:
    return f"{dice.choice(pools.FIRST[split])} {dice.choice(pools.LAST[split])}"


def _company(split: Split, dice: Dice) -> str:
    name = f"{dice.choice(pools.BRAND[split])} {dice.choice(pools.TRADE[split])}"
    return f"{dice.choice(pools.LAST[split])} & {name}" if dice.chance(0.1) else name


def _product(split: Split, dice: Dice) -> str:
    return f"{dice.choice(pools.QUALITY[split])} {dice.choice(pools.ITEM[split])}"


def _email(split: Split, dice: Dice) -> str:
    local = f"{dice.choice(pools.FIRST[split])}.{dice.choice(pools.LAST[split])}"
    host = dice.choice(pools.BRAND[split])
    plain = local.replace("'", "").translate(ACCENTS)
    return f"{plain}@{host}.{dice.choice(('com', 'org', 'net', 'io'))}".lower()


def _address(split: Split, dice: Dice) -> str:
    way = dice.choice(("Street", "Lane", "Road", "Avenue"))
    return f"{dice.between(1, 199)} {dice.choice(pools.BRAND[split])} {way}"


def _note(split: Split, dice: Dice) -> str:
    place, item = dice.choice(pools.PLACE[split]), dice.choice(pools.ITEM[split])
    return str(
        dice.choice(
            (
                f"leave it by the {place}",
                f"the {item} is in the {place}",
                f"don't forget the {item}",
                f"call before using the {place}",
                f"keep the {item} away from the {place}",
                f'ask for the "{item}" one',
                f"it's behind the {place}",
                f"needs a new {item}",
            )
        )
    )


def _code(split: Split, dice: Dice) -> str:
    def one() -> str:
        letters = dice.choice(LETTERS) + (dice.choice(LETTERS) if dice.chance(0.6) else "")
        return f"{letters}-{dice.between(100, 9999)}"

    return owned(split, one)


def _date(split: Split, dice: Dice) -> str:
    def one() -> str:
        year, month, day = dice.between(2015, 2032), dice.between(1, 12), dice.between(1, 28)
        return f"{year}-{month:02}-{day:02}"

    return owned(split, one)


def _time(split: Split, dice: Dice) -> str:
    return owned(split, lambda: f"{dice.between(6, 22):02}:{dice.below(60):02}")


def _phone(split: Split, dice: Dice) -> str:
    return owned(
        split, lambda: f"+{dice.between(20, 98)} {dice.between(10, 99)} {dice.between(1000, 9999)}"
    )


def _version(split: Split, dice: Dice) -> str:
    return owned(split, lambda: f"{dice.between(0, 19)}.{dice.below(30)}.{dice.below(40)}")


def _year(split: Split, dice: Dice) -> int:
    return owned(split, lambda: dice.between(1900, 2035))


def _amount(split: Split, dice: Dice) -> int:
    return owned(split, lambda: dice.between(100, 9999))


def _price(split: Split, dice: Dice) -> float:
    return owned(split, lambda: (dice.between(10, 4999) * 10 + dice.between(1, 9)) / 100)


def _word(pool: BySplit) -> Draw:
    return lambda split, dice: str(dice.choice(pool[split]))


KINDS: dict[str, Draw] = {
    "person": _person,
    "company": _company,
    "product": _product,
    "email": _email,
    "address": _address,
    "note": _note,
    "code": _code,
    "date": _date,
    "time": _time,
    "phone": _phone,
    "version": _version,
    "year": _year,
    "amount": _amount,
    "price": _price,
    "city": _word(pools.CITY),
    "country": _word(pools.COUNTRY),
    "state": _word(pools.STATE),
    "topic": _word(pools.TOPIC),
    "place": _word(pools.PLACE),
    "count": lambda split, dice: dice.between(1, 60),
    "rating": lambda split, dice: dice.between(1, 4) + dice.between(1, 9) / 10,
    "flag": lambda split, dice: dice.chance(0.5),
}
