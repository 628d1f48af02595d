"""Explains why expat stopped: a label and a message from its error and the bytes around it.

    explained(b"<d><a b=c>x</a></d>", 4, 8, ["d"], True) -> Found("unquoted_attribute", 8, 9, ...)

Expat gives one code for most mistakes (4, "invalid token") and the first byte that it could not
accept; the tag or the text before that byte shows which mistake it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from xml.parsers.expat import errors

from fmtharness.evaluators.possessive import re
from fmtharness.evaluators.xml.tags import (
    BLANK,
    Found,
    in_quotes,
    in_tag,
    never_closed,
    over_the_end,
)

_SYNTAX = errors.codes[errors.XML_ERROR_SYNTAX]
_MISMATCH = errors.codes[errors.XML_ERROR_TAG_MISMATCH]
_DUPLICATE = errors.codes[errors.XML_ERROR_DUPLICATE_ATTRIBUTE]
_JUNK = errors.codes[errors.XML_ERROR_JUNK_AFTER_DOC_ELEMENT]
_BAD_REFERENCE = errors.codes[errors.XML_ERROR_BAD_CHAR_REF]
_DECLARATIONS = (
    errors.codes[errors.XML_ERROR_MISPLACED_XML_PI],
    errors.codes[errors.XML_ERROR_XML_DECL],
    errors.codes[errors.XML_ERROR_UNKNOWN_ENCODING],
    errors.codes[errors.XML_ERROR_INCORRECT_ENCODING],
)
_ENDS = (
    errors.codes[errors.XML_ERROR_NO_ELEMENTS],
    errors.codes[errors.XML_ERROR_UNCLOSED_TOKEN],
    errors.codes[errors.XML_ERROR_PARTIAL_CHAR],
    errors.codes[errors.XML_ERROR_UNCLOSED_CDATA_SECTION],
)
_NO_CHARACTER: Final = re.compile(
    rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|\xed[\xa0-\xbf][\x80-\xbf]|\xef\xbf[\xbe\xbf]"
)
_BLANKS: Final = (b" ", b"\t", b"\r", b"\n")
_ROOT: Final = re.compile(rb"<[A-Za-z_:\x80-\xff]")
_ATTRIBUTE: Final = re.compile(rb"[^\s=]+\s*=\s*(?:\"[^\"]*\"|'[^']*')")


def explained(
    data: bytes, code: int, at: int, open_elements: Sequence[str], started: bool
) -> Found:
    """Expat's error as a label and a span, given which elements are open and if any ever was."""
    if started and not open_elements:
        return _after(data, at)
    if code in _ENDS:
        cut = len(data.rstrip(BLANK))
        if data[cut - 1 : cut] == b">" and (quote := in_quotes(data, cut)) is not None:
            return never_closed(data, quote, cut)
        names = ", ".join(f"<{name:.40}>" for name in open_elements[-3:])
        message = f"{len(open_elements)} elements are open at the end: {names}" if names else ""
        return Found("truncated", len(data), len(data), message)
    if code == _MISMATCH:
        end = _end(data, b">", at)
        closing = data[at - 2 : end].decode("utf-8", "replace")
        message = f"{closing:.40} stands where <{open_elements[-1]:.40}> is open"
        return Found("mismatched_tag", at - 2, end, message)
    if code == _DUPLICATE:
        attribute = _ATTRIBUTE.match(data, at)
        return Found("duplicate_attribute", at, attribute.end() if attribute else at)
    if code == _BAD_REFERENCE:
        return Found("bad_character", at, _end(data, b";", at))
    if code in _DECLARATIONS:
        at = max(data.rfind(b"<?", 0, at + 2), 0)
        return Found("bad_declaration", at, _end(data, b">", at))
    if code == _SYNTAX and not started and data[at : at + 1] != b"<":
        end = data.find(b"<", at)
        said = data[at : end if end > 0 else len(data)].rstrip(BLANK)
        return Found("text_before", at, at + len(said))
    return _token(data, at)


def _after(data: bytes, at: int) -> Found:
    """What follows the root element."""
    end = data.rfind(b">", 0, at) + 1
    at = end + len(data[end:at]) - len(data[end:at].lstrip(BLANK)) if at > end else at
    if data.startswith(b"</", at):
        stop = _end(data, b">", at)
        return Found("mismatched_tag", at, stop, "a closing tag follows the root element")
    if data[at : at + 9].lower() == b"<!doctype":
        return Found("doctype", at, _end(data, b">", at))
    if data.startswith(b"<!--", at) and (stop := data.find(b"-->", at)) > 0:
        return Found("comment", at, stop + 3, "two hyphens inside a comment")
    if data[at : at + 5].lower() == b"<?xml":
        return Found("multiple_roots", at, len(data.rstrip(BLANK)))
    if _ROOT.match(data, at):
        return Found("multiple_roots", at, max(data.rfind(b">") + 1, at + 1))
    return Found("text_after", at, len(data))


def _token(data: bytes, at: int) -> Found:
    """The mistake behind an invalid token, by the tag that is open there."""
    if wrong := _NO_CHARACTER.match(data, at):
        return Found("bad_character", *wrong.span())
    if data[at : at + 1] == b"<" and (quote := in_quotes(data, at)) is not None:
        return never_closed(data, quote, at)
    if lost := over_the_end(data, at):
        return lost
    tag = data.rfind(b"<", 0, at)
    if tag < 0 or b">" in data[tag:at]:
        tag = at if data[at : at + 1] == b"<" else -1
    if tag < 0 and data[at - 2 : at + 1] == b"]]>":
        return Found("syntax_error", at - 2, at + 1, "]]> outside of CDATA")
    if tag < 0:
        return Found("syntax_error", at, min(at + 1, len(data)))
    said = data[tag:at]
    if data[tag : tag + 9].lower() == b"<!doctype":
        return Found("doctype", tag, _end(data, b">", tag))
    if said.startswith(b"<!--"):
        return Found("comment", tag, _end(data, b"-->", tag), "two hyphens inside a comment")
    if said.lower().startswith(b"<?xml"):
        return Found("bad_declaration", tag, _end(data, b">", tag))
    if data[at : at + 1] == b"<":
        if said.startswith(b"</") or not tag or data[tag - 1 : tag] in (b">", *_BLANKS):
            return Found("unclosed_tag", tag, at)
        return Found("bare_less_than", tag, tag + 1)
    return in_tag(data, tag, at)


def _end(data: bytes, sign: bytes, at: int) -> int:
    """Behind the next such sign, or else the end."""
    found = data.find(sign, at)
    return len(data) if found < 0 else found + len(sign)
