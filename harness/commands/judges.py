"""Which evaluators `eval` judges with: those that are named, else those that the Examples imply.

judges_of([], config, examples, None, Path("rows.jsonl"))   for bare prompts that ask for JSON
-> [JsonStrict(), DuplicateJsonObjects(), Extras()]
note: json_match is left out, since no row of rows.jsonl has a target
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fmtharness.harness.config import Config, implied
from fmtharness.harness.contracts import (
    Evaluator,
    applies,
    formats_of,
    judges,
    lacks,
    needs_example,
    needs_value,
)
from fmtharness.harness.errors import ConfigError, UserError
from fmtharness.harness.formats import DEFAULT_FORMAT
from fmtharness.harness.options import build, check
from fmtharness.harness.plugins import component
from fmtharness.harness.progress import say
from fmtharness.harness.records import NO_FORMAT, UNREAD, Example
from fmtharness.harness.schemas import ANY_JSON
from fmtharness.harness.schemas import SCHEMA_EVALUATOR as SCHEMA


def judges_of(
    specs: Sequence[str],
    config: Config,
    examples: Sequence[Example],
    schema: str | None,
    data: Path | None,
) -> Sequence[Evaluator]:
    """The evaluators that are asked for, without those that no Example has a value for.

    Says which they are and why. Raises UserError if none is left.
    """
    chosen = [*_asked_for(specs, config, examples, data, schema)]
    if schema is not None:
        if not (specs or config.names_evaluators or examples):
            any_root = build("evaluators", ANY_JSON)
            chosen = [any_root if each.name == any_root.name else each for each in chosen]
        chosen = _with_schema(chosen, schema)
        judge = next(each for each in chosen if each.name == SCHEMA)
        if not _can_judge(judge, [example.format for example in examples]):
            raise UserError("--schema is for JSON, and no Example asks for it; leave it out")
    free = sum(example.format == NO_FORMAT for example in examples)
    if free and not any(_can_judge(each, [NO_FORMAT]) for each in chosen):
        say(f"note: {free} of {len(examples)} rows ask for no format, and are not judged")
    left = []
    for each in chosen:
        mine = [example for example in examples if judges(each, example.format)]
        lacking = Counter(lacks(each, example) for example in mine)
        del lacking[""]
        if lacking:
            say(f"note: {_left_out(each.name, lacking, len(mine), data)}")
        if not lacking or lacking.total() < len(mine):
            left.append(each)
    if not left:
        name = chosen[0].name
        if needs_value(chosen[0]):
            raise UserError(
                f"evaluator {name!r} compares with targets, and {data} has none that can be read; "
                f"name another evaluator"
            )
        needed = lacks(chosen[0], examples[0])
        raise UserError(
            f"evaluator {name!r} can judge no row of {data}, since none has a {needed}; name "
            f"another evaluator"
        )
    return left


def _left_out(evaluator: str, lacking: Counter[str], rows: int, data: Path | None) -> str:
    """Which rows the evaluator leaves out, and why."""
    if lacking.total() == rows:
        which = UNREAD if UNREAD in lacking else next(iter(lacking))
        return f"{evaluator} is left out, since no row of {data} has a {which}"
    reasons = {what: f"no {what}" for what in lacking} | {
        UNREAD: "a target that its format cannot read"
    }
    said = [f"{count} of {rows} rows have {reasons[what]}" for what, count in lacking.items()]
    return f"{' and '.join(said)}, which {evaluator} leaves out"


def _asked_for(
    specs: Sequence[str],
    config: Config,
    examples: Sequence[Example],
    data: Path | None,
    schema: str | None,
) -> Sequence[Evaluator]:
    """The evaluators named, here or in the config; else those that the Examples' formats imply.

    Raises UserError for a named evaluator that has no Example to judge or to compare with, if the
    Examples ask for no format and no evaluator is named, and if a config names several formats and
    nothing tells which completion is in which.
    """
    formats = sorted({example.format for example in examples})
    due = [name for name in formats if name != NO_FORMAT]
    if formats and not specs and not config.names_evaluators:
        if not due:
            raise UserError(
                f"no row of {data} asks for a format; name it with --format, or an evaluator with "
                f"--evaluator"
            )
        found = [build("evaluators", spec) for spec in implied(due)]
        own = build("evaluators", SCHEMA)
        schemed = any(SCHEMA in each.tags and applies(own, each) for each in examples)
        if schemed and all(each.name != SCHEMA for each in found):
            found.append(own)
        return found
    chosen: Sequence[Evaluator] = [build("evaluators", spec) for spec in specs]
    if not specs:
        asked = sorted(set(getattr(config.generator, "formats", ())))
        if not formats and len(asked) > 1:
            raise UserError(
                f"the config asks for {', '.join(asked)}: name the Examples with --data, so that "
                f"each completion is judged by its own format, or evaluators with --evaluator"
            )
        chosen = [each for each in config.evaluators if _can_judge(each, formats)]
        if not chosen and config.names_evaluators:
            raise UserError("the config's evaluators compare with Examples: name them with --data")
        for name in due:
            if not any(_can_judge(each, [name]) for each in chosen):
                say(f"note: no evaluator of the config judges the Examples in {name}")
    for each in chosen:
        if not formats and each.name == SCHEMA and (schema is not None or not needs_example(each)):
            continue
        if not formats and each.name == SCHEMA:
            raise UserError(
                f"evaluator {SCHEMA!r} has no schema: name one with --schema, or rows that have "
                f"one with --data"
            )
        if not formats and needs_example(each):
            raise UserError(
                f"evaluator {each.name!r} compares with Examples: name them with --data"
            )
        if not _can_judge(each, formats):
            judged = ", ".join(sorted(formats_of(each) or ()))
            raise UserError(
                f"evaluator {each.name!r} judges {judged}, and the Examples ask for "
                f"{', '.join(formats)}; name another evaluator, or other Examples with --data"
            )
    return chosen or [build("evaluators", spec) for spec in implied(formats or [DEFAULT_FORMAT])]


def _can_judge(evaluator: Evaluator, formats: Sequence[str]) -> bool:
    """Whether it judges some of the Examples of these formats, or no format is known."""
    if not formats:
        return not needs_example(evaluator)
    return any(judges(evaluator, name) for name in formats)


def _with_schema(chosen: Sequence[Evaluator], spec: str) -> list[Evaluator]:
    """The evaluators and json_schema, which takes this schema of --schema.

    Raises ConfigError if the schema cannot be used.
    """
    found: list[Any] = [*chosen]
    place = next((at for at, each in enumerate(found) if each.name == SCHEMA), len(found))
    given = found[place : place + 1]
    own = [each.model_dump(mode="json", include=each.model_fields_set) for each in given]
    table = {**(own[0] if own else {}), "schema": spec}
    evaluator, faults = check(component("evaluators", SCHEMA), table, "--schema")
    if evaluator is None:
        raise ConfigError("\n".join(faults))
    found[place : place + 1] = [evaluator]
    return found
