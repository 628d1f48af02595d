"""The completion stages: what an arm answers, each set into a file of its own.

answer(run, [Asked("base", examples, data), Asked("open/base", ...)], adapter=None)
    completions/base.jsonl, completions/open/base.jsonl

Only what is not up to date is asked for.
"""

from __future__ import annotations

import gc
import itertools
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fmtharness.harness.config import Config
from fmtharness.harness.contracts import Backend
from fmtharness.harness.files import digest
from fmtharness.harness.progress import say
from fmtharness.harness.records import Example, encode, write_records
from fmtharness.harness.run.folder import RunFolder, held
from fmtharness.harness.run.provenance import made_by, model_inputs
from fmtharness.harness.run.sources import completions_by, conditions

UNTOLD = "parity"
"""The file of completions that is about the run itself, and not shown."""


class Asked(NamedTuple):
    """Examples that an arm answers into one file."""

    name: str
    """The file's name below completions/: `base`, or `open/base` for a set."""
    examples: Sequence[Example]
    data: Path
    """The Examples' file."""
    max_new_tokens: int | None = None
    """None: as [eval] says."""


def answer(run: RunFolder, asked: Sequence[Asked], adapter: Path | None) -> None:
    """Write the completions that are not up to date.

    What has one limit of tokens is decoded together.
    """
    config = run.config
    todo: list[tuple[Asked, dict[str, str]]] = []
    for each in asked:
        backend = limited(config.backend, each.max_new_tokens)
        inputs = {
            "[eval]": digest(_options(config, backend)),
            **made_from(run, adapter),
            "Examples": digest([encode(example).decode() for example in each.examples]),
        }
        if not run.is_current(f"completions/{each.name}", inputs):
            run.begin(f"completions/{each.name}", inputs, [run.completions(each.name)])
            todo.append((each, inputs))
        elif each.name != UNTOLD:
            say(f"completions: {run.completions(each.name)} is up to date")
    arm = "sft" if adapter else "base"
    by_limit = {
        most: [(each, inputs) for each, inputs in todo if each.max_new_tokens == most]
        for most in dict.fromkeys(each.max_new_tokens for each, _ in todo)
    }
    for most, group in by_limit.items():
        every = [example for each, _ in group for example in each.examples]
        sets = [each.name.partition("/")[0] for each, _ in group if "/" in each.name]
        also = f" ({', '.join(sets)})" if sets else ""
        say(f"completions: {len(every)} prompts{also}, arm {arm}")
        began = time.perf_counter()
        backend = limited(config.backend, most)
        rows = completions_by(backend, run.model, adapter, every, arm=arm)
        for each, _ in group:
            path = run.completions(each.name)
            write_records(path, itertools.islice(rows, len(each.examples)))
        seconds = round(time.perf_counter() - began, 2)
        for each, inputs in group:
            made_with = conditions(config, adapter, len(each.examples), each.data)
            run.record(
                f"completions/{each.name}",
                inputs,
                [run.completions(each.name)],
                seconds=seconds,
                made_with=made_with,
            )


def limited(backend: Backend, most: int | None) -> Backend:
    """The backend with another limit of new tokens, where it has one."""
    options: Any = backend
    if most is None or "max_new_tokens" not in type(options).model_fields:
        return backend
    limited: Backend = options.model_copy(update={"max_new_tokens": most})
    return limited


def incidental(backend: Any) -> frozenset[str]:
    """The backend's options that shape no Completion."""
    named: frozenset[str] = getattr(backend, "incidental", frozenset())
    return named


def _options(config: Config, backend: Any) -> dict[str, Any]:
    """The options that shape a completion; the Examples determine num_prompts."""
    not_asked = {"evaluators", "num_prompts", "dump_jsonl", "sets", *incidental(backend)}
    table = {k: v for k, v in config.tables()["eval"].items() if k not in not_asked}
    if "max_new_tokens" in table:
        table["max_new_tokens"] = backend.max_new_tokens
    return table


def made_from(run: RunFolder, adapter: Path | None) -> dict[str, str]:
    """The model, the adapter and the code that an arm's completions are made with."""
    return {
        **model_inputs(run.config),
        "adapter": digest(held(adapter)) if adapter else "",
        **made_by([("backends", run.config.backend)], packages=["fmtharness.harness.engine"]),
    }


def free_memory() -> None:
    """Free a stage's model before the next stage loads its own."""
    gc.collect()
    if torch := sys.modules.get("torch"):
        torch.cuda.empty_cache()
