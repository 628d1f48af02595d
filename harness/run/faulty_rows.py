"""Stops training on rows that would teach the wrong thing.

refuse_faulty(run)   raises DataError("outputs/x/data/train.jsonl, line 3: ... or go on with ...")

The eval split is looked at for prompts that others share, and for nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec

from fmtharness.harness.contracts import Split
from fmtharness.harness.dataset.doctor import in_memory
from fmtharness.harness.errors import DataError
from fmtharness.harness.records import Example, read_records
from fmtharness.harness.run.folder import RunFolder


def refuse_faulty(run: RunFolder, splits: Sequence[Split] = ("train", "dev", "eval")) -> None:
    """Raise DataError if the train or dev rows, or prompts in two splits, would mislead.

    A run that has trained is not looked at again.
    """
    if run.known("train"):
        return
    allow = run.config.data.allow
    held = []
    for split in splits:
        rows = read_records(run.data(split), Example)
        held.append(
            (str(run.data(split)), [*(map(_prompt_alone, rows) if split == "eval" else rows)])
        )
    found = in_memory(held, allow)
    if not found:
        return
    first = found[0].places[0]
    named = ", ".join(f"{each.check} ({each.count})" for each in found)
    chosen = json.dumps([*allow, *(each.check for each in found)], separators=(",", ":"))
    raise DataError(
        f"{first.file}, line {first.line}: {found[0].means}; in all {named}: mend the rows, which "
        f"fmtharness data {run.path} shows, or go on regardless with --set 'data.allow={chosen}'"
    )


def _prompt_alone(example: Example) -> Example:
    return msgspec.structs.replace(example, completion=None, value=msgspec.UNSET)
