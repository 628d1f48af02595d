"""The stages of a run, each from files to files: data, completions, verdicts, adapter.

    run_all(run)    data -> base completions and verdicts -> adapter -> sft completions and verdicts

A stage whose inputs and files are unchanged is skipped, so the same command resumes a run.
"""

from __future__ import annotations

import gc
import itertools
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from harness.config import Config
from harness.contracts import Evaluator, TrainingRun
from harness.errors import DataError, StoppedError
from harness.files import atomic_file, digest, file_digest
from harness.judging.tally import Tally, by_completion, tally
from harness.judging.verdicts import judge
from harness.judging.workers import dump_row
from harness.progress import say
from harness.records import Completion, Example, Verdict, encode, read_records, write_records
from harness.report.comparison import Arm
from harness.report.plot import draw
from harness.run.data_stats import collect_stats, stats_markdown
from harness.run.folder import RunFolder
from harness.run.sources import completions_by


def run_all(run: RunFolder) -> dict[str, Tally]:
    """All stages in order; returns the sums of each arm's Verdicts."""
    generate(run)
    before = evaluate(run, "base")
    train(run)
    after = evaluate(run, "sft")
    _draw_curves(run)
    return {"base": before, "sft": after}


def _draw_curves(run: RunFolder) -> None:
    """Draw curves.png; TensorBoard's logs are written again if none are in `tb_logdir`.

    Nothing is drawn if the trainer logged nothing, or without matplotlib.
    """
    metrics = run.path / "metrics.jsonl"
    if metrics.is_file() and not any(run.tb_logdir.rglob("*tfevents*")):
        from harness.run.scalars import Scalars

        Scalars(metrics, run.tb_logdir, keep_until=sys.maxsize).close()
    try:
        draw(run.tb_logdir, run.path / "curves.png")
    except DataError as error:
        say(f"curves: {error}")
    except ModuleNotFoundError as error:
        say(f"curves: not drawn, since {error.name} is not installed")


def generate(run: RunFolder) -> None:
    """Write data/train.jsonl, data/eval.jsonl and the statistics that prove their separation."""
    config = run.config
    tables = config.tables()
    inputs = digest([tables["data"], config.seed, _version("data")])
    if run.is_current("data", inputs):
        say(f"data: {run.path / 'data'} is up to date")
        return
    began = time.perf_counter()
    run.record("data", inputs, write_data(config, run.path / "data"), seconds=_since(began))
    say(f"data: {config.data.n_train} train and {config.data.n_eval} eval Examples")


def write_data(config: Config, folder: Path) -> list[Path]:
    """Write train.jsonl, eval.jsonl, stats.json and stats.md into a folder; returns their paths."""
    train, held_out = folder / "train.jsonl", folder / "eval.jsonl"
    write_records(
        train, config.generator.generate("train", config.data.n_train, Random(config.seed))
    )
    write_records(
        held_out, config.generator.generate("eval", config.data.n_eval, Random(config.seed))
    )
    stats = collect_stats(read_records(train, Example), read_records(held_out, Example))
    stats_json, stats_md = folder / "stats.json", folder / "stats.md"
    with atomic_file(stats_json) as temporary:
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(stats), indent=1) + b"\n")
    with atomic_file(stats_md) as temporary:
        temporary.write_text(stats_markdown(stats), encoding="utf-8", newline="\n")
    return [train, held_out, stats_json, stats_md]


def train(run: RunFolder) -> Path:
    """Fine-tune on data/train.jsonl and return adapter/.

    Of several processes only the leading one calls this; the others are in `follow`.
    """
    from harness.engine import collectives

    config = run.config
    tables = config.tables()
    facts = [tables["train"], tables["model"], config.seed]
    data = [file_digest(run.data("train")), file_digest(run.data("eval"))]
    inputs = digest([*facts, *data, _version("train")])
    if run.is_current("train", inputs):
        say(f"train: {run.adapter} is up to date")
        collectives.broadcast_object(None)
        return run.adapter
    began = time.perf_counter()
    examples = list(read_records(run.data("train"), Example))
    held_out = list(read_records(run.data("eval"), Example))
    collectives.broadcast_object((inputs, examples, held_out))
    adapter, training = _train(run.path, run.tb_logdir, config, inputs, examples, held_out)
    run.record(
        "train",
        inputs,
        [adapter],
        seconds=_since(began),
        certificate=training.certificate,
        **training.facts,
    )
    _free_memory()
    return adapter


def follow(path: Path, config: Config) -> None:
    """Take part in the training that another process leads, if it trains at all."""
    from harness.engine import collectives

    given: Any = collectives.broadcast_object(None)
    if given is not None:
        _train(path, path, config, *given)


def _train(
    path: Path,
    tb_logdir: Path,
    config: Config,
    inputs: str,
    examples: Sequence[Example],
    held_out: Sequence[Example],
) -> tuple[Path, TrainingRun]:
    from harness.backends.transformers import complete_with
    from harness.engine import collectives
    from harness.run.training import Training

    training = Training(
        path,
        seed=config.seed,
        model=config.model,
        tb_logdir=tb_logdir,
        evaluators=config.evaluators,
        eval_examples=held_out,
        inputs=inputs,
        complete=complete_with,
    )
    failed = True
    try:
        adapter = config.trainer.train(examples, training)
        failed = False
    except StoppedError:
        failed = False
        raise
    finally:
        training.close()
        collectives.destroy(failed=failed)
    return adapter, training


def evaluate(run: RunFolder, arm: str) -> Tally:
    """Generate and judge the arm's completions on the first num_prompts evaluation Examples."""
    config = run.config
    examples = list(eval_examples(run))
    tables = config.tables()
    not_asked = ("evaluators", "num_prompts", "dump_jsonl")  # the ids determine num_prompts
    asked = {key: value for key, value in tables["eval"].items() if key not in not_asked}
    adapter = run.adapter if arm == "sft" else None
    made_from = [asked, tables["model"], digest([e.id for e in examples])]
    made_from += [file_digest(run.data("eval")), adapter and file_digest(adapter)]
    inputs = digest([*made_from, _version("completions")])
    path = run.completions(arm)
    if run.is_current(f"completions/{arm}", inputs):
        say(f"completions: {path} is up to date")
    else:
        say(f"completions: {len(examples)} prompts, arm {arm}")
        began = time.perf_counter()
        write_records(
            path, completions_by(config.backend, config.model, adapter, examples, arm=arm)
        )
        _free_memory()
        run.record(f"completions/{arm}", inputs, [path], seconds=_since(began))
    return _judge_stage(run, arm, examples)


def arm(run: RunFolder, name: str) -> Arm:
    """One arm's completions and verdicts, read from the files of its stages."""
    return Arm(
        list(read_records(run.completions(name), Completion)),
        list(read_records(run.verdicts(name), Verdict)),
    )


def eval_examples(run: RunFolder) -> Iterator[Example]:
    """The evaluation Examples that the arms answer."""
    rows = read_records(run.data("eval"), Example)
    return itertools.islice(rows, run.config.eval.num_prompts)


def _judge_stage(run: RunFolder, arm: str, examples: Sequence[Example]) -> Tally:
    config = run.config
    path = run.verdicts(arm)
    by_id = {example.id: example for example in examples}
    specs = config.eval.evaluators
    inputs = digest([specs, file_digest(run.completions(arm)), digest(list(by_id))])
    inputs = digest([inputs, file_digest(run.data("eval")), _version("verdicts")])
    if not run.is_current(f"verdicts/{arm}", inputs):
        completions = read_records(run.completions(arm), Completion)
        write_records(path, judge(config.evaluators, by_id, completions))
        run.record(f"verdicts/{arm}", inputs, [path])
    if config.eval.dump_jsonl is not None:
        name = config.eval.dump_jsonl
        dump(
            run.path / name.with_name(f"{name.stem}.{arm}{name.suffix}"),
            config.evaluators,
            by_id,
            read_records(run.completions(arm), Completion),
            read_records(path, Verdict),
        )
    completions = read_records(run.completions(arm), Completion)
    return tally(config.evaluators, read_records(path, Verdict), by_id, completions)


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


STAGE_VERSIONS = {"data": 1, "train": 2, "completions": 2, "verdicts": 3}
"""Raised by hand when a change to the code changes a stage's files."""


def _version(stage: str) -> int:
    return STAGE_VERSIONS[stage]


def _since(began: float) -> float:
    return round(time.perf_counter() - began, 2)


def _free_memory() -> None:
    """Free a stage's model before the next stage loads its own."""
    gc.collect()
    if torch := sys.modules.get("torch"):
        torch.cuda.empty_cache()
