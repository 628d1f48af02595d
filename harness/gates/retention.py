"""Decides a gate's items on the retention of a run, from the numbers that the run recorded.

retention_outcomes(gate)
    ->  {"retention.perplexity_ratio.max": Outcome("perplexity_ratio of retention is 1.21,
         above max = 1.05", {"value": 1.21})}
"""

from __future__ import annotations

from fmtharness.harness.config import file_of
from fmtharness.harness.errors import DataError
from fmtharness.harness.gates.gate_file import OF_RETENTION, Gate, Threshold
from fmtharness.harness.gates.outcome import Outcome
from fmtharness.harness.report.retention import Retained
from fmtharness.harness.report.tables import counted, shown
from fmtharness.harness.run.checked import Made
from fmtharness.harness.run.retention import retained


def retention_outcomes(gate: Gate) -> dict[str, Outcome]:
    """The Outcome of each item on retention, by its name.

    Raises DataError if the run measured none, or if its file was changed since.
    """
    if not gate.retention:
        return {}
    assert gate.options.run is not None, "read_gate reads retention's numbers only with a run"
    run = gate.path.parent / gate.options.run
    path = Made(run).file(f"retention/{file_of(gate.options.arm or 'sft')}.json")
    if not path.is_file():
        raise DataError(
            f"{path}: the run has not measured retention; run it again with [retention] "
            f"num_prompts above 0"
        )
    kept = retained(path)
    return {each.item: _outcome(each, kept) for each in gate.retention}


def _outcome(threshold: Threshold, kept: Retained) -> Outcome:
    name = threshold.rate.name
    value, said = kept.numbers.get(name), ""
    if name in OF_RETENTION:
        metric = getattr(kept, name)
        value, said = getattr(metric, threshold.subject), f"{shown(metric)} ({counted(metric)})"
    if value is None:
        return Outcome(failure=f"{name} of retention was not measured in this run")
    properties = {"value": value}
    met = value >= threshold.limit if threshold.is_floor else value <= threshold.limit
    if met:
        return Outcome(properties=properties)
    side = "below" if threshold.is_floor else "above"
    end = "" if threshold.subject == "value" else f"its {threshold.subject} end {value:.6g} is "
    return Outcome(
        failure=f"{name} of retention is {said or f'{value:.6g}'}, {end}{side} "
        f"{threshold.bound} = {threshold.limit}",
        properties=properties,
    )
