"""What `run` and `compare` show of a run's arms.

rates(run)       ->  every rate: base and sft side by side, or any arms below each other
blocks(run)      ->  the same of each evaluation set; then retention, or the table of cures
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

from fmtharness.harness.judging.tally import tally
from fmtharness.harness.report.arms import Answers, Arms, arms_table
from fmtharness.harness.report.comparison import (
    first_passes,
    formats_side_by_side,
    rates_side_by_side,
)
from fmtharness.harness.report.cures import Cure, cures_table, told_apart
from fmtharness.harness.report.retention import retention_table
from fmtharness.harness.run import stages
from fmtharness.harness.run.folder import RunFolder
from fmtharness.harness.run.retention import retained
from fmtharness.harness.run.sets import RETENTION

BEFORE_AND_AFTER = ("base", "sft")
"""The arms that are shown side by side."""


def is_before_and_after(run: RunFolder) -> bool:
    """Whether the run compares the base with the adapter, and nothing else."""
    return tuple(arm.name for arm in run.config.arms) == BEFORE_AND_AFTER


def rates(run: RunFolder, *, markdown: bool = False) -> str:
    """The rates of the arms on the Examples of [data]; of several formats the shared ones."""
    if not is_before_and_after(run):
        return arms_table(answers_of(run), slices=False, markdown=markdown)
    base, tuned = (stages.answered(run, arm) for arm in BEFORE_AND_AFTER)
    sides = run.config.evaluators, base, tuned
    by_format = formats_side_by_side(*sides, markdown=markdown)
    return by_format or rates_side_by_side(*sides, markdown=markdown)


def blocks(run: RunFolder, *, markdown: bool = False) -> Iterator[str]:
    """A title and a table for each set that the arms answered; retention or all arms last."""
    if is_before_and_after(run):
        yield from _side_by_side(run, markdown)
        return
    head = "## " if markdown else ""
    for each in run.config.sets:
        found = answers_of(run, each.name)
        yield f"{head}{each.name}: prompts of generator {each.generator.name}"
        yield arms_table(found, slices=False, markdown=markdown)
    found_cures = cures_of(run)
    yield f"{head}Which cure?"
    yield cures_table(found_cures, markdown=markdown)
    if said := told_apart(found_cures):
        yield said


def answers_of(run: RunFolder, name: str = "") -> Arms:
    """Each arm's sums and passes on the Examples of [data], or of a set."""
    own = {each.name: each.evaluators for each in run.config.sets}
    evaluators = own.get(name, run.config.evaluators)
    prefix = f"{name}/" if name else ""
    found = {}
    for arm in run.config.arms:
        known = stages.answered(run, f"{prefix}{arm.file}")
        sums = tally(evaluators, known.verdicts, None, known.completions, n=run.config.eval.n)
        found[arm.name] = Answers(sums, first_passes(known.verdicts))
    return found


def cures_of(run: RunFolder) -> list[Cure]:
    """Each arm with its retention and its costs."""
    cures = []
    for name, answers in answers_of(run).items():
        arm = run.config.arm(name)
        rows = stages.answered(run, arm.file).completions
        tokens = [each.completion_tokens for each in rows if each.completion_tokens is not None]
        costs = [each.cost for each in rows if each.cost is not None]
        stage = run.known(f"completions/{arm.file}")
        made, n = stage.get("asked", len(rows)), run.config.eval.n
        kept = retained(run.retention(arm.file)) if run.config.retention.num_prompts else None
        cures.append(
            Cure(
                name,
                answers,
                kept,
                tokens=fmean(tokens) if tokens else None,
                seconds=n * stage["seconds"] / made if made else None,
                cost=1000 * n * fmean(costs) if costs else None,
            )
        )
    return cures


def _side_by_side(run: RunFolder, markdown: bool) -> Iterator[str]:
    head = "## " if markdown else ""
    for each in run.config.sets:
        base, tuned = (stages.answered(run, f"{each.name}/{arm}") for arm in BEFORE_AND_AFTER)
        prompts = len(base.completions) // base.n
        yield f"{head}{each.name}: {prompts} prompts of generator {each.generator.name}"
        by_format = formats_side_by_side(each.evaluators, base, tuned, markdown=markdown)
        yield by_format or rates_side_by_side(each.evaluators, base, tuned, markdown=markdown)
    if run.config.retention.num_prompts:
        base_kept, tuned_kept = (retained(run.retention(arm)) for arm in BEFORE_AND_AFTER)
        asked = len(stages.answered(run, f"{RETENTION}/base").completions)
        yield f"{head}{RETENTION}: {asked} prompts that ask for no format"
        yield retention_table(base_kept, tuned_kept, markdown=markdown)
