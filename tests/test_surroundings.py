"""What stands around a value made of lines, and the labels that all such formats share."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmtharness.harness.contracts import Parsed
from fmtharness.harness.records import Problem
from fmtharness.harness.surroundings import CORRUPTIONS, LABELS, MOST_OF_ONE_LABEL, strictly
from fmtharness.harness.testing.promises import is_linear


def looks(line: str) -> bool:
    return "=" in line


def read(text: str) -> Parsed:
    """Lines of key=value, as many as one likes."""
    lines = text.rstrip("\n").split("\n")
    problems = [Problem("no_pair", "no pair", 0, 1) for line in lines if not looks(line)]
    return Parsed([line.split("=", 1) for line in lines], tuple(problems))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a=1\nb=2", []),
        ("Sure:\n\na=1\n\nBye.\nBye!", [("text_before", "Sure:"), ("text_after", "Bye.\nBye!")]),
        ("```\na=1\n```", [("code_fence", "```"), ("code_fence", "```")]),
        ("Hi\n```ini\na=1\n```\n x ", ["text_before", "code_fence", "code_fence", "text_after"]),
        ("~~~ ini\r\na=1", [("code_fence", "~~~ ini")]),
        ("a=1\n```", [("code_fence", "```")]),
        ("a=1\n```\nBye", ["code_fence", "text_after"]),
        ("``` \n ```", ["code_fence", "code_fence"]),
        ("`no`", [("code_fence", "`"), "no_pair", ("code_fence", "`")]),
        ("\ufeffa=1", [("byte_order_mark", "\ufeff")]),
        ("\ufeff", ["byte_order_mark"]),
        ("\ufeff```\na=1\n```", ["byte_order_mark", "code_fence", "code_fence"]),
        ("", ["empty"]),
        (" \n\t", ["empty"]),
        ("\xa0\n", [("no_value", "\xa0\n")]),
        ("I cannot do that.", [("no_value", "I cannot do that.")]),
        ("Sure:\na=1\nand\nb=2", ["text_before", "no_pair"]),
    ],
)
def test_what_is_found(text: str, found: list[str | tuple[str, str]]) -> None:
    parsed = strictly(text, read, looks)
    spans = [(problem.label, text[problem.start : problem.end]) for problem in parsed.problems]
    assert len(spans) == len(found), spans
    for (label, span), wanted in zip(spans, found, strict=True):
        assert wanted in (label, (label, span))


@pytest.mark.parametrize("name", CORRUPTIONS)
@given(st.integers(0, 100))
def test_a_corruption_carries_its_own_label(name: str, seed: int) -> None:
    broken = CORRUPTIONS[name]("a=1\nb=2\n", Random(seed))
    assert broken is not None
    labels = {problem.label for problem in strictly(broken, read, looks).problems}
    assert labels == {name}
    assert name in LABELS


def test_problems_of_one_label_are_bounded() -> None:
    found = strictly("a=1\n" + "x\n" * 500 + "b=2", read, looks).problems
    assert len(found) == MOST_OF_ONE_LABEL


def test_what_is_no_value_by_its_blanks_is_not_called_empty() -> None:
    found = strictly("\xa0\x1c", read, lambda line: True).problems
    assert [(problem.label, problem.end) for problem in found] == [("no_value", 2)]


@pytest.mark.parametrize("unit", [" ", "\t", "x", "-", "`", "` "])
def test_a_line_like_a_fence_is_judged_in_linear_time(unit: str) -> None:
    assert is_linear(lambda text: strictly(text, read, looks), unit, "```", ";")


@given(st.text("a=`~\n\ufeff \t", max_size=30))
def test_spans_lie_inside_and_in_order(text: str) -> None:
    parsed = strictly(text, read, looks)
    assert parsed.ok == (parsed.value is not None)
    places = [(problem.start, problem.end) for problem in parsed.problems]
    assert places == sorted(places)
    assert all(0 <= start <= end <= len(text) for start, end in places)
