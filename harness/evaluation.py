"""`fmtharness eval`: judge a model on Examples, or completions that exist already.

{"text": "{\"a\": 1}"}     is enough of a row for --completions; `id` or `example_id` is optional
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from harness.config import Config, ModelOptions, load_config
from harness.contracts import Evaluator, needs_example
from harness.errors import DataError, UserError
from harness.judging import Tally, judge
from harness.options import build
from harness.pipeline import dump
from harness.records import (
    Completion,
    Example,
    FinishReason,
    Verdict,
    decode,
    numbered_lines,
    read_records,
    write_records,
)

EXAMPLES = Path(__file__).parents[1] / "data" / "examples"


class Row(msgspec.Struct):
    """A line of --completions; other keys are left alone."""

    text: str
    id: str | int | None = None
    example_id: str | int | None = None
    finish_reason: FinishReason | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    arm: str = "replay"


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
) -> Tally:
    """Judge, write what was asked for, and return the sums.

    Raises UserError for options that exclude each other, and DataError for a file's broken line,
    and where no completion is an answer to one of the Examples; nothing is written then.
    """
    if completions is not None and (model or adapter or max_new_tokens):
        raise UserError("--completions loads no model: leave --model, --adapter and the like out")
    resolved = _config(config, adapter, overrides)
    chosen = [build("evaluators", spec) for spec in evaluators]
    if not chosen:
        chosen = list(resolved.evaluators)
        if completions is not None and data is None:
            chosen = [e for e in chosen if not needs_example(e)]
    elif completions is not None and data is None:
        for evaluator in chosen:
            if needs_example(evaluator):
                raise UserError(
                    f"evaluator {evaluator.name!r} compares with Examples: name them with --data"
                )
    judged: Iterator[Completion]
    if completions is not None:
        examples = _by_id(read_records(data, Example), data) if data else {}
        rows = itertools.islice(read_completions(completions), num_prompts)
        judged = _answers(rows, completions, examples, data)
    else:
        wanted = num_prompts or resolved.eval.num_prompts
        examples = _by_id(itertools.islice(_examples(data), wanted), data)
        asked = list(examples.values())
        judged = _complete(resolved, asked, model, adapter, max_new_tokens)
    return _judged(chosen, examples, judged, verdicts, dump_jsonl)


def _config(path: Path | None, adapter: Path | None, overrides: Sequence[str]) -> Config:
    """The given config, else the one of the run that the adapter lies in, else the defaults."""
    if path is None and adapter is not None and (adapter.parent / "config.toml").is_file():
        path = adapter.parent / "config.toml"
    return load_config(path, overrides=overrides, trains=path is not None)


def _examples(data: Path | None) -> Iterator[Example]:
    """The Examples of a file, or the committed ones."""
    return read_records(data or EXAMPLES / "eval.jsonl", Example)


def _by_id(examples: Iterable[Example], path: Path | None) -> dict[str, Example]:
    known: dict[str, Example] = {}
    for example in examples:
        if example.id in known:
            raise DataError(f"{path}: two Examples have the id {example.id!r}; ids must be unique")
        known[example.id] = example
    if not known:
        raise DataError(f"{path}: there is no Example in it")
    return known


def _answers(
    completions: Iterable[Completion],
    path: Path,
    examples: Mapping[str, Example],
    data: Path | None,
) -> Iterator[Completion]:
    """The same completions; a DataError after the last where there is none, or none fits."""
    last, fits = None, data is None
    for last in completions:
        fits = fits or last.example_id in examples
        yield last
    if last is None:
        raise DataError(f"{path}: there is no completion in it")
    if not fits:
        raise DataError(
            f"{path}: no row's id ({last.example_id!r}, ...) is an Example's id in {data} "
            f"({next(iter(examples))!r}, ...); a row without id or example_id has its line number"
        )


def read_completions(path: Path) -> Iterator[Completion]:
    """Yield a file's completions; a row without an id is called by its line number.

    Raises DataError for the first broken row, with its line number.
    """
    decoder = msgspec.json.Decoder(Row)
    for number, line in numbered_lines(path):
        try:
            row = decode(decoder, line)
        except ValueError as error:
            raise DataError(
                f"{path}, line {number}: not a completion: {error}; a row needs at least "
                f'{{"text": "..."}}'
            ) from error
        named = row.example_id if row.example_id is not None else row.id
        yield Completion(
            example_id=str(number if named is None else named),
            text=row.text,
            finish_reason=row.finish_reason,
            prompt_tokens=row.prompt_tokens,
            completion_tokens=row.completion_tokens,
            arm=row.arm,
        )


def _complete(
    config: Config,
    examples: Sequence[Example],
    model: str | None,
    adapter: Path | None,
    max_new_tokens: int | None,
) -> Iterator[Completion]:
    options: ModelOptions = config.model
    if model is not None:
        options = options.model_copy(update={"name": model})
    backend: Any = config.backend
    if max_new_tokens is not None:
        if "max_new_tokens" not in type(backend).model_fields:
            raise UserError(f"backend {backend.name!r} has no max_new_tokens")
        backend = backend.model_copy(update={"max_new_tokens": max_new_tokens})
    return iter(backend.complete(examples, options, adapter))


def _judged(
    evaluators: Sequence[Evaluator],
    examples: dict[str, Example],
    completions: Iterator[Completion],
    verdicts: Path | None,
    dump_jsonl: Path | None,
) -> Tally:
    sums = Tally(evaluators)
    kept: list[Completion] = []
    written: list[Verdict] = []

    def counted() -> Iterator[Verdict]:
        for completion in completions:
            if dump_jsonl is not None:
                kept.append(completion)
            for verdict in judge(evaluators, examples, [completion]):
                sums.add(verdict, examples.get(completion.example_id), completion)
                if dump_jsonl is not None:
                    written.append(verdict)
                yield verdict

    if verdicts is not None:
        write_records(verdicts, counted())
    else:
        for _ in counted():
            pass
    if dump_jsonl is not None:
        dump(dump_jsonl, examples, kept, written, evaluators=len(evaluators))
    return sums
