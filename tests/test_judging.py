"""Judging: the order of verdicts, what stays unscored, and the sums."""

from __future__ import annotations

import pickle
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmtharness.harness.contracts import Evaluator, Options, Rate
from fmtharness.harness.errors import PluginError, UserError
from fmtharness.harness.judging.tally import Tally, distinct, slices_of, tally
from fmtharness.harness.judging.verdicts import judge
from fmtharness.harness.options import build
from fmtharness.harness.records import Completion, Example, FinishReason, Verdict
from tests.fakes import Picky, example, verdict
from tests.strategies import json_values

TAGS = {
    "family": "extract",
    "shape": "record",
    "schema": "city,zip",
    "strictness": "hard",
    "hard_negatives": ["fence", "greeting"],
    "bad_outputs": [],
    "templates": ["1f", "2e"],
}


def tagged(name: str, **tags: Any) -> Example:
    return msgspec.structs.replace(example(name), tags=tags)


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


class Unspeakable(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize("error", [SystemExit(3), Unspeakable(), ValueError("\ud800")])
def test_whatever_an_evaluator_raises_is_unscored(error: BaseException) -> None:
    class Thrower(Options):
        name: ClassVar[str] = "thrower"
        metric: ClassVar[str] = "rate"

        def evaluate(self, example: Example | None, completion: Completion) -> Verdict:
            raise error

    (found,) = judge([Thrower()], {}, completions("x"))
    assert found.passed is None
    assert type(error).__name__ in found.problems[0].message


@pytest.mark.parametrize(
    "returned",
    [
        None,
        True,
        verdict("other", "liar", True),
        verdict("e0", "somebody", True),
        Verdict(id="e0", evaluator="liar", passed="yes"),  # type: ignore[arg-type]
        Verdict(id="e0", evaluator="liar", passed=False, labels=None),  # type: ignore[arg-type]
        Verdict(id="e0", evaluator="liar", passed=False, labels=(1,)),  # type: ignore[arg-type]
        Verdict(id="e0", evaluator="liar", passed=True, counts={"n": "1"}),  # type: ignore[dict-item]
        Verdict(id="e0", evaluator="liar", passed=False, problems=("x",)),  # type: ignore[arg-type]
    ],
    ids=lambda returned: repr(returned)[:60],
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


def test_slices_of_an_example() -> None:
    assert slices_of(tagged("e", **TAGS)) == [
        ("format", "json"),
        ("family", "extract"),
        ("shape", "record"),
        ("strictness", "hard"),
        ("hard_negative", "fence"),
        ("hard_negative", "greeting"),
        ("bad_output", "none"),
    ]
    assert slices_of(example()) == [("format", "json")]


def test_a_kind_counts_once_and_what_is_no_scalar_not_at_all() -> None:
    odd = tagged(
        "e", family={"a": 1}, strictness=3, hard_negatives=["x", "x", [1]], bad_outputs="y"
    )
    assert slices_of(odd)[1:] == [("strictness", "3"), ("hard_negative", "x"), ("bad_output", "y")]


@given(st.dictionaries(st.sampled_from(list(TAGS)), json_values()))
def test_any_tag_can_be_sliced(tags: dict[str, Any]) -> None:
    found = slices_of(tagged("e", **tags))
    assert len(found) == len(set(found))
    sums = Tally([Picky()])
    sums.add(verdict("e", "picky", True), tagged("e", **tags))
    assert set(sums.slices["picky"]) == set(found)


def test_sums_by_slice() -> None:
    known = {
        "e0": tagged("e0", family="edit", hard_negatives=["fence", "greeting"]),
        "e1": tagged("e1", family="edit", hard_negatives=[]),
        "e2": tagged("e2", family="table", hard_negatives=["fence"]),
    }
    verdicts = [
        verdict("e0", "needy", True, counts={"right": 1, "all": 2}),
        verdict("e1", "needy", False, counts={"right": 0, "all": 3}),
        verdict("e2", "needy", None),
        verdict("e9", "needy", True, counts={"right": 2, "all": 2}),
    ]
    sliced = tally([Needy()], verdicts, known).sliced("needy")
    headline = {
        (dimension, value): (metrics[0].numerator, metrics[0].denominator)
        for dimension, values in sliced.items()
        for value, metrics in values.items()
    }
    assert headline == {
        ("format", "json"): (1, 2),
        ("family", "edit"): (1, 2),
        ("family", "table"): (0, 0),
        ("hard_negative", "fence"): (1, 1),
        ("hard_negative", "greeting"): (1, 1),
        ("hard_negative", "none"): (0, 1),
    }
    fields = sliced["family"]["edit"][2]
    assert (fields.name, fields.numerator, fields.denominator) == ("fields", 1, 5)
    assert sliced["family"]["table"][0].value is None


def test_stops() -> None:
    answers = [
        Completion(example_id="e0", text="x", finish_reason="stop"),
        Completion(example_id="e1", text="x", finish_reason="length"),
        Completion(example_id="e2", text="boom"),
    ]
    both: list[Evaluator] = [Picky(), Needy()]
    known = {name: example(name) for name in ("e0", "e1")}
    sums = tally(both, judge(both, known, answers), known, answers)
    assert sums.stops == {
        "picky": {("stop", "passed"): 1, ("length", "passed"): 1, ("unknown", "unscored"): 1},
        "needy": {("stop", "failed"): 1, ("length", "failed"): 1, ("unknown", "unscored"): 1},
    }


def test_an_evaluator_cannot_count_its_own_outcomes() -> None:
    forged = {"passed": 5, "failed": -3, "scored": 7, "unscored": 9, "objects": 2}
    sums = tally([Picky()], [verdict("1", "picky", False, counts=forged)], {"1": example("1")})
    assert sums.counts["picky"] == {"failed": 1, "scored": 1, "objects": 2}
    assert sums.slices["picky"]["format", "json"] == sums.counts["picky"]
    assert sums.unscored == 0


@st.composite
def judged(draw: st.DrawFn) -> list[tuple[Verdict, Example | None, Completion | None]]:
    passed = draw(st.lists(st.sampled_from([True, False, None]), max_size=12))
    rows = []
    for i, each in enumerate(passed):
        labels = draw(st.lists(st.sampled_from(["long", "dull"]), max_size=2)) if not each else []
        found = draw(
            st.builds(
                verdict,
                st.just(f"e{i}"),
                st.sampled_from(["picky", "json_strict"]),
                st.just(each),
                counts=st.dictionaries(st.sampled_from("abc"), st.integers(0, 3), max_size=2),
                **({} if each is None else {"labels": st.just(tuple(labels))}),
            )
        )
        family = draw(st.sampled_from(["edit", "table", None]))
        known = tagged(f"e{i}", family=family, hard_negatives=["x"] * (i % 3)) if family else None
        stops: list[FinishReason | None] = ["stop", "length", None]
        stop = draw(st.sampled_from(stops))
        answer = Completion(example_id=f"e{i}", text="", finish_reason=stop)
        rows.append((found, known, answer if draw(st.booleans()) else None))
    return rows


@given(judged(), st.integers(0, 12))
def test_merged_parts_are_the_whole(
    rows: list[tuple[Verdict, Example | None, Completion | None]], cut: int
) -> None:
    """The tally of a derived evaluator travels between processes, and parts add up in order."""
    evaluators = [Picky(), build("evaluators", "json_strict")]
    whole, first, second = (Tally(evaluators) for _ in range(3))
    for i, row in enumerate(rows):
        whole.add(*row)
        (first if i < cut else second).add(*row)
    first.merge(pickle.loads(pickle.dumps(second)))
    assert vars(first) == vars(whole)
    assert repr(first.metrics()) == repr(whole.metrics())


def test_clustered_needs_a_family_for_all_that_counts() -> None:
    known = {f"e{i}": tagged(f"e{i}", family="ab"[i % 2]) for i in range(6)}
    verdicts = [
        verdict(f"e{i}", "needy", i > 1, counts={"right": 1, "all": 1} if i % 2 else {})
        for i in range(6)
    ]
    sums = tally([Needy()], verdicts, known)
    found = sums.clustered("needy")
    assert list(found) == ["match_rate", "miss_rate"], "all fields came from one family"
    assert found["match_rate"].families == 2
    assert found["miss_rate"].low == pytest.approx(1 - found["match_rate"].high)
    sums.add(verdict("e9", "needy", True))
    assert sums.clustered("needy") == {}, "one is of no known family"
