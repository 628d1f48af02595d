"""What `fmtharness data` looks for: each check's name, whether it is grave, and what it means.

CHECKS["stop_token"].grave   True: a target that holds a stop token would teach the wrong thing
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from fmtharness.harness.records import Problem


class Check(NamedTuple):
    """A check: grave if what it finds would teach the wrong thing, else a note."""

    grave: bool
    means: str


def _grave(means: str) -> Check:
    return Check(True, means)


def _note(means: str) -> Check:
    return Check(False, means)


CHECKS: Final[dict[str, Check]] = {
    "fails_format": _grave("the target is not what its own format accepts"),
    "fails_schema": _grave("the target is not valid against its JSON Schema"),
    "fenced_target": _grave("the target is a code fence around a text that its format accepts"),
    "no_target": _grave("the row has no target, and other rows of the file have one"),
    "empty_target": _grave("the target is empty"),
    "empty_prompt": _grave("nothing is asked: the prompt is empty"),
    "ends_with_answer": _grave("the prompt ends with a turn of the assistant, not with a question"),
    "templated_prompt": _grave(
        "the prompt holds a chat template's markers, and would get a second"
    ),
    "lone_surrogate": _grave("half of a surrogate pair stands there, which no tokenizer takes"),
    "template_markers": _grave("the target holds a stop token or another marker of a template"),
    "prompt_in_two_splits": _grave(
        "the same prompt is in two splits, so one of them tells nothing"
    ),
    "near_duplicates": _grave("nearly the same prompt is in two splits"),
    "contradictory_targets": _grave("the same prompt has different answers"),
    "rejected_is_target": _grave("the rejected answer is the target, so neither is the better"),
    "cut_off": _grave("the row is longer than max_seq_length, so training leaves it out"),
    "system_in_one_split": _grave("one split has system prompts, and another has none"),
    "damaged_text": _grave("the target has characters of a wrong decoding, which the prompt lacks"),
    "invisible_characters": _grave("the target has invisible characters, which the prompt lacks"),
    "lookalike_letters": _grave("the target has a word of Latin and Cyrillic letters"),
    "html_entities": _grave("the target has HTML's escapes, which the prompt lacks"),
    "unfilled_template": _grave("the target has a placeholder of a text template"),
    "placeholder_value": _grave("the target has a placeholder for a value, which the prompt lacks"),
    "refusal": _grave("the target says that a language model does not answer"),
    "unscored": _note("the target could not be judged"),
    "empty_rejected": _note("the rejected answer is empty"),
    "unfilled_prompt": _note("the prompt has a placeholder of a text template"),
    "outer_space": _note("the target begins or ends with white space, which is then learned"),
    "duplicate_rows": _note("the same prompt with the same target stands there before"),
    "key_set_once": _note("the target's set of keys is that of no other row, and most share one"),
    "types_once": _note("a key's value has another type than in nearly all rows with these keys"),
    "key_order_mixed": _note("the keys have another order than in most rows with these keys"),
    "layout_mixed": _note("the target is laid out otherwise than most, and no prompt asks for it"),
    "line_ends_mixed": _note("the target's lines end otherwise than those of most"),
    "escapes_mixed": _note("letters are escaped as \\u.... here and written out elsewhere"),
    "normal_forms_mixed": _note("letters are decomposed (NFD) here and composed (NFC) elsewhere"),
    "float_digits": _note("a number has the digits of a rounding error"),
    "far_longer": _note("the target is far longer than the others"),
    "other_script": _note("the target is in a script that its prompt lacks, as few others are"),
    "system_in_some_rows": _note("few rows of the file have a system prompt, or few have none"),
    "other_system": _note("a system prompt of this split is not in train"),
}


class Place(msgspec.Struct):
    """Where something was found; spans count the characters of `text`."""

    file: str
    line: int
    id: str = ""
    text: str | None = None
    problems: tuple[Problem, ...] = ()
    evaluator: str = ""
    beside: str = ""
    """The other place that belongs to it, such as "dev.jsonl, line 3"."""


class Finding(msgspec.Struct):
    """What one check found."""

    check: str
    grave: bool
    count: int
    places: list[Place]
    """The first few."""
    labels: dict[str, int] = {}
    """For targets that fail: how often each label occurs."""
    allowed: bool = False

    @property
    def means(self) -> str:
        return CHECKS[self.check].means


class Report(msgspec.Struct):
    """All that was found, and what the rows are."""

    files: list[dict[str, Any]]
    findings: list[Finding]
    notes: list[str]
    """What was not checked, and why."""

    @property
    def stops(self) -> list[Finding]:
        """What is grave and was not allowed."""
        return [each for each in self.findings if each.grave and not each.allowed]
