"""Names what is wrong with one string, number, literal or bare word inside a broken value.

    True -> python_literal, 007 -> leading_zero, 'it' -> single_quotes, "a\\q" -> bad_escape

Each `take_*` labels the scanner's current token and moves the scanner behind it. Brackets, commas
and colons are left to `recovery`.
"""

from __future__ import annotations

from typing import Final

from fmtharness.evaluators.json.labels import Problems
from fmtharness.evaluators.json.scanner import AFTER, COLON, KEY, KEY_OR_END, WS, Scanner
from fmtharness.evaluators.possessive import re

comment_at: Final = re.compile(r"//[^\n]*+|\#[^\n]*+|/\*(?:[^*]|\*(?!/))*+(?:\*/|\Z)").match
odd_space: Final = re.compile(r"(?:(?![ \t\n\r])[\s\u200b\u2060\ufeff])++").match
_LOOSE_STRING: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:(")|\\?\Z)', re.DOTALL).match
_SINGLE: Final = re.compile(
    rf"'(?:[^'\\]++|\\.|'(?!{WS}(?:[,:}}\]]|\Z)))*+(?:(')|\\?\Z)", re.DOTALL
).match
SMART_QUOTES: Final = "“”„‟«»‘’‚‹›"
QUOTES: Final = SMART_QUOTES + "'`"
_BACKTICKS: Final = re.compile(r"`[^`\\]*+(?:\\.[^`\\]*+)*+(?:(`)|\\?\Z)", re.DOTALL).match
_SMART: Final = re.compile(
    rf'[{SMART_QUOTES}][^{SMART_QUOTES}"\\]*+(?:\\.[^{SMART_QUOTES}"\\]*+)*+'
    rf'(?:([{SMART_QUOTES}"])|\\?\Z)',
    re.DOTALL,
).match
_ESCAPE: Final = re.compile(
    r'(\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))|(\\(?:u[0-9a-fA-F]{0,3}+|.|\Z))', re.DOTALL
)
_CONTROL: Final = re.compile(r"[\x00-\x1f]")
LETTER: Final = r"""[^\s"'`{}\[\],:;=#“”„]|(?<!\s)'"""
_WORD: Final = rf"""(?:{LETTER}|:(?=[^\s"'{{\[,}}\]]))"""
bare_words: Final = re.compile(rf"{_WORD}++(?:[ \t]++{_WORD}++)*+").match
bare_word: Final = re.compile(rf"{_WORD}++").match
_LEADING_ZERO: Final = re.compile(r"-?0[0-9]++(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?").fullmatch
_BAD_NUMBER: Final = re.compile(
    r"[+-]?(?:0[xX][0-9a-fA-F]++|0[oObB][0-7]++"
    r"|(?=\.?[0-9])[0-9_]*+(?:\.[0-9_]*+)?(?:[eE][+-]?[0-9]*+)?[%fFlLnjdD]?)"
).fullmatch
_NOT_FINITE: Final = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE).fullmatch
_CONTROLS: Final = {
    "\n": ("a line feed", "\\n"),
    "\r": ("a carriage return", "\\r"),
    "\t": ("a tab", "\\t"),
}
_PYTHON: Final = {"True": "true", "False": "false", "None": "null"}


def take_string(scanner: Scanner, problems: Problems) -> None:
    """A string in double quotes that holds a bad escape or a raw control character."""
    start = scanner.token
    match = _LOOSE_STRING(scanner.text, start)
    end = match.end() if match else len(scanner.text)
    label_string(scanner.text, start, end, problems)
    took_scalar(scanner, start, end, closed=bool(match and match[1]))


def label_string(text: str, start: int, end: int, problems: Problems) -> None:
    """Name the bad escapes and raw control characters of the string at start:end."""
    for match in _ESCAPE.finditer(text, start, end):
        if match[2] and not (match.end() == len(text) and re.fullmatch(r"\\(?:u\w*)?", match[2])):
            message = f"{short(match[2])} is no escape in JSON"
            problems.add("bad_escape", match.start(), match.end(), message)
            if problems.full("bad_escape"):
                break
    for match in _CONTROL.finditer(text, start, end):
        code = ord(match[0])
        name, escape = _CONTROLS.get(match[0], ("a control character", f"\\u{code:04x}"))
        message = f"{name} (U+{code:04X}) must be written {escape} inside a string"
        problems.add("raw_control_character", match.start(), match.end(), message)
        if problems.full("raw_control_character"):
            break


def label_root_string(text: str, start: int, problems: Problems) -> int:
    """Name what is wrong with a string that is the root value, and return where it ends."""
    match = _LOOSE_STRING(text, start)
    end = match.end() if match else len(text)
    label_string(text, start, end, problems)
    if not (match and match[1]):
        problems.add("truncated", end, end, "the value ends inside a string")
    return end


def take_quoted(scanner: Scanner, problems: Problems) -> None:
    """A string in single or typographic quotes, or in backticks."""
    text, pos = scanner.text, scanner.pos
    quote = text[pos]
    match = {"'": _SINGLE, "`": _BACKTICKS}.get(quote, _SMART)(text, pos)
    end = match.end() if match else pos + 1
    label = "smart_quotes" if quote in SMART_QUOTES else "single_quotes"
    problems.add(label, pos, end, "a string is in backticks" if quote == "`" else None)
    took_scalar(scanner, pos, end, closed=bool(match and match[1]))


def took_scalar(scanner: Scanner, start: int, end: int, *, closed: bool) -> None:
    """Move the scanner behind a quoted key or value; `closed` says whether its quote is closed."""
    scanner.pos = end
    if scanner.state in (KEY, KEY_OR_END):
        if closed:
            scanner.note_key(start, end, scanner.text[start + 1 : end - 1])
            scanner.state = COLON
    elif closed:
        scanner.scalar, scanner.state = (start, end), AFTER


def take_word(scanner: Scanner, problems: Problems, start: int) -> None:
    """A bare word, or a number or literal that goes wrong."""
    text = scanner.text
    match = bare_words(text, start)
    word = match[0] if match else text[start]
    label = word_label(word)
    if label != "unquoted_value":
        end = start + len(word)
    elif (first := bare_word(text, start)) and word_label(first[0]) != "unquoted_value":
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
        "nan_or_infinity": f"{short(word)} is not a number in JSON",
        "leading_zero": f"{short(word)} starts with a zero that another digit follows",
        "bad_number": f"{short(word)} is not how JSON writes a number",
        "unquoted_value": f"{short(word)} has no quotes",
    }[label]


def short(text: str) -> str:
    return f"'{text if len(text) <= 40 else text[:39] + '…'}'"
