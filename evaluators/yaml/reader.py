"""Reads one YAML document of the strict subset from libyaml's events, without recursion.

    read("a: 1\nb: [x]")    -> Parsed(value={"a": 1, "b": ["x"]})
    read("a: yes\na: b: c") -> problems ambiguous_scalar at 3:6, duplicate_key at 7:8,
                               unquoted_colon at 11:12

An error ends libyaml's events. If the mistake is small, such as an unquoted colon, it is replaced
at the same length and the text is read again, to find the mistakes behind it too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal

import msgspec
import yaml

from fmtharness.evaluators.possessive import re
from fmtharness.evaluators.yaml.consequences import (
    brought,
    cut_by_comment,
    follows,
    kept_before,
    without_colon,
)
from fmtharness.evaluators.yaml.errors import (
    LONGEST_KEY,
    OWN_LINE,
    TOO_LONG,
    WORD,
    Closed,
    explain,
    filled,
    line_end,
    unraw,
    until,
)
from fmtharness.evaluators.yaml.labels import LABELS
from fmtharness.evaluators.yaml.scalars import NOT_RAW, Unclear, plain
from fmtharness.evaluators.yaml.styles import block_fault, quoted_faults
from fmtharness.harness.contracts import Parsed
from fmtharness.harness.records import Problem

Root = Literal["object", "array", "any"]
ROOTS: Final[dict[str, Any]] = {"object": dict, "array": list, "any": object}

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLACELESS: Final = {
    *("ambiguous_scalar", "nan_or_infinity", "anchor_or_alias", "tag", "comment", "tab_indent"),
    *("unquoted_special", "bad_escape", "control_character", "lone_surrogate"),
}
_MOST_READS: Final = 8
_MOST_READ: Final = 100_000
"""How often, and how many characters, are read with a mistake replaced; this bounds the time."""
_BLANK: Final = re.compile(r"(?:[ \t\r\n]++|(?<!\S)#[^\r\n]*+)*+")
_TO_LINE_END: Final = re.compile(r"[^\r\n]*+")
_TABS: Final = re.compile(r"\t+")
_VALUE_BELOW: Final = re.compile(r"\s*+[:-](?=\s)(?:[^\n]*+\n(?!\r?\n))*+[^\n]*+\n\r?\n").match
_IN_GAP: Final = re.compile(
    r"(?P<comment>#[^\r\n]*)|(?P<tab>\t+)|(?P<complex>\?)|(?P<mark>(?<![^\n])\.\.\.)"
)
_NO_SPACE: Final = re.compile(r"[A-Za-z_][\w-]*:(?!//)\S").match
_LINE: Final = re.compile(r"\n([ \t]*+)([^ \t\r\n])")
_NOTHING: Final = object()


class _Open(msgspec.Struct):
    """A collection that is not closed yet."""

    start: int
    column: int
    value: Any
    flow: bool
    pair: bool = False
    """Whether it is a pair in a list, without braces: `[a: b]`."""
    key: Any = _NOTHING
    key_start: int = 0
    key_end: int = 0
    marked: bool = False
    """Whether the key is marked with `?`."""


def read(text: str, root: Root = "object", max_depth: int = 64, comments: bool = False) -> Parsed:
    """The one document of a text, or all problems found; spans are those of `text`."""
    errors = [
        Problem(*unraw(found[0]), found.start(), found.end()) for found in NOT_RAW.finditer(text)
    ]
    # One for one, so that the rest is read as it is.
    current = original = NOT_RAW.sub("\ufffd", text)
    indented = len(text) + 1
    found: list[Problem] = []
    for _ in range(max(2, min(_MOST_READS, _MOST_READ // (len(text) + 1)))):
        reader = _Reader(current, original, root, max_depth, comments)
        error = reader.run()
        if not error:
            break
        if (found and follows(current, found[-1], error)) or cut_by_comment(
            current, reader.block, reader.problems, error
        ):
            break
        errors.append(without_colon(current, reader.problems, error))
        found.append(errors[-1])
        line = current.rfind("\n", 0, error.start) + 1
        if error.label == "tab_indent" and not current[line : error.start].strip():
            above = current[:line].rstrip()
            indented = min(indented, above.rfind("\n") + 1)
        mended = filled(current, error)
        if mended is None:
            break
        current = mended
    # From the line above a tab in an indentation on, it is not known what belongs to what.
    noted = [p for p in reader.problems if not brought(current, p, found)]
    kept = [p for p in (*errors, *noted) if p.start < indented or p.label in _PLACELESS]
    problems = tuple(dict.fromkeys(kept))
    return Parsed(problems=problems) if problems else Parsed(reader.root)


def clean(text: str, root: Root, max_depth: int, comments: bool) -> bool:
    """Whether a text passes, with nothing around it."""
    if NOT_RAW.search(text):
        return False
    reader = _Reader(text, text, root, max_depth, comments)
    return reader.run() is None and not reader.problems


class _Reader:
    """One pass over the events: the value, and the problems that are not syntax errors."""

    def __init__(
        self, text: str, original: str, root: Root, max_depth: int, comments: bool
    ) -> None:
        self.text = text
        self.original = original
        """The text as it was before a mistake in it was replaced."""
        self.kind = root
        self.max_depth = max_depth
        self.comments = comments
        self.problems: list[Problem] = []
        self.block = 0
        """Where the last block text ended."""
        self.root: Any = _NOTHING
        self.stack: list[_Open] = []
        self.documents = 0
        self.last = 0
        """Where the last event ended."""
        self.closed = Closed(0, 0)
        self.alias: Problem | None = None
        """The last alias."""
        self.marked = False
        """Whether the next key is marked with `?`."""
        self.lost = False
        """Whether a quote is not closed, so that what follows is not what it seems."""

    def run(self) -> Problem | None:
        """Read all events; the syntax error that ended them, if one did."""
        error = None
        try:
            for event in self._events():
                if not self._take(event):
                    break
        except yaml.MarkedYAMLError as found:
            error = explain(self.text, found, self.closed)
            if self.alias and "\n" not in self.text[self.alias.end : error.start]:
                error = self.alias  # `*note*` is an alias with text behind it
            if error.label == "unclosed_quote":
                return error
            opened = [each.start for each in self.stack if each.flow and not each.pair]
            self.problems = kept_before(self.text, self.problems, error, opened)
            # Text behind the last event may be a scalar, so only blanks and comments are checked.
            self._gap(until(_BLANK, self.text, self.last))
        else:
            self._check_root()
        return error

    def _events(self) -> Iterator[Any]:
        events: Iterator[Any] = yaml.parse(self.text, Loader=_LOADER)
        for event in events:
            start = event.start_mark.index
            if start > self.last:
                self._gap(start)
            yield event
            self.last = max(self.last, event.end_mark.index)

    def _take(self, event: Any) -> bool:
        """Put one event into the value; False if the rest is not to be read."""
        start, end = event.start_mark.index, event.end_mark.index
        if isinstance(event, yaml.ScalarEvent):
            self._properties(event, start)
            self._scalar(event, start, end)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._properties(event, start)
            if len(self.stack) >= self.max_depth:
                self._note("too_deep", start, end)
                return False
            value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
            if self._key_is_next():
                self._note("complex_key", start, end, "a key is a collection, not a text")
                self._set_key(object(), start)
            else:
                self._attach(value)
            column = getattr(event.start_mark, "column", 0)
            flow = bool(event.flow_style)
            pair = flow and isinstance(value, dict) and self.text[start:end][-1:] != "{"
            self.stack.append(_Open(start, column, value, flow, pair))
            if pair and self.text[start] == "?":
                # `?x` in brackets is a text to some parsers, which is noted at the text.
                behind = self.text[start + 1 : start + 2]
                if behind.isspace() or behind in ("'", '"'):
                    self._note("complex_key", start, start + 1, "a key is marked with `?`")
                self.marked = True
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            done = self.stack.pop()
            if done.flow and not done.pair:
                self.closed = Closed(done.start, end, "flow")
                self._indented(done.start, end)
        elif isinstance(event, yaml.AliasEvent):
            self._note("anchor_or_alias", start, end, f"{self.text[start:end][:40]} is an alias")
            self.alias = self.problems[-1]
            if self._key_is_next():
                self._set_key(object(), start)
            else:
                self._attach(None if self.stack else _NOTHING)
        elif isinstance(event, yaml.DocumentStartEvent):
            if event.version or event.tags:
                at = self.text.rfind("---", start, end)
                self._note("directive", start, start + len(self.text[start:at].rstrip()))
            self.documents += 1
            if self.documents > 1:
                behind = start + len(self.text[start:].rstrip())
                self._note("multiple_roots", start, behind)
                return False
        return not self.lost

    def _properties(self, event: Any, start: int) -> None:
        for label, sign, found in (
            ("anchor_or_alias", "&", event.anchor),
            ("tag", "!", event.tag),
        ):
            if found is not None:
                at = self.text.index(sign, start)
                self._note(label, at, until(WORD, self.text, at))

    def _scalar(self, event: Any, start: int, end: int) -> None:
        value: Any = event.value
        if event.style in ("'", '"'):
            self.closed = Closed(start, end, event.style)
            self._indented(start, end)
            for found in quoted_faults(self.text, start, end):
                self._note(*found)
        elif event.style in ("|", ">"):
            self._gap(until(_TO_LINE_END, self.text, start), start)
            self.block = end
            if fault := block_fault(self.original, start, end, not self.stack):
                value = Unclear("ambiguous_scalar", fault)
            least = self.stack[-1].column + 1 if self.stack else 0
            column = event.start_mark.column
            if column < least or (not self.stack and self._margin(start)):
                self._note("bad_indentation", start, until(WORD, self.text, start))
        else:
            in_brackets = self.stack and self.stack[-1].flow
            if value and self.text.startswith("---", start) and event.start_mark.column == 0:
                value = Unclear("ambiguous_scalar", f"{value[:40]} starts with `---`: quote it")
            elif in_brackets and ("?" in self.text[start - 1 : end] or value == "-"):
                value = Unclear("ambiguous_scalar", f"{value[:40]} in brackets must be quoted")
            else:
                value = plain(value) if value else _NOTHING
            if not self.stack:
                self._indented(start, end)
            for tab in _TABS.finditer(self.text, start, end):
                self._note("tab_indent", *tab.span())
        if self._key_is_next():
            self._key(value, start, end)
        else:
            explained = event.anchor is not None or event.tag is not None
            self._attach(self._clear(value, start, end, explained))

    def _clear(self, value: Any, start: int, end: int, explained: bool) -> Any:
        """The value of a scalar that is not a key; its problems are noted."""
        if isinstance(value, Unclear):
            self._note(value.label, start, end, value.message)
        elif value is _NOTHING and self.stack:
            top = self.stack[-1]
            if explained or top.marked:
                return None
            key = self.text[top.key_start : top.key_end]
            if top.flow and self.text[top.key_start] not in "\"'" and ":" in key:
                self._note("missing_colon", top.key_start, top.key_end)
                return None
            begin = self.last if isinstance(top.value, list) else top.key_start
            stretch = self.text[begin:start]
            begin += len(stretch) - len(stretch.lstrip(" \t\r\n"))
            self._note("missing_value", begin, max(begin, begin + len(stretch.strip())))
        else:
            # An empty root stays _NOTHING.
            return value
        return None

    def _key(self, value: Any, start: int, end: int) -> None:
        top = self.stack[-1].value
        if self.stack[-1].pair and not self.marked:
            colon = max(end, self.text.find(":", end, end + LONGEST_KEY))
            self._note("unquoted_colon", colon, colon + 1)
        if not self.stack[-1].flow and end - start > LONGEST_KEY // 4:
            written = self.text[start : max(end, self.text.find(":", end, end + LONGEST_KEY))]
            # JavaScript counts characters beyond U+FFFF twice.
            if len(written.encode("utf-16-le", "surrogatepass")) > 2 * LONGEST_KEY:
                self._note("syntax_error", start, end, TOO_LONG)
        key: Any = value
        if isinstance(value, Unclear):
            label = "merge_key" if self.text[start:end] == "<<" else value.label
            self._note(label, start, end, None if label == "merge_key" else value.message)
        elif not isinstance(value, str):
            said = (
                "empty" if value is _NOTHING else f"{self.text[start:end][:40]}, which is no text"
            )
            self._note("complex_key", start, end, f"a key is {said}; it must be in quotes")
            key = object()
        elif value in top:
            self._note("duplicate_key", start, end, f"the key {value[:40]!r} stands here again")
        self._set_key(key, start, end)

    def _indented(self, start: int, end: int) -> None:
        """Note continued lines of quotes or brackets indented no deeper than their parent."""
        if self.stack and self.stack[-1].flow:
            return
        least = self.stack[-1].column + 1 if self.stack else self._margin(start)
        for line in _LINE.finditer(self.text, start, end):
            at = line.start(2)
            if len(line[1]) >= least:
                continue
            if self.text[start] in "\"'" and OWN_LINE.match(self.text, line.start(1)):
                self._note("unclosed_quote", start, line_end(self.text, start))
                self.lost = True
                return
            self._note("bad_indentation", at, line_end(self.text, at))

    def _margin(self, start: int) -> int:
        """How far the first text of a line is indented; 0 if other text stands before it."""
        before = self.text[self.text.rfind("\n", 0, start) + 1 : start]
        return 0 if before.strip() else len(before)

    def _key_is_next(self) -> bool:
        return bool(
            self.stack and isinstance(self.stack[-1].value, dict) and self.stack[-1].key is _NOTHING
        )

    def _set_key(self, key: Any, start: int, end: int = 0) -> None:
        top = self.stack[-1]
        top.key, top.key_start, top.key_end = key, start, end
        top.marked, self.marked = self.marked, False

    def _attach(self, value: Any) -> None:
        if not self.stack:
            self.root = value
            return
        top = self.stack[-1]
        if isinstance(top.value, list):
            top.value.append(value)
        else:
            top.value[top.key] = value
            top.key = _NOTHING

    def _check_root(self) -> None:
        if self.lost or (self.text != self.original and not isinstance(self.root, dict | list)):
            return
        if self.root is _NOTHING and (self.documents > 1 or self.problems):
            return
        if self.root is _NOTHING:
            self._note("no_value", 0, len(self.text))
        elif not isinstance(self.root, ROOTS[self.kind]):
            inner = self.text.strip()
            start = self.text.index(inner)
            if isinstance(self.root, str) and _NO_SPACE(inner):
                self._note("missing_colon", start, start + len(inner))
                return
            self._note("wrong_root", start, start + len(inner), f"the root is no {self.kind}")

    def _gap(self, end: int, start: int | None = None) -> None:
        """Note the problems in the text between two events."""
        below = _VALUE_BELOW(self.text, start := self.last if start is None else start, end)
        for found in _IN_GAP.finditer(self.text, start, end):
            if found["comment"]:
                at = found.start()
                # In brackets, and behind an empty line between a key and its value, npm's yaml
                # takes no comment at the very start of a line.
                strict = (self.stack and self.stack[-1].flow) or (below and below.end() <= at)
                alone = at == 0 or self.text[at - 1] in (" \t" if strict else " \t\r\n")
                if not (self.comments and alone):
                    self._note("comment", *found.span())
            elif found["tab"]:
                self._note("tab_indent", *found.span())
            elif found["mark"]:
                self._note("multiple_roots", *found.span(), "`...` ends a document of its own")
            else:
                self._note("complex_key", *found.span(), "a key is marked with `?`")
                self.marked = True

    def _note(self, label: str, start: int, end: int, message: str | None = None) -> None:
        self.problems.append(Problem(label, message or LABELS[label], start, end))
