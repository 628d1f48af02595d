"""Finds the signs that are wrong wherever they stand, and what else follows only from them.

all_signs(b"<d>a & b</d>", ...) -> [Sign(Found("bare_ampersand", 5, 6), 5, b"+")]
covered(b"<d>a & b</d>", [...]) -> b"<d>a + b</d>"

A tag with a stray sign behind its < is read as the tag, so that nothing else seems wrong.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from fmtharness.evaluators.possessive import re
from fmtharness.evaluators.xml.tags import Found

_NAME: Final = rb"[A-Za-z_:\x80-\xff][-.\w:\x80-\xff]*"
_QUOTED: Final = r"""\"[^\"]*+\"|'[^']*+'"""
_SUBSET: Final = (
    rf"(?:[^\]\"'<]|{_QUOTED}|<!--(?:.*?-->|.*)|<\?(?:.*?\?>|.*)|<(?!!--|\?))*+(?:\]\s*+>|.*)"
)
DOCTYPE: Final = rf"<!doctype(?:[^\[<>\"']|{_QUOTED})*+(?:>|\[{_SUBSET})"
"""A document type declaration, up to the text's end if it has no end; for patterns with DOTALL."""
_STRAY: Final = rb"[^\w\s<>/:!?.\x80-\xff-]"
_SIGNS: Final = re.compile(
    rb"<!\[CDATA\[(?:.*?\]\]>|.*)|<!--(?:.*?-->|.*)|<\?(?:.*?\?>|.*)"
    rb"|(?P<doctype>" + DOCTYPE.encode() + rb")"
    rb"|(?P<no_tag><" + _STRAY + rb"++!\[CDATA\[(?:.*?\]\]>|.*))"
    rb"|(?P<no_name><{1,3}+/?>)"
    rb"|(?P<stray><(?P<signs>" + _STRAY + rb"++)(?=/?+(?P<tag>" + _NAME + rb")[\s/>])(?=[^<>]*+>))"
    rb"|(?P<like_a_tag><(?!\d)" + _STRAY + rb"[^\s<>]*+(?:\s++" + _NAME + rb"\s*+=\s*+"
    rb"(?:\"[^\"<]*+\"|'[^'<]*+'))*+\s*+/?+>)"
    rb"|(?P<undefined_entity>&(?!(?:amp|lt|gt|quot|apos);)" + _NAME + rb";)"
    rb"|(?P<bare_ampersand>&(?!(?:#\d+|#x[\da-f]+|" + _NAME + rb");|#?\w*\Z))"
    rb"|(?P<bare_less_than><(?![a-z_:/!?\x80-\xff]|\s++/|[\d.-][-.\w]*+(?:\s*+/?>|\s++"
    + _NAME
    + rb"\s*+=\s*+[\"'])|\Z))",
    re.DOTALL | re.IGNORECASE,
)
_OPENED: Final = re.compile(rb"<\s*+([^\s<>/]++)")
_RUINED: Final = re.compile(rb"<{1,3}+(?:[^\s<]|\s[^\s<>][^<>]{0,80}+>)|&{1,3}+/?+[^\s<>&]{1,80}+>")
"""What a sign begins that was meant to be in a tag."""
_ROOT_NAME: Final = re.compile(rb"(?:<[?!][^<>]*+>|\s)*+<([^\s<>/]++)")
_PLUS: Final = b"+"[0]
_NAMED: Final = re.compile(rb"</?+(" + _NAME + rb")[\s/>]")
_CLOSED: Final = re.compile(rb"</([^\s<>]++)")


class Sign(NamedTuple):
    """What is wrong, and the bytes that stand in for it and what belongs to it when read again."""

    found: Found
    start: int
    filler: bytes


def all_signs(data: bytes, stopped: Found) -> list[Sign]:
    """Every sign that is wrong wherever it stands; no < of a tag that is closed, such as <$a>."""
    closed = {*_CLOSED.findall(data)}
    nameless = b"</>" in data
    named = {*_NAMED.findall(data)}
    found = []
    for match in _SIGNS.finditer(data):
        start, end = match.span()
        tag = _OPENED.match(data, start)
        if tag and tag[1] in closed and match.lastgroup:
            continue
        if match["stray"] and match["tag"] in named:
            signs = match.span("signs")
            label = "bad_character" if data[signs[0]] < 0x20 else "malformed_tag"
            said = f"{data[slice(*signs)].decode('utf-8', 'replace'):.40} stands behind <"
            filler = b" " * (signs[1] - signs[0]) + b"<"
            found.append(Sign(Found(label, *signs, said), start, filler))
        elif match["stray"] and data[start + 1] < 0x20:
            sign = Found("bad_character", start + 1, start + 2)
            found.append(Sign(sign, start, b" " * (data.index(b">", end) + 1 - start)))
        elif match["stray"]:
            sign = Found("bare_less_than", start, start + 1)
            found.append(Sign(sign, start, b" " * (data.index(b">", end) + 1 - start)))
        elif match["no_name"]:
            before = data[max(start - 100, 0) : start].rstrip()
            if b"</>" in data[start:end] or nameless or before.endswith(b">"):
                sign = Found("malformed_tag", start, end, "a tag has no name")
                found.append(Sign(sign, start, b" " * (end - start)))
            else:
                found.append(_sign(Found("bare_less_than", start, start + 1)))
        elif match["no_tag"] or match["like_a_tag"]:
            sign = Found("bare_less_than", start, start + 1)
            found.append(Sign(sign, start, b" " * (end - start)))
        elif match.lastgroup:
            found.append(_sign(Found(match.lastgroup, start, end)))
    return found


def _sign(found: Found) -> Sign:
    filler = b" " if found.label in ("doctype", "text_before") else b"+"
    return Sign(found, found.start, filler * (found.end - found.start))


def prolog(data: bytes, stopped: Found) -> list[Sign]:
    """Text between the XML declaration and the root element."""
    return [_sign(stopped)] if stopped.label == "text_before" else []


def covered(data: bytes, signs: list[Sign]) -> bytes:
    covered = bytearray(data)
    for sign in signs:
        covered[sign.start : sign.start + len(sign.filler)] = sign.filler
    return bytes(covered)


def own(
    data: bytes, covered: bytes, signs: list[Found], found: list[Found], stopped: Found | None
) -> tuple[list[Found], Found | None]:
    """What is wrong by itself, without what only follows from something else that is."""
    if stopped and stopped.label == "truncated" and (last := _last_tag(data, found)):
        return [one for one in (*signs, *found) if one.start < last.start], last
    if stopped and stopped.label == "mismatched_tag" and (tag := _swapped(covered, found, stopped)):
        return [one for one in (*signs, *found) if one.start != tag.start], tag
    if stopped and stopped.label not in ("text_after", "multiple_roots", "doctype"):
        signs = _outside(data, signs, stopped)
    if stopped and any(_ruins(data, sign, stopped) for sign in signs):
        stopped = None
    kept = []
    for one in found:
        alone = not covered[one.start : one.end].strip(b"+ \t\r\n")
        if one.label != "mixed_content" or not alone or data[one.start] == _PLUS:
            kept.append(one)
    return signs + kept, stopped


def _outside(data: bytes, signs: list[Found], stopped: Found) -> list[Found]:
    """The signs without those that are the fault of a broken tag or name, or of its twins."""
    inside = next((one for one in signs if stopped.start <= one.start < stopped.end), None)
    if not inside:
        return signs
    into, name = inside.start - stopped.start, data[stopped.start : stopped.end]
    twins = stopped.label == "bad_name" and len(name) < 200
    return [
        one
        for one in signs
        if not stopped.start <= one.start < stopped.end
        and not (twins and one.start >= into and data.startswith(name, one.start - into))
    ]


def _ruins(data: bytes, sign: Found, stopped: Found) -> bool:
    """Whether expat stopped only because the sign stands where a tag was meant to be."""
    if sign.label not in ("bare_less_than", "malformed_tag", "bad_character", "bare_ampersand"):
        return False
    if stopped.label in ("bad_name", "malformed_tag"):
        return sign.label == "bare_less_than" and 0 <= stopped.start - sign.end <= 3
    if stopped.label not in ("mismatched_tag", "truncated", "syntax_error"):
        return False
    if sign.start >= stopped.start:
        return False
    if sign.label in ("bare_less_than", "bare_ampersand"):
        return bool(_RUINED.match(data, sign.start))
    return sign.label == "malformed_tag" or data[sign.start - 1 : sign.start] == b"<"


def _last_tag(data: bytes, found: list[Found]) -> Found | None:
    """The closing tag of the root at the text's end, where it is not a tag: /data>, </>data."""
    root = _ROOT_NAME.match(data)
    texts = [one.start for one in found if one.label == "mixed_content"]
    end = len(data.rstrip())
    if not root or not texts or end - texts[-1] > len(root[1]) + 20:
        return None
    start = texts[-1]
    if root[1] not in data[start:end]:
        return None
    return Found("malformed_tag", start, end, "the root's closing tag is broken")


def _swapped(covered: bytes, found: list[Found], stopped: Found) -> Found | None:
    """An opening tag whose < stands behind the first letters of its name: n<ote>x</note>."""
    closing = covered[stopped.start + 2 : stopped.end].rstrip(b"> \t\r\n")
    for one in found:
        tag = _OPENED.match(covered, one.end) if one.label == "mixed_content" else None
        if tag and covered[one.start : one.end] + tag[1] == closing:
            message = "the < stands behind the beginning of the name"
            return Found("malformed_tag", one.start, tag.end(), message)
    return None
