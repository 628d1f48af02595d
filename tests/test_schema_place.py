"""Where a value breaks a schema that branches into itself, however deep, in bounded time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmtharness.evaluators.json.places import place
from fmtharness.evaluators.json.schema import JsonSchema
from fmtharness.evaluators.json.schema_place import Parts, narrowest
from fmtharness.evaluators.json.schema_size import References
from fmtharness.harness.records import Completion, Verdict
from fmtharness.harness.testing.promises import seconds


def judged(schema: Any, text: str, **options: Any) -> Verdict:
    judge = JsonSchema(schema=schema, **options)
    return judge.evaluate(None, Completion(example_id="1", text=text))


def operation(sign: str) -> dict[str, Any]:
    sides = {"left": {"$ref": "#/$defs/Term"}, "right": {"$ref": "#/$defs/Term"}}
    return {
        "type": "object",
        "properties": {"op": {"const": sign}, **sides},
        "required": ["op", "left", "right"],
        "additionalProperties": False,
    }


TERM = {
    "$defs": {"Term": {"anyOf": [{"type": "number"}, *map(operation, "+-*/")]}},
    "$ref": "#/$defs/Term",
}
TERMS = [
    # what stands innermost, what is marked, what is said of it
    ('"x"', '"x"', 'expected a number or an object, got "x" (a string)'),
    ('{"op": "^", "left": 1, "right": 2}', '"^"', '"^" is none of "+", "-", "*", "/"'),
    ('{"op": "+", "left": 1}', '{"op": "+", "left": 1}', 'the key "right" is missing'),
    ('{"op": "-", "left": 1, "right": null}', "null", "expected a number or an object, got null"),
    (
        '{"op": "*", "left": 1, "right": 2, "rigth": 2}',
        '"rigth"',
        'the key "rigth" is not allowed here, did you mean "right"?',
    ),
]


@pytest.mark.parametrize(("inner", "marked", "expected"), TERMS)
@pytest.mark.parametrize("depth", [0, 2, 9, 40])
@pytest.mark.parametrize("form", ["whole", "folder"])
def test_a_failure_below_branches_that_all_fail_says_where(
    inner: str, marked: str, expected: str, depth: int, form: str, tmp_path: Path
) -> None:
    text = '{"op": "+", "left": {"op": "/", "left": 1, "right": ' * (depth // 2)
    text += inner + '}, "right": 2}' * (depth // 2)
    path = "/left/right" * (depth // 2)
    judge = JsonSchema(schema=TERM)
    if form == "folder":
        (tmp_path / "term.json").write_text(json.dumps(TERM), encoding="utf-8")
        judge = JsonSchema(schema={"$ref": "term.json"}, ref_folder=tmp_path)
    verdict = judge.evaluate(None, Completion(example_id="1", text=text))
    (problem,) = verdict.problems
    assert text[problem.start : problem.end] == marked
    assert problem.message.startswith(path)
    assert expected.partition(", did you")[0] in problem.message or form == "folder"


@given(st.data())
def test_the_narrowest_fault_is_one_and_holds_no_other(data: st.DataObject) -> None:
    term = st.recursive(
        st.sampled_from([1, 2.5, "x", None]),
        lambda side: st.fixed_dictionaries(
            {"left": side, "right": side}, optional={"op": st.sampled_from("+-^"), "more": side}
        ),
        max_leaves=6,
    )
    value = data.draw(term)
    references = References(TERM)
    parts = Parts(references, {"": TERM}, False)
    if parts.fits(TERM, value):
        return
    fault = narrowest(parts, value)
    assert fault is not None
    assert not parts.fits(fault.schema, fault.part)
    part: Any = value
    for step in fault.path:
        part = part[step]
    assert part is fault.part
    text = json.dumps(value)
    # Where all faults are listed, this is one of the places.
    (start, end) = place(text, fault.path)
    assert any(start <= each.start <= each.end <= end for each in judged(TERM, text).problems)


def test_a_wide_text_under_hostile_branching_is_bounded() -> None:
    row = '{"op": "+", "left": {"op": "-", "left": 1, "right": 2}, "right": "x"}'
    schema = {"$defs": TERM["$defs"], "items": {"$ref": "#/$defs/Term"}}
    text = f"[{', '.join([row] * 3_000)}]"
    assert seconds(lambda: judged(schema, text)) < 5
    assert judged(schema, text).problems[0].start > 0
