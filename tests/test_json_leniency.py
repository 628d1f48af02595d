"""The ladder of leniency: which rung a text first passes, and what the peers say beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from fmtharness.evaluators.json import peers
from fmtharness.evaluators.json.format import JsonFormat
from fmtharness.evaluators.json.leniency import LABELS, PEERS, RUNGS, JsonLeniency
from fmtharness.evaluators.yaml.flow import reads
from fmtharness.harness.contracts import rates_of
from fmtharness.harness.judging.tally import tally
from fmtharness.harness.judging.verdicts import judge
from fmtharness.harness.records import Completion, Example, Message, Verdict
from tests.strategies import (
    broken_texts,
    json_objects,
    json_values,
    mutated_texts,
    prose,
    written_texts,
)

OBJECT = '{"a": 1}'
ARRAY = JsonLeniency(root="array")
ANY = JsonLeniency(root="any")


def judged(text: str, evaluator: JsonLeniency | None = None) -> Verdict:
    return (evaluator or JsonLeniency()).evaluate(None, Completion(example_id="x", text=text))


def said(text: str) -> str:
    """The peers that pass a text, by their initials: Ifeval, is-Json, Contains-json, Deepeval."""
    counts = judged(text).counts
    return "".join(
        initial for initial, peer in zip("IJCD", PEERS, strict=True) if counts[peer] == 1
    )


@pytest.mark.parametrize(
    ("text", "label", "part", "peers"),
    [
        (OBJECT, None, None, "IJCD"),
        (f" \n{OBJECT}\t", None, None, "IJCD"),
        ('{"a": "}"}', None, None, "IJCD"),
        (f"\xa0{OBJECT}\u2028", "needs_trimming", OBJECT, "IC"),
        (f"\ufeff{OBJECT}", "needs_trimming", OBJECT, "C"),
        (f"\x0c \ufeff\n{OBJECT}", "needs_trimming", OBJECT, "C"),
        (f"```json\n{OBJECT}\n```", "needs_fence_stripping", OBJECT, "IC"),
        (f"\n```JSON\n{OBJECT}\n```\n", "needs_fence_stripping", OBJECT, "IC"),
        (f"```{OBJECT}```", "needs_fence_stripping", OBJECT, "IC"),
        (f"~~~~ json5\n{OBJECT}\n~~~~", "needs_fence_stripping", OBJECT, "C"),
        (f"```yaml\n{OBJECT}\n```", "needs_fence_stripping", OBJECT, "C"),
        (f"```json\n{OBJECT}", "needs_extraction", OBJECT, "IC"),
        (f"`{OBJECT}`", "needs_extraction", OBJECT, "C"),
        (f"Sure!\n```json\n{OBJECT}\n```", "needs_extraction", OBJECT, "C"),
        (f"{OBJECT}\n\nI hope this helps!", "needs_extraction", OBJECT, "C"),
        (f"{OBJECT}{OBJECT}", "needs_extraction", OBJECT, "C"),
        (f"[{OBJECT}]", "needs_extraction", OBJECT, "IJC"),
        ('{"a": 1, "b": [1, 2', "needs_repair", None, ""),
        ('{"a": 1, "b": 2', "needs_repair", None, "C"),
        ('{"a": True,}', "needs_repair", None, "C"),
        ("{'a': 'it''s'}", "needs_repair", None, "C"),
        ("{a: 1}", "needs_repair", None, "C"),
        ('{"a": "x, "b": "y"}', "needs_repair", None, ""),
        ('{\\"a\\": \\"x\\"}', "needs_repair", None, "C"),
        ('{"a": ("x", 1)}', "needs_repair", None, "C"),
        ('// note\n{"a": 1}', "needs_extraction", '{"a": 1}', "C"),
        ('{"a": 1 // one\n}', "needs_repair", None, "C"),
        ('{"a": 1, "a": 2}', "needs_repair", None, "IJCD"),
        ('{"a": "x\ty"}', "needs_repair", None, "C"),
        ('{"a": NaN}', "beyond_repair", None, "ICD"),
        ('{"a": "\\ud800"}', "beyond_repair", None, "IJC"),
        ("[1, 2]", "beyond_repair", None, "IJ"),
        ("{", "beyond_repair", None, ""),
        ("{ ", "beyond_repair", None, "C"),
        ("I cannot {help} with that.", "beyond_repair", None, "C"),
        ("I cannot help with that.", "beyond_repair", None, ""),
        ("", "beyond_repair", None, ""),
        ("null", "beyond_repair", None, "IJ"),
        ("12", "beyond_repair", None, "IJ"),
    ],
)
def test_rung_and_peers(text: str, label: str | None, part: str | None, peers: str) -> None:
    verdict = judged(text)
    assert verdict.labels == ((label,) if label else ())
    assert verdict.passed is (label is None)
    assert said(text) == peers
    for problem in verdict.problems:
        assert text[problem.start : problem.end] == (text if part is None else part)
        assert problem.message.startswith(("passes ", "does not pass "))


@pytest.mark.parametrize(
    ("evaluator", "text", "label"),
    [
        (ARRAY, "[1, 2]", None),
        (ARRAY, "See [1, 2] or [3].", "needs_extraction"),
        (ARRAY, "[a] then [[1], [2]] and so on [", "needs_extraction"),
        (ARRAY, "[1, 2", "needs_repair"),
        (ARRAY, OBJECT, "beyond_repair"),
        (ANY, '"x"', None),
        (ANY, " 12\u00a0", "needs_trimming"),
        (ANY, "```\n12\n```", "needs_fence_stripping"),
        (ANY, f"It is {OBJECT}.", "needs_extraction"),
        (ANY, "['a', 1]", "needs_repair"),
        (ANY, "It is 12.", "beyond_repair"),
        (JsonLeniency(max_depth=1), 'x {"a": {}}', "beyond_repair"),
        (JsonLeniency(unique_keys=False), 'x {"a": 1, "a": 2}', "needs_extraction"),
        (JsonLeniency(unicode_scalars=False), '{"a": "\\ud800"}', None),
    ],
)
def test_options_hold_on_every_rung(evaluator: JsonLeniency, text: str, label: str | None) -> None:
    assert judged(text, evaluator).labels == ((label,) if label else ())


TEXTS = st.one_of(
    broken_texts(),
    written_texts(json_values()).map(lambda written: written[0]),
    mutated_texts(written_texts(json_objects()).map(lambda written: written[0])),
    st.tuples(prose(), written_texts(json_objects()), prose()).map(
        lambda parts: f"{parts[0]}\n{parts[1][0]}\n{parts[2]}"
    ),
)


@given(TEXTS, st.sampled_from([JsonLeniency(), ARRAY, ANY]))
def test_each_rung_takes_what_the_one_before_took(text: str, evaluator: JsonLeniency) -> None:
    verdict = judged(text, evaluator)
    rungs = [verdict.counts[rung] for rung in RUNGS]
    assert rungs == sorted(rungs)
    assert bool(rungs[0]) is verdict.passed is JsonFormat(root=evaluator.root).parse(text).ok
    assert verdict.counts.keys() - {"repair_skipped"} == {*RUNGS, *PEERS}
    labels = [LABELS[rung][0] for rung in ("", *reversed(RUNGS[1:]))]
    assert list(verdict.labels) == ([] if verdict.passed else [labels[sum(rungs)]])


@given(written_texts(json_objects()), st.sampled_from(["\xa0{}", "\ufeff{}", "{}\u3000\x0b"]))
def test_trimming(written: tuple[str, Any], around: str) -> None:
    assert judged(around.replace("{}", written[0])).labels == ("needs_trimming",)


@given(
    written_texts(json_objects()),
    st.sampled_from(["```", "````", "~~~"]),
    st.sampled_from(["", "json", " JSON ", "c++"]),
)
def test_fences(written: tuple[str, Any], fence: str, language: str) -> None:
    text = f"{fence}{language}\n{written[0]}\n{fence}"
    assert judged(text).labels == ("needs_fence_stripping",)


@given(prose(), written_texts(json_objects()), prose())
def test_extraction(before: str, written: tuple[str, Any], after: str) -> None:
    text = f"{before}\n{written[0]}\n{after}"
    [problem] = judged(text).problems
    assert problem.label == "needs_extraction"
    assert text[problem.start : problem.end] == written[0].strip(" \t\r\n")


@given(written_texts(json_objects()))
def test_peers_take_every_strict_object(written: tuple[str, Any]) -> None:
    # This is what lets a passing text be judged without asking them.
    text = written[0]
    assert peers.ifeval(text)
    assert peers.promptfoo_is_json(text)
    assert peers.promptfoo_contains_json(text)
    assert peers.deepeval(text)


DEEPEST = '{"a": ' + "[" * 1_500 + "]" * 1_500 + "}"


def python_reads(text: str) -> bool:
    """Whether this version of Python reads JSON of that depth; 3.11 does not read 1,000 levels."""
    try:
        json.loads(text)
    except RecursionError:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "peers"),
    [
        ('{"a": ' + "9" * 4_300 + "}", "IJCD"),
        ('{"a": ' + "9" * 4_301 + "}", "JC"),
        ('{"a": ' + "[" * 150 + "]" * 150 + "}", "IJCD"),
        ('{"a": ' + "[" * 250 + "]" * 250 + "}", "IJC"),
        (DEEPEST, "IJC" if python_reads(DEEPEST) else "JC"),
        ('{"a": "' + "b" * 120_000 + '"}', "IJD"),
        ('{"a": [' + '{"b": 1}, ' * 12_000 + "1]}", "IJCD"),
    ],
    ids=["digits", "more digits", "deep", "deeper", "deepest", "long", "long and nested"],
)
def test_limits_of_the_peers_on_strict_objects(text: str, peers: str) -> None:
    verdict = judged(text, JsonLeniency(max_depth=10_000))
    assert verdict.passed
    passing = [peer for peer in PEERS if verdict.counts[peer]]
    assert passing == [
        peer for initial, peer in zip("IJCD", PEERS, strict=True) if initial in peers
    ]


class Anything(BaseModel):
    """The widest schema that deepeval's metric takes for an object."""


@given(TEXTS)
def test_deepeval_is_pydantic(text: str) -> None:
    try:
        Anything.model_validate_json(text)
        passes = True
    except ValidationError:
        passes = False
    assert peers.deepeval(text) is passes


@given(TEXTS, st.sampled_from(["{}", "```json{}```", " ```\n{}", "{}```\n", "```JSON\n{}\n```"]))
def test_ifeval_is_json_loads_inside_ticks(text: str, around: str) -> None:
    bare = text.strip()
    if bare.startswith("```") or bare.endswith("```"):
        return
    try:
        json.loads(bare)
        passes = True
    except (ValueError, RecursionError):
        passes = False
    assert peers.ifeval(around.replace("{}", text)) is passes


def refuse(constant: str) -> None:
    raise ValueError(constant)


@given(TEXTS)
def test_is_json_is_the_bare_grammar(text: str) -> None:
    try:
        json.loads(text, parse_constant=refuse)
        passes = True
    except ValueError:
        passes = False
    assert peers.promptfoo_is_json(text) is passes


@pytest.mark.parametrize(
    ("text", "found"),
    [
        # The cases of promptfoo's own tests, in texts of ours.
        ('a {"b": "c"} d {"e": "f"} g', True),
        ("nothing here", False),
        ("[1, 2, 3]", False),
        ('{"a": "b" or {"c": "d"}', True),
        ('{\n  "a": "b"', True),
        ('{"a": 1.0 // one\n}', True),
        ('{"a": 1.0 # one\n}', True),
        ("{a b: c d, e: f!@#$%, g:}", True),
        ('{"a": "see http://b.c//d"}', True),
        ("{a: http://b.c//d}", True),
        # More of what the original does, found by running it.
        ("see {placeholder}", True),
        ("{", False),
        ("{,}", False),
        ("{{a}}", True),
        ("{{a}: b, [c]}", True),
        ("{[a]}", False),
        ('{"a": "b" "c"}', False),
        ('{"a": [1, 2}', False),
        ('{"a": @b}', False),
        ("{a: %b}", False),
        ("{2026-01-01: a}", False),
        ("{2026-13-01: a}", True),
        ("{a: 'b}", False),
        ("{a: *b}", False),
        ("{a: &b c, d: *b}", True),
        ("{a: \x01}", False),
        ('{"a": "\x01"}', False),
        ('{"a": "\\q"}', False),
        ('{"a": "\\x41"}', True),
        ('{"a": {"b": "}"}, oops', True),
        ('{a: "}"}', False),
        ('{a: "{}"}', True),
        ("{'//': 1}", True),
        ('{"://x y"//,\n: 1}', False),
        ("{a: 'b://c d' //e\n}", True),
        ("{a: 1,// b\n}", False),
        ("{a: 1, //// b\n}", True),
        ("{it's: 1} // }", True),
        ("{[a: b]: c}", False),
        ("{a: [b: c, ? d, e]}", True),
        ("{? a : b}", True),
        ("{a: ' b\n---\n'}", False),
        ("\0{a: b}", True),
        ("{a: \0}", False),
    ],
)
def test_contains_json(text: str, found: bool) -> None:
    assert peers.promptfoo_contains_json(text) is found


@pytest.mark.parametrize("inner", ["{}", "1"])
def test_yaml_depth_ends_where_js_yaml_ends(inner: str) -> None:
    most = 99 if inner == "{}" else 98
    for depth, taken in ((most, True), (most + 1, False)):
        nested = depth - (inner == "{}")
        assert reads("{a: " * nested + inner + "}" * nested)[0] is taken


def at_depth(frames: int, function: Callable[[], Any]) -> Any:
    return function() if frames == 0 else at_depth(frames - 1, function)


@pytest.mark.parametrize("text", ['{"a": 1, "b": ' + "[" * 60 + "1", '{"a": 1}', '{"a": tru'])
def test_the_stack_of_the_caller_does_not_matter(text: str) -> None:
    judged(text)  # Imports what is imported late, while there is room.
    assert at_depth(700, lambda: judged(text)) == judged(text)


@pytest.mark.parametrize(
    ("text", "skipped"),
    [
        ('{"a": 1, "b": [2', False),
        ('{"a": "' + "b" * 10_000, True),
        ('{"a":' * 101 + "1", True),
        ('{"a": [' + "{1} " * 2_000, True),
    ],
    ids=["short", "long", "deep", "bracketed"],
)
def test_the_limit_of_repair(text: str, skipped: bool) -> None:
    verdict = judged(text)
    assert verdict.counts.get("repair_skipped", 0) == skipped
    assert verdict.labels == ("beyond_repair" if skipped else "needs_repair",)


def test_repair_limit_is_an_option() -> None:
    text = '{"a": "' + "b" * 10_000
    assert judged(text, JsonLeniency(repair_limit=20_000)).labels == ("needs_repair",)
    assert judged("{'a': 1}", JsonLeniency(repair_limit=7)).labels == ("beyond_repair",)


@pytest.mark.parametrize(
    "text",
    [
        "{" * 20_000,
        "[" * 20_000,
        '"' * 20_000,
        '{"a":' * 5_000,
        "{'a':" * 5_000,
        '{"{":' * 20_000,
        "{a}" * 20_000 + "{",
        "{x" * 20_000,
        "I cannot do that. " * 6_000,
        "{ 'http://x' //" * 5_000,
        "```" * 20_000,
        "\ufeff" * 20_000,
        "&" * 20_000,
        "{'```json{```",  # json-repair 0.64 fails on this by assertion.
        "\ud83d{\ude00",
    ],
    ids=lambda text: f"{text[:6]!r}*{len(text)}",
)
def test_no_text_raises_or_takes_long(text: str) -> None:
    for evaluator in (JsonLeniency(), ARRAY, ANY):
        assert judged(text, evaluator).passed is False


def test_rates() -> None:
    texts = [OBJECT, f"```\n{OBJECT}\n```", f"Sure: {OBJECT}", "{'a': 1}", "No."]
    completions = [Completion(example_id=str(n), text=text) for n, text in enumerate(texts)]
    evaluators = [JsonLeniency()]
    sums = tally(evaluators, judge(evaluators, {}, completions))
    metrics = {metric.name: metric for metric in sums.metrics()["json_leniency"]}
    assert list(metrics) == [rate.name for rate in rates_of(JsonLeniency)]
    assert next(iter(metrics)) == JsonLeniency.metric
    assert {metric.denominator for metric in metrics.values()} == {len(texts)}
    assert [metrics[f"leniency_{rung}_rate"].numerator for rung in RUNGS] == [1, 1, 2, 3, 4]
    assert [metrics[f"{peer}_rate"].numerator for peer in PEERS] == [2, 1, 4, 1]


def test_an_example_may_set_the_root() -> None:
    asked = Example(
        id="x",
        prompt=(Message("user", "List them."),),
        completion="[1]",
        format="json",
        value=[1],
        format_options={"root": "array"},
    )
    verdict = JsonLeniency().evaluate(asked, Completion(example_id="x", text="[1]"))
    assert verdict.passed
    assert not JsonLeniency().evaluate(None, Completion(example_id="x", text="[1]")).passed
