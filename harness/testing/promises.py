"""The checks of `fmtharness.harness.testing.check_format`, one function per promise of a Format.

    PROMISES   round_trip, corruptions, surroundings, any_text, linear: (Format, examples) -> None

Each raises AssertionError with the text that breaks the promise. The measurement behind `linear`
can be used for other functions too:

    is_linear(JsonFormat().parse, '{"a":')  ->  True
"""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable
from random import Random
from typing import Any, Final

from hypothesis import HealthCheck, assume, given, seed, settings
from hypothesis import strategies as st

from fmtharness.harness.contracts import Format, Parsed
from fmtharness.harness.formats import for_value, labels_of
from fmtharness.harness.matching import same_value
from fmtharness.harness.testing.sample_values import (
    UNITS,
    held_values,
    mutated,
    plain_values,
    values,
    wide,
)

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
SIZE: Final = 1_500
"""About how many characters the shorter text has; the longer one has 16 times its units."""
PARTS: Final = (150, 2_400)
GROWTH: Final = 48
"""How much longer 16 times the text may take.

Linear work takes 16 times as long, quadratic 256 times, so the bound tells them apart safely.
"""
QUICK: Final = 0.008
"""Seconds that the longer text may take in any case."""
TRIES: Final = 8


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
            assume(False)  # it should refuse a value that it cannot hold
        _same(tested, value, text)

    comes_back()


def _corruptions(tested: Format, examples: int) -> None:
    possible = set()
    numbers = itertools.count()
    for value in plain_values(tested):
        text = _rendered(tested, value)
        for name in tested.corruptions():
            for _ in range(3):
                if _broken(tested, value, text, name, next(numbers)):
                    possible.add(name)
    never = sorted(tested.corruptions().keys() - possible)
    assert possible, f"{tested.name}: it has no corruptions"
    assert not never, f"{tested.name}: corruptions that break no plain value: {', '.join(never)}"

    @_tries(4 * examples)
    @given(held_values(tested), st.sampled_from(sorted(possible)), st.integers(0, 1 << 16))
    def own_label(value: Any, name: str, number: int) -> None:
        try:
            text = _rendered(tested, value)
        except ValueError:
            assume(False)
        _broken(tested, value, text, name, number)

    own_label()


def _broken(tested: Format, value: Any, text: str, name: str, number: int) -> bool:
    """Whether the corruption breaks this value's text; if so, its own label must be given."""
    bound = for_value(tested, value)
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
        _changes(bound, value, f"<answer>\n{text}\n</answer>")  # which is data to some formats
        first, *lines = text.split("\n")
        if lines:
            _changes(bound, value, "\n".join([first, "And here is more of it:", *lines]))
        for remark, between in itertools.product(REMARKS, (" ", "\n")):
            _changes(bound, value, remark + between + text)
            _changes(bound, value, text + between + remark)

    said = st.text(min_size=1, max_size=8)
    nothing = st.just("")
    around_it = st.one_of(st.tuples(said, nothing), st.tuples(nothing, said), st.tuples(said, said))

    @_tries(4 * examples)
    @given(held_values(tested), around_it)
    def nothing_is_passed_over(value: Any, sides: tuple[str, str]) -> None:
        before, after = sides
        assume(before.strip() or after.strip())
        try:
            text = _rendered(tested, value)
        except ValueError:
            assume(False)
        # 0.0 and 0.00 are one number, and so are 0 and -0.
        assume(not (before and text[:1].isdigit()) and not (after and text[-1:].isdigit()))
        _changes(for_value(tested, value), value, before + text + after)

    nothing_is_passed_over()


def _changes(bound: Format, value: Any, text: str) -> None:
    """The text around or within the value's own is rejected, or changes the value."""
    parsed = _parsed(bound, text)
    assert not (parsed.ok and same_value(parsed.value, value)), (
        f"{bound.name}: {text!r} is accepted as {value!r}, so text that is not part of the value "
        f"is ignored"
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
        small, large = _grown(start, unit)
        _in_step(bound, small, large, f"{start!r} and then {unit!r} over and over")
    for shape in sorted(tested.shapes):
        try:
            grown = [wide(shape, tested, size) for size in PARTS]
            small, large = (_rendered(tested, value) for value in grown)
        except ValueError:
            continue  # it may hold fewer
        for value, text in zip(grown, (small, large), strict=True):
            _same(tested, value, text)
        _in_step(for_value(tested, grown[1]), small, large, f"a {shape} of ever more parts")


def _in_step(bound: Format, small: str, large: str, what: str) -> None:
    taken = outgrown(lambda: _parsed(bound, small), lambda: _parsed(bound, large))
    assert not taken, (
        f"{bound.name}: {what} takes {taken[0]:.4f} s at {len(small)} characters and "
        f"{taken[1]:.3f} s at {len(large)}"
    )


def is_linear(work: Callable[[str], object], unit: str, before: str = "", after: str = "") -> bool:
    """Whether the work on 16 times as many units takes at most `GROWTH` times as long."""
    small, large = _grown(before, unit, after)
    return not outgrown(lambda: work(small), lambda: work(large))


def _grown(before: str, unit: str, after: str = "") -> tuple[str, str]:
    """A text of about SIZE characters, and one of 16 times as many units."""
    times = max(2, SIZE // len(unit))  # a single one may be valid, and two not
    return before + unit * times + after, before + unit * (16 * times) + after


def outgrown(
    small: Callable[[], object], large: Callable[[], object]
) -> tuple[float, float] | None:
    """The seconds of both if the large work takes over `GROWTH` times as long as the small.

    Each is the least of several measurements, taken in turns, since a busy machine slows some.
    """
    least = [float("inf"), float("inf")]
    for _ in range(TRIES):
        least[1] = min(least[1], seconds(large))
        if least[1] < QUICK:
            return None
        least[0] = min(least[0], *(seconds(small) for _ in range(2)))
        if least[1] < GROWTH * least[0]:
            return None
    return least[0], least[1]


def seconds(work: Callable[[], object]) -> float:
    """The processor time of the work, which other processes do not count in.

    The garbage collector is off, since its cost depends on what else is in memory.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        began = time.process_time()
        work()
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
    """The value as text; ValueError if the Format refuses it."""
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
    """The same examples on each call, so that a failure can be reproduced."""
    limits = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    return lambda test: seed(0)(limits(test))


PROMISES: Final = (_round_trip, _corruptions, _surroundings, _any_text, _linear)
