r"""Answers that repeat themselves or find no end, as the rejected side of a pair.

    looped('{"items": ["a cup", "a plate"]}', Dice("7"))
        ->  '{"items": ["a cup", "a plate", "a plate", "a plate", "a plate", "'
    endless('{"days": [{"day": 1, "meal": "soup"}]}', Dice("7"))
        ->  '{"days": [{"day": 1, "meal": "soup"}, {"day": 2, "meal": "soup"}, {"day": 3, "meal": '

Most answers of a small model that fail an open request are right up to a loop, or up to an array
that takes one more item again and again, until the answer is cut off.
"""

from __future__ import annotations

import re
from functools import partial

from msgspec import structs

from fmtharness.generators.dice import Dice
from fmtharness.harness.records import Example

_TEXT = r'"(?:[^"\\\n]|\\.){1,100}"'
UNITS = (
    re.compile(rf"{_TEXT}: ?(?:{_TEXT}|[\w.+-]+), ?(?=\")"),  # a pair of an object
    re.compile(rf"(?<=[\[,] ){_TEXT}, ?(?=\")|(?<=\[){_TEXT}, ?(?=\")"),  # a text in an array
    re.compile(r'(?<=[.!?] )[^".!?\\\n]{12,140}[.!?]|(?<=")[^".!?\\\n]{12,140}[.!?](?= )'),
    re.compile(r"(?<=\n)[^\n]{4,120}\n"),
    re.compile(r"(?<=[a-z,] )(?:[a-z]+,? ){1,4}(?=[a-z])"),  # some words of a text
)
"""What is repeated: pairs, items, sentences, lines, phrases."""
LAST = re.compile(rf"(?:\{{[^{{}}\n]{{2,300}}\}}|{_TEXT})(?=\])")
"""The last item of an array: a text, or an object without others in it."""
VALUE = re.compile(rf"(?<=: ){_TEXT}|(?<=: )\d{{1,4}}(?=[,}}])|^{_TEXT}$")
"""What differs from item to item: values of pairs, or the item itself."""
TEXTS = re.compile(rf"(?<=: ){_TEXT}|(?<=\[){_TEXT}(?=[,\]])|(?<=, ){_TEXT}(?=[,\]])")
"""The texts that are values or items."""
CLOSING = re.compile(r'[^".!?\\\n]{8,140}[.!?](?=")')
"""The last sentence of a text."""
WORD = re.compile(r"(?<!\\)\b[a-z]{4,}\b")
"""A word; the letter of an escape belongs to none."""
ENDLESS = 0.5
"""How often an array or a text finds no end, where there is one, instead of a loop."""
ARRAYS = 0.75
"""How often it is the array, where the answer has both."""
FEWEST, MOST = 2, 9
SHORTEST = 60
"""A loop has at least so many characters."""
NUMBERED = 0.4
"""How often the keys of repeated pairs are numbered."""


def looped(text: str, dice: Dice) -> str | None:
    """The text up to a unit of it that repeats; None if it has no unit that could."""
    kinds = [found for unit in UNITS if (found := [*unit.finditer(text)])]
    if not kinds:
        return None
    found = dice.choice(dice.choice(kinds))
    unit = found.group()
    times = max(dice.between(FEWEST, MOST), -(-SHORTEST // len(unit)))
    key = re.match(rf"({_TEXT})(?=:)", unit)
    if key and dice.chance(NUMBERED):
        name = key.group()[:-1]
        again = [f'{name}_{i}"{unit[key.end() :]}' for i in range(1, times + 1)]
    elif unit[-1] in ".!?":
        again = [f" {unit}"] * times
    else:
        again = [unit] * times
    return text[: found.end()] + "".join(again)


def endless(text: str, dice: Dice) -> str | None:
    """The text up to the end of an array or of a string, which goes on; None without either.

    An array's new items have the last one's keys, numbers that count on, and texts that stand
    elsewhere in the text, most of them with a word replaced. A string's new sentences are its last
    one with another last word.
    """
    arrays, texts = [*LAST.finditer(text)], [*CLOSING.finditer(text)]
    if arrays and (not texts or dice.chance(ARRAYS)):
        last = dice.choice(arrays)
        return ", ".join([text[: last.end()], *_items(last.group(), text, dice)])
    if not texts:
        return None
    last = dice.choice(texts)
    return " ".join([text[: last.end()], *_sentences(last.group().strip(), text, dice)])


def _sentences(last: str, text: str, dice: Dice) -> list[str]:
    words = WORD.findall(text)
    more = range(dice.between(FEWEST, MOST))
    return [
        re.sub(r"[\w'-]+(?=[.!?]$)", lambda _: dice.choice(words), last) if words else last
        for _ in more
    ]


def _items(last: str, text: str, dice: Dice) -> list[str]:
    texts, words = TEXTS.findall(text), WORD.findall(text)

    def other(by: int, value: re.Match[str]) -> str:
        old = value.group()
        if old[0] != '"':
            return str(int(old) + by)
        new = dice.choice(texts) if texts and dice.chance(0.6) else old
        places = [*WORD.finditer(new)]
        if not places or dice.chance(0.3):
            return new
        word, another = dice.choice(places), dice.choice(words)
        return f"{new[: word.start()]}{another}{new[word.end() :]}"

    more = range(1, dice.between(FEWEST, MOST) + 1)
    return [VALUE.sub(partial(other, by), last) for by in more]


def with_loop(example: Example, dice: Dice) -> Example:
    """The Example with a rejected answer: its target in a loop or without an end, if it can be."""
    rejected = endless(example.target, dice) if dice.chance(ENDLESS) else None
    rejected = rejected or looped(example.target, dice)
    if rejected is None:
        return example
    # It was cut off, so that no stop token follows it.
    tags = {**example.tags, "rejected_finish_reason": "length"}
    return structs.replace(example, rejected=rejected, tags=tags)
