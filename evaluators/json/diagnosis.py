"""Says everything that is wrong with a text that should be one strict JSON value.

    diagnose('Sure! {"a": True}')
    -> Diagnosis(start=6, end=17, problems=(text_before 0:5, python_literal 12:16))

It cuts the text into values and what stands around them, and leaves the inside of each broken
value to `recovery`. A text without problems is one that the fast reader accepts.
"""

from __future__ import annotations

from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, Final, Literal

import msgspec

from fmtharness.evaluators.json.labels import Problems
from fmtharness.evaluators.json.reader import UNREAD, whole
from fmtharness.evaluators.json.recovery import walk
from fmtharness.evaluators.json.scalars import (
    comment_at,
    label_root_string,
    word_label,
    word_message,
)
from fmtharness.evaluators.json.scanner import (
    DONE,
    END,
    SPACE,
    WS,
    Scanner,
    scan_scalar,
    skip_space,
)
from fmtharness.evaluators.json.shortcuts import shortcut
from fmtharness.evaluators.possessive import re
from fmtharness.harness.records import Problem

Root = Literal["object", "array", "any"]

_BRACKET: Final = re.compile(r"[{\[]").match
_FENCE: Final = r"(?:`{3,}+|~{3,}+)(?:[ \t]*+[\w+.#-]++(?=[ \t]*+(?:[\r\n{\[]|\Z)))?"
_FENCE_ALONE: Final = re.compile(_FENCE).fullmatch
_TICKS_BEFORE: Final = re.compile(rf"{_FENCE}|`(?:json[ \t]*+)?\Z")
_TICKS_AFTER: Final = re.compile(rf"{_FENCE}|(?<=[}}\]])`")
# In prose, a bracket starts a value only after a fence, at the start of a line, or where what
# follows looks like the inside of one.
_PLAUSIBLE: Final = re.compile(
    rf"(?:`|\n[ \t]*+|(?<!`)`{{3,}}+[ \t]*+[\w+.#-]*+{WS})([{{\[])"
    rf"""|(\{{)(?={WS}(?:["'}}“‘]|[A-Za-z_$][\w$]*+{WS}:|/[/*]|\.\.\.|\\["n]|\Z))"""
    rf"""|(\[)(?={WS}(?:["{{\[\]“]|-?[0-9][0-9.eE+-]*+{WS},|(?:true|false|null|True|False|None)\b|\Z))"""
).search
_OBJECT_START: Final = re.compile(rf'\{{(?={WS}(?:["}}]|\Z))').search
_COMMENTS_PATTERN: Final = (
    rf"(?:{WS}(?://[^\n]*+|#(?!#)[^\n]*+|/\*(?:[^*]|\*(?!/))*+(?:\*/|\Z)))++{WS}"
)
_COMMENTS: Final = re.compile(_COMMENTS_PATTERN).match
_ONLY_COMMENTS: Final = re.compile(_COMMENTS_PATTERN + r"\Z").match
_BARE_QUOTE: Final = re.compile(r'(?<!\\)"').search
_MORE: Final = re.compile(rf"{WS},{WS}[^\s{{\[]").match
_SEPARATOR: Final = re.compile(rf"{WS},?+{WS}").match
_SURROGATES: Final = re.compile(r"[\ud800-\udfff]++")
_ESCAPES: Final = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.",
    re.DOTALL,
)

# The end of the text may have cut a pair in two.
_CUT_PAIR: Final = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u(?:[dD](?:[c-fC-F][0-9a-fA-F]?)?)?)?)?\Z"
).match


class Diagnosis(msgspec.Struct, frozen=True):
    """What is wrong with a text, and where its value stands."""

    problems: tuple[Problem, ...]
    start: int = 0
    end: int = 0
    """Where the first value stands, with or without whitespace; both are 0 if there is none."""
    value: Any = UNREAD
    """The first value itself if it was read on the way, else UNREAD."""


def diagnose(
    text: str,
    *,
    root: Root = "object",
    max_depth: int = 64,
    unique_keys: bool = True,
    unicode_scalars: bool = True,
    known: Any = None,
) -> Diagnosis:
    """All problems of the text, in order; none if it is valid.

    `known` is what `whole` returned for the text, or None if it was not called.
    """
    problems = Problems()
    begin = _start(text)
    if begin == 1:
        problems.add("byte_order_mark", 0, 1)
    if unicode_scalars and not text.isascii():
        for match in _SURROGATES.finditer(text):
            problems.add("lone_surrogate", *match.span())
    if not text[begin:].strip(SPACE):
        problems.add("empty", begin, len(text))
        return Diagnosis(problems.in_order())
    first = _first_root(text, begin, root)
    if first is None:
        start, end = _scalar_root(text, begin, root, problems)
        if unicode_scalars:
            _label_lone_escapes(text, start, end, problems)
        return Diagnosis(problems.in_order(), start, end)
    found = shortcut(text, first, problems, max_depth, unique_keys, known)
    if isinstance(found, tuple) and found[1] is not UNREAD and _MORE(text, found[0]):
        found = 0  # It may have ended too early.
    if isinstance(found, tuple):
        end, value = found
    else:
        value = UNREAD
        end = walk(
            text, first, problems, max_depth, unique_keys, checked=found, escapes="\\" in text
        )
    if "escaped_text" in problems and not _BARE_QUOTE(text, first, end):
        problems.join("escaped_text", first, end)
    roots = [(first, end)]
    if text.find("{", end) >= 0 or text.find("[", end) >= 0:
        roots += _later_roots(text, end, problems, max_depth, unique_keys)
    if unicode_scalars and "\\u" in text:
        for start, end in roots:
            _label_lone_escapes(text, start, end, problems)
    start, end = roots[0]
    if root != "any" and (text[start] == "{") != (root == "object"):
        wanted = "an object" if root == "object" else "an array"
        message = f"the value is {'an array' if root == 'object' else 'an object'}, not {wanted}"
        problems.add("wrong_root", start, end, message)
    if len(roots) > 1:
        message = f"{len(roots)} values stand side by side; the second starts here"
        problems.add("multiple_roots", roots[1][0], roots[-1][1], message)
    _label_gaps(text, begin, roots, problems)
    return Diagnosis(problems.in_order(), start, end, value)


def _start(text: str) -> int:
    return 1 if text.startswith("\ufeff") else 0


def _later_roots(
    text: str, end: int, problems: Problems, max_depth: int, unique_keys: bool
) -> Iterator[tuple[int, int]]:
    """Yield the span of each value behind the first, and label the mistakes inside it."""
    escapes = "\\" in text
    while end < len(text) and not problems.exhausted:
        problems.steps += 1
        follows = _SEPARATOR(text, end)
        start = follows.end() if follows else end
        if not _BRACKET(text, start):
            break
        end = walk(text, start, problems, max_depth, unique_keys, escapes=escapes)
        yield start, end
    yield from _later_objects(text, end, problems)


def _first_root(text: str, begin: int, root: Root) -> int | None:
    match = skip_space(text, begin)
    start = match.end() if match else begin
    if _BRACKET(text, start):
        return start
    if (comments := _COMMENTS(text, start)) and _BRACKET(text, comments.end()):
        return comments.end()
    if text[start] == '"':
        # In a text that is one string, brackets start no value.
        outcome, end = scan_scalar(text, start)
        if (outcome == END and root == "any") or (
            outcome == DONE and (not text[end:].strip(SPACE + ",") or _ONLY_COMMENTS(text, end))
        ):
            return None
    plausible = _PLAUSIBLE(text, start)
    return plausible.start(plausible.lastindex or 0) if plausible else None


def _later_objects(text: str, pos: int, problems: Problems) -> Iterator[tuple[int, int]]:
    """Yield the valid objects in the prose behind the first value."""
    while not problems.exhausted and (match := _OBJECT_START(text, pos)):
        problems.steps += 1
        scanner = Scanner(text, match.start())
        outcome = scanner.run()
        pos = scanner.pos
        if outcome == DONE:
            yield match.start(), pos
        elif outcome == END:
            return


def _scalar_root(text: str, begin: int, root: Root, problems: Problems) -> tuple[int, int]:
    """Label a text in which no bracket starts a value, and return where its scalar stands."""
    match = skip_space(text, begin)
    start = match.end() if match else begin
    end = len(text.rstrip(SPACE))
    comments = _COMMENTS(text, start) if root == "any" else None
    if comments and comments.end() < end and scan_scalar(text, comments.end())[0] == DONE:
        note_comments(text, start, comments.end(), problems)
        start = comments.end()
    outcome, stop = scan_scalar(text, start)
    label = "" if outcome == END and root == "any" else word_label(text[start:end])
    if outcome == DONE and stop == end:
        label = ""
    elif label not in ("", "unquoted_value"):
        problems.add(label, start, end, word_message(label, text[start:end]))
    elif root == "any" and outcome == END:
        problems.add("truncated", end, end)
    elif root == "any" and outcome == DONE:
        if not note_comments(text, stop, end, problems):
            problems.add("text_after", stop, end)
        end = stop
    elif root == "any" and text[start] == '"':
        stop = label_root_string(text, start, problems)
        if text[stop:].strip(SPACE):
            problems.add("text_after", stop, end)
        end = stop
    else:
        if fence := re.search(_FENCE, text):
            problems.add("code_fence", *fence.span())
        problems.add("no_json", start, end)
        return 0, 0
    if root != "any":
        wanted = "an object" if root == "object" else "an array"
        message = f"the value is {_kind(text[start:end])}, not {wanted}"
        if text[start] == '"' and whole(_content(text[start:end])) is not UNREAD:
            message += "; it holds JSON, which is to stand there by itself"
        problems.add("wrong_root", start, end, message)
    return start, end


def _content(string: str) -> str:
    """What the string holds if that may be an object or array, else an empty text."""
    content: str = scanstring(string, 1, False)[0]
    return content if content.lstrip(SPACE)[:1] in ("{", "[") else ""


def _kind(scalar: str) -> str:
    if scalar[0] == '"':
        return "a string"
    word = scalar.lower()
    return {"true": "a boolean", "false": "a boolean", "null": "null", "none": "null"}.get(
        word, "a number"
    )


def _label_lone_escapes(text: str, start: int, end: int, problems: Problems) -> None:
    if text.find("\\u", start, end) < 0:
        return
    for match in _ESCAPES.finditer(text, start, end):
        if match[1] and not _CUT_PAIR(text, match.start()):
            message = f"{match[1]} is half of a surrogate pair and stands alone"
            problems.add("lone_surrogate", *match.span(), message)


def _label_gaps(text: str, begin: int, roots: list[tuple[int, int]], problems: Problems) -> None:
    """Label what stands before, between and after the values."""
    start, end = roots[0]
    if start == begin and end == len(text):
        return
    before = _prose(text, begin, start, _TICKS_BEFORE, SPACE, problems)
    if before and not note_comments(text, *before, problems):
        problems.add("text_before", *before)
    after = []
    for start, next_end in roots[1:]:
        after.append(_prose(text, end, start, _TICKS_AFTER, SPACE + ",", problems))
        end = next_end
    after.append(_prose(text, end, len(text), _TICKS_AFTER, SPACE, problems))
    spans = [span for span in after if span]
    if spans:
        start, end = spans[0][0], spans[-1][1]
        if all(note_comments(text, *span, problems) for span in spans):
            return
        problems.add("text_after", start, end, _superfluous(text[start:end]))


def note_comments(text: str, start: int, end: int, problems: Problems) -> bool:
    """Note each comment at start:end; False, and nothing noted, if other text stands there.

    A line behind one # is a comment, as in YAML; two or more make a heading of Markdown.
    """
    comments = _COMMENTS(text, start, end)
    if not comments or comments.end() < end:
        return False
    pos = start
    while pos < end:
        space = skip_space(text, pos)
        pos = space.end() if space else pos
        if found := comment_at(text, pos, end):
            problems.add("comment", pos, found.end())
            pos = found.end()
    return True


def _superfluous(after: str) -> str | None:
    """Label what stands after the value if it is only a surplus sign."""
    if after == ",":
        return "a comma stands after the value"
    if not after.strip(SPACE + "}]"):
        return f"{'a closing bracket' if len(after) == 1 else 'closing brackets'} too many"
    return None


def _prose(
    text: str, start: int, end: int, ticks: re.Pattern[str], blank: str, problems: Problems
) -> tuple[int, int] | None:
    """From the first to the last character of text[start:end] that is neither fence nor blank."""
    piece = text[start:end]
    filling = piece.strip(blank)
    if not filling:
        return None
    begin = start + piece.index(filling[0])
    if "`" not in filling and "~" not in filling:
        return begin, begin + len(filling)
    if _FENCE_ALONE(filling):
        if "code_fence" not in problems:
            problems.add("code_fence", begin, begin + len(filling))
        return None
    spans = []
    for match in ticks.finditer(text, start, end):
        if "code_fence" not in problems:
            problems.add("code_fence", *match.span())
        spans.append((start, match.start()))
        start = match.end()
    spans.append((start, end))
    filled = [(first, last) for first, last in spans if text[first:last].strip(blank)]
    if not filled:
        return None
    first, last = filled[0][0], filled[-1][1]
    piece = text[first:last]
    return last - len(piece.lstrip(blank)), first + len(piece.rstrip(blank))
