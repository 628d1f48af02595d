"""`fmtharness eval`: judge a model on Examples, or completions that exist already.

{"text": "{\"a\": 1}"}     is enough of a row for --completions; `id` or `example_id` is optional
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from harness.config import Config, ModelOptions, load_config
from harness.contracts import Evaluator
from harness.errors import DataError, UserError
from harness.judging import Tally, judge
from harness.options import build
from harness.pipeline import dump
from harness.records import (
    Completion,
    Example,
    FinishReason,
    Verdict,
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

    Raises UserError for options that exclude each other, and DataError for a file's broken line
    before anything is written.
    """
    if completions is not None and (model or adapter or max_new_tokens):
        raise UserError("--completions loads no model: leave --model, --adapter and the like out")
    resolved = _config(config, adapter, overrides)
    chosen = [build("evaluators", spec) for spec in evaluators]
    if not chosen:
        chosen = list(resolved.evaluators)
        if completions is not None and data is None:
            chosen = [e for e in chosen if not getattr(e, "needs_example", False)]
    elif completions is not None and data is None:
        for evaluator in chosen:
            if getattr(evaluator, "needs_example", False):
                raise UserError(
                    f"evaluator {evaluator.name!r} compares with Examples: name them with --data"
                )
    judged: Iterator[Completion]
    if completions is not None:
        examples = {e.id: e for e in read_records(data, Example)} if data else {}
        judged = iter(itertools.islice(read_completions(completions), num_prompts))
    else:
        asked = list(itertools.islice(_examples(data), num_prompts))
        if not asked:
            raise DataError(f"{data}: there is no Example in it")
        examples = {e.id: e for e in asked}
        judged = _complete(resolved, asked, model, adapter, max_new_tokens)
    return _judged(chosen, examples, judged, verdicts, dump_jsonl)


def _config(path: Path | None, adapter: Path | None, overrides: Sequence[str]) -> Config:
    """The given config, else the one of the run that the adapter lies in, else the defaults."""
    if path is None and adapter is not None and (adapter.parent / "config.toml").is_file():
        path = adapter.parent / "config.toml"
    return load_config(path, overrides=overrides, trains=path is not None)


def _examples(data: Path | None) -> Iterator[Example]:
    """The Examples of a file; the committed ones without one, made anew where those are absent."""
    if data is not None:
        return read_records(data, Example)
    if (EXAMPLES / "eval.jsonl").is_file():
        return read_records(EXAMPLES / "eval.jsonl", Example)
    made = load_config()
    return iter(made.generator.generate("eval", 32, Random(made.seed)))


def read_completions(path: Path) -> Iterator[Completion]:
    """Yield a file's completions; a row without an id is called by its line number.

    Raises DataError for the first broken row, with its line number.
    """
    decoder = msgspec.json.Decoder(Row)
    for number, line in numbered_lines(path):
        try:
            row = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
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

    def pass_on() -> Iterator[Completion]:
        for completion in completions:
            if dump_jsonl is not None:
                kept.append(completion)
            yield completion

    def counted() -> Iterator[Verdict]:
        for verdict in judge(evaluators, examples, pass_on()):
            sums.add(verdict)
            if dump_jsonl is not None:
                written.append(verdict)
            yield verdict

    if verdicts is not None:
        write_records(verdicts, counted())
    else:
        for _ in counted():
            pass
    if dump_jsonl is not None:
        dump(dump_jsonl, examples, kept, written)
    return sums
