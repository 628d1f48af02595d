"""How chat templates write tool calls: where each one's JSON stands, and the tags around it.

    SYNTAXES["hermes"].write([{"name": "ring", "arguments": {}}])
    -> '<tool_call>\n{"name": "ring", "arguments": {}}\n</tool_call>'
    SYNTAXES["hermes"].frame('<tool_call>{"name": "ring"}</tool_call> Done')
    -> Frame(pieces=[Piece(start=11, end=27)], problems=[text_after at 40:44])

A frame is found in time linear in the text, also in hostile ones. Between calls and tags stands
nothing but JSON's whitespace; a tag inside a JSON string is text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from fmtharness.evaluators.json.diagnosis import note_comments
from fmtharness.evaluators.json.labels import Problems
from fmtharness.evaluators.json.scanner import DONE, END, SPACE, WS, Scanner
from fmtharness.evaluators.json.tool_call_faults import Rules, problem
from fmtharness.evaluators.possessive import re
from fmtharness.evaluators.rendering import dumped
from fmtharness.harness.records import Problem

STRING: Final = r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)'
TAG: Final = (
    r"</?(?:tool_?calls?|tools?|tool_code|function(?:_calls?)?|functions)(?:=[\w.-]*+)?>"
    r"|</?s>|<\|/?[\w-]++\|>|\[/?(?:TOOL_CALLS?|TOOL_REQUEST|ARGS|CALL_ID)\]"
)
NAME: Final = r"[\w.:/@$-]++"
"""A name that stands outside of JSON."""
_MARK: Final = re.compile(rf"(?P<fence>`{{3,}}+[\w+.#-]*+|~{{3,}}+[\w+.#-]*+|`)|(?P<tag>{TAG})")
_CLOSE: Final = re.compile(rf"{WS}</tool_call>").match
_EITHER: Final = re.compile(r"<(/?)tool_call>").search
_BETWEEN: Final = re.compile(rf"{STRING}|[}}\]]{WS}(;){WS}(?=[{{\[])", re.DOTALL).finditer
_SEMICOLON: Final = re.compile(rf';(?={WS}\{{{WS}"\w++"{WS}:)').finditer
_NEXT: Final = re.compile(
    rf"((?:{WS}(?://[^\n]*+|\#[^\n]*+|/\*(?:[^*]|\*(?!/))*+\*/))*+{WS});{WS}(?=[{{\[])"
).match
_NEXT_CALL: Final = re.compile(rf"""([}}\]]){WS};{WS}(?=\{{{WS}["']?\w++["']?{WS}:)""").search
"""Where the next call begins behind one that is broken, and whose quotes say little."""
_UNTAGGED: Final = rf"{WS}({NAME}){WS}(?:\[CALL_ID\]{WS}([A-Za-z0-9]{{9}}){WS})?\[ARGS\]"
_UNTAGGED_HEADER: Final = re.compile(_UNTAGGED).match
_HEADER: Final = re.compile(rf"\[TOOL_CALLS\]{_UNTAGGED}").match
_NAME_BEFORE: Final = re.compile(
    rf"(?<![\w.:/@$-]){NAME}{WS}(?:\[CALL_ID\]{WS}[A-Za-z0-9]{{9}}{WS})?\Z"
).search
_SPACES: Final = re.compile(WS).match


class Piece(NamedTuple):
    """Where the JSON of a call stands, and where the name does if it stands outside of it."""

    start: int
    end: int
    name: tuple[int, int] | None = None


class Frame(NamedTuple):
    """The JSON pieces of a text, and the problems of what stands around them."""

    pieces: list[Piece]
    problems: list[Problem]
    opened: bool = True
    """Whether a tag of the syntax stands in the text, where the syntax needs one."""
    cut: bool = False
    """Whether the text ends before its last tag or piece does."""


class Syntax(NamedTuple):
    """One way to write calls."""

    frame: Callable[[str], Frame]
    write: Callable[[Sequence[dict[str, Any]]], str]
    """The calls as text; each is an object with the key of the syntax for its arguments."""
    rules: Rules
    tags: tuple[str, ...]
    """Its tags; a text that ends inside one is truncated."""
    asked: str
    """What a call looks like, for an instruction."""


def gap(text: str, start: int, end: int, label: str, own: str = "") -> list[Problem]:
    """The problems of a text that should be nothing but whitespace.

    `own` is a tag that is right behind another one only. A backtick is a fence beside a call, and
    part of the text elsewhere.
    """
    found = []
    if start == 0 and text.startswith("\ufeff"):
        found.append(problem("byte_order_mark", 0, 1))
        start = 1
    if not text[start:end].strip(SPACE):
        return found
    said = []
    comments = Problems()
    # Only what stands behind a call begins after 0, and what stands before one ends early.
    beside = [(start, start + 1)] if start else []
    beside += [(end - 1, end)] if end < len(text) else []
    for mark in [*_MARK.finditer(text, start, end), None]:
        if mark and mark[0] == "`" and mark.span() not in beside:
            continue
        stop = mark.start() if mark else end
        if inside := text[start:stop].strip(SPACE):
            first = text.index(inside[0], start)
            if not note_comments(text, first, first + len(inside), comments):
                said.append((first, first + len(inside)))
        if mark and mark["fence"]:
            found.append(problem("code_fence", *mark.span()))
        elif mark and mark["tag"] == own:
            message = f"the tag that should stand before this {own} is missing"
            found.append(problem("missing_tag", *mark.span(), message))
        elif mark:
            found.append(problem("tag_around", *mark.span()))
        start = mark.end() if mark else end
    if said:
        found.append(problem(label, said[0][0], said[-1][1]))
    return found if said else [*found, *comments.in_order()]


def blanked(text: str, spans: list[tuple[int, int]]) -> str:
    """The text with spaces in place of the spans, so that what is left stays where it is."""
    pieces = []
    last = 0
    for start, end in spans:
        pieces += [text[last:start], " " * (end - start)]
        last = end
    return "".join([*pieces, text[last:]])


def cut_tag(text: str, tags: Sequence[str]) -> int:
    """The length of the beginning of a tag that the text ends with."""
    longest = max(map(len, tags), default=0)
    for size in range(min(longest, len(text)), 0, -1):
        if any(len(tag) > size and tag.startswith(text[-size:]) for tag in tags):
            return size
    return 0


def _json(text: str) -> Frame:
    return Frame([Piece(0, len(text))], [])


def _hermes(text: str) -> Frame:
    pieces: list[Piece] = []
    found: list[Problem] = []
    at, cut, own = 0, False, "</tool_call>"
    last = len(text.rstrip(SPACE))
    while (opening := text.find("<tool_call>", at)) >= 0:
        found += gap(text, at, opening, "text_between" if pieces else "text_before", own)
        start = opening + len("<tool_call>")
        outcome, end = _value(text, start)
        close = _CLOSE(text, end) if outcome == DONE else None
        tag = None if close or outcome == END else _EITHER(text, start)
        if close:
            end, at = close.start(), close.end()
        elif tag is None:
            end = at = len(text)
            end -= cut_tag(text[start:], ("</tool_call>",))
            cut = True
        elif tag[1]:
            end, at = tag.span()
        elif not text[start : tag.start()].strip(SPACE):
            found.append(problem("tag_around", opening, start, "the tag stands here twice"))
            at = tag.start()
            continue
        elif tag.end() >= last:
            end, at = tag.start(), len(text)
            message = "<tool_call> stands where </tool_call> should"
            found.append(problem("missing_tag", *tag.span(), message))
        else:
            end = at = tag.start()
            found.append(problem("missing_tag", at, at, "no </tool_call> stands before the next"))
        pieces.append(Piece(start, end))
    if pieces and not cut:
        end = len(text) - cut_tag(text[at:], ("<tool_call>",))
        cut = end < len(text)
        found += gap(text, at, end, "text_after", own)
    return Frame(pieces, found, bool(pieces), cut)


def _llama(text: str) -> Frame:
    start = 0
    found: list[Problem] = []
    tag = text.find("<|python_tag|>")
    if tag >= 0 and text.find("{", 0, tag) < 0:
        found = gap(text, 0, tag, "text_before")
        start = tag + len("<|python_tag|>")
        if not text[start:].strip(SPACE):
            return Frame([], found, cut=True)
    ends = [match.span(1) for match in _BETWEEN(text, start) if match[1]]
    # Where a quote is missing, what the quotes enclose is no string.
    if [end for _, end in ends] != [match.end() for match in _SEMICOLON(text, start)]:
        ends = list(_ends(text, start))
    firsts = [start, *(end for _, end in ends)]
    lasts = [*(last for last, _ in ends), len(text)]
    return Frame([Piece(*span) for span in zip(firsts, lasts, strict=True)], found)


def _ends(text: str, start: int) -> Iterator[tuple[int, int]]:
    """Where each call of a text that may be broken ends, and where the next begins."""
    while True:
        outcome, end = _value(text, start)
        between = _NEXT(text, end) if outcome == DONE else None
        between = between or _NEXT_CALL(text, end if outcome == DONE else start)
        if not between:
            return
        start = between.end()
        yield between.end(1), start


def _mistral(text: str) -> Frame:
    tag = text.find("[TOOL_CALLS]")
    if tag < 0:
        return Frame([], [], opened=False)
    found = gap(text, 0, tag, "text_before")
    start = tag + len("[TOOL_CALLS]")
    if not text[start:].strip(SPACE):
        return Frame([], found, cut=True)
    return Frame([Piece(start, len(text))], found)


def _mistral_args(text: str) -> Frame:
    pieces: list[Piece] = []
    found: list[Problem] = []
    at, opened = 0, False
    while True:
        tag = text.find("[TOOL_CALLS]", at)
        arguments = text.find("[ARGS]", at, tag if tag >= 0 else len(text))
        named = _NAME_BEFORE(text[at:arguments]) if arguments >= 0 else None
        if named:
            tag = at + named.start()
            message = "no [TOOL_CALLS] stands before the call"
            found.append(problem("missing_tag", tag, tag, message))
        if tag < 0:
            break
        found += gap(text, at, tag, "text_between" if opened else "text_before", "[ARGS]")
        opened = True
        begin = tag if named else tag + len("[TOOL_CALLS]")
        header = (_UNTAGGED_HEADER if named else _HEADER)(text, tag)
        after = text.find("[TOOL_CALLS]", begin)
        last = len(text) if after < 0 else after
        if header:
            start = header.end()
            outcome, end = _value(text, start)
            if outcome == END:
                end = len(text)
            elif outcome == DONE:
                after = text.find("[TOOL_CALLS]", end)
                last = len(text) if after < 0 else after
                between = text[end:last]
                end = last if "{" in between and "[ARGS]" not in between else end
            else:
                end = last
            pieces.append(Piece(start, end, header.span(1)))
            at = end
            if after < 0 and not text[start:].strip(SPACE):
                return Frame(pieces[:-1], found, cut=True)
            continue
        at = last
        size = cut_tag(text[begin:last], _ARGS_TAGS)
        if after < 0 and re.fullmatch(rf"{WS}(?:{NAME})?{WS}", text[begin : last - size]):
            return Frame(pieces, found, cut=True)
        arguments = text.find("[ARGS]", begin, last)
        if arguments >= 0:
            message = f"{text[begin:arguments].strip()!r:.60} is no name for a call"
            found.append(problem("name_not_text", begin, arguments, message))
            pieces.append(Piece(arguments + len("[ARGS]"), last))
            continue
        brace = text.find("{", begin, last)
        here = last if brace < 0 else brace
        message = "no [ARGS] stands between a call's name and its arguments"
        found.append(problem("missing_tag", here, here, message))
        if brace >= 0:
            pieces.append(Piece(brace, last))
    if opened:
        end = len(text) - cut_tag(text[at:], ("[TOOL_CALLS]",))
        found += gap(text, at, end, "text_after", "[ARGS]")
        return Frame(pieces, found, cut=end < len(text))
    return Frame([], [], opened=False)


_ARGS_TAGS: Final = ("[ARGS]", "[CALL_ID]")


def _value(text: str, start: int) -> tuple[str, int]:
    """How the JSON object or array that should begin at `start` ends, and where."""
    spaces = _SPACES(text, start)
    first = spaces.end() if spaces else start
    if text[first : first + 1] not in ("{", "["):
        return "", first
    scanner = Scanner(text, first)
    return scanner.run(), scanner.pos


def _write_hermes(calls: Sequence[dict[str, Any]]) -> str:
    return "\n".join(f"<tool_call>\n{dumped(call)}\n</tool_call>" for call in calls)


def _write_mistral_args(calls: Sequence[dict[str, Any]]) -> str:
    written = [f"[TOOL_CALLS]{call['name']}[ARGS]{dumped(call['arguments'])}" for call in calls]
    return "".join(written)


_IN_TAGS: Final = 'JSON with the keys "name" and "arguments" between <tool_call> and </tool_call>'

SYNTAXES: Final[dict[str, Syntax]] = {
    "json": Syntax(_json, dumped, Rules(), (), ""),
    "hermes": Syntax(
        _hermes,
        _write_hermes,
        Rules("object"),
        ("<tool_call>", "</tool_call>"),
        _IN_TAGS,
    ),
    "llama": Syntax(
        _llama,
        lambda calls: "; ".join(map(dumped, calls)),
        Rules("object", "parameters"),
        ("<|python_tag|>",),
        'a JSON object with the keys "name" and "parameters"',
    ),
    "mistral": Syntax(
        _mistral,
        lambda calls: f"[TOOL_CALLS] {dumped(calls)}",
        Rules("array", ids=True),
        ("[TOOL_CALLS]",),
        '[TOOL_CALLS] and a JSON array of objects with the keys "name" and "arguments"',
    ),
    "mistral_args": Syntax(
        _mistral_args,
        _write_mistral_args,
        Rules("object"),
        ("[TOOL_CALLS]", *_ARGS_TAGS),
        "[TOOL_CALLS], the name, [ARGS] and the arguments as a JSON object",
    ),
}
"""All but Python's lists of calls, which are not JSON between tags."""
