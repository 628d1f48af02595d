"""Regular expressions: what passes, what a mismatch is labelled with, and patterns from values."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fmtharness.evaluators.regex.format import RegexFormat
from fmtharness.evaluators.regex.layout import Part, layout, prefixes
from fmtharness.harness.formats import for_value, options_of, strict_evaluator
from fmtharness.harness.records import Completion, Example
from fmtharness.harness.testing import check_format
from fmtharness.harness.testing.promises import seconds
from tests.strategies import at_least

LINE = RegexFormat()
STAY = RegexFormat().for_value({"city": "", "nights": ""})


def spans(text: str, judge: RegexFormat = STAY) -> list[tuple[str, str]]:
    return [
        (problem.label, text[problem.start : problem.end]) for problem in judge.parse(text).problems
    ]


def test_the_format_keeps_its_promises() -> None:
    check_format(LINE)


literals = st.text(st.sampled_from("ab =;.*(n\n\\é"), min_size=1, max_size=4)
bodies = st.sampled_from(
    [".*", "[^;\n]*", "[a-c]+", "[0-9]{1,3}", "(?:a|b)*", "x|yy", r"[\]a(]+", ""]
)
names = st.lists(st.sampled_from(["a", "b2", "_c", "d_e"]), min_size=1, max_size=3, unique=True)


@st.composite
def patterns(draw: st.DrawFn) -> str:
    """Literals and named groups, the way both engines read them."""
    pieces = [draw(literals.map(re.escape) | st.just(""))]
    for name in draw(names):
        pieces += [f"(?P<{name}>{draw(bodies)})", draw(literals.map(re.escape) | st.just(""))]
    return "".join(pieces)


@st.composite
def texts(draw: st.DrawFn, pattern: str) -> str:
    """A match or nearly one, or any text from its letters."""
    matching = draw(st.from_regex(pattern, fullmatch=True).filter(lambda text: len(text) < 60))
    near = st.integers(0, len(matching)).map(lambda cut: matching[:cut])
    return draw(st.one_of(st.just(matching), near, st.text("ab =;.*(n\n\\é12xy", max_size=6)))


@at_least(300)
@given(patterns().flatmap(lambda pattern: st.tuples(st.just(pattern), texts(pattern))))
def test_it_matches_what_python_matches(pair: tuple[str, str]) -> None:
    pattern, text = pair
    match = re.fullmatch(pattern, text)
    parsed = RegexFormat(pattern=pattern).parse(text)
    assert parsed.ok == (match is not None)
    if match:
        assert parsed.value == match.groupdict()


@at_least(300)
@given(patterns().flatmap(lambda pattern: st.tuples(st.just(pattern), texts(pattern))))
def test_a_layout_is_read_and_written(pair: tuple[str, str]) -> None:
    pattern, text = pair
    judge = RegexFormat(pattern=pattern)
    parts = layout(pattern)
    assert parts is not None
    rebuilt = "".join(
        f"(?P<{part.name}>{part.text})" if part.name else re.escape(part.text) for part in parts
    )
    assert rebuilt == pattern
    if judge.parse(text).ok:
        value = judge.parse(text).value
        beginnings = prefixes(pattern)
        literal_starts = [cut for cut in range(len(text)) if is_cut_in_literal(pattern, text, cut)]
        assert all(beginnings.fullmatch(text[:cut]) for cut in literal_starts)
        try:
            written = judge.render(value)
        except ValueError:
            return  # another text than this one comes of the value, and it is read otherwise
        assert judge.parse(written).value == value


def is_cut_in_literal(pattern: str, text: str, cut: int) -> bool:
    match = re.fullmatch(pattern, text)
    assert match
    return not any(start < cut < end for start, end in match.regs[1:])


@pytest.mark.parametrize(
    ("pattern", "parts"),
    [
        (r"\(\.\n(?P<a>[)\]]+)", (Part("", "(.\n"), Part("a", r"[)\]]+"))),
        (r"(?<a>(x)(?:y))", (Part("a", "(x)(?:y)"),)),
        ("abc", None),
        ("a*(?P<b>.)", None),
        ("(?P<a>.)?", None),
        ("(?P<a>(?P<b>.))", None),
        (r"(?P<a>\Q)\E)", None),
        ("(?i)(?P<a>.)", None),
        ("(?P<a>.)|x", None),
        (r"\d(?P<a>.)", None),
        ("x{2}(?P<a>.)", None),
    ],
)
def test_layouts(pattern: str, parts: tuple[Part, ...] | None) -> None:
    assert layout(pattern) == parts
    if parts is None and "(" in pattern:
        with pytest.raises(ValueError):
            RegexFormat(pattern=pattern).render({"a": "x"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [("empty", "")]),
        (" \n", [("empty", " \n")]),
        ("\xa0", [("no_match", "\xa0")]),
        ("\u3000\n", [("no_match", "\u3000\n")]),
        ("\ufeff\x1c", [("byte_order_mark", "\ufeff"), ("no_match", "\x1c")]),
        ("```\n\xa0\n```", [("code_fence", "```"), ("no_match", "\xa0\n"), ("code_fence", "```")]),
        ("\ufeffcity=Oslo; nights=4", [("byte_order_mark", "\ufeff")]),
        ("Sure!\ncity=Oslo; nights=4", [("text_before", "Sure!")]),
        ("Sure! city=Oslo; nights=4\nBye.", [("text_before", "Sure!"), ("text_after", "Bye.")]),
        ("```\ncity=Oslo; nights=4\n```", [("code_fence", "```"), ("code_fence", "```")]),
        ("`city=Oslo; nights=4`", [("code_fence", "`"), ("code_fence", "`")]),
        ("city=Oslo; nights=4\n", [("whitespace_around", "\n")]),
        (" city=Oslo; nights=4", [("whitespace_around", " ")]),
        ("City=Oslo; Nights=4", [("wrong_case", "City=Oslo; Nights=4")]),
        ("cit", [("truncated", "")]),
        ("city=Oslo", [("truncated", "")]),
        ("city=Oslo; nights", [("truncated", "")]),
        ("city=Oslo; night: 4", [("missing_part", "Oslo; night: 4")]),
        ("city=Oslo, nights=4", [("missing_part", "Oslo, nights=4")]),
        ("city=Oslo | nights=4", [("missing_part", "Oslo | nights=4")]),
        ("city=Oslo", [("truncated", "")]),
        ("Oslo; nights=4", [("missing_part", "Oslo")]),
        ("nights=4; city=Oslo; x", [("missing_part", "Oslo; x")]),
        ("city=A; nights=1\ncity=B; nights=2", [("multiple_roots", "city=B; nights=2")]),
        ('{"city": "Oslo"}', [("no_match", '{"city": "Oslo"}')]),
        ("I do not know.", [("no_match", "I do not know.")]),
        ("city=\ud800; nights=4", [("lone_surrogate", "\ud800")]),
    ],
)
def test_each_problem_has_its_label_and_span(text: str, expected: list[tuple[str, str]]) -> None:
    assert spans(text) == expected


def test_any_pattern_has_the_common_labels() -> None:
    code = RegexFormat(pattern="[A-Z]-[0-9]+")
    assert code.parse("A-31").value == "A-31"
    assert spans("It is A-31.", code) == [("text_before", "It is"), ("text_after", ".")]
    assert spans("A-", code) == [("no_match", "A-")]
    assert spans("a\nb", LINE) == [("multiple_roots", "b")]
    assert spans("\u3000\n", LINE) == [("no_match", "\u3000\n")]
    assert spans(" a   ", RegexFormat(pattern=r"a\s{2}")) == [("whitespace_around", " ")] * 2
    assert LINE.parse("`x`").ok
    assert LINE.parse("\ufeff").ok
    assert RegexFormat(pattern=r"(?s)\s*").parse("\n").value == "\n"
    assert RegexFormat(pattern="(?P<a>x)|(?P<b>y)").parse("y").value == {"b": "y"}


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("a(?=b)", "RE2 has no lookaround"),
        (r"(a)\1", "no backreferences"),
        ("(", r"missing \)"),
        ("a{5000}", "invalid repetition size"),
        ("(?P<a>.)(?P<a>.)", "two groups of the pattern are named 'a'"),
        (r"x\C", "cuts characters"),
        ("\ud800", "lone surrogate"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_one_sentence(pattern: str, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        RegexFormat(pattern=pattern)


def test_a_refused_pattern_writes_nothing_to_stderr() -> None:
    code = (
        "from fmtharness.evaluators.regex.format import RegexFormat\n"
        "try: RegexFormat(pattern='(?=')\n"
        "except ValueError: pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stderr == b""


def test_a_pattern_is_made_from_the_keys_of_a_value() -> None:
    value = {"city": "Oslo", "order_id": "A-1"}
    bound = LINE.for_value(value)
    assert bound.pattern == r"city=(?P<city>[^;\n]*); order_id=(?P<order_id>[^;\n]*)"
    assert bound.render(value) == "city=Oslo; order_id=A-1"
    assert "Oslo" not in bound.instruction(value)
    assert "`city=...; order_id=...`" in bound.instruction(value)
    assert LINE.pattern == ".+"
    set_by_user = RegexFormat(pattern="(?P<city>.*)")
    assert set_by_user.for_value(value) is set_by_user
    assert for_value(bound, {"other": "x"}) is bound


@pytest.mark.parametrize(
    "value", [{}, [], None, 3, {"a b": "x"}, {"a": 1}, {"a": None}, {1: "x"}, {"": "x"}]
)
def test_a_value_without_a_pattern_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):
        LINE.for_value(value)


@pytest.mark.parametrize("value", [{"city": "a;b", "nights": ""}, {"city": "x"}, {}, "x", None, 3])
def test_what_would_not_come_back_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):
        STAY.render(value)


def test_an_example_is_judged_by_its_own_pattern() -> None:
    value = {"city": "Oslo"}
    bound = LINE.for_value(value)
    example = Example(
        id="1",
        prompt=(),
        completion=bound.render(value),
        format="regex",
        value=value,
        format_options=json.loads(json.dumps(options_of(bound))),
    )
    judge = strict_evaluator(RegexFormat)()
    for text, passed in (("city=Riga", True), ("Riga", False)):
        assert judge.evaluate(example, Completion(example_id="1", text=text)).passed is passed


@pytest.mark.parametrize(
    "pattern", ["(a*)*b", "(?P<x>.*); y=(?P<y>.*)z", "(?:a?){200}a{200}", "a|a.*z"]
)
def test_hostile_patterns_take_linear_time(pattern: str) -> None:
    judge = RegexFormat(pattern=pattern)
    for text in ("a" * 100_000, "a\n" * 50_000, "; y=" * 25_000):
        assert seconds(partial(judge.parse, text)) < 5  # about 0.2
