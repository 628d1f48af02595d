"""`fmtharness eval --engine ray`: many rows answered and judged in shards, on a cluster.

    fmtharness eval --engine ray --data rows.jsonl --out shards
        shards/completions/part-00000.jsonl, shards/verdicts/part-00000.jsonl, ...

Memory does not depend on how many rows there are. The same command completes what is missing.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from fmtharness.harness.commands.arms import Arm, configs_of
from fmtharness.harness.commands.judges import judges_of
from fmtharness.harness.config import Config
from fmtharness.harness.contracts import Evaluator
from fmtharness.harness.dataset.files import are_json_lines
from fmtharness.harness.dataset.forms import FORMS, recognise
from fmtharness.harness.dataset.keys import overlooked
from fmtharness.harness.dataset.reader import EXAMPLE, Source, form_of
from fmtharness.harness.errors import DataError, UserError
from fmtharness.harness.files import digest, on_disk, shipped
from fmtharness.harness.progress import progress, say
from fmtharness.harness.records import Example, decode, numbered_lines
from fmtharness.harness.report.arms import Answers
from fmtharness.harness.requirements import loads_models, needs
from fmtharness.harness.run.completions import incidental
from fmtharness.harness.run.folder import held
from fmtharness.harness.run.provenance import made_by, model_inputs
from fmtharness.harness.run.ray_engine import on_ray
from fmtharness.harness.run.shard_folder import opened, summed
from fmtharness.harness.run.shards import Block, Job, cut, is_done, made, rows_in
from fmtharness.harness.run.sources import EXAMPLES, conditions
from fmtharness.harness.schemas import load_schema

SAMPLE = 1_000
"""How many rows decide which form all rows have, and which evaluators they imply."""
SHARD_ROWS = 500


def evaluate(
    arms: Sequence[Arm],
    *,
    config: Path | None,
    evaluators: Sequence[str],
    data: Path | None,
    model: str | None,
    num_prompts: int | None,
    max_new_tokens: int | None,
    overrides: Sequence[str],
    form: str | None,
    target_format: str | None,
    schema: str | None,
    out: Path | None,
    concurrency: int | None,
    ray_address: str | None,
    shard_rows: int | None,
) -> tuple[str, dict[str, Answers]]:
    """Answer and judge each row once, and return what the result was made with, and its sums.

    Raises UserError for what shards cannot hold: several arms, files of completions, rows that are
    not JSON Lines. A row that cannot be read or answered is unscored.
    """
    needs("--engine ray", "ray")
    if out is None:
        raise UserError("--engine ray writes shards into a folder: name it with --out")
    if len(arms) != 1 or arms[0].completions:
        raise UserError("--engine ray asks one model: give one --adapter or none, and no file")
    resolved = configs_of(arms, config, overrides, model, max_new_tokens)[arms[0].name]
    if resolved.eval.n > 1:
        raise UserError(
            f"--engine ray asks for one completion of a prompt, and [eval] n is {resolved.eval.n}; "
            f"leave n out, or --engine"
        )
    path = (data or shipped(EXAMPLES)).resolve()
    if path.is_file() and not are_json_lines(str(path)):
        raise UserError(f"{path}: --engine ray cuts JSON Lines into blocks; write the rows as such")
    held_schema = None if schema is None else load_schema(schema, "--schema")
    source = Source(str(path), form=form, format=target_format, schema=held_schema)
    limit = num_prompts or resolved.eval.num_prompts
    blocks, rows_digest = cut(path, shard_rows or SHARD_ROWS, limit)
    rows = sum(block.rows for block in blocks)
    if not rows:
        raise DataError(f"{path}: there is no Example in it")
    found_form = _form_in(source)
    if form is None and found_form != EXAMPLE:
        say(f"{path}: {rows:,} rows, read as {FORMS[found_form].title} ({found_form})")
    chosen = judges_of(evaluators, resolved, _sample(source, found_form, blocks), schema, path)
    job = _job(source, found_form, resolved, arms[0].adapter, chosen, out.resolve())
    shaped: dict[str, Any] = {
        "--data": digest([rows_digest, form, target_format, held_schema, rows]),
        "--shard-rows": str(shard_rows or SHARD_ROWS),
        **_shaping(resolved, arms[0].adapter),
    }
    judging = {each.name: digest(msgspec.to_builtins(made("evaluators", each))) for each in chosen}
    judging |= made_by(
        [("evaluators", each) for each in chosen], packages=["fmtharness.harness.judging"]
    )
    with opened(out, shaped, judging | {"[eval] timeout_s": str(resolved.eval.timeout_s)}):
        _work(job, blocks, rows, ray_address, concurrency)
        sums = summed(job, blocks, chosen)
    workers = "workers of Ray" if loads_models(resolved.backend) else None
    said = conditions(resolved, arms[0].adapter, rows, path, where=workers)
    return f"{said}; {len(blocks)} shards in {out}", {arms[0].name: Answers(sums, {})}


def _work(
    job: Job, blocks: Sequence[Block], rows: int, address: str | None, concurrency: int | None
) -> None:
    """Let workers process the blocks that have no finished shard."""
    left = [block for block in blocks if not is_done(job, block)]
    if not left:
        say(f"{job.out}: all {len(blocks)} shards are up to date")
        return
    todo = sum(block.rows for block in left)
    if todo < rows:
        say(f"{job.out}: {len(blocks) - len(left)} of {len(blocks)} shards are up to date")
    errors = unread = 0
    with progress(rows, "complete", unit="row", start=rows - todo) as bar:
        for done in on_ray(job, left, address=address, concurrency=concurrency):
            errors += done.errors
            unread += done.unread
            bar.note(errors=errors + unread)
            bar.advance(done.rows)
    if errors:
        say(f"{job.out}: {errors:,} rows have no answer; the same command asks again")
    if unread:
        say(f"{job.out}: {unread:,} rows cannot be read, and their Completions say why")


def _form_in(source: Source) -> str:
    """The form of the first row that has one, if no form is given."""
    try:
        return form_of(source)
    except DataError:
        if source.form is not None:
            raise
        for _, line in itertools.islice(numbered_lines(Path(source.name)), SAMPLE):
            with suppress(ValueError):
                raw: Any = decode(msgspec.json.Decoder(dict), line)
                if (form := recognise(raw)) and not overlooked(form, raw):
                    return form
        raise


def _sample(source: Source, form: str, blocks: Sequence[Block]) -> list[Example]:
    found: list[Example] = []
    for block in blocks:
        found += [row for row in rows_in(source, form, block) if isinstance(row, Example)]
        if len(found) >= SAMPLE:
            break
    if not found:
        raise DataError(f"{source.name}: there is no Example in its first rows")
    return found[:SAMPLE]


def _job(
    source: Source,
    form: str,
    config: Config,
    adapter: Path | None,
    evaluators: Sequence[Evaluator],
    out: Path,
) -> Job:
    model = config.model
    if (place := on_disk(model.name)) is not None:
        model = model.model_copy(update={"name": str(place.resolve())})
    return Job(
        source=source,
        form=form,
        backend=made("backends", config.backend),
        model=model.model_dump(mode="json", exclude_none=True),
        adapter=None if adapter is None else str(adapter.resolve()),
        evaluators=[made("evaluators", each) for each in evaluators],
        timeout_s=config.eval.timeout_s,
        out=str(out),
    )


def _shaping(config: Config, adapter: Path | None) -> dict[str, str]:
    """What shapes a Completion: the backend with its options, the model, the adapter."""
    backend: Any = config.backend
    options = backend.model_dump(mode="json", exclude=incidental(backend), exclude_none=True)
    return {
        "[eval]": digest({"backend": backend.name, **options}),
        **(model_inputs(config) if loads_models(backend) else {}),
        "adapter": digest(held(adapter)) if adapter else "",
        **made_by([("backends", backend)], packages=["fmtharness.harness.engine"]),
    }
