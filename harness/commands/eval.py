"""`fmtharness eval`: judge a model on Examples, or completions that exist already.

{"text": "{\"a\": 1}"}     is a whole row of --completions; `id` or `example_id` is optional
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from fmtharness.harness.commands.output import opened_as
from fmtharness.harness.commands.paths import KEPT, not_read
from fmtharness.harness.config import QUICK, Config, implied
from fmtharness.harness.contracts import Evaluator, formats_of, needs_example
from fmtharness.harness.errors import UserError
from fmtharness.harness.files import atomic_file, on_disk, shipped
from fmtharness.harness.formats import DEFAULT_FORMAT
from fmtharness.harness.judging import limit
from fmtharness.harness.judging.rows import BLOCK_BYTES, count_lines, read_rows
from fmtharness.harness.judging.tally import Tally
from fmtharness.harness.judging.workers import Judged, Work, judge_file
from fmtharness.harness.options import build
from fmtharness.harness.progress import progress, say
from fmtharness.harness.records import Example
from fmtharness.harness.requirements import needs_for_backend
from fmtharness.harness.run.sources import (
    EXAMPLES,
    check_answers,
    completions_by,
    conditions,
    config_for,
    known_examples,
)

BATCH = 5_000
"""How many rows are judged together with --num-prompts."""
BROKEN_SHOWN = 10
"""How many of a file's broken rows are reported one by one."""


def evaluate(
    *,
    config: Path | None,
    evaluators: Sequence[str],
    completions: Path | None,
    data: Path | None,
    model: str | None,
    adapter: Path | None,
    num_prompts: int | None,
    max_new_tokens: int | None,
    dump_jsonl: Path | None,
    verdicts: Path | None,
    overrides: Sequence[str],
    processes: int | None = None,
) -> tuple[str, Tally]:
    """Judge, write what was asked for, and return what the result was made with, and the sums.

    A broken row of `completions` is unscored. Raises UserError for options that exclude each other,
    and DataError for a broken line of `data` or if no completion answers one of the Examples; then
    nothing is written.
    """
    if completions is not None and (model or adapter or max_new_tokens):
        raise UserError("--completions loads no model: leave --model, --adapter and the like out")
    resolved = config_for(config, adapter, overrides, model=model)
    limit.limit(resolved.eval.timeout_s)
    if max_new_tokens is not None:
        resolved = _cut_off(resolved, max_new_tokens)
    if completions is None:
        needs_for_backend(resolved.backend, resolved.model.name, adapter)
    not_read(
        [
            ("CONFIG" if config else "the default config", config or shipped(QUICK)),
            ("--completions", completions),
            ("--data" if data else "the Examples", data or shipped(EXAMPLES)),
            ("--adapter", adapter),
            ("the config of the adapter's run", adapter.parent / KEPT if adapter else None),
            ("the model", on_disk(resolved.model.name)),
        ],
        [("--verdicts", verdicts), ("--dump-jsonl", dump_jsonl)],
    )
    wanted = num_prompts or resolved.eval.num_prompts
    examples: dict[str, Example] = {}
    if completions is None:
        examples = known_examples(data, wanted)
    elif data is not None:
        examples = known_examples(data)
    chosen = _chosen(evaluators, resolved, examples.values())
    parts: Iterator[Judged]
    if completions is not None:
        work = Work(chosen, examples, verdicts=verdicts is not None, dump=dump_jsonl is not None)
        if num_prompts:
            rows = itertools.islice(read_rows(completions), num_prompts)
            batches = iter(lambda: list(itertools.islice(rows, BATCH)), [])
            parts = (work.judge(batch) for batch in batches)
        else:
            parts = judge_file(completions, work, processes=processes)
        parts = _shown(_answers(parts, completions, examples, data), completions)
    else:
        work = Work(chosen, examples, verdicts=verdicts is not None, dump=dump_jsonl is not None)
        arm = "sft" if adapter else "base"
        asked = completions_by(
            resolved.backend, resolved.model, adapter, [*examples.values()], arm=arm
        )
        parts = (work.judge([completion]) for completion in asked)
    sums = _written(chosen, parts, verdicts, dump_jsonl)
    if completions is not None:
        return f"completions {completions}", sums
    return conditions(resolved, adapter, len(examples), data or Path(EXAMPLES)), sums


def _cut_off(config: Config, max_new_tokens: int) -> Config:
    backend: Any = config.backend
    if "max_new_tokens" not in type(backend).model_fields:
        raise UserError(f"backend {backend.name!r} has no max_new_tokens")
    cut = backend.model_copy(update={"max_new_tokens": max_new_tokens})
    return dataclasses.replace(config, backend=cut)


def _chosen(
    specs: Sequence[str], config: Config, examples: Iterable[Example]
) -> Sequence[Evaluator]:
    """The evaluators named, here or in the config; else those that the Examples' formats imply.

    Raises UserError for a named evaluator that has no Example to judge or to compare with, and if
    a config names several formats and nothing tells which completion is in which.
    """
    formats = sorted({example.format for example in examples})
    if formats and not specs and not config.names_evaluators:
        return [build("evaluators", spec) for spec in implied(formats)]
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
        for name in formats:
            if not any(_can_judge(each, [name]) for each in chosen):
                say(f"note: no evaluator of the config judges the Examples in {name}")
    for each in chosen:
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
    judged = formats_of(evaluator)
    return judged is None or not judged.isdisjoint(formats)


def _answers(
    parts: Iterable[Judged],
    path: Path,
    examples: Mapping[str, Example],
    data: Path | None,
) -> Iterator[Judged]:
    """The same parts; a DataError after the last if there is no row, or none fits."""
    rows, read, last_id = 0, 0, ""
    answers: Counter[str] = Counter()
    for part in parts:
        rows += part.rows
        read += part.rows - len(part.broken)
        answers.update(part.answers)
        last_id = part.last_id or last_id
        yield part
    fits = data is None or bool(answers) or not read
    check_answers(path, last_id if rows else None, examples, data, fits=fits)
    if data is None:
        return
    if missing := len(examples) - len(answers):
        say(f"note: {missing} of {len(examples)} Examples of {data} have no answer in {path}")
    if strangers := read - answers.total():
        say(f"note: {strangers} completions of {path} answer none of them")
    if several := sum(count > 1 for count in answers.values()):
        say(f"note: {several} Examples have several answers; their intervals are too narrow")


def _shown(parts: Iterable[Judged], path: Path) -> Iterator[Judged]:
    """The same parts; progress and the first broken rows go to standard error."""
    broken = 0
    with ExitStack() as stack:
        bar = None
        for part in parts:
            for row in part.broken[: max(0, BROKEN_SHOWN - broken)]:
                say(f"{path}, line {row.line}: not a completion: {row.reason}")
            broken += len(part.broken)
            if bar is None and path.stat().st_size > BLOCK_BYTES:
                total = count_lines(path)
                bar = stack.enter_context(progress(total, "judge", unit="line"))
            if bar is not None:
                bar.advance(part.lines or part.rows)
            yield part
    if broken > BROKEN_SHOWN:
        say(f"{path}: {broken} broken rows in all")


def _written(
    evaluators: Sequence[Evaluator],
    parts: Iterable[Judged],
    verdicts: Path | None,
    dump_jsonl: Path | None,
) -> Tally:
    """The sums of all parts; the files appear once all of their lines are written."""
    sums = Tally(evaluators)
    with ExitStack() as stack:
        into = [
            stack.enter_context(stack.enter_context(atomic_file(path)).open("wb")) if path else None
            for path in (each and opened_as(each) for each in (verdicts, dump_jsonl))
        ]
        for part in parts:
            sums.merge(part.tally)
            for file, lines in zip(into, (part.verdicts, part.dump), strict=True):
                if file:
                    file.writelines(lines)
    return sums
