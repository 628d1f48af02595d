"""Text that matches a regular expression as a Format, judged by RE2 in linear time.

    RegexFormat(pattern="city=(?P<city>[^;]*)").parse("city=Oslo") -> Parsed(value={"city": "Oslo"})
    RegexFormat(pattern="city=(?P<city>[^;]*)").parse("City=Oslo") -> problem wrong_case at 0:9

RE2 has no lookaround and no backreferences, and its \\d, \\s and \\w are ASCII. A pattern made of
literals and named groups is a layout: it can render values, and its mismatches get better messages.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import pairwise
from random import Random
from typing import Any, ClassVar, Final

from pydantic import field_validator

from fmtharness.evaluators.possessive import re
from fmtharness.evaluators.regex.layout import compiled, fault, found, layout, missing, prefixes
from fmtharness.evaluators.rendering import checked
from fmtharness.harness import surroundings
from fmtharness.harness.contracts import Corruption, Options, Parsed, Shape
from fmtharness.harness.records import Example, Problem
from fmtharness.harness.surroundings import BLANK, bounded, outside, shifted
from fmtharness.harness.text import LONE_SURROGATE

_LABELS: Final = {
    **{label: said for label, said in surroundings.LABELS.items() if label != "no_value"},
    "no_match": "no part of the text matches the pattern",
    "truncated": "the text ends before the layout does",
    "missing_part": "a literal part of the layout is not where it should be",
    "multiple_roots": "more than one match stands side by side",
    "wrong_case": "the text matches but for upper and lower case",
    "whitespace_around": "whitespace or a line break stands before or after the match",
    "lone_surrogate": "half of a surrogate pair stands alone, which UTF-8 cannot hold",
}


class RegexFormat(Options):
    """The whole text matches the pattern, by RE2; nothing is stripped from it.

    RegexFormat(pattern="(?P<id>[A-Z]-[0-9]+)").parse("A-31")   -> Parsed(value={"id": "A-31"})
    RegexFormat(pattern="(?P<id>[A-Z]-[0-9]+)").parse("A-31\\n") -> problem whitespace_around at 4:5

    The value is the named groups that matched, or the text if the pattern has no named group.
    """

    name: ClassVar[str] = "regex"
    title: ClassVar[str] = "a line"
    shapes: ClassVar[frozenset[Shape]] = frozenset({"record"})
    labels: ClassVar[Mapping[str, str]] = _LABELS

    pattern: str = ".+"
    """The regular expression, in RE2's syntax; by default one line of any text."""

    @field_validator("pattern")
    @classmethod
    def _fits_re2(cls, pattern: str) -> str:
        if reason := fault(pattern):
            raise ValueError(reason)
        return pattern

    def for_value(self, value: Any) -> RegexFormat:
        """The Format whose pattern has a group for each key of a record, unless one is set.

        {"city": "Oslo", "id": "A-1"} -> city=(?P<city>[^;\\n]*); id=(?P<id>[^;\\n]*)
        """
        if "pattern" in self.model_fields_set or isinstance(value, str):
            return self
        if not isinstance(value, dict) or not value:
            raise ValueError("a pattern is made of the keys of a record")
        for key, text in value.items():
            if not isinstance(key, str) or not key.isidentifier():
                raise ValueError(f"{key!r:.60} cannot name a group of a pattern")
            if not isinstance(text, str):
                raise ValueError(f"{key!r:.60} holds no text, and a pattern has no other values")
        return type(self)(pattern="; ".join(rf"{key}=(?P<{key}>[^;\n]*)" for key in value))

    def instruction(self, value: Any) -> str:
        """One sentence that asks for a line by its pattern and layout, and nothing else."""
        matches = f"matches the regular expression `{self.pattern}`"
        if parts := layout(self.pattern):
            said = "".join("..." if part.name else part.text for part in parts)
            return f"Answer with one line of the form `{said}` that {matches}, and nothing else."
        return f"Answer with text that {matches}, and nothing else."

    def render(self, value: Any) -> str:
        """The matching text, if the pattern is a layout or the value is the text itself."""
        if isinstance(value, str):
            return checked(self, value, value)
        parts = layout(self.pattern)
        if parts is None or not isinstance(value, dict):
            raise ValueError(f"{self.pattern!r:.80} is no layout that a record can be written in")
        names = [part.name for part in parts if part.name]
        if sorted(names) != sorted(value) or not all(
            isinstance(value[name], str) for name in names
        ):
            raise ValueError(f"{self.pattern!r:.80} holds only the texts {', '.join(names)}")
        text = "".join(value[part.name] if part.name else part.text for part in parts)
        return checked(self, text, value)

    def parse(self, text: str) -> Parsed:
        """The named groups or the text, or all problems."""
        problems = [
            Problem("lone_surrogate", _LABELS["lone_surrogate"], *match.span())
            for match in LONE_SURROGATE.finditer(text)
        ]
        if problems:
            text = LONE_SURROGATE.sub("\ufffd", text)
        match = compiled(self.pattern).fullmatch(text)
        if match is None:
            problems += self._diagnosed(text)
        if problems:
            return Parsed(problems=bounded(problems))
        names = sorted(match.re.groupindex.items(), key=lambda item: item[1])
        groups = {name: match[number] for name, number in names if match[number] is not None}
        return Parsed(groups if names else text)

    def grammar(self, example: Example | None) -> str:
        """What constrained decoding allows, in Lark: the pattern, with the classes of RE2."""
        return f"start: /{_for_lark(self.pattern)}/"

    def corruptions(self) -> Mapping[str, Corruption]:
        """Ways to break a rendered text; each is named by the label `parse` gives it."""
        ways: dict[str, Corruption] = {
            **surroundings.CORRUPTIONS,
            "no_match": self._no_match,
            "truncated": self._truncated,
            "missing_part": self._missing_part,
            "multiple_roots": lambda text, rng: f"{text}\n{text}",
            "wrong_case": self._wrong_case,
            "whitespace_around": _with_whitespace,
            "lone_surrogate": self._lone_surrogate,
        }
        return {name: self._labelled(name, way) for name, way in ways.items()}

    def _labelled(self, name: str, corrupt: Corruption) -> Corruption:
        """The corruption, which gives None if `parse` has another label for the broken text."""

        def labelled(text: str, rng: Random) -> str | None:
            broken = corrupt(text, rng)
            if broken is None:
                return None
            labels = [problem.label for problem in self.parse(broken).problems]
            return broken if name in labels else None

        return labelled

    def _diagnosed(self, text: str) -> Iterator[Problem]:
        if not text.strip("\ufeff" + BLANK):
            label = "byte_order_mark" if "\ufeff" in text else "empty"
            yield _problem(label, 0, len(text))
            return
        start, end = 0, len(text)
        if text[0] == "\ufeff" or "`" in text or "~~~" in text:
            around = outside(text, lambda line: found(self.pattern, line) is not None)
            labels = {problem.label for problem in around.problems}
            if labels & {"code_fence", "byte_order_mark"}:
                yield from (found for found in around.problems if found.label != "no_value")
                start, end = (1, end) if "no_value" in labels else (around.start, around.end)
        inner = text[start:end]
        fenced = (start, end) != (0, len(text))
        if not inner.strip():
            if inner.strip(BLANK):
                yield _problem("no_match", start, end)
        elif not (fenced and compiled(self.pattern).fullmatch(inner.strip())):
            yield from shifted(self._inside(inner), start)

    def _inside(self, text: str) -> Iterator[Problem]:
        """What is wrong with a text that is neither blank nor fenced."""
        core = text.strip()
        start = text.index(core[0])
        end = start + len(core)
        if compiled(self.pattern).fullmatch(core):
            yield from _whitespace(text, start, end)
            return
        if compiled(self.pattern, case_sensitive=False).fullmatch(core):
            yield _problem("wrong_case", start, end)
            return
        beginnings = prefixes(self.pattern)
        lacks = missing(layout(self.pattern) or (), core)
        # A text whose next literal is only written in another way goes on behind it.
        goes_on = lacks is not None and lacks.misspelt
        cut = not goes_on and beginnings is not None and beginnings.fullmatch(core) is not None
        if cut:
            yield _problem("truncated", end, end)
        if lacks and not cut:
            message = f"{lacks.literal!r:.60} is not where the layout has it"
            yield _problem("missing_part", start + lacks.start, start + lacks.end, message)
        if lacks or cut:
            return
        match = found(self.pattern, text)
        if match is None:
            yield _problem("no_match", start, end, f"nothing matches {self.pattern!r:.200}")
            return
        if match[0] <= start and end <= match[1]:
            # The pattern matches some of the whitespace, but not all of it.
            yield from _whitespace(text, *match)
        if match[0] > start:
            yield _problem("text_before", start, start + len(text[start : match[0]].rstrip()))
        if match[1] < end:
            rest = text[match[1] : end]
            again = found(self.pattern, rest)
            alone = again is not None and not rest[: again[0]].strip()
            first = match[1] + rest.index(rest.strip()[0])
            yield _problem("multiple_roots" if alone else "text_after", first, end)

    def _spans(self, text: str) -> list[tuple[int, int]]:
        """Where the named groups of a match stand, in order."""
        match = compiled(self.pattern).fullmatch(text)
        return sorted(match.span(group) for group in match.re.groupindex.values()) if match else []

    def _no_match(self, text: str, rng: Random) -> str | None:
        groups = self.parse(text).value
        if not isinstance(groups, dict):
            return "?"
        ways = [
            json.dumps(groups, ensure_ascii=False),
            "\n".join(f"{name}: {said}" for name, said in groups.items()),
            "\n".join(f"- {name}: {said}" for name, said in groups.items()),
            "".join(f"<{name}>{said}</{name}>" for name, said in groups.items()),
            ", ".join(groups.values()),
            "There is no answer.",
            "I'm sorry, but I cannot help with that.",
        ]
        return rng.choice(ways)

    def _truncated(self, text: str, rng: Random) -> str | None:
        spans = self._spans(text)
        last = max(spans[-1][0], 1) if spans else len(text)
        return text[: rng.randrange(1, last)] if last > 1 else None

    def _missing_part(self, text: str, rng: Random) -> str | None:
        """Another literal between two parts, or the parts in another order."""
        spans = self._spans(text)
        between = [(end, start) for (_, end), (start, _) in pairwise(spans)]
        if not between:
            return None
        end, start = rng.choice(between)
        literal = text[end:start]
        word = "".join(re.findall(r"\w+", literal))
        ways = [
            rng.choice([", ", "; ", " ", "\n", " | ", "\t"]),
            literal.replace("=", rng.choice([":", ": ", " = ", " is "])),
            literal.replace(";", rng.choice([",", " |", "", "\n"])),
            literal.replace(" ", ""),
            literal.replace(word, word[:-1] or "x"),
        ]
        if rng.random() < 0.2:
            # The parts in another order.
            pieces = text.split(literal[: literal.find(word)] or literal)
            return (literal[: literal.find(word)] or literal).join(reversed(pieces))
        broken = rng.choice(ways)
        return None if broken == literal else text[:end] + broken + text[start:]

    def _wrong_case(self, text: str, rng: Random) -> str | None:
        change = rng.choice([str.upper, str.title, str.capitalize, str.swapcase])
        pieces = []
        pos = 0
        for start, end in [*self._spans(text), (len(text), len(text))]:
            pieces += [change(text[pos:start]), text[start:end]]
            pos = end
        if rng.random() < 0.5 and len(pieces) > 2:
            # Only the first literal.
            pieces = [pieces[0], text[len(pieces[0]) :]]
        broken = "".join(pieces)
        return broken if broken != text else None

    def _lone_surrogate(self, text: str, rng: Random) -> str | None:
        """Half of an emoji in one of the groups."""
        spans = self._spans(text) or [(0, len(text))]
        at = rng.randint(*rng.choice(spans))
        return text[:at] + rng.choice(["\ud83d", "\ude00"]) + text[at:]


def _with_whitespace(text: str, rng: Random) -> str:
    before, after = rng.choice(
        [(" ", ""), ("", "\n"), ("", " "), ("\n", ""), ("\t", ""), ("", "\r\n"), (" ", " ")]
    )
    return before + text + after


def _problem(label: str, start: int, end: int, message: str | None = None) -> Problem:
    return Problem(label, message or _LABELS[label], start, end)


def _whitespace(text: str, start: int, end: int) -> Iterator[Problem]:
    """The whitespace before and after a match, if nothing else is around it."""
    for span in ((0, start), (end, len(text))):
        if span[0] < span[1]:
            yield _problem("whitespace_around", *span)


_ASCII: Final = {"d": "0-9", "w": "0-9A-Za-z_", "s": r"\t\n\f\r "}
_PIECE: Final = re.compile(r"\\[\s\S]|\[\^?|[\s\S]")
_POSIX: Final = re.compile(r"\[:\^?\w+:\]")


def _for_lark(pattern: str) -> str:
    """The pattern between slashes, in Rust's syntax: no slash or line break, ASCII classes as RE2
    has them, and in a class no sign that means more than itself, as `[`, `&&` and `--` do."""
    found, at, first = [], 0, None
    while at < len(pattern):
        if first is not None and (posix := _POSIX.match(pattern, at)):
            piece, at = posix[0], posix.end()
        else:
            piece = _PIECE.match(pattern, at)[0]  # type: ignore[index]
            if first is not None and piece[0] == "[":
                piece = "["
            at += len(piece)
        if first is None:
            found.append(_rust(piece))
            first = at if piece in ("[", "[^") else None
        elif piece == "]" and at - 1 > first:
            found.append("]")
            first = None
        else:
            found.append(_rust_in_class(piece))
            is_range = pattern[at : at + 1] == "-" and pattern[at + 1 : at + 2] not in ("]", "")
            if is_range and not _is_class(piece):
                found.append("-")
                end = _PIECE.match(pattern, at + 1)[0]  # type: ignore[index]
                end = "[" if end[0] == "[" else end
                found.append(_rust_in_class(end))
                at += 1 + len(end)
    return "".join(found)


def _is_class(piece: str) -> bool:
    return len(piece) > 2 or (len(piece) == 2 and piece[1].lower() in (*_ASCII, "p"))


def _rust(piece: str) -> str:
    """A sign, or an escape, that may stand outside of classes."""
    if piece in ("/", "\n", "\\\n"):
        return "\\/" if piece == "/" else "\\n"
    if piece[0] == "\\" and piece[1].lower() in _ASCII:
        return f"[{'^' if piece[1].isupper() else ''}{_ASCII[piece[1].lower()]}]"
    return piece


def _rust_in_class(piece: str) -> str:
    return f"\\{piece}" if piece in ("[", "]", "&", "~", "-", "^") else _rust(piece)
