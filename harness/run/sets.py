"""The Examples besides those of [data]: evaluation sets, and the prompts of retention.

write_sets(run)                     data/open/eval.jsonl, data/retention/{dev,eval}.jsonl
set_examples(run, "open", "eval")   the Examples that the arms answer

Each set is a stage of its own. Its dev half is written only where trainings look at it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from fmtharness.harness.config import ALL, EvalSet
from fmtharness.harness.contracts import Evaluator, Split
from fmtharness.harness.dataset.reader import Source, examples, normalised
from fmtharness.harness.errors import DataError
from fmtharness.harness.files import digest, file_digest, shipped
from fmtharness.harness.progress import say
from fmtharness.harness.records import NO_FORMAT, Example, read_records, write_records
from fmtharness.harness.run.data import generator_inputs, write_split
from fmtharness.harness.run.folder import RunFolder
from fmtharness.harness.run.provenance import made_by

RETENTION = "retention"
PROMPTS = "data/retention/prompts.jsonl"
PLAIN = {"dev": "data/retention/plain-dev.txt", "eval": "data/retention/plain-eval.txt"}
"""Plain text whose perplexity is measured; a line `---` stands between two pieces."""

DEV_PIECES = 3
"""How many pieces each evaluation in training reads: 1,200 tokens, some seconds on a CPU."""


class DevSet(NamedTuple):
    """The dev Examples of a set, which evaluations in training answer."""

    name: str
    examples: list[Example]
    evaluators: tuple[Evaluator, ...]
    max_new_tokens: int | None
    """None: as the trainer's other evaluations."""


def write_sets(run: RunFolder) -> None:
    """Write the Examples of each set and of retention that are not up to date.

    Raises DataError for prompts that cannot be read, or none for a half that is asked for.
    """
    for each in run.config.sets:
        _write_set(run, each)
    if run.config.retention.num_prompts:
        _write_retention(run)


def set_examples(run: RunFolder, name: str, split: Split) -> Iterator[Example]:
    """The Examples of a set that are answered."""
    return read_records(run.data(f"{name}/{split}"), Example)


def dev_sets(run: RunFolder) -> list[DevSet]:
    """What evaluations in training answer besides the dev Examples of [data]."""
    config = run.config
    found = [
        DevSet(each.name, [*set_examples(run, each.name, "dev")], each.evaluators, most)
        for each in config.sets
        if each.options.dev_prompts
        for most in [each.options.max_new_tokens]
    ]
    if config.retention.in_training:
        prompts = [*set_examples(run, RETENTION, "dev")]
        found.append(DevSet(RETENTION, prompts, config.keepers, config.retention.max_new_tokens))
    return found


def dev_inputs(run: RunFolder) -> dict[str, str]:
    """What of these sets shapes an adapter, since checkpoints are chosen by it."""
    config = run.config
    inputs: dict[str, str] = {}
    for each in config.sets:
        if each.options.dev_prompts:
            judges = digest([f"{judge.name} {judge!r}" for judge in each.evaluators])
            most = str(each.options.max_new_tokens)
            dev = _digest(run.data(f"{each.name}/dev"))
            inputs[f"[eval.sets.{each.name}]"] = digest([judges, most, dev])
    if config.retention.in_training:
        table = config.tables()["retention"]
        inputs |= {
            f"[retention] {key}": str(value)
            for key, value in table.items()
            if key not in ("num_prompts", "prompts")
        }
        inputs["retention/dev.jsonl"] = _digest(run.data(f"{RETENTION}/dev"))
        inputs["plain-dev.txt"] = file_digest(shipped(PLAIN["dev"]))
    return inputs


def _digest(path: Path) -> str:
    """The file's hash; empty where the present config asks for what the run has not made."""
    return file_digest(path) if path.is_file() else ""


def plain_texts(split: Split) -> list[str]:
    """The pieces of plain English of one half; of dev, as many as training has the time for."""
    text = shipped(PLAIN[split]).read_text(encoding="utf-8")
    pieces = [piece.strip() for piece in text.split("\n---\n")]
    return pieces[:DEV_PIECES] if split == "dev" else pieces


def _write_set(run: RunFolder, each: EvalSet) -> None:
    stage, config = f"data/{each.name}", run.config
    table = {k: v for k, v in each.table().items() if k not in ("evaluators", "max_new_tokens")}
    inputs = {f"[eval.sets.{each.name}]": digest(table), "seed": str(config.seed)}
    inputs |= generator_inputs(config, each.generator)
    if run.is_current(stage, inputs):
        return
    dev, held_out = (run.data(f"{each.name}/{split}") for split in ("dev", "eval"))
    asked = [dev, held_out] if each.options.dev_prompts else [held_out]
    run.begin(stage, inputs, asked)
    n = each.options.num_prompts or ALL
    write_split(each.generator, config.seed, "eval", n, held_out)
    if each.options.dev_prompts:
        write_split(each.generator, config.seed, "dev", each.options.dev_prompts, dev)
    run.record(stage, inputs, asked)
    say(f"data: evaluation set {each.name} of generator {each.generator.name!r}")


def _write_retention(run: RunFolder) -> None:
    stage, options = f"data/{RETENTION}", run.config.retention
    path = options.prompts or shipped(PROMPTS)
    if not path.exists():
        raise DataError(f"{path}: there is no such file; check [retention] prompts")
    counts: dict[Split, int] = {"dev": options.in_training, "eval": options.num_prompts}
    packages = ["fmtharness.harness", "fmtharness.harness.dataset"]
    inputs = {
        "[retention]": digest(counts),
        "prompts": file_digest(path),
        **made_by([], packages=packages),
    }
    if run.is_current(stage, inputs):
        return
    asked = {split: n for split, n in counts.items() if n}
    files = [run.data(f"{RETENTION}/{split}") for split in asked]
    run.begin(stage, inputs, files)
    # Without the format the reader would take the prompts for requests of JSON.
    rows = list(examples(Source(str(path), format=NO_FORMAT)))
    for (split, n), file in zip(asked.items(), files, strict=True):
        if not write_records(file, itertools.islice(_half(rows, split), n)):
            raise DataError(
                f"{path}: no prompt is of the half {split!r}; add some, or set [retention] "
                f"{'dev_prompts' if split == 'dev' else 'num_prompts'} = 0"
            )
    run.record(stage, inputs, files)


def _half(rows: list[Example], split: Split) -> Iterator[Example]:
    """The prompts of one half, by their tag or else by a hash; the first ones are a fair sample."""
    for row in sorted(rows, key=lambda row: sha256(row.id.encode()).digest()):
        own = row.tags.get("split")
        if own not in PLAIN:
            text = normalised(row.prompt).encode("utf-8", "surrogatepass")
            own = "dev" if sha256(text).digest()[0] % 2 else "eval"
        if own == split:
            yield row
