"""The evaluation sets of a config, `[eval.sets.NAME]`: Examples besides those of [data].

    sets_of({"open": {"generator": "open_requests", "length": "short"}}, "quick.toml", asked=True)
        ->  [EvalSet("open", SetOptions(generator="open_requests"), OpenRequests(...), (...,))], []

A set has a generator with its own keys and evaluators of its own; nothing trains on it.
"""

from __future__ import annotations

import re
from typing import Any

from fmtharness.harness.config.judges import judges_of
from fmtharness.harness.config.sections import section
from fmtharness.harness.config.tables import SIZES, EvalSet, SetOptions

TAKEN = ("base", "parity", "retention", "sets", "sft")
"""Names that other files of a run's folder have."""


def sets_of(tables: Any, source: str, *, asked: bool) -> tuple[tuple[EvalSet, ...], list[str]]:
    """The sets of the table [eval.sets], and one sentence per fault of the config `source`."""
    if not isinstance(tables, dict):
        return (), [f"{source}: [eval] sets is a table, write [eval.sets.NAME]"]
    found: list[EvalSet] = []
    faults: list[str] = []
    for name, table in tables.items():
        where = f"{source}: [eval.sets.{name}]"
        if not isinstance(table, dict):
            faults.append(f"{source}: [eval.sets] {name} is a table, write [eval.sets.{name}]")
            continue
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name) or name in TAKEN:
            faults.append(
                f"{where}: {name!r} cannot name a folder of answers; use letters, digits, _ and -, "
                f"and none of {', '.join(TAKEN)}"
            )
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
