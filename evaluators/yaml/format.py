"""YAML as a Format: how to ask for it, render it, parse it strictly, and break it.

    YamlFormat().render({"a": [1, "no"]}) -> 'a:\n  - 1\n  - "no"\n'
    YamlFormat().parse("a: no")           -> problem ambiguous_scalar at 3:5

What passes is the part of YAML that every parser reads alike: block and flow style, quoted and
block texts; but no anchors, tags, merge keys, several documents or unquoted texts that one parser
takes for a date and the next for a text. benchmarks/yaml_readers.py compares six parsers. Where all
numbers are doubles, as in JavaScript, an integer beyond 2**53 is rounded, as in JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from pydantic import Field

from fmtharness.evaluators.one_edit import Mends, all_of_one_edit
from fmtharness.evaluators.possessive import re
from fmtharness.evaluators.yaml.corruptions import CORRUPTIONS, too_deep, wrong_root
from fmtharness.evaluators.yaml.labels import LABELS
from fmtharness.evaluators.yaml.reader import ROOTS, Root, clean, read
from fmtharness.evaluators.yaml.scalars import written
from fmtharness.harness.contracts import Corruption, Options, Parsed, Shape
from fmtharness.harness.formats import Consumer
from fmtharness.harness.matching import same_value
from fmtharness.harness.records import Problem
from fmtharness.harness.surroundings import strictly

_BLOCK_TEXT: Final = re.compile(r"\S(?:[^\n]*\S)?(?:\n+ *\S(?:[^\n]*\S)?)+\n?").fullmatch
_KEY: Final = (
    r"""(?:"(?:[^"\\\n]++|\\.)*+"|'[^'\n]*+'"""
    r"""|-?[^\s"'#\[\]{},&*!|>%@`:-](?:[^\n:]|:(?=\S)){0,60}?)"""
)
_LOOKS: Final = re.compile(
    r"[ \t]+\S"  # belongs to a line above it
    r"|-(?:[ \t]|\r?\n?\Z)|---(?!-)|\.\.\.\s*\Z|[\[{\]}]|# |\? |%\w"
    r"|&[\w-]+(?:\s|\Z)|\*[\w-]+[ \t]*(?::[ \t]|\s*\Z)|!(?:!?[\w/:.-]*|<[^>\s]*>)(?:\s|\Z)"
    r"|@?[A-Za-z_][\w-]*:(?!//)\S|@[\w-]+:[ \t]|[|>][-+0-9]*\s*\Z"
    rf"|:[ \t]|{_KEY}[ \t]*:[ \t]+\S"
    r"|\"[^\"\n]*\"[^\"\n:]*:[ \t]+\S"  # a key with text behind its quotes
    r"|[^\[\]{}\n]*+[\]}]+\s*\Z"  # where brackets from above end
    r"|(?:\"[^\"\n]*\"|'[^'\n]*'|[\w./-]+(?: [\w./-]+)?)[ \t]*:\s*\Z"  # a key above its value
    r"|[\w./-]+\Z"  # a key that is cut off
    r"|[|>][\"'\w][^\n]*:\s*\Z"  # a key behind the sign of a block text
    r"|[^\"'\n]*+[\"']\s*\Z"  # where a quote from above ends
).match
_BARE_KEY: Final = re.compile(r"[^\s.!?]+").fullmatch
_MENDS: Final = Mends(
    insert=":-x",
    replace=": },",
    follow=frozenset({"missing_value", "bad_indentation", "complex_key", "wrong_root"}),
    cut=frozenset({"comment"}),
    joined=re.compile(r"^ *-(?=[^\s-])", re.MULTILINE),
    colon=LABELS["missing_colon"],
)


class YamlFormat(Options):
    """Strict YAML: the whole text is one document that every YAML parser reads alike.

    parse("city: Oslo\\nnights: 4")      -> Parsed(value={"city": "Oslo", "nights": 4})
    parse("Sure!\\ncity: Oslo\\nopen: no") -> problems text_before at 0:5, ambiguous_scalar at 23:25
    """

    name: ClassVar[str] = "yaml"
    title: ClassVar[str] = "YAML"
    shapes: ClassVar[frozenset[Shape]] = frozenset({"record", "table", "tree"})
    labels: ClassVar[Mapping[str, str]] = LABELS

    root: Root = "object"
    """What the root value must be."""
    max_depth: int = Field(default=64, ge=1, le=1000)
    """How many mappings and lists may be open at once; libyaml's work grows with it."""
    comments: bool = False
    """Whether comments are allowed."""

    def instruction(self, value: Any) -> str:
        """One sentence that asks for YAML and nothing else."""
        kind = (
            "mapping" if isinstance(value, dict) else "list" if isinstance(value, list) else "value"
        )
        return f"Answer with one YAML {kind} and nothing else."

    def render(self, value: Any) -> str:
        """The value in block style, lists indented under their key, quotes only where needed."""
        if not isinstance(value, ROOTS[self.root]):
            raise ValueError(f"root = {self.root!r} does not hold {value!r:.80}")
        if isinstance(value, dict | list) and value:
            try:
                text = "".join(_block(value, 0, self.max_depth))
            except RecursionError:
                raise ValueError("the value is nested too deeply to be written") from None
        else:
            text = _inline(value) + "\n"
        # The last line break is left out unless it is part of a text.
        for candidate in (text.removesuffix("\n"), text):
            parsed = self.parse(candidate)
            if parsed.ok and same_value(parsed.value, value):
                return candidate
        raise ValueError(f"YAML does not hold {value!r:.80}")

    def parse(self, text: str) -> Parsed:
        """The whole text as a value, or all problems."""
        parsed = strictly(
            text,
            lambda inner: read(inner, self.root, self.max_depth, self.comments),
            lambda line: bool(_LOOKS(line)),
        )
        if any(problem.label == "no_value" for problem in parsed.problems):
            kept = (problem for problem in parsed.problems if problem.label != "text_after")
            return Parsed(problems=tuple(kept))
        if any(problem.label == "wrong_root" for problem in parsed.problems):
            return _with_key(text, parsed)
        return all_of_one_edit(
            text,
            parsed,
            _MENDS,
            lambda mended: clean(mended, self.root, self.max_depth, self.comments),
        )

    def consumers(self) -> Sequence[Consumer]:
        """Readers of YAML 1.1 and 1.2."""
        from fmtharness.evaluators.consumers import yaml_readers

        return yaml_readers()

    def corruptions(self) -> Mapping[str, Corruption]:
        """Ways to break a rendered text; each is named by the label `parse` gives it."""
        ways = {**CORRUPTIONS, "too_deep": too_deep(self.max_depth)}
        if self.comments:
            del ways["comment"]
        if self.root == "any":
            del ways["no_value"]  # prose is a text at the root
        else:
            ways["wrong_root"] = wrong_root
        return {name: self._own(name, way) for name, way in ways.items()}

    def _own(self, name: str, way: Corruption) -> Corruption:
        """The corruption, or None if the broken text would be valid or get another label.

        `Sure:` before `{}`, for example, makes a valid mapping.
        """

        def corrupt(text: str, rng: Any) -> str | None:
            broken = way(text, rng)
            if broken is None:
                return None
            found = {problem.label for problem in self.parse(broken).problems}
            return broken if name in found else None

        return corrupt


def _with_key(text: str, parsed: Parsed) -> Parsed:
    """What was parsed, where a word above a wrong root is its key and lacks a colon."""
    first, *others = parsed.problems
    if first.label != "text_before" or [problem.label for problem in others] != ["wrong_root"]:
        return parsed
    if not _BARE_KEY(text, first.start, first.end):
        return parsed
    problem = Problem("missing_colon", LABELS["missing_colon"], first.start, first.end)
    return Parsed(problems=(problem,))


def _block(value: Any, indent: int, depth: int) -> Iterator[str]:
    """The lines of a mapping or list that is not empty."""
    if depth < 1:
        raise ValueError("the value is deeper than max_depth allows")
    margin = " " * indent
    for key, child in value.items() if isinstance(value, dict) else enumerate(value):
        head = margin + (f"{_key(key)}:" if isinstance(value, dict) else "-")
        if not (child and isinstance(child, dict | list)):
            yield f"{head} {_inline(child, indent)}\n"
            continue
        lines = _block(child, indent + 2, depth - 1)
        if isinstance(value, dict):
            yield head + "\n"
        else:
            # The first line of the inner value stands on the line of the dash.
            yield head + " " + next(lines)[indent + 2 :]
        yield from lines


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise ValueError(f"a key must be text, not {key!r:.80}")
    return written(key)


def _inline(value: Any, indent: int = 0) -> str:
    """A scalar, or a collection that is empty, as it stands behind a key or a dash."""
    if isinstance(value, dict | list):
        return "{}" if isinstance(value, dict) else "[]"
    if isinstance(value, str) and value.replace("\n", "").isprintable() and _BLOCK_TEXT(value):
        lines = value.splitlines()
        return "\n".join(["|" if value.endswith("\n") else "|-", *_indented(lines, indent + 2)])
    return written(value)


def _indented(lines: list[str], indent: int) -> list[str]:
    return [" " * indent + line if line else "" for line in lines]
