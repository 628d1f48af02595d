"""The diagnoser under mutation: what is broken is named, and a repair at its span mends it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from fmtharness.evaluators.json.corruptions import CORRUPTIONS
from fmtharness.evaluators.json.format import JsonFormat
from fmtharness.harness.surroundings import MOST_OF_ONE_LABEL
from tests.strategies import at_least, plain_objects, repeating_objects, written_texts

STRICT = JsonFormat()

# What to put in place of a problem's span, which is exactly what is wrong, or where it is missing.
MENDS: dict[str, Callable[[str], str]] = {
    "byte_order_mark": lambda span: "",
    "text_before": lambda span: "",
    "text_after": lambda span: "",
    "code_fence": lambda span: "",
    "multiple_roots": lambda span: "",
    "wrong_root": lambda span: span[1:-1],
    "unclosed_quote": lambda span: span + '"',
    "duplicate_key": lambda span: span[:-1] + '(2)"',
    "lone_surrogate": lambda span: "",
    "trailing_comma": lambda span: "",
    "extra_comma": lambda span: "",
    "missing_comma": lambda span: "," + span,
    "missing_colon": lambda span: ":" + span.lstrip("=> "),
    "mismatched_bracket": lambda span: {"}": "]", "]": "}"}[span],
    "unquoted_key": lambda span: f'"{span}"',
    "unquoted_value": lambda span: f'"{span}"',
    "single_quotes": lambda span: f'"{span[1:-1]}"',
    "smart_quotes": lambda span: f'"{span[1:-1]}"',
    "bad_escape": lambda span: "",
    "raw_control_character": lambda span: "",
    "python_literal": {"True": "true", "False": "false", "None": "null"}.__getitem__,
    "nan_or_infinity": lambda span: "0",
    "leading_zero": lambda span: re.sub("^(-?)0", r"\1", span),
    "bad_number": lambda span: span.removeprefix("+"),
    "comment": lambda span: "",
    "ellipsis": lambda span: "",
    "bad_whitespace": lambda span: "",
}
# Where a closing quote is missing, a comma may be the string's or the array's.
LOSSY = {"duplicate_key", "lone_surrogate", "bad_escape", "nan_or_infinity", "unclosed_quote"}


def mended(text: str) -> str:
    """The text with each first problem mended until there is none."""
    for _ in range(2 * len(text)):
        problems = STRICT.parse(text).problems
        if not problems:
            break
        label, start, end = problems[0].label, problems[0].start, problems[0].end
        text = text[:start] + MENDS[label](text[start:end]) + text[end:]
    return text


@at_least(400)
@given(plain_objects(), st.sampled_from(sorted(MENDS)), st.integers(0, 1 << 16))
def test_a_repair_at_each_span_mends_the_text(value: Any, name: str, seed: int) -> None:
    broken = STRICT.corruptions()[name](STRICT.render(value), Random(seed))
    assume(broken is not None)
    assert broken is not None
    parsed = STRICT.parse(mended(broken))
    assert parsed.ok, (broken, parsed.problems)
    if name not in LOSSY:
        assert json.dumps(parsed.value) == json.dumps(value), broken


# In the order in which they are put around a value: a fence around prose is no fence.
AROUND = ["code_fence", "text_after", "text_before", "byte_order_mark"]
# A string without its end may take in what follows, and a bracket that closes too much ends the
# whole value, so that what follows is not looked at.
WHOLE = {*AROUND, "multiple_roots", "wrong_root", "mismatched_bracket", "unclosed_quote"}
INSIDE = sorted({*MENDS, "unescaped_quote"} - WHOLE)


@at_least(400)
@given(
    st.lists(st.tuples(plain_objects(), st.sampled_from(INSIDE)), min_size=1, max_size=4),
    st.sets(st.sampled_from(AROUND)),
    st.integers(0, 1 << 16),
)
def test_every_corruption_of_several_is_named(
    members: list[tuple[Any, str]], around: set[str], seed: int
) -> None:
    rng = Random(seed)
    done = set()
    values = []
    for value, name in members:
        text = STRICT.render(value)
        broken = CORRUPTIONS[name](text, rng)
        if broken is not None:
            done.add(name)
        values.append(broken or text)
    text = "{" + ", ".join(f'"member {at}": {value}' for at, value in enumerate(values)) + "}"
    for name in AROUND:
        if name in around:
            text = CORRUPTIONS[name](text, rng) or text
            done.add(name)
    assert {problem.label for problem in STRICT.parse(text).problems} >= done, text


def repeats(value: Any) -> Iterator[str]:
    """The keys that their object already has, in the order of the text."""
    seen = set()
    for child in value if isinstance(value, list) else ():
        yield from repeats(child)
    for key, child in value if isinstance(value, tuple) else ():
        if key in seen:
            yield key
        seen.add(key)
        yield from repeats(child)


@at_least(300)
@given(written_texts(repeating_objects()))
def test_every_repeated_key_is_named_where_it_stands(pair: tuple[str, Any]) -> None:
    text, value = pair
    problems = STRICT.parse(text).problems
    assert all(problem.label == "duplicate_key" for problem in problems)
    keys = [json.loads(text[problem.start : problem.end]) for problem in problems]
    expected = list(repeats(value))
    assert len(keys) == min(len(expected), MOST_OF_ONE_LABEL)
    if len(expected) <= MOST_OF_ONE_LABEL:
        assert keys == expected


@at_least(300)
@given(plain_objects(), st.sampled_from(sorted(CORRUPTIONS)), st.integers(0, 1 << 16))
def test_what_closes_all_it_opened_is_not_truncated(value: Any, name: str, seed: int) -> None:
    broken = CORRUPTIONS[name](STRICT.render(value), Random(seed))
    assume(broken is not None and name != "truncated")
    assert broken is not None
    assert "truncated" not in {problem.label for problem in STRICT.parse(broken).problems}, broken
