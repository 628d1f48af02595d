"""How the open families ask: keys that the split owns, named in many ways, in several voices.

owned_keys(context, {"total": ("total", "sum", "amount due"), "paid": ("paid", "given")})
    ->  {"total": "amountDue", "paid": "given"}
named(context, ["amountDue", "given"])  ->  '"amountDue" and "given"'
structure({"a": [{"b": 1}], "c": 2})    ->  "a[b],c", which a hash gives to one split
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from fmtharness.generators.context import Context, Wording, template_id
from fmtharness.generators.ownership import owner
from fmtharness.generators.schemas import styled
from fmtharness.generators.values import Scalar, surface

Slots = Mapping[str, tuple[str, ...]]
"""What a family fills in, and the labels that its key may have."""


def speak(context: Context, wording: Wording, **fields: object) -> str:
    """One of the split's wordings, at times in the lower case of hasty people; notes which."""
    template: str = context.dice.choice(wording[context.split])
    context.templates.append(template_id(template))
    if context.dice.chance(0.15):
        template = template.lower().removesuffix(".")
    return template.format(**fields)


def named(context: Context, keys: Iterable[str]) -> str:
    """The keys as people write them: bare, quoted, in backticks, with `and` or a slash."""
    marks = (
        ("", ", "),
        ("", ", "),
        ("", " and "),
        ('"', ", "),
        ('"', " and "),
        ("`", ", "),
        ("", "/"),
    )
    chosen: tuple[str, str] = context.dice.choice(marks)
    mark, last = chosen
    texts = [f"{mark}{key}{mark}" for key in keys]
    if last == "/":
        return " / ".join(texts)
    return last.join(filter(None, (", ".join(texts[:-1]), texts[-1])))


def structure(value: Any) -> str:
    """The keys at every depth, without order, case and separators."""
    if isinstance(value, Mapping):
        return ",".join(sorted(_plain(key) + _inner(inner) for key, inner in value.items()))
    return _inner(value)


def _plain(key: str) -> str:
    return "".join(character for character in key.casefold() if character.isalnum())


def _inner(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"({structure(value)})"
    if isinstance(value, list):
        return f"[{'|'.join(sorted({structure(item) for item in value}))}]"
    return ""


def flat(keys: Mapping[str, str]) -> dict[str, Any]:
    """The skeleton of a record: each key with a scalar."""
    return dict.fromkeys(keys.values())


def owned_keys(
    context: Context, slots: Slots, skeleton: Callable[[Mapping[str, str]], Any] = flat
) -> dict[str, str]:
    """A key for each slot, so that the split owns the structure that `skeleton` makes of them."""
    style = context.style()
    for attempt in range(1000):
        if attempt % 50 == 49:
            style = context.style()
        keys = {slot: styled(context.dice.choice(names), style) for slot, names in slots.items()}
        distinct = len(set(map(_plain, keys.values()))) == len(keys)
        if distinct and owner(structure(skeleton(keys))) == context.split:
            return keys
    raise ValueError(f"{context.split} owns no keys for {', '.join(slots)}")


def scalar(context: Context, value: Scalar) -> Scalar:
    """A value that was worked out, as text if the Format holds only text."""
    return value if context.abilities.typed or value is None else surface(value)


def ordered(context: Context, keys: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, Any]:
    """The record of these slots' values, in an order that the dice give."""
    slots: list[str] = [*keys]
    context.dice.shuffle(slots)
    return {keys[slot]: values[slot] for slot in slots}


def distinct(draw: Callable[[], Scalar], count: int) -> list[Any]:
    """`count` different values; fewer where a thousand draws yield no more."""
    found: dict[Scalar, None] = {}
    for _ in range(1000):
        if len(found) == count:
            break
        found.setdefault(draw())
    return [*found]


def joined(parts: Iterable[str], gap: str = " ") -> str:
    """The parts one after the other; one that ends without a mark gets a full stop."""
    told = [part for part in parts if part]
    ended = [part if part[-1] in ".!?:;\"'`)" else f"{part}." for part in told[:-1]]
    return gap.join([*ended, *told[-1:]])


def prose(context: Context, sentences: Sequence[str]) -> str:
    """Sentences as one paragraph, at times as two."""
    if len(sentences) > 4 and context.dice.chance(0.25):
        half = len(sentences) // 2
        return f"{' '.join(sentences[:half])}\n\n{' '.join(sentences[half:])}"
    return " ".join(sentences)
