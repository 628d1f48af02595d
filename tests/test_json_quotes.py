"""Quotes that are wrong: too many, missing or escaped. One fault gets one label."""

from __future__ import annotations

import json
import re
import time
from random import Random
from typing import Any

import pytest

from fmtharness.evaluators.json.format import JsonFormat
from fmtharness.evaluators.json.lines import JsonlFormat
from fmtharness.harness.contracts import Format
from fmtharness.harness.testing.sample_values import plain_values

ANY = JsonFormat(root="any")

# text, the label, what the spans hold
FAULTS: list[tuple[str, str, list[str]]] = [
    ('{"size": "24" screen"}', "unescaped_quote", ['"']),
    ('{"a": "Films "A" and "B" won"}', "unescaped_quote", ['"'] * 4),
    ('{"h": "<a href="u" class="v">t</a>", "b": 1}', "unescaped_quote", ['"'] * 4),
    ('{"a": ["x""]}', "unescaped_quote", ['"']),
    ('{"a": ""x" is"}', "unescaped_quote", ['"'] * 2),
    ('{"c": "print("hi", end="")"}', "unescaped_quote", ['"'] * 4),
    ('{"p": "{"a": 1}"}', "unescaped_quote", ['"'] * 2),
    ('{"p": "{"a": "b", "c": "d"}", "q": 1}', "unescaped_quote", ['"'] * 8),
    ('{"a "b" c": 1}', "unescaped_quote", ['"'] * 2),
    ('["he said "yes", then left", "b"]', "unescaped_quote", ['"'] * 2),
    ('{"a": "x", y", "b": 1}', "unescaped_quote", ['"']),
    ('{"a": "24" wide", "b": "27" wide"}', "unescaped_quote", ['"'] * 2),
    ('{"a": "x, "b": "y"}', "unclosed_quote", ['"x']),
    ('{"a": ["x, "y"]}', "unclosed_quote", ['"x']),
    ('{"a": {"b": "x}, "c": 1}', "unclosed_quote", ['"x']),
    ('{"a": "x}', "unclosed_quote", ['"x']),
    ('{"a": "x,\n"b": 1}', "unclosed_quote", ['"x']),
    ('{"a": "x\n}', "unclosed_quote", ['"x']),
    ('{"a: 1}', "unclosed_quote", ['"a']),
    ('{"a: "x", "b": 1}', "unclosed_quote", ['"a']),
    ('{"a": "C:\\", "b": 1}', "unclosed_quote", ['\\"']),
    ('{"a": "x, "b": "y, "c": 1}', "unclosed_quote", ['"x', '"y']),
    ('{"a": x", "b": 1}', "unquoted_value", ['x"']),
    ('["x", y z", "w"]', "unquoted_value", ['y z"']),
    ('{"a": "x”, "b": 1}', "smart_quotes", ['"x”']),
    ('{"a": “say \\"hi\\"”}', "smart_quotes", ['“say \\"hi\\"”']),
    ('{\\"a\\": \\"x\\"}', "escaped_text", ['{\\"a\\": \\"x\\"}']),
    ('{\\"a\\": 1,\\n\\"b\\": 2}', "escaped_text", ['{\\"a\\": 1,\\n\\"b\\": 2}']),
    ('{"a": \\"x\\", "b": 1}', "escaped_text", ['\\"x\\"']),
    ('// x\n{"a": 1}', "comment", ["// x"]),
    ('/* {x} */ {"a": 1}', "comment", ["/* {x} */"]),
    ('# note\n{"a": 1}', "comment", ["# note"]),
    ('{"a": 1} // done', "comment", ["// done"]),
    ('{"a": 1}\n# one\n// two', "comment", ["# one", "// two"]),
    ("1 // one", "comment", ["// one"]),
    ('## The record\n{"a": 1}', "text_before", ["## The record"]),
    ('{"a": [1, 2, "b": 3}', "mismatched_bracket", [","]),
    ('[{"a": 1, {"b": 2}]', "mismatched_bracket", [","]),
    ('{"rows": [{"a": -3], {"b": 1}]}', "mismatched_bracket", ["]"]),
    ('{{"a": 1}', "unexpected_character", ["{"]),
    ('{"a": "x', "truncated", [""]),
    ('{"a": "f() { return }', "unclosed_quote", ['"f() { return']),
    ('{"a": {"b": "x}', "truncated", [""]),
]


@pytest.mark.parametrize(("text", "label", "spans"), FAULTS)
def test_one_fault_gets_one_label_where_it_stands(text: str, label: str, spans: list[str]) -> None:
    problems = ANY.parse(text).problems
    assert {problem.label for problem in problems} == {label}
    assert [text[problem.start : problem.end] for problem in problems] == spans


@pytest.mark.parametrize(("text", "label", "spans"), FAULTS)
def test_a_fault_in_a_line_gets_the_same_label(text: str, label: str, spans: list[str]) -> None:
    if "\n" not in text and label != "text_before":
        problems = JsonlFormat().parse(f'{{"x": 1}}\n{text}\n{{"y": 2}}').problems
        assert {problem.label for problem in problems} == {label}


def test_a_string_that_holds_json_says_so() -> None:
    (problem,) = JsonFormat().parse('"{\\"a\\": 1}"').problems
    assert problem.label == "wrong_root"
    assert "it holds JSON" in problem.message


@pytest.mark.parametrize("tested", [JsonFormat(), JsonFormat(max_depth=3), JsonlFormat()])
def test_every_planted_fault_gets_its_label_alone(tested: Format) -> None:
    alone = planted = 0
    for seed, value in enumerate(plain_values(tested, 1) * 3):
        for name, corruption in tested.corruptions().items():
            try:
                text = tested.render(value)
            except ValueError:
                continue
            broken = corruption(text, Random(seed))
            if broken is not None:
                planted += 1
                alone += {problem.label for problem in tested.parse(broken).problems} == {name}
    assert planted > 500
    assert alone / planted >= 0.99


WORDS = ("Oslo", "a b", "it's", "", "a, b", "k: v", 'say "hi"', "C:\\temp", "24 kg")


def any_value(rng: Random, depth: int) -> Any:
    kind = rng.random()
    if depth and kind < 0.25:
        return {key: any_value(rng, depth - 1) for key in rng.sample(["a", "b c", "d"], 2)}
    if depth and kind < 0.45:
        return [any_value(rng, depth - 1) for _ in range(rng.randrange(1, 4))]
    return rng.choice([rng.choice(WORDS), rng.choice(WORDS), rng.randrange(-9, 99), True, None])


@pytest.mark.parametrize(("sign", "least"), [('"', 0.95), (",", 0.97), (":", 0.97), ("}]", 0.9)])
def test_one_deleted_sign_gets_one_label(sign: str, least: float) -> None:
    one = count = 0
    for seed in range(600):
        rng = Random(seed)
        text = json.dumps({key: any_value(rng, 2) for key in ("id", "name", "rows")})
        places = [
            m.start() for m in re.finditer(r'\\.|(["{}\[\],:])', text) if m[1] and m[1] in sign
        ]
        at = rng.choice(places) if places else 0
        problems = JsonFormat().parse(text[:at] + text[at + 1 :]).problems
        if places and problems:
            count += 1
            one += len({problem.label for problem in problems}) == 1
    assert count > 300
    assert one / count >= least


@pytest.mark.parametrize(
    "unit", ['"', '","', '"a"b', '"a, "b": "', 'x"', '\\"', '": "', '[{"a": "x']
)
@pytest.mark.parametrize("start", ['{"a": "', '["', '{"', "["])
def test_a_hostile_text_takes_linear_time(start: str, unit: str) -> None:
    text = start + unit * (40_000 // len(unit))
    began = time.process_time()
    JsonFormat().parse(text)
    assert time.process_time() - began < 3


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ('{"a": [("x", "6\'2") tall."), ("y", 1)]}', {"wrong_brackets", "unescaped_quote"}),
        ('{"a": [("x", "no end),\n ("y", 1)\n], "b": 1}', {"wrong_brackets", "unclosed_quote"}),
        ('{"a": [("x\\_y", 1),\n ("z\\_y", 2)\n], "b": 1}', {"wrong_brackets", "bad_escape"}),
        ('{"a": [("x", 1)\n ("y", 2)], "b": 1}', {"wrong_brackets", "missing_comma"}),
        ('{"a": [("x", 1), // one\n ("y", 2)], "b": 1}', {"wrong_brackets", "comment"}),
        ('{"a": ["5\'10", 80 kg)", "low"], "b": 1}', {"unescaped_quote"}),
        ('{"a": ["5\'10"", "low"], "b": 1,}', {"unescaped_quote", "trailing_comma"}),
        (
            '{"a": "x" "b": 1, "c": {"d"\u00a0 2}}',
            {"missing_comma", "bad_whitespace", "missing_colon"},
        ),
        ('{"a": [1, 2}, "b": 1, "c": 07}', {"mismatched_bracket", "leading_zero"}),
        ('{"a": 1, 2], "b": 3}', {"mismatched_bracket"}),
        ('{"a": "b": 1}, "c": 3}', {"mismatched_bracket"}),
        ('{"a": [1, 2]}, "b": 3}', {"unexpected_character"}),
        ('{"a": [[1]], [2]], "b": 3}', {"unexpected_character"}),
    ],
)
def test_each_fault_of_several_has_its_label(text: str, labels: set[str]) -> None:
    assert {problem.label for problem in ANY.parse(text).problems} == labels
