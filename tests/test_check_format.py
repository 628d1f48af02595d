"""The generic test of a Format: a sound one passes, and each broken promise is told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random
from typing import Any, ClassVar

import pytest

from fmtharness.harness import surroundings
from fmtharness.harness.contracts import Corruption, Options, Parsed, Shape
from fmtharness.harness.records import Problem
from fmtharness.harness.testing import check_format
from fmtharness.harness.testing.promises import _grown

PAIR = re.compile(r"(\w+)=(.*)")
LIKE = re.compile(r"\w+(=|: )")


class Pairs(Options):
    """Lines of key=value: {"a": "x"} is "a=x"."""

    name: ClassVar[str] = "pairs"
    shapes: ClassVar[frozenset[Shape]] = frozenset({"record"})
    labels: ClassVar[Mapping[str, str]] = {
        **surroundings.LABELS,
        "no_pair": "a line is no key=value",
        "duplicate_key": "a key stands twice",
    }

    def instruction(self, value: Any) -> str:
        return "Answer with lines of key=value and nothing else."

    def render(self, value: Any) -> str:
        text = "\n".join(f"{key}={inner}" for key, inner in value.items())
        if self.parse(text).value != value:
            raise ValueError("this does not come back")
        return text

    def parse(self, text: str) -> Parsed:
        return surroundings.strictly(text, self.read, lambda line: bool(LIKE.match(line)))

    def read(self, text: str) -> Parsed:
        value: dict[str, str] = {}
        problems = []
        start = 0
        for line in text.split("\n"):
            pair = PAIR.fullmatch(line)
            if not pair:
                problems.append(Problem("no_pair", "no pair", start, start + len(line)))
            elif pair[1] in value:
                problems.append(Problem("duplicate_key", "again", start, start + len(pair[1])))
            else:
                value[pair[1]] = pair[2]
            start += len(line) + 1
        return Parsed(value, tuple(problems))

    def corruptions(self) -> Mapping[str, Corruption]:
        return {
            **surroundings.CORRUPTIONS,
            "no_pair": lambda text, rng: text.replace("=", ": ", 1),
            "duplicate_key": lambda text, rng: f"{text}\n{text.split(chr(10))[0]}",
        }


def test_a_sound_format_passes() -> None:
    check_format(Pairs(), examples=30)


class Loses(Pairs):
    """It renders what it does not parse."""

    def render(self, value: Any) -> str:
        return "\n".join(f"{key}={inner}" for key, inner in value.items())


class Refuses(Pairs):
    """It refuses plain words."""

    def render(self, value: Any) -> str:
        if any(" " in str(inner) for inner in value.values()):
            raise ValueError("blanks")
        return super().render(value)


class Mislabels(Pairs):
    """A corruption has another label than its name."""

    def corruptions(self) -> Mapping[str, Corruption]:
        return {**super().corruptions(), "code_fence": lambda text, rng: text + "\n..."}


class Harmless(Pairs):
    """A corruption breaks nothing."""

    def corruptions(self) -> Mapping[str, Corruption]:
        return {**super().corruptions(), "no_pair": lambda text, rng: text + "!"}


class Never(Pairs):
    """A corruption never applies."""

    def corruptions(self) -> Mapping[str, Corruption]:
        return {**super().corruptions(), "no_pair": lambda text, rng: None}


class Chancy(Pairs):
    """A corruption is not decided by its rng."""

    own: ClassVar[Random] = Random(1)

    def corruptions(self) -> Mapping[str, Corruption]:
        return {
            **super().corruptions(),
            "no_pair": lambda text, rng: f"{self.own.random()}\n{text}",
        }


class Tolerant(Pairs):
    """It passes over lines that are no pairs."""

    def parse(self, text: str) -> Parsed:
        lines = [line for line in text.split("\n") if PAIR.fullmatch(line)]
        return self.read("\n".join(lines)) if lines else super().parse(text)

    def corruptions(self) -> Mapping[str, Corruption]:
        return {"duplicate_key": super().corruptions()["duplicate_key"]}


class Comments(Pairs):
    """It passes over comments, and rejects the rest."""

    def parse(self, text: str) -> Parsed:
        return super().parse(re.sub(r"^#.*\n", "", text))


class Raises(Pairs):
    """It raises at a NUL."""

    def parse(self, text: str) -> Parsed:
        if "\0" in text:
            raise RuntimeError("NUL")
        return super().parse(text)


class Outside(Pairs):
    """Its spans run out of the text."""

    def read(self, text: str) -> Parsed:
        parsed = super().read(text)
        problems = [Problem(p.label, p.message, p.start, p.end + 1) for p in parsed.problems]
        return Parsed(parsed.value, tuple(problems))


class Unexplained(Pairs):
    """It has a label that it does not explain."""

    labels: ClassVar[Mapping[str, str]] = surroundings.LABELS


class Slow(Pairs):
    """Its work grows with the square of the text."""

    def parse(self, text: str) -> Parsed:
        for start in range(0, len(text), 10):
            text.count("=!", start)
        return super().parse(text)


class Searches(Pairs):
    """It looks for each key among all before."""

    def read(self, text: str) -> Parsed:
        seen: list[str] = []
        for line in text.split("\n"):
            key = line.partition("=")[0]
            if key not in seen:
                seen.append(key)
        return super().read(text)


class Shortens(Pairs):
    """It drops what is long."""

    def render(self, value: Any) -> str:
        return super().render({key: str(inner)[:60] for key, inner in list(value.items())[:6]})


class Thinks(Pairs):
    """It passes over a stretch of thinking."""

    def parse(self, text: str) -> Parsed:
        return super().parse(re.sub(r"(?s)^<think>.*</think>\n", "", text))


class Between(Pairs):
    """It passes over lines between its pairs."""

    def parse(self, text: str) -> Parsed:
        first, *lines = text.split("\n")
        kept = [line for line in lines[:-1] if PAIR.fullmatch(line)]
        return super().parse("\n".join([first, *kept, *lines[-1:]]))


class Unescapes(Pairs):
    """It writes a line break as two characters that it does not escape."""

    def render(self, value: Any) -> str:
        text = "\n".join(
            f"{key}={str(inner).replace(chr(10), chr(92) + 'n')}" for key, inner in value.items()
        )
        if set(self.parse(text).value or {}) != set(value):
            raise ValueError("this does not come back")
        return text

    def read(self, text: str) -> Parsed:
        parsed = super().read(text)
        value = {key: inner.replace("\\n", "\n") for key, inner in parsed.value.items()}
        return Parsed(value, parsed.problems)


class Hundred(Pairs):
    """It keeps a hundred pairs."""

    def render(self, value: Any) -> str:
        return super().render(dict(list(value.items())[:100]))


class Misspelled(Pairs):
    """It claims a shape that there is none of."""

    shapes: ClassVar[frozenset[Any]] = frozenset({"recrod"})


class Rarely(Pairs):
    """A corruption seldom breaks nothing."""

    def corruptions(self) -> Mapping[str, Corruption]:
        ways = super().corruptions()

        def no_pair(text: str, rng: Random) -> str | None:
            return text if rng.random() < 0.02 else ways["no_pair"](text, rng)

        return {**ways, "no_pair": no_pair}


class Silent(Pairs):
    """It does not say what it wants."""

    def instruction(self, value: Any) -> str:
        return ""


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Loses, "is rendered from"),
        (Refuses, "it claims the shape of"),
        (Mislabels, "which is labelled"),
        (Harmless, "which is labelled as valid"),
        (Never, "corruptions that break no plain value: no_pair"),
        (Chancy, "is not decided by its rng alone"),
        (Tolerant, "is accepted"),
        (Comments, "is ignored"),
        (Raises, "raise RuntimeError"),
        (Outside, "outside of the text"),
        (Unexplained, "a label not in `labels`"),
        (Slow, "over and over takes"),
        (Searches, "a record of ever more parts takes"),
        (Shortens, "is rendered from"),
        (Thinks, "is accepted"),
        (Rarely, "which is labelled as valid"),
        (Between, "is ignored"),
        (Unescapes, "is rendered from"),
        (Hundred, "is rendered from"),
        (Misspelled, "there is no shape recrod"),
        (Silent, "no instruction"),
    ],
)
def test_a_broken_promise_is_told(kind: type[Pairs], said: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(said)):
        check_format(kind())


@pytest.mark.parametrize("length", [1, 7, 800, 1_499, 5_000])
def test_the_longer_text_has_16_times_the_units_however_long_one_is(length: int) -> None:
    small, large = _grown("[", "a" * length, "]")
    assert len(large) - 2 == 16 * (len(small) - 2) > 0
