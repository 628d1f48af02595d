"""`fmtharness eval`: judge a model on Examples, or completions that exist already.

{"text": "{\"a\": 1}"}     is a whole row of --completions; `id` or `example_id` is optional

Several arms are judged on the same Examples, one after the other.
"""

from __future__ import annotations

import gc
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import msgspec

from fmtharness.harness.commands.arms import Arm, configs_of
from fmtharness.harness.commands.consumers import Consumers, consumed
from fmtharness.harness.commands.judges import judges_of
from fmtharness.harness.commands.output import opened_as
from fmtharness.harness.commands.paths import KEPT, not_read
from fmtharness.harness.config import QUICK, Config
from fmtharness.harness.contracts import (
    Evaluator,
)
from fmtharness.harness.errors import UserError
from fmtharness.harness.files import atomic_file, on_disk, shipped
from fmtharness.harness.judging import limit
from fmtharness.harness.judging.rows import BLOCK_BYTES, count_lines, read_rows, samples_in
from fmtharness.harness.judging.tally import Tally
from fmtharness.harness.judging.workers import Judged, Work, judge_file
from fmtharness.harness.progress import progress, say
from fmtharness.harness.records import Example, decode
from fmtharness.harness.report.arms import Answers
from fmtharness.harness.requirements import loads_models
from fmtharness.harness.run.sources import (
    EXAMPLES,
    check_answers,
    completions_by,
    conditions,
    in_order,
    known_examples,
    sampled,
)
from fmtharness.harness.schemas import load_schema

BATCH = 5_000
"""How many rows are judged together with --num-prompts."""
BROKEN_SHOWN = 10
"""How many of a file's broken rows are reported one by one."""


def evaluate(
    arms: Sequence[Arm],
    *,
    config: Path | None,
    evaluators: Sequence[str],
    data: Path | None,
    model: str | None,
    num_prompts: int | None,
    max_new_tokens: int | None,
    dump_jsonl: Path | None,
    verdicts: Path | None,
    overrides: Sequence[str],
    form: str | None = None,
    target_format: str | None = None,
    schema: str | None = None,
    processes: int | None = None,
    consumers: bool = False,
) -> tuple[str, dict[str, Answers]]:
    """Judge, write what was asked for, and return what the result was made with, and each arm.

    With one arm, `passed` is empty. A broken row of completions is unscored. Raises UserError for
    options that exclude each other, and DataError for a broken row of `data` or if no completion
    answers one of the Examples; then nothing is written.
    """
    several = len(arms) > 1
    files = [arm for arm in arms if arm.completions]
    only_files = len(files) == len(arms)
    if only_files and (model or max_new_tokens):
        raise UserError("--completions loads no model: leave --model, --adapter and the like out")
    if data is None and (form or (target_format and not only_files)):
        raise UserError(f"--{'form' if form else 'format'} says how rows are read: name --data")
    configs = configs_of(arms, config, overrides, model, max_new_tokens)
    resolved = configs[arms[0].name]
    limit.limit(resolved.eval.timeout_s)
    not_read(
        _reads(arms, configs, config, data),
        [("--verdicts", verdicts), ("--dump-jsonl", dump_jsonl)],
    )
    wanted = num_prompts or resolved.eval.num_prompts
    examples: dict[str, Example] = {}
    if not only_files or (data is not None and several):
        most = num_prompts if only_files else wanted
        examples = _examples(data, form, target_format, schema, most)
    elif data is not None:
        examples = _examples(data, form, target_format, schema)
    elif target_format is not None:
        name, colon, options = target_format.partition(":")
        evaluators = [*evaluators, f"{name}_strict{colon}{options}"]
    chosen = judges_of(evaluators, resolved, [*examples.values()], schema, data)
    n = max(
        configs[arm.name].eval.n if arm.completions is None else samples_in(arm.completions)
        for arm in arms
    )
    work = Work(
        chosen,
        examples,
        verdicts=verdicts is not None or several,
        dump=dump_jsonl is not None or consumers,
        strangers=not (several and examples),
        n=n,
    )
    asked = data or (Path(EXAMPLES) if examples else None)
    found: dict[str, Answers] = {}
    with ExitStack() as stack:
        into = [
            stack.enter_context(stack.enter_context(atomic_file(path)).open("wb")) if path else None
            for path in (each and opened_as(each) for each in (verdicts, dump_jsonl))
        ]
        readers = stack.enter_context(Consumers(chosen, examples)) if consumers else None
        for arm in arms:
            first_rows = num_prompts if not (several and examples) else None
            if arm.completions is not None:
                judged = _in_file(arm.completions, work, first_rows, processes)
                judged = _answers(judged, arm.completions, work, asked)
                parts = _shown(judged, arm.completions)
            else:
                parts = _asked(arm, configs[arm.name], work)
                if loads_models(configs[arm.name].backend) and found:
                    gc.collect()  # a model must be gone before the next is loaded
            parts = consumed(parts, readers)
            answers = _summed(parts, chosen, into, arm.name if several else None, n)
            found[arm.name] = answers._replace(consumers=readers.next_arm() if readers else {})
    _tell_pairs(found)
    made = [
        f"completions {arm.completions}"
        if arm.completions
        else conditions(configs[arm.name], arm.adapter, len(examples), data or Path(EXAMPLES), n)
        for arm in arms
    ]
    if several:
        made = [f"{arm.name}: {said}" for arm, said in zip(arms, made, strict=True)]
    return "\n".join(made), found


def _reads(
    arms: Iterable[Arm], configs: Mapping[str, Config], config: Path | None, data: Path | None
) -> list[tuple[str, Path | None]]:
    """What is read, each with what the user calls it."""
    reads: list[tuple[str, Path | None]] = [
        ("CONFIG" if config else "the default config", config or shipped(QUICK))
    ]
    reads += [(arm.option, arm.completions) for arm in arms]
    reads.append(("--data" if data else "the Examples", data or shipped(EXAMPLES)))
    for arm in arms:
        if arm.adapter:
            reads.append((arm.option, arm.adapter))
            reads.append(("the config of the adapter's run", arm.adapter.parent / KEPT))
        reads.append(("the model", on_disk(configs[arm.name].model.name)))
    return reads


def _examples(
    data: Path | None,
    form: str | None,
    target_format: str | None,
    schema: str | None,
    most: int | None = None,
) -> dict[str, Example]:
    """The first rows as Examples by id; options for reading rows apply to --data only."""
    if data is None:
        return known_examples(None, most)
    held = None if schema is None else load_schema(schema, "--schema")
    return known_examples(data, most, form=form, target_format=target_format, schema=held)


def _asked(arm: Arm, config: Config, work: Work) -> Iterator[Judged]:
    """The model's answers to the Examples, judged one by one."""
    examples = sampled(work.examples.values(), config.eval.n)
    name = "sft" if arm.adapter else "base"
    asked = completions_by(config.backend, config.model, arm.adapter, examples, arm=name)
    return (work.judge([completion]) for completion in in_order(examples, asked))


def _in_file(path: Path, work: Work, most: int | None, processes: int | None) -> Iterator[Judged]:
    """The first rows of a file, or all, judged together."""
    if most is None:
        yield from judge_file(path, work, processes=processes)
        return
    rows = itertools.islice(read_rows(path), most)
    while batch := list(itertools.islice(rows, BATCH)):
        yield work.judge(batch)


class _Passed(msgspec.Struct):
    """What a pair needs of a row of --verdicts."""

    id: str
    evaluator: str
    passed: bool | None


def _summed(
    parts: Iterable[Judged],
    evaluators: Sequence[Evaluator],
    into: Sequence[BinaryIO | None],
    arm: str | None,
    n: int,
) -> Answers:
    """The sums of all parts, which are written on the way; with an `arm`, each row carries it.

    Of several answers to an Example that of the lowest `sample` that was scored counts in pairs.
    """
    sums = Tally(evaluators, n=n)
    passed: dict[str, dict[str, bool]] = defaultdict(dict)
    paired: dict[tuple[str, str], int] = {}
    again: set[str] = set()
    decoder = msgspec.json.Decoder(_Passed)
    carried = b'{"arm":' + msgspec.json.encode(arm) + b"," if arm is not None else b""
    for part in parts:
        sums.merge(part.tally)
        for file, lines in zip(into, (part.verdicts, part.dump), strict=True):
            if file and arm is None:
                file.writelines(lines)
            elif file:
                file.writelines(carried + line[1:] for line in lines)
        if arm is None:
            continue
        for line, sample in zip(part.verdicts, part.samples, strict=True):
            found = decode(decoder, line)
            if found.passed is None:
                continue
            known = paired.get((found.evaluator, found.id))
            if known is not None:
                again.add(found.id)
            if known is None or sample < known:
                paired[found.evaluator, found.id] = sample
                passed[found.evaluator][found.id] = found.passed
    if again and n == 1:
        say(f"note: {len(again)} of {arm}'s Examples have several answers; the first is paired")
    return Answers(sums, passed)


def _tell_pairs(arms: Mapping[str, Answers]) -> None:
    """Say so where an arm and the first have not answered the same Examples."""
    base, *others = arms
    for name in others:
        before, after = arms[base].scored, arms[name].scored
        if before.isdisjoint(after):
            say(f"note: no Example has scored answers of both {base} and {name}: nothing is paired")
        elif before != after:
            say(
                f"note: {len(before & after)} of {len(before | after)} Examples have scored "
                f"answers of both {base} and {name}, and only these are paired"
            )


def _answers(
    parts: Iterable[Judged], path: Path, work: Work, data: Path | None
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
    examples = work.examples
    fits = data is None or bool(answers) or not read
    check_answers(path, last_id if rows else None, examples, data, fits=fits)
    if data is None:
        return
    if missing := len(examples) - len(answers):
        say(f"note: {missing} of {len(examples)} Examples of {data} have no answer in {path}")
    if strangers := read - answers.total():
        said = (
            "1 completion of {} answers"
            if strangers == 1
            else f"{strangers:,} completions of {{}} answer"
        )
        left_out = "" if work.strangers else f", and {'is' if strangers == 1 else 'are'} left out"
        say(f"note: {said.format(path)} none of them{left_out}")
    if work.n == 1 and (several := sum(count > 1 for count in answers.values())):
        have = "1 Example has" if several == 1 else f"{several:,} Examples have"
        say(f"note: {have} several answers in {path}; the intervals are too narrow")


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
