"""The stages of a run, each from files to files: data, completions, verdicts, adapter.

    run_all(run)    data -> base completions and verdicts -> adapter -> sft completions and verdicts

A stage whose inputs and files are unchanged is skipped, so the same command resumes a run.
"""

from __future__ import annotations

import dataclasses
import gc
import itertools
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from fmtharness.harness.config import Config
from fmtharness.harness.contracts import Evaluator, ModelOptions
from fmtharness.harness.errors import DataError, StoppedError
from fmtharness.harness.files import atomic_file, digest, file_digest
from fmtharness.harness.judging.tally import Tally, by_completion, tally
from fmtharness.harness.judging.verdicts import judge
from fmtharness.harness.judging.workers import dump_row
from fmtharness.harness.progress import say
from fmtharness.harness.records import (
    Completion,
    Example,
    Verdict,
    encode,
    read_records,
    write_records,
)
from fmtharness.harness.report.comparison import Arm
from fmtharness.harness.report.plot import draw
from fmtharness.harness.run.adapter_folder import describe
from fmtharness.harness.run.checked import refuse_changed
from fmtharness.harness.run.data import DATA_FILES, data_inputs, write_data
from fmtharness.harness.run.data_stats import SPLITS
from fmtharness.harness.run.faulty_rows import refuse_faulty
from fmtharness.harness.run.folder import RunFolder, held
from fmtharness.harness.run.provenance import Maker, made_by, model_inputs
from fmtharness.harness.run.sources import completions_by, conditions
from fmtharness.harness.run.train_inputs import begin_training, resumed_by, train_inputs
from fmtharness.harness.run.training import Training

PARITY = 4
"""Train Examples whose prompts are fed by the backend and compared with training's."""


def run_all(run: RunFolder) -> dict[str, Tally]:
    """All stages in order; returns the sums of each arm's Verdicts."""
    generate(run)
    refuse_faulty(run)
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
        from fmtharness.harness.run.scalars import Scalars

        Scalars(metrics, run.tb_logdir, keep_until=sys.maxsize).close()
    try:
        draw(run.tb_logdir, run.path / "curves.png")
    except DataError as error:
        say(f"curves: {error}")
    except ModuleNotFoundError as error:
        say(f"curves: not drawn, since {error.name} is not installed")


def generate(run: RunFolder) -> None:
    """Write the three splits into data/ and the statistics that prove their separation."""
    config = run.config
    inputs = data_inputs(config)
    if run.is_current("data", inputs):
        say(f"data: {run.path / 'data'} is up to date")
        return
    folder = run.path / "data"
    run.begin("data", inputs, [folder / name for name in DATA_FILES])
    began = time.perf_counter()
    run.record("data", inputs, write_data(config, folder), seconds=_since(began))
    stats = msgspec.json.decode((folder / "stats.json").read_bytes())
    train, dev, held_out = (stats[split]["examples"] for split in SPLITS)
    say(f"data: {train} train, {dev} dev and {held_out} eval Examples")


def trained_otherwise(run: RunFolder) -> str:
    """What has changed since a training that is finished; empty for one that is up to date."""
    known = run.known("train")
    if not known or known.get("begun"):
        return ""
    if why := run.why_stale("data", data_inputs(run.config)):
        return why
    return run.why_stale("train", train_inputs(run, model_inputs(run.config)))


def train(run: RunFolder) -> Path:
    """Fine-tune on data/train.jsonl, choose the checkpoint on data/dev.jsonl; return adapter/.

    Nothing here reads data/eval.jsonl. Of several processes only the leading one calls this; the
    others are in `follow`.
    """
    from fmtharness.harness.engine import collectives

    config = run.config
    inputs = train_inputs(run, model_inputs(config))
    if run.is_current("train", inputs):
        say(f"train: {run.adapter} is up to date")
        collectives.broadcast_object(None)
        return run.adapter
    refuse_changed(run, "train")
    refuse_faulty(run, ("train", "dev"))
    _complete(run, {"parity": parity_examples(run)}, None)
    fed = {each.example_id: each for each in read_records(run.completions("parity"), Completion)}
    began = time.perf_counter()
    examples = list(read_records(run.data("train"), Example))
    dev = list(read_records(run.data("dev"), Example))
    went_on_from = begin_training(run, inputs)
    config = dataclasses.replace(config, model=run.model)
    given = digest(resumed_by(config, inputs)), config.model, examples, dev, fed
    collectives.broadcast_object(given)
    adapter, training = _train(run.path, run.tb_logdir, config, *given)
    describe(adapter, config, training.certificate, training.facts)
    run.record(
        "train",
        inputs,
        [adapter, *training.files()],
        seconds=_since(began),
        certificate=training.certificate,
        **training.facts,
        **went_on_from,
    )
    _free_memory()
    return adapter


def follow(path: Path, config: Config) -> None:
    """Take part in the training that another process leads, if it trains at all."""
    from fmtharness.harness.engine import collectives

    given: Any = collectives.broadcast_object(None)
    if given is not None:
        _train(path, path, config, *given)


def _train(
    path: Path,
    tb_logdir: Path,
    config: Config,
    inputs: str,
    model: ModelOptions,
    examples: Sequence[Example],
    dev: Sequence[Example],
    fed: Mapping[str, Completion],
) -> tuple[Path, Training]:
    from fmtharness.harness.backends.transformers import complete_with
    from fmtharness.harness.engine import collectives

    training = Training(
        path,
        seed=config.seed,
        model=model,
        tb_logdir=tb_logdir,
        evaluators=config.evaluators,
        dev_examples=dev,
        inputs=inputs,
        backend=config.backend.name,
        fed=fed,
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
    """Generate and judge the arm's completions on the first num_prompts eval Examples."""
    examples = list(eval_examples(run))
    asked = {arm: examples}
    if arm == "base":
        asked["parity"] = parity_examples(run)
    _complete(run, asked, run.adapter if arm == "sft" else None)
    return _judge_stage(run, arm, examples)


def _complete(run: RunFolder, asked: Mapping[str, Sequence[Example]], adapter: Path | None) -> None:
    """Write the completions that are not up to date, by file name; the model is loaded once."""
    config = run.config
    not_asked = ("evaluators", "num_prompts", "dump_jsonl")  # the Examples determine num_prompts
    options = {k: v for k, v in config.tables()["eval"].items() if k not in not_asked}
    shared = {
        "[eval]": digest(options),
        **model_inputs(config),
        "adapter": digest(held(adapter)) if adapter else "",
        **made_by([("backends", config.backend)], packages=["fmtharness.harness.engine"]),
    }
    todo: dict[str, dict[str, str]] = {}
    for name, examples in asked.items():
        inputs = {**shared, "Examples": digest([encode(each).decode() for each in examples])}
        if not run.is_current(f"completions/{name}", inputs):
            run.begin(f"completions/{name}", inputs, [run.completions(name)])
            todo[name] = inputs
        elif name != "parity":
            say(f"completions: {run.completions(name)} is up to date")
    if not todo:
        return
    every = [example for name in todo for example in asked[name]]
    arm = "sft" if adapter else "base"
    say(f"completions: {len(every)} prompts, arm {arm}")
    began = time.perf_counter()
    rows = completions_by(config.backend, run.model, adapter, every, arm=arm)
    for name in todo:
        write_records(run.completions(name), itertools.islice(rows, len(asked[name])))
    _free_memory()
    for name, inputs in todo.items():
        split = "train" if name == "parity" else "eval"
        made_with = conditions(config, adapter, len(asked[name]), run.data(split))
        written, seconds = [run.completions(name)], _since(began)
        run.record(f"completions/{name}", inputs, written, seconds=seconds, made_with=made_with)


def made_with(run: RunFolder, arm: str) -> str:
    """Base, quantization, adapter, device and prompts of an arm's completions, in one line."""
    return str(run.manifest["stages"][f"completions/{arm}"]["made_with"])


def arm(run: RunFolder, name: str) -> Arm:
    """One arm's completions and verdicts, read from the files of its stages."""
    return Arm(
        list(read_records(run.completions(name), Completion)),
        list(read_records(run.verdicts(name), Verdict)),
    )


def eval_examples(run: RunFolder) -> Iterator[Example]:
    """The eval Examples that the arms answer."""
    rows = read_records(run.data("eval"), Example)
    return itertools.islice(rows, run.config.eval.num_prompts)


def parity_examples(run: RunFolder) -> list[Example]:
    """The train Examples that the untuned model answers, so that the ids fed can be compared."""
    return list(itertools.islice(read_records(run.data("train"), Example), PARITY))


def _judge_stage(run: RunFolder, arm: str, examples: Sequence[Example]) -> Tally:
    config = run.config
    path = run.verdicts(arm)
    by_id = {example.id: example for example in examples}
    judges: list[Maker] = [("evaluators", each) for each in config.evaluators]
    inputs = {
        "[eval] evaluators": digest(config.eval.evaluators),
        "completions": file_digest(run.completions(arm)),
        "prompts": digest(list(by_id)),
        "eval.jsonl": file_digest(run.data("eval")),
        **made_by(judges, packages=["fmtharness.harness", "fmtharness.harness.judging"]),
    }
    if not run.is_current(f"verdicts/{arm}", inputs):
        run.begin(f"verdicts/{arm}", inputs, [path])
        completions = read_records(run.completions(arm), Completion)
        write_records(path, judge(config.evaluators, by_id, completions))
        run.record(f"verdicts/{arm}", inputs, [path])
    if config.eval.dump_jsonl is not None:
        written = run.dump(arm)
        name = f"dump/{arm}"
        inputs = {**inputs, "verdicts": file_digest(path), "dump_jsonl": written.name}
        if not run.is_current(name, inputs):
            run.begin(name, inputs, [written])
            dump(
                written,
                config.evaluators,
                by_id,
                read_records(run.completions(arm), Completion),
                read_records(path, Verdict),
            )
            run.record(name, inputs, [written])
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


def _since(began: float) -> float:
    return round(time.perf_counter() - began, 2)


def _free_memory() -> None:
    """Free a stage's model before the next stage loads its own."""
    gc.collect()
    if torch := sys.modules.get("torch"):
        torch.cuda.empty_cache()
