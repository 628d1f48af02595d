"""The quick answers are those of the slow way, and a parser's proof stands behind each."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fmtharness.evaluators.json.format import JsonFormat
from fmtharness.evaluators.json.labels import Problems
from fmtharness.evaluators.json.reader import REPEATED, UNREAD, whole
from fmtharness.evaluators.json.recovery import walk
from fmtharness.evaluators.json.scanner import SPACE
from fmtharness.evaluators.json.shortcuts import shortcut
from tests.strategies import (
    at_least,
    broken_texts,
    json_objects,
    json_values,
    mutated_texts,
    written_texts,
)

ANY_KEYS = JsonFormat(root="any", unique_keys=False)
texts = written_texts(json_objects(8)).map(lambda pair: pair[0])


@st.composite
def cut_texts(draw: st.DrawFn) -> str:
    """A text that ends too early, anywhere."""
    text = draw(texts)
    return text[: draw(st.integers(0, len(text)))]


@st.composite
def repeating_texts(draw: st.DrawFn) -> str:
    """A valid text in which keys of one object may repeat, plainly or by an escape."""
    members = draw(
        st.lists(
            st.tuples(
                st.sampled_from(['"a"', '"b"', '"\\u0061"', '"a\\n"', '"{"', '"a\\""']),
                st.sampled_from(["1", '":"', '"{\\""', '{"a":1,"a" : 2}', '[{"a":{}}]', '"a"']),
            ),
            max_size=6,
        )
    )
    return "{" + ", ".join(f"{key}: {value}" for key, value in members) + "}"


@at_least(300)
@given(
    st.one_of(cut_texts(), repeating_texts(), mutated_texts(texts), broken_texts()),
    st.sampled_from([1, 2, 64]),
    st.booleans(),
)
@example('{"a": tru', 64, True)
@example('{"a": 1.', 64, True)
@example('{"a": 1e', 64, True)
@example('{"a', 64, True)
@example('{"a"', 64, True)
@example('{"": 1,', 64, True)
@example('{"a": 1, "a', 64, True)
@example('{"a": "b\\', 64, True)
@example('{"a": {"b": 1, "b": 2', 64, True)
@example('{"a": {"b": 1', 1, True)
@example('{"a": "{", "b": ["]', 64, True)
@example('{"a\\"": 1, "a\\"": "\\\\", "b": 2, "b": 3}', 64, True)
def test_a_shortcut_ends_where_the_walk_ends(text: str, max_depth: int, unique_keys: bool) -> None:
    start = len(text) - len(text.lstrip(SPACE))
    if text[start : start + 1] not in ("{", "["):
        return
    quick, slow = Problems(), Problems()
    found = shortcut(text, start, quick, max_depth, unique_keys)
    end = walk(text, start, slow, max_depth, unique_keys)
    if isinstance(found, tuple):
        assert found[0] == end
        assert quick.in_order() == slow.in_order()
        assert (found[1] is UNREAD) == bool(slow.in_order())
    else:
        assert not quick.in_order()


@pytest.mark.parametrize("cut", range(1, 104))
def test_a_truncated_answer_takes_the_shortcut(cut: int) -> None:
    text = '{"name": "Ada \\"A\\" L.", "tags": ["x", {"on": true, "n": [1, -2.5e3, null]}], '
    text += '"at": {"z": "é"}}   '
    assert len(json.loads(text)) == 3
    problems = Problems()
    found = shortcut(text[:cut], 0, problems, 64, True)
    inside_an_escape = text[:cut].endswith("\\")
    complete = cut >= len(text.rstrip())
    if not inside_an_escape and not complete:
        assert found == (cut, UNREAD)
        assert [problem.label for problem in problems.in_order()] == ["truncated"]


@at_least(300)
@given(st.one_of(written_texts(json_values()).map(lambda pair: pair[0]), mutated_texts(texts)))
@example('{"a":1,"a" :2}')
@example('{"a":1,"a":"\\u0022:"}')
@example('{"a":":","a":1}')
@example("[-0, -0.0, 1e999, -1e-999, 5e-324, 123456789012345678901234567890]")
@example("123456789.123456789e-300")
def test_whole_reads_what_the_standard_library_reads(text: str) -> None:
    def unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in members}) < len(members):
            raise ValueError("repeated")
        return dict(members)

    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        wanted = json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
        json.dumps(wanted, ensure_ascii=False).encode()
    except ValueError:
        assert whole(text) in (UNREAD, REPEATED)
    else:
        value = whole(text)
        assert json.dumps(value) == json.dumps(wanted)


def test_repeated_is_said_of_valid_texts_only() -> None:
    assert whole('{"a": 1, "b": {"a": 1}}') == {"a": 1, "b": {"a": 1}}
    assert whole('{"a": 1, "a": 2}') is REPEATED
    assert whole('{"a": 1, "a": 2}', unique_keys=False) == {"a": 2}
    assert whole('{"a": 1, "a": 2') is UNREAD
    assert whole("[[1]]", max_depth=1) is UNREAD
