"""The rounds of a training before its last: train, answer fresh prompts, make the next rows.

next_round(run, 1, asked)
    rounds/1/adapter                    what the first round learnt
    rounds/1/{prompts,answers}.jsonl    fresh training prompts, and its answers to them
    rounds/1/rows.jsonl                 what the next round trains on
    rounds/1/table.md                   the rates of the answers, and why they failed
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from msgspec import structs

from fmtharness.harness.config import ALL, Config
from fmtharness.harness.contracts import Evaluator, Generator
from fmtharness.harness.errors import UserError
from fmtharness.harness.files import atomic_file, digest, file_digest
from fmtharness.harness.judging.tally import tally
from fmtharness.harness.judging.verdicts import judge
from fmtharness.harness.options import build
from fmtharness.harness.progress import say
from fmtharness.harness.records import (
    KEEPS,
    Completion,
    Example,
    read_records,
    write_records,
)
from fmtharness.harness.report.tables import metrics_table, table
from fmtharness.harness.run.adapter_folder import describe
from fmtharness.harness.run.answering import bound_generator
from fmtharness.harness.run.completions import free_memory, greedy, limited
from fmtharness.harness.run.fitting import Fit, fit
from fmtharness.harness.run.folder import RunFolder, held
from fmtharness.harness.run.next_rows import NextRows, next_rows
from fmtharness.harness.run.sources import completions_by, in_order
from fmtharness.harness.run.train_inputs import ROUND_EVALUATORS

OPEN = "open_request"
"""The evaluator of answers whose content is the model's own."""

OF_LATER = ("[train] next_round", "[train] rounds", ROUND_EVALUATORS)
"""The inputs of training that do not shape its first round; the first of them shapes later ones."""


def round_folder(run: RunFolder, number: int) -> Path:
    """Where a round before the last one writes."""
    return run.path / "rounds" / str(number)


def start_of(run: RunFolder, number: int) -> dict[str, str]:
    """Hashes of the adapter and the rows that a round has from the one before, if there is one."""
    if number == 1:
        return {}
    before = round_folder(run, number - 1)
    return {
        "adapter": _weights(before / "adapter"),
        "rows": file_digest(before / "rows.jsonl"),
    }


def next_round(run: RunFolder, number: int, asked: Fit, shared: Mapping[str, str]) -> Fit:
    """Carry out a round, and return the training of the next one.

    `shared` are the inputs of the whole training.
    """
    folder = round_folder(run, number)
    inputs = {name: known for name, known in shared.items() if name not in OF_LATER}
    if asked.initial_adapter is not None:
        inputs |= {name: known for name, known in shared.items() if name == OF_LATER[0]}
        inputs |= start_of(run, number)
    _train(run, number, asked._replace(folder=folder, inputs=digest(inputs)), inputs)
    _answer(run, number)
    rows = list(read_records(folder / "rows.jsonl", Example))
    return asked._replace(examples=rows, initial_adapter=folder / "adapter")


def _train(run: RunFolder, number: int, asked: Fit, inputs: dict[str, str]) -> None:
    from fmtharness.harness.engine import collectives

    stage, folder = f"rounds/{number}/train", asked.folder
    if run.is_current(stage, inputs):
        say(f"train: {folder / 'adapter'} is up to date")
        return
    known = run.known(stage)
    if known and known["inputs"] != inputs and folder.exists():
        aside = run.set_aside([folder], digest(known["inputs"])[:8])
        say(f"train: what round {number} made is kept in {aside}")
    run.begin(stage, inputs, [folder / "adapter"])
    say(f"train: round {number} of {run.config.train.rounds}")
    began = time.perf_counter()
    collectives.broadcast_object(asked)
    adapter, training = fit(run.config, asked, folder / "tb")
    config = dataclasses.replace(run.config, model=run.model)
    describe(adapter, config, training.certificate, training.facts)
    seconds = round(time.perf_counter() - began, 2)
    run.record(stage, inputs, [adapter, *training.files()], seconds=seconds, **training.facts)
    free_memory()


def _answer(run: RunFolder, number: int) -> None:
    """Answer fresh prompts of the training split, and make rows of the answers."""
    config, folder = run.config, round_folder(run, number)
    options, judges = config.next_round, _judges(config)
    stage = f"rounds/{number}/answers"
    inputs = {
        "adapter": _weights(folder / "adapter"),
        "[train.next_round]": digest([options.prompts, options.max_new_tokens, options.replay]),
        "evaluators": digest([repr(each) for each in judges]),
    }
    files = {
        name: folder / name for name in ("prompts.jsonl", "answers.jsonl", "rows.jsonl", "table.md")
    }
    if run.is_current(stage, inputs):
        say(f"train: {files['rows.jsonl']} is up to date")
        return
    run.begin(stage, inputs, files.values())
    began = time.perf_counter()
    with bound_generator(config) as generator:
        prompts = _fresh(generator, run, number)
    write_records(files["prompts.jsonl"], prompts)
    say(f"completions: {len(prompts)} fresh training prompts, round {number}")
    backend = greedy(limited(config.backend, options.max_new_tokens))
    arm = f"round-{number}"
    answers = completions_by(backend, run.model, folder / "adapter", prompts, arm=arm)
    write_records(files["answers.jsonl"], in_order(prompts, answers))
    free_memory()
    made = next_rows(prompts, read_records(files["answers.jsonl"], Completion), judges)
    with bound_generator(config) as generator:
        replayed = _replayed(generator, config, made)
    rows = [*made.passed, *made.pairs, *replayed]
    write_records(files["rows.jsonl"], rows)
    with atomic_file(files["table.md"]) as temporary:
        answered = list(read_records(files["answers.jsonl"], Completion))
        text = _table(number, prompts, answered, judges, made, len(replayed))
        temporary.write_text(text, encoding="utf-8")
    if not rows:
        raise UserError(
            f"{files['table.md']}: none of the {len(prompts)} answers is a row or a pair that "
            f"round {number + 1} could train on; ask for more with [train.next_round] prompts"
        )
    run.record(stage, inputs, files.values(), seconds=round(time.perf_counter() - began, 2))


def _weights(adapter: Path) -> str:
    return digest(held(adapter))


def _judges(config: Config) -> list[Evaluator]:
    """The run's evaluators, those of retention, and that of open requests."""
    every = [*config.evaluators, *config.keepers, build("evaluators", OPEN)]
    return list({each.name: each for each in every}.values())


def _fresh(generator: Generator, run: RunFolder, number: int) -> list[Example]:
    """The training Examples after those that were trained on and asked before.

    They are drawn with the run's own seed, since it may say which rows are dev and eval. Where
    there are no more, as with a user's own rows, the first come again.
    """
    n = run.config.next_round.prompts
    trained = list(read_records(run.data("train"), Example))
    if not any(map(_is_asked, trained)):
        return []
    most = math.ceil(n * len(trained) / sum(map(_is_asked, trained)))
    begin = len(trained) + (number - 1) * most
    generator = getattr(generator, "to_be_asked", lambda: generator)()
    ends = getattr(generator, "sized", False) and not getattr(generator, "parts", None)

    def drawn(start: int, stop: int) -> list[Example]:
        rng = Random(run.config.seed)
        every = generator.generate("train", ALL if ends else stop, rng)
        return [each for each in itertools.islice(every, start, stop) if _is_asked(each)]

    found = drawn(begin, begin + most)[:n]
    found += drawn(0, begin)[: n - len(found)] if len(found) < n and ends else []
    return [structs.replace(each, id=f"round-{number}/{each.id}") for each in found]


def _is_asked(example: Example) -> bool:
    """Whether the answer to it can teach anything: where the base is kept, it cannot."""
    return bool(example.prompt) and not example.tags.get(KEEPS)


def _replayed(generator: Any, config: Config, made: NextRows) -> list[Example]:
    """The first rows of the first round, with answers broken in the ways that the model's were."""
    n = round(config.next_round.replay * (len(made.passed) + len(made.pairs)))
    n = min(n, config.data.n_train or n)
    if not n:
        return []
    focus = getattr(generator, "focused", None)
    source = focus(made.labels) if focus else generator
    again = source.generate("train", n, Random(config.seed))
    # What shows a broken answer is another prompt now, which must not pass for the first round's.
    return [
        structs.replace(each, id=f"focused/{each.id}") if each.tags.get("bad_outputs") else each
        for each in again
    ]


def _table(
    number: int,
    prompts: Sequence[Example],
    answers: Sequence[Completion],
    judges: Sequence[Evaluator],
    made: NextRows,
    replayed: int,
) -> str:
    """The round's answers in Markdown: rates, what became of them, and the labels of failures."""
    by_id = {each.id: each for each in prompts}
    judged = tally(judges, judge(judges, by_id, answers), by_id, answers)
    rows = [
        ["passed, and become rows", str(len(made.passed))],
        ["failed, and become pairs", str(len(made.pairs))],
        ["left out", str(made.left_out)],
        ["rows of the first round again", str(replayed)],
    ]
    labels = [[label, str(count)] for label, count in made.labels.items()]
    return "\n\n".join(
        [
            f"# Round {number}: answers to {len(prompts)} fresh training prompts",
            metrics_table(judged, slices=False, markdown=True),
            table(["answers", "count"], rows, markdown=True),
            table(["label of a failure", "answers"], labels, markdown=True),
            "",
        ]
    )
