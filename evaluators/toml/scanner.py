"""Finds all that is wrong with a TOML text in one pass, without recursion.

    scan("city = Oslo\nok = True") -> problems bare_value at 7:11, python_literal at 17:21

It checks TOML's grammar, values that JSON cannot hold (dates, infinity) and what the options forbid
(comments, depth). Which keys may be defined where is left to tomllib, which reads what passes here.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from fmtharness.evaluators.possessive import re
from fmtharness.evaluators.toml.notes import NEWLINE, Notes, broken_up
from fmtharness.evaluators.toml.scalars import KEY, PART, cut_off, wrong
from fmtharness.evaluators.toml.strings import QUOTES, bad_escapes, closed, odd_quotes, over_lines
from fmtharness.harness.records import Problem

_KEY: Final = re.compile(rf"(?P<key>{KEY})[ \t]*+(?P<sign>[=:]?)")
_PARTS: Final = re.compile(PART)
_NEXT_KEY: Final = re.compile(rf"^[ \t]*+{KEY}[ \t]*+=", re.MULTILINE)
_NEXT_LINE: Final = re.compile(
    rf"\s*+(?:{KEY}[ \t]*+=|\[\[?+[ \t]*+{KEY}[ \t]*+\]\]?+[ \t\r]*+(?:[\n#]|\Z))"
)
_END: Final = re.compile(r"\s*+\Z")
_HEADER: Final = re.compile(rf"(\[\[?+)[ \t]*+(?P<key>{KEY})[ \t]*+(\]\]?+)")
_HALF_HEADER: Final = re.compile(rf"{KEY}[ \t]*+\]\]?+[ \t\r]*+(?=[\n#]|\Z)")
_WORDS_CUT: Final = {word[:end] for word in ("true", "false") for end in range(len(word))}
_BLANK: Final = re.compile(r"[ \t\r]*+")
_TO_COMMA: Final = re.compile(r"[^,\]}\n#]*+")
_TO_SIGN: Final = re.compile(r"[^=\n]*+")
_TO_SIGN_INSIDE: Final = re.compile(r"[^=,\]}\n#]*+")
_SPACE: Final = re.compile(r"[^\S\n]*+")
_TO_COMMENT: Final = re.compile(r"[^\n#]*+")
_SIGN_IN_KEY: Final = re.compile(rf"{KEY}(?::(?:{KEY})?|=={KEY})[ \t]*+(?==)")
_ROW: Final = re.compile(r"\[[^\n]*(?<=,)[ \t\r]*+(?:\n|\Z)")
_VALUE_BELOW: Final = re.compile(
    rf"\s*+(?!{KEY}[ \t]*+[=:]|\[\[?+[ \t]*+{KEY}[ \t]*+\])(?=[\"'\[{{\d+-])"
)
_CONSTANT_BELOW: Final = re.compile(r"\s*+(?=(?:true|false)[ \t\r]*+(?:[\n#]|\Z))")
_HEADER_AND_VALUE: Final = re.compile(rf"\[\[?+[ \t]*+{KEY}[ \t]*+=")
_CLOSES: Final = re.compile(r"\}[ \t]*+,?+[ \t\r]*+\Z")
_SIGNS: Final = re.compile(r"=++(?:[ \t]*+=++)*+")
_LATE_BRACKET: Final = re.compile(r"\n\]\]?+")


class _Open(NamedTuple):
    """A bracket that is not closed yet."""

    bracket: str
    depth: int


def scan(text: str, max_depth: int = 64, comments: bool = False) -> tuple[Problem, ...]:
    """All problems that do not depend on which keys were defined before."""
    scanner = _Scanner(text, max_depth, comments)
    scanner.run()
    return tuple(scanner.problems)


def further_lines(text: str, max_depth: int) -> set[str]:
    """The lines that continue a value from an earlier line, if that value is complete.

    further_lines("a = [\\n  1\\n]\\nb = 2", 64) -> {"  1", "]"}
    """
    scanner = _Scanner(text, max_depth, comments=True)
    scanner.run()
    return scanner.further


class _Scanner(Notes):
    def __init__(self, text: str, max_depth: int, comments: bool) -> None:
        super().__init__(text)
        self.max_depth = max_depth
        self.comments = comments
        self.at = 0
        self.depth = 1
        """How many tables and arrays are open at the table that the last header named."""
        self.arrays: set[tuple[str, ...]] = set()
        self.never_closed: set[str] = set()
        self.further: set[str] = set()
        """The lines of complete values, without the first of each."""

    def run(self) -> None:
        while self.at < len(self.text):
            self._blank()
            here = self.text[self.at : self.at + 1]
            if here == "\n":
                self.at += 1
            elif here == "#":
                self._comment()
            elif here == "[":
                self._header()
            elif half := _HALF_HEADER.match(self.text, self.at, self._line_end()):
                header = half[0].rstrip()
                self._note("bad_header", self.at, self.at + len(header), "its [ is missing")
                self.at = half.end()
            elif here:
                self._statement()

    def _is_rest(self) -> bool:
        """Whether only blanks part this place from the last problem, which stands above it."""
        end = self.problems[-1].end if self.problems else -1
        return 0 <= self.at - end < 100 and self.text[end : self.at].isspace()

    def _too_deep(self, start: int, end: int) -> None:
        """Note the problem, and stop reading the text."""
        self._note("too_deep", start, end)
        self.at = len(self.text)

    def _blank(self) -> None:
        self.at = _until(_BLANK, self.text, self.at)

    def _line_end(self) -> int:
        end = self.text.find("\n", self.at)
        return len(self.text) if end < 0 else end

    def _comment(self) -> None:
        end = self._line_end()
        swallowed = self.lost and self.at <= self.lost_line and broken_up(self.text, self.at, end)
        if not self.comments and not swallowed:
            self._note("comment", self.at, self.at + len(self.text[self.at : end].rstrip()))
        self.at = end

    def _rest_of_line(self, label: str) -> None:
        """Only a comment may follow on the line; anything else gets the label."""
        self._blank()
        end = self._line_end()
        if self.text[self.at : self.at + 1] == "#":
            self._comment()
        elif rest := self.text[self.at : end].rstrip():
            self._note(label, self.at, self.at + len(rest))
        self.at = end

    def _header(self) -> None:
        if self.lost and _ROW.match(self.text, self.at):
            self.at = self._line_end()  # an array's row in a value that is lost
            return
        self.lost = ""
        found = _HEADER.match(self.text, self.at)
        if found and len(found[1]) == len(found[3]):
            parts = tuple(_PARTS.findall(found["key"]))
            if len(parts) >= self.max_depth:
                self.depth = 1 + len(parts)
            else:
                inside = sum(parts[:count] in self.arrays for count in range(1, len(parts) + 1))
                if len(found[1]) == 2 and parts not in self.arrays:
                    self.arrays.add(parts)
                    inside += 1
                self.depth = 1 + len(parts) + inside
            if self.depth > self.max_depth:
                self._too_deep(*found.span("key"))
                return
            self.at = found.end()
            self._rest_of_line("bad_header")
            return
        end = self._line_end()
        line = self.text[self.at : end].rstrip()
        cut = end == len(self.text) and "]" not in line
        if cut and not _HEADER_AND_VALUE.match(self.text, self.at):
            self._note("truncated", end, end, "the text ends inside a header")
        else:
            self._note("bad_header", self.at, self.at + len(line))
        self.at = end
        if closing := _LATE_BRACKET.match(self.text, end):
            self.at = closing.end()

    def _statement(self) -> None:
        rest = self.lost and self.text[self.at] in "]}{,\"'"
        if rest and not _NEXT_LINE.match(self.text, self.at):
            self.at = self._line_end()  # the rest of a value that is lost
            return
        self.lost = ""
        if self.text[self.at] == "=" and self._is_rest():
            self.at = self._line_end()
            return
        if depth := self._key(self.depth):
            self._value(depth)

    def _key(self, depth: int, inside: bool = False) -> int:
        """Read a key and its equals sign; return the depth of its value, 0 without one."""
        start = self.at
        found = _KEY.match(self.text, start)
        if colon := _SIGN_IN_KEY.match(self.text, start):
            self._note("unquoted_key", start, start + len(colon[0].rstrip()))
            self.at = colon.end() + 1
            return depth
        if found and found["sign"]:
            self.at = found.end()
            if found["sign"] == "=" and self.text.startswith("=", self.at):
                end = _until(_SIGNS, self.text, self.at)
                self._note("missing_value", self.at, end, "a second = follows the first")
                self.lost = ""  # what follows is the value
                self.at = end
            if found["sign"] == ":":
                self._note("colon_for_equals", *found.span("sign"))
            depth += len(_PARTS.findall(found["key"])) - 1
            if depth > self.max_depth:
                self._too_deep(*found.span("key"))
                return 0
            return depth
        sign = _until(_TO_SIGN_INSIDE if inside else _TO_SIGN, self.text, start)
        if sign > start and self.text.startswith("=", sign):
            key = self.text[start:sign].rstrip()
            self._note("unquoted_key", start, start + len(key))
            self.at = sign + 1
            return depth
        end = _until(_TO_COMMA, self.text, start) if inside else self._line_end()
        line = self.text[start:end].rstrip()
        if end == len(self.text) and found and found.end() >= start + len(line):
            self._note("truncated", end, end, "the text ends behind a key")
        elif not (self.lost and line.startswith("=")):  # the rest of a key that is named already
            self._note("missing_equals", start, start + len(line))
        self.at = end
        return 0

    def _value(self, depth: int) -> None:
        """Read a value and the rest of its line; open brackets are kept in a list."""
        text = self.text
        sign = self.at - 1
        stack: list[_Open] = []
        expects, comma, broken = "value", -1, False
        while True:
            self._blank()
            here = text[self.at : self.at + 1]
            if not here:
                deep = self.problems and self.problems[-1].label == "too_deep"
                if not deep and (stack or expects == "value"):
                    self._note(
                        "truncated", len(text), len(text), "the text ends before a value does"
                    )
                return
            if here == "\n" and not stack:
                self._note("missing_value", sign, sign + 1)
                below = _VALUE_BELOW.match(text, self.at) or _CONSTANT_BELOW.match(text, self.at)
                if not below or self.lost != "missing_value":
                    return
                self.lost = ""
                self.at = below.end()
                continue
            if here == "\n":
                next_line = expects == "comma" and not broken and _NEXT_LINE.match(text, self.at)
                if self.lost == "comment" and _NEXT_LINE.match(text, self.at):
                    return
                if next_line and self.lost == "missing_equals" and stack[-1].bracket == "{":
                    self.at += 1
                    self.at = self._line_end()  # the rest of a key that a line break parts
                    return
                if next_line:
                    self._note("unclosed_bracket", sign, sign + 1)
                    return
                if stack[-1].bracket == "{" and not broken:
                    self._note("newline_in_inline_table", self.at, self.at + 1)
                    broken = True
                self.at += 1
                if stack[-1].bracket == "{" and self.lost not in ("", NEWLINE):
                    self.lost_line = self._line_end()
                if _NEXT_KEY.match(text, self.at) and stack[-1].bracket == "[":
                    end = self._line_end()
                    closing = _CLOSES.search(text, self.at, end)
                    if closing and text.count("{", self.at, end) < text.count("}", self.at, end):
                        self._note("mismatched_bracket", closing.start(), closing.start() + 1)
                        self.at = closing.start() + 1
                        expects = "comma"
                        continue
                    self._note("unclosed_bracket", sign, sign + 1)
                    return
            elif here == "#":
                inside = stack and stack[-1].bracket == "["
                begin = self.at
                self._comment()
                if not self.comments and not (inside and not broken_up(text, begin, self.at)):
                    self._lose("comment", begin)  # it takes a value or a bracket away
            elif here in "]}" and stack:
                opened = stack.pop()
                if here != ("]" if opened.bracket == "[" else "}"):
                    self._note("mismatched_bracket", self.at, self.at + 1)
                    behind = self.at + 1
                    if stack and (_END.match(text, behind) or _NEXT_LINE.match(text, behind)):
                        opened = stack.pop()  # one sign stands for two
                elif here == "}" and expects == "key" and comma >= 0:
                    self._note("trailing_comma", comma, comma + 1)
                elif expects == "value" and opened.bracket == "{":
                    self._note("missing_value", self.at - 1, self.at)
                self.at += 1
                depth = opened.depth
                if not stack:
                    self._rest_of_line("several_values")
                    self._complete(sign)
                    return
                expects = "comma"
            elif here == "," and stack:
                if expects == "comma":
                    comma = self.at
                else:
                    self._note("extra_comma", self.at, self.at + 1)
                self.at += 1
                expects = "value" if stack[-1].bracket == "[" else "key"
                depth = stack[-1].depth + 1
            elif expects == "comma":
                self._note("missing_comma", self.at, self.at)
                expects = "value" if stack[-1].bracket == "[" else "key"
            elif expects == "key":
                depth = self._key(stack[-1].depth + 1, inside=True)
                expects = "value" if depth else "comma"
            elif here in "[{":
                if depth >= self.max_depth:
                    self._too_deep(self.at, self.at + 1)
                    return
                stack.append(_Open(here, depth))
                depth += 1
                comma, broken = -1, False
                self.at += 1
                expects = "value" if here == "[" else "key"
            else:
                begin = self.at
                complete = self._scalar(bool(stack))
                if not complete and len(stack) > 1 and stack[-1].bracket == "{":
                    closing = _CLOSES.search(text, begin, self.at)
                    if closing:  # the quote took the closing brace in
                        stack.pop()
                        self.at = closing.start() + 1
                if not stack:
                    if complete:
                        self._complete(sign)
                    return
                expects = "comma"

    def _complete(self, sign: int) -> None:
        """Note the further lines of the value whose equals sign stands there."""
        if self.text[sign] == "=":
            lines = self.text[sign : self._line_end()].split("\n")[1:]
            self.further.update(line for line in lines if line.strip())

    def _scalar(self, inside: bool) -> bool:
        """Read a text or a bare word, and what stands behind it up to a comma or the line's end.

        False if it is a text whose quotes are never closed.
        """
        text, start = self.text, self.at
        quote = next((quote for quote in QUOTES if text.startswith(quote, start)), "")
        if quote and not self._string(quote):
            return False
        behind = _until(_SPACE, text, self.at)
        if quote and inside and text.startswith(('"', "'"), behind):
            self.at = behind  # the next text, and no comma before it
            return True
        end = _until(_TO_COMMA if inside else _TO_COMMENT, text, self.at)
        rest = text[self.at : end].strip()
        if not inside and not quote and text[end : end + 1] == "#" and odd_quotes(rest):
            end = self._line_end()
            rest = text[self.at : end].strip()
        begin = text.find(rest[:1], self.at)
        self.at = end
        if quote:
            if rest:
                self._forget_escape(start)
                label = "several_values" if rest[0] in ",;" else "unescaped_quote"
                self._note(label, begin, begin + len(rest))
        elif label := wrong(rest, inside):
            if end == len(text) and (cut_off(rest) if inside else rest in _WORDS_CUT):
                self._note("truncated", end, end, "the text ends inside a word")
            else:
                self._note(label, begin, begin + len(rest))
        if not inside and text[self.at : self.at + 1] == "#":
            self._comment()
        return True

    def _string(self, quote: str) -> bool:
        """Read a text in quotes; False if they are never closed, and then the line is skipped."""
        start = self.at
        if quote not in self.never_closed and (end := closed(self.text, start, quote)):
            for span in bad_escapes(self.text, start, end, quote):
                self._note("bad_escape", *span)
            self.at = end
            return True
        end = self._line_end()
        if len(quote) == 1:
            cut = end == len(self.text)
        else:
            # Searched once only, so that the time stays linear.
            cut = quote not in self.never_closed and not _NEXT_KEY.search(self.text, end)
            self.never_closed.add(quote)
        if cut:
            end = len(self.text)
            self._note("truncated", end, end, "the text ends inside quotes")
        else:
            self._note("unclosed_quote", start, start + len(self.text[start:end].rstrip()))
            if len(quote) == 1 and (later := over_lines(self.text, start, quote)):
                self.at = later
                return True
            if self.text.startswith(quote, end + 1) and not _NEXT_LINE.match(self.text, end):
                end += 2  # the quote stands on the next line
        self.at = len(self.text) if cut else end
        return False


def _until(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at
