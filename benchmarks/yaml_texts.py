"""YAML texts of all styles for the differential fuzz: drawn from a grammar, rendered, or edited.

    next(texts(Random(0), [])) -> 'a: [x, "y"]\\n'

Texts are short, since what parsers read differently shows in few characters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

import yaml

from fmtharness.evaluators.yaml.format import YamlFormat

PIECES: Final = (
    *("a", "b", "x y", "é", "😀", "1", "-1", "0", ".", "e1", "_", "+", "-", "=", "~", "<<", "null"),
    *("true", "no", "y", "1.5", "1e3", "0x1F", "0o7", "07", "1:30", "2024-05-01", ".inf", "9" * 20),
    *(" ", "  ", "   ", "\t", " \t", "\n", "\n", "\n ", "\n  ", "\n    ", "\n\t", "\n \n", "\n\n"),
    *("\r\n", "\r", "\x85", "\u2028", "\ufeff", "\xa0", "\x7f", "\x9f", "\ud800", "\ufffe"),
    *(": ", ":", ":\n", ":\t", "a: ", "\nb: ", "- ", "-", "\n- ", "-\t", "? ", "?", "\n: ", "a:b"),
    *("'", "''", '"', '\\"', "\\", "\\n", "\\x41", "\\u00e9", "\\ud83d\\ude00", "\\\n", "\\/"),
    *("\u3000", "\\ ", "%", "@", "`"),
    *("[", "]", "{", "}", ",", ", ", "[a, b]", "{a: 1}", "{a:1}", '{"a":1}', "[a: b]", "[]", "{}"),
    *("|", ">", "|-", ">+", "|2", ">1-", "|\n  ", ">-\n  ", "|+\n", "#", " #", " # c", "\n# c\n"),
    *("---", "---\n", "--- ", "...", "\n...\n", "\n---\n", "&a ", "*a", "!", "!!str "),
)
_WORDS: Final = (
    *("a", "b", "Oslo", "x y", "12", "-3", "0", "1.5", "-0", "-0.0", "true", "null", "1.0e+3", "é"),
    *("http://x.y/z", "a:b", "a#b", "a,b", "it's", 'a "b"', "10.0.0.1", "-a", "?a", ":a"),
    *("e1", ".", "..", "+", "_", "+_1", "1e", "1_", "-", "--", ".a", "1.2.3", "+1", "=a", "<a"),
    *("yes", "No", "y", "N", "on", "~", "~a", "NULL", "None", "nan", ".nan", "-.inf", "inf", "1:2"),
    *("12:30", "190:20:30", "0b1", "0o7", "08", "1.", ".5", "1.e3", "2024-05-01", "2024-5-1 1:2:3"),
    *("9007199254740993", "123456789012345678901234567890", "1.0e+400", "$x", "(a)", "a - b"),
    *("a ? b", "3 nights", "<"),
)
_NUMBER_SIGNS: Final = "0123456789+-_.:eExobTZ"
_LETTERS: Final = "yYnNoOfFuUlLrRsStTaAeEiI~=<"
_ESCAPES: Final = (
    *("\\n", "\\t", "\\\\", '\\"', "\\/", "\\x41", "\\u00e9", "\\U0001F600", "\\0", "\\e", "\\N"),
    *("\\_", "\\L", "\\ ", "\\\n  ", "\\ud83d\\ude00", "\\ud800", "\\uFEFF", "\\x85", "\\b", "\\a"),
)
_INSIDE: Final = ("a", "b c", " ", "  ", "\n", "\n  ", "\n \n  ", "\t", ": ", " #", "- ", "---")
_SCALAR_PLACES: Final = ("{}", "a: {}", "- {}", "{}: 1", "[{}]", "{{a: {}}}")
_COLONS: Final = (": ", ": ", ": ", ":  ", ":\t", " : ", ":\n  ", ":\n    ")
_BODIES: Final = (
    "a",
    "b c",
    "",
    "",
    " ",
    " x",
    "- a",
    "# c",
    "a: b",
    "\t",
    "\tx",
    "---",
    "x ",
    "é",
)
_SUITE_SIGNS: Final = {"␣": " ", "—": "", "»": "\t", "↵": "", "∎": "", "←": "\r", "⇔": "\ufeff"}
_FORMAT: Final = YamlFormat(root="any")


def texts(rng: Random, suite: Sequence[str]) -> Iterator[str]:
    """Endless texts, about half of them edited; `suite` are texts of others to be edited too."""
    while True:
        draw = rng.random()
        if rng.random() < 0.001:
            key = rng.choice("aé😀") * rng.randint(500, 1030)
            yield rng.choice(("{}: 1", '"{}": 1', "{{{}: 1}}", '- "{}" : a')).format(key)
        if suite and draw < 0.1:
            text = _edited(rng.choice(suite), rng)
        elif draw < 0.2:
            text = rng.choice(_SCALAR_PLACES).format(_word(rng))
        elif draw < 0.3:
            text = _FORMAT.render(_value(rng, 2))
        else:
            text = rng.choice(("", "", "", "", "---\n", "--- ")) + _node(rng, 0, 2)
            text += rng.choice(("", "\n", "\n", "\n\n", "\n...\n", " \n"))
        yield _edited(text, rng) if rng.random() < 0.6 else text


def suite_of(folder: str) -> list[str]:
    """The texts of a checkout of yaml-test-suite, at most 300 characters each."""
    found = []
    for path in sorted(Path(folder).glob("src/*.yaml")):
        for case in yaml.safe_load(path.read_text(encoding="utf-8")):
            text = case.get("yaml", "")
            text = text.translate(str.maketrans(_SUITE_SIGNS))
            if 0 < len(text) <= 300:
                found.append(text)
    return found


def _edited(text: str, rng: Random) -> str:
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = rng.randint(0, len(text))
        until = min(len(text), at + rng.choice((0, 0, 0, 1, 1, 2, 4)))
        piece = rng.choice(PIECES) if rng.random() < 0.8 else text[at : at + rng.randint(1, 6)]
        text = text[:at] + piece + text[until:]
    return text


def _word(rng: Random) -> str:
    if rng.random() < 0.4:
        return rng.choice(_WORDS)
    signs = rng.choice((_NUMBER_SIGNS, _NUMBER_SIGNS, _LETTERS, _NUMBER_SIGNS + _LETTERS))
    return "".join(rng.choice(signs) for _ in range(rng.randint(1, 6)))


def _value(rng: Random, depth: int) -> Any:
    if depth and rng.random() < 0.6:
        inner = [_value(rng, depth - 1) for _ in range(rng.randint(0, 3))]
        return inner if rng.random() < 0.4 else {_word(rng): value for value in inner}
    words = (_word(rng), "a\nb", "a\n\n b\n", "", " x")
    scalar = rng.choice((*words, 1, 2.5, True, None, 10**17, 1e22))
    return "".join(rng.choice(_INSIDE) for _ in range(3)) if rng.random() < 0.2 else scalar


def _node(rng: Random, indent: int, depth: int) -> str:
    """A value as it stands behind a colon or a dash of that indentation, or at the root."""
    draw = rng.random() if depth else rng.random() * 0.6
    if draw < 0.2:
        return _word(rng)
    if draw < 0.27:
        lines = [_word(rng) for _ in range(rng.randint(2, 3))]
        return (rng.choice(("\n", "\n\n", " \n", "\n\t")) + _pad(rng, indent + 1)).join(lines)
    if draw < 0.4:
        return _quoted(rng)
    if draw < 0.5:
        return _block(rng, indent)
    if draw < 0.7:
        return _flow(rng, max(depth, 1), indent)
    step = rng.choice((1, 2, 2, 2, 4))
    inner = indent + step if indent or rng.random() < 0.1 else 0
    start = "\n" + " " * inner if indent else ""
    if draw < 0.88:
        members = []
        for _ in range(rng.randint(1, 2)):
            colon = rng.choice((*_COLONS, ":\n" + _pad(rng, inner + 1)))
            key = rng.choice(("a", "b", "c", "d") * 2 + (_word(rng), _quoted(rng)))
            value = _node(rng, inner + 1, depth - 1)
            members.append(key + (":" if value.startswith("\n") else colon) + value)
    else:
        dash = rng.choice(("- ", "- ", "- ", "-  ", "-\t", "- \t", "-\n" + _pad(rng, inner + 1)))
        members = [dash + _node(rng, inner + 1, depth - 1) for _ in range(rng.randint(1, 2))]
    between = rng.choice(("\n", "\n", "\n", "\n\n", " \n", "\r\n")) + " " * inner
    return start + between.join(members)


def _pad(rng: Random, indent: int) -> str:
    tab = "\t" if rng.random() < 0.2 else ""
    return " " * max(0, indent + rng.choice((0, 0, 0, 1, -1, 2))) + tab


def _quoted(rng: Random) -> str:
    quote = rng.choice('""\'')
    inside = [rng.choice(_INSIDE) for _ in range(rng.randint(0, 3))]
    if quote == '"' and rng.random() < 0.6:
        inside.insert(rng.randint(0, len(inside)), rng.choice(_ESCAPES))
    elif rng.random() < 0.3:
        inside.append("''" if quote == "'" else '\\"')
    return quote + "".join(inside) + quote


def _block(rng: Random, indent: int) -> str:
    head = rng.choice("|>") + rng.choice(("", "-", "+", "", "-", "1", "2", "2-", "-1"))
    lines = []
    for _ in range(rng.randint(0, 4)):
        margin = max(0, indent + 1 + rng.choice((0, 0, 0, 0, 1, 2, -1)))
        lines.append(" " * margin + rng.choice(_BODIES))
    return "\n".join((head, *lines)) + rng.choice(("", "\n", "\n", "\n\n"))


def _flow(rng: Random, depth: int, indent: int) -> str:
    members = []
    mapping = rng.random() < 0.5
    for _ in range(rng.randint(0, 3)):
        value = _flow(rng, depth - 1, indent) if depth > 1 and rng.random() < 0.3 else ""
        value = value or (_quoted(rng) if rng.random() < 0.3 else _word(rng))
        if mapping or rng.random() < 0.1:
            key = _quoted(rng) if rng.random() < 0.3 else rng.choice(("a", "b", "c", _word(rng)))
            value = key + rng.choice((": ", ": ", ": ", ":", ":\t", " : ", ":\n ")) + value
        members.append(value)
    between = rng.choice((", ", ", ", ",", " , ", ",\n" + _pad(rng, indent + 1)))
    start, end = "{}" if mapping else "[]"
    inside = between.join(members) + rng.choice(("", "", "", ",", ", "))
    around = rng.choice(("", "", " ", "\n" + _pad(rng, indent + 1)))
    return start + around + inside + around + end
