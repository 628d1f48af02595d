"""Strict TOML: what passes, what fails and where, and that tomllib agrees on every text."""

from __future__ import annotations

import math
import sys
import tomllib
from random import Random
from typing import Any

import pytest
import tomli_w
from hypothesis import assume, example, given
from hypothesis import strategies as st

from fmtharness.evaluators.toml.format import TomlFormat
from fmtharness.evaluators.toml.labels import LABELS
from fmtharness.harness.matching import leaves, same_value
from fmtharness.harness.surroundings import MOST_OF_ONE_LABEL
from fmtharness.harness.testing import check_format, mutated
from fmtharness.harness.testing.promises import is_linear, seconds
from tests.strategies import KEYS, at_least, json_objects, json_scalars, json_values

STRICT = TomlFormat()
LENIENT = TomlFormat(comments=True, max_depth=200)


def spans(text: str, judge: TomlFormat = STRICT) -> list[tuple[str, str]]:
    """The labels with the characters they stand at."""
    return [
        (problem.label, text[problem.start : problem.end]) for problem in judge.parse(text).problems
    ]


def test_the_format_keeps_its_promises() -> None:
    check_format(STRICT)


@pytest.mark.slow
def test_a_lower_depth_keeps_the_promises() -> None:
    check_format(TomlFormat(max_depth=6), examples=20)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('a = "x"\nb = 1_000\nc = -0x1F\n', None),
        ('a = "x"\nb = 1_000\nc = 0x1F\n', {"a": "x", "b": 1000, "c": 31}),
        ("a = [1,\n  [2.5e3, true], # no\n]", None),
        ("a = [1,\n  [2.5e3, true],\n]", {"a": [1, [2500.0, True]]}),
        ("a = [\n  [1],\n  [2]\n]", {"a": [[1], [2]]}),
        ("[[rows]]\na.b = 1\n\n[rows.c]\nd = 'x'\n[[rows]]\n", None),
        ("a = { b = 1, 'c d' = { e.f = [] } }", {"a": {"b": 1, "c d": {"e": {"f": []}}}}),
        ('a = """\nx\\\n   y "q" ""\\u00e9"""', {"a": 'xy "q" ""é'}),
        ("a = '''x\n'y'\n'''\r\nb = 1\r\n", {"a": "x\n'y'\n", "b": 1}),
        ("a = -9223372036854775808\nb = +1\nc = 1e5", {"a": -(1 << 63), "b": 1, "c": 1e5}),
    ],
)
def test_what_passes(text: str, value: Any) -> None:
    parsed = STRICT.parse(text)
    if value is None:
        assert parsed.ok == (text.startswith("[[")), parsed.problems
    else:
        assert same_value(parsed.value, value), parsed.problems


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("city = Oslo\nnights = 3 or 4", [("bare_value", "Oslo"), ("bare_value", "3 or 4")]),
        ("a = True\nb = None", [("python_literal", "True"), ("python_literal", "None")]),
        ("a = [1, null]", [("null_value", "null")]),
        ("😀 = 1\r\nb = x\r\n", [("unquoted_key", "😀"), ("bare_value", "x")]),
        (
            "a = 2024-05-01\nb = [10:30:00]",
            [("date_or_time", "2024-05-01"), ("date_or_time", "10:30:00")],
        ),
        ("a = 1979-05-27 07:32:00Z", [("date_or_time", "1979-05-27 07:32:00Z")]),
        (
            "a = -inf\nb = nan\nc = 1e999",
            [("nan_or_infinity", word) for word in ("-inf", "nan", "1e999")],
        ),
        ("a = 9223372036854775808", [("integer_out_of_range", "9223372036854775808")]),
        (
            "a = 01\nb = .5\nc = 1.2.3\nd = 1,000",
            [("bad_number", word) for word in ("01", ".5", "1.2.3", "1,000")],
        ),
        ("a =\nb = 1", [("missing_value", "=")]),
        ('a: "x"\nb = 1', [("colon_for_equals", ":")]),
        ("a = 1\nfoo bar\nb = 2", [("missing_equals", "foo bar")]),
        ("first name = 1", [("unquoted_key", "first name")]),
        ("[a b]\nc = 1", [("bad_header", "[a b]")]),
        ('[":"\n', [("bad_header", '[":"')]),
        ('a = 1\n\n[b."x = y"\n', [("bad_header", '[b."x = y"')]),
        ('["a", "b"\n', [("no_value", '["a", "b"\n')]),
        ("[a]]\nb = 1", [("bad_header", "[a]]")]),
        ("[a] b = 1", [("bad_header", "b = 1")]),
        ("a = 1 b = 2", [("several_values", "1 b = 2")]),
        ('a = "x",\nb = 2,', [("several_values", ","), ("several_values", "2,")]),
        ('a = ["x" "y", 1 2]', [("missing_comma", ""), ("missing_comma", "1 2")]),
        ('a = {b = "x" "c d" e = "y"}', [("missing_comma", ""), ("unquoted_key", '"c d" e')]),
        ("a = [1,,2]", [("extra_comma", ",")]),
        ("a = {b = 1,}", [("trailing_comma", ",")]),
        ("a = {b = 1,\n  c = 2}", [("newline_in_inline_table", "\n")]),
        ("a = {\n  b = 1,\n  c = 2\n}", [("newline_in_inline_table", "\n")]),
        ("a = [{\n b = 1\n}]\n\nBye.", [("newline_in_inline_table", "\n"), ("text_after", "Bye.")]),
        (
            "a = {b = [1}\nc = x",
            [("mismatched_bracket", "}"), ("bare_value", "x")],
        ),
        ("a = [1, 2\nb = x", [("unclosed_bracket", "="), ("bare_value", "x")]),
        ("a = [1, 2\n\n[b]\nc = 1", [("unclosed_bracket", "=")]),
        ("a = {b = 1\nc = x", [("unclosed_bracket", "="), ("bare_value", "x")]),
        ("a = {b = [1}", [("mismatched_bracket", "}")]),
        ("a = [\n  {b = 1],\n  {b = 2}\n]", [("mismatched_bracket", "]")]),
        *((f"a = 1{said}", [("comment", said.strip())]) for said in ("#c", " #", "  # c", "\n#c")),
        *((f"{said}\na = 1", [("comment", said)]) for said in ("#", "#c", "# Title", "## Title")),
        *((f"[a]{said}\nb = 1", [("comment", said.strip())]) for said in ("#c", " #", " # ]")),
        ("a = [ #c\n  1,#d\n]", [("comment", "#c"), ("comment", "#d")]),
        ("# Title\n\n# More\na = 1", [("comment", "# Title"), ("comment", "# More")]),
        ("# Title\n\nSome prose.\n\na = 1", [("text_before", "# Title\n\nSome prose.")]),
        ("# Title\nProse.\n# c\na = 1", [("text_before", "# Title\nProse."), ("comment", "# c")]),
        ("a = 1\n# c\nProse.\n# d", [("comment", "# c"), ("text_after", "Prose.\n# d")]),
        (
            "# Title\n```\na = 1\n```",
            [("text_before", "# Title"), ("code_fence", "```"), ("code_fence", "```")],
        ),
        ("#c", [("no_value", "#c")]),
        *(
            (f"{header}{rest}", [("bad_header", header)])
            for header in ("[[]]", "[]", "[a.]", "[.a]", "[ a b ]", "[a]]", "[[a]", "a]", "a]]")
            for rest in ("\n", "\nb = 1", "\r\n\r\n[b]\r\nc = 1")
        ),
        *(
            (f"{head}\nb = 1", [("bad_header", head)])
            for head in ("[a/b]", "[$a]", "[é]", "[a", "[a:b]")
        ),
        *(
            (f"a = {word}\nb = [{word}]", [("date_or_time", word)] * 2)
            for word in ("12:30", "25:00", "2024-05-01 12:30", "2024-05-01T12:30Z", "2023-02-30")
        ),
        ("a = 12:30\na = 1", [("date_or_time", "12:30"), ("duplicate_key", "a")]),
        ("a = NaN\nb = Infinity", [("nan_or_infinity", "NaN"), ("nan_or_infinity", "Infinity")]),
        ('a = "x"\nb: { c = 1 }', [("colon_for_equals", ":")]),
        ("a = 'it's'\nb = x", [("unescaped_quote", "s'"), ("bare_value", "x")]),
        ('a = "x\nb = x', [("unclosed_quote", '"x'), ("bare_value", "x")]),
        ('a = "x\ny"', [("unclosed_quote", '"x')]),
        ("a = ['x\n\ny' ]\nb = x", [("unclosed_quote", "'x"), ("bare_value", "x")]),
        ('a = "x\\\ny" # z', [("unclosed_quote", '"x\\'), ("comment", "# z")]),
        ('a = "x\n[b]\nc = "', [("unclosed_quote", '"x'), ("truncated", "")]),
        ('a = "x\nHe said "hi"', [("unclosed_quote", '"x'), ("text_after", 'He said "hi"')]),
        ('b = x\na = """\ny\n"""\n\nBye.', [("bare_value", "x"), ("text_after", "Bye.")]),
        ('a = """x\nb = x', [("unclosed_quote", '"""x'), ("bare_value", "x")]),
        (
            'a = "\\q \\ud83d \\x41"',
            [("bad_escape", "\\q"), ("bad_escape", "\\ud83d"), ("bad_escape", "\\x")],
        ),
        ("a = 1\nb = 2\na = 3", [("duplicate_key", "a")]),
        ("[t]\na = 1\n[t]\n", [("duplicate_key", "t")]),
        ("a = {b = 1, b = 2}", [("duplicate_key", "b")]),
        (
            "a = 1 # one\n# two\na = 2",
            [("comment", "# one"), ("comment", "# two"), ("duplicate_key", "a")],
        ),
        (
            "a = 'x\x01y'\nb = '\x7f'",
            [("control_character", "\x01"), ("control_character", "\x7f")],
        ),
        ("a = '\ud800'", [("lone_surrogate", "\ud800")]),
        *(
            (cut, [("truncated", "")])
            for cut in ('a = "x', 'a = "\\u0', "a = '", 'a = """x\ny', "a = [1, ")
        ),
        *(
            (cut, [("truncated", "")])
            for cut in ("a = [2.", "a = [tru", "a = [-", "a = {b = 1e", "a = {b ")
        ),
        *(
            (cut, [("truncated", "")])
            for cut in ("a = {b = 1", "a = tru", "a = 1\nb", "a = 1\nb =", "a = 1\n[ro")
        ),
        *((f"{key} = 1", [("control_character", "\x01")]) for key in ("a\x01b", "a\x01", "\x01a")),
        ("[a\x01]\nb = 1", [("control_character", "\x01")]),
        ("a = tru\x01e\nb = x", [("control_character", "\x01"), ("bare_value", "x")]),
        ("n:ote = 7", [("unquoted_key", "n:ote")]),
        ("a = {city: = 7, b = x}", [("unquoted_key", "city:"), ("bare_value", "x")]),
        ("a==b = 1", [("unquoted_key", "a==b")]),
        ("a = {b\n = 1, c = 2}\nd = x", [("missing_equals", "b"), ("bare_value", "x")]),
        ("a true [\n  { b = 1 },\n]", [("missing_equals", "a true [")]),
        ("a == false", [("missing_value", "=")]),
        ("a === {b == x}", [("missing_value", "=="), ("missing_value", "="), ("bare_value", "x")]),
        *(
            (f"a =\n{value}\nb = x", [("missing_value", "="), ("bare_value", "x")])
            for value in ('"x"', "[1,\n2]", "{c = 1}", "true", "-1", "  'y'")
        ),
        ("a =\n[b]\nc = x", [("missing_value", "="), ("bare_value", "x")]),
        ("[a = 1", [("bad_header", "[a = 1")]),
        ("a = 1\n[b = 2\nc = x", [("bad_header", "[b = 2"), ("bare_value", "x")]),
        ("[[b]\n]c = 2", [("bad_header", "[[b]")]),
        (
            "a = [\n  {b = 1}},\n  {b = 2}\n]\nc = x",
            [("mismatched_bracket", "}"), ("bare_value", "x")],
        ),
        ("a = [\n  b = 1},\n  {b = 2}\n]", [("mismatched_bracket", "}")]),
        ("a = [\n  {b = 'x},\n  {b = 'y'}\n]", [("unclosed_quote", "'x},")]),
        ('a = {b = "x"""", c = 1}', [("missing_comma", "")]),
        ("a = 1 [\n  {b = 1},\n]\nc = x", [("bare_value", "1 ["), ("bare_value", "x")]),
        ('a = "x\n"b = "y"', [("unclosed_quote", '"x')]),
        ('a = "x \\24" y"', [("unescaped_quote", 'y"')]),
        ('a = "\\d x" y"', [("bad_escape", "\\d"), ("unescaped_quote", 'y"')]),
        ('a = # "x"\nb = 1', [("comment", '# "x"')]),
        ("a = {b =#'x'}\nc = y", [("comment", "#'x'}"), ("bare_value", "y")]),
        ('a = b "#1"', [("bare_value", 'b "#1"')]),
        (
            "a = {b = True, c = x, d = null}",
            [("python_literal", "True"), ("bare_value", "x"), ("null_value", "null")],
        ),
        ("Sure! Here it is:\na = 1", [("text_before", "Sure! Here it is:")]),
        (
            "a = x\n\nI hope this helps!",
            [("bare_value", "x"), ("text_after", "I hope this helps!")],
        ),
        ("```toml\na = 1\n```", [("code_fence", "```toml"), ("code_fence", "```")]),
        ('{"a": 1}', [("no_value", '{"a": 1}')]),
        ('{\n  "a": 1\n}', [("no_value", '{\n  "a": 1\n}')]),
    ],
)
def test_what_fails_and_where(text: str, found: list[tuple[str, str]]) -> None:
    assert spans(text) == found


def test_comments_may_be_allowed() -> None:
    judge = TomlFormat(comments=True)
    text = "# one\na = [ # two\n  1, # three\n] # four\n[b] # five\nc = 'x' # six\n"
    assert judge.parse(text).value == {"a": [1], "b": {"c": "x"}}
    assert spans("# nothing else", judge) == [("no_value", "# nothing else")]
    assert "comment" not in judge.corruptions()


def loaded(text: str) -> Any:
    """What tomllib makes of a text, where JSON has all of it, at most 64 bits for an integer."""
    try:
        value = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return None
    for leaf in leaves(value).values():
        if isinstance(leaf, float) and not math.isfinite(leaf):
            return None
        if isinstance(leaf, int) and not -(1 << 63) <= leaf < 1 << 63:
            return None
        if not isinstance(leaf, str | int | float | list | dict):
            return None
    return value


PIECES = (
    *(
        "a",
        "b",
        "a.b",
        " ",
        "\n",
        " = ",
        " = 1\n",
        "[a]\n",
        "[[a]]\n",
        "[a.b]\n",
        "'",
        '"',
        "[",
        "]",
    ),
    *(
        "{",
        "}",
        ", ",
        "a = ",
        "b = ",
        "'x'",
        '"y"',
        '"""',
        "'''",
        "\\",
        "\\n",
        "\\u00e9",
        "#c",
        "\r\n",
    ),
    *(
        "1",
        "-1",
        "1_0",
        "0x1",
        "1.5",
        "1e3",
        "+",
        ".",
        "true",
        "inf",
        "2024-05-01",
        "10:00:00",
        "é",
        "\t",
    ),
    *("c = [1, 2]\n", "d = {a = 1}\n", "e = '''\nx'''\n", "=", ":", "\x00"),
)
glued = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)


@at_least(2000)
@given(st.one_of(glued, mutated(STRICT)))
@example("a = [\n'x=1'\n,]")
@example('a = """"x""""')
@example("[a]\n[a.b]\n[[a.c]]\n")
@example("a = '\ufeff'")
def test_it_accepts_what_tomllib_accepts_and_json_holds(text: str) -> None:
    parsed = LENIENT.parse(text)
    expected = loaded(text)
    surrogate = any("\ud800" <= char <= "\udfff" for char in text)
    if expected and not surrogate:
        assert parsed.ok, parsed.problems
        assert same_value(parsed.value, expected)
    else:
        assert not parsed.ok


@at_least(300)
@given(json_objects(), st.booleans())
def test_what_another_writer_writes_passes(value: dict[str, Any], multiline: bool) -> None:
    try:
        text = tomli_w.dumps(value, multiline_strings=multiline)
    except TypeError:
        assume(False)  # null
    expected = loaded(text)
    parsed = STRICT.parse(text)
    assert parsed.ok == bool(expected)
    assert not parsed.ok or same_value(parsed.value, expected)


NO_NULL = json_scalars().filter(lambda scalar: scalar is not None)
"""TOML has no null."""


@at_least(300)
@given(st.dictionaries(KEYS, json_values(12, NO_NULL), max_size=5))
def test_what_it_renders_is_the_value(value: dict[str, Any]) -> None:
    try:
        text = STRICT.render(value)
    except ValueError:
        assume(False)
    assert same_value(tomllib.loads(text), value)


def test_it_writes_as_people_do() -> None:
    value = {
        "rows": [{"city": "Oslo", "at": {"x": 1}}, {"city": "Riga"}],
        "guest": {"name": {"first": "Ada"}},
        "tags": ["a", 1, {"b": []}],
        "none": {},
    }
    assert STRICT.render(value) == (
        'tags = ["a", 1, { b = [] }]\n'
        '\n[[rows]]\ncity = "Oslo"\n\n[rows.at]\nx = 1\n\n[[rows]]\ncity = "Riga"\n'
        '\n[guest.name]\nfirst = "Ada"\n\n[none]'
    )


@pytest.mark.parametrize(
    "value",
    [
        {},
        [1],
        {"a": None},
        {"a": [None]},
        {1: 2},
        {"a": 1 << 63},
        {"a": float("inf")},
        {"a": "\ud800"},
    ],
)
def test_what_cannot_be_held_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):
        STRICT.render(value)


@pytest.mark.parametrize("limit", [2, 5, 64, 200])
def test_depth_is_exact(limit: int) -> None:
    judge = TomlFormat(max_depth=limit)
    inner = limit - 1
    for deep, too_deep in (
        ("a = " + "[" * inner + "]" * inner, "a = " + "[" * limit + "]" * limit),
        (".".join("a" * limit) + " = 1", ".".join("a" * (limit + 1)) + " = 1"),
        ("[" + ".".join("a" * inner) + "]\nb = 1", "[" + ".".join("a" * limit) + "]\nb = 1"),
        (
            "a = " + "{a = " * inner + "1" + "}" * inner,
            "a = " + "{a = " * limit + "1" + "}" * limit,
        ),
    ):
        assert judge.parse(deep).ok, judge.parse(deep).problems
        assert [problem.label for problem in judge.parse(too_deep).problems] == ["too_deep"]
    rows = "[[a]]\n[[a.b]]\nc = 1\n[a.b.d]\n"
    assert TomlFormat(max_depth=6).parse(rows).ok
    assert spans(rows, TomlFormat(max_depth=5)) == [("too_deep", "a.b.d")]
    assert spans('[["a"]]\n[a.b]\n', TomlFormat(max_depth=3))[0][0] == "too_deep"


def test_the_caller_s_stack_does_not_decide() -> None:
    text = "a = " + "[" * 63 + "]" * 63

    def at(frames: int) -> bool:
        return at(frames - 1) if frames else STRICT.parse(text).ok

    here = 0
    frame: Any = sys._getframe()
    while frame:
        here, frame = here + 1, frame.f_back
    assert at(sys.getrecursionlimit() - here - 60)


@pytest.mark.parametrize(
    "text",
    [
        *("a." * 300_000, "a=[" * 200_000, "a = " + "[" * 500_000, "a = " + "{a=" * 200_000),
        *("a = [" + "1," * 300_000, "a = " + "9" * 1_000_000, "a = " + "1_" * 500_000),
        *("".join(f"[k{i}]\na = 1\n" for i in range(30_000)), "[[a]]\n" * 60_000, "[a]\n" * 60_000),
        *(
            "[[a]]\n[[a.b]]\nc = 1\n" * 20_000,
            "a = '''\nb = \"\"\"\n" * 50_000,
            'a = "x\n' * 100_000,
        ),
        *('a = "' + '\\"' * 300_000 + '"', 'a = """' + '""\\' * 200_000, "a = 1\n" * 100_000),
        *('x = """\\"""\\"""\n' * 60_000, "#" * 500_000, "=" * 300_000, "a = " + "{=" * 200_000),
        *("".join(f"a.b.c.d{i} = 1\n" for i in range(20_000)), "a = 1e" + "9" * 500_000),
    ],
)
def test_a_hostile_text_is_judged_in_time(text: str) -> None:
    assert seconds(lambda: STRICT.parse(text)) < 20
    problems = STRICT.parse(text).problems
    assert len(problems) <= MOST_OF_ONE_LABEL * len(LABELS)


@pytest.mark.parametrize(
    ("before", "unit", "after"),
    [
        *(
            ("Sure\n", " ", "\na = 1"),
            ("[a", " ", "!"),
            ("x\n", "\t", ""),
            ("", "```" + " " * 3000, ";"),
        ),
        *(("a = [", '"b" ', "]"), ("a = [", "'b'\xa0", "]"), ("a = [", '""', "")),
        *(("a = {", '"b"="c" ', "}"), ("a = {", '"x" y = "c" ', "}"), ("a = {", "x y = 1, ", "}")),
        *(("a = [", '"x\ny\n', "]"), ("a = [", '"x\n\\"', ""), ("", 'a = "x\ny\n', "")),
        *(
            ("x\n", "a = {\nb = 1\n}\n", ""),
            ("x\n", 'a = """\n"""\n', ""),
            ("a = ", '"""\n""" ', ""),
        ),
        *(
            (before, unit, "}")
            for before in ("", "a = [{b = '", "a = {")
            for unit in ("a == ", "a =\n", "a:a =\n", "[a = 1\n", "a = # '\n", "\x01", "= \n")
        ),
    ],
)
def test_hostile_texts_take_linear_time(before: str, unit: str, after: str) -> None:
    assert is_linear(STRICT.parse, unit, before, after)


RICH = {
    "name": "Ada Lopez",
    "city": "Oslo",
    "age": 36,
    "ok": True,
    "day": "2024-05-01",
    "tags": ["deep blue", "x", "y"],
    "rows": [{"id": 1, "title": "deep blue"}, {"id": 2, "title": "no"}],
    "last": {"end": "the end"},
}


@pytest.mark.parametrize("name", sorted(STRICT.corruptions()))
def test_a_rich_record_can_be_broken_every_way(name: str) -> None:
    corrupt = STRICT.corruptions()[name]
    broken = [corrupt(STRICT.render(RICH), Random(seed)) for seed in range(20)]
    assert all(text is not None and name in dict(spans(text)) for text in broken)
