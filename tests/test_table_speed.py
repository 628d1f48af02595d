"""The short ways to judge a table: they say what the careful ones say, and hold at any length."""

from __future__ import annotations

from random import Random

import pytest

from fmtharness.evaluators.tables.csv import CsvFormat
from fmtharness.evaluators.tables.csv_fields import Place, field_at, patterns_of
from fmtharness.harness.contracts import Parsed
from fmtharness.harness.surroundings import strictly
from fmtharness.harness.testing.promises import outgrown

SIGNS = ('"', '""', ",", ";", "\t", "|", " ", "\n", "\r\n", "\r", "a", "é", "\0", "\\", "\ufeff")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_field_without_a_fault_is_read_as_the_careful_reader_does(delimiter: str) -> None:
    clean, rng, seen = patterns_of(delimiter).clean, Random(0), 0
    for _ in range(2_000):
        text = "".join(rng.choice(SIGNS) for _ in range(rng.randint(0, 8)))
        found = clean(text, 0)
        notes: list[tuple[str, int, int]] = []
        cell, careful = field_at(
            text, 0, delimiter, Place(0, None), lambda *said, into=notes: into.append(said)
        )
        assert bool(found) == (not notes), text
        if found:
            value = found[2] if found[1] is None else found[1].replace('""', '"')
            assert (found.start(3), value) == (cell.end, cell.value), text
            assert found.span(3) == careful.span("separator"), text
            seen += 1
    assert seen > 200


@pytest.mark.parametrize("unit", ['"a" b\n', 'x,y\n"a"b,c\n'])
def test_csv_with_a_wrong_quote_on_each_line_is_judged_in_linear_time(unit: str) -> None:
    parse = CsvFormat().parse
    small, large = ("a,b\n" + unit * (size // len(unit)) for size in (10_000, 160_000))
    assert not parse(large).ok
    assert not outgrown(lambda: parse(small), lambda: parse(large))


@pytest.mark.parametrize("text", ["```\na=1\n```", "~~~ini\na=1\n~~~\n", "```ini\na=1"])
def test_a_text_that_begins_with_a_fence_is_read_only_without_it(text: str) -> None:
    read: list[str] = []

    def reader(inner: str) -> Parsed:
        read.append(inner)
        return Parsed(inner)

    problems = strictly(text, reader, lambda line: "=" in line).problems
    assert {problem.label for problem in problems} == {"code_fence"}
    assert [inner.strip() for inner in read] == ["a=1"]
