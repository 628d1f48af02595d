"""What an arm does without training: other prompts, or answers that are repaired.

prompted(examples, "instructed", [])    the format's own instruction in the system message
prompted(examples, "few_shot", train)   three train Examples of the format as earlier turns
repaired(example, completion)           the text as the Format mends it
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence

from msgspec import UNSET, structs

from fmtharness.harness.contracts import Format
from fmtharness.harness.formats import for_example
from fmtharness.harness.options import build
from fmtharness.harness.records import NO_FORMAT, Completion, Example, Message

SHOTS = 3
"""How many answered prompts a few-shot prompt begins with."""


def prompted(
    examples: Sequence[Example], prompting: str, train: Iterable[Example]
) -> list[Example]:
    """The Examples with the prompts of an arm; those that ask for no format stay as they are."""
    if prompting == "instructed":
        return [_instructed(each) for each in examples]
    if prompting == "few_shot":
        shots = _shots(train)
        return [_with_shots(each, shots[each.format]) for each in examples]
    return list(examples)


def repaired(example: Example, completion: Completion) -> Completion:
    """The Completion with its text mended, where the Format can; else as it is."""
    mend = None if example.format == NO_FORMAT else getattr(_format(example), "mend", None)
    text = mend(completion.text) if mend and completion.error is None else None
    return completion if text is None else structs.replace(completion, text=text)


def _format(example: Example) -> Format:
    target: Format = for_example(build("formats", example.format), example)
    return target


def _instructed(example: Example) -> Example:
    if example.format == NO_FORMAT:
        return example
    said = _format(example).instruction({} if example.value is UNSET else example.value)
    first, *rest = example.prompt
    if first.role != "system":
        return structs.replace(example, prompt=(Message("system", said), *example.prompt))
    both = structs.replace(first, content=f"{first.content}\n{said}")
    return structs.replace(example, prompt=(both, *rest))


def _shots(train: Iterable[Example]) -> dict[str, list[Example]]:
    """The first Examples of each format that have one turn and a target."""
    found: dict[str, list[Example]] = defaultdict(list)
    for example in train:
        turns = [each for each in example.prompt if each.role != "system"]
        short = len(found[example.format]) < SHOTS
        if example.format != NO_FORMAT and short and len(turns) == 1 and example.completion:
            found[example.format].append(example)
    return found


def _with_shots(example: Example, shots: Sequence[Example]) -> Example:
    system = [each for each in example.prompt[:1] if each.role == "system"]
    answered = [
        (Message("user", each.prompt[-1].content), Message("assistant", each.target))
        for each in shots
    ]
    turns = example.prompt[len(system) :]
    return structs.replace(example, prompt=(*system, *itertools.chain(*answered), *turns))
