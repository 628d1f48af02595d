"""The scanner's own promises: linear time on hostile texts, whatever the depth."""

from __future__ import annotations

import pytest

from fmtharness.evaluators.json.format import JsonFormat
from fmtharness.evaluators.json.reader import build, read
from fmtharness.evaluators.json.scanner import BROKEN, END, Scanner
from fmtharness.evaluators.json.side_by_side import find_objects
from fmtharness.harness.testing.promises import is_linear

STRICT = JsonFormat()

UNITS = [
    *("{", "[", '{"a":', '{"a":1,', '[{"":', "{}", "[1]", '"', '\\"', "'", "`", "``` ", '{"a"'),
    *('{""', "a ", "a 'b ", "{a“a ", "[1 ", "}", "]", "[}", "{]", ",", ":", "//", "/*", "#\n"),
    *("1", "0", "-", ".", "\x00", " ", "\ufeff", "\ud800", "\\ud800", '"\\u12', '{"a":x,'),
    *('{"a":"b"c', "=a", '{"a":1}x', '{"a":1} x {"b":', "[[],", '{"a":1;', '["a":', "1_"),
    *('{"a":True,"a":', '{"a":{"a":1},', "\xa0", "“", "...", '"a"b', '{"\\u0061":1,', "{a:"),
]
STARTS = ["", '{"a":', "[", '{"a":"', "x "]


@pytest.mark.parametrize("unit", UNITS)
def test_hostile_texts_take_linear_time(unit: str) -> None:
    for start in STARTS:
        for work in (STRICT.parse, find_objects):
            assert is_linear(work, unit, before=start), (start, work)


@pytest.mark.parametrize(
    "text", ["{" * 100_000, '{"a":' * 50_000, '{"a":"' + '\\"' * 100_000, "[" * 100_000]
)
def test_the_named_hostile_texts(text: str) -> None:
    assert "truncated" in {problem.label for problem in STRICT.parse(text).problems}
    assert find_objects(text) == []


@pytest.mark.parametrize(
    ("text", "outcome", "pos", "token"),
    [
        ('{"a": tru}', BROKEN, 9, 6),
        ('{"a": tru', END, 9, 6),
        ('{"a": "x\\q"}', BROKEN, 9, 6),
        ('{"a": "x\\u00', END, 12, 6),
        ('{"a": 01}', BROKEN, 7, 7),
        ('{"a": 1.}', BROKEN, 8, 6),
        ('{"a": -', END, 7, 6),
        ("[1,]", BROKEN, 3, 3),
        ('{"a" 1}', BROKEN, 5, 5),
    ],
)
def test_it_stops_at_the_first_impossible_character(
    text: str, outcome: str, pos: int, token: int
) -> None:
    scanner = Scanner(text, 0)
    assert (scanner.run(), scanner.pos, scanner.token) == (outcome, pos, token)


def test_read_leaves_what_follows_alone() -> None:
    assert read('x {"a": [1]} y', 2) == ({"a": [1]}, 12)


def test_read_says_before_which_offset_no_closed_object_repeats_a_key() -> None:
    assert read('{"a": {"b": 1}, "c": }') == 21
    assert read('{"a": {"b": 1, "b": 2}, "b": }') == 15
    assert read('{"a": {"\\u0062": 1, "b": 2}}') == 0
    assert read('{"a": NaN}') == 0


def test_build_reads_what_recursion_cannot() -> None:
    value = build('{"k:": [' + "[" * 50_000 + '"}", -1, 2.5, true, null' + "]" * 50_000 + "]}")
    (value,) = value.values()
    while len(value) == 1:
        value = value[0]
    assert value == ["}", -1, 2.5, True, None]
