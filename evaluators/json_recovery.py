"""Names what is wrong inside one broken object or array, and goes on behind it.

    walk('{"a": True,}', 0, problems) -> 12, and problems holds python_literal and trailing_comma

It drives `Scanner` over what is right; where that stops, it labels what stands there, moves on and
lets the scanner continue, so that later mistakes are named too. Every step consumes text or ends,
and no character is looked at more than a few times. What stands around the value is not its task.
"""

from __future__ import annotations

import re
from typing import Final

from evaluators.json_labels import Problems
from evaluators.json_scanner import (
    AFTER,
    BROKEN,
    COLON,
    DONE,
    END,
    KEY,
    KEY_OR_END,
    VALUE,
    VALUE_OR_END,
    WS,
    Scanner,
    scan_scalar,
)

_COMMENT: Final = re.compile(r"//[^\n]*+|\#[^\n]*+|/\*(?:[^*]|\*(?!/))*+(?:\*/|\Z)").match
_ELLIPSIS: Final = re.compile(r"\.{3,}+|…+").match
_ODD_SPACE: Final = re.compile(r"(?:(?![ \t\n\r])[\s\u200b\u2060\ufeff])++").match
_FENCE: Final = re.compile(r"`{3}").match
_LOOSE_STRING: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:(")|\\?\Z)', re.DOTALL).match
_SINGLE: Final = re.compile(
    rf"'(?:[^'\\]++|\\.|'(?!{WS}(?:[,:}}\]]|\Z)))*+(?:(')|\\?\Z)", re.DOTALL
).match
_SMART_OPEN: Final = "“”„‟«»‘’‚‹›"
_SMART: Final = re.compile(f'[{_SMART_OPEN}][^{_SMART_OPEN}"]*+(?:([{_SMART_OPEN}"])|\\Z)').match
_IN_STRING: Final = re.compile(
    r'(\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))|(\\(?:u[0-9a-fA-F]{0,3}+|.|\Z))|([\x00-\x1f]++)',
    re.DOTALL,
)
_QUOTED_INSIDE: Final = re.compile(rf'[^"\\\n:{{}}\[\]]*+"(?:[^"\\\n:]*+")?+(?={WS}[,}}\]])').match
_LETTER: Final = r"""[^\s"'`{}\[\],:;=#“”„]|(?<!\s)'"""
_KEY_WORDS: Final = re.compile(rf"(?:{_LETTER})++(?:[ \t]++(?:{_LETTER})++)*+").match
_WORD: Final = rf"""(?:{_LETTER}|:(?=[^\s"'{{\[,}}\]]))"""
_WORDS: Final = re.compile(rf"{_WORD}++(?:[ \t]++{_WORD}++)*+").match
_ONE_WORD: Final = re.compile(rf"{_WORD}++").match
_KEY_FOLLOWS: Final = re.compile(rf"{WS}[:=]").match
_COMMA_FOLLOWS: Final = re.compile(rf"{WS},").match
_EQUALS: Final = re.compile(r"=>?|->").match

_LEADING_ZERO: Final = re.compile(r"-?0[0-9]++(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?").fullmatch
_BAD_NUMBER: Final = re.compile(
    r"[+-]?(?:0[xX][0-9a-fA-F]++|0[oObB][0-7]++"
    r"|(?=\.?[0-9])[0-9_]*+(?:\.[0-9_]*+)?(?:[eE][+-]?[0-9]*+)?[%fFlLnjdD]?)"
).fullmatch
_NOT_FINITE: Final = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE).fullmatch
_PYTHON: Final = {"True": "true", "False": "false", "None": "null"}


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
    outcome = scanner.run()
    while outcome == BROKEN and not problems.exhausted:
        problems.steps += 1
        if scanner.pos == scanner.token and _FENCE(text, scanner.pos):
            break
        _recover(scanner, problems)
        outcome = scanner.run()
    for name, begin, end in scanner.repeats:
        note_repeated_key(problems, name, begin, end)
    if scanner.deep_at is not None:
        message = f"more than {max_depth} objects and arrays are open at once"
        problems.add("too_deep", scanner.deep_at, scanner.deep_at + 1, message)
    if outcome == DONE:
        return scanner.pos
    at = len(text) if outcome == END else scanner.pos
    if outcome == END or not problems.exhausted:
        note_truncated(problems, at, len(scanner.stack))
    return at


def note_truncated(problems: Problems, at: int, opened: int) -> None:
    """The value ends at `at` with so many brackets open."""
    message = f"the value ends with {opened} bracket{'s' * (opened != 1)} still open"
    problems.add("truncated", at, at, message)


def note_repeated_key(problems: Problems, name: str, start: int, end: int) -> None:
    """A key that its object has already stands, quotes included, at start:end."""
    problems.add("duplicate_key", start, end, f"the key {_short(name)} is here already")


def _recover(scanner: Scanner, problems: Problems) -> None:
    """Name what stands at the scanner's position and put the scanner behind it."""
    text, pos, state = scanner.text, scanner.pos, scanner.state
    token = scanner.token
    if token < pos:
        if text[token] == '"':
            _take_string(scanner, problems)
        else:
            _take_word(scanner, problems, token)
        return
    char = text[pos]
    if match := _COMMENT(text, pos):
        problems.add("comment", pos, match.end())
        scanner.pos = match.end()
    elif match := _ODD_SPACE(text, pos):
        message = f"U+{ord(char):04X} is not whitespace in JSON"
        problems.add("bad_whitespace", pos, match.end(), message)
        scanner.pos = match.end()
    elif match := _ELLIPSIS(text, pos):
        problems.add("ellipsis", pos, match.end())
        scanner.pos, scanner.state = match.end(), AFTER
    elif char in "}]":
        _take_closer(scanner, problems)
    elif state == AFTER:
        _after_value(scanner, problems)
    elif state == COLON:
        _instead_of_colon(scanner, problems)
    elif char == "'" or char in _SMART_OPEN:
        _take_quoted(scanner, problems)
    elif state in (KEY, KEY_OR_END):
        _instead_of_key(scanner, problems)
    else:
        _instead_of_value(scanner, problems)


def _take_closer(scanner: Scanner, problems: Problems) -> None:
    """A closing bracket where none can stand."""
    text, pos, state = scanner.text, scanner.pos, scanner.state
    in_object = scanner.stack[-1] is not None
    if (text[pos] == "}") == in_object:
        if state == COLON:
            problems.add("missing_colon", pos, pos + 1, "a key has neither colon nor value")
        elif state == VALUE and in_object:
            problems.add("missing_value", pos, pos + 1)
        else:
            comma = text.rfind(",", 0, pos)
            problems.add("trailing_comma", comma, comma + 1)
    else:
        fitting = len(scanner.stack) - scanner.objects if in_object else scanner.objects
        others = _closers_behind(text, pos, len(scanner.stack))
        if not fitting and (
            others >= len(scanner.stack) or _goes_on(text, pos, len(scanner.stack))
        ):
            message = f"{text[pos]} closes nothing that is open"
            problems.add("unexpected_character", pos, pos + 1, message)
            scanner.pos = pos + 1
            return
        opened = "{" if in_object else "["
        message = f"{text[pos]} stands where the innermost open bracket is {opened}"
        problems.add("mismatched_bracket", pos, pos + 1, message)
        # Where the others close all the rest it is of the wrong kind, else one was left out.
        while others < len(scanner.stack) - 1 and fitting and not _fits(scanner, text[pos]):
            scanner.close()
    scanner.close()
    scanner.pos = pos + 1


def _fits(scanner: Scanner, closer: str) -> bool:
    return (scanner.stack[-1] is None) == (closer == "]")


def _closers_behind(text: str, pos: int, opened: int) -> int:
    """How many closing brackets follow the one at `pos`, as far as that matters."""
    following = text[pos + 1 : pos + 2 + 4 * min(opened, 64)]
    closers = following[: len(following) - len(following.lstrip(" \t\n\r}]"))]
    return closers.count("}") + closers.count("]")


def _goes_on(text: str, pos: int, opened: int) -> bool:
    """Whether a comma follows the bracket at `pos` although it would end the value."""
    return opened == 1 and bool(_COMMA_FOLLOWS(text, pos + 1))


def _after_value(scanner: Scanner, problems: Problems) -> None:
    """Neither comma nor closing bracket after a value."""
    text, pos = scanner.text, scanner.pos
    char = text[pos]
    begin, end = scanner.scalar
    after_string = begin < end == pos and text[begin] == '"'
    in_array = scanner.stack[-1] is None
    next_state = VALUE if in_array else KEY
    if begin < end == pos and text[begin] != '"' and _ONE_WORD(text, pos):
        _take_word(scanner, problems, begin)
    elif after_string and _ONE_WORD(text, pos) and (match := _QUOTED_INSIDE(text, pos)):
        problems.add("unescaped_quote", end - 1, end)
        scanner.pos = match.end()
    elif char == ";":
        problems.add("missing_comma", pos, pos + 1, "a semicolon stands in place of a comma")
        scanner.pos, scanner.state = pos + 1, VALUE_OR_END if in_array else KEY_OR_END
    elif char == ":":
        _unexpected(scanner, problems, pos + 1)
        scanner.state = VALUE_OR_END if in_array else VALUE
    elif _starts_next(text, pos, in_array):
        problems.add("missing_comma", pos, pos + 1)
        scanner.state = next_state
    else:
        match = _WORDS(text, pos)
        _unexpected(scanner, problems, match.end() if match else pos + 1)


def _starts_next(text: str, pos: int, in_array: bool) -> bool:
    """Whether what stands at `pos` is the next element or member rather than prose."""
    if text[pos] in "\"'{[" or text[pos] in _SMART_OPEN:
        return True
    if in_array:
        return text[pos] in "-0123456789" or scan_scalar(text, pos)[0] == DONE
    key = _KEY_WORDS(text, pos)
    return bool(key and _KEY_FOLLOWS(text, key.end()))


def _instead_of_colon(scanner: Scanner, problems: Problems) -> None:
    text, pos = scanner.text, scanner.pos
    if match := _EQUALS(text, pos):
        message = f"{match[0]} stands in place of a colon"
        problems.add("missing_colon", pos, match.end(), message)
        scanner.pos, scanner.state = match.end(), VALUE
    elif text[pos] == ",":
        problems.add("missing_colon", pos, pos + 1, "a key has neither colon nor value")
        scanner.state = AFTER
    elif text[pos] in "\"'{[" or text[pos] in _SMART_OPEN or _ONE_WORD(text, pos):
        problems.add("missing_colon", pos, pos + 1)
        scanner.state = VALUE
    else:
        _unexpected(scanner, problems, pos + 1)


def _instead_of_key(scanner: Scanner, problems: Problems) -> None:
    text, pos = scanner.text, scanner.pos
    if text[pos] == ",":
        problems.add("extra_comma", pos, pos + 1)
        scanner.pos, scanner.state = pos + 1, KEY
    elif text[pos] in "{[":
        problems.add("unexpected_character", pos, pos + 1, "a bracket stands in place of a key")
        scanner.open(pos)
    elif match := _KEY_WORDS(text, pos):
        problems.add("unquoted_key", pos, match.end())
        scanner.note_key(pos, match.end(), match[0])
        scanner.pos, scanner.state = match.end(), COLON
    else:
        _unexpected(scanner, problems, pos + 1)
        if text[pos] == ":":
            scanner.state = VALUE


def _instead_of_value(scanner: Scanner, problems: Problems) -> None:
    text, pos = scanner.text, scanner.pos
    if text[pos] == ",":
        if scanner.stack[-1] is None:
            problems.add("extra_comma", pos, pos + 1)
            scanner.pos = pos + 1
        else:
            problems.add("missing_value", pos, pos + 1)
            scanner.state = AFTER
    elif _ONE_WORD(text, pos):
        _take_word(scanner, problems, pos)
    else:
        _unexpected(scanner, problems, pos + 1)


def _unexpected(scanner: Scanner, problems: Problems, end: int) -> None:
    found = _short(scanner.text[scanner.pos : end])
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


def _take_string(scanner: Scanner, problems: Problems) -> None:
    """A string in double quotes that holds a bad escape or a raw control character."""
    start = scanner.token
    match = _LOOSE_STRING(scanner.text, start)
    end = match.end() if match else len(scanner.text)
    label_string(scanner.text, start, end, problems)
    _took_scalar(scanner, start, end, closed=bool(match and match[1]))


def label_string(text: str, start: int, end: int, problems: Problems) -> None:
    """Name the bad escapes and raw control characters of the string at start:end."""
    for match in _IN_STRING.finditer(text, start, end):
        if match[2] and not (match.end() == len(text) and re.fullmatch(r"\\(?:u\w*)?", match[2])):
            message = f"{_short(match[2])} is no escape in JSON"
            problems.add("bad_escape", match.start(), match.end(), message)
        elif match[3]:
            message = f"U+{ord(match[3][0]):04X} must be escaped inside a string"
            problems.add("raw_control_character", match.start(), match.end(), message)
        if problems.full("bad_escape", "raw_control_character"):
            return


def _take_quoted(scanner: Scanner, problems: Problems) -> None:
    """A string in single or typographic quotes."""
    text, pos = scanner.text, scanner.pos
    single = text[pos] == "'"
    match = (_SINGLE if single else _SMART)(text, pos)
    end = match.end() if match else pos + 1
    problems.add("single_quotes" if single else "smart_quotes", pos, end)
    _took_scalar(scanner, pos, end, closed=bool(match and match[1]))


def _took_scalar(scanner: Scanner, start: int, end: int, *, closed: bool) -> None:
    scanner.pos = end
    if scanner.state in (KEY, KEY_OR_END):
        if closed:
            scanner.note_key(start, end, scanner.text[start + 1 : end - 1])
            scanner.state = COLON
    elif closed:
        scanner.scalar, scanner.state = (start, end), AFTER


def _take_word(scanner: Scanner, problems: Problems, start: int) -> None:
    """A bare word, or a number or literal that goes wrong."""
    text = scanner.text
    match = _WORDS(text, start)
    word = match[0] if match else text[start]
    label = word_label(word)
    if label != "unquoted_value":
        end = start + len(word)
    elif (first := _ONE_WORD(text, start)) and word_label(first[0]) != "unquoted_value":
        # A number or literal with prose behind it: the prose is the next problem, not this one.
        word, end = first[0], first.end()
        label = word_label(word)
    else:
        end = start + len(word)
    problems.add(label, start, end, word_message(label, word))
    scanner.pos, scanner.state = end, AFTER


def word_label(word: str) -> str:
    """What is wrong with a bare word that is not a JSON scalar."""
    if word in _PYTHON:
        return "python_literal"
    if _NOT_FINITE(word):
        return "nan_or_infinity"
    if _LEADING_ZERO(word):
        return "leading_zero"
    if _BAD_NUMBER(word):
        return "bad_number"
    return "unquoted_value"


def word_message(label: str, word: str) -> str:
    """The sentence for a word with this label."""
    return {
        "python_literal": f"{word} is Python; JSON writes {_PYTHON.get(word)}",
        "nan_or_infinity": f"{_short(word)} is not a number in JSON",
        "leading_zero": f"{_short(word)} starts with a zero that another digit follows",
        "bad_number": f"{_short(word)} is not how JSON writes a number",
        "unquoted_value": f"{_short(word)} has no quotes",
    }[label]


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "…")
