"""Breaks valid JSON the way models break it; each way is named by the label it is judged with.

    CORRUPTIONS["python_literal"]('{"a": true}', Random(0)) -> '{"a": True}'
    CORRUPTIONS["python_literal"]('{"a": 1}', Random(0))    -> None: nothing to break that way

The text must be one valid object or array. The same text and the same generator state give the same
result, and that result carries the label (other labels may come with it).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

import msgspec

from fmtharness.evaluators.json.scanner import CHARS, SCALAR, WS
from fmtharness.evaluators.possessive import re
from fmtharness.harness.contracts import Corruption

_TOKEN: Final = re.compile(
    rf'(?P<key>"{CHARS}"(?={WS}:))|(?P<string>"{CHARS}")|(?P<open>[{{\[])|(?P<close>[}}\]])'
    r"|(?P<comma>,)|(?P<colon>:)|(?P<literal>true|false|null)|(?P<number>[-+.0-9eE]++)"
)
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*").fullmatch
_PLAIN_WORDS: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ]*").fullmatch
_PYTHON: Final = {"true": "True", "false": "False", "null": "None"}

_BEFORE: Final = (
    "Here is the JSON you asked for:\n",
    "Sure! Here's the result:\n\n",
    "Answer:\n",
    "Certainly. ",
    "json\n",
)
_AFTER: Final = (
    "\n\nI hope this helps!",
    "\nLet me know if you need anything else.",
    "\n\nNote: some fields were inferred from the text.",
    "}",
)
_REFUSALS: Final = (
    "I'm sorry, but I can't help with that.",
    "There is not enough information to answer.",
    "The value is unknown",
)


_SCALARS: Final = ("string", "literal", "number")


class _Token(msgspec.Struct, frozen=True):
    kind: str
    text: str
    start: int
    end: int
    before: str
    """The token in front of it, or an empty text."""


def _tokens(text: str, *kinds: str) -> list[_Token]:
    found = []
    before = ""
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        if kind in kinds:
            found.append(_Token(kind, match[0], *match.span(), before))
        before = match[0]
    return found


def _replace_one(
    text: str, rng: Random, tokens: Sequence[_Token], new: Callable[[str], str]
) -> str | None:
    """Put `new(token)` in place of one token."""
    if not tokens:
        return None
    token = rng.choice(tokens)
    return text[: token.start] + new(token.text) + text[token.end :]


def _replace_all(text: str, tokens: Sequence[_Token], new: Callable[[str], str]) -> str | None:
    """Put `new(token)` in place of every token."""
    if not tokens:
        return None
    pieces = []
    end = 0
    for token in tokens:
        pieces += [text[end : token.start], new(token.text)]
        end = token.end
    return "".join([*pieces, text[end:]])


def _closers_with_content(text: str) -> list[_Token]:
    return [token for token in _tokens(text, "close") if token.before not in ("{", "[")]


def _code_fence(text: str, rng: Random) -> str:
    return rng.choice(["```json\n{}\n```", "```\n{}\n```", "`{}`"]).replace("{}", text)


def _text_before(text: str, rng: Random) -> str:
    prose = rng.choice(_BEFORE)
    return (prose if text.startswith("{") else prose.rstrip() + "\n") + text


def _text_after(text: str, rng: Random) -> str:
    return text + rng.choice(_AFTER)


def _no_json(text: str, rng: Random) -> str:
    return rng.choice(_REFUSALS)


def _empty(text: str, rng: Random) -> str:
    return rng.choice(["", "\n"])


def _byte_order_mark(text: str, rng: Random) -> str:
    return "\ufeff" + text


def _multiple_roots(text: str, rng: Random) -> str:
    return text + rng.choice(["", "\n", ", ", "\n\n"]) + text


def _truncated(text: str, rng: Random) -> str | None:
    whole = text.rstrip()
    if len(whole) < 2:
        return None
    cut = whole[: rng.randrange(1, len(whole))]
    # A string that ends in a bracket reads as one that lacks its closing quote.
    return cut.rstrip().rstrip("]}").rstrip() or whole[0] if cut.rstrip()[-1] in "]}" else cut


def _trailing_comma(text: str, rng: Random) -> str | None:
    return _replace_one(text, rng, _closers_with_content(text), lambda token: "," + token)


def _ellipsis(text: str, rng: Random) -> str | None:
    return _replace_one(text, rng, _closers_with_content(text), lambda token: ", ..." + token)


def _extra_comma(text: str, rng: Random) -> str | None:
    return _replace_one(text, rng, _tokens(text, "comma"), lambda token: ",,")


def _missing_comma(text: str, rng: Random) -> str | None:
    return _replace_one(text, rng, _tokens(text, "comma"), lambda token: " ")


def _missing_colon(text: str, rng: Random) -> str | None:
    instead = rng.choice([" ", " = ", " => "])
    return _replace_one(text, rng, _tokens(text, "colon"), lambda token: instead)


def _missing_value(text: str, rng: Random) -> str | None:
    values = [token for token in _tokens(text, *_SCALARS) if token.before == ":"]
    return _replace_one(text, rng, values, lambda token: "")


def _comment(text: str, rng: Random) -> str | None:
    way = rng.choice(["before", "after", "inside", "inside"])
    if way == "before":
        return rng.choice(["// the record\n", "/* the record */\n", "# the record\n"]) + text
    if way == "after":
        return text + rng.choice([" // done\n", "\n// done\n", "\n/* done */", " # done\n"])
    comment = rng.choice([", // and so on\n", ", /* optional */ ", ", # next\n"])
    return _replace_one(text, rng, _tokens(text, "comma"), lambda token: comment)


def too_deep(max_depth: int) -> Corruption:
    """Nest a value in more arrays than may be open at once."""

    def nest(text: str, rng: Random) -> str | None:
        values = _tokens(text, *_SCALARS)
        opening, closing = "[" * max_depth, "]" * max_depth
        return _replace_one(text, rng, values, lambda token: opening + token + closing)

    return nest


def _unexpected_character(text: str, rng: Random) -> str | None:
    sign = rng.choice(["&", "|", "%", "*", ")"])
    values = [token for token in _tokens(text, "literal", "string") if token.before == ":"]
    return _replace_one(text, rng, values, lambda token: f"{token} {sign}")


def _bad_whitespace(text: str, rng: Random) -> str | None:
    return _replace_one(text, rng, _tokens(text, "comma", "colon"), lambda token: token + "\u00a0")


def _mismatched_bracket(text: str, rng: Random) -> str | None:
    choices = _tokens(text, "close")
    return _replace_one(text, rng, choices, lambda token: "}" if token == "]" else "]")


def _wrong_brackets(text: str, rng: Random) -> str | None:
    # The root stays what it is.
    opened: list[_Token] = []
    arrays = []
    for token in _tokens(text, "open", "close"):
        if token.kind == "open":
            opened.append(token)
            continue
        opener = opened.pop()
        if opened and opener.text == "[" and token.before != "[":
            arrays.append((opener.start, token.start))
    if not arrays:
        return _replace_one(text, rng, _outermost(text), lambda token: f"({token},)")
    start, end = rng.choice(arrays)
    as_set = _ELEMENTS(text, start, end + 1) and rng.random() < 0.3
    left, right = "{}" if as_set else "()"
    return f"{text[:start]}{left}{text[start + 1 : end]}{right}{text[end + 1 :]}"


def _outermost(text: str) -> list[_Token]:
    """The scalars that are nested least, so that another bracket makes nothing too deep."""
    depth, found = 0, []
    for token in _tokens(text, "open", "close", *_SCALARS):
        depth += {"open": 1, "close": -1}.get(token.kind, 0)
        if token.kind in _SCALARS:
            found.append((depth, token))
    least = min((depth for depth, _ in found), default=0)
    return [token for depth, token in found if depth == least]


_ELEMENTS: Final = re.compile(rf"\[{WS}{SCALAR}(?:{WS},{WS}{SCALAR})+{WS}\]").fullmatch


def _single_quotes(text: str, rng: Random) -> str | None:
    def in_single_quotes(token: str) -> str:
        inside = token[1:-1].replace("'", "\\'")
        return f"'{inside}'"

    return _replace_all(text, _tokens(text, "key", "string"), in_single_quotes)


def _smart_quotes(text: str, rng: Random) -> str | None:
    strings = _tokens(text, "key", "string")
    return _replace_all(text, strings, lambda token: f"“{token[1:-1]}”")


def _unquoted_key(text: str, rng: Random) -> str | None:
    keys = [token for token in _tokens(text, "key") if _IDENTIFIER(token.text[1:-1])]
    return _replace_all(text, keys, lambda token: token[1:-1])


def _unquoted_value(text: str, rng: Random) -> str | None:
    words = [
        token
        for token in _tokens(text, "string")
        if _IDENTIFIER(token.text[1:-1]) and token.text[1:-1].lower() not in _WORDS_OF_ANOTHER_LABEL
    ]
    return _replace_one(text, rng, words, lambda token: token[1:-1])


_WORDS_OF_ANOTHER_LABEL: Final = {"true", "false", "null", "none", "nan", "inf", "infinity"}


def _duplicate_key(text: str, rng: Random) -> str | None:
    keys = _tokens(text, "key")
    return _replace_one(text, rng, keys, lambda token: f"{token}: null, {token}")


def _python_literal(text: str, rng: Random) -> str | None:
    return _replace_one(text, rng, _tokens(text, "literal"), _PYTHON.__getitem__)


def _nan_or_infinity(text: str, rng: Random) -> str | None:
    name = rng.choice(["NaN", "Infinity", "-Infinity"])
    return _replace_one(text, rng, _tokens(text, "number"), lambda token: name)


def _leading_zero(text: str, rng: Random) -> str | None:
    def padded(token: str) -> str:
        return "-0" + token[1:] if token.startswith("-") else "0" + token

    return _replace_one(text, rng, _tokens(text, "number"), padded)


def _bad_number(text: str, rng: Random) -> str | None:
    positive = [token for token in _tokens(text, "number") if not token.text.startswith("-")]
    return _replace_one(text, rng, positive, lambda token: "+" + token)


def _bad_escape(text: str, rng: Random) -> str | None:
    escape = rng.choice(["\\x41", "\\'", "\\_", "\\u00"])
    strings = _tokens(text, "string")
    return _replace_one(text, rng, strings, lambda token: f'"{escape} {token[1:]}')


def _raw_control_character(text: str, rng: Random) -> str | None:
    control = rng.choice(["\n", "\t"])
    return _replace_one(text, rng, _tokens(text, "string"), lambda token: f'"{control}{token[1:]}')


def _lone_surrogate(text: str, rng: Random) -> str | None:
    return _replace_one(text, rng, _tokens(text, "string"), lambda token: f'"\\ud83d {token[1:]}')


def _unescaped_quote(text: str, rng: Random) -> str | None:
    plain = [token for token in _tokens(text, "string") if _PLAIN_WORDS(token.text[1:-1])]
    pattern = rng.choice(_QUOTED)
    return _replace_one(text, rng, plain, lambda token: pattern.replace("%", token[1:-1]))


_QUOTED: Final = (
    *('"the "new" %"', '"24" %"', '"% 24""', '""%" as they say"', '"the "new" and "old" %"'),
    *('"<a href="u" class="v">%</a>"', '"print("%", end="")"', '"he said "%", then left"'),
    '"{"name": "%", "size": 1}"',
)


def _unclosed_quote(text: str, rng: Random) -> str | None:
    plain = [token for token in _tokens(text, "key", "string") if _PLAIN_WORDS(token.text[1:-1])]
    return _replace_one(text, rng, plain, lambda token: token[:-1])


def _escaped_text(text: str, rng: Random) -> str | None:
    if not _tokens(text, "key", "string"):
        return None
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return escaped.replace("\n", "\\n") if rng.random() < 0.5 else escaped


CORRUPTIONS: Final[dict[str, Corruption]] = {
    function.__name__.removeprefix("_"): function
    for function in (
        _empty,
        _no_json,
        _byte_order_mark,
        _text_before,
        _text_after,
        _code_fence,
        _multiple_roots,
        _truncated,
        _duplicate_key,
        _lone_surrogate,
        _trailing_comma,
        _extra_comma,
        _missing_comma,
        _missing_colon,
        _missing_value,
        _mismatched_bracket,
        _wrong_brackets,
        _unquoted_key,
        _unquoted_value,
        _single_quotes,
        _smart_quotes,
        _unescaped_quote,
        _unclosed_quote,
        _escaped_text,
        _bad_escape,
        _raw_control_character,
        _python_literal,
        _nan_or_infinity,
        _leading_zero,
        _bad_number,
        _comment,
        _ellipsis,
        _bad_whitespace,
        _unexpected_character,
    )
}
