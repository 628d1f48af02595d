"""The diagnosis of a text: what it says, where its carets stand, and that it never raises."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import example as case
from hypothesis import given
from hypothesis import strategies as st

from fmtharness.harness.judging.verdicts import judge
from fmtharness.harness.options import build
from fmtharness.harness.records import Completion, Problem, Verdict
from fmtharness.harness.report.diagnostics import MOST_BLOCKS, WIDTH, Lines, diagnosis
from fmtharness.harness.text import visible
from tests.fakes import verdict
from tests.strategies import broken_texts, json_objects, mutated_texts, written_texts

STRICT = build("evaluators", "json_strict")


def strict(text: str, **options: Any) -> str:
    """The diagnosis that json_strict gives."""
    (found,) = judge([STRICT], {}, [Completion(example_id="1", text=text)])
    return diagnosis(text, found, **options)


def failed(*problems: Problem, labels: tuple[str, ...] = ()) -> Verdict:
    return verdict("1", "picky", False, problems=problems, labels=labels)


def rows(text: str, *spans: tuple[int, int], **options: Any) -> list[str]:
    """What stands below the place of one problem, up to the summary."""
    shown = diagnosis(text, failed(*(Problem("odd", "Odd.", *span) for span in spans)), **options)
    assert shown.endswith("\n\npicky: failed (odd)")
    return shown.splitlines()[3:-2]


SAMPLES = {
    '{"a": 1}': "json_strict: passed",
    "{'a': 'b', \"c\": True,}": """
single_quotes: a string is in single quotes
 --> text:1:2
  |
1 | {'a': 'b', "c": True,}
  |  ^^^  ^^^ single_quotes

python_literal: True is Python; JSON writes true
 --> text:1:17
  |
1 | {'a': 'b', "c": True,}
  |                 ^^^^ python_literal

trailing_comma: a comma stands before a closing bracket
 --> text:1:21
  |
1 | {'a': 'b', "c": True,}
  |                     ^ trailing_comma

json_strict: failed (single_quotes, python_literal, trailing_comma)""",
    '{"a": 1}\nSo there.\n\nBye!\n': """
text_after: text stands after the value
 --> text:2:1
  |
2 | So there.
  | ^^^^^^^^^ text_after starts here
...
4 | Bye!
  | ^^^^ ends here

json_strict: failed (text_after)""",
    '{"a": [1,\n\n': """
truncated: the value ends with 2 brackets still open
 --> text:1:10
  |
1 | {"a": [1,
  |          ^ truncated

json_strict: failed (truncated)""",
    "": """
empty: there is no text, or nothing but whitespace
 --> text:1:1
  |
1 |
  | ^ empty

json_strict: failed (empty)""",
    '{"日本": None}': """
python_literal: None is Python; JSON writes null
 --> text:1:8
  |
1 | {"日本": None}
  |          ^^^^ python_literal

json_strict: failed (python_literal)""",
    '{\n\t"a": "x\ny\x1b"}': """
raw_control_character: a line feed (U+000A) must be written \\n inside a string
 --> text:2:9
  |
2 | ␉"a": "x␊
  |         ^ raw_control_character

raw_control_character: a control character (U+001B) must be written \\u001b inside a string
 --> text:3:2
  |
3 | y␛"}
  |  ^ raw_control_character

json_strict: failed (raw_control_character)""",
}


@pytest.mark.parametrize("text", SAMPLES)
def test_samples(text: str) -> None:
    assert strict(text) == SAMPLES[text].lstrip()


def test_several_places() -> None:
    text = "{'a': 1,\n" + "'b': 2,\n" * 10 + "}"
    assert strict(text, name="x.json").splitlines()[:6] == [
        "single_quotes: a string is in single quotes",
        " --> x.json:1:2",
        "  |",
        "1 | {'a': 1,",
        "  |  ^^^ single_quotes",
        "  = also at 2:1, 3:1, 4:1, 5:1, 6:1, 7:1, 8:1, 9:1 and 2 more",
    ]


def test_every_label_is_shown_before_one_is_shown_twice() -> None:
    text = '{"a": "' + "".join(rf"\{char}" for char in "acdeghijklmopq") + '", "b": True,}'
    shown = strict(text)
    blocks = re.findall(r"^(\w+): .*\n --> text:1:(\d+)$", shown, re.MULTILINE)
    assert len(blocks) == MOST_BLOCKS
    assert [label for label, _ in blocks] == ["bad_escape"] * 8 + [
        "python_literal",
        "trailing_comma",
    ]
    assert [int(column) for _, column in blocks] == sorted(int(column) for _, column in blocks)
    assert "\n\n... and 6 more\n\njson_strict: failed (bad_escape, python" in shown


def test_without_problems() -> None:
    assert diagnosis("x", failed()) == "picky: failed"
    assert diagnosis("x", failed(labels=("a", "b"))) == "picky: failed (a, b)"
    assert diagnosis("x", verdict("1", "picky", True, problems=(Problem("a", "", 0, 1),))) == (
        "picky: passed"
    )


def test_unscored() -> None:
    reason = Problem("unscored", "picky raised\nError:  a\x00 " + "b" * 900, 0, 1)
    shown = diagnosis("x", verdict("1", "picky", None, problems=(reason,)))
    assert shown.startswith("picky: unscored: picky raised Error: a␀ bbb")
    assert shown.endswith("bbb...") and len(shown) < 400
    shown = diagnosis("x", verdict("1", "picky", None, problems=()))
    assert shown == "picky: unscored: it gave no reason"


@pytest.mark.parametrize(
    ("text", "span", "expected"),
    [
        ("ab", (0, 2), ["1 | ab", "  | ^^ odd"]),
        ("ab", (1, 1), ["1 | ab", "  |  ^ odd"]),
        ("ab", (2, 0), ["1 | ab", "  | ^^ odd"]),
        ("ab", (-9, 1), ["1 | ab", "  | ^ odd"]),
        ("ab", (1, 99), ["1 | ab", "  |  ^ odd"]),
        ("ab", (99, 999), ["1 | ab", "  |   ^ odd"]),
        ("ab\r\n\r", (5, 5), ["1 | ab", "  |   ^ odd"]),
        ("\n\n", (2, 2), ["1 |", "  | ^ odd"]),
        ("a\rb\r\nc", (2, 3), ["2 | b", "  | ^ odd"]),
        ("a\r\nb", (1, 3), ["1 | a␍␊", "  |  ^^ odd"]),
        ("a\r\nb", (2, 3), ["1 | a␍␊", "  |   ^ odd"]),
        ("a\nb", (0, 2), ["1 | a", "  | ^ odd"]),
        ("a\u2028b\x0bc\x85d", (10, 10), ["1 | a<U+2028>b␋c<U+0085>d", f"  | {' ' * 21}^ odd"]),
        ("a\n\nb", (1, 3), ["1 | a␊", "  |  ^ odd starts here", "2 |", "  | ^ ends here"]),
        ("e\u0301!", (0, 2), ["1 | e\u0301!", "  | ^ odd"]),
        ("e\u0301!", (1, 2), ["1 | e\u0301!", "  | ^ odd"]),
        ("e\u0301!", (2, 3), ["1 | e\u0301!", "  |  ^ odd"]),
        ("👍🏽 ok", (3, 5), ["1 | 👍<U+1F3FD> ok", f"  | {' ' * 12}^^ odd"]),
        (
            "a\n" * 9 + "b",
            (0, 19),
            [" 1 | a", "   | ^ odd starts here", "...", "10 | b", "   | ^ ends here"],
        ),
    ],
)
def test_spans(text: str, span: tuple[int, int], expected: list[str]) -> None:
    shown = rows(text, span)
    assert shown == expected


def test_a_long_line_is_a_window() -> None:
    text = "".join(chr(ord("a") + n % 26) for n in range(1000))
    line, marks = rows(text, (500, 503))
    assert line == f"1 | ...{text[480:560]}..."
    assert marks == f"  | {' ' * 23}^^^ odd"
    assert "text:1:501" in diagnosis(text, failed(Problem("odd", "Odd.", 500, 503)))
    line, marks = rows(text, (1000, 1000))
    assert line == f"1 | ...{text[-WIDTH:]}"
    assert marks == f"  | {' ' * (WIDTH + 3)}^ odd"
    line, marks = rows(text, (100, 900))
    assert marks == f"  | {' ' * 23}{'^' * 63} odd", "carets below the ellipsis: it goes on"
    line, marks, also = rows(text, (500, 501), (510, 511), (600, 601))
    assert marks == f"  | {' ' * 23}^{' ' * 9}^ odd"
    assert also == "  = also at 1:601"


def test_the_last_line_shows_where_the_span_ends() -> None:
    text = "x\n" + "y" * 300 + "zz" + "y" * 300
    *_, line, marks = rows(text, (0, 304))
    assert line == f"2 | ...{'y' * 58}zz{'y' * 20}..."
    assert marks == f"  | {'^' * 63} ends here"


def test_colour() -> None:
    for text in SAMPLES:
        plain, coloured = strict(text), strict(text, color=True)
        assert "\x1b" not in plain
        assert "\x1b[" in coloured
        assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain


def test_a_stream_that_lacks_characters() -> None:
    text = '{"é\t日": “x”}'
    assert rows(text, (3, 5), encoding="latin-1") == [
        '1 | {"é<U+0009><U+65E5>": <U+201C>x<U+201D>}',
        f"  |    {'^' * 16} odd",
    ]
    assert strict(text, name="é.json", encoding="ascii").isascii()
    assert visible("a\u202e\ud800é", "ascii") == "a<U+202E><U+D800><U+00E9>"


def test_a_large_text_has_a_short_diagnosis() -> None:
    for text in ("x" * 1_000_000, "ab\n" * 300_000, "\u0301" * 1_000_000):
        problems = [Problem(f"l{n % 30}", f"m{n}", n * 1500, n * 1500 + n) for n in range(600)]
        shown = diagnosis(text, failed(*problems))
        assert len(shown) < 6000
        assert "\n\n... and 590 more\n\n" in shown


# What each character is shown as, and in how many cells.
SHOWN = {
    **{char: (char, 1) for char in 'ab{}", é→'},
    **{char: (char, 2) for char in "日😀"},
    "\t": ("␉", 1),
    "\x00": ("␀", 1),
    "\x7f": ("␡", 1),
    "\u200b": ("<U+200B>", 8),
    "\u202e": ("<U+202E>", 8),
    "\u2028": ("<U+2028>", 8),
    "\ufe0f": ("<U+FE0F>", 8),
    "\ud800": ("<U+D800>", 8),
    "\xa0": ("<U+00A0>", 8),
}
LINES = st.lists(st.text(st.sampled_from([*SHOWN]), max_size=150), min_size=1, max_size=12)
BREAKS = st.sampled_from(["\n", "\r\n", "\r"])


def cut(shown: str, first: int, last: int) -> str:
    """What stands in these cells of a row."""
    at, found = 0, ""
    for char in shown:
        found += char if first <= at < last else ""
        at += 2 if char in "日😀" else 1
    return found


@given(lines=LINES, line_break=BREAKS, data=st.data())
def test_carets_stand_below_their_span(lines: list[str], line_break: str, data: Any) -> None:
    number = data.draw(st.integers(0, len(lines) - 1))
    line = lines[number]
    start = data.draw(st.integers(0, len(line)))
    end = data.draw(st.integers(start, len(line)))
    before = sum(len(each) + len(line_break) for each in lines[:number])
    text = line_break.join(lines)
    if start == end == len(line) and not "".join(lines[number + 1 :]):
        number = max([0, *(n for n, each in enumerate(lines) if each)])
        line, start, end = lines[number], len(lines[number]), len(lines[number])
        before = sum(len(each) + len(line_break) for each in lines[:number])
    shown = diagnosis(text, failed(Problem("odd", "Odd.", before + start, before + end)))
    _, place, _, row, marks, *_ = shown.splitlines()
    assert place.endswith(f"--> text:{number + 1}:{start + 1}")
    gutter = len(str(number + 1)) + 3
    assert row[: gutter - 1] == f"{number + 1} |"
    row, marks = row[gutter:], marks[gutter:].removesuffix(" odd")
    first, last = len(marks) - len(marks.lstrip()), len(marks)
    assert set(marks[first:]) == {"^"}
    wanted = "".join(SHOWN[char][0] for char in line[start:end])
    found = cut(row, first, last)
    if start == end:
        assert last - first == 1
        behind = "".join(SHOWN[char][0] for char in line[start:])
        rest = cut(row, first, 9999)
        assert behind.startswith(rest.removesuffix("..."))
        assert bool(rest) == bool(behind), "behind the last character, nothing"
    elif found != wanted:
        assert found.endswith("...") and wanted.startswith(found.removesuffix("..."))
    whole = sum(SHOWN[char][1] for char in line)
    assert row.startswith("...") or row.endswith("...") or whole <= WIDTH
    assert sum(2 if char in "日😀" else 1 for char in row) <= WIDTH + 6


ANY_TEXT = st.text(st.characters() | st.sampled_from("\r\n\t\u0301\ud800日"), max_size=200)
ANY_SPAN = st.integers(-5, 210) | st.integers()
ANY_PROBLEM = st.builds(Problem, st.text(max_size=5), ANY_TEXT, ANY_SPAN, ANY_SPAN)


@given(
    text=ANY_TEXT,
    problems=st.lists(ANY_PROBLEM, max_size=30),
    passed=st.sampled_from([True, False, False, None]),
    color=st.booleans(),
    encoding=st.sampled_from(["utf-8", "ascii", "cp1252"]),
)
@case(text="", problems=[Problem("", "", 1, 0)], passed=False, color=False, encoding="ascii")
@case(text="\r", problems=[Problem("", "", 0, 0)] * 30, passed=False, color=True, encoding="ascii")
def test_nothing_raises(
    text: str, problems: list[Problem], passed: bool | None, color: bool, encoding: str
) -> None:
    found = verdict("1", "picky", passed, problems=tuple(problems))
    shown = diagnosis(text, found, name=text, color=color, encoding=encoding)
    shown.encode(encoding)
    plain = re.sub(r"\x1b\[[\d;]*m", "", shown) if color else shown
    assert all(line.isprintable() for line in plain.split("\n"))
    if passed is not False:
        assert "\n" not in shown


@given(broken_texts() | mutated_texts(written_texts(json_objects()).map(lambda pair: pair[0])))
def test_what_is_strict_json_s_problem_is_shown(text: str) -> None:
    found = STRICT.evaluate(None, Completion(example_id="1", text=text))
    shown = diagnosis(text, found)
    summary = shown.splitlines()[-1]
    if found.passed:
        assert shown == "json_strict: passed"
        return
    assert summary == f"json_strict: failed ({', '.join(found.labels)})"
    headers = [line.split(":")[0] for line in shown.splitlines() if re.match(r"\w+: ", line)][:-1]
    assert set(headers) <= set(found.labels)
    assert len(set(headers)) == min(len(found.labels), MOST_BLOCKS)


def test_lines() -> None:
    lines = Lines("a\rb\r\n\u2028c\n")
    assert [lines.line(number) for number in (1, 2, 3, 4)] == ["a\r", "b\r\n", "\u2028c\n", ""]
    assert [lines.place(at) for at in (0, 1, 2, 4, 5, 8)] == [
        (1, 1),
        (1, 2),
        (2, 1),
        (2, 3),
        (3, 1),
        (4, 1),
    ]
