"""What `run` and `compare` show besides the main table: each evaluation set, and retention.

blocks(run)  ->  ["open: 144 prompts ...\\n\\nmetric  base [95%] ...", "retention: 80 ..."]
"""

from __future__ import annotations

from collections.abc import Iterator

from fmtharness.harness.report.comparison import formats_side_by_side, rates_side_by_side
from fmtharness.harness.report.retention import retention_table
from fmtharness.harness.run import stages
from fmtharness.harness.run.folder import RunFolder
from fmtharness.harness.run.retention import retained
from fmtharness.harness.run.sets import RETENTION


def blocks(run: RunFolder, *, markdown: bool = False) -> Iterator[str]:
    """A title and a table for each set that the arms answered, retention last."""
    head = "## " if markdown else ""
    for each in run.config.sets:
        base, tuned = (stages.arm(run, f"{each.name}/{arm}") for arm in ("base", "sft"))
        yield (
            f"{head}{each.name}: {len(base.completions)} prompts of generator {each.generator.name}"
        )
        by_format = formats_side_by_side(each.evaluators, base, tuned, markdown=markdown)
        yield by_format or rates_side_by_side(each.evaluators, base, tuned, markdown=markdown)
    if run.config.retention.num_prompts:
        base_kept, tuned_kept = (retained(run.retention(arm)) for arm in ("base", "sft"))
        asked = len(stages.arm(run, f"{RETENTION}/base").completions)
        yield f"{head}{RETENTION}: {asked} prompts that ask for no format"
        yield retention_table(base_kept, tuned_kept, markdown=markdown)
