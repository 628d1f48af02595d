"""One wrong character in a valid text of lines has one label, as far as a reader would see one."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from fmtharness.evaluators.one_edit import MOST_READ, Mends, alone
from fmtharness.evaluators.tables.csv import CsvFormat
from fmtharness.evaluators.tables.markdown import MarkdownTableFormat
from fmtharness.evaluators.yaml.format import YamlFormat
from fmtharness.harness.records import Problem
from fmtharness.harness.testing.promises import outgrown
from fmtharness.harness.testing.sample_values import plain_values

FORMATS: dict[str, Any] = {
    "csv": CsvFormat(),
    "markdown_table": MarkdownTableFormat(),
    "yaml": YamlFormat(),
}
SIGNS = ",;:|\"'-#{}[]>&*!?%@`\\\n \tx1\0\r.=_"


def edited(text: str, rng: Random) -> str:
    """The text with one character deleted, inserted, doubled, replaced or swapped."""
    at = rng.randrange(len(text))
    sign, here = rng.choice(SIGNS), text[at]
    put = rng.choice(["", sign + here, here * 2, sign, None])
    if put is None:
        return text[:at] + text[at : at + 2][::-1] + text[at + 2 :]
    return text[:at] + put + text[at + 1 :]


def broken(name: str, seeds: int) -> Iterator[set[str]]:
    """The labels of each text that one edit broke."""
    tested, rng = FORMATS[name], Random(0)
    for seed in range(seeds):
        for value in plain_values(tested, seed):
            try:
                text = tested.render(value)
            except ValueError:
                continue
            for _ in range(12):
                labels = {problem.label for problem in tested.parse(edited(text, rng)).problems}
                if labels:
                    yield labels


@pytest.mark.parametrize(
    ("name", "least"), [("csv", 0.96), ("markdown_table", 0.97), ("yaml", 0.95)]
)
def test_one_edit_of_a_valid_text_gives_one_label(name: str, least: float) -> None:
    found = list(broken(name, 8))
    assert len(found) > 200
    share = sum(len(labels) == 1 for labels in found) / len(found)
    assert share >= least, share


@pytest.mark.parametrize(
    ("name", "text", "label", "wrong"),
    [
        ("markdown_table", "| a | b || --- | --- |\n| x | y |", "bad_delimiter_row", "--- | ---"),
        ("markdown_table", "| a | b |{| --- | --- |\n| x | y |", "bad_delimiter_row", "--- | ---"),
        ("markdown_table", "| a | b |\n| -\0- | --- |\n| x | y |", "raw_control_character", "\0"),
        ("markdown_table", "| a | b |\n| \0-- | --- |\n| x | y |", "raw_control_character", "\0"),
        ("markdown_table", "| a | b |\n| --- | ---\r |\n| x | y |", "broken_row", "\r "),
        (
            "markdown_table",
            "| a | b ||\n --- | --- |\n| x | y |",
            "missing_outer_pipe",
            "--- | --- |",
        ),
        ("yaml", "a:\n  >b: 1\n  c: 2", "unquoted_special", ">b: 1"),
        ("yaml", "a:\n  |b: 1\n  c: 2", "unquoted_special", "|b: 1"),
        ("yaml", "|rows:\n- a: 1", "unquoted_special", "|rows:"),
        ("yaml", "a: 1\ninner:x\n  b: 2\n", "missing_colon", "inner:x"),
        ("yaml", "a: |\n  x\n\n # c\n  y", "comment", "# c"),
        ("yaml", '{"a" "b"}', "missing_colon", '"a"'),
        ("yaml", "rows\n- a: 1", "missing_colon", "rows"),
        ("yaml", "{a: 1, b: [c: 1}, d: 2}", "mismatched_bracket", "}"),
        ("yaml", "'r':\n- 'a'': 'x, z'\n  'b': z\n", "unescaped_quote", "x, z'"),
        ("csv", "ab\n1,2", "ragged_row", "1,2"),
        ("csv", "a,b\n1\n\n,2\n3,4", "blank_line", "\n"),
        ("csv", "a,b\n1\r2,3\n4,5", "bare_carriage_return", "\r"),
        ("csv", "a,b\n1\0" + "2\n3,4", "raw_control_character", "\0"),
    ],
)
def test_one_fault_has_one_label_where_it_stands(
    name: str, text: str, label: str, wrong: str
) -> None:
    found = [(p.label, text[p.start : p.end]) for p in FORMATS[name].parse(text).problems]
    assert found == [(label, wrong)]


def test_dashes_and_the_first_row_on_one_line_are_one_fault() -> None:
    problems = FORMATS["markdown_table"].parse("| a | b |\n| --- | --- | | x | y |").problems
    assert [problem.label for problem in problems] == ["bad_delimiter_row"]


def test_a_field_whose_quote_opens_late_has_no_blank_outside_of_quotes() -> None:
    problems = FORMATS["csv"].parse('a,b\n1,3"a, b"\n').problems
    assert {problem.label for problem in problems} == {"bare_quote"}


@pytest.mark.parametrize(
    ("name", "text", "labels"),
    [
        ("yaml", "a: yes\na: b: c", {"ambiguous_scalar", "duplicate_key", "unquoted_colon"}),
        ("yaml", "- a: 'b\n\n  c'\n", {"wrong_root", "bad_indentation"}),
        ("csv", "Answer:\na,b,c\n1,2", {"text_before", "ragged_row"}),
        ("csv", "a,a\n1, 2", {"duplicate_column", "padded_field"}),
        (
            "markdown_table",
            "| a | a |\n| --- | === |\n| x | y |",
            {"duplicate_column", "bad_delimiter_row"},
        ),
    ],
)
def test_two_faults_keep_two_labels(name: str, text: str, labels: set[str]) -> None:
    assert {problem.label for problem in FORMATS[name].parse(text).problems} == labels


def test_a_column_may_be_named_with_dashes() -> None:
    parsed = FORMATS["markdown_table"].parse("| : | - |\n| --- | --- |\n| x | y |")
    assert parsed.value == [{":": "x", "-": "y"}]


def test_the_text_is_read_again_a_bounded_number_of_times() -> None:
    read: list[str] = []
    text = "x" * (MOST_READ // 4)
    problems = [Problem("a", "", 0, 1), Problem("b", "", 5, 6)]
    mends = Mends(insert=":", replace=":")

    def passes(mended: str) -> bool:
        read.append(mended)
        return False

    assert alone(text, problems, mends, passes) == (*problems,)
    assert 1 < len(read) <= 4


@pytest.mark.parametrize("unit", ["a:\n", "!!str a\n", "'a'': x\n", "{a: b]\n", "-a: 1\n"])
def test_yaml_with_a_mistake_on_each_line_is_judged_in_linear_time(unit: str) -> None:
    parse = FORMATS["yaml"].parse
    small, large = ("a:\n" * (n // 6) + unit * (n // 2 // len(unit)) for n in (5_000, 80_000))
    assert not parse(large).ok
    assert not outgrown(lambda: parse(small), lambda: parse(large))
