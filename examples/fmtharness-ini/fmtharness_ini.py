r"""INI as an output format for fmtharness: one section of key = value lines, all values text.

Ini().render({"city": "Oslo", "nights": "4"})  ->  "[record]\ncity = Oslo\nnights = 4"
Ini().parse("[record]\ncity: Oslo")            ->  problems no_pair at 9:19
"""

import json
import re
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, ClassVar

from fmtharness.harness import hookimpl, surroundings
from fmtharness.harness.contracts import Corruption, Options, Parsed, Shape
from fmtharness.harness.records import Problem

HEADER = "[record]"
PAIR = re.compile(r"(\w[\w .-]*)=([^\r]*)")
WRONG = {" ": "indented", "\t": "indented", ";": "comment", "#": "comment", "[": "wrong_section"}
LIKE_INI = re.compile(r"\s*([\[;#]|\w[\w .-]*(=|: *\S))")


class Ini(Options):
    r"""One section, read as configparser does, and stricter: {"a": "1"} -> "[record]\na = 1"."""

    name: ClassVar[str] = "ini"
    shapes: ClassVar[frozenset[Shape]] = frozenset({"record"})
    labels: ClassVar[Mapping[str, str]] = {
        **surroundings.LABELS,
        "no_section": "the first line is no section header",
        "wrong_section": "a section has another name, or there is a second one",
        "no_pair": "a line is no key = value",
        "duplicate_key": "a key stands twice",
        "indented": "a line is indented, by which it continues the line above",
        "comment": "a comment, which readers pass over",
    }

    def instruction(self, value: Any) -> str:
        """One sentence that asks for the section and nothing else."""
        return f"Answer with one INI section {HEADER} of key = value lines and nothing else."

    def render(self, value: Any) -> str:
        """The record as a section; ValueError if parsing would not give it back."""
        pairs = value.items() if isinstance(value, dict) else ()
        text = "\n".join([HEADER, *(f"{key} = {inner}".rstrip() for key, inner in pairs)])
        if self.parse(text) != Parsed(value):
            raise ValueError(f"INI does not hold {value!r:.80}")
        return text

    def parse(self, text: str) -> Parsed:
        """The whole text as a record of texts, or all problems."""
        return surroundings.strictly(text, self._read, lambda line: bool(LIKE_INI.match(line)))

    def _read(self, text: str) -> Parsed:
        value: dict[str, str] = {}
        problems, within = [], False
        for line in re.finditer(r"[^\n]+", text):
            said = line[0].rstrip()
            label = WRONG.get(said[:1], "no_pair" if within else "no_section")
            if within and (pair := PAIR.fullmatch(said)):
                label = "duplicate_key" if pair[1].rstrip() in value else ""
                value[pair[1].rstrip()] = pair[2].lstrip()
            elif not said or (said == HEADER and not within):
                label = ""
            within = within or bool(said)
            if label:
                end = line.start() + len(said)
                problems.append(Problem(label, self.labels[label], line.start(), end))
        return Parsed(value, tuple(problems))

    def corruptions(self) -> Mapping[str, Corruption]:
        """What models get wrong, each named by its label."""
        return {
            **surroundings.CORRUPTIONS,
            "no_value": lambda text, rng: json.dumps(self.parse(text).value),
            "no_section": lambda text, rng: text.partition("\n")[2] or None,
            "wrong_section": lambda text, rng: text.replace("[", "[my_", 1),
            "no_pair": change(lambda line: line.replace(" = ", ": ", 1)),
            "duplicate_key": change(lambda line: f"{line}\n{line}"),
            "indented": change(lambda line: f"    {line}"),
            "comment": change(lambda line: f"; note\n{line}"),
        }


def change(how: Callable[[str], str]) -> Corruption:
    """A corruption that changes one of the lines below the header."""

    def corrupt(text: str, rng: Random) -> str | None:
        lines = text.split("\n")
        at = rng.randrange(len(lines))
        broken = "\n".join([*lines[:at], how(lines[at]), *lines[at + 1 :]])
        return broken if at and broken != text else None

    return corrupt


@hookimpl
def fmtharness_formats() -> list[type[Ini]]:
    """The one format of this distribution."""
    return [Ini]
