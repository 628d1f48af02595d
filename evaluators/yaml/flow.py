"""Says whether js-yaml 5.4.1 would read a text that starts with `{` as one mapping.

    reads("{'a': True, b: [1, 2,],}") -> (True, 15), the steps it took
    reads('{"a" "b"}')                -> (False, 3)

YAML's flow style contains nearly all of JSON and allows more: bare and single-quoted strings,
comments, trailing commas, keys without values. This recognizes only that style, by the rules of
js-yaml's parser and constructor with the limits and the schema that promptfoo gives them (the types
of js-yaml 4, repeated keys allowed). It builds nothing and does not recurse.

Where it differs: tags (`!x`), merge keys (`<<`), a mapping that is itself a key at the root
(`{}: 1`), an alias behind an anchor and document markers (`---`) are always refused here; js-yaml
takes a few such texts.
"""

from __future__ import annotations

from typing import Final

import msgspec

from fmtharness.evaluators.possessive import re

MAX_DEPTH: Final = 99
"""A node inside this many open collections exceeds js-yaml's `maxDepth`, which is 100 and counts
the document too."""

_WS: Final = r" \t\r\n"
_FLOW: Final = r",\[\]{}"
_BAD: Final = r"\x00-\x08\x0b\x0c\x0e-\x1f"
_ESCAPE: Final = r'\\(?:[0abt\tnvfre "/\\N_LP\r\n]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})'
_SPACE: Final = re.compile(rf"(?:[{_WS}]++|(?<=[{_WS}])#[^\r\n]*+)*+").match
_QUOTED: Final = re.compile(
    rf'"[^"\\{_BAD}]*+(?:{_ESCAPE}[^"\\{_BAD}]*+)*+"' rf"|'[^'{_BAD}]*+(?:''[^'{_BAD}]*+)*+'"
).match
_PLAIN: Final = re.compile(
    rf"""(?![{_WS}{_FLOW}#&*!|>'"%@`]|[?-](?:[{_WS}{_FLOW}]|\Z))"""
    rf"(?:[^:#{_FLOW}]|:(?![{_WS}{_FLOW}]|\Z)|(?<![{_WS}])#)++"
).match
_ANCHOR: Final = re.compile(rf"&([^{_WS}{_FLOW}]++)").match
_UNINDENTED: Final = re.compile(r"[\r\n](?! )[^\r\n]*+\Z").search
_ALIAS: Final = re.compile(rf"\*([^{_WS}{_FLOW}]++)").match
_MARKER: Final = re.compile(rf"[\r\n](?:---|\.\.\.)(?:[{_WS}]|\Z)").search
_NO_PLAIN_KEY: Final = re.compile(
    rf"(?:<<|[0-9]{{4}}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01]))[{_WS}]*+"
).fullmatch
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff\ud800-\udfff]"
).search

# What may come next in a collection.
_ENTRY: Final = 0
_COLON: Final = 1
_COMMA: Final = 2

# What a key or an item was; js-yaml puts no collection and no date into an object's key.
_NOTHING: Final = 0
_KEY: Final = 1
_NO_KEY: Final = 2


class _Collection(msgspec.Struct):
    close: str
    state: int = _ENTRY
    node: int = _NOTHING
    """The key or item that was read last."""
    explicit: bool = False
    """Whether a question mark opened the entry."""
    entry: int = 0
    """Where the entry starts."""


def reads(text: str) -> tuple[bool, int]:
    """Whether js-yaml reads all of `text`, which starts with `{`; and how many steps it took."""
    if "\0" in text or _MARKER(text):
        return False, 1
    reader = _Reader(text)
    while reader.stack and reader.step():
        reader.steps += 1
    return not reader.stack and reader.space() == len(text), reader.steps


class _Reader:
    __slots__ = ("anchors", "pos", "stack", "steps", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.pos = 1
        self.stack = [_Collection("}")]
        self.anchors: set[str] = set()
        self.steps = 1

    def space(self) -> int:
        """Skip whitespace and comments."""
        match = _SPACE(self.text, self.pos)
        self.pos = match.end() if match else self.pos
        return self.pos

    def step(self) -> bool:
        """Read one entry's start, colon, comma or end; False where js-yaml would refuse."""
        top = self.stack[-1]
        char = self.text[self.space() : self.pos + 1]
        if top.state == _COLON:
            return self._after_key(top, char)
        if char == top.close:
            self.pos += 1
            self.stack.pop()
            return True
        if top.state == _COMMA:
            self.pos += 1
            top.state = _ENTRY
            return char == ","
        if char in ("", ","):
            return False
        following = self.text[self.pos + 1 : self.pos + 2]
        top.explicit = char == "?" and following in (" ", "\t", "\r", "\n")
        if top.explicit:
            self.pos += 1
            self.space()
        top.state, top.entry = _COLON, self.pos
        return self._node(top)

    def _after_key(self, top: _Collection, char: str) -> bool:
        mapping = top.close == "}"
        pair = char == ":" and (
            mapping or top.explicit or not re.search(r"[\r\n]", self.text[top.entry : self.pos])
        )
        if top.node == _NO_KEY and (mapping or pair or top.explicit):
            return False
        top.state = _COMMA
        if not pair:
            return top.explicit or top.node != _NOTHING
        self.pos += 1
        self.space()
        return self._node(top)

    def _node(self, top: _Collection) -> bool:
        """Read a scalar or step into a collection, if one stands here."""
        top.node = _NOTHING
        if len(self.stack) >= MAX_DEPTH:
            return False
        if match := _ANCHOR(self.text, self.pos):
            self.anchors.add(match[1])
            self.pos = match.end()
            top.node = _KEY
            if _UNINDENTED(self.text[match.end() : self.space()]):
                return True  # The anchor names nothing, for what follows is not indented.
        char = self.text[self.pos : self.pos + 1]
        if char in ("{", "["):
            self.pos += 1
            top.node = _NO_KEY
            self.stack.append(_Collection("}" if char == "{" else "]"))
            return True
        if char in ('"', "'"):
            match = _QUOTED(self.text, self.pos)
        elif char == "*":
            match = _ALIAS(self.text, self.pos)
            if not match or top.node or match[1] not in self.anchors:
                return False
        else:
            match = _PLAIN(self.text, self.pos)
            if not match:
                return char not in ("!", "&")
            if _UNPRINTABLE(match[0].rstrip(" \t\r\n")):
                return False
        if not match:
            return False
        top.node = _NO_KEY if _NO_PLAIN_KEY(match[0]) else _KEY
        self.pos = match.end()
        return True
