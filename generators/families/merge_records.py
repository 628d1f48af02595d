"""merge_records: two records of one thing become one, by a rule for where they differ.

First: guest Ada Lopez, nights 4. Second: nights 7, room A-2031. The second wins.
    ->  {"guest": "Ada Lopez", "nights": 7, "room": "A-2031"}
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fmtharness.generators.asking import named, speak
from fmtharness.generators.context import Context, Draft, Wording
from fmtharness.generators.schemas import Field
from fmtharness.generators.values import Scalar

ASK: Wording = {
    "train": (
        "Merge the two records into {keys}. {rule}",
        "Make one out of both: {keys}. {rule}",
        "{rule} The merged record has {keys}.",
        "We have this twice, sigh. Combine it; keys {keys}. {rule}",
        "Deduplicate: two sources, one result with {keys}. {rule}",
        "both of these are about the same thing. i want one with {keys}. {rule}",
        "Join them. Fields: {keys}. {rule}",
        "Please unite what the two clerks wrote down. The card has room for {keys}. {rule}",
        "Conflict resolution: {rule} Emit {keys}.",
        "After moving offices two lists have to become one, and I dread it. Start with this pair: "
        "{keys}. {rule}",
        "{keys} from both sources. {rule}",
        "result = merge(a, b) with {keys}. {rule}",
        "Would you reconcile these? {rule} The order is {keys}.",
        "ONE RECORD, NOT TWO! {keys}. {rule}",
        "Collate A and B as {keys}; don't show me A and B again. {rule}",
    ),
    "dev": (
        "Bring both together as {keys}. {rule}",
        "Of these two make a single entry with {keys}. {rule}",
        "{rule} Unify them under {keys}.",
        "fuse them, {keys}. {rule}",
        "They overlap; I need {keys} once. {rule}",
    ),
    "eval": (
        "Consolidate the pair: {keys}. {rule}",
        "Out of two half-filled entries build one having {keys}. {rule}",
        "{rule} Show the combination, {keys}.",
        "can u put those together? {keys}. {rule}",
        "Kindly blend both accounts into {keys}. {rule}",
    ),
}
RULES: dict[str, Wording] = {
    "second": {
        "train": (
            "Where they differ, the second is right.",
            "The later one wins.",
            "B overrides A.",
            "In case of doubt believe the second.",
        ),
        "dev": ("Trust the second if they disagree.", "The second one has priority."),
        "eval": ("The newer (second) entry prevails.", "On conflict take the second."),
    },
    "first": {
        "train": (
            "Where they differ, the first is right.",
            "The first one wins; the second only fills gaps.",
            "A has precedence over B.",
        ),
        "dev": ("Trust the first if they disagree.", "The first one has priority."),
        "eval": ("The older (first) entry prevails.", "On conflict take the first."),
    },
    "larger": {
        "train": (
            "If a number differs, the larger one counts.",
            "Of two numbers keep the bigger.",
            "Differing numbers: take the maximum.",
        ),
        "dev": ("When numbers disagree, choose the higher.",),
        "eval": ("The greater number is kept where two exist.",),
    },
    "sum": {
        "train": ("Add numbers that occur in both.", "Numbers in both are summed up."),
        "dev": ("A number found twice is added together.",),
        "eval": ("Total the numbers that both have.",),
    },
}
HEADS: Wording = {
    "train": (
        "A: {first}\nB: {second}",
        "First record:\n{first}\nSecond record:\n{second}",
        "Yesterday: {first}\nToday: {second}",
        "Source A has {first}. Source B has {second}.",
    ),
    "dev": ("No. 1 - {first}\nNo. 2 - {second}", "One clerk: {first}\nThe other: {second}"),
    "eval": ("(1) {first}\n(2) {second}", "Old card: {first}\nNew card: {second}"),
}
FACT: Wording = {
    "train": ("{label}: {value}", "{label} {value}"),
    "dev": ("{label} as {value}", "{label} ~ {value}"),
    "eval": ("{label} is {value}", "{label} -> {value}"),
}
COUNTS = frozenset({"count"})


def make(context: Context) -> Draft:
    """Four to seven fields; each record has some, and one or two stand in both."""
    dice = context.dice
    while True:
        schema = context.schema(4, 7)
        counts = [field for field in schema.fields if field.kind in COUNTS]
        rule = dice.choice(("first", "second", "second", "larger", "sum"))
        if rule in ("first", "second") or (counts and context.abilities.typed):
            break
    both = counts if rule in ("larger", "sum") else dice.sample(schema.fields, dice.between(1, 2))
    value: dict[str, Any] = context.values(schema)
    first: list[tuple[Field, Scalar]] = []
    second: list[tuple[Field, Scalar]] = []
    for field in schema.fields:
        if field in both:
            one, other = context.value(field.kind), value[field.key]
            value[field.key] = _resolved(rule, one, other)
            first.append((field, one))
            second.append((field, other))
        else:
            dice.choice((first, second)).append((field, value[field.key]))
    if not (first and second):
        raise ValueError("one of the records is empty")
    dice.shuffle(first)
    dice.shuffle(second)
    source = context.say(HEADS, first=_told(context, first), second=_told(context, second))
    rule_told = context.say(RULES[rule])
    ask = speak(context, ASK, keys=named(context, schema.keys), rule=rule_told)
    return Draft("merge_records", "record", schema.id, value, ask, source, free=True)


def _resolved(rule: str, one: Any, other: Any) -> Any:
    if rule == "first":
        return one
    if rule == "second":
        return other
    return max(one, other) if rule == "larger" else one + other


def _told(context: Context, facts: Sequence[tuple[Field, Scalar]]) -> str:
    fact = context.one_of(FACT)
    return ", ".join(
        context.say(fact, label=field.label, value=context.written(value)) for field, value in facts
    )
