"""Which names XML allows: by the fifth edition of XML 1.0, and by the fourth, which expat follows.

    why("1a")     -> "1a begins with 1, and a name begins with a letter or _"
    why("\\u2c00") -> "... is allowed by XML's fifth edition, but many parsers follow the fourth"

The fifth edition (2008) allows nearly every letter of Unicode, the fourth those of Unicode 2.0, and
all names of the fourth are names of the fifth. A name that passes is one by both.
"""

from __future__ import annotations

from typing import Final

from fmtharness.evaluators.possessive import re

_START: Final = (
    ":A-Z_a-z\\xc0-\\xd6\\xd8-\\xf6\\xf8-\\u02ff\\u0370-\\u037d\\u037f-\\u1fff\\u200c\\u200d\\u2070-\\u218f"
    "\\u2c00-\\u2fef\\u3001-\\ud7ff\\uf900-\\ufdcf\\ufdf0-\\ufffd\\U00010000-\\U000effff"
)
"""What a name begins with by the fifth edition (NameStartChar), as a set in a pattern."""
_MORE: Final = _START + "\\-.0-9\\xb7\\u0300-\\u036f\\u203f\\u2040"
_BEGINS: Final = re.compile(f"[{_START}]").match
_WHOLE: Final = re.compile(f"[{_START}][{_MORE}]*+").fullmatch
_WRONG: Final = re.compile(f"[^{_MORE}]").search
_SIGN: Final = r"(?:[\w.~!$&'()*+,;=@/?-]|%[0-9a-fA-F]{2})"
_ANY: Final = rf"(?:{_SIGN}|:)"
_URI: Final = re.compile(
    rf"(?:[a-zA-Z][a-zA-Z0-9+.-]*+:(?://[\w.~-]*+(?::[0-9]{{1,5}})?(?:[/?]{_ANY}*+)?|(?!//){_ANY}*+)"
    rf"|(?!//){_SIGN}*+)(?:#{_ANY}*+)?",
    re.ASCII,
).fullmatch


def is_uri(name: str) -> bool:
    """Whether a namespace's name is a URI to every parser: of RFC 3986, in its common forms.

    is_uri("http://a.b/c") -> True   is_uri("urn:a:b") -> True   is_uri("two words") -> False
    """
    return bool(_URI(name))


def why(name: str) -> str:
    """Why expat refuses a name; "" for an empty one, or if nothing is wrong with it."""
    if not name:
        return ""
    if _WHOLE(name):
        return f"{name:.40} is allowed by XML's fifth edition, but many parsers follow the fourth"
    if not _BEGINS(name):
        return f"{name:.40} begins with {name[0]}, and a name begins with a letter or _"
    wrong = _WRONG(name)
    return f"{name:.40} holds {wrong[0]}, which no name does" if wrong else ""


def colons(name: str) -> str:
    """Why a name is invalid in a document with namespaces, where a colon ends its prefix."""
    if name.count(":") > 1:
        return f"{name:.40} holds more than one colon"
    if name.startswith(":") or name.endswith(":"):
        return f"{name:.40} has a colon, but no name on one side of it"
    return why(name.rpartition(":")[2])
