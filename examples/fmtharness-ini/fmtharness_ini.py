"""INI as an output format for fmtharness: one section of key = value lines, all values text.

Ini().render({"city": "Oslo", "nights": "4"})  ->  "[record]\ncity = Oslo\nnights = 4"
Ini().parse("[record]\ncity: Oslo")            ->  problems (no_pair at 9:19)
"""

import re
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, ClassVar

from harness import hookimpl, surroundings
from harness.contracts import Corruption, Options, Parsed, Shape
from harness.records import Problem

PAIR = re.compile(r"(\w[\w .-]*)=(.*)", re.DOTALL)
LIKE_INI = re.compile(r"\s*([\[;#]|\w[\w .-]*(=|: ?\S))")


class Ini(Options):
    """One INI section: {"city": "Oslo"} -> '[record]\\ncity = Oslo'. Comments are rejected."""

    name: ClassVar[str] = "ini"
    shapes: ClassVar[frozenset[Shape]] = frozenset({"record"})
    labels: ClassVar[Mapping[str, str]] = {
        **surroundings.LABELS,
        "no_section": "the first line is no section header",
        "wrong_section": "a section has another name, or there is a second one",
        "no_pair": "a line is no key = value",
        "duplicate_key": "a key stands twice",
        "comment": "a comment, which readers would pass over",
    }

    section: str = "record"
    """The name of the section."""

    def instruction(self, value: Any) -> str:
        """One sentence that asks for the section and nothing else."""
        return f"Answer with an INI section [{self.section}] of key = value lines and nothing else."

    def render(self, value: Any) -> str:
        """The record as a section; ValueError for what would not come back."""
        text = "\n".join([f"[{self.section}]", *(f"{key} = {value[key]}" for key in value)])
        if self.parse(text).value != value:
            raise ValueError(f"INI does not hold {value!r}")
        return text

    def parse(self, text: str) -> Parsed:
        """The whole text as a record of texts, or all problems."""
        return surroundings.strictly(text, self._read, lambda line: bool(LIKE_INI.match(line)))

    def _read(self, text: str) -> Parsed:
        value: dict[str, str] = {}
        problems, end, within = [], -1, False
        for line in text.split("\n"):
            start, end, said = end + 1, end + 1 + len(line), line.strip()
            label = "no_pair" if said else ""
            if said.startswith((";", "#")):
                label = "comment"
            elif said.startswith("["):
                label = "wrong_section" if within or said != f"[{self.section}]" else ""
            elif said and not within:
                label = "no_section"
            elif pair := PAIR.fullmatch(said):
                label = "duplicate_key" if pair[1].rstrip() in value else ""
                value[pair[1].rstrip()] = pair[2].lstrip()
            within |= bool(said)
            if label:
                problems.append(Problem(label, self.labels[label], start, end))
        return Parsed(value, tuple(problems))

    def corruptions(self) -> Mapping[str, Corruption]:
        """What models get wrong, each named by its label."""
        return {
            **surroundings.CORRUPTIONS,
            "no_value": lambda text, rng: str(self.parse(text).value),
            "no_section": lambda text, rng: text.partition("\n")[2],
            "wrong_section": lambda text, rng: text.replace("[", "[my_", 1),
            "no_pair": changed(lambda line: re.sub(" = (?=.)", ": ", line, count=1)),
            "duplicate_key": changed(lambda line: f"{line}\n{line}"),
            "comment": changed(lambda line: f"; note\n{line}"),
        }


def changed(change: Callable[[str], str]) -> Corruption:
    """A corruption that changes one of the lines below the header."""

    def corrupt(text: str, rng: Random) -> str | None:
        lines = text.split("\n")
        at = rng.randrange(1, len(lines))
        broken = "\n".join([*lines[:at], change(lines[at]), *lines[at + 1 :]])
        return broken if broken != text else None

    return corrupt


@hookimpl
def fmtharness_formats() -> list[type[Ini]]:
    """The one format of this distribution."""
    return [Ini]
