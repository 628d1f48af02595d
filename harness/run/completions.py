"""The completion stages: what an arm answers, each set into a file of its own.

answer(run, config.arm("base"), [Asked("", examples, data), Asked("open", ...)])
    completions/base.jsonl, completions/open/base.jsonl

Only what is not up to date is asked for, and what a server has not answered. Each Completion is on
disk as soon as it exists, so that a run that was killed asks for the others alone.
"""

from __future__ import annotations

import dataclasses
import gc
import glob
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import DecodeError, json, structs

from fmtharness.harness.config import Arm
from fmtharness.harness.contracts import Backend
from fmtharness.harness.errors import PluginError
from fmtharness.harness.files import digest, file_digest
from fmtharness.harness.options import build
from fmtharness.harness.progress import say
from fmtharness.harness.records import (
    NO_FORMAT,
    Completion,
    Example,
    encode,
    read_records,
    write_records,
)
from fmtharness.harness.run.folder import RunFolder, held
from fmtharness.harness.run.prompting import prompted, repaired
from fmtharness.harness.run.provenance import made_by, model_inputs
from fmtharness.harness.run.sources import completions_by, conditions, sampled

Sample = tuple[str, int]
"""An Example's id, and which of its completions."""
SPENT = ("seconds", "asked")
"""What the manifest holds of a stage's cost: wall time, and how many answers were made in it."""
UNTOLD = "parity"
"""The file of completions that is about the run itself, and not shown."""


class Asked(NamedTuple):
    """Examples that an arm answers into one file."""

    set: str
    """The set's name; empty for the Examples of [data]."""
    examples: Sequence[Example]
    data: Path
    """The Examples' file."""
    max_new_tokens: int | None = None
    """None: as [eval] says."""
    n: int = 1
    """How many Completions each prompt gets."""

    def file(self, arm: Arm) -> str:
        """The file's name below completions/: `base`, or `open/base` for a set."""
        if self.set == UNTOLD:
            return UNTOLD
        return f"{self.set}/{arm.file}" if self.set else arm.file


class _Stage(NamedTuple):
    """What is to be asked for one file, and what that is made from."""

    name: str
    asked: Asked
    inputs: dict[str, str]
    before: Sequence[Completion] = ()
    """The answers of an earlier run that had others missing."""


def answer(run: RunFolder, arm: Arm, asked: Sequence[Asked]) -> None:
    """Write the arm's completions that are not up to date.

    What has the same limit of tokens is decoded together.
    """
    todo: list[_Stage] = []
    for each in asked:
        name = each.file(arm)
        path, recorded = run.completions(name), f"completions/{name}"
        stage = _Stage(name, each, _inputs(run, arm, each))
        if not run.is_current(recorded, stage.inputs):
            run.begin(recorded, stage.inputs, [path])
            todo.append(stage)
        elif missing := _unanswered(arm, path):
            say(f"completions: {missing} of {path} have no answer and are asked for again")
            there = [row for row in read_records(path, Completion) if row.error is None]
            spent = {key: run.known(recorded)[key] for key in SPENT}
            run.begin(recorded, stage.inputs, [path], **spent)
            todo.append(stage._replace(before=there))
        elif name != UNTOLD:
            say(f"completions: {path} is up to date")
    for most in dict.fromkeys(stage.asked.max_new_tokens for stage in todo):
        _together(run, arm, [each for each in todo if each.asked.max_new_tokens == most], most)


def _unanswered(arm: Arm, path: Path) -> int:
    """How many answers failed that may come another time: those of a server."""
    if arm.repairs or not getattr(arm.backend, "remote", False):
        return 0
    return sum(each.error is not None for each in read_records(path, Completion))


def _inputs(run: RunFolder, arm: Arm, asked: Asked) -> dict[str, str]:
    inputs = {
        "[eval]": digest(
            [_options(limited(arm.backend, asked.max_new_tokens)), arm.prompting, asked.n]
        ),
        **made_from(run, arm),
        "Examples": digest([encode(example).decode() for example in asked.examples]),
    }
    if arm.repairs:
        inputs[arm.repairs] = file_digest(_repaired_file(run, arm, asked))
    if arm.repairs or arm.prompting == "instructed" or getattr(arm.backend, "constrained", False):
        names = sorted({each.format for each in asked.examples} - {NO_FORMAT})
        inputs |= made_by([("formats", build("formats", name)) for name in names])
    if arm.prompting == "few_shot":
        inputs["train.jsonl"] = file_digest(run.data("train"))
    return inputs


def _together(run: RunFolder, arm: Arm, group: Sequence[_Stage], most: int | None) -> None:
    """Ask for the Completions of several files at once, and write each file."""
    every = sum(len(each.asked.examples) for each in group)
    answers = sum(len(each.asked.examples) * each.asked.n for each in group)
    sets = [each.asked.set for each in group if each.asked.set not in ("", UNTOLD)]
    also = f" ({', '.join(sets)})" if sets else ""
    times = f", {answers} completions" if answers > every else ""
    say(f"completions: {every} prompts{also}{times}, arm {arm.name}")
    began = time.perf_counter()
    parts = [_Part(run, each) for each in group]
    asking = {
        (f"{part.prefix}{example.id}", example.sample): (part, example)
        for part in parts
        for example in part.asked
        if (example.id, example.sample) not in part.known
    }
    made = 0
    for completion in _answers(run, arm, asking, most):
        part, example = asking[completion.example_id, completion.sample]
        part.add(structs.replace(completion, example_id=example.id, arm=arm.name))
        made += not completion.cached
    seconds = time.perf_counter() - began
    for part in parts:
        path, asked = run.completions(part.stage.name), part.stage.asked
        if missing := [each.id for each in part.asked if (each.id, each.sample) not in part.known]:
            raise PluginError(
                f"backend {arm.backend.name!r} gave no Completion for Example {missing[0]!r} of "
                f"{asked.data}; it must give one for each"
            )
        write_records(path, [part.known[each.id, each.sample] for each in part.asked])
        part.remove()
        recorded = f"completions/{part.stage.name}"
        before = run.known(recorded)
        run.record(
            recorded,
            part.stage.inputs,
            [path],
            seconds=round(before.get("seconds", 0) + seconds, 2),
            asked=before.get("asked", 0) + made,
            made_with=_made_with(run, arm, asked),
        )


def _answers(
    run: RunFolder,
    arm: Arm,
    asking: Mapping[Sample, tuple[_Part, Example]],
    most: int | None,
) -> Iterator[Completion]:
    """The Completions of what is asked, as they come; their ids are those of `asking`."""
    if arm.repairs:
        sources: dict[str, dict[Sample, Completion]] = {}
        for (name, _), (part, example) in asking.items():
            if part.prefix not in sources:
                rows = read_records(_repaired_file(run, arm, part.stage.asked), Completion)
                sources[part.prefix] = {(each.example_id, each.sample): each for each in rows}
            found = sources[part.prefix][example.id, example.sample]
            yield structs.replace(repaired(example, found), example_id=name)
        return
    examples = [structs.replace(each, id=name) for (name, _), (_, each) in asking.items()]
    if not examples:
        return
    shots = read_records(run.data("train"), Example) if arm.prompting == "few_shot" else ()
    backend = limited(arm.backend, most)
    yield from completions_by(
        backend,
        run.model,
        adapter_of(run, arm),
        prompted(examples, arm.prompting, shots),
        arm=arm.name,
    )


class _Part:
    """The Completions of one file that exist so far, on disk from the moment each does."""

    def __init__(self, run: RunFolder, stage: _Stage) -> None:
        self.run, self.stage = run, stage
        self.prefix = f"{stage.asked.set}/" if stage.asked.set else ""
        final = run.completions(stage.name)
        self.path = final.with_name(f"{final.stem}.{digest(stage.inputs)[:16]}.part")
        self.asked = sampled(stage.asked.examples, stage.asked.n)
        self.known: dict[Sample, Completion] = {}
        if self.path.is_file():
            for line in self.path.read_bytes().split(b"\n"):
                try:
                    found = json.decode(line, type=Completion)
                except DecodeError:
                    continue  # what a killed process left of a line
                self.known[found.example_id, found.sample] = found
        for completion in stage.before:
            self.add(completion)
        if self.known and not stage.before:
            say(f"completions: {len(self.known)} of {final} are known from before")

    def remove(self) -> None:
        """Remove the file, and those of other inputs."""
        final = self.run.completions(self.stage.name)
        for each in final.parent.glob(f"{glob.escape(final.stem)}.*.part"):
            each.unlink()

    def add(self, completion: Completion) -> None:
        """Append a Completion; errors are not kept, so that they are asked for again."""
        self.known[completion.example_id, completion.sample] = completion
        if completion.error is not None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:  # a line break first ends a killed process's line
            file.write(b"\n" + encode(completion) + b"\n")


def _made_with(run: RunFolder, arm: Arm, asked: Asked) -> str:
    prompts = len(asked.examples)
    config = dataclasses.replace(run.config, backend=arm.backend)
    said = conditions(config, adapter_of(run, arm), prompts, asked.data, asked.n)
    return said if arm.name in ("base", "sft") else f"{arm.name}: {said}"


def _repaired_file(run: RunFolder, arm: Arm, asked: Asked) -> Path:
    return run.completions(asked.file(run.config.arm(arm.repairs)))


def adapter_of(run: RunFolder, arm: Arm) -> Path | None:
    """The run's adapter, if the arm answers with it."""
    return run.adapter if arm.tuned else None


def limited(backend: Backend, most: int | None) -> Backend:
    """The backend with another limit of new tokens, where it has one."""
    options: Any = backend
    if most is None or "max_new_tokens" not in type(options).model_fields:
        return backend
    limited: Backend = options.model_copy(update={"max_new_tokens": most})
    return limited


def greedy(backend: Backend) -> Backend:
    """The backend without sampling, where it has any."""
    options: Any = backend
    if "temperature" not in type(options).model_fields:
        return backend
    chosen: Backend = options.model_copy(update={"temperature": 0.0})
    return chosen


def incidental(backend: Any) -> frozenset[str]:
    """The backend's options that shape no Completion."""
    named: frozenset[str] = getattr(backend, "incidental", frozenset())
    return named


def _options(backend: Any) -> dict[str, Any]:
    """The options that shape a completion."""
    options = backend.model_dump(mode="json", exclude=incidental(backend), exclude_none=True)
    return {"backend": backend.name, **options}


def made_from(run: RunFolder, arm: Arm) -> dict[str, str]:
    """The model, the adapter and the code that an arm's completions are made with."""
    adapter = adapter_of(run, arm)
    own = {} if arm.server else model_inputs(run.config)
    return {
        **own,
        "adapter": digest(held(adapter)) if adapter else "",
        **made_by([("backends", arm.backend)], packages=["fmtharness.harness.engine"]),
    }


def free_memory() -> None:
    """Free a stage's model before the next stage loads its own."""
    gc.collect()
    if torch := sys.modules.get("torch"):
        torch.cuda.empty_cache()
