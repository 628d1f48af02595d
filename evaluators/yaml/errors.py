"""Explains libyaml's errors in terms of the text that caused them.

"a: b: c"  "mapping values are not allowed in this context" -> unquoted_colon at 4:5
"a: 'it's'"  "did not find expected key"                    -> unescaped_quote at 7:9
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from fmtharness.evaluators.possessive import re
from fmtharness.evaluators.yaml.labels import LABELS
from fmtharness.harness.records import Problem

OWN_LINE: Final = re.compile(
    r"^[ \t]*+(?:-[ \t]++\S|-$|[\w./-]++:(?:[ \t]|$)"
    r"""|(?:"[^"\n]*+"|'[^'\n]*+'):(?:[ \t]|$))""",
    re.MULTILINE,
)
_MARGIN: Final = re.compile(r" *+(\t++)[ \t]*+[^ \t\r\n]")
_ESCAPE: Final = re.compile(r"\\(?:[xuU][0-9a-fA-F]{0,7}|.?)", re.DOTALL)
WORD: Final = re.compile(r"[^\s,\[\]{}]*+")
_ITEM: Final = re.compile(r"[^,\[\]{}]*+")
_KEY_BEHIND: Final = re.compile(r"[^\s,:\[\]{}][ \t]+([\w-]+)[ \t]*\Z")
_WORD_BEFORE: Final = re.compile(r"(?<![^\s,\[\]{}])[^\s,\[\]{}]+\Z")
_KEY_AT_END: Final = re.compile(r"""(?<=[ \t])(?:"[^"\n]*+"|'[^'\n]*+')[ \t]*+\Z""")
_DIRECTIVE: Final = re.compile(r"\s*+(%[^\r\n]*)")
_ENDED: Final = re.compile(r"^\.\.\.\s*+\Z", re.MULTILINE)
LONGEST_KEY: Final = 1024
TOO_LONG: Final = "a key is longer than 1,024 characters"
_FILL: Final = {
    **dict.fromkeys(("unquoted_colon", "unquoted_special", "bad_escape", "anchor_or_alias"), "x"),
    **dict.fromkeys(("tab_indent", "unescaped_quote", "missing_colon", "extra_comma"), " "),
}


class Closed(NamedTuple):
    """The last quoted text or bracketed collection that was closed; `kind` is a quote or "flow"."""

    start: int
    end: int
    kind: str = ""


def filled(text: str, error: Problem) -> str | None:
    """The text with the mistake replaced at the same length; None if that would not help."""
    fill = _FILL.get(error.label)
    if fill is None or error.start == error.end:
        return None
    return text[: error.start] + fill * (error.end - error.start) + text[error.end :]


def line_end(text: str, at: int) -> int:
    """Where the line of `at` ends, without the blanks at its end."""
    end = text.find("\n", at)
    return at + len(text[at : len(text) if end < 0 else end].rstrip())


def until(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Where the pattern's match at `at` ends."""
    found = pattern.match(text, at)
    return found.end() if found else at


def explain(text: str, error: Any, closed: Closed) -> Problem:
    """The problem behind a yaml.MarkedYAMLError."""
    said, context = error.problem or "", error.context or ""
    at = min(error.problem_mark.index, len(text))
    opened = min(error.context_mark.index, at) if error.context_mark else at
    line = text.rfind("\n", 0, at) + 1
    stop = max(at, line_end(text, at))
    here = text[at : at + 1]
    # What stands on the line of a closing quote or bracket, and behind it.
    behind = closed.end > 0 and "\n" not in text[closed.end : at]

    def problem(label: str, start: int, end: int, message: str = "") -> Problem:
        return Problem(label, message or LABELS[label], start, max(start, end))

    if "alias" in context or "anchor" in context:
        return problem(
            "anchor_or_alias", opened, max(at, opened + 1), f"an unquoted {text[opened]} starts it"
        )
    if "tag" in context or "tag handle" in said:
        return problem("tag", opened, until(WORD, text, opened))
    if "directive" in context or "directive" in said or "incompatible" in said:
        return problem("directive", line, stop)
    if "unexpected ':'" in said:  # `{a:}`
        key = _WORD_BEFORE.search(text, max(line, at - LONGEST_KEY), at)
        return problem("missing_value", key.start() if key else at, at + 1)
    margin = _MARGIN.match(text, line)
    if margin and "flow" not in context and "quoted" not in context:
        return problem("tab_indent", *margin.span(1))
    if here == "\t" or "tab character" in said:
        tab = text.find("\t", at)
        tab = at if tab < 0 else tab
        rest = text[tab:stop]
        return problem("tab_indent", tab, tab + max(1, len(rest) - len(rest.lstrip("\t"))))
    if "quoted scalar" in context or "double-quoted" in context:
        if "escape" in said or "hexdec" in said:
            slash = text.rfind("\\", opened, at + 1)
            found = _ESCAPE.match(text, slash)
            if found and found.end() < len(text):
                return problem("bad_escape", *found.span())
        return _unclosed(text, opened)
    if "could not find expected ':'" in said:
        if text[opened] in "[{" and text[opened:at].rstrip()[-1:] in ("]", "}"):
            return problem("misplaced_item", opened, line_end(text, opened))
        if text.find("\n", opened) < 0:
            return problem("truncated", len(text), len(text), "the text ends inside a key")
        return problem("missing_colon", opened, line_end(text, opened))
    if said.startswith("mapping values"):
        head = text[line:at]
        on_flow = closed.kind == "flow" and "\n" not in text[closed.end : at]
        if on_flow or re.search(r":[ \t]", head):
            return problem("unquoted_colon", at, at + 1)
        if len(head) > LONGEST_KEY:
            return problem("syntax_error", line, at, TOO_LONG)
        if bare := _bare_above(text, line, len(head) - len(head.lstrip())):
            return problem("missing_colon", *bare)
        return problem("bad_indentation", at - len(head.lstrip()), stop)
    if "sequence entries are not allowed" in said:
        return problem("misplaced_item", at, stop)
    if "mapping keys are not allowed" in said:
        return problem("complex_key", at, at + 1, "a key is marked with `?`")
    if "cannot start any token" in said:
        return problem("unquoted_special", at, at + 1, f"an unquoted text starts with {here}")
    if "block scalar" in context:
        message = f"an unquoted text starts with {text[opened]}"
        return problem("unquoted_special", opened, line_end(text, opened), message)
    if "flow" in context:
        return problem(*_in_brackets(text, at, stop, closed))
    if here == ":" and not text[line:at].strip(" -"):
        return problem("complex_key", at, at + 1, "a key is empty; it must be in quotes")
    if "document start" in said:
        if found := _DIRECTIVE.match(text):
            return problem("directive", *found.span(1))
        if _ENDED.search(text, max(0, at - 400), at):
            return problem("multiple_roots", at, at + len(text[at:].rstrip()))
        indented = text[line:at].strip() == "" and OWN_LINE.match(text, line)
        if indented:
            return problem("bad_indentation", at, stop)
        return problem("text_after", at, at + len(text[at:].rstrip()))
    if behind and closed.kind == "flow":
        message = f"an unquoted text starts with {text[closed.start]}"
        return problem("unquoted_special", closed.start, stop, message)
    if behind and closed.kind:
        if "\n" in text[closed.start : closed.end] and OWN_LINE.search(
            text, text.index("\n", closed.start) + 1, closed.end
        ):
            return problem("unclosed_quote", closed.start, line_end(text, closed.start))
        return problem("unescaped_quote", at, stop)
    if here == "-":
        return problem("misplaced_item", at, stop)
    if said.endswith("node content") and text.startswith("...", at):
        return problem("multiple_roots", at, at + 3, "`...` ends a document before its value")
    if "node content" in said and here in "]},":
        return problem("unquoted_special", at, stop, f"an unquoted text starts with {here}")
    if "expected key" in said or "indicator" in said or "block end" in said:
        return problem("bad_indentation", at, stop)
    return problem("syntax_error", at, stop, f"YAML does not allow this: {said}")


def _bare_above(text: str, line: int, margin: int) -> tuple[int, int] | None:
    """Where the text of the line above stands, if it is indented alike and has no key."""
    above = text.rfind("\n", 0, max(0, line - 1)) + 1
    written = text[above:line].rstrip()
    bare = written.lstrip()
    if not bare or len(written) - len(bare) != margin or OWN_LINE.match(written):
        return None
    return above + margin, above + len(written)


def _unclosed(text: str, opened: int) -> Problem:
    """A quote that is never closed: cut off, or forgotten where more keys or items follow."""
    after = text.find("\n", opened) + 1
    if after and OWN_LINE.search(text, after):
        return Problem("unclosed_quote", LABELS["unclosed_quote"], opened, line_end(text, opened))
    return Problem("truncated", "the text ends inside a quoted text", len(text), len(text))


def _in_brackets(text: str, at: int, stop: int, closed: Closed) -> tuple[str, int, int, str]:
    here = text[at : at + 1]
    before = text[closed.end : at]
    quoted = closed.end > 0 and closed.kind != "flow" and not before.strip(" \t")
    if not text[at:].strip():
        return "truncated", len(text), len(text), "the text ends inside brackets"
    if here in "]}":
        return "mismatched_bracket", at, at + 1, ""
    if here == ",":
        return "extra_comma", at, at + 1, ""
    if here == ":" and not _KEY_AT_END.search(before):
        swallowed = _KEY_BEHIND.search(text, max(0, at - LONGEST_KEY), at)
        if not swallowed:
            return "unquoted_colon", at, at + 1, ""
        # `{name: Ada age: 3}`: the text of two words swallowed a key.
        return "missing_comma", swallowed.start(1), swallowed.start(1), ""
    if quoted and here not in "\"'":
        return "unescaped_quote", at, min(stop, until(_ITEM, text, at)), ""
    # An unquoted text swallows a quoted key behind it: `1 "b": 2`.
    key = _KEY_AT_END.search(before)
    at = closed.end + key.start() if key else at
    return "missing_comma", at, at, ""


def unraw(char: str) -> tuple[str, str]:
    """The label and the message of a character that must be escaped."""
    if "\ud800" <= char <= "\udfff":
        return "lone_surrogate", LABELS["lone_surrogate"]
    return "control_character", f"U+{ord(char):04X} must be escaped in double quotes"
