"""Names what is wrong inside one broken object or array, and goes on behind it.

    walk('{"a": True,}', 0, problems, 64, True) -> 12; problems: python_literal, trailing_comma

It drives `Scanner` over the valid parts. Where the scanner stops, it labels the mistake, moves on
and lets the scanner continue, so that later mistakes are named too. Every step consumes text or
ends, and no character is read more than a few times. Text around the value is not its task.
"""

from __future__ import annotations

from typing import Final

from fmtharness.evaluators.json.brackets import (
    left_open,
    take_closer,
    take_early_end,
    take_unopened,
)
from fmtharness.evaluators.json.labels import Problems
from fmtharness.evaluators.json.lookahead import CLEAN, read_on
from fmtharness.evaluators.json.quotes import take_continued, take_misquoted, take_unended
from fmtharness.evaluators.json.scalars import (
    LETTER,
    QUOTES,
    SMART_QUOTES,
    bare_word,
    bare_words,
    comment_at,
    odd_space,
    short,
    take_quoted,
    take_string,
    take_word,
    took_scalar,
)
from fmtharness.evaluators.json.scanner import (
    AFTER,
    CHARS,
    COLON,
    DONE,
    END,
    KEY,
    KEY_OR_END,
    SPACE,
    VALUE,
    VALUE_OR_END,
    WS,
    Scanner,
    scan_scalar,
)
from fmtharness.evaluators.json.tuples import note_tuples, take_set, take_tuples
from fmtharness.evaluators.possessive import re

_ANY_QUOTE: Final = '"' + QUOTES
# A string whose quotes are escaped, and so are the backslashes in it; or an escaped line break.
_ESCAPED: Final = re.compile(
    r'(\\"(?:[^"\\]|\\\\(?:\\["\\]|[^"\\])|\\[^"\\])*+(?:(\\")|\Z))|(?:\\[nrt])++'
).match
_ELLIPSIS: Final = re.compile(r"\.{3,}+|…+").match
_FENCE: Final = re.compile(r"`{3}").match
_QUOTED_INSIDE: Final = re.compile(rf'[^"\\\n:{{}}\[\]]*+"(?:[^"\\\n:]*+")?+(?={WS}[,}}\]])').match
_KEY_WORDS: Final = re.compile(rf"(?:{LETTER})++(?:[ \t]++(?:{LETTER})++)*+").match
_QUOTE_FOLLOWS: Final = re.compile(rf'"{WS}:').match
_VALUE_ENDS: Final = re.compile(rf"{WS}[,}}\]+]").match
_KEY_FOLLOWS: Final = re.compile(rf"{WS}[:=]").match
_ALTERNATIVES: Final = re.compile(
    rf'(?:(?:\|{{1,2}}|/|or\b|and\b){WS}"{CHARS}"{WS})++(?=[,}}\])])'
).match
_FOR_COLON: Final = re.compile(r"=>?|->|;").match


def walk(
    text: str,
    start: int,
    problems: Problems,
    max_depth: int,
    unique_keys: bool,
    *,
    checked: int = 0,
    escapes: bool = True,
) -> int:
    """Diagnose the object or array at `start` and return where it ends.

    `checked` and `escapes` are what the caller knows of the text, as `Scanner` has them.
    """
    scanner = Scanner(
        text, start, max_depth, unique_keys=unique_keys, checked=checked, escapes=escapes
    )
    known = len(problems)
    outcome = scanner.run()
    while not problems.exhausted:
        problems.steps += 1
        if outcome == DONE:
            if not take_early_end(scanner, problems):
                break
            outcome = scanner.run()
            continue
        if outcome == END:
            if not (_in_string(scanner) and take_unended(scanner, problems)):
                break
            outcome = scanner.run()
            continue
        if scanner.pos == scanner.token and (
            _FENCE(text, scanner.pos) or _ends_in_prose(scanner, problems)
        ):
            break
        _recover(scanner, problems)
        outcome = scanner.run()
    for name, begin, end in scanner.repeats:
        note_repeated_key(problems, name, begin, end)
    if scanner.deep_at is not None:
        message = f"more than {max_depth} objects and arrays are open at once"
        problems.add("too_deep", scanner.deep_at, scanner.deep_at + 1, message)
    if scanner.text is not text:
        note_tuples(text, start, scanner.pos, problems)
    if outcome == DONE:
        return scanner.pos
    at = len(text) if outcome == END else len(text[: scanner.pos].rstrip(SPACE))
    if outcome == END or not problems.exhausted:
        inside = scanner.pos == at and _in_string(scanner)
        if outcome == END and len(problems) > known and _closes_all(text, start):
            return at  # Other mistakes hide its brackets.
        note_truncated(problems, at, len(scanner.stack), in_string=inside)
    return at


def _closes_all(text: str, start: int) -> bool:
    """Whether the value at `start` ends in its own bracket, and as many close as open."""
    value = text[start:].rstrip(SPACE + "`")
    return value[-1] == ("}" if value[0] == "{" else "]") and value.count("{") + value.count(
        "["
    ) <= value.count("}") + value.count("]")


def _in_string(scanner: Scanner) -> bool:
    return scanner.token < scanner.pos and scanner.text[scanner.token] == '"'


def _ends_in_prose(scanner: Scanner, problems: Problems) -> bool:
    """Whether words stand on a new line behind a value that is never closed."""
    text, pos = scanner.text, scanner.pos
    if scanner.state != AFTER or not text[pos].isalpha() or pos < problems.last_sign(text):
        return False
    begin = pos
    while text[begin - 1] in SPACE:
        begin -= 1
    return "\n" in text[begin:pos]


def note_truncated(problems: Problems, at: int, opened: int, *, in_string: bool) -> None:
    """The value ends at `at` with `opened` brackets open."""
    brackets = f"{opened} bracket{'s' * (opened != 1)} still open"
    where = "inside a string, with" if in_string else "with"
    problems.add("truncated", at, at, f"the value ends {where} {brackets}")


def note_repeated_key(problems: Problems, name: str, start: int, end: int) -> None:
    """Note a key, quotes included, at start:end, that its object has already."""
    problems.add("duplicate_key", start, end, f"this object has the key {short(name)} already")


def _recover(scanner: Scanner, problems: Problems) -> None:
    """Label the mistake at the scanner's position and move the scanner behind it."""
    text, pos, state = scanner.text, scanner.pos, scanner.state
    token = scanner.token
    if token < pos:
        if take_misquoted(scanner, problems):
            return
        if text[token] == '"':
            take_string(scanner, problems)
        else:
            take_word(scanner, problems, token)
        return
    if state == AFTER and _take_alternatives(scanner, problems):
        return
    if take_tuples(scanner) or take_unopened(scanner, problems):
        return
    char = text[pos]
    match = comment_at(text, pos) or _ELLIPSIS(text, pos)
    odd = char in QUOTES or char == "\\"
    # What looks like a comment, dots or another string may be the content of a string.
    doubtful = (odd and (state == COLON or text[pos - 1] == '"')) or (
        match and read_on(scanner, problems, match.end(), state)[0] != CLEAN
    )
    if doubtful and take_misquoted(scanner, problems):
        return
    if match := comment_at(text, pos):
        problems.add("comment", pos, match.end())
        scanner.pos = match.end()
    elif match := odd_space(text, pos):
        message = f"U+{ord(char):04X} is not whitespace in JSON"
        problems.add("bad_whitespace", pos, match.end(), message)
        scanner.pos = match.end()
    elif match := _ELLIPSIS(text, pos):
        problems.add("ellipsis", pos, match.end())
        scanner.pos, scanner.state = match.end(), AFTER
    elif char in "}]":
        take_closer(scanner, problems)
    elif match := _ESCAPED(text, pos):
        problems.add("escaped_text", pos, match.end())
        if match[1]:
            took_scalar(scanner, pos, match.end(), closed=bool(match[2]))
        else:
            scanner.pos = match.end()
    elif char not in QUOTES and take_misquoted(scanner, problems):
        return
    elif state == AFTER:
        _after_value(scanner, problems)
    elif state == COLON:
        _instead_of_colon(scanner, problems)
    elif char in QUOTES:
        take_quoted(scanner, problems)
    elif state in (KEY, KEY_OR_END):
        _instead_of_key(scanner, problems)
    else:
        _instead_of_value(scanner, problems)


def _take_alternatives(scanner: Scanner, problems: Problems) -> bool:
    """Label further strings behind one, as in a prompt: "low" | "high", "YES" or "NO"."""
    text, pos = scanner.text, scanner.pos
    begin, end = scanner.scalar
    if not (begin < end and text[begin] == '"' and not text[end:pos].strip(SPACE)):
        return False
    match = _ALTERNATIVES(text, pos)
    if not match:
        return False
    end = pos + len(match[0].rstrip(SPACE))
    message = f"{short(text[pos:end])} stands behind a value, of which there can be one only"
    problems.add("unexpected_character", pos, end, message)
    scanner.pos = end
    return True


def _after_value(scanner: Scanner, problems: Problems) -> None:
    """Label what is neither a comma nor a closing bracket after a value."""
    text, pos = scanner.text, scanner.pos
    char = text[pos]
    begin, end = scanner.scalar
    after_string = begin < end == pos and text[begin] == '"'
    in_array = scanner.stack[-1] is None
    next_state = VALUE if in_array else KEY
    if begin < end == pos and text[begin] not in _ANY_QUOTE and bare_word(text, pos):
        take_word(scanner, problems, begin)
    elif after_string and bare_word(text, pos) and (match := _QUOTED_INSIDE(text, pos)):
        problems.add("unescaped_quote", end - 1, end)
        scanner.pos = match.end()
    elif char == ";":
        problems.add("missing_comma", pos, pos + 1, "a semicolon stands in place of a comma")
        scanner.pos, scanner.state = pos + 1, VALUE_OR_END if in_array else KEY_OR_END
    elif char == ":":
        _unexpected(scanner, problems, pos + 1)
        scanner.state = VALUE_OR_END if in_array else VALUE
    elif not in_array and char == '"' and (end := _string_that_is_no_key(text, pos)):
        message = "a string stands where a comma or a closing brace should be"
        problems.add("unexpected_character", pos, end, message)
        scanner.pos = end
    elif _starts_next(text, pos, in_array):
        problems.add("missing_comma", pos, pos + 1)
        scanner.state = next_state
    else:
        match = bare_words(text, pos)
        _unexpected(scanner, problems, match.end() if match else pos + 1)


def _string_that_is_no_key(text: str, pos: int) -> int:
    """Where the string at `pos` ends, if what follows says that it is a value; else 0."""
    outcome, end = scan_scalar(text, pos)
    return end if outcome == DONE and _VALUE_ENDS(text, end) else 0


def _starts_next(text: str, pos: int, in_array: bool) -> bool:
    """Whether what stands at `pos` is the next element or member rather than prose."""
    if text[pos] in "\"'{[" or text[pos] in SMART_QUOTES:
        return True
    if in_array:
        return text[pos] in "-0123456789" or scan_scalar(text, pos)[0] == DONE
    key = _KEY_WORDS(text, pos)
    return bool(key and _KEY_FOLLOWS(text, key.end()))


def _instead_of_colon(scanner: Scanner, problems: Problems) -> None:
    text, pos = scanner.text, scanner.pos
    if match := _FOR_COLON(text, pos):
        message = f"{match[0]} stands in place of a colon"
        problems.add("missing_colon", pos, match.end(), message)
        scanner.pos, scanner.state = match.end(), VALUE
    elif text[pos] == "," and take_set(scanner, problems):
        return
    elif text[pos] == ",":
        problems.add("missing_colon", pos, pos + 1, "a key has neither colon nor value")
        scanner.state = AFTER
    elif text[pos] in "\"'{[" or text[pos] in SMART_QUOTES or bare_word(text, pos):
        problems.add("missing_colon", pos, pos + 1)
        scanner.state = VALUE
    else:
        _unexpected(scanner, problems, pos + 1)


def _instead_of_key(scanner: Scanner, problems: Problems) -> None:
    text, pos = scanner.text, scanner.pos
    if scanner.state == KEY_OR_END and take_set(scanner, problems):
        return
    if text[pos] == ",":
        problems.add("extra_comma", pos, pos + 1)
        scanner.pos, scanner.state = pos + 1, KEY
    elif text[pos] in "{[" and left_open(scanner, problems, pos):
        return
    elif text[pos] in "{[":
        problems.add("unexpected_character", pos, pos + 1, "a bracket stands in place of a key")
        if read_on(scanner, problems, pos + 1, KEY_OR_END)[0] == CLEAN:
            scanner.pos = pos + 1
        else:
            scanner.open(pos)
    elif (match := _KEY_WORDS(text, pos)) and _QUOTE_FOLLOWS(text, match.end()):
        problems.add("unquoted_key", pos, match.end() + 1, "a key lacks its opening quote")
        scanner.note_key(pos, match.end(), match[0])
        scanner.pos, scanner.state = match.end() + 1, COLON
    elif (match := _KEY_WORDS(text, pos)) and _KEY_FOLLOWS(text, match.end()):
        _take_bare_key(scanner, problems, match.end())
    elif take_continued(scanner, problems):
        return
    elif match:
        _take_bare_key(scanner, problems, match.end())
    else:
        _unexpected(scanner, problems, pos + 1)
        if text[pos] == ":":
            scanner.state = VALUE


def _take_bare_key(scanner: Scanner, problems: Problems, end: int) -> None:
    problems.add("unquoted_key", scanner.pos, end)
    scanner.note_key(scanner.pos, end, scanner.text[scanner.pos : end])
    scanner.pos, scanner.state = end, COLON


def _instead_of_value(scanner: Scanner, problems: Problems) -> None:
    text, pos = scanner.text, scanner.pos
    if text[pos] == ",":
        if scanner.stack[-1] is None:
            problems.add("extra_comma", pos, pos + 1)
            scanner.pos = pos + 1
        else:
            problems.add("missing_value", pos, pos + 1)
            scanner.state = AFTER
    elif bare_word(text, pos):
        take_word(scanner, problems, pos)
    else:
        _unexpected(scanner, problems, pos + 1)


def _unexpected(scanner: Scanner, problems: Problems, end: int) -> None:
    found = short(scanner.text[scanner.pos : end])
    wanted = {
        KEY_OR_END: "a key or a closing brace",
        KEY: "a key",
        COLON: "a colon",
        VALUE: "a value",
        VALUE_OR_END: "a value or a closing bracket",
        AFTER: "a comma or a closing bracket",
    }[scanner.state]
    message = f"{found} stands where {wanted} should be"
    problems.add("unexpected_character", scanner.pos, end, message)
    scanner.pos = end
