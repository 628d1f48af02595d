"""Retention: what an arm does with prompts that ask for no format, and with plain text.

measure(run, arm, tally)    retention/sft.json: Retained(unasked_format_rate=..., ...)
over_budget(options, numbers, base)    0.0 if the numbers are within the budget, else by how much

Perplexity and divergence need a backend that has the model; others give the rates alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

import msgspec

from fmtharness.harness.config import Arm, RetentionOptions
from fmtharness.harness.files import atomic_file, digest, file_digest, shipped
from fmtharness.harness.judging.tally import Tally
from fmtharness.harness.records import Completion, Metric, read_records
from fmtharness.harness.report.retention import RATES, Retained
from fmtharness.harness.run.completions import adapter_of, made_from
from fmtharness.harness.run.folder import RunFolder
from fmtharness.harness.run.provenance import made_by
from fmtharness.harness.run.sets import PLAIN, RETENTION, plain_texts, set_examples

BASE = "base"
"""The arm that the others' numbers are compared with."""


def measure(run: RunFolder, arm: Arm, judged: Tally) -> Retained:
    """Write the arm's numbers where they are not up to date; those of the base come first."""
    name, path = f"{RETENTION}/{arm.file}", run.retention(arm.file)
    inputs = {
        **made_from(run, arm),
        "completions": file_digest(run.completions(name)),
        "verdicts": file_digest(run.verdicts(name)),
        "plain text": file_digest(shipped(PLAIN["eval"])),
        **made_by([], packages=["fmtharness.harness.report"]),
    }
    if _has_base(run, arm):
        inputs["base"] = digest(
            [file_digest(run.completions(f"{RETENTION}/base")), file_digest(run.retention("base"))]
        )
    if not run.is_current(name, inputs):
        run.begin(name, inputs, [path])
        found = _measured(run, arm, rates_of(judged))
        with atomic_file(path) as temporary:
            temporary.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
        run.record(name, inputs, [path])
    return retained(path)


def retained(path: Path) -> Retained:
    """The numbers in a file that `measure` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Retained)


def rates_of(judged: Tally) -> dict[str, Metric]:
    """The rates of retention by name."""
    named = judged.named()
    return {name: named[name] for name in RATES}


def over_budget(
    options: RetentionOptions, numbers: Mapping[str, float], base: Mapping[str, float]
) -> float:
    """By how much the numbers are over the budget in all; 0 if they are within.

    What the base does itself is within. A number that was not measured has no say.
    """
    limits = {
        "unasked_format_rate": options.max_unasked_format_rate,
        "loop_rate": options.max_loop_rate,
        "perplexity_ratio": options.max_perplexity_ratio,
    }
    over = (
        numbers[name] - max(limit, base.get(name, 0.0))
        for name, limit in limits.items()
        if name in numbers
    )
    return sum(max(0.0, each) for each in over)


def _has_base(run: RunFolder, arm: Arm) -> bool:
    """Whether the arm's numbers are compared with those of the arm `base`."""
    return arm.name != BASE and any(each.name == BASE for each in run.config.arms)


def _measured(run: RunFolder, arm: Arm, rates: Mapping[str, Metric]) -> Retained:
    base = retained(run.retention(BASE)) if _has_base(run, arm) else None
    tokens = _tokens(run.completions(f"{RETENTION}/{arm.file}"))
    found = Retained(
        unasked_format_rate=rates["unasked_format_rate"],
        loop_rate=rates["loop_rate"],
        answer_tokens=tokens,
    )
    ratio = _over(tokens, base.answer_tokens) if base else 1.0 if arm.name == BASE else None
    found = msgspec.structs.replace(found, answer_length_ratio=ratio if tokens else None)
    likelihood = getattr(arm.backend, "likelihood", None)
    if likelihood is None or arm.repairs or arm.prompting:
        return found
    answers = []
    if base is not None:
        examples = set_examples(run, RETENTION, "eval")
        own = read_records(run.completions(f"{RETENTION}/base"), Completion)
        answers = [*zip(examples, own, strict=True)]
    measured = likelihood(plain_texts("eval"), answers, run.model, adapter_of(run, arm))
    alone = measured.perplexity if arm.name == BASE else None
    return msgspec.structs.replace(
        found,
        perplexity=measured.perplexity,
        perplexity_ratio=_over(measured.perplexity, base.perplexity if base else alone),
        divergence=measured.divergence if base else 0.0 if arm.name == BASE else None,
        plain_tokens=measured.tokens,
        answer_positions=measured.positions,
    )


def _tokens(completions: Path) -> float | None:
    """Mean tokens of an answer; None if the backend does not count them."""
    counts = [
        each.completion_tokens
        for each in read_records(completions, Completion)
        if each.completion_tokens is not None and each.error is None
    ]
    return fmean(counts) if counts else None


def _over(value: float | None, base: float | None) -> float | None:
    return value / base if value is not None and base else None
