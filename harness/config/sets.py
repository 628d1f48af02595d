"""The evaluation sets of a config, `[eval.sets.NAME]`: Examples besides those of [data].

    sets_of({"open": {"generator": "open_requests", "length": "short"}}, "quick.toml", asked=True)
        ->  [EvalSet("open", SetOptions(generator="open_requests"), OpenRequests(...), (...,))], []

A set has a generator with its own keys and evaluators of its own; nothing trains on it.
"""

from __future__ import annotations

from typing import Any

from fmtharness.harness.config.judges import judges_of
from fmtharness.harness.config.sections import named_tables, section
from fmtharness.harness.config.tables import SIZES, EvalSet, SetOptions

TAKEN = ("base", "parity", "retention", "sets", "sft")
"""Names that other files of a run's folder have."""


def sets_of(tables: Any, source: str, *, asked: bool) -> tuple[tuple[EvalSet, ...], list[str]]:
    """The sets of the table [eval.sets], and one sentence per fault of the config `source`."""
    found: list[EvalSet] = []
    named, faults = named_tables(tables, "sets", source, "a folder of answers", TAKEN)
    for name, table in named.items():
        where = f"{source}: [eval.sets.{name}]"
        if "generator" not in table:
            faults.append(f"{where} lacks the key 'generator', such as 'open_requests'")
            continue
        options, generator, wrong = section(
            table, SetOptions, "generator", "generators", where, asked=asked
        )
        faults += wrong
        if options is None or generator is None:
            continue
        if not getattr(generator, "sized", False) and options.num_prompts is None:
            options = options.model_copy(update={"num_prompts": SIZES["n_eval"]})
        judges, wrong = judges_of(
            options.evaluators, generator, where, data=where, quiet=bool(wrong), asked=asked
        )
        faults += wrong
        options = options.model_copy(update={"evaluators": judges.specs or None})
        found.append(EvalSet(name, options, generator, judges.evaluators))
    return tuple(found), faults
