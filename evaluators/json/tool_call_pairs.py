"""Pairs the calls of two lists for a match in any order, as the BFCL benchmark counts them.

    paired([ring, book], [book])  ->  ({0: ring, 1: book}, {1: book})

Equal calls are paired first, the others so that as many fields as possible are right. One call is
a list of one call.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from fmtharness.harness.matching import correct, leaves, same_value

MOST_PAIRS: Final = 40_000
"""Calls are paired in their order where more pairs are possible than this."""


def paired(
    expected: Any, predicted: Any, possible: Any = None
) -> tuple[dict[int, Any], dict[int, Any]]:
    """The calls of both sides by the number of their pair.

    `possible` is a list of the Example's answers as BFCL writes them, `{"book": {"nights": [4, 5],
    "note": ["x", ""]}}` for each call: the values that an argument may have, and "" where it may be
    left out. The expected calls then are those that come nearest to the predicted ones. ValueError
    if `possible` is something else.
    """
    theirs = predicted if isinstance(predicted, list) else [predicted]
    if possible is None:
        ours = expected if isinstance(expected, list) else [expected]

        def wanted(index: int, at: int) -> Any:
            return ours[index]
    else:
        answers = [_answer(answer) for answer in _listed(possible)]
        ours = [_nearest(*answer, {}) for answer in answers]

        def wanted(index: int, at: int) -> Any:
            return _nearest(*answers[index], theirs[at])

    pairs = _pairs(len(ours), theirs, wanted)
    chosen = dict(enumerate(ours)) | {index: wanted(index, at) for index, at in pairs.items()}
    given = {index: theirs[at] for index, at in pairs.items()}
    left = [theirs[at] for at in sorted(set(range(len(theirs))) - set(pairs.values()))]
    return chosen, given | dict(enumerate(left, len(ours)))


def _pairs(number: int, theirs: Sequence[Any], wanted: Callable[[int, int], Any]) -> dict[int, int]:
    """For each expected call the predicted one that belongs to it, if there is one."""
    if number == 1 == len(theirs) or number * len(theirs) > MOST_PAIRS:
        return dict(zip(range(number), range(len(theirs)), strict=False))
    pairs: dict[int, int] = {}
    free = list(range(len(theirs)))
    for index in range(number):
        at = next((at for at in free if same_value(wanted(index, at), theirs[at])), None)
        if at is not None:
            pairs[index] = at
            free.remove(at)
    alone = [index for index in range(number) if index not in pairs]
    if alone and free:
        from scipy.optimize import linear_sum_assignment  # slow to import, and seldom needed

        given = {at: leaves(theirs[at]) for at in free}
        right = [[correct(given[at], leaves(wanted(index, at))) for at in free] for index in alone]
        rows, columns = linear_sum_assignment(right, maximize=True)
        pairs |= {alone[row]: free[column] for row, column in zip(rows, columns, strict=True)}
    return pairs


def _listed(possible: Any) -> list[Any]:
    return possible if isinstance(possible, list) else [possible]


def _answer(answer: Any) -> tuple[str, Mapping[str, list[Any]]]:
    if isinstance(answer, dict) and len(answer) == 1:
        ((name, arguments),) = answer.items()
        if isinstance(arguments, dict) and _lists_values(arguments):
            return name, arguments
    raise ValueError(
        'the Example\'s tag possible_answers is not a list of {"name": {"argument": [value, ...]}}'
    )


def _nearest(name: str, arguments: Mapping[str, list[Any]], call: Any) -> dict[str, Any]:
    """The possible call that comes nearest to this one."""
    given = call.get("arguments") if isinstance(call, dict) else None
    return {"name": name, "arguments": _filled(arguments, given)}


def _filled(value: Any, given: Any) -> Any:
    """What a possible value is at its nearest to the given one.

    Inside its objects BFCL lists the possible values of each key, too.
    """
    if isinstance(value, list):
        theirs = given if isinstance(given, list) else []
        pairs = itertools.zip_longest(value, theirs[: len(value)])
        return [_filled(each, their) for each, their in pairs]
    if not isinstance(value, dict) or not _lists_values(value):
        return value
    given = given if isinstance(given, dict) else {}
    nearest = {}
    for key, values in value.items():
        if key not in given and "" in values:
            continue
        found = [_filled(value, given.get(key)) for value in values]
        same = (each for each in found if key in given and same_value(each, given[key]))
        nearest[key] = next(same, found[0])
    return nearest


def _lists_values(answer: dict[str, Any]) -> bool:
    return all(isinstance(values, list) and values for values in answer.values())
