"""Bad outputs: the prompt shows a broken answer and asks for the corrected one.

    This JSON is broken: {"guest": "Ada Lopez", "nights": 4,}
    Give the corrected version.
        ->  {"guest": "Ada Lopez", "nights": 4}

Only the Format's `corruptions` are used. If the broken text still holds every value, it may stand
by itself; else it stands as the answer to the task, so the target can always be derived.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fmtharness.generators.context import Context, Draft, Wording
from fmtharness.generators.values import surface
from fmtharness.harness.contracts import Format
from fmtharness.harness.text import LONE_SURROGATE

ALONE: Wording = {
    "train": (
        "This {format} is broken. Fix it.",
        "Repair the {format} below.",
        "Something is wrong with this {format}; give the corrected version.",
        "Correct this {format}:",
    ),
    "dev": (
        "There is a mistake in this {format}. Write it as it should be.",
        "This was meant to be {format}. Make it valid.",
        "Please clean up the faulty {format} here.",
    ),
    "eval": (
        "The following {format} does not parse. Mend it.",
        "Restore this to well-formed {format}.",
        "A parser rejected the text here; what is the right {format}?",
    ),
}
AGAIN: Wording = {
    "train": (
        "That is not valid. Send the corrected answer.",
        "Your answer was rejected; fix it.",
        "Wrong format. Try again.",
    ),
    "dev": (
        "There is an error in your reply; answer anew.",
        "Our program stopped at that. Give a proper version.",
        "No machine can read this. Another attempt, please.",
    ),
    "eval": (
        "The parser refused this. Do it properly.",
        "I could not load that, please redo it.",
        "Malformed. Once more, correctly.",
    ),
}
KEEP: Wording = {
    "train": ("Keep the values.", "Change no value."),
    "dev": ("The values themselves are right.", "Do not alter the data."),
    "eval": ("Values remain untouched.", "Leave the content alone."),
}


def break_answer(
    context: Context, target: Format, draft: Draft, completion: str, weights: Mapping[str, float]
) -> str | None:
    """Turn the Draft into a request to correct a broken answer, and name how it is broken.

    `target` is the Format with the options of this answer. With `weights` its corruptions are drawn
    by them, and one without a weight is not drawn. Returns None and leaves the Draft unchanged if
    there is no corruption for this text.
    """
    corruptions = target.corruptions()
    for kind in _drawn(context, sorted(corruptions), weights):
        broken = corruptions[kind](completion, context.dice)
        if broken is None or broken == completion or LONE_SURROGATE.search(broken):
            continue  # no tokenizer takes half of a surrogate pair
        texts = [surface(leaf) for leaf in leaves(draft.value)]
        holds_all = all(_count(text, broken) >= max(1, _count(text, completion)) for text in texts)
        if holds_all and context.dice.chance(0.7):
            draft.ask = context.say(ALONE, format=context.format_name)
            draft.source = broken
            draft.tail.append(context.say(KEEP))
            draft.open, draft.tags = False, {}  # what is right now stands in the prompt
        else:
            draft.retry = broken, context.say(AGAIN)
        return kind
    return None


def _drawn(context: Context, kinds: Sequence[str], weights: Mapping[str, float]) -> Iterator[str]:
    """The kinds in a random order; with weights, those that have one, likelier ones earlier."""
    if not weights:
        order = list(kinds)
        context.dice.shuffle(order)
        yield from order
    left = {kind: weights[kind] for kind in kinds if weights.get(kind)}
    while left:
        kind = context.dice.weighted(left)
        del left[kind]
        yield kind


def _count(text: str, whole: str) -> int:
    """How often the text stands there, as it is or with the escapes of JSON."""
    escaped = json.dumps(text, ensure_ascii=False)[1:-1]
    return sum(whole.count(each) for each in {text, escaped})


def leaves(value: Any) -> Iterator[Any]:
    """The keys and scalars of a value."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    else:
        yield value
