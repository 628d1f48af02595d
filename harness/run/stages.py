"""The stages of a run, each from files to files: data, completions, verdicts, adapter.

    run_all(run)    data -> base completions and verdicts -> adapter -> sft completions and verdicts

A stage whose inputs and files are unchanged is skipped, so the same command resumes a run.
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from fmtharness.harness.config import Arm
from fmtharness.harness.errors import DataError
from fmtharness.harness.files import digest
from fmtharness.harness.judging.tally import Tally
from fmtharness.harness.progress import say
from fmtharness.harness.records import Completion, Example, Verdict, read_records
from fmtharness.harness.report.comparison import Answered
from fmtharness.harness.report.plot import draw
from fmtharness.harness.run.adapter_folder import describe
from fmtharness.harness.run.checked import refuse_changed
from fmtharness.harness.run.completions import UNTOLD, Asked, answer, free_memory
from fmtharness.harness.run.data import DATA_FILES, data_inputs, write_data
from fmtharness.harness.run.data_stats import SPLITS
from fmtharness.harness.run.faulty_rows import refuse_faulty
from fmtharness.harness.run.fitting import Fit, fit
from fmtharness.harness.run.folder import RunFolder
from fmtharness.harness.run.judged import judge_stage
from fmtharness.harness.run.provenance import model_inputs
from fmtharness.harness.run.retention import measure
from fmtharness.harness.run.rounds import next_round, round_folder, start_of
from fmtharness.harness.run.sets import RETENTION, dev_sets, set_examples, write_sets
from fmtharness.harness.run.train_inputs import begin_training, resumed_by, train_inputs
from fmtharness.harness.run.training import dev_retention

PARITY = 4
"""Train Examples whose prompts are fed by the backend and compared with training's."""


def run_all(run: RunFolder) -> dict[str, Tally]:
    """All stages in order; returns the sums of each arm's Verdicts.

    Those of an evaluation set and of retention are under `open/base` and the like.
    """
    generate(run)
    refuse_faulty(run)
    # What repairs an arm comes after it, and so does what retention compares with the base.
    kept = bool(run.config.retention.num_prompts)
    arms = sorted(run.config.arms, key=lambda arm: (bool(arm.repairs), kept and arm.name != "base"))
    sums: dict[str, Tally] = {}
    for arm in (each for each in arms if not each.tuned):
        sums |= evaluate(run, arm)
    if run.config.trains:
        train(run)
        for arm in (each for each in arms if each.tuned):
            sums |= evaluate(run, arm)
        _draw_curves(run)
    return sums


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
    """Write the splits and sets into data/, and the statistics that prove their separation."""
    write_sets(run)
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
    others are in `fitting.follow`. The rounds before the last one have folders of their own.
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
    answer(run, config.arm("base"), [_of_parity(run)])
    free_memory()
    fed = {each.example_id: each for each in read_records(run.completions("parity"), Completion)}
    began = time.perf_counter()
    asked = Fit(
        folder=run.path,
        inputs="",  # each round has its own
        model=run.model,
        examples=list(read_records(run.data("train"), Example)),
        dev=list(read_records(run.data("dev"), Example)),
        sets=dev_sets(run),
        fed=fed,
        first=run.path if config.train.rounds == 1 else round_folder(run, 1),
    )
    with collectives.group():
        for number in range(1, config.train.rounds):
            asked = next_round(run, number, asked, inputs)
        start = start_of(run, config.train.rounds)
        asked = asked._replace(inputs=digest({**resumed_by(config, inputs), **start}))
        began_from = begin_training(run, inputs, start)
        collectives.broadcast_object(asked)
        adapter, training = fit(config, asked, run.tb_logdir)
        collectives.broadcast_object(None)
    if kept := dev_retention(run.path, training.facts.get("best_step")):
        training.facts["retention"] = kept
    describe(
        adapter,
        dataclasses.replace(config, model=run.model),
        training.certificate,
        training.facts,
    )
    run.record(
        "train",
        inputs,
        [adapter, *training.files()],
        seconds=_since(began),
        certificate=training.certificate,
        **training.facts,
        **began_from,
    )
    free_memory()
    return adapter


def evaluate(run: RunFolder, arm: Arm) -> dict[str, Tally]:
    """Answer and judge the first num_prompts eval Examples, each set, and retention's prompts.

    Returns the sums by the files' names: `sft`, `open/sft`. The model is loaded once.
    """
    from fmtharness.harness.backends.transformers import loading_once

    config = run.config
    n = config.eval.n
    main = Asked("", list(eval_examples(run)), run.data("eval"), n=n)
    asked = [(main, config.evaluators)]
    for each in config.sets:
        asked.append((_asked(run, each.name, each.options.max_new_tokens, n), each.evaluators))
    if most := config.retention.num_prompts and config.retention.max_new_tokens:
        asked.append((_asked(run, RETENTION, most), config.keepers))
    of_parity = [_of_parity(run)] if arm.name == "base" and config.trains else []
    with loading_once():
        answer(run, arm, [main, *of_parity, *(each for each, _ in asked[1:])])
        sums = {
            each.file(arm): judge_stage(
                run,
                each.file(arm),
                each.examples,
                evaluators,
                each.data,
                n=each.n,
                specs=config.eval.evaluators if each is main else None,
                dumps=each is main,
            )
            for each, evaluators in asked
        }
        if config.retention.num_prompts:
            measure(run, arm, sums[f"{RETENTION}/{arm.file}"])
    free_memory()
    return sums


def _asked(run: RunFolder, name: str, most: int | None, n: int = 1) -> Asked:
    return Asked(name, [*set_examples(run, name, "eval")], run.data(f"{name}/eval"), most, n)


def _of_parity(run: RunFolder) -> Asked:
    return Asked(UNTOLD, parity_examples(run), run.data("train"))


def made_with(run: RunFolder) -> str:
    """Base, quantization, adapter, device and prompts of the last arm's completions, in a line."""
    return str(run.known(f"completions/{run.config.arms[-1].file}")["made_with"])


def answered(run: RunFolder, name: str) -> Answered:
    """An arm's completions and verdicts, read from the files of this name."""
    return Answered(
        list(read_records(run.completions(name), Completion)),
        list(read_records(run.verdicts(name), Verdict)),
    )


def eval_examples(run: RunFolder) -> Iterator[Example]:
    """The eval Examples that the arms answer."""
    rows = read_records(run.data("eval"), Example)
    return itertools.islice(rows, run.config.eval.num_prompts)


def parity_examples(run: RunFolder) -> list[Example]:
    """The train Examples that the untuned model answers, so that the ids fed can be compared."""
    asked = (each for each in read_records(run.data("train"), Example) if each.prompt)
    return list(itertools.islice(asked, PARITY))


def _since(began: float) -> float:
    return round(time.perf_counter() - began, 2)
