"""What the next round trains on, made of the model's own answers to training prompts.

    next_rows(examples, completions, evaluators)
        ->  NextRows(passed=[Example(...)], pairs=[Example(..., rejected="...")], left_out=3,
                     labels={"truncated": 41, "duplicate_key": 7})

An answer that passes becomes a row of its own. One that fails becomes the rejected side of a pair,
whose chosen side is the answer as its Format mends it, or else the target.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec import UNSET, structs

from fmtharness.harness.contracts import Evaluator, Format, needs_value
from fmtharness.harness.formats import for_example
from fmtharness.harness.judging.verdicts import judge
from fmtharness.harness.options import build
from fmtharness.harness.records import NO_FORMAT, Completion, Example, Problem, Verdict

LOOP = "loop"
"""The label of a problem that spans degenerate repetition."""


class NextRows(NamedTuple):
    """Rows and pairs of one round's answers."""

    passed: list[Example]
    """Prompts with the model's own answer as the completion, or the target where only its values
    were wrong."""
    pairs: list[Example]
    """Prompts with the mended answer or the target as the completion, and the answer rejected."""
    left_out: int
    """Answers that could not be judged, or failed where there is nothing to prefer to them."""
    labels: dict[str, int]
    """How many answers failed with each label, the most frequent first."""


def next_rows(
    examples: Sequence[Example], completions: Iterable[Completion], evaluators: Sequence[Evaluator]
) -> NextRows:
    """Sort the answers into rows and pairs, in the order of the completions.

    An answer passes if every evaluator passes it that judges answers to its Example. One that is
    wrong in its values alone gives a row with the target, since it is no fault of format. An
    Example without a value leaves its content to the model, so that its target is one of many.
    """
    by_id = {example.id: example for example in examples}
    content = {each.name for each in evaluators if needs_value(each)}
    passed, pairs, left_out, labels = [], [], 0, Counter[str]()
    for completion in completions:
        example = by_id[completion.example_id]
        failed = _failed(example, completion, evaluators)
        if failed is None:
            left_out += 1
        elif not failed and completion.finish_reason == "length":
            left_out += 1  # it was cut off, and must not teach where to stop
        elif failed and content.issuperset(each.evaluator for each in failed):
            labels.update({label for verdict in failed for label in verdict.labels})
            passed.append(example)
        elif not failed:
            worse = example.rejected if example.rejected != completion.text else None
            passed.append(structs.replace(example, completion=completion.text, rejected=worse))
        else:
            labels.update({label for verdict in failed for label in verdict.labels})
            chosen = _chosen(example, completion, failed, evaluators)
            if chosen is None or chosen.completion == completion.text:
                left_out += 1
            else:
                tags = chosen.tags
                if completion.finish_reason == "length":  # no stop token follows it
                    tags = {**tags, "rejected_finish_reason": "length"}
                pairs.append(structs.replace(chosen, rejected=completion.text, tags=tags))
    return NextRows(passed, pairs, left_out, dict(labels.most_common()))


def _failed(
    example: Example, completion: Completion, evaluators: Sequence[Evaluator]
) -> list[Verdict] | None:
    """The Verdicts that fail the answer; None if there is no Verdict, or one is unscored."""
    verdicts = list(judge(evaluators, {example.id: example}, [completion]))
    if not verdicts or any(each.passed is None for each in verdicts):
        return None
    return [each for each in verdicts if not each.passed]


def _chosen(
    example: Example,
    completion: Completion,
    failed: Sequence[Verdict],
    evaluators: Sequence[Evaluator],
) -> Example | None:
    """The Example with its own answer mended, if that passes; else with its target."""
    mend = getattr(_format(example), "mend", None)
    if mend and example.value is UNSET:
        loops = [each for verdict in failed for each in verdict.problems if each.label == LOOP]
        texts = [text for loop in loops for text in unlooped(completion.text, loop)]
        # What was cut off in a loop is whole without it; what was cut elsewhere lacks its end.
        texts += [completion.text] if completion.finish_reason != "length" else []
        for text in filter(None, map(mend, texts)):
            better = structs.replace(completion, text=text, finish_reason="stop")
            if _failed(example, better, evaluators) == []:
                return structs.replace(example, completion=text)
    return example if example.completion is not None else None


def unlooped(text: str, loop: Problem) -> list[str]:
    """The text without a loop, and with one period of it: before what follows, and at the end.

    unlooped('{"a": ["x", "x", "x"], "b": 1}', Problem("loop", "", 7, 20))
        ->  ['{"a": ["x"], "b": 1}', '{"a": ["x", "x"], "b": 1}', '{"a": ["x", ']
    """
    cycle = text[loop.start : loop.end]
    period = cycle.find(cycle[: max(1, min(12, len(cycle) // 3))], 1)
    if period <= 0:
        return []
    last = loop.end - len(cycle) % period
    before = text[: loop.start + period]
    if not text[loop.end :].strip():
        return [before]
    return [text[: loop.start] + text[last:], before + text[last:], before]


def _format(example: Example) -> Format | None:
    if example.format == NO_FORMAT:
        return None
    target: Format = for_example(build("formats", example.format), example)
    return target
