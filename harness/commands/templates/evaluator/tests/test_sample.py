"""What the evaluator passes, what it fails, and what it counts."""

from fmtharness_sample import SampleEvaluator

from fmtharness.harness.records import Completion


def test_a_short_text_passes() -> None:
    verdict = SampleEvaluator().evaluate(None, Completion(example_id="1", text="short"))
    assert verdict.passed
    assert verdict.counts == {"one_line": 1}


def test_a_long_text_fails_where_it_gets_too_long() -> None:
    verdict = SampleEvaluator(limit=3).evaluate(None, Completion(example_id="1", text="lo\nng"))
    assert verdict.labels == ("too_long",)
    assert [(problem.start, problem.end) for problem in verdict.problems] == [(3, 5)]
    assert verdict.counts == {"one_line": 0}
