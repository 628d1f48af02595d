"""Breaks rendered XML the way models break it; each way is named by the label it is judged with.

    CORRUPTIONS["doctype"]("<data>\\n  <a>1</a>\\n</data>", Random(0))
        -> "<!DOCTYPE data SYSTEM \"data.dtd\">\\n<data>..."

The text must be as XmlFormat renders it. A corruption that does not apply gives None.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Final

from fmtharness.evaluators.possessive import re
from fmtharness.harness import surroundings
from fmtharness.harness.contracts import Corruption

_LEAF: Final = re.compile(r"<([^\s<>/]+)>([^<]*)</\1>")
_OPENING: Final = re.compile(r"<([^\s<>/]+)>")
_OPENING_NAME: Final = re.compile(r"<([^\s<>/]+)")
_TAG: Final = re.compile(r"<([^\s<>/?!]+)((?: [^<>]*?)?\s*/?)>")
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
    start = _behind_declaration(text)
    root = text[start:]
    lines = root.split("\n")
    children = [line for line in lines if re.match(r"  <[^/]", line)]
    if len(children) > 1 and rng.random() < 0.5:
        inner = [line.removeprefix("  ") for line in lines[1:-1]]
        return text[:start] + "\n".join(inner)
    return text + "\n" + root


def _behind_declaration(text: str) -> int:
    """Where the root element begins."""
    return text.find("?>\n") + 3 if text.startswith("<?") else 0


def _before_root(text: str, said: str) -> str:
    start = _behind_declaration(text)
    return f"{text[:start]}{said}\n{text[start:]}"


def _mismatched_tag(text: str, rng: Random) -> str | None:
    closing = list(_CLOSING.finditer(text))[:-1]
    way = rng.choice(["plural", "lost", "capital", "other"])

    def broken(tag: re.Match[str]) -> str:
        other = {"plural": tag[1] + "s", "capital": tag[1].swapcase(), "other": "value"}
        return f"</{other[way]}>" if way in other else ""

    return _one(text, rng, [tag for tag in closing if tag[1] != "value"], broken)


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


def _tags(text: str) -> list[re.Match[str]]:
    """The opening tags, attributes included."""
    return list(_TAG.finditer(text))


def _added(*attributes: str) -> Corruption:
    """One of the pieces behind a tag's name and attributes."""

    def broken(text: str, rng: Random) -> str | None:
        said = rng.choice(attributes)
        return _one(text, rng, _tags(text), lambda tag: f"<{tag[1]}{said}{tag[2]}>")

    return broken


def _malformed_tag(text: str, rng: Random) -> str | None:
    way = rng.randrange(3)
    if way == 0:
        said = rng.choice([' id="1"', " id", " / "])
        closing = list(_CLOSING.finditer(text))
        return _one(text, rng, closing, lambda tag: f"</{tag[1]}{said}>")
    if way == 1:
        closing = list(_CLOSING.finditer(text))
        said = rng.choice(["< /", "</ "])
        return _one(text, rng, closing, lambda tag: f"{said}{tag[1]}>")
    said = rng.choice(
        [' a="x"b="y"', ' a="x", b="y"', ' a="x";', ' ="x"', ' "x"', ' a "x"', " =", ' a:"x"']
    )
    return _one(text, rng, _tags(text), lambda tag: f"<{tag[1]}{said}{tag[2]}>")


def _bad_name(text: str, rng: Random) -> str | None:
    leaves = [leaf for leaf in _leaves(text) if leaf[1] != "item"]
    way = rng.choice(
        ["1{0}", "{0} {0}", "{0}?", "${0}", "\u2c00{0}", "{0}\u0487", "{0}(EUR)", ".{0}"]
    )
    if rng.random() < 0.2:
        said = rng.choice(['1a="x"', '\u2c00="x"', '$a="x"', 'a?="x"'])
        return _one(text, rng, _tags(text), lambda tag: f"<{tag[1]} {said}{tag[2]}>")

    def renamed(leaf: re.Match[str]) -> str:
        name = way.format(leaf[1])
        return f"<{name}>{leaf[2]}</{name}>"

    return _one(text, rng, leaves, renamed)


def _unbound_prefix(text: str, rng: Random) -> str | None:
    prefix = rng.choice(["xs", "ns", "dc", "soap"])

    def prefixed(leaf: re.Match[str]) -> str:
        return f"<{prefix}:{leaf[1]}>{leaf[2]}</{prefix}:{leaf[1]}>"

    if rng.random() < 0.7:
        return _one(text, rng, [leaf for leaf in _leaves(text) if leaf[1] != "item"], prefixed)
    leaves = _leaves(text)
    typed = f'{prefix}:type="x"'
    return _one(text, rng, leaves, lambda leaf: f"<{leaf[1]} {typed}>{leaf[2]}</{leaf[1]}>")


def _bad_namespace(text: str, rng: Random) -> str | None:
    bound = ['xmlns="two words"', 'xmlns:xml="urn:a"', 'xmlns:a="{urn:a}"', 'xmlns:a="urn:\u00e9"']
    said = rng.choice([*bound, 'xmlns:a="http://www.w3.org/XML/1998/namespace"', 'xmlns:a=""'])
    leaves = _leaves(text)
    return _one(text, rng, leaves, lambda leaf: f"<{leaf[1]} {said}>{leaf[2]}</{leaf[1]}>")


def _in_leaf(*pieces: str) -> Corruption:
    """One of the pieces at the end of an element's text."""

    def broken(text: str, rng: Random) -> str | None:
        said = rng.choice(pieces)
        return _one(
            text, rng, _leaves(text), lambda leaf: f"<{leaf[1]}>{leaf[2]}{said}</{leaf[1]}>"
        )

    return broken


def too_deep(max_depth: int) -> Corruption:
    """Nest more elements than are allowed in one of the document's."""

    def broken(text: str, rng: Random) -> str | None:
        name = rng.choice(["item", "child", "a"])
        deep = f"<{name}>" * max_depth + f"</{name}>" * max_depth
        return _one(text, rng, _leaves(text), lambda leaf: f"<{leaf[1]}>{deep}</{leaf[1]}>")

    return broken


def _duplicate_key(text: str, rng: Random) -> str | None:
    leaves = [leaf for leaf in _leaves(text) if leaf[1] != "item" and leaf.start()]
    return _one(text, rng, leaves, lambda leaf: leaf[0] + leaf[0])


def _mixed_content(text: str, rng: Random) -> str | None:
    parents = list(re.finditer(r">(?=\n +<)", text))[:1]
    return _one(text, rng, parents, lambda sign: rng.choice([">\n  Here it is:", ">\n  Note."]))


def _doctype(text: str, rng: Random) -> str:
    dtd = ["<!DOCTYPE data>", '<!DOCTYPE data SYSTEM "data.dtd">', "<!DOCTYPE html>"]
    return _before_root(text, rng.choice(dtd))


def _processing_instruction(text: str, rng: Random) -> str | None:
    said = rng.choice(['<?xml-stylesheet type="text/xsl" href="style.xsl"?>', "<?php echo 1; ?>"])
    way = rng.randrange(3)
    if way == 0:
        return _before_root(text, said)
    return text + "\n" + said if way == 1 else _within(text, rng, said)


def _comment(text: str, rng: Random) -> str | None:
    said = rng.choice(
        ["<!-- the record -->", "<!-- as asked for -->", "<!---->", "<!-- a -- b -->"]
    )
    way = rng.randrange(3)
    if way == 0:
        return _before_root(text, said)
    return text + "\n" + said if way == 1 else _within(text, rng, said)


def _within(text: str, rng: Random, said: str) -> str | None:
    """Put something behind one of the document's closing tags, not the last."""
    closing = list(_CLOSING.finditer(text))[:-1]
    return _one(text, rng, closing, lambda tag: tag[0] + said)


def _bad_declaration(text: str, rng: Random) -> str | None:
    if text.startswith("<?"):
        return "\n" + text
    ways = ["\n<?xml version='1.0'?>", "<?xml version='1.1'?>", "<?xml?>", "<?xml version=1.0?>"]
    return rng.choice(ways) + "\n" + text


def _wrong_root(text: str, rng: Random) -> str | None:
    root = _OPENING_NAME.match(text, _behind_declaration(text))
    if not root or not text.endswith(f"</{root[1]}>"):
        return None
    name = rng.choice(["xml", "response", "output", root[1].title(), root[1] + "s"])
    return f"{text[: root.start(1)]}{name}{text[root.end(1) : -1 - len(root[1])]}{name}>"


CORRUPTIONS: Final[Mapping[str, Corruption]] = {
    **surroundings.CORRUPTIONS,
    "no_value": _no_value,
    "truncated": _truncated,
    "multiple_roots": _multiple_roots,
    "mismatched_tag": _mismatched_tag,
    "unclosed_tag": _unclosed_tag,
    "bare_ampersand": _bare("&amp;(?![^\\s;&<]*;)", "&", " & more"),
    "bare_less_than": _bare("&lt;(?=[ =])", "<", " < 10"),
    "undefined_entity": _in_leaf("&nbsp;", "&eacute;", "&copy;", "&mdash;", "&euro;"),
    "unquoted_attribute": _added(
        " n=1", " n=1.5", " n=Oslo", " n=a-b", " n=\u201cx\u201d", ' n=x"'
    ),
    "attribute_without_value": _added(" disabled", " n=", " n =", ' n="1" checked', " new"),
    "unclosed_quote": _added(' n="x', " n='x", " n=\"x'", ' n="', ' m="1" n="two words'),
    "duplicate_attribute": _added(' n="1" n="2"', ' n="1" n="1"', " n='1' m='2' n=\"3\""),
    "malformed_tag": _malformed_tag,
    "bad_name": _bad_name,
    "unbound_prefix": _unbound_prefix,
    "bad_namespace": _bad_namespace,
    "bad_character": _in_leaf(
        "\x00", "\x0b", "\x1b[1m", "&#0;", "&#x1F;", "&#xD800;", "\ufffe", "\ud83d"
    ),
    "syntax_error": _in_leaf("]]>", " ]]> "),
    "duplicate_key": _duplicate_key,
    "mixed_content": _mixed_content,
    "doctype": _doctype,
    "processing_instruction": _processing_instruction,
    "comment": _comment,
    "bad_declaration": _bad_declaration,
    "wrong_root": _wrong_root,
}
"""Ways to break a document; the format adds `too_deep`, which needs its limit."""
