"""What is wrong inside a tag, from the tag and the first byte in it that expat could not accept.

in_tag(b"<d><f on>x</f></d>", 3, 8) -> Found("attribute_without_value", 6, 8, "on has no value")
in_tag(b"<f a='x'b='y'/>", 0, 8)    -> Found("malformed_tag", 8, 9, "no blank stands before b")
"""

from __future__ import annotations

from typing import Final, NamedTuple

from fmtharness.evaluators.possessive import re
from fmtharness.evaluators.xml.names import why

BLANK: Final = b" \t\r\n"
_BLANKS: Final = (b" ", b"\t", b"\r", b"\n")
_QUOTES: Final = (b'"', b"'")
_NAME: Final = rb"[^\s<>/=\"']++"
_WORD: Final = re.compile(rb"[^\s<>/=\"',;]*+")
_VALUE: Final = re.compile(rb"[^\s<>]*(?<!/)")
_CLOSING_WORDS: Final = re.compile(rb"[^<>]*+>?")
_WORDS: Final = re.compile(rb"<(" + _NAME + rb"(?:\s++" + _NAME + rb")+)\s*+/?>").match
_LAST_WORD: Final = re.compile(rb"[^\s<>/=\"']++(?=\s*+\Z)").search
_ATTRIBUTE: Final = re.compile(_NAME + rb"\s*+=\s*+[\"']").match
_LOST_QUOTE: Final = re.compile(
    rb".*=\s*+(\"[^\"]*|'[^']*)\s" + _NAME + rb"\s*+=\s*+[\"']\Z", re.DOTALL
).match
"""A value up to the opening quote of the next attribute, which closes it instead."""
_ATTRIBUTES: Final = (
    rb"<" + _NAME + rb"(?:\s++" + _NAME + rb"\s*+=\s*+(?:\"[^\"]*+\"|'[^']*+'))*"
    rb"\s++" + _NAME + rb"\s*+=\s*+"
)
_IN_QUOTES: Final = re.compile(_ATTRIBUTES + rb"(\"[^\"]*+|'[^']*+)\Z").match
_BEHIND_QUOTES: Final = re.compile(_ATTRIBUTES + rb"(\"[^\"]*+\"|'[^']*+')[^\"'<>=]*+\Z").match


class Found(NamedTuple):
    """One thing wrong, with its span in bytes."""

    label: str
    start: int
    end: int
    message: str = ""


def in_quotes(data: bytes, at: int) -> int | None:
    """Where the quote stands that is open at a byte inside a tag; None where none is."""
    tag = data.rfind(b"<", 0, at)
    found = _IN_QUOTES(data[tag:at]) if tag >= 0 else None
    return tag + found.start(1) if found else None


def never_closed(data: bytes, quote: int, at: int) -> Found:
    """The < at `at` in an attribute's value: one to be escaped, or the next tag's."""
    sign = data[quote : quote + 1]
    end = data.find(sign, at)
    closes = end > 0 and data[end - 1 : end] != b"=" and data[end + 1 : end + 2] in b" \t\r\n/>"
    ended = data.find(b">", quote, at)
    if ended >= 0 and re.search(rb"[<>]", data[at + 1 : end]):
        closes = False
    if closes:
        return Found("bare_less_than", at, at + 1, "a < inside an attribute's value")
    value = data[quote : ended if ended >= 0 else at].rstrip(BLANK).removesuffix(b"/")
    return Found("unclosed_quote", quote, quote + len(value))


def over_the_end(data: bytes, at: int) -> Found | None:
    """A quote that only a later text's quote closes, as in <a n=">say "hi", where `at` is at hi."""
    tag = data.rfind(b"<", 0, at)
    found = _BEHIND_QUOTES(data[tag:at]) if tag >= 0 else None
    if not found or b">" not in found[1]:
        return None
    quote = tag + found.start(1)
    return Found("unclosed_quote", quote, data.index(b">", quote))


def in_tag(data: bytes, tag: int, at: int) -> Found:
    """The mistake in the tag that begins at `tag`; no < stands between that and `at`."""
    said, here = data[tag:at], data[at : at + 1]
    if said.startswith(b"</"):
        return _closing(data, tag, at)
    if said == b"<" and here in _BLANKS:
        return Found("malformed_tag", tag, at + 1, "a blank stands behind <")
    if said.endswith(b"/"):
        end = data.find(b">", at) + 1 or at + 1
        return Found("malformed_tag", at - 1, end, "something stands between / and >")
    if said.rstrip(BLANK).endswith(b"="):
        return _value(data, tag, at)
    if here in _QUOTES:
        last = _LAST_WORD(said)
        start = tag + last.start() if last and last.start() > 1 else at
        message = "no = stands before an attribute's value"
        return Found("malformed_tag", start, at + 1, message)
    if here == b"=":
        return Found("malformed_tag", at, at + 1, "no name stands before =")
    if here and here in b",;" and said.rstrip(BLANK).endswith(_QUOTES):
        return Found("malformed_tag", at, at + 1, f"{here.decode()} stands between attributes")
    if said.endswith(_QUOTES):
        if open_value := _LOST_QUOTE(said):
            return Found("unclosed_quote", tag + open_value.start(1), tag + open_value.end(1))
        start, end = _word(data, at)
        message = f"no blank stands before {_said(data[start:end])}"
        return Found("malformed_tag", at, max(end, at + 1), message)
    words = _WORDS(data, tag)
    if words and data.find(b"</" + words[1], words.end()) >= 0:
        return Found("bad_name", *words.span(1), "a name holds no blank")
    last = _LAST_WORD(said)
    if last and last.start() > 1 and (said.endswith(_BLANKS) or here in (b">", b"/")):
        start, end = tag + last.start(), tag + last.end()
        message = f"{_said(data[start:end])} has no value"
        return Found("attribute_without_value", start, end, message)
    return bad_name(data, at)


def bad_name(data: bytes, at: int) -> Found:
    """The name around a byte that cannot stand in it."""
    start = at
    while start and not re.match(rb"[\s<>/=\"']", data[start - 1 : start]):
        start -= 1
    word = re.compile(rb"[^\s<>/=\"']*+").match(data, start)
    end = word.end() if word else at
    name = data[start:end].decode("utf-8", "replace")
    return Found("bad_name", start, end, why(name))


def _closing(data: bytes, tag: int, at: int) -> Found:
    """The mistake in a closing tag."""
    said, here = data[tag:at], data[at : at + 1]
    if said == b"</" and here in (*_BLANKS, b">"):
        message = "a tag has no name" if here == b">" else "a blank stands behind </"
        return Found("malformed_tag", tag, at + 1, message)
    if said == b"</" or not said.endswith(_BLANKS):
        return bad_name(data, at)
    words = _CLOSING_WORDS.match(data, at)
    end = words.end() if words else at + 1
    end -= data[end - 1 : end] == b">"
    return Found("malformed_tag", at, max(end, at + 1), "a closing tag holds nothing but a name")


def _value(data: bytes, tag: int, at: int) -> Found:
    """What stands behind an attribute's =."""
    found = _VALUE.match(data, at)
    end = found.end() if found else at
    if end > at and not _ATTRIBUTE(data, at):
        return Found("unquoted_attribute", at, end)
    sign = data.rindex(b"=", tag, at)
    last = _LAST_WORD(data[tag:sign])
    start = tag + last.start() if last else sign
    name = _said(data[start:sign].rstrip(BLANK))
    return Found("attribute_without_value", start, sign + 1, f"{name} has no value")


def _word(data: bytes, at: int) -> tuple[int, int]:
    found = _WORD.match(data, at)
    return found.span() if found else (at, at)


def _said(piece: bytes) -> str:
    return f"{piece.decode('utf-8', 'replace'):.40}"
