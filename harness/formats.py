"""What the core derives from a Format: its evaluators, and the Format as one Example asks for it.

strict_evaluator(JsonFormat)  ->  JsonStrict, which passes what the Format parses whole
match_evaluator(JsonFormat)   ->  JsonMatch, which compares the value with the Example's
for_value(RegexFormat(), {"city": "Oslo"})  ->  RegexFormat(pattern="city: (?P<city>.+)")
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from pydantic import ValidationError

from fmtharness.harness.contracts import Format, Rate
from fmtharness.harness.matching import correct, differences, leaves
from fmtharness.harness.records import Completion, Example, Problem, Verdict

DEFAULT_FORMAT = "json"
"""The default format to ask for and to check a text against."""

MATCH_RATES = (
    Rate("exact_match_rate", "passed"),
    Rate("field_precision", "fields_correct", "fields_predicted"),
    Rate("field_recall", "fields_correct", "fields_expected"),
)


class Consumer(NamedTuple):
    """A real reader of a format, which `eval --consumers` asks whether it takes each text.

    In `command` and `build`, `{driver}` is the driver's path, and `{program}` what `build` makes.
    The driver's protocol is in docs/design/consumers.md.
    """

    name: str
    """As people call it: `JavaScript JSON.parse`."""
    command: tuple[str, ...]
    driver: Path
    """A script, or the source that is built: a file, or a folder that is copied for it."""
    install: str
    """How it is installed, as a command or a sentence."""
    build: tuple[str, ...] = ()
    by_line: bool = False
    """Whether it is given each line by itself, as a reader of JSON Lines is."""
    comparable: bool = True
    """Whether it makes the same values as the Format's `parse`, and not just as other readers."""


def title(target: Format | type[Format]) -> str:
    """The Format's name as people say it: JSON, tool call."""
    return with_article(target).removeprefix("a ").removeprefix("an ")


def with_article(target: Format | type[Format]) -> str:
    """The name with its article, for a sentence that asks for one: JSON, a tool call."""
    said: str | None = getattr(target, "title", None)
    words = target.name.split("_")
    return said or (words[0].upper() if len(words) == 1 else " ".join(words))


def labels_of(target: Format | type[Format]) -> Mapping[str, str]:
    """The meaning of each label, if the Format gives one."""
    labels: Mapping[str, str] = getattr(target, "labels", {})
    return labels


def also_judged_by(target: Format | type[Format]) -> tuple[str, ...]:
    """The default evaluators of a Format's Completions, in order."""
    more: tuple[str, ...] = getattr(target, "evaluators", ())
    return (f"{target.name}_strict", *more, f"{target.name}_match")


def for_value(target: Format, value: Any) -> Format:
    """The Format with the options that an Example of this value sets; most set none.

    Raises ValueError for a value that it cannot hold.
    """
    bind = getattr(target, "for_value", None)
    bound: Format = bind(value) if bind else target
    return bound


def options_of(target: Any) -> dict[str, Any]:
    """The options that differ from the Format's defaults, as plain data for an Example."""
    options: dict[str, Any] = target.model_dump(mode="json", exclude_defaults=True)
    return options


def for_example(judge: Any, example: Example | None) -> Any:
    """A Format, or an evaluator derived from one, with the options that the Example sets.

    Options set on the judge itself win. Raises ValueError if the options do not fit.
    """
    if example is None or not example.format_options:
        return judge
    own = judge.model_dump(mode="json", include=judge.model_fields_set)
    kind: Any = type(judge)
    return _built(kind, json.dumps(example.format_options | own, sort_keys=True))


@functools.lru_cache(maxsize=1024)
def _built(kind: Any, options: str) -> Any:
    try:
        return kind.model_validate_json(options)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ValueError(f"the Example's format_options {options}: {key}: {first['msg']}") from None


def strict_evaluator(format_class: Any) -> Any:
    """The evaluator `<format>_strict`: a Completion passes if the Format parses all of it.

    It takes the Format's own options.
    """

    def evaluate(self: Any, example: Example | None, completion: Completion) -> Verdict:
        problems = for_example(self, example).parse(completion.text).problems
        if not problems:
            return Verdict(id=completion.example_id, evaluator=self.name, passed=True)
        return Verdict(
            id=completion.example_id,
            evaluator=self.name,
            passed=False,
            labels=tuple(dict.fromkeys([problem.label for problem in problems])),
            problems=problems,
        )

    return _derived(
        format_class,
        "strict",
        f"Passes a completion that is strict {title(format_class)} and nothing else.",
        metric="format_success_rate",
        evaluate=evaluate,
    )


def match_evaluator(format_class: Any) -> Any:
    """The evaluator `<format>_match`: a Completion passes if its value equals the Example's.

    A text that the Format rejects counts as a miss: it predicts no field, whatever it contains.
    """
    paired = getattr(format_class, "paired", None)

    def evaluate(self: Any, example: Example | None, completion: Completion) -> Verdict:
        if example is None:
            raise ValueError(f"{self.name} needs the Example that the completion answers")
        parsed = for_example(self, example).parse(completion.text)
        wanted, given = example.value, parsed.value
        if paired and parsed.ok:
            wanted, given = paired(self, example, given)
        expected = leaves(wanted)
        predicted = leaves(given) if parsed.ok else {}
        right = correct(predicted, expected)
        problem = None
        if not parsed.ok:
            problem = (
                "not_strict",
                f"the text is not strict {title(format_class)}, so it predicts no field",
            )
        elif not right == len(expected) == len(predicted):
            problem = (
                "wrong_value",
                f"{right} of {len(expected)} fields are right: {differences(predicted, expected)}",
            )
        problems = (Problem(*problem, 0, len(completion.text)),) if problem else ()
        return Verdict(
            id=completion.example_id,
            evaluator=self.name,
            passed=not problems,
            labels=tuple(found.label for found in problems),
            problems=problems,
            counts={
                "fields_expected": len(expected),
                "fields_predicted": len(predicted),
                "fields_correct": right,
            },
        )

    return _derived(
        format_class,
        "match",
        f"Passes a completion whose {title(format_class)} value equals the Example's.",
        metric="exact_match_rate",
        evaluate=evaluate,
        rates=MATCH_RATES,
        needs_example=True,
        needs_value=True,
    )


def _derived(format_class: Any, suffix: str, doc: str, **members: Any) -> Any:
    """A subclass of the Format that is an evaluator: the Format's options are its options."""
    name = f"{format_class.name}_{suffix}"
    constants = {"name", "formats", "evaluators", *members} - {"evaluate"}
    return type(
        "".join(part.title() for part in name.split("_")),
        (format_class,),
        {
            "__module__": format_class.__module__,
            "__doc__": doc,
            "__annotations__": dict.fromkeys(constants, ClassVar[Any]),
            # The options are inherited with their descriptions; looking for more takes a while.
            "model_config": {"use_attribute_docstrings": False},
            "name": name,
            "formats": frozenset({format_class.name}),
            "evaluators": (),
            **members,
        },
    )
