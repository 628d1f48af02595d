"""One call tests a Format: what every Format must keep to, found out with hypothesis.

    def test_the_format_keeps_its_promises():
        check_format(Ini())

    -> AssertionError: ini: 'a = 1 ' is rendered from {'a': '1 '}, yet read as {'a': '1'}

It needs hypothesis (`pip install "fmtharness[test]"`). What an instruction says is not looked at
beyond that it is one, and whether the strict parser agrees with other parsers is not known here.
"""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Final, get_args

from hypothesis import HealthCheck, assume, given, seed, settings
from hypothesis import strategies as st

from harness.contracts import Format, Parsed, Shape
from harness.formats import for_value, labels_of
from harness.matching import same_value

WORDS: Final = (
    *("x", "Oslo", "Ada Lopez", "no", "Null", "true", "3", "2024-05-01", "12:30", "A-2031"),
    *("it's", 'say "hi"', "naïve 東京", "a, b", "a: b", "#1", "- dash", "50%", "a & b", "1e3"),
)
"""Texts that a Format must hold in each shape that it claims."""
KEYS: Final = ("name", "order_id", "city", "total", "note", "first_seen")
BEFORE: Final = (
    *("Sure! Here it is:\n", "Here is the answer:\n\n", "I can do that for you.\n"),
    *("Answer:\n", "Output:\n\n", "<think>\nTwo keys.\n</think>\n", "```\n", "\ufeff"),
)
PAIRS: Final = (
    *(("```\n", "\n```"), ("**Answer**\n\n", "")),
    ("Sure! Here it is:\n", "\n\nI hope this helps!"),
)
AFTER: Final = ("\n\nI hope this helps!", "\nLet me know if you need anything else.", "\n```")
REMARKS: Final = ("# note", "// note", "/* note */", "<!-- note -->", "; note", "-- note", "% note")
UNITS: Final = (
    *("{", "[", "(", "<", '"', "'", "`", "#", "&", "*", "!", "|", ">", "-", ":", ",", "=", "\\"),
    *(" ", "\t", "\n", "\r", "\0", "a", "0", "}", "]", "é", "\ud800"),
    *("[{", '{"a":', "[[", "<a>", "</a>", "<a ", "&a ", "*a ", "- ", "? ", "a: ", "| a ", "a,b\n"),
    *('""', '"a', '\\"', "\n\n", " \n", "a\n", "a=", "a.", "[a]\n", "[[a]]\n", "&lt;", "```\n"),
    *('"a\n', "{a", "'a' ", "| --- ", "x: [", "x:\n ", "a=[", "1_", "%YAML 1.2\n---\n"),
)
"""What hostile texts repeat."""
SIZES: Final = (10_000, 40_000)
GROWTH: Final = 8
"""How much longer four times the text may take: linear work takes 4 times, quadratic 16."""


def check_format(tested: Format, *, examples: int = 60) -> None:
    """Raise AssertionError where the Format breaks a promise, with the text that shows it.

    - What it renders it parses back; what it cannot hold it refuses with a ValueError, and plain
      words in the shapes it claims it holds.
    - Each corruption gives a text that is rejected with the corruption's own label, and each can be
      had of some value.
    - Text around a rendered value is rejected. Where any line may be data, as in YAML, a line that
      reads as data may pass, and then changes the value: nothing is ever passed over.
    - No text makes it raise; problems have spans inside the text and labels that are explained.
    - It is linear: four times a hostile text does not take more than eight times as long.

    `examples` is how many values and texts each promise is tried with.
    """
    assert tested.shapes, f"{tested.name}: it claims no shape"
    unknown = sorted(set(tested.shapes) - set(get_args(Shape)))
    assert not unknown, f"{tested.name}: there is no shape {', '.join(unknown)}"
    for promise in (_round_trip, _corruptions, _surroundings, _any_text, _linear):
        promise(tested, examples)


def _round_trip(tested: Format, examples: int) -> None:
    for value in plain_values(tested):
        _holds(tested, value)
        assert for_value(tested, value).instruction(value).strip(), f"{tested.name}: no instruction"

    @_tries(examples)
    @given(values(tested))
    def comes_back(value: Any) -> None:
        try:
            text = _rendered(tested, value)
        except ValueError:
            assume(False)  # refusing is what it should do with a value that it cannot hold
        _same(tested, value, text)

    comes_back()


def _corruptions(tested: Format, examples: int) -> None:
    possible = set()
    numbers = itertools.count()
    for value in plain_values(tested):
        for name in tested.corruptions():
            for _ in range(3):
                if _broken(tested, value, name, next(numbers)):
                    possible.add(name)
    never = sorted(tested.corruptions().keys() - possible)
    assert possible, f"{tested.name}: it has no corruptions"
    assert not never, f"{tested.name}: corruptions that break no plain value: {', '.join(never)}"

    @_tries(4 * examples)
    @given(values(tested), st.sampled_from(sorted(possible)), st.integers(0, 1 << 16))
    def own_label(value: Any, name: str, number: int) -> None:
        try:
            _rendered(tested, value)
        except ValueError:
            assume(False)
        _broken(tested, value, name, number)

    own_label()


def _broken(tested: Format, value: Any, name: str, number: int) -> bool:
    """Whether the corruption breaks this value; if it does, by its own name."""
    bound = for_value(tested, value)
    text = _rendered(tested, value)
    broken = bound.corruptions()[name](text, Random(number))
    again = bound.corruptions()[name](text, Random(number))
    assert broken == again, f"{tested.name}: corruption {name} is not decided by its rng alone"
    if broken is None:
        return False
    found = {problem.label for problem in _parsed(bound, broken).problems}
    assert name in found, (
        f"{tested.name}: corruption {name} makes {broken!r} of {text!r}, which is labelled "
        f"{sorted(found) or 'as valid'}"
    )
    return True


def _surroundings(tested: Format, examples: int) -> None:
    for value in plain_values(tested):
        bound = for_value(tested, value)
        text = _rendered(tested, value)
        around = [(before, "") for before in BEFORE] + [("", after) for after in AFTER]
        for before, after in (*around, *PAIRS):
            whole = before + text + after
            assert not _parsed(bound, whole).ok, f"{tested.name}: {whole!r} is accepted"
        _seen(tested, value, "<answer>\n", "\n</answer>")  # which is data to some formats
        first, *lines = text.split("\n")
        if lines:
            _changes(tested, value, "\n".join([first, "And here is more of it:", *lines]))
        for remark, between in itertools.product(REMARKS, (" ", "\n")):
            _seen(tested, value, remark + between, "")
            _seen(tested, value, "", between + remark)

    said = st.text(min_size=1, max_size=8)

    @_tries(4 * examples)
    @given(values(tested), st.one_of(st.just(""), said), st.one_of(st.just(""), said))
    def nothing_is_passed_over(value: Any, before: str, after: str) -> None:
        assume(before.strip() or after.strip())
        try:
            text = _rendered(tested, value)
        except ValueError:
            assume(False)
        # 0.0 and 0.00 are one number, and so are 0 and -0.
        assume(not (before and text[:1].isdigit()) and not (after and text[-1:].isdigit()))
        _seen(tested, value, before, after)

    nothing_is_passed_over()


def _seen(tested: Format, value: Any, before: str, after: str) -> None:
    """The text around the value is rejected, or changes it."""
    _changes(tested, value, before + _rendered(tested, value) + after)


def _changes(tested: Format, value: Any, text: str) -> None:
    parsed = _parsed(for_value(tested, value), text)
    assert not (parsed.ok and same_value(parsed.value, value)), (
        f"{tested.name}: {text!r} is accepted as {value!r}, so what is not of the value is passed "
        f"over"
    )


def _any_text(tested: Format, examples: int) -> None:
    for unit in UNITS:
        for times in (1, 2, 3, 300):
            _parsed(tested, unit * times)

    @_tries(4 * examples)
    @given(mutated(tested))
    def never_raises(text: str) -> None:
        _parsed(tested, text)

    never_raises()


def _linear(tested: Format, examples: int) -> None:
    texts = []
    for value in plain_values(tested):
        texts.append(_rendered(tested, value))
    longest = max(texts, key=len)
    bound = for_value(tested, plain_values(tested)[0])
    units: list[tuple[str, str]] = [("", unit) for unit in UNITS]
    units += [(longest, unit) for unit in UNITS]
    units += [("", longest), ("", longest + "\n"), (longest[: len(longest) // 2], longest)]
    for start, unit in units:
        small, large = (start + unit * (size // len(unit)) for size in SIZES)
        _grows_alike(bound, small, large, f"{start!r} and then {unit!r} over and over")
    for shape in sorted(tested.shapes):
        try:
            wide = [_wide(shape, tested, size) for size in (1000, 4000)]
            small, large = (_rendered(tested, value) for value in wide)
        except ValueError:
            continue  # it may hold fewer
        _same(tested, wide[0], small)
        _grows_alike(for_value(tested, wide[1]), small, large, f"a {shape} of ever more parts")


def _grows_alike(bound: Format, small: str, large: str, what: str) -> None:
    # The least of several times each, for a busy machine makes some of them longer.
    least = [_seconds(bound, text) for text in (small, large)]
    for _ in range(6):
        if least[1] < GROWTH * max(least[0], 0.004):
            return
        least = [min(least[0], _seconds(bound, small)), min(least[1], _seconds(bound, large))]
    raise AssertionError(
        f"{bound.name}: {what} takes {least[0]:.3f} s at {len(small)} characters and "
        f"{least[1]:.3f} s at {len(large)}"
    )


def _seconds(tested: Format, text: str) -> float:
    """The processor's time, which other processes take no part of.

    Without the collector, whose passes cost by what else is in memory.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        began = time.process_time()
        _parsed(tested, text)
        return time.process_time() - began
    finally:
        if collects:
            gc.enable()


def _holds(tested: Format, value: Any) -> None:
    try:
        text = _rendered(tested, value)
    except ValueError as error:
        raise AssertionError(
            f"{tested.name}: it claims the shape of {value!r}, yet refuses it: {error}"
        ) from error
    _same(tested, value, text)


def _same(tested: Format, value: Any, text: str) -> None:
    parsed = _parsed(for_value(tested, value), text)
    assert parsed.ok, (
        f"{tested.name}: {text!r} is rendered from {value!r}, yet rejected: "
        f"{parsed.problems[0].message}"
    )
    assert same_value(parsed.value, value), (
        f"{tested.name}: {text!r} is rendered from {value!r}, yet read as {parsed.value!r}"
    )


def _rendered(tested: Format, value: Any) -> str:
    """The value as text; ValueError where the Format refuses it."""
    try:
        return for_value(tested, value).render(value)
    except ValueError:
        raise
    except Exception as error:
        raise AssertionError(
            f"{tested.name}: {value!r} makes render raise {error!r}; it refuses with a ValueError"
        ) from error


def _parsed(tested: Format, text: str) -> Parsed:
    """What the Format says of a text, which must be well formed."""
    try:
        parsed = tested.parse(text)
    except Exception as error:
        raise AssertionError(f"{tested.name}: {text[:200]!r} makes it raise {error!r}") from error
    explained = labels_of(tested)
    for problem in parsed.problems:
        where = f"{tested.name}: for {text[:200]!r} it gives {problem!r}"
        assert 0 <= problem.start <= problem.end <= len(text), f"{where}, outside of the text"
        assert problem.label and problem.message, f"{where}, which says nothing"
        assert not explained or problem.label in explained, f"{where}, a label not in `labels`"
    return parsed


def _tries(examples: int) -> Callable[[Any], Any]:
    """The same examples on each call, so that a finding stays one."""
    limits = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    return lambda test: seed(0)(limits(test))


def plain_values(tested: Format) -> list[Any]:
    """Values of each shape that the Format claims: plain words, and the other scalars it takes."""
    rng = Random(0)
    found: list[Any] = []
    for shape in sorted(tested.shapes):
        scalars: list[Any] = list(WORDS)
        for scalar in (7, -3, 2.5, True, False, None):
            probe = _PROBES[shape](scalar)
            if _takes(tested, probe) or _takes(tested, {"rows": probe}):
                scalars += [scalar, scalar]
        found += [_plain(shape, rng, tested, scalars) for _ in range(16)]
        found.append(_wide(shape, tested, 12))
    return found


def _wide(shape: Shape, tested: Format, size: int) -> Any:
    """A value of so many different keys, rows or items, one of them a long text."""
    words = ["a long text of many words " * 8 + "and more", *(f"word {i}" for i in range(1, size))]
    record = {f"key_{i}": word for i, word in enumerate(words)}
    if shape == "table":
        rows = [{"name": word, "note": f"row {i}"} for i, word in enumerate(words)]
        return rows if _takes(tested, [{"a": "x", "b": "y"}]) else {"rows": rows}
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
        return rows if _takes(tested, [{"a": "x", "b": "y"}]) else {"rows": rows}
    if shape == "list":
        return [rng.choice(scalars) for _ in range(rng.randint(1, 4))]
    if shape == "call":
        return {"name": rng.choice(KEYS), "arguments": record(1, 3)}
    kinds: list[Callable[[], Any]] = [
        *(lambda: record(1, 2), lambda: [rng.choice(scalars), rng.choice(scalars)], table),
    ]
    return {**record(1, 2), "inner": rng.choice(kinds)(), "more": {"deep": rng.choice(kinds)()}}


def _takes(tested: Format, probe: Any) -> bool:
    try:
        parsed = for_value(tested, probe).parse(for_value(tested, probe).render(probe))
    except ValueError:
        return False
    return parsed.ok and same_value(parsed.value, probe)


def values(tested: Format) -> st.SearchStrategy[Any]:
    """Values of the shapes that the Format claims, with anything for keys, texts and scalars."""
    wild = st.text(max_size=8)
    odd = ["", " x", "x ", "a\nb", "a\rb", "|", "C:\\new", "&lt;", "e\u0301"]
    texts = st.one_of(st.sampled_from(WORDS), wild, st.sampled_from(odd))
    numbers = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False))
    scalars = st.one_of(texts, texts, numbers, st.booleans(), st.none())
    keys = st.one_of(st.sampled_from(KEYS), st.sampled_from(KEYS), wild)
    shapes = sorted(tested.shapes)
    # A Format of texts alone would refuse nearly everything that holds another scalar.
    return st.one_of(*(_shaped(shape, leaf, keys) for leaf in (texts, scalars) for shape in shapes))


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


@st.composite
def mutated(draw: st.DrawFn, tested: Format) -> str:
    """A rendered text with a few characters dropped, doubled, moved or put in; or any text."""
    if draw(st.integers(0, 4)) == 0:
        return draw(st.text(st.characters(codec=None), max_size=40))
    value = draw(st.sampled_from(plain_values(tested)))
    text = _rendered(tested, value)
    for _ in range(draw(st.integers(1, 4))):
        start, end = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
        piece = draw(st.one_of(st.sampled_from(UNITS), st.just(""), st.just(text[start:end])))
        text = text[:start] + piece + text[end if draw(st.booleans()) else start :]
    return text
