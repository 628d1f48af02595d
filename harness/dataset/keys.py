"""What a row's keys say where no form has them: the nearest form, and how its columns are named.

advice({"question": "Oslo?", "answer": "{}"})
    'rename the keys, or say form = "prompt-completion:prompt=question,completion=answer"'
form_and_columns("prompt-completion:prompt=question,completion=answer")
    ("prompt-completion", {"prompt": "question", "completion": "answer"})
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from fmtharness.harness.dataset.forms import FORMS, Form
from fmtharness.harness.errors import UserError
from fmtharness.harness.options import parse_spec
from fmtharness.harness.text import did_you_mean

MORE: Final = ("input", "history", "system", "tools", "id", "schema", "tags", "label", "rejected")
"""Keys that a row may have beside those of its form."""
MEANT: Final[Mapping[str, str]] = {
    "question": "prompt",
    "query": "prompt",
    "input": "prompt",
    "inputs": "prompt",
    "user": "prompt",
    "answer": "completion",
    "response": "completion",
    "output": "completion",
    "outputs": "completion",
    "target": "completion",
    "targets": "completion",
    "expected": "completion",
    "expected_output": "completion",
    "ground_truth": "completion",
    "reference": "completion",
    "ideal": "completion",
    "solution": "completion",
    "label": "completion",
    "assistant": "completion",
    "dialog": "messages",
    "dialogue": "messages",
    "turns": "messages",
    "chat": "messages",
    "conversation": "conversations",
}
"""Keys of rows in no form, and the key of a form that would hold the same."""
_SPELLED: Final = ("completion", "chosen", "rejected")


@lru_cache(64)
def form_and_columns(spec: str) -> tuple[str, dict[str, str]]:
    """A form's name, and which columns hold its keys, of `form:key=column,...`.

    Raises ValueError for an unknown form or key.
    """
    try:
        name, columns = parse_spec(spec)
    except UserError as error:
        raise ValueError(str(error)) from error
    if name not in FORMS:
        near = did_you_mean(name, FORMS) or f"; there are {', '.join(FORMS)}"
        raise ValueError(f"no form is called {name!r}{near}")
    known = dict.fromkeys((*FORMS[name].needs, *MORE))
    for key, column in columns.items():
        if key not in known:
            raise ValueError(
                f"rows of {name} have no key {key!r}{did_you_mean(key, known)} (there are "
                f"{', '.join(known)})"
            )
        if not isinstance(column, str):
            raise ValueError(f"{key} = {column!r} names no column")
    return name, columns


def overlooked(form: str, row: Mapping[str, Any]) -> str | None:
    """A sentence on a key that may hold the answer; None if there is none.

    Such a row would be taken for a prompt alone.
    """
    if why := _misspelled(tuple(row)):
        return f"{why} Rename it, or say form = {form!r} if the row is a prompt alone"
    for key, value in row.items():
        if MEANT.get(key.lower()) == "completion" and value not in (None, "", [], {}):
            asked = "" if form == "prompt" else f"prompt={form},"
            return (
                f"it has the key {key!r}, which may hold the answer: say form = "
                f'"prompt-completion:{asked}completion={key}", or form = {form!r} if the row is a '
                f"prompt alone"
            )
    return None


@lru_cache(4096)
def _misspelled(keys: tuple[str, ...]) -> str | None:
    for key in keys:
        for meant in difflib.get_close_matches(key, _SPELLED, n=1, cutoff=0.86):
            if key != meant and meant not in keys:
                return f"it has the key {key!r}, did you mean {meant!r}?"
    return None


def nearest_form(keys: Iterable[str]) -> Form:
    """The form whose keys are most like these."""
    held = [MEANT.get(key.lower(), key.lower()) for key in keys]

    def likeness(form: Form) -> float:
        best = [
            max((difflib.SequenceMatcher(None, need, key).ratio() for key in held), default=0.0)
            for need in form.needs
        ]
        return sum(ratio for ratio in best if ratio > 0.7) / len(best)

    order = [FORMS["prompt-completion"], FORMS["messages"], *FORMS.values()]
    if "instruction" in held and "completion" in held:
        order = [FORMS["alpaca"]]
    return max(order, key=likeness)


def advice(row: Mapping[str, Any]) -> str:
    """What to do with a row in no form."""
    form, columns = nearest_form(row), dict[str, str]()
    for need in (*form.needs, *(("input",) if form.name == "alpaca" else ())):
        meant = {need, "completion"} if need == "output" else {need}
        if need == "input":
            meant = {"context"}
        for key in row:
            if key not in columns.values() and (
                MEANT.get(key.lower()) in meant or key.lower() in meant
            ):
                columns.setdefault(need, key)
    whole = all(need in columns for need in form.needs)
    named = ",".join(f"{key}={column}" for key, column in columns.items() if key != column)
    if not whole or not named or any(not each.isidentifier() for each in columns.values()):
        return "rename the keys"
    return f'rename the keys, or say form = "{form.name}:{named}"'
