"""`fmtharness compare`: base against adapter on the same Examples, on the screen and as Markdown.

    compare(run, 5, Path("compare.md"))  ->  the text for the screen, and each arm's sums

Stages of the run that are missing are run first; a finished training is never replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fmtharness.harness.commands.blocks import blocks, cures_of, is_before_and_after, rates
from fmtharness.harness.config import Config
from fmtharness.harness.errors import UserError
from fmtharness.harness.files import atomic_file
from fmtharness.harness.judging.tally import Tally
from fmtharness.harness.report.comparison import (
    diffs,
    formats_side_by_side,
    rates_side_by_side,
    slices_side_by_side,
    stops_side_by_side,
)
from fmtharness.harness.report.cures import plan
from fmtharness.harness.run import stages
from fmtharness.harness.run.folder import RunFolder

SHORT = 40
"""Lines of a table by slice that are shown on the screen; compare.md has them all."""


def refuse_training(folder: Path, config: Config) -> None:
    """Raise UserError if the run has trained, and its config or files have changed since."""
    if why := stages.trained_otherwise(RunFolder(folder, config)):
        raise UserError(
            f"{folder}: its training is finished and of another config ({why}), and comparing "
            f"never trains over it; `fmtharness run` does, or begins another run with --out"
        )


def compare(run: RunFolder, num_prompts: int, target: Path) -> tuple[str, Mapping[str, Tally]]:
    """Run what is missing, write `target`, and return the text to show and the arms' sums.

    Raises UserError before the first stage if `target` cannot be written.
    """
    with atomic_file(target) as temporary:
        tallies = stages.run_all(run)
        if not is_before_and_after(run):
            temporary.write_text(_of_arms(run, markdown=True) + "\n", encoding="utf-8")
            return _of_arms(run), tallies
        base, tuned = stages.answered(run, "base"), stages.answered(run, "sft")
        examples, evaluators = list(stages.eval_examples(run)), run.config.evaluators
        made_with = stages.made_with(run)
        written = [
            f"# {run.config.name}: base against tuned",
            made_with,
            *filter(None, [formats_side_by_side(evaluators, base, tuned, markdown=True)]),
            rates_side_by_side(evaluators, base, tuned, markdown=True),
            *blocks(run, markdown=True),
            "## How completions ended",
            stops_side_by_side(evaluators, base, tuned, markdown=True),
            "## By slice",
            slices_side_by_side(evaluators, examples, base, tuned, markdown=True)
            or "No tag tells these Examples apart.",
            "## Before and after",
            diffs(examples, base, tuned, num_prompts, markdown=True),
        ]
        text = "\n\n".join(written) + "\n"  # may hold lone surrogates, which UTF-8 lacks
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    by_slice = slices_side_by_side(evaluators, examples, base, tuned)
    shown = [
        made_with,
        formats_side_by_side(evaluators, base, tuned),
        rates_side_by_side(evaluators, base, tuned),
        *blocks(run),
        stops_side_by_side(evaluators, base, tuned),
        by_slice if by_slice.count("\n") < SHORT else "",
        diffs(examples, base, tuned, num_prompts),
    ]
    return "\n\n".join(filter(None, shown)), tallies


def planned(run: RunFolder) -> str:
    """How many prompts would show a difference between the first arm and each other."""
    return plan(cures_of(run))


def _of_arms(run: RunFolder, *, markdown: bool = False) -> str:
    """Every table of a run with other arms than base and sft."""
    title = [f"# {run.config.name}: {', '.join(arm.name for arm in run.config.arms)}"]
    parts = [stages.made_with(run), rates(run, markdown=markdown), *blocks(run, markdown=markdown)]
    return "\n\n".join([*(title if markdown else []), *parts])
