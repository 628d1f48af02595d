"""Values and texts to test a Format with: plain ones, wild ones, and rendered texts with faults.

plain_values(Ini())   [{"record": {"name": "Oslo"}}, ...]   of every shape that it claims
values(Ini())         the same as a hypothesis strategy, with anything for keys and scalars
mutated(Ini())        a strategy of texts that are nearly right
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Final

from hypothesis import strategies as st

from fmtharness.harness.contracts import Format, Shape
from fmtharness.harness.formats import for_value
from fmtharness.harness.matching import same_value

WORDS: Final = (
    *("x", "Oslo", "Ada Lopez", "no", "Null", "true", "3", "2024-05-01", "12:30", "A-2031"),
    *("it's", 'say "hi"', "naïve 東京", "a, b", "a: b", "#1", "- dash", "50%", "a & b", "1e3"),
)
"""Texts that a Format must hold in each shape that it claims."""
KEYS: Final = ("name", "order_id", "city", "total", "note", "first_seen")
UNITS: Final = (
    *("{", "[", "(", "<", '"', "'", "`", "#", "&", "*", "!", "|", ">", "-", ":", ",", "=", "\\"),
    *(" ", "\t", "\n", "\r", "\0", "a", "0", "}", "]", "é", "\ud800"),
    *("[{", '{"a":', "[[", "<a>", "</a>", "<a ", "&a ", "*a ", "- ", "? ", "a: ", "| a ", "a,b\n"),
    *('""', '"a', '\\"', "\n\n", " \n", "a\n", "a=", "a.", "[a]\n", "[[a]]\n", "&lt;", "```\n"),
    *('"a\n', "{a", "'a' ", "| --- ", "x: [", "x:\n ", "a=[", "1_", "%YAML 1.2\n---\n"),
)
"""The units that hostile texts repeat."""


def plain_values(tested: Format, seed: int = 0, words: Sequence[str] = WORDS) -> list[Any]:
    """Values of each shape that the Format claims: those words, and the other scalars it holds."""
    rng = Random(seed)
    found: list[Any] = []
    for shape in sorted(tested.shapes):
        scalars: list[Any] = list(words)
        for scalar in (7, -3, 2.5, True, False, None):
            probe = _PROBES[shape](scalar)
            if takes(tested, probe) or takes(tested, {"rows": probe}):
                scalars += [scalar, scalar]
        found += [_plain(shape, rng, tested, scalars) for _ in range(16)]
        found.append(wide(shape, tested, 12))
    return found


def wide(shape: Shape, tested: Format, size: int) -> Any:
    """A value with this many different keys, rows or items, one of them a long text."""
    words = ["a long text of many words " * 8 + "and more", *(f"word {i}" for i in range(1, size))]
    record = {f"key_{i}": word for i, word in enumerate(words)}
    if shape == "table":
        rows = [{"name": word, "note": f"row {i}"} for i, word in enumerate(words)]
        return rows if takes(tested, [{"a": "x", "b": "y"}]) else {"rows": rows}
    values: dict[Shape, Any] = {
        "record": record,
        "list": words,
        "call": {"name": "book", "arguments": record},
        "tree": {"inner": record, "more": words},
    }
    return values[shape]


_PROBES: Final[Mapping[Shape, Callable[[Any], Any]]] = {
    "record": lambda scalar: {"a": scalar},
    "table": lambda scalar: [{"a": scalar, "b": scalar}],
    "list": lambda scalar: [scalar],
    "call": lambda scalar: {"name": "a", "arguments": {"a": scalar}},
    "tree": lambda scalar: {"a": {"b": [scalar, scalar]}},
}


def _plain(shape: Shape, rng: Random, tested: Format, scalars: Sequence[Any]) -> Any:
    def record(low: int, high: int) -> dict[str, Any]:
        return {key: rng.choice(scalars) for key in rng.sample(KEYS, rng.randint(low, high))}

    def table() -> list[dict[str, Any]]:
        keys = rng.sample(KEYS, rng.randint(2, 3))
        return [{key: rng.choice(scalars) for key in keys} for _ in range(rng.randint(1, 3))]

    if shape == "record":
        return record(1, 4)
    if shape == "table":
        rows = table()
        return rows if takes(tested, [{"a": "x", "b": "y"}]) else {"rows": rows}
    if shape == "list":
        return [rng.choice(scalars) for _ in range(rng.randint(1, 4))]
    if shape == "call":
        return {"name": rng.choice(KEYS), "arguments": record(1, 3)}
    kinds: list[Callable[[], Any]] = [
        *(lambda: record(1, 2), lambda: [rng.choice(scalars), rng.choice(scalars)], table),
    ]
    return {**record(1, 2), "inner": rng.choice(kinds)(), "more": {"deep": rng.choice(kinds)()}}


def takes(tested: Format, probe: Any) -> bool:
    try:
        parsed = for_value(tested, probe).parse(for_value(tested, probe).render(probe))
    except ValueError:
        return False
    return parsed.ok and same_value(parsed.value, probe)


def values(tested: Format) -> st.SearchStrategy[Any]:
    """Values of the shapes that the Format claims, with anything for keys, texts and scalars."""
    texts, scalars, keys = _leaves()
    shapes = sorted(tested.shapes)
    # A Format that holds only texts would refuse nearly every value with another scalar.
    return st.one_of(*(_shaped(shape, leaf, keys) for leaf in (texts, scalars) for shape in shapes))


def held_values(tested: Format) -> st.SearchStrategy[Any]:
    """The same, with nothing but texts for scalars in a Format that refuses all others."""
    texts, scalars, keys = _leaves()
    shaped = []
    for shape in sorted(tested.shapes):
        probes = [_PROBES[shape](scalar) for scalar in (7, 2.5, True, None)]
        others = any(takes(tested, probe) or takes(tested, {"rows": probe}) for probe in probes)
        leaves = (texts, scalars) if others else (texts,)
        shaped += [_shaped(shape, leaf, keys) for leaf in leaves]
    if set(tested.shapes) == {"table"}:
        rows = _PROBES["table"]("x")
        forms: dict[type, Any] = {list: rows, dict: {"rows": rows}}
        roots = [kind for kind, probe in forms.items() if takes(tested, probe)]
        if len(roots) == 1:
            return st.one_of(*shaped).map(_AS_ROOT[roots[0]])
    return st.one_of(*shaped)


_AS_ROOT: Final[Mapping[type, Callable[[Any], Any]]] = {
    list: lambda table: table["rows"] if isinstance(table, dict) else table,
    dict: lambda table: table if isinstance(table, dict) else {"rows": table},
}
"""A table at the root, or under a key of it."""


def _leaves() -> tuple[st.SearchStrategy[str], st.SearchStrategy[Any], st.SearchStrategy[str]]:
    """Texts, scalars and keys."""
    wild = st.text(max_size=8)
    odd = ["", " x", "x ", "a\nb", "a\rb", "|", "C:\\new", "&lt;", "e\u0301"]
    texts = st.one_of(st.sampled_from(WORDS), wild, st.sampled_from(odd))
    numbers = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False))
    scalars = st.one_of(texts, texts, numbers, st.booleans(), st.none())
    keys = st.one_of(st.sampled_from(KEYS), st.sampled_from(KEYS), wild)
    return texts, scalars, keys


def _shaped(
    shape: Shape, leaf: st.SearchStrategy[Any], keys: st.SearchStrategy[str]
) -> st.SearchStrategy[Any]:
    record = st.dictionaries(keys, leaf, min_size=1, max_size=4)
    if shape == "record":
        return record
    if shape == "list":
        return st.lists(leaf, min_size=1, max_size=4)
    if shape == "call":
        return st.fixed_dictionaries({"name": st.sampled_from(WORDS), "arguments": record})
    if shape == "table":
        columns = st.lists(st.sampled_from(KEYS), min_size=2, max_size=3, unique=True)

        def rows_of(names: list[str]) -> st.SearchStrategy[list[Any]]:
            row = st.fixed_dictionaries(dict.fromkeys(names, leaf))
            return st.lists(row, min_size=1, max_size=3)

        rows = columns.flatmap(rows_of)
        return st.one_of(rows, rows.map(lambda found: {"rows": found}))
    inner: st.SearchStrategy[Any] = st.recursive(
        leaf,
        lambda child: st.one_of(
            st.lists(child, max_size=3), st.dictionaries(keys, child, max_size=3)
        ),
        max_leaves=8,
    )
    return st.dictionaries(keys, inner, min_size=1, max_size=4)


def mutated(tested: Format) -> st.SearchStrategy[str]:
    """A rendered text with a few characters dropped, doubled, moved or put in; or any text."""
    texts = [for_value(tested, value).render(value) for value in plain_values(tested)]
    return _mutated(texts)


@st.composite
def _mutated(draw: st.DrawFn, texts: Sequence[str]) -> str:
    if draw(st.integers(0, 4)) == 0:
        return draw(st.text(st.characters(codec=None), max_size=40))
    text = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(1, 4))):
        start, end = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
        piece = draw(st.one_of(st.sampled_from(UNITS), st.just(""), st.just(text[start:end])))
        text = text[:start] + piece + text[end if draw(st.booleans()) else start :]
    return text
