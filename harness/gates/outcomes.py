"""Evaluates a gate: judges its completions and decides each test item.

With `format_success_rate = { min = 0.97 }` and 90 of 100 completions passed, the item's Outcome is
"format_success_rate of json_strict is 0.900 [0.826, 0.945] (90/100), below min = 0.97", followed by
the worst completions. Completions are streamed; only the worst per item are kept in memory.
"""

from __future__ import annotations

import heapq
import json
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from fmtharness.harness.config import file_of
from fmtharness.harness.errors import DataError, HarnessError
from fmtharness.harness.gates.gate_file import (
    ANSWERED,
    SCORED,
    Gate,
    GateOptions,
    ModelSource,
    Regression,
    Threshold,
    drop_item,
)
from fmtharness.harness.gates.outcome import Outcome
from fmtharness.harness.gates.retention import retention_outcomes
from fmtharness.harness.judging.rows import read_rows, samples_in
from fmtharness.harness.judging.statistics import mcnemar
from fmtharness.harness.judging.tally import Tally
from fmtharness.harness.judging.verdicts import formats_asked, judge, verdicts_on
from fmtharness.harness.records import BrokenRow, Completion, Example, Metric, Verdict
from fmtharness.harness.report.diagnostics import diagnosis
from fmtharness.harness.report.tables import shown, unscored_lines
from fmtharness.harness.requirements import needs_for_backend
from fmtharness.harness.run.checked import Made
from fmtharness.harness.run.sources import (
    check_answers,
    completions_by,
    config_for,
    known_examples,
    sampled,
)
from fmtharness.harness.text import one_line, printable

WORST = 5
"""The number of completions that a failure lists."""
Source = tuple[Mapping[str, Example], Iterator[Completion | BrokenRow], int]
"""Examples by id, completions, and how many of them a prompt has."""
Passed = dict[str, bool | None]
"""Example id -> whether its completion passed; None if it cannot be compared."""


def judge_gate(gate: Gate) -> dict[str, Outcome]:
    """Read or generate the gate's completions, judge them, and return each item's Outcome.

    Never raises: an error fails every item, so that the items share one result and a model
    generates its completions only once.
    """
    try:
        return _outcomes(gate)
    except HarnessError as error:
        failed = _failed([str(error)])
    except Exception:
        failed = _failed([traceback.format_exc()])
    return dict.fromkeys(gate.items, failed)


def _outcomes(gate: Gate) -> dict[str, Outcome]:
    examples, rows, n = _source(gate)
    before: dict[str, Passed] = {}
    worst = {SCORED: _Worst(lambda verdict: verdict.passed is None)}
    watching = {evaluator.name: [worst[SCORED]] for evaluator in gate.evaluators}
    for each in gate.thresholds:
        worst[each.item] = _Worst(_weight(each))
        watching[each.evaluator].append(worst[each.item])
    if gate.regression:
        before = _reference(gate, gate.regression, examples)
    after: dict[str, Passed] = {name: {} for name in before}
    for name in before:
        worst[drop_item(name)] = _Worst(_is_broken(before[name]))
        watching[name].append(worst[drop_item(name)])
    sums = Tally(gate.evaluators, n=n)
    answers: Counter[str] = Counter()
    formats = formats_asked(examples)
    for row in rows:
        completion = (
            Completion(example_id=f"line {row.line}", text="")
            if isinstance(row, BrokenRow)
            else row
        )
        if row is completion and completion.error is None:
            answers[completion.example_id] += 1
        for verdict in verdicts_on(row, gate.evaluators, examples, formats):
            sums.add(verdict)
            if verdict.evaluator in after and row is completion:
                _record(after[verdict.evaluator], verdict.id, verdict.passed, gate.path)
            for watched in watching[verdict.evaluator]:
                watched.see(completion, verdict)
    found = {SCORED: _scored(sums, worst[SCORED])}
    found[ANSWERED] = _answered(gate.options, examples, answers)
    metrics = {(name, m.name): m for name, rates in sums.metrics().items() for m in rates}
    for each in gate.thresholds:
        metric = metrics[each.evaluator, each.rate.name]
        found[each.item] = _bounded(each, metric, sums, worst[each.item])
    found |= retention_outcomes(gate)
    if gate.regression:
        for name in before:
            item = drop_item(name)
            found[item] = _dropped(gate.regression, name, before[name], after[name], worst[item])
    return found


# Sources of completions


def _source(gate: Gate) -> Source:
    """The gate's Examples by id (empty if it has none), and its completions."""
    folder, options = gate.path.parent, gate.options
    if gate.model is not None:
        data = folder / options.data if options.data else None
        return _generated(gate.model, folder, data)
    if options.run is not None:
        return _run(folder / options.run, options.arm)
    assert options.completions is not None, "read_gate rejects a gate without a source"
    path = folder / options.completions
    data = folder / options.data if options.data else None
    examples = known_examples(data) if data else {}
    return examples, _answers(path, examples, data), samples_in(path)


def _run(run: Path, arm: str | None) -> Source:
    """The Examples that an arm was asked, and its answers, both as the manifest knows them."""
    made, arm = Made(run), arm or "sft"
    completions = made.file(f"completions/{file_of(arm)}.jsonl")
    examples = made.asked(arm)
    answers = _answers(completions, examples, run / "data" / "eval.jsonl")
    return examples, answers, samples_in(completions)


def _generated(model: ModelSource, folder: Path, data: Path | None) -> Source:
    adapter = folder / model.adapter if model.adapter else None
    name = model.name
    if name is not None and (folder / name).exists():
        name = str(folder / name)
    config = config_for(folder / model.config if model.config else None, adapter, model=name)
    needs_for_backend(config.backend, config.model.name, adapter)
    examples = known_examples(data, model.num_prompts or config.eval.num_prompts)
    arm = "sft" if adapter else "base"
    n = config.eval.n
    asked = sampled(examples.values(), n)
    return examples, completions_by(config.backend, config.model, adapter, asked, arm=arm), n


def _answers(
    path: Path, examples: Mapping[str, Example], data: Path | None
) -> Iterator[Completion | BrokenRow]:
    """A file's rows. Raises DataError at the end if it is empty or no id matches an Example."""
    last, fits = None, not examples
    for row in read_rows(path):
        last = str(row.line) if isinstance(row, BrokenRow) else row.example_id
        fits = fits or last in examples
        yield row
    check_answers(path, last, examples, data, fits=fits)


def _reference(
    gate: Gate, regression: Regression, ours: Mapping[str, Example]
) -> dict[str, Passed]:
    """By evaluator: which completions of the reference pass, by the gate's own evaluators."""
    path = gate.path.parent / regression.against
    if path.is_dir():
        examples, rows, _ = _run(path, regression.arm)
    else:
        examples, rows = ours, _answers(path, ours, None)
    completions = (row for row in rows if isinstance(row, Completion))
    evaluators = [each for each in gate.evaluators if each.name in regression.max_drop]
    found: dict[str, Passed] = {name: {} for name in regression.max_drop}
    for verdict in judge(evaluators, examples, completions):
        here, there = ours.get(verdict.id), examples.get(verdict.id)
        # Every run numbers its Examples from 0, so one id can mean different Examples in two runs.
        same = here is None or there is None or _task(here) == _task(there)
        _record(found[verdict.evaluator], verdict.id, verdict.passed if same else None, path)
    return found


def _task(example: Example) -> object:
    return example.prompt, example.value


def _record(known: Passed, name: str, passed: bool | None, source: Path) -> None:
    if name in known:
        raise DataError(
            f"{source}: two completions have the id {one_line(name)!r}; [regression] pairs "
            f"completions by id, so ids must be unique"
        )
    known[name] = passed


# The worst completions of an item


class _Worst:
    """Counts the completions that hurt an item's rate and keeps the `WORST` with most weight."""

    def __init__(self, weigh: Callable[[Verdict], int]) -> None:
        self.weigh = weigh
        self.count = 0
        self.kept: list[tuple[int, int, int, Completion, Verdict]] = []

    def see(self, completion: Completion, verdict: Verdict) -> None:
        weight = self.weigh(verdict)
        if weight > 0:
            self.count += 1
            # The count is unique, so the heap never compares the records, which have no order.
            entry = (weight, len(verdict.labels), -self.count, completion, verdict)
            keep = heapq.heappush if len(self.kept) < WORST else heapq.heappushpop
            keep(self.kept, entry)

    def lines(self) -> Iterator[str]:
        """One line per kept completion, worst first, then the diagnosis of the first."""
        ranked = [entry[-2:] for entry in sorted(self.kept, reverse=True)]
        if ranked:
            yield f"offending completions ({self.count}), worst first:"
        for completion, verdict in ranked:
            labels = ", ".join(verdict.labels) or ("passed" if verdict.passed else "failed")
            known = f"{one_line(completion.example_id)}: {one_line(labels)}"
            yield f"  {known}: {_short(completion.text)}"
        if self.count > len(ranked):
            yield f"  and {self.count - len(ranked)} more"
        for completion, verdict in ranked[:1]:
            if verdict.problems:
                name = one_line(f"completion {completion.example_id}")
                yield "\n" + diagnosis(completion.text, verdict, name=name)


def _short(text: str) -> str:
    start = json.dumps(text[:80], ensure_ascii=False)
    return start if len(text) <= 80 else f"{start}... ({len(text)} characters)"


def _weight(threshold: Threshold) -> Callable[[Verdict], int]:
    """A function of a Verdict: how much it lowers a rate with a floor or raises one with a cap."""
    rate, must_be_high = threshold.rate, threshold.is_floor

    def weigh(verdict: Verdict) -> int:
        if verdict.passed is None:
            return 0
        sides = {"scored": 1, "passed": int(verdict.passed), "failed": int(not verdict.passed)}
        counts = {**verdict.counts, **sides}
        numerator, denominator = counts.get(rate.numerator, 0), counts.get(rate.denominator, 0)
        return denominator - numerator if must_be_high else numerator

    return weigh


def _is_broken(before: Passed) -> Callable[[Verdict], int]:
    return lambda verdict: verdict.passed is False and before.get(verdict.id) is True


# Outcomes of the items


def _scored(sums: Tally, worst: _Worst) -> Outcome:
    properties = {"unscored": sums.unscored}
    if not sums.unscored:
        return Outcome(properties=properties)
    reasons = unscored_lines(sums)
    return _failed([*reasons, *worst.lines()], properties)


def _answered(
    options: GateOptions, examples: Mapping[str, Example], answers: Mapping[str, int]
) -> Outcome:
    """Fails if too few Examples have their answers, or if there are other answers than theirs.

    Without Examples, only the answers of one id are counted.
    """
    each = "an answer" if options.samples == 1 else f"{options.samples} answers"
    lacking = [name for name in examples if answers.get(name, 0) < options.samples]
    others = [name for name in answers if name not in examples] if examples else []
    several = [name for name, count in answers.items() if count > options.samples]
    n, lines = len(examples), []
    if n - len(lacking) < options.min_answered * n:
        lines.append(
            f"{n - len(lacking)} of {n} Examples have {each}, below min_answered = "
            f"{options.min_answered}; the first without is {_name(lacking[0])}"
        )
    if others:
        lines.append(
            f"{len(others)} ids in the completions, the first {_name(others[0])}, are of none of "
            f"the {n} Examples, and would count in the rates"
        )
    if several:
        lines.append(
            f"{len(several)} Examples have more than {each}, the first {_name(several[0])} with "
            f"{answers[several[0]]}; leave one, or set samples to how many each of them has"
        )
    properties = {"answered": n - len(lacking), "examples": n} if n else {}
    return _failed(lines, properties) if lines else Outcome(properties=properties)


def _name(example_id: str) -> str:
    return repr(example_id if len(example_id) <= 80 else f"{example_id[:80]}...")


def _bounded(threshold: Threshold, metric: Metric, sums: Tally, worst: _Worst) -> Outcome:
    numbers = {
        "value": metric.value,
        "numerator": metric.numerator,
        "denominator": metric.denominator,
        "low": metric.low,
        "high": metric.high,
    }
    properties = {key: number for key, number in numbers.items() if number is not None}
    what = f"{metric.name} of {threshold.evaluator}"
    actual = properties.get(threshold.subject)
    if actual is None:
        return _failed(
            [f"{what} has no value: its denominator {threshold.rate.denominator!r} is 0"],
            properties,
        )
    met = actual >= threshold.limit if threshold.is_floor else actual <= threshold.limit
    if met:
        return Outcome(properties=properties)
    side = "below" if threshold.is_floor else "above"
    end = "" if threshold.subject == "value" else f"its {threshold.subject} end {actual:.6g} is "
    lines = [
        f"{what} is {shown(metric)} ({metric.numerator}/{metric.denominator}), "
        f"{end}{side} {threshold.bound} = {threshold.limit}"
    ]
    labels = sums.labels[threshold.evaluator].most_common()
    if labels:
        lines.append(
            "labels: " + ", ".join(f"{one_line(label)} {count}" for label, count in labels)
        )
    return _failed([*lines, *worst.lines()], properties)


def _dropped(
    regression: Regression, name: str, before: Passed, after: Passed, worst: _Worst
) -> Outcome:
    """Fails if the pass rate dropped by more than `max_drop` and the drop is significant."""
    ids = before.keys() | after.keys()
    pairs = [
        (was, now)
        for each in ids
        if (was := before.get(each)) is not None and (now := after.get(each)) is not None
    ]
    left_out = len(ids) - len(pairs)
    against = regression.against
    if not pairs:
        return _failed(
            [f"{name}: no Example can be compared with {against}; {left_out} left out"],
            {"pairs": 0, "left_out": left_out},
        )
    n, before_passes = len(pairs), sum(was for was, _ in pairs)
    after_passes = sum(now for _, now in pairs)
    paired = mcnemar([was for was, _ in pairs], [now for _, now in pairs])
    drop, limit = (before_passes - after_passes) / n, regression.max_drop[name]
    properties = {
        "before": before_passes / n,
        "after": after_passes / n,
        "pairs": n,
        "left_out": left_out,
        "fixed": paired.fixed,
        "broken": paired.broken,
        "p_value": paired.p_value,
    }
    if n < regression.min_compared * len(ids):
        line = (
            f"{name}: {n} of {len(ids)} Examples can be compared with {against}, below "
            f"min_compared = {regression.min_compared}"
        )
        return _failed([line], properties)
    if drop <= limit or paired.p_value > regression.alpha:
        return Outcome(properties=properties)
    line = (
        f"{name} has pass rate {after_passes / n:.3f} ({after_passes}/{n}), down from "
        f"{before_passes / n:.3f} ({before_passes}/{n}) in {against}: a drop of {drop:.6g}, "
        f"above max_drop = {limit}; "
        f"{paired.broken} broken, {paired.fixed} fixed, McNemar p = {paired.p_value:.2g}, at most "
        f"alpha = {regression.alpha}; {left_out} left out"
    )
    return _failed([line, *worst.lines()], properties)


def _failed(lines: Iterable[str], properties: Mapping[str, float] | None = None) -> Outcome:
    return Outcome(failure=printable("\n".join(lines)), properties=properties or {})
