"""Strict YAML: what passes, what fails and where, and that PyYAML agrees on what passes."""

from __future__ import annotations

import sys
from random import Random
from typing import Any

import pytest
import yaml
from hypothesis import assume, example, given
from hypothesis import strategies as st

from fmtharness.evaluators.yaml import reader
from fmtharness.evaluators.yaml.format import YamlFormat
from fmtharness.evaluators.yaml.labels import LABELS
from fmtharness.evaluators.yaml.scalars import plain, written
from fmtharness.harness.matching import same_value
from fmtharness.harness.surroundings import MOST_OF_ONE_LABEL
from fmtharness.harness.testing import check_format, mutated
from fmtharness.harness.testing.promises import is_linear, seconds
from tests.strategies import at_least, json_objects, json_values

STRICT = YamlFormat()
ANY = YamlFormat(root="any")


def spans(text: str, judge: YamlFormat = STRICT) -> list[tuple[str, str]]:
    """The labels with the characters they stand at."""
    return [
        (problem.label, text[problem.start : problem.end]) for problem in judge.parse(text).problems
    ]


def test_the_format_keeps_its_promises() -> None:
    check_format(STRICT)


@pytest.mark.slow
def test_a_lower_depth_keeps_the_promises() -> None:
    check_format(YamlFormat(max_depth=5), examples=20)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1\nb: -2.5\nc: true\nd: null\n", {"a": 1, "b": -2.5, "c": True, "d": None}),
        ("---\na: x\n...\n", {"a": "x"}),
        ("a: 1.5e+3\nb: 1.0e-7", {"a": 1500.0, "b": 1e-7}),
        (
            "a: |\n  x\n   y\n\n  z\nb: >-\n  folded\n  text\n",
            {"a": "x\n y\n\nz\n", "b": "folded text"},
        ),
        ("a: 'it''s'\nb: \"say \\\"hi\\\" \\u00e9\"", {"a": "it's", "b": 'say "hi" é'}),
        (
            "rows:\n- x: 1\n  z: [a, 'b', {c: d}]\n- []\n",
            {"rows": [{"x": 1, "z": ["a", "b", {"c": "d"}]}, []]},
        ),
        ('{"a": [1, null], "b":{}}', {"a": [1, None], "b": {}}),
        ("a: first\n  second", {"a": "first second"}),
        ("a: 10.0.0.1\nb: 1.2.3\nc: None\nd: 3 nights\ne: http://x.y/z#f", None),
        ('a: "yes"\n"1": \'2024-05-01\'\n', {"a": "yes", "1": "2024-05-01"}),
        ("a: x\r\nb:\r\n  - z\r\n", {"a": "x", "b": ["z"]}),
        (f"a: -{'7' * 300}", {"a": -7 * (10**300 - 1) // 9}),
    ],
)
def test_what_passes(text: str, value: Any) -> None:
    parsed = STRICT.parse(text)
    assert parsed.ok, parsed.problems
    if value is None:
        assert all(isinstance(child, str) for child in parsed.value.values())
    else:
        assert bool(parsed.value == value)


@pytest.mark.parametrize(
    "word",
    (
        *("y", "N", "yes", "No", "ON", "off", "True", "FALSE", "~", "Null", "NULL", "=", "<<"),
        *("010", "0o10", "0x1F", "0b1", "1_000", "+1", ".5", "1.", "1e3", "1.5e3", "08", "-01"),
        *("12:30", "09:30", "1:02:03.5", "2024-05-01", "2024-5-1", "2024-05-01T10:00:00Z"),
        "2001-12-14 21:59:43.10 -5",
    ),
)
def test_a_word_that_parsers_read_differently_is_ambiguous(word: str) -> None:
    label = "merge_key" if word == "<<" else "ambiguous_scalar"
    assert spans(f"k: {word}\n") == [("ambiguous_scalar", word)]
    assert spans(f"a: [{word}]\n") == [("ambiguous_scalar", word)]
    assert spans(f"{word}: 1\n") == [(label, word)]
    assert STRICT.parse(f'k: "{word}"\n').value == {"k": word}
    assert written(word) == f'"{word}"'


CUT = (
    *('a: "x', "a: 'x", "a: {b: [1, ", "a: [", "a: 1\nb"),
    *('a: "\\', 'a: "\\u00', '{"a": 1, "b'),
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("&a x: 1", [("anchor_or_alias", "&a")]),
        ("*a : 1", [("anchor_or_alias", "*a")]),
        ("*a", [("anchor_or_alias", "*a")]),
        ("a: *note here*\nb: no", [("anchor_or_alias", "*note"), ("ambiguous_scalar", "no")]),
        ("a: &b", [("anchor_or_alias", "&b")]),
        ("!!map\na: 1", [("tag", "!!map")]),
        ("! a: 1", [("tag", "!")]),
        ("%YAML 1.2\na: 1", [("directive", "%YAML 1.2")]),
        ("%x y\n---\na: 1", [("directive", "%x y")]),
        ("...\na: 1", [("multiple_roots", "...")]),
        ("a: 1\n...\n...\n", [("multiple_roots", "...")]),
        ("a: 1\n...\nb: 2", [("multiple_roots", "b: 2")]),
        ("--- \n---\na: 1", [("multiple_roots", "---\na: 1")]),
        (": b", [("complex_key", ":")]),
        ("a: 1\n: b", [("complex_key", ":")]),
        ("? a", [("complex_key", "?")]),
        ("a: [?'b', \"c\"]", [("complex_key", "?")]),
        ("[a,\nb]", [("wrong_root", "[a,\nb]")]),
        ("a: [b,\nc]", [("bad_indentation", "c]")]),
        ("a: 1\n[b]", [("misplaced_item", "[b]")]),
        ("a:1", [("missing_colon", "a:1")]),
        ("a:1\nb: 2", [("missing_colon", "a:1")]),
        ("{a:1, b: 2}", [("missing_colon", "a:1")]),
        ("{a: 1, b:}", [("missing_value", "b:")]),
        ("{a: b: c}", [("unquoted_colon", ":")]),
        ("a: [b: c]", [("unquoted_colon", ":")]),
        ("{a: Ada b: 2}", [("missing_comma", "")]),
        ('"a" b: 1', [("unescaped_quote", "b: 1")]),
        ("@a: 1", [("unquoted_special", "@")]),
        ("a:\n  - b: 1\n\tc: 2\n  - b: 3", [("tab_indent", "\t")]),
        ("a:\n\tb: no\n", [("tab_indent", "\t"), ("ambiguous_scalar", "no")]),
        ('a: "x\nb: "#1"', [("unclosed_quote", '"x')]),
        ("{a: 1, b", [("truncated", "")]),
        ("a: b: c", [("unquoted_colon", ":")]),
        ("t: Dune: Part Two\nu: no", [("unquoted_colon", ":"), ("ambiguous_scalar", "no")]),
        ("😀: é\r\na: b: c", [("unquoted_colon", ":")]),
        ("a: 1\na: 2", [("duplicate_key", "a")]),
        ("x: {a: 1, 'a': 2}", [("duplicate_key", "'a'")]),
        ("a: &x [1]\nb: *x", [("anchor_or_alias", "&x"), ("anchor_or_alias", "*x")]),
        ("a: **bold**", [("anchor_or_alias", "*")]),
        ("a: !!str 1", [("tag", "!!str")]),
        ("a: !x!y z", [("tag", "!x!y")]),
        ("%YAML 1.2\n---\na: 1", [("directive", "%YAML 1.2")]),
        ("a: 1\n---\nb: 2\n", [("multiple_roots", "---\nb: 2")]),
        ("---\na: 1\n---", [("multiple_roots", "---")]),
        ("<<: {a: 1}", [("merge_key", "<<")]),
        ("? a\n: b", [("complex_key", "?")]),
        ("1: a\n[x]: b", [("complex_key", "1"), ("complex_key", "[")]),
        ("a: 1 # one", [("comment", "# one")]),
        ("a: | # one\n  # two\n", [("comment", "# one")]),
        ("# one\na: 1", [("comment", "# one")]),
        ("a:\nb: 1", [("missing_value", "a:")]),
        ("a:\n  -\n  - x", [("missing_value", "-")]),
        ("{a, b: 1}", [("missing_value", "a")]),
        ("a: .inf\nb: 1.0e+999", [("nan_or_infinity", ".inf"), ("nan_or_infinity", "1.0e+999")]),
        ("a: " + "9" * 400, [("nan_or_infinity", "9" * 400)]),
        ("a:\n\tb: 1", [("tab_indent", "\t")]),
        ("a:\tb\nc: d\t\ne: f\tg", [("tab_indent", "\t")] * 3),
        ("a: 1\n b: 2", [("bad_indentation", "b: 2")]),
        ("a:\n  b: 1\n c: 2\n", [("bad_indentation", "c: 2")]),
        ("a: 1\n- b", [("misplaced_item", "- b")]),
        ("a: - b", [("misplaced_item", "- b")]),
        ("a: @b\nc: `d`\n", [("unquoted_special", "@"), ("unquoted_special", "`")]),
        (
            "a: [Draft] notes\nb: > 5",
            [("unquoted_special", "[Draft] notes"), ("unquoted_special", "> 5")],
        ),
        ("a: 'it's'\nb: no", [("unescaped_quote", "s'"), ("ambiguous_scalar", "no")]),
        ('a: "x\nb: 1', [("unclosed_quote", '"x')]),
        ('a: "x\nb: "y"', [("unclosed_quote", '"x')]),
        ('a: "\\q"\nb: off', [("bad_escape", "\\q"), ("ambiguous_scalar", "off")]),
        ("a: 1\nb 2\nc: no", [("missing_colon", "b 2"), ("ambiguous_scalar", "no")]),
        ("a: [why?, x]\nb: {c?: 1}", [("ambiguous_scalar", "why?"), ("ambiguous_scalar", "c?")]),
        ("a: [-, ?x: 1]", [("ambiguous_scalar", "-"), ("ambiguous_scalar", "x")]),
        ("a: [\n  b\n]\nc: 1", [("bad_indentation", "]")]),
        ("a: {b: 1,\nc: 2}", [("bad_indentation", "c: 2}")]),
        ('a: "b\nc"', [("bad_indentation", 'c"')]),
        ("- a: 'b\n\n  c'\n", [("wrong_root", "- a: 'b\n\n  c'"), ("bad_indentation", "c'")]),
        ('a: "b\nc: d"', [("unclosed_quote", '"b')]),
        ("a: |\n  x", [("ambiguous_scalar", "|\n  x")]),
        ("a: >+\n  x", [("ambiguous_scalar", ">+\n  x")]),
        ("a: |+\n  ", [("ambiguous_scalar", "|+\n")]),
        ("a: |-1\n   ", [("ambiguous_scalar", "|-1\n   ")]),
        ("a:\n|\n  x\n", [("bad_indentation", "|")]),
        ("a:\n  - b:\n    >-\n     x", [("bad_indentation", ">-")]),
        ("a: b\rc", [("control_character", "\r")]),
        ('a: "He said\nthen, note: this', [("truncated", "")]),
        ('{"a": 1 "b": 2}', [("missing_comma", "")]),
        ('{"a": "x"; "b": 1}', [("unescaped_quote", '; "b": 1')]),
        ("a: [1,,2]", [("extra_comma", ",")]),
        ("a: [1 ]\nb: {c: 1]", [("mismatched_bracket", "]")]),
        ('a: ["x" "y"]', [("missing_comma", "")]),
        ("{a: 1}}", [("text_after", "}")]),
        ("- a\n- b\n", [("wrong_root", "- a\n- b")]),
        ("Oslo", [("wrong_root", "Oslo")]),
        ("---\n", [("no_value", "---\n")]),
        ("a: x\u2028b\x85\x01", [("control_character", c) for c in "\u2028\x85\x01"]),
        ("a: x\n\ufeffb: z", [("control_character", "\ufeff")]),
        ("a: \ud800", [("lone_surrogate", "\ud800")]),
        *((cut, [("truncated", "")]) for cut in CUT),
        ("Sure! Here it is:\na: 1", [("text_before", "Sure! Here it is:")]),
        (
            "Here is the YAML:\n\na: no\n",
            [("text_before", "Here is the YAML:"), ("ambiguous_scalar", "no")],
        ),
        ("a: 1\n\nHope this helps!", [("text_after", "Hope this helps!")]),
        ("```yaml\na: 1\n```", [("code_fence", "```yaml"), ("code_fence", "```")]),
        (
            "I'm sorry, I can't help with that.",
            [("no_value", "I'm sorry, I can't help with that.")],
        ),
        ("{'a': True, 'b': [1]}", [("ambiguous_scalar", "True")]),
    ],
)
def test_what_fails_and_where(text: str, found: list[tuple[str, str]]) -> None:
    assert spans(text) == found


def test_comments_may_be_allowed() -> None:
    judge = YamlFormat(comments=True)
    assert judge.parse("# one\na: 1 # two\nb: | # three\n  x\n").value == {"a": 1, "b": "x\n"}
    assert spans('a: "x"#c\n', judge) == [("comment", "#c")]
    assert spans("a: yes # c\n", judge) == [("ambiguous_scalar", "yes")]
    assert "comment" not in judge.corruptions()


@pytest.mark.parametrize(
    ("text", "label", "marked"),
    [
        ('a: "x\n\ty"', "tab_indent", "\t"),
        ("a: 'x\n  \t\n  y'", "tab_indent", "\t"),
        ('a: "x\\\n\n  y"', "ambiguous_scalar", "\\"),
        ("a: |\n\n\nb: 1", "ambiguous_scalar", None),
        ("a: |\n  \n  x\n", "ambiguous_scalar", None),
        ("a: |+\n  x\n   \nb: 1", "ambiguous_scalar", None),
        ("---name: Ada", "ambiguous_scalar", "---name"),
        ('{"a": ["b":1]}', "unquoted_colon", ":"),
        ("a: " + "9" * 400, "nan_or_infinity", "9" * 400),
        (f'"{"😀" * 520}": 1', "syntax_error", f'"{"😀" * 520}"'),
    ],
)
def test_a_text_that_parsers_read_differently_is_refused(
    text: str, label: str, marked: str | None
) -> None:
    assert spans(text) == [(label, text[3:].rstrip() if marked is None else marked)] or (
        marked is None and [found for found, _ in spans(text)] == [label]
    )


@pytest.mark.parametrize("text", ["|1\n  x\n", " |\n x\n", "\n  a\nb\n"])
def test_a_root_that_js_yaml_reads_otherwise_is_refused(text: str) -> None:
    assert not ANY.parse(text).ok


@pytest.mark.parametrize(
    "word", [*(".", "e1", "E5", "+_1", "+.", "._4", "1_", "1.e3", "-.5", "+e441")]
)
def test_a_word_that_is_a_number_to_one_parser_is_ambiguous(word: str) -> None:
    assert spans(f"k: {word}") == [("ambiguous_scalar", word)]
    assert written(word) == f'"{word}"'


@pytest.mark.parametrize(
    "word", ["-", "e", "1e", "v1.2", "10.0.0.1", "555-1234", "a_1", "..", "3.x", "e1x", "1-2"]
)
def test_a_word_that_no_parser_takes_for_a_number_is_text(word: str) -> None:
    assert plain(word) == word


def test_comments_must_stand_where_all_parsers_take_them() -> None:
    judge = YamlFormat(comments=True)
    assert judge.parse("{a: b, # one\n # two\n}").ok
    assert spans("{a: b\n# two\n}", judge) == [("comment", "# two")]
    for text in ("d:\n\n# c\n 3\na: 1", "d: # x\n\n# c\n\n 3\na: 1", "d:\n- 1\n-\n\n# c\n  3\n- 1"):
        assert spans(text, judge)[-1] == ("comment", "# c"), text
    for text in ("d:\n# c\n 3\na: 1", "d:\n\n # c\n 3\na: 1", "d: 1\n\n# c\na: 1"):
        assert judge.parse(text).ok, text


def loaded(text: str) -> Any:
    """What PyYAML's own parser, which is not libyaml's, makes of a text."""
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, TypeError):
        return ValueError


PIECES = (
    *(
        "a",
        "b",
        " ",
        "  ",
        "\n",
        "\n  ",
        ": ",
        "- ",
        "\n- ",
        "a: ",
        "\nb: ",
        "'",
        '"',
        "[",
        "]",
        "{",
    ),
    *("}", ", ", "|\n  ", ">-\n ", "|", "#", " #", "?", "\t", "1", "-1", ".5", "e3", "yes", "null"),
    *(
        "~",
        "---\n",
        "\n...\n",
        "&a ",
        "*a",
        "!",
        "%",
        "@",
        "\\",
        "x y",
        "é😀",
        "\r\n",
        ":",
        "2024-05-01",
    ),
)
glued = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


@at_least(1500)
@given(st.one_of(glued, mutated(STRICT), mutated(STRICT)))
@example("a: b\n \tc")
@example("a: 'x\n\ty'")
@example("{a: 1, b: \n}")
@example("- - a\n  - b\n-  - c")
def test_what_passes_is_what_pyyaml_reads(text: str) -> None:
    parsed = ANY.parse(text)
    if parsed.ok:
        assert same_value(parsed.value, loaded(text)), (parsed.value, loaded(text))


@given(
    st.text(st.sampled_from("0123456789+-_.:eExobTZ yYnNofulrstaiTF~=<"), min_size=1, max_size=10)
)
def test_a_word_that_means_something_to_pyyaml_is_no_text(word: str) -> None:
    assume(word.strip() == word and ": " not in word and word[-1] != ":" and word[:2] != "- ")
    assume(word not in ("-", "...", "---"))
    try:
        theirs = yaml.safe_load(f"k: {word}")["k"]
    except (ValueError, yaml.YAMLError):
        assume(False)
    if isinstance(plain(word), str):
        assert theirs == word


@at_least(300)
@given(json_objects())
def test_what_it_renders_pyyaml_reads_the_same(value: dict[str, Any]) -> None:
    try:
        text = STRICT.render(value)
    except ValueError:
        assume(False)
    assert same_value(yaml.safe_load(text), value)


@given(json_values())
def test_any_root_comes_back(value: Any) -> None:
    try:
        text = ANY.render(value)
    except ValueError:
        assume(False)
    assert same_value(ANY.parse(text).value, value)


def test_it_writes_as_people_do() -> None:
    value = {
        "guest": {"name": "Ada Lopez", "note": "it's late: call\nthen wait"},
        "rows": [{"city": "Oslo", "open": "no"}, {"city": "Riga", "open": True}],
        "sizes": [1e22, [1, []], None],
    }
    assert STRICT.render(value) == (
        "guest:\n  name: Ada Lopez\n  note: |-\n    it's late: call\n    then wait\n"
        'rows:\n  - city: Oslo\n    open: "no"\n  - city: Riga\n    open: true\n'
        "sizes:\n  - 1.0e+22\n  - - 1\n    - []\n  - null"
    )


@pytest.mark.parametrize(
    "value",
    [{"a": "\ud800"}, {1: "a"}, {"a": float("nan")}, {"a": {1, 2}}, [1], "x", {"k" * 2000: 1}],
)
def test_what_cannot_be_held_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):
        STRICT.render(value)


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {"a": 1}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize("limit", [1, 2, 64, 300])
def test_depth_is_exact(limit: int) -> None:
    judge = YamlFormat(max_depth=limit)
    assert judge.parse(judge.render(nested(limit))).ok
    assert judge.parse("{a: " * limit + "1" + "}" * limit).ok
    with pytest.raises(ValueError, match="deep"):
        judge.render(nested(limit + 1))
    flow = "{a: " * (limit + 1) + "1" + "}" * (limit + 1)
    assert [problem.label for problem in judge.parse(flow).problems] == ["too_deep"]


def test_the_caller_s_stack_does_not_decide() -> None:
    text = STRICT.render(nested(64))

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
        *("- " * 500_000, "? " * 500_000, "[" * 500_000, "{" * 500_000, "{a: " * 200_000),
        *("a: &a [x]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(9_000)),),
        *("a: 'x\n" * 100_000, "a: b: c\n" * 100_000, "a: @\n" * 100_000, "a: 1\n" * 100_000),
        *(
            '"' * 500_000,
            "a: " + "9" * 500_000,
            "#" * 500_000,
            "!" * 500_000,
            "x" * 500_000 + ": 1",
        ),
    ],
)
def test_a_hostile_text_is_judged_in_time(text: str) -> None:
    assert seconds(lambda: STRICT.parse(text)) < 20
    problems = STRICT.parse(text).problems
    assert len(problems) <= MOST_OF_ONE_LABEL * len(LABELS)


@pytest.mark.parametrize("before", ['a: "b\n', "a: 'b\n", "a: [\n"])
@pytest.mark.parametrize("unit", [" ", "a", "- ", "a b", "\n", " \n x"])
def test_what_goes_on_over_lines_takes_linear_time(before: str, unit: str) -> None:
    assert is_linear(STRICT.parse, unit, before=before, after="x")


RICH = {
    "name": "Ada Lopez",
    "city": "Oslo",
    "age": 36,
    "code": "007",
    "note": "Re: the visit",
    "ok": True,
    "none": None,
    "day": "2024-05-01",
    "rows": [{"id": 1, "title": "deep blue"}, {"id": 2, "title": "no"}],
    "last": "the end",
}


@pytest.mark.parametrize("name", sorted(STRICT.corruptions()))
def test_a_rich_record_can_be_broken_every_way(name: str) -> None:
    corrupt = STRICT.corruptions()[name]
    broken = [corrupt(STRICT.render(RICH), Random(seed)) for seed in range(20)]
    assert sum(text is not None for text in broken) >= 12
    assert all(name in dict(spans(text)) for text in broken if text is not None)


@given(mutated(STRICT))
def test_without_libyaml_the_verdict_is_the_same(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "_LOADER", yaml.SafeLoader)
        pure = ANY.parse(text)
    parsed = ANY.parse(text)
    assert pure.ok == parsed.ok
    assert not parsed.ok or same_value(pure.value, parsed.value)
