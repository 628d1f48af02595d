"""XML as a Format: one well-formed document of elements and texts, and nothing else.

    XmlFormat().render({"city": "Oslo"}) -> "<data>\\n  <city>Oslo</city>\\n</data>"
    XmlFormat().parse("<data><city>")    -> problems truncated at 12:12

An element that holds neither elements nor attributes is its text, just as it stands. One whose
elements are all named `item` is a list. Any other is a dict of its elements by their names, its
attributes with an @ before their names, and `#text` where it holds attributes and text. Every
scalar is text. A DOCTYPE is rejected before anything in it is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from pydantic import Field

from fmtharness.evaluators.possessive import re
from fmtharness.evaluators.xml.corruptions import CORRUPTIONS, too_deep
from fmtharness.evaluators.xml.reader import BLANK, LABELS, read
from fmtharness.evaluators.xml.signs import DOCTYPE
from fmtharness.harness.contracts import Corruption, Options, Parsed, Shape
from fmtharness.harness.formats import Consumer
from fmtharness.harness.matching import same_value
from fmtharness.harness.records import Problem
from fmtharness.harness.surroundings import bounded, shifted

_BEGINS: Final = r"(?:[a-zA-Z_:]|[^\x00-\x7f\s])"
_START: Final = re.compile(rf"<(?:\?\w|!--|!doctype\b|{_BEGINS}|(?:[?!]\w*-?)?\Z)", re.IGNORECASE)
_ROOT: Final = re.compile(rf"<({_BEGINS}[^\s<>/]*)")
_PROLOG: Final = re.compile(
    rf"(?:\s*+(?:<\?.*?\?>|<!--.*?-->|{DOCTYPE}))*+", re.DOTALL | re.IGNORECASE
)
_MORE: Final = re.compile(r"(?:\s*(?:<!--.*?-->|<\?.*?\?>|</?[^\W\d].*>))*", re.DOTALL)
_FENCE: Final = re.compile(r"`{3,}[\w+.-]*|~{3,}[\w+.-]*|(?<!`)`(?=\s*\Z)|\A\s*`(?!`)")
_CLOSING_FENCE: Final = re.compile(r"^[ \t]*(?:`{3,}|~{3,})[ \t]*$", re.MULTILINE)
_LAST_TAG: Final = re.compile(r"</([^\s<>]+)>\s*\Z")
_DECLARED: Final = re.compile(r"(?:<\?xml[^<>]*\?>)?\s*+")
_SIGN: Final = re.compile(r"[<>]").search
_NAME: Final = re.compile(r"[^\W\d][\w.-]*").fullmatch
_ESCAPES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}
_IN_TEXT: Final = str.maketrans(_ESCAPES)
_IN_ATTRIBUTE: Final = str.maketrans(_ESCAPES | {'"': "&quot;", "\n": "&#10;", "\t": "&#9;"})


class XmlFormat(Options):
    """Strict XML: the whole text is one well-formed XML 1.0 document without a DOCTYPE.

    parse("<data><city>Oslo</city></data>") -> Parsed(value={"city": "Oslo"})
    parse("<data><item>a</item></data>")    -> Parsed(value=["a"])
    parse("<data>a & b</data>")             -> problems bare_ampersand at 8:9

    A namespace's prefix is a part of the name and must be bound. Names are those of the fourth
    edition of XML 1.0, which every parser takes; `bad_name` tells those that only the fifth has.
    """

    name: ClassVar[str] = "xml"
    title: ClassVar[str] = "XML"
    shapes: ClassVar[frozenset[Shape]] = frozenset({"record", "table", "tree"})
    labels: ClassVar[Mapping[str, str]] = LABELS

    root: str | None = Field(default=None, pattern=r"^[^\W\d][\w.-]*$")
    """The root element's name; where none is set any name is taken, and `data` is written."""
    comments: bool = False
    """Whether comments are allowed; they are no part of the value."""
    max_depth: int = Field(default=64, ge=1)
    """How many elements may be open at once."""

    def instruction(self, value: Any) -> str:
        """One sentence that asks for XML and nothing else."""
        items = ", with an <item> for each element of a list," if _has_list(value) else ""
        return f"Answer with one XML document whose root is <{self._root}>{items} and nothing else."

    def render(self, value: Any) -> str:
        """The value with an element on each line, indented by two blanks a level."""
        text = "\n".join(self._lines(value))
        parsed = self.parse(text)
        if not parsed.ok or not same_value(parsed.value, value):
            why = parsed.problems[0].message if parsed.problems else "it parses to another value"
            raise ValueError(f"XML cannot hold {value!r:.80}: {why}")
        return text

    def parse(self, text: str) -> Parsed:
        """The whole text as a value, or all problems."""
        if text.strip() and not text.startswith("\ufeff"):
            reading = self._read(text)
            if not reading.problems and reading.rest is None:
                return Parsed(reading.value)
        return Parsed(problems=bounded(self._problems(text)))

    def consumers(self) -> Sequence[Consumer]:
        """Readers of XML."""
        from fmtharness.evaluators.consumers import xml_readers

        return xml_readers()

    def corruptions(self) -> Mapping[str, Corruption]:
        """Ways to break a rendered document; each is named by the label `parse` gives it."""
        ways = {**CORRUPTIONS, "too_deep": too_deep(self.max_depth)}
        if self.comments:
            del ways["comment"]
        if self.root is None:
            del ways["wrong_root"]
        return ways

    @property
    def _root(self) -> str:
        return self.root or "data"

    def _read(self, text: str) -> Any:
        return read(text, max_depth=self.max_depth, comments=self.comments, root=self.root)

    def _problems(self, text: str) -> Iterator[Problem]:
        """What is wrong with the document, and with what stands around it."""
        first = 0
        if text.startswith("\ufeff"):
            yield _problem("byte_order_mark", 0, 1)
            first = 1
        if not text[first:].strip(BLANK):
            if not first:
                yield _problem("empty", 0, len(text))
            return
        start = _start(text, first)
        if start is None:
            yield _problem("no_value", first, len(text))
            return
        if broken := _broken_root(text, first, start):
            yield from self._with_root(text, *broken)
            return
        yield from _around("text_before", text, first, start)
        if not text[first:start].strip(BLANK):
            start = first
        end = _end(text, start, bool(_FENCE.search(text, first, start)))
        reading = self._read(text[start:end])
        yield from shifted(reading.problems, start)
        if reading.rest is not None:
            end = start + reading.rest
        yield from _around("text_after", text, end, len(text))

    def _with_root(self, text: str, start: int, end: int, name: str) -> Iterator[Problem]:
        """The problems of a document whose root's opening tag is broken, read as if it were not."""
        message = f"the opening tag of <{name:.40}> is broken"
        yield Problem("malformed_tag", message, start, end)
        tag = f"<{name}>"
        longer = end - start - len(tag)
        for problem in self._problems(f"{text[:start]}{tag}{text[end:]}"):
            if problem.label == "wrong_root" or problem.end <= start:
                continue
            if problem.start >= start + len(tag):
                yield from shifted([problem], longer)

    def _lines(self, value: Any) -> Iterator[str]:
        todo: list[Any] = [(0, self._root, value)]
        while todo:
            if isinstance(line := todo.pop(), str):
                yield line
                continue
            depth, name, value = line
            if depth >= self.max_depth:
                raise ValueError(f"more than {self.max_depth} elements would be open at once")
            attributes, children, text = _children(value)
            opening = " ".join([_named(name), *attributes])
            if children:
                yield f"{'  ' * depth}<{opening}>"
                todo.append(f"{'  ' * depth}</{name}>")
                todo += [(depth + 1, *child) for child in reversed(children)]
            else:
                yield f"{'  ' * depth}<{opening}>{text.translate(_IN_TEXT)}</{name}>"


def _children(value: Any) -> tuple[list[str], list[tuple[str, Any]], str]:
    """The attributes, elements and text that a value is written as."""
    if isinstance(value, str):
        return [], [], value
    if not isinstance(value, dict | list) or not value:
        raise ValueError(f"XML holds texts, and lists and records of texts, not {value!r:.40}")
    if isinstance(value, list):
        return [], [("item", child) for child in value], ""
    attributes, children, text = [], [], ""
    for key, child in value.items():
        if not isinstance(key, str):
            raise ValueError(f"a key is a text: {key!r:.40}")
        if key == "#text" or key.startswith("@"):
            if not isinstance(child, str):
                raise ValueError(f"{key} is a text: {child!r:.40}")
            if key == "#text":
                text = child
            else:
                attributes.append(f'{_named(key[1:])}="{child.translate(_IN_ATTRIBUTE)}"')
        else:
            children.append((key, child))
    return attributes, children, text


def _named(name: str) -> str:
    if not _NAME(name):
        raise ValueError(f"{name!r:.40} is no name of an element or attribute")
    return name


def _has_list(value: Any) -> bool:
    todo = [value]
    while todo:
        node = todo.pop()
        if isinstance(node, list):
            return True
        if isinstance(node, dict):
            todo += node.values()
    return False


def _problem(label: str, start: int, end: int) -> Problem:
    return Problem(label, LABELS[label], start, end)


def _broken_root(text: str, first: int, start: int) -> tuple[int, int, str] | None:
    """Where a broken opening tag of the root stands, and its name: data>...</data>."""
    closing = _LAST_TAG.match(text, max(text.rfind("</"), 0))
    declared = _DECLARED.match(text, first)
    begin = declared.end() if declared else first
    root = _ROOT.search(text, begin)
    if not closing or not root or f"<{closing[1]}" in text or f"</{root[1]}" == closing[0][:-1]:
        return None
    end = root.start()
    if f"</{root[1]}" not in text:
        tag = text.find(">", end) + 1
        end = tag if "<" not in text[end + 1 : tag] else end
    said = text[begin:end].rstrip(BLANK)
    if len(said) > 80 or "\n" in said or root.start() == begin or not _SIGN(said):
        return None
    return begin, begin + len(said), closing[1]


def _start(text: str, first: int) -> int | None:
    """Where the document begins; a tag named in a sentence before it does not count."""
    if text[first:].lstrip().startswith(("{", "[")):
        return None
    found = _START.search(text, first)
    if not found:
        return None
    at = found.start()
    named = _ROOT.match(text, at)
    line = text[text.rfind("\n", 0, at) + 1 : at]
    if named and line.strip(" \t\ufeff"):
        again = re.compile(rf"^[ \t]*(?=<{re.escape(named[1])}\b)", re.MULTILINE)
        if later := again.search(text, at):
            return later.end()
    return at


def _end(text: str, start: int, fenced: bool) -> int:
    """Where the document ends: behind its last closing tag, or else at the closing fence."""
    prolog = _PROLOG.match(text, start)
    named = _ROOT.search(text, prolog.end() if prolog else start)
    if named:
        closing = re.compile(rf"</{re.escape(named[1])}\s*>")
        ends = [found.end() for found in closing.finditer(text, named.end())]
        if ends and (more := _MORE.match(text, ends[-1])):
            return more.end()
    if fenced and (fence := _CLOSING_FENCE.search(text, start)):
        return fence.start()
    return len(text)


def _around(label: str, text: str, start: int, end: int) -> Iterator[Problem]:
    """The fences in a part outside the document, and the prose between them."""
    piece = text[start:end]
    at = 0
    for fence in [*_FENCE.finditer(piece), None]:
        said = piece[at : fence.start() if fence else len(piece)]
        if stripped := said.strip(BLANK):
            begin = start + at + said.index(stripped)
            yield _problem(label, begin, begin + len(stripped))
        if fence:
            at = fence.end()
            sign = fence[0].strip()
            yield _problem("code_fence", start + at - len(sign), start + at)
