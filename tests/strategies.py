"""Hypothesis strategies that the tests share: values, valid and broken texts, mutations, prose."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st


def at_least(examples: int) -> settings:
    """So many examples for a test, or as many as the profile says where that is more."""
    return settings(max_examples=max(examples, settings().max_examples))


SPACES = st.text(" \t\n\r", max_size=3)
SCALAR_VALUES = st.characters(codec="utf-8")
KEYS = st.one_of(
    st.sampled_from(["a", "b", "id", "name", "first name", "Größe", "", "a\\b", 'quo"te']),
    st.text(SCALAR_VALUES, max_size=6),
)


def json_scalars() -> st.SearchStrategy[Any]:
    """Strings, numbers (large ones too), true, false and null."""
    return st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(min_value=10**30, max_value=10**40),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(SCALAR_VALUES, max_size=12),
        st.sampled_from(["", "it's", 'say "hi"', "}{", "a:b,c", "\n\t\\", "naïve 😀", "// no"]),
    )


def json_values(
    max_leaves: int = 12,
    scalars: st.SearchStrategy[Any] | None = None,
    keys: st.SearchStrategy[str] = KEYS,
) -> st.SearchStrategy[Any]:
    """Anything that JSON can hold."""
    return st.recursive(
        json_scalars() if scalars is None else scalars,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=4)
        ),
        max_leaves=max_leaves,
    )


def json_objects(max_leaves: int = 12) -> st.SearchStrategy[dict[str, Any]]:
    """Objects, which is what a strict completion holds."""
    return st.dictionaries(KEYS, json_values(max_leaves), max_size=5)


PLAIN_KEYS = st.sampled_from(["a", "b", "id", "name", "first_name", "größe", "n1"])


def plain_objects(max_leaves: int = 8) -> st.SearchStrategy[dict[str, Any]]:
    """Objects whose strings hold words alone, so that broken quotes leave no doubt."""
    words = st.sampled_from(["", "blue", "Ada Lovelace", "naïve 😀", "3 of 4", "2024-01-15", "x"])
    scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(-1e9, 1e9), words)
    inside = json_values(max_leaves, scalars, PLAIN_KEYS)
    return st.dictionaries(PLAIN_KEYS, inside, max_size=4)


def _escaped(draw: st.DrawFn, text: str) -> str:
    short = {"\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "/": "\\/"}
    pieces = []
    for char in text:
        must = char in '"\\' or char < " "
        if not must and draw(st.integers(0, 9)) != 0:
            pieces.append(char)
        elif char in short and draw(st.booleans()):
            pieces.append(short[char])
        elif char in '"\\' and draw(st.booleans()):
            pieces.append("\\" + char)
        else:
            units = char.encode("utf-16-be").hex()
            units = units.upper() if draw(st.booleans()) else units
            pieces += ["\\u" + units[at : at + 4] for at in range(0, len(units), 4)]
    return '"' + "".join(pieces) + '"'


def _written(draw: st.DrawFn, value: Any) -> str:
    if isinstance(value, str):
        return _escaped(draw, value)
    if isinstance(value, dict | tuple):
        members = [
            _written(draw, key) + draw(SPACES) + ":" + draw(SPACES) + _written(draw, child)
            for key, child in (value.items() if isinstance(value, dict) else value)
        ]
        return "{" + _joined(draw, members) + "}"
    if isinstance(value, list):
        return "[" + _joined(draw, [_written(draw, child) for child in value]) + "]"
    return json.dumps(value)


def _joined(draw: st.DrawFn, items: list[str]) -> str:
    return draw(SPACES) + (draw(SPACES) + "," + draw(SPACES)).join(items) + draw(SPACES)


@st.composite
def written_texts(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> tuple[str, Any]:
    """A valid text with odd whitespace and odd escapes, and the value it means.

    A tuple of pairs is written as an object, so that keys can repeat.
    """
    value = draw(values)
    return draw(SPACES) + _written(draw, value) + draw(SPACES), value


def repeating_objects() -> st.SearchStrategy[tuple[tuple[str, Any], ...]]:
    """Objects as tuples of pairs, in which keys like to repeat, at any depth."""
    keys = st.sampled_from(["a", "b", "", "é", '"', "😀"])
    scalars = st.sampled_from([1, "a", '"a":', None])

    def objects(values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[tuple[str, Any], ...]]:
        return st.lists(st.tuples(keys, values), max_size=5).map(tuple)

    inside = st.recursive(
        scalars, lambda inner: st.one_of(st.lists(inner, max_size=3), objects(inner)), max_leaves=8
    )
    return objects(inside)


ALPHABET = "{}[]:,\"\\/ \t\n\r0123456789-+.eEuabtrfalsn'`#\x00\x0b\x1f\x7f\xa0\ufeffé😀\ud800“NaITF"


@st.composite
def mutated_texts(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> str:
    """A text with one character inserted, deleted, replaced or swapped with the next."""
    text = draw(texts)
    at = draw(st.integers(0, max(len(text) - 1, 0)))
    kind = draw(st.sampled_from(["insert", "delete", "replace", "swap"]))
    char = draw(st.sampled_from(ALPHABET))
    if kind == "insert":
        return text[:at] + char + text[at:]
    if kind == "delete":
        return text[:at] + text[at + 1 :]
    if kind == "replace":
        return text[:at] + char + text[at + 1 :]
    return text[:at] + text[at : at + 2][::-1] + text[at + 2 :]


PIECES = (
    *"{}[]:,\"'\\ \n-.0159eEuTtnx\x01\ud800",
    *('"a"', '"a":', '{"a":1}', '{"a":1', "true", "false", "null", "None", "tru", "1.5", "01"),
    *(
        "\\u00",
        '\\"',
        "\\ud83d\\ude00",
        '"\\ud83d"',
        "[]",
        "{}",
        "...",
        "//",
        "/*",
        "```",
        "“",
        "NaN",
    ),
    *('"b":[', '],"c":{', "{{", "}}", ", ", '": "', "Sure! ", "\ufeff", "\xa0"),
)


def broken_texts() -> st.SearchStrategy[str]:
    """Texts glued from pieces of JSON, so that they break in every place."""
    return st.lists(st.sampled_from(PIECES), max_size=25).map("".join)


def prose() -> st.SearchStrategy[str]:
    """Words around a value, without any bracket, quote or backtick."""
    return st.lists(
        st.sampled_from(
            ["Sure!", "Here", "is", "the", "JSON:", "I", "hope", "this", "helps.", "3"]
        ),
        min_size=1,
        max_size=6,
    ).map(" ".join)
