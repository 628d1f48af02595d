"""What a cure left as it was, on prompts that ask for no format: the numbers of base and tuned.

number               base [95%]                 tuned [95%]                 change
unasked_format_rate  0.000 [0.000, 0.046] 0/80  0.850 [0.756, 0.912] 68/80  +0.850 [...]
perplexity           30.71                      31.92                       x 1.039
"""

from __future__ import annotations

import msgspec

from fmtharness.harness.records import Metric
from fmtharness.harness.report.comparison import difference
from fmtharness.harness.report.tables import counted, shown, table

RATES = ("unasked_format_rate", "loop_rate")
MEASURES = ("answer_length_ratio", "perplexity", "perplexity_ratio", "divergence")
"""The numbers that are not rates."""


class Retained(msgspec.Struct, frozen=True, kw_only=True):
    """The retention of one arm, as retention/<arm>.json holds it; None is not measured."""

    unasked_format_rate: Metric
    """Answers in a format, of those to prompts that ask for none."""
    loop_rate: Metric
    """Answers that degenerate into repetition."""
    answer_tokens: float | None = None
    """Mean tokens of an answer."""
    answer_length_ratio: float | None = None
    """Mean tokens of an answer over the base's."""
    perplexity: float | None = None
    """Of plain English, per token."""
    perplexity_ratio: float | None = None
    """The perplexity over the base's."""
    divergence: float | None = None
    """Mean KL(base || arm) of the next token, per token of the base's own answers, in nats."""
    plain_tokens: int = 0
    """How many tokens the perplexity is the mean over."""
    answer_positions: int = 0
    """How many tokens the divergence is the mean over."""

    @property
    def numbers(self) -> dict[str, float]:
        """All that was measured, by name."""
        rates = {name: getattr(self, name).value for name in RATES}
        every = rates | {name: getattr(self, name) for name in MEASURES}
        return {name: value for name, value in every.items() if value is not None}


def retention_table(base: Retained, tuned: Retained, *, markdown: bool = False) -> str:
    """The numbers side by side; those that were not measured are left out."""
    rows = []
    for name in RATES:
        old, new = getattr(base, name), getattr(tuned, name)
        sides = [f"{shown(each)} {counted(each)}" for each in (old, new)]
        rows.append([name, *sides, difference(old, new)])
    for name in MEASURES:
        before, after = base.numbers.get(name), tuned.numbers.get(name)
        if after is not None:
            sides = ["-" if each is None else f"{each:.4g}" for each in (before, after)]
            ratio = f"x {after / before:.3f}" if name == "perplexity" and before else ""
            rows.append([name, *sides, ratio])
    return table(["number", "base [95%]", "tuned [95%]", "change"], rows, markdown=markdown)
