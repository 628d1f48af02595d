"""Reads one XML document with expat, event by event, and says what breaks it and where.

    read("<d><a>x</a></d>") -> Reading(value={"a": "x"}, problems=(), rest=None)
    read("<d>a & b</d>")    -> problems bare_ampersand at 5:6

Expat stops at the first error. Signs that are wrong wherever they stand (a bare &, a bare <, an
unknown entity, a DOCTYPE) are noted all at once and replaced by as many harmless bytes. Then the
text is read again, to find what else is wrong with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple
from xml.parsers import expat

from fmtharness.evaluators.possessive import re
from fmtharness.evaluators.xml import signs
from fmtharness.evaluators.xml.errors import explained
from fmtharness.evaluators.xml.names import colons, is_uri
from fmtharness.evaluators.xml.tags import Found
from fmtharness.harness import surroundings
from fmtharness.harness.records import Problem

LABELS: Final[Mapping[str, str]] = {
    **surroundings.LABELS,
    "truncated": "the text ends before every element is closed",
    "multiple_roots": "more than one root element",
    "wrong_root": "the root element does not have the name that `root` asks for",
    "too_deep": "more elements are open at once than `max_depth` allows",
    "duplicate_key": "a name repeats among the elements of one parent that are not all <item>",
    "mixed_content": "text stands between the elements of one parent",
    "mismatched_tag": "a closing tag does not match the element that is open",
    "unclosed_tag": "a tag has no > before the next tag begins",
    "bare_ampersand": "an & that begins no entity and is not written as &amp;",
    "bare_less_than": "a < that begins no tag and is not written as &lt;",
    "undefined_entity": "an entity other than the five that XML defines",
    "unquoted_attribute": "an attribute's value stands without quotes",
    "attribute_without_value": "an attribute has no value, such as one that only names what is on",
    "unclosed_quote": "an attribute's value has no closing quote",
    "duplicate_attribute": "an element repeats an attribute",
    "bad_name": "a name that not every parser allows, such as one with a blank or a digit in front",
    "malformed_tag": "a tag holds something else than its name and attributes with blanks between",
    "unbound_prefix": "a name has a prefix that no namespace is bound to",
    "bad_namespace": "a namespace is no URI, or a prefix or namespace is bound that XML reserves",
    "bad_character": "a character that XML cannot hold, raw or as a reference",
    "doctype": "a document type declaration",
    "processing_instruction": "a processing instruction",
    "comment": "a comment where comments are not allowed, or a malformed one",
    "bad_declaration": "an XML declaration that is misplaced, malformed or not of UTF-8",
    "syntax_error": "something that none of the other labels describes",
}
"""Every label that strict XML can give, and its meaning in one line."""

BLANK: Final = " \t\r\n"
"""What XML calls white space; no other blank may stand around the root element."""
_COLONS: Final = re.compile(rb"[^\s<>/=]*+")
_INVALID: Final = expat.errors.codes[expat.errors.XML_ERROR_INVALID_TOKEN]
_UNBOUND: Final = expat.errors.codes[expat.errors.XML_ERROR_UNBOUND_PREFIX]
_DUPLICATE: Final = expat.errors.codes[expat.errors.XML_ERROR_DUPLICATE_ATTRIBUTE]
_CONTINUATION: Final = bytes(range(0x80, 0xC0))


class Reading(NamedTuple):
    """A document's value, or its problems; `rest` is where plain text after it begins."""

    value: Any
    problems: tuple[Problem, ...]
    rest: int | None


class _Element:
    __slots__ = ("attributes", "children", "name", "said", "start", "text")

    def __init__(self, name: str, attributes: dict[str, str], start: int) -> None:
        self.name, self.attributes, self.start = name, attributes, start
        self.children: list[tuple[str, Any, int]] = []
        self.text: list[str] = []
        self.said: int | None = None
        """Where its first text other than blanks begins."""

    def value(self) -> Any:
        if self.children:
            if self.is_list():
                return [value for _, value, _ in self.children]
            return self.attributes | {name: value for name, value, _ in self.children}
        text = "".join(self.text)
        if self.attributes:
            return self.attributes | ({"#text": text} if text else {})
        return text

    def is_list(self) -> bool:
        return not self.attributes and all(name == "item" for name, _, _ in self.children)

    def problems(self, data: bytes) -> Iterator[Found]:
        if self.children and self.said is not None:
            end = data.find(b"<", self.said)
            said = data[self.said : end if end > 0 else len(data)].rstrip()
            yield Found("mixed_content", self.said, self.said + len(said))
        seen: set[str] = set()
        for name, _, start in () if self.is_list() else self.children:
            if name in seen:
                end = start + 1 + len(name.encode())
                message = f"<{name:.40}> stands more than once in <{self.name:.40}>"
                yield Found("duplicate_key", start, end, message)
            seen.add(name)


class _Document:
    """Collects what expat's events say about one document."""

    def __init__(self, data: bytes, max_depth: int, comments: bool, root: str | None) -> None:
        self.data, self.max_depth, self.comments, self.root = data, max_depth, comments, root
        self.open: list[_Element] = []
        self.deeper: list[str] = []
        """The names of the elements that are open beyond the depth allowed."""
        self.found: list[Found] = []
        self.value: Any = None
        self.started = False
        self.prefixes = False
        self.parser = parser = expat.ParserCreate("utf-8")
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.text
        parser.CommentHandler = self.comment
        parser.ProcessingInstructionHandler = self.instruction
        parser.XmlDeclHandler = self.declaration
        parser.StartDoctypeDeclHandler = self.doctype

    def read(self) -> Found | None:
        """Read the whole text, and return the error that expat stopped at."""
        stopped = self._parsed()
        if stopped and stopped.label == "mismatched_tag":
            self._leave_unclosed(stopped)
        for element in reversed(self.open):
            self.found += element.problems(self.data)
        return stopped

    def _parsed(self) -> Found | None:
        try:
            self.parser.Parse(self.data, True)
            return None
        except expat.ExpatError as error:
            return explained(
                self.data,
                error.code,
                self.parser.ErrorByteIndex,
                [*(element.name for element in self.open), *self.deeper],
                self.started,
            )
        except _DoctypeError as error:
            return error.found

    def _leave_unclosed(self, stopped: Found) -> None:
        """Drop the elements whose closing tag is lost, which hold what stands behind them."""
        name = (
            self.data[stopped.start + 2 : stopped.end]
            .rstrip(b"> \t\r\n")
            .decode("utf-8", "replace")
        )
        names = [element.name for element in self.open]
        last = len(names) - 1 - names[::-1].index(name) if name in names else len(names) - 2
        del self.open[last + 1 :]

    def start(self, name: str, attributes: dict[str, str]) -> None:
        at = self.parser.CurrentByteIndex
        if not self.started:
            self.started = True
            if self.root not in (None, name):
                message = f"the root element is <{name:.40}> and not <{self.root}>"
                self.found.append(Found("wrong_root", at, at + 1 + len(name.encode()), message))
        if len(self.open) == self.max_depth:
            if not self.deeper:
                self.found.append(Found("too_deep", at, at + 1 + len(name.encode())))
            self.deeper.append(name)
            return
        if ":" in name or any(":" in key or key == "xmlns" for key in attributes):
            self.prefixes = True
            self.namespaces(attributes, at)
        self.open.append(_Element(name, {f"@{key}": v for key, v in attributes.items()}, at))

    def namespaces(self, attributes: dict[str, str], at: int) -> None:
        for key, value in attributes.items():
            if (key == "xmlns" or key.startswith("xmlns:")) and not is_uri(value):
                end = self.data.find(b">", at) + 1
                self.found.append(Found("bad_namespace", at, end, f"{value:.40} is no URI"))

    def end(self, name: str) -> None:
        if self.deeper:
            self.deeper.pop()
            return
        element = self.open.pop()
        self.found += element.problems(self.data)
        if self.open:
            self.open[-1].children.append((name, element.value(), element.start))
        else:
            self.value = element.value()

    def text(self, text: str) -> None:
        if self.deeper:
            return
        element = self.open[-1]
        element.text.append(text)
        if element.said is None and (said := text.lstrip(BLANK)):
            element.said = self.parser.CurrentByteIndex + len(text) - len(said)

    def comment(self, text: str) -> None:
        if not self.comments:
            at = self.parser.CurrentByteIndex
            self.found.append(Found("comment", at, self.data.index(b"-->", at) + 3))

    def instruction(self, target: str, text: str) -> None:
        at = self.parser.CurrentByteIndex
        end = self.data.index(b"?>", at) + 2
        self.found.append(Found("processing_instruction", at, end))

    def declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        if version != "1.0" or (encoding or "utf-8").lower() != "utf-8":
            self.found.append(Found("bad_declaration", 0, self.data.index(b"?>") + 2))

    def doctype(self, *declared: Any) -> None:
        at = self.data.rfind(b"<!DOCTYPE", 0, self.parser.CurrentByteIndex + 9)
        end = self.data.find(b">", at) + 1 or len(self.data)
        raise _DoctypeError(Found("doctype", at, end))


class _DoctypeError(Exception):
    """Stops the parser before it reads anything that a DOCTYPE declares."""

    def __init__(self, found: Found) -> None:
        self.found = found


def read(
    text: str, *, max_depth: int = 64, comments: bool = False, root: str | None = None
) -> Reading:
    """The text as one document, or what is wrong with it; linear in the text's length."""
    data = text.encode("utf-8", "surrogatepass")
    document = _Document(data, max_depth, comments, root)
    stopped = document.read()
    found: list[Found] = []
    again = data
    for cover in (signs.all_signs, signs.prolog, signs.prolog):
        if not stopped:
            break
        if covers := cover(again, stopped):
            found += [one.found for one in covers]
            again = signs.covered(again, covers)
            document = _Document(again, max_depth, comments, root)
            stopped = document.read()
    if not (stopped or document.found or found) and document.prefixes:
        stopped = _unbound(again)
    found, stopped = signs.own(data, again, found, document.found, stopped)
    if stopped and stopped.label == "mismatched_tag":
        wrong_root = any(one.label == "wrong_root" for one in found)
        if (
            wrong_root
            and again[stopped.start + 2 : stopped.end - 1].strip() == (root or "").encode()
        ):
            stopped = None  # the closing tag is right
    if stopped and stopped.label == "multiple_roots":
        found = [one for one in found if one.label != "wrong_root"]  # the root itself is lost
    rest = None
    if stopped and stopped.label == "text_after":
        rest = stopped.start
        found = [one for one in found if one.start < stopped.start]
    elif stopped:
        found.append(stopped)
    problems, rest = _in_characters(text, found, rest)
    return Reading(document.value, problems, rest)


def _unbound(data: bytes) -> Found | None:
    """What is wrong with the first prefix, colon or namespace that has a fault."""
    parser = expat.ParserCreate("utf-8", "}")
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        at = parser.ErrorByteIndex
        if error.code == _INVALID:
            start = max(data.rfind(sign, 0, at) for sign in (b"<", b"/", b" ", b"\t", b"\n", b"\r"))
            found = _COLONS.match(data, start + 1)
            name = found[0] if found else b""
            said = colons(name.decode("utf-8", "replace"))
            return Found("bad_name", start + 1, start + 1 + len(name), said)
        end = data.find(b">", at) + 1 or len(data)
        if error.code == _DUPLICATE:
            message = "two attributes have one name, since their prefixes have one namespace"
            return Found("duplicate_attribute", at, end, message)
        label = "unbound_prefix" if error.code == _UNBOUND else "bad_namespace"
        return Found(label, at, end, expat.ErrorString(error.code))
    return None


def _in_characters(
    text: str, found: list[Found], rest: int | None
) -> tuple[tuple[Problem, ...], int | None]:
    """The findings, with spans in bytes, as problems with spans in characters."""
    if text.isascii():
        where: Mapping[int, int] | None = None
    else:
        data = text.encode("utf-8", "surrogatepass")
        where, at, characters = {}, 0, 0
        for byte in sorted({0, rest or 0, *(b for one in found for b in (one.start, one.end))}):
            piece = data[at:byte]
            characters += len(piece.translate(None, _CONTINUATION))
            where[byte], at = characters, byte

    def character(byte: int) -> int:
        return byte if where is None else where[byte]

    problems = tuple(
        Problem(label, message or LABELS[label], character(start), character(end))
        for label, start, end, message in found
    )
    return problems, None if rest is None else character(rest)
