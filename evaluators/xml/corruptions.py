"""Breaks rendered XML the way models break it; each way is named by the label it is judged with.

    CORRUPTIONS["doctype"]("<data>\\n  <a>1</a>\\n</data>", Random(0))
        -> "<!DOCTYPE data SYSTEM \"data.dtd\">\\n<data>..."

The text must be as XmlFormat renders it. A corruption that does not apply gives None.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Final

from fmtharness.harness import surroundings
from fmtharness.harness.contracts import Corruption

_LEAF: Final = re.compile(r"<([^\s<>/]+)>([^<]*)</\1>")
_OPENING: Final = re.compile(r"<([^\s<>/]+)>")
_CLOSING: Final = re.compile(r"</([^\s<>]+)>")


def _one(
    text: str, rng: Random, found: Sequence[re.Match[str]], new: Callable[[re.Match[str]], str]
) -> str | None:
    """Put `new(match)` in place of one of the matches."""
    if not found:
        return None
    match = rng.choice(found)
    return text[: match.start()] + new(match) + text[match.end() :]


def _leaves(text: str) -> list[re.Match[str]]:
    return list(_LEAF.finditer(text))


def _no_value(text: str, rng: Random) -> str:
    pairs = {leaf[1]: leaf[2] for leaf in _leaves(text)}
    return json.dumps(pairs or {"data": text}, ensure_ascii=False, indent=rng.choice([None, 2]))


def _truncated(text: str, rng: Random) -> str:
    return text[: rng.randrange(1, len(text))]


def _multiple_roots(text: str, rng: Random) -> str | None:
    lines = text.split("\n")
    children = [line for line in lines if re.match(r"  <[^/]", line)]
    if len(children) > 1 and rng.random() < 0.5:
        return "\n".join(line[2:] if line.startswith("  ") else line for line in lines[1:-1])
    return text + "\n" + text


def _mismatched_tag(text: str, rng: Random) -> str | None:
    closing = list(_CLOSING.finditer(text))[:-1]
    return _one(text, rng, closing, lambda tag: rng.choice([f"</{tag[1]}s>", ""]))


def _unclosed_tag(text: str, rng: Random) -> str | None:
    closing = [tag for tag in _CLOSING.finditer(text) if text[tag.end() :].lstrip().startswith("<")]
    return _one(text, rng, closing, lambda tag: tag[0][:-1])


def _bare(entity: str, sign: str, added: str) -> Corruption:
    """`entity` is a pattern without the entities that would be read as something else."""

    def broken(text: str, rng: Random) -> str | None:
        if re.search(entity, text):
            return re.sub(entity, sign, text)
        leaves = [leaf for leaf in _leaves(text) if leaf[2].strip()]
        return _one(text, rng, leaves, lambda leaf: f"<{leaf[1]}>{leaf[2]}{added}</{leaf[1]}>")

    return broken


def _undefined_entity(text: str, rng: Random) -> str | None:
    name = rng.choice(["&nbsp;", "&eacute;", "&copy;"])
    return _one(text, rng, _leaves(text), lambda leaf: f"<{leaf[1]}>{leaf[2]}{name}</{leaf[1]}>")


def _unquoted_attribute(text: str, rng: Random) -> str | None:
    opening = list(_OPENING.finditer(text))
    return _one(text, rng, opening, lambda tag: f"<{tag[1]} id={rng.randrange(100)}>")


def _duplicate_attribute(text: str, rng: Random) -> str | None:
    opening = list(_OPENING.finditer(text))
    return _one(text, rng, opening, lambda tag: f'<{tag[1]} id="1" id="2">')


def _bad_name(text: str, rng: Random) -> str | None:
    leaves = [leaf for leaf in _leaves(text) if leaf[1] != "item"]

    def renamed(leaf: re.Match[str]) -> str:
        name = rng.choice([f"1{leaf[1]}", f"{leaf[1]} {leaf[1]}"])
        return f"<{name}>{leaf[2]}</{name}>"

    return _one(text, rng, leaves, renamed)


def _duplicate_key(text: str, rng: Random) -> str | None:
    leaves = [leaf for leaf in _leaves(text) if leaf[1] != "item" and leaf.start()]
    return _one(text, rng, leaves, lambda leaf: leaf[0] + leaf[0])


def _mixed_content(text: str, rng: Random) -> str | None:
    parents = list(re.finditer(r">(?=\n +<)", text))[:1]
    return _one(text, rng, parents, lambda sign: rng.choice([">\n  Here it is:", ">\n  Note."]))


def _doctype(text: str, rng: Random) -> str:
    dtd = ["<!DOCTYPE data>", '<!DOCTYPE data SYSTEM "data.dtd">', "<!DOCTYPE html>"]
    return rng.choice(dtd) + "\n" + text


def _processing_instruction(text: str, rng: Random) -> str:
    return '<?xml-stylesheet type="text/xsl" href="style.xsl"?>\n' + text


def _comment(text: str, rng: Random) -> str:
    said = rng.choice(["<!-- the record -->", "<!-- as asked for -->"])
    return said + "\n" + text if rng.random() < 0.5 else text + "\n" + said


def _bad_declaration(text: str, rng: Random) -> str:
    ways = ["\n<?xml version='1.0'?>", "<?xml version='1.1'?>", "<?xml?>", "<?xml version=1.0?>"]
    return rng.choice(ways) + "\n" + text


def _wrong_root(text: str, rng: Random) -> str:
    name = re.split(r"[\s>]", text[1:], maxsplit=1)[0]
    return f"<root{text[1 + len(name) : -1 - len(name)]}root>"


CORRUPTIONS: Final[Mapping[str, Corruption]] = {
    **surroundings.CORRUPTIONS,
    "no_value": _no_value,
    "truncated": _truncated,
    "multiple_roots": _multiple_roots,
    "mismatched_tag": _mismatched_tag,
    "unclosed_tag": _unclosed_tag,
    "bare_ampersand": _bare("&amp;(?![^\\s;&<]*;)", "&", " & more"),
    "bare_less_than": _bare("&lt;(?=[ =])", "<", " < 10"),
    "undefined_entity": _undefined_entity,
    "unquoted_attribute": _unquoted_attribute,
    "duplicate_attribute": _duplicate_attribute,
    "bad_name": _bad_name,
    "duplicate_key": _duplicate_key,
    "mixed_content": _mixed_content,
    "doctype": _doctype,
    "processing_instruction": _processing_instruction,
    "comment": _comment,
    "bad_declaration": _bad_declaration,
    "wrong_root": _wrong_root,
}
"""Ways to break a rendered document."""
