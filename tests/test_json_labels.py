"""What models really write, every label it must carry, and the characters each label points at."""

from __future__ import annotations

import pytest

from fmtharness.evaluators.json.format import JsonFormat
from fmtharness.evaluators.json.labels import LABELS

STRICT = JsonFormat()

# text, {label: the span's text of its first problem}
OUTPUTS: list[tuple[str, dict[str, str]]] = [
    ("", {"empty": ""}),
    (" \n", {"empty": " \n"}),
    ("Sure! I can help with that.", {"no_json": "Sure! I can help with that."}),
    ("I cannot {do} that", {"no_json": "I cannot {do} that"}),
    ('Here is the JSON:\n{"a": 1}', {"text_before": "Here is the JSON:"}),
    ('{"a": 1}\n\nHope this helps!', {"text_after": "Hope this helps!"}),
    ('{"a": 1}<|im_end|>', {"text_after": "<|im_end|>"}),
    ('{"a": 1}}', {"text_after": "}"}),
    ('{"a": 1},', {"text_after": ","}),
    ('<think>a {x}?</think>{"a": 1}', {"text_before": "<think>a {x}?</think>"}),
    ('```json\n{"a": 1}\n```', {"code_fence": "```json"}),
    ('```\n{"a": 1}', {"code_fence": "```"}),
    ('{"a": 1}\n```', {"code_fence": "```"}),
    ('`{"a": 1}`', {"code_fence": "`"}),
    ('~~~ json\n{"a": 1}\n~~~', {"code_fence": "~~~ json"}),
    (
        '```json\n{"a": 1,}\n```\nDone.',
        {"code_fence": "```json", "trailing_comma": ",", "text_after": "Done."},
    ),
    (
        'Sure:\n```json\n{"a": None}\n```',
        {"text_before": "Sure:", "code_fence": "```json", "python_literal": "None"},
    ),
    ('```json\n{"a": [1, 2\n```', {"code_fence": "```json", "truncated": ""}),
    ("```json\n```", {"code_fence": "```json", "no_json": "```json\n```"}),
    ('{"a": 1}{"a": 1}', {"multiple_roots": '{"a": 1}'}),
    ('{"a": 1}\n{"a": 2}\n{"a": 3}', {"multiple_roots": '{"a": 2}\n{"a": 3}'}),
    ('{"a": 1}, {"b": 2,}', {"multiple_roots": '{"b": 2,}', "trailing_comma": ","}),
    (
        '{"a": 1}\nOr: {"b": 2}',
        {"multiple_roots": '{"b": 2}', "text_after": "Or:"},
    ),
    ('[{"a": 1}]', {"wrong_root": '[{"a": 1}]'}),
    ('"a"', {"wrong_root": '"a"'}),
    ("null", {"wrong_root": "null"}),
    ("None", {"wrong_root": "None", "python_literal": "None"}),
    ('\ufeff{"a": 1}', {"byte_order_mark": "\ufeff"}),
    ('{"a": 1', {"truncated": ""}),
    ('{"a": "it goes on and', {"truncated": ""}),
    ('{"a": 1, "a": 2}', {"duplicate_key": '"a"'}),
    ('{"o": {"b": 1, "\\u0062": 2}}', {"duplicate_key": '"\\u0062"'}),
    ('{"a": "\\ud83d"}', {"lone_surrogate": "\\ud83d"}),
    ('{"a": "\ud83d"}', {"lone_surrogate": "\ud83d"}),
    ('{"a": [1, 2,], }', {"trailing_comma": ","}),
    ('{"a": 1,, "b": 2}', {"extra_comma": ","}),
    ('{"a": [1 2], "b": 3}', {"missing_comma": "2"}),
    ('{"a": 1\n"b": 2}', {"missing_comma": '"'}),
    ('{"a" 1}', {"missing_colon": "1"}),
    ('{"a" => 1}', {"missing_colon": "=>"}),
    ('{"a"}', {"missing_colon": "}"}),
    ('{"a": , "b": }', {"missing_value": ","}),
    ('{"a": [1, 2}', {"mismatched_bracket": "}"}),
    ('{"a": [{"b": 1]}', {"mismatched_bracket": "]"}),
    ("{a: 1, first name: 2}", {"unquoted_key": "a"}),
    ('{"a": yes, "b": 2024-01-15}', {"unquoted_value": "yes"}),
    ("{'a': 'it's', 'b': True}", {"single_quotes": "'a'", "python_literal": "True"}),
    ("{“a”: “b”}", {"smart_quotes": "“a”"}),
    ('{"a": "he said "hi" to me"}', {"unescaped_quote": '"'}),
    ('{"a": "x, "b": "y"}', {"unclosed_quote": '"x'}),
    ('{\\"a\\": "x"}', {"escaped_text": '\\"a\\"'}),
    ('{"a": "C:\\dir\\_x"}', {"bad_escape": "\\d"}),
    ('{"a": "\\u12"}', {"bad_escape": "\\u12"}),
    ('{"a": "one\ntwo"}', {"raw_control_character": "\n"}),
    ('{"a": NaN, "b": -Infinity}', {"nan_or_infinity": "NaN"}),
    ('{"a": 007}', {"leading_zero": "007"}),
    ('{"a": .5, "b": +1, "c": 1_000, "d": 0x1F}', {"bad_number": ".5"}),
    ('{"a": 1., "b": 2}', {"bad_number": "1."}),
    ('{"a": 1, // one\n"b": 2}', {"comment": "// one"}),
    ('{"a": 1 /* one */}', {"comment": "/* one */"}),
    ('{"a": [1, 2, ...]}', {"ellipsis": "..."}),
    ('{"a":\xa01}', {"bad_whitespace": "\xa0"}),
    ('{{"a": 1}}', {"unexpected_character": "{"}),
    ('{"a": "low"|"high", "b": 1}', {"unexpected_character": '|"high"'}),
    (
        '{"a": "YES" or "NO",\n"b": some number}',
        {"unexpected_character": 'or "NO"', "unquoted_value": "some number"},
    ),
    ('{"a": "x" or "y" they said", "b": 1}', {"unescaped_quote": '"'}),
    ('{"a": 1]', {"mismatched_bracket": "]"}),
    ('{"a": ("x", 1)}', {"wrong_brackets": "("}),
    ('{"a": [("x (y)", "low"), ("z", "high",)], "b": 1}', {"wrong_brackets": "("}),
    ('{"a": (("x", 1), ()), "b": (1)}', {"wrong_brackets": "("}),
    ('{"a": ("x", "say "no" to it"), "b": 1}', {"wrong_brackets": "(", "unescaped_quote": '"'}),
    ('{"a": ("x", 1', {"wrong_brackets": "(", "truncated": ""}),
    ('{"a": {"x", "y"}, "b": 1}', {"wrong_brackets": '{"x", "y"}'}),
    ('{"a": [{"x", "low"}, {"y", 2}]}', {"wrong_brackets": '{"x", "low"}'}),
    ('{"a": {"x", "y": 1}}', {"missing_colon": ","}),
    ('{"a": {"b": 1], "c": 2}', {"mismatched_bracket": "]"}),
    ('{"a": [1, 2}}', {"mismatched_bracket": "}"}),
    ('{"a": [1, {"b": 2]}, "c": 3}', {"mismatched_bracket": "]}"}),
    ('{"a": 1]}', {"unexpected_character": "]"}),
    ('{"a": 1], "b": 2}', {"unexpected_character": "]"}),
    ('{name": "x"}', {"unquoted_key": 'name"'}),
    ('{"a": `x`}', {"single_quotes": "`x`"}),
    ('{"a": [``+x]}', {"single_quotes": "``", "unexpected_character": "+x"}),
    ('{"a": “x”b, "c": 1}', {"smart_quotes": "“x”", "unexpected_character": "b"}),
    ('{"a"; 1}', {"missing_colon": ";"}),
    ('{"a": "b" "c"}', {"unexpected_character": '"c"'}),
    ('{"a": 1\n\nI hope this helps!', {"truncated": "", "text_after": "I hope this helps!"}),
]


@pytest.mark.parametrize(("text", "expected"), OUTPUTS)
def test_what_models_write(text: str, expected: dict[str, str]) -> None:
    found: dict[str, str] = {}
    for problem in STRICT.parse(text).problems:
        found.setdefault(problem.label, text[problem.start : problem.end])
    assert found == expected


def test_the_table_has_no_label_that_no_text_can_carry() -> None:
    deep = '{"a":' * 65 + "1" + "}" * 65
    seen = {"too_deep"} if "too_deep" in {p.label for p in STRICT.parse(deep).problems} else set()
    for _, expected in OUTPUTS:
        seen |= set(expected)
    assert seen == set(LABELS)


def test_options_switch_rules_off() -> None:
    lax = JsonFormat(unique_keys=False, unicode_scalars=False)
    assert lax.parse('{"a": 1, "a": 2}').value == {"a": 2}
    assert lax.parse('{"a": "\\ud83d", "b": "\ud83d"}').value == {"a": "\ud83d", "b": "\ud83d"}


@pytest.mark.parametrize(
    ("text", "root", "expected"),
    [
        ("[1]", "array", set()),
        ("42", "any", set()),
        ('{"a": 1}', "array", {"wrong_root"}),
        ("tru", "any", {"truncated"}),
        ('"abc', "any", {"truncated"}),
        ("01", "any", {"leading_zero"}),
        ("NaN", "any", {"nan_or_infinity"}),
        ('"a\\q"', "any", {"bad_escape"}),
        ("1 2", "any", {"text_after"}),
        ("Numbers: [1, 2]", "array", {"text_before"}),
        ("See [1] for more", "array", {"no_json"}),
    ],
)
def test_other_roots(text: str, root: str, expected: set[str]) -> None:
    judge = JsonFormat.model_validate({"root": root})
    assert {problem.label for problem in judge.parse(text).problems} == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": True}', "True is Python; JSON writes true"),
        ('{"a": "\\User"}', "'\\U' is no escape in JSON"),
        ('{"a": 1, "a": 2}', "this object has the key 'a' already"),
        ('{"a": 1]', "] stands where } should close the object"),
        ('{"a": 1}}', "a closing bracket too many"),
        ('{"a": 1},', "a comma stands after the value"),
        ('{"a": "b', "the value ends inside a string, with 1 bracket still open"),
        ('{"a": [1', "the value ends with 2 brackets still open"),
        ('"a"', "the value is a string, not an object"),
        ("None", "None is Python; JSON writes null"),
    ],
)
def test_a_message_says_what_stands_there(text: str, message: str) -> None:
    assert STRICT.parse(text).problems[0].message == message
