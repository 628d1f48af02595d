"""Rows on which the model should keep predicting what its base does: retention in training.

    with_base_labels(rows, passes, seed=0)    the same rows, with labels drawn from the base

The base's greedy answer as a target would make the model surer than its base, and plain text less
likely. If a label is drawn from the base's own distribution at that position, its gradient is, in
expectation, that of KL(base || model), whatever the text is: it costs a forward pass
before the first step, and nothing in the steps.
"""

from __future__ import annotations

from collections.abc import Sequence

from fmtharness.harness.engine.encoding import Encoded
from fmtharness.trainers.step.passes import Passes


def with_base_labels(rows: Sequence[Encoded], passes: Passes, seed: int) -> list[Encoded]:
    """The rows, with labels drawn from the predictions of the base where a row `keeps` them."""
    kept = [row for row in rows if row.keeps]
    if not kept:
        return list(rows)
    with passes.weights.absent():
        drawn = iter(passes.drawn_labels(kept, seed))
    return [row._replace(drawn=next(drawn)) if row.keeps else row for row in rows]
