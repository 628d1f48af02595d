"""The output format sample: lines of key=value, and nothing else.

SampleFormat().render({"city": "Oslo"})  ->  "city=Oslo"
SampleFormat().parse("city: Oslo")       ->  problems (no_pair at 0:10)
"""

import re
from collections.abc import Mapping
from random import Random
from typing import Any, ClassVar

from fmtharness.harness import hookimpl, surroundings
from fmtharness.harness.contracts import Corruption, Options, Parsed, Shape
from fmtharness.harness.records import Problem

PAIR = re.compile(r"(\w+)=(.*)")
LIKE_A_PAIR = re.compile(r"\w+(=|: *\S)")


class SampleFormat(Options):
    """Lines of key=value, all values text: {"city": "Oslo"} -> 'city=Oslo'."""

    name: ClassVar[str] = "sample"
    shapes: ClassVar[frozenset[Shape]] = frozenset({"record"})
    labels: ClassVar[Mapping[str, str]] = {
        **surroundings.LABELS,
        "no_pair": "a line is no key=value",
        "duplicate_key": "a key stands twice",
    }

    def instruction(self, value: Any) -> str:
        """How a prompt asks for this format."""
        return "Answer with lines of key=value and nothing else."

    def render(self, value: Any) -> str:
        """The value as a model should write it; ValueError if parsing would not give it back."""
        pairs = value.items() if isinstance(value, dict) else ()
        text = "\n".join(f"{key}={inner}" for key, inner in pairs)
        if self.parse(text) != Parsed(value):
            raise ValueError(f"lines of key=value do not hold {value!r:.80}")
        return text

    def parse(self, text: str) -> Parsed:
        """The whole text as a value, or all problems with their places."""
        return surroundings.strictly(text, self._read, lambda line: bool(LIKE_A_PAIR.match(line)))

    def _read(self, text: str) -> Parsed:
        """A text that holds only the lines; a line break may end the last one."""
        value: dict[str, str] = {}
        problems = []
        end = -1
        for line in text.removesuffix("\n").split("\n"):
            start, end = end + 1, end + 1 + len(line)
            pair = PAIR.fullmatch(line)
            if pair is None:
                problems.append(Problem("no_pair", self.labels["no_pair"], start, end))
            elif pair[1] in value:
                problems.append(Problem("duplicate_key", f"{pair[1]} stands twice", start, end))
            else:
                value[pair[1]] = pair[2]
        return Parsed(value, tuple(problems))

    def corruptions(self) -> Mapping[str, Corruption]:
        """What models get wrong; each is named by the label that `parse` gives it."""
        return {**surroundings.CORRUPTIONS, "no_pair": no_pair, "duplicate_key": duplicate_key}


def no_pair(text: str, rng: Random) -> str | None:
    """A colon instead of an equals sign that something follows."""
    lines = text.split("\n")
    at = rng.randrange(len(lines))
    lines[at] = re.sub(r"=(?=\S)", ": ", lines[at], count=1)
    broken = "\n".join(lines)
    return broken if broken != text else None


def duplicate_key(text: str, rng: Random) -> str:
    """One of the lines repeated at the end."""
    return text + "\n" + rng.choice(text.split("\n"))


@hookimpl
def fmtharness_formats() -> list[type[SampleFormat]]:
    """The formats of this distribution."""
    return [SampleFormat]
