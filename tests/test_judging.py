"""Judging: the order of verdicts, what stays unscored, and the sums."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from harness.contracts import Options, Rate
from harness.errors import PluginError, UserError
from harness.judging import Tally, distinct, judge, tally
from harness.records import Completion, Example, Verdict
from tests.fakes import Picky, example, verdict


class Needy(Options):
    """An evaluator that cannot do without its Example."""

    name: ClassVar[str] = "needy"
    metric: ClassVar[str] = "match_rate"
    needs_example: ClassVar[bool] = True
    rates: ClassVar[tuple[Rate, ...]] = (
        Rate("match_rate", "passed"),
        Rate("miss_rate", "failed"),
        Rate("fields", "right", "all"),
    )

    def evaluate(self, example: Example | None, completion: Completion) -> Verdict:
        assert example is not None
        return Verdict(
            id=completion.example_id,
            evaluator=self.name,
            passed=completion.text == example.completion,
            labels=("same", "same"),
            counts={"right": 1, "all": 2},
        )


def completions(*texts: str) -> list[Completion]:
    return [Completion(example_id=f"e{i}", text=text) for i, text in enumerate(texts)]


def test_order_and_unscored() -> None:
    known = {"e0": example("e0"), "e2": example("e2")}
    found = list(judge([Picky(), Needy()], known, completions('{"a": 1}', "boom", "x" * 11)))
    assert [(v.id, v.evaluator, v.passed) for v in found] == [
        ("e0", "picky", True),
        ("e0", "needy", True),
        ("e1", "picky", None),
        ("e1", "needy", None),
        ("e2", "picky", False),
        ("e2", "needy", False),
    ]
    raised, alone = found[2], found[3]
    assert raised.labels == alone.labels == ("unscored",)
    assert raised.problems[0].message == "picky raised RuntimeError: a bad day"
    assert (raised.problems[0].start, raised.problems[0].end) == (0, 4)
    assert "no Example with this id" in alone.problems[0].message


@pytest.mark.parametrize(
    "returned",
    [None, True, verdict("other", "liar", True), verdict("e0", "somebody", True)],
    ids=["none", "bool", "other id", "other evaluator"],
)
def test_what_is_no_verdict_is_unscored(returned: Any) -> None:
    class Liar(Options):
        name: ClassVar[str] = "liar"
        metric: ClassVar[str] = "truth_rate"

        def evaluate(self, example: Example | None, completion: Completion) -> Verdict:
            return returned  # type: ignore[no-any-return]

    (found,) = judge([Liar()], {}, completions("x"))
    assert (found.id, found.evaluator, found.passed) == ("e0", "liar", None)
    assert "liar returned" in found.problems[0].message


def test_a_recursion_is_unscored() -> None:
    class Deep(Options):
        name: ClassVar[str] = "deep"
        metric: ClassVar[str] = "rate"

        def evaluate(self, example: Example | None, completion: Completion) -> Verdict:
            return self.evaluate(example, completion)

    (found,) = judge([Deep()], {}, completions("x"))
    assert found.passed is None and "RecursionError" in found.problems[0].message


def test_judging_streams() -> None:
    def endless() -> Any:
        while True:
            yield Completion(example_id="1", text="x")

    assert next(judge([Picky()], {}, endless())).passed


def test_sums() -> None:
    known = {"e0": example("e0"), "e2": example("e2")}
    sums = tally(
        [Needy(), Picky()],
        judge([Needy(), Picky()], known, completions('{"a": 1}', "boom", "{}")),
    )
    metrics = sums.metrics()
    assert list(metrics) == ["needy", "picky"]
    counts = [(m.name, m.numerator, m.denominator) for m in metrics["needy"]]
    assert counts == [("match_rate", 1, 2), ("miss_rate", 1, 2), ("fields", 2, 4)]
    assert [(m.name, m.numerator, m.denominator) for m in metrics["picky"]] == [
        ("short_rate", 2, 2)
    ]
    assert sums.unscored == 2
    assert sums.labels["needy"] == {"same": 2}, "a label counts once a completion"
    assert sums.labels["picky"] == {}
    assert "a bad day" in sums.reason["picky"]


def test_nothing_scored_has_no_value() -> None:
    sums = tally([Picky()], [verdict("1", "picky", None)])
    (metric,) = sums.metrics()["picky"]
    assert (metric.value, metric.low, metric.high, metric.denominator) == (None, None, None, 0)
    assert sums.unscored == 1


def test_unscored_without_a_reason() -> None:
    sums = tally([Picky()], [verdict("1", "picky", None, problems=())])
    assert sums.reason == {"picky": "it gave no reason"}


def test_a_rate_that_is_no_share() -> None:
    class Counting(Picky):
        name: ClassVar[str] = "counting"
        rates: ClassVar[tuple[Rate, ...]] = (Rate("objects_rate", "objects"),)

    sums = Tally([Counting()])
    sums.add(verdict("1", "counting", True, counts={"objects": 2}))
    with pytest.raises(PluginError, match=r"'counting': objects_rate .* 2 / 1"):
        sums.metrics()


def test_one_evaluator_twice() -> None:
    assert [each.name for each in distinct([Picky(), Needy()])] == ["picky", "needy"]
    with pytest.raises(UserError, match="'picky' is given twice"):
        Tally([Picky(), Picky(limit=3)])
