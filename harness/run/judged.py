"""The judging stages: an arm's completions of one file into Verdicts, and their sums.

judge_stage(run, "open/base", examples, evaluators, data)   verdicts/open/base.jsonl, and a Tally
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from fmtharness.harness.contracts import Evaluator
from fmtharness.harness.files import atomic_file, digest, file_digest
from fmtharness.harness.judging.tally import Tally, by_completion, tally
from fmtharness.harness.judging.verdicts import judge
from fmtharness.harness.judging.workers import dump_row
from fmtharness.harness.records import (
    Completion,
    Example,
    Verdict,
    encode,
    read_records,
    write_records,
)
from fmtharness.harness.run.folder import RunFolder
from fmtharness.harness.run.provenance import Maker, made_by


def judge_stage(
    run: RunFolder,
    name: str,
    examples: Sequence[Example],
    evaluators: Sequence[Evaluator],
    data: Path,
    *,
    n: int = 1,
    specs: object = None,
    dumps: bool = False,
) -> Tally:
    """Judge completions/NAME.jsonl where that is not up to date, and sum the Verdicts.

    `data` is the Examples' file, and `n` how many completions a prompt has. `dumps` writes the rows
    for reading that [eval] asks for.
    """
    path = run.verdicts(name)
    by_id = {example.id: example for example in examples}
    judges: list[Maker] = [("evaluators", each) for each in evaluators]
    if specs is None:
        specs = [f"{each.name} {each!r}" for each in evaluators]
    inputs = {
        "[eval] evaluators": digest(specs),
        "completions": file_digest(run.completions(name)),
        "prompts": digest(list(by_id)),
        "eval.jsonl": file_digest(data),
        **made_by(judges, packages=["fmtharness.harness", "fmtharness.harness.judging"]),
    }
    if not run.is_current(f"verdicts/{name}", inputs):
        run.begin(f"verdicts/{name}", inputs, [path])
        completions = read_records(run.completions(name), Completion)
        write_records(path, judge(evaluators, by_id, completions))
        run.record(f"verdicts/{name}", inputs, [path])
    if dumps and run.config.eval.dump_jsonl is not None:
        written = run.dump(name)
        inputs = {**inputs, "verdicts": file_digest(path), "dump_jsonl": written.name}
        if not run.is_current(f"dump/{name}", inputs):
            run.begin(f"dump/{name}", inputs, [written])
            dump(
                written,
                evaluators,
                by_id,
                read_records(run.completions(name), Completion),
                read_records(path, Verdict),
            )
            run.record(f"dump/{name}", inputs, [written])
    completions = read_records(run.completions(name), Completion)
    return tally(evaluators, read_records(path, Verdict), by_id, completions, n=n)


def dump(
    path: Path,
    evaluators: Sequence[Evaluator],
    examples: dict[str, Example],
    completions: Iterable[Completion],
    verdicts: Iterable[Verdict],
) -> None:
    """Write one row per completion for reading: prompt, target, text, and labels by evaluator.

    The verdicts stand in the completions' order.
    """
    with atomic_file(path) as temporary, temporary.open("wb") as out:
        for completion, judged in by_completion(evaluators, completions, verdicts):
            example = examples.get(completion.example_id)
            out.write(encode(dump_row(completion, example, judged)))
