"""Strict CSV: what passes, what each mistake is called, and that Python's own reader agrees."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmtharness.evaluators.tables.csv import CsvFormat
from fmtharness.harness.testing import check_format

CSV = CsvFormat(min_columns=1)
DELIMITERS = [",", ";", "\t", "|"]
TABLE = "name,city\nAda,Oslo\nBob,Riga"


def found(text: str, judge: CsvFormat = CSV) -> list[tuple[str, str]]:
    return [(p.label, text[p.start : p.end]) for p in judge.parse(text).problems]


@pytest.mark.parametrize("delimiter", [",", pytest.param("\t", marks=pytest.mark.slow)])
def test_the_format_keeps_its_promises(delimiter: Any) -> None:
    check_format(CsvFormat(delimiter=delimiter))


def test_one_column_is_no_table_unless_it_is_asked_for() -> None:
    prose = "name: Ada Lopez\ncity: Oslo"
    assert found(prose, CsvFormat()) == [("too_narrow", prose)]
    assert found(prose) == []
    check_format(CSV, examples=20)
    with pytest.raises(ValueError, match="CSV cannot hold"):
        CsvFormat().render([{"city": "Oslo"}])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("city\nOslo", [{"city": "Oslo"}]),
        ('city\n""', [{"city": ""}]),
        ("a,b\n,\n", [{"a": "", "b": ""}]),
        ('a,b\r\n"x\ny","say ""hi"""\r\n', [{"a": "x\ny", "b": 'say "hi"'}]),
        ('a,b\n" x ","1,5"', [{"a": " x ", "b": "1,5"}]),
        ("a,b\nit's,50% #1; | -\"".replace('"', ""), [{"a": "it's", "b": "50% #1; | -"}]),
        ("a,b\n<x>,{y}", [{"a": "<x>", "b": "{y}"}]),
    ],
)
def test_what_passes(text: str, value: Any) -> None:
    assert CSV.parse(text).value == value


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", [("empty", "")]),
        *((blank, [("no_value", ...)]) for blank in ("\xa0", "\x1c", "\xa0\n\xa0")),
        ("I'm sorry, but I can't help with that.", [("no_value", ...)]),
        ("I cannot do that", [("no_value", ...)]),
        ('[{"name": "Ada", "city": "Oslo"}]', [("no_value", ...)]),
        ('{\n  "name": "Ada",\n  "city": "Oslo"\n}', [("no_value", ...)]),
        ("name,city", [("no_rows", ...)]),
        (f"\n{TABLE}", [("blank_line", "\n")]),
        (f"{TABLE}\n\n", [("blank_line", "\n")]),
        ("a,b\n\n1,2\n \n3,4", [("blank_line", "\n"), ("blank_line", " \n")]),
        (f"Sure, here it is:\n{TABLE}", [("text_before", "Sure, here it is:")]),
        (f"{TABLE}\nBye, now, friend.", [("text_after", "Bye, now, friend.")]),
        (f"{TABLE}\nI hope this helps!", [("text_after", "I hope this helps!")]),
        (f"```csv\n{TABLE}\n```", [("code_fence", "```csv"), ("code_fence", "```")]),
        ("city\nOslo\n```", [("code_fence", "```")]),
        ("Yes:\n```\na,b\n1\n```", [("text_before", "Yes:"), *[("code_fence", "```")], ...]),
        ("a;b\n1;2", [("wrong_delimiter", "a;b")]),
        ("a;b\n1,5;2", [("wrong_delimiter", "a;b")]),
        ("Here:\n\na;b\n1;2", [("text_before", "Here:"), ("wrong_delimiter", "a;b")]),
        ("| a | b |\n| - | - |\n| 1 | 2 |", [("wrong_delimiter", "| a | b |")]),
        ("a,b\n1,2,3\n4\n5,6", [("ragged_row", "1,2,3"), ("ragged_row", "4")]),
        ("a,b\n1,2\nOs", [("ragged_row", "Os")]),
        (
            "a,b\nOslo,tea, and cake.",
            [("ragged_row", "Oslo,tea, and cake.")],
        ),
        ('a, "b"\n1, "x, y"', [("padded_field", " "), ("padded_field", " ")]),
        ("a,b \n1,2", [("padded_field", " ")]),
        ("a,a\n1,2", [("duplicate_column", "a")]),
        ("a,\n1,2", [("empty_column", "")]),
        ('a,b\n5" pipe,2', [("bare_quote", '"')]),
        ('a,b\n"x" (new),2', [("text_after_quote", " (new)")]),
        ('a,b\n"say \\"x, y\\" to",2', [("backslash_escape", '\\"'), ("backslash_escape", '\\"')]),
        ('a,b\n1,"two\nthree', [("truncated", "")]),
        ("a,b\n1\x00,2", [("raw_control_character", "\x00")]),
        ("a,b\r1,2", [("bare_carriage_return", "\r")]),
        ("\ufeffa,b\n1,2", [("byte_order_mark", "\ufeff")]),
        ('a,b\n"say "hi" now",2', [("unescaped_quote", '"'), ("unescaped_quote", '"')]),
        ('a,b\n"he said "x, y"",2', [("unescaped_quote", '"'), ("unescaped_quote", '"')]),
        ('a,b\n"x,2\n3,4', [("unclosed_quote", '"x')]),
        ('a,b\n"x,2\n', [("unclosed_quote", '"x')]),
        ('a,b\n"x,2\n"y",4', [("unclosed_quote", '"x')]),
        ('a,b\n1,"x\n2,"y"', [("unclosed_quote", '"x')]),
        ('a,b\n"x, y,2\n3,4', [("unclosed_quote", '"x, y')]),
        ('a,b,c\n1,2,3\n1,"sa', [("truncated", "")]),
        ('a,b\n"x" ,2', [("padded_field", " ")]),
        ('a,b,c\nx, y",1,2', [("bare_quote", '"')]),
        ('a,b\n"x"1', [("text_after_quote", "1")]),
        ("a,,b\n1,2\n3,4", [("empty_column", "")]),
        ("a,b\r\n1,2\n3,4", [("mixed_line_ends", "\n")]),
        ("a,b\n1,\ud83d", [("lone_surrogate", "\ud83d")]),
        ('{"a": "1", "b": "2"}\n{"a": "3", "b": "4"}', [("no_value", ...)]),
    ],
)
def test_what_a_mistake_is_called_and_where_it_stands(text: str, problems: list[Any]) -> None:
    if problems[-1] is ...:
        assert set(problems[:-1]) <= set(found(text))
    else:
        assert found(text) == [(label, text if at is ... else at) for label, at in problems]


def test_a_ragged_row_tells_both_widths() -> None:
    message = CSV.parse("a,b\n1,2,3").problems[0].message
    assert "row: 3" in message
    assert "header: 2" in message


@pytest.mark.parametrize(
    "value",
    [
        *([], [{}], {"a": "x"}, [{"a": 1}], [{"a": None}], [{1: "x"}], [{"": "x"}], ["x"]),
        *([{"a": "x"}, {"b": "y"}], [{"a": "x", "b": "y"}, {"a": "x"}]),
    ],
)
def test_what_csv_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        CSV.render(value)


cells = st.one_of(
    st.text(st.sampled_from("ab ,;|\t\n\r\"'`~é.:{[\\"), max_size=6), st.text(max_size=4)
)


@st.composite
def tables(draw: st.DrawFn, least: int = 1) -> list[dict[str, str]]:
    names = draw(st.lists(cells.filter(bool), min_size=least, max_size=3, unique=True))
    rows = st.lists(cells, min_size=len(names), max_size=len(names))
    return [
        dict(zip(names, row, strict=True)) for row in draw(st.lists(rows, min_size=1, max_size=3))
    ]


@settings(max_examples=300, deadline=None)
@given(tables(), st.sampled_from(DELIMITERS))
def test_every_table_of_texts_comes_back(value: Any, delimiter: Any) -> None:
    judge = CsvFormat(delimiter=delimiter, min_columns=1)
    text = judge.render(value)
    assert judge.parse(text).value == value
    assert rows_of(text, delimiter) == [list(value[0]), *(list(row.values()) for row in value)]


def rows_of(text: str, delimiter: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))


@settings(max_examples=300, deadline=None)
@given(tables(least=2), st.sampled_from(DELIMITERS), st.sampled_from(["\n", "\r\n"]))
def test_what_python_writes_in_quotes_passes(value: Any, delimiter: Any, end: str) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator=end)
    writer.writerows([list(value[0]), *(list(row.values()) for row in value)])
    assert CsvFormat(delimiter=delimiter, min_columns=1).parse(out.getvalue()).value == value


@settings(max_examples=2000, deadline=None)
@given(
    st.sampled_from([TABLE, 'a,b\r\n"x, y","z ""q"""\r\n', 'a\n"1\n2"', "a;b\n1;2"]),
    st.lists(st.tuples(st.integers(0, 30), st.sampled_from('ab,;"\n\r \\\0')), max_size=4),
    st.sampled_from([",", ";"]),
)
def test_what_passes_python_reads_alike(text: str, edits: Any, delimiter: Any) -> None:
    for at, sign in edits:
        text = text[:at] + sign + text[at:]
    parsed = CsvFormat(delimiter=delimiter, min_columns=1).parse(text)
    if parsed.ok:
        header, *rows = rows_of(text, delimiter)
        assert parsed.value == [dict(zip(header, row, strict=True)) for row in rows]


def test_a_field_may_be_longer_than_python_s_limit() -> None:
    long = "x" * (csv.field_size_limit() + 1)
    assert CSV.parse(f"a,b\n{long},1").value == [{"a": long, "b": "1"}]
