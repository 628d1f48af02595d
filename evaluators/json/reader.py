"""Reads valid JSON exactly as RFC 8259 has it, with established parsers.

    whole('{"a": 1}')      -> {"a": 1}
    whole('{"a": 1} Done') -> UNREAD
    read('x {"a": 1} y', 2) -> ({"a": 1}, 10)

msgspec reads what it can, the standard library's C scanner the rest; both must give unique keys and
finite numbers. Problems are not diagnosed here, and UNREAD only means "not this way": a value that
nests too deeply for recursion is read by `build`, once it is known to be valid.
"""

from __future__ import annotations

from decimal import Decimal
from itertools import accumulate
from json import JSONDecodeError, JSONDecoder
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, Final

import msgspec

from fmtharness.evaluators.json.scanner import CHARS, SPACE, WS
from fmtharness.evaluators.possessive import re

UNREAD: Final[Any] = msgspec.UNSET
"""The sentinel for no value, since None is a value."""
REPEATED: Final[Any] = msgspec.NODEFAULT
"""The sentinel for the value of a text that is valid but for repeated keys."""
SAFE_DEPTH: Final = 200
"""Deeper values are built without recursion, so that the caller's stack does not matter."""
INT_DIGITS: Final = 20_000
"""Longer integers are read as Decimal: exact, equal to the int, and linear in their length."""
_CHUNK: Final = 640  # Python never sets its own limit on the digits of an int lower than this.

_STRINGS: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
NOT_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_STEP: Final = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}
_NO_LONE_ESCAPE: Final = re.compile(
    r"[^\\]*+(?:\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|u(?![dD][89a-fA-F])|[^u])[^\\]*+)*+"
)
_TOKENS: Final = re.compile(f'[{{}}\\[\\]]|"{CHARS}"(?:{WS}(:))?|[^{SPACE},"\\[\\]{{}}:]+')
_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode


def whole(
    text: str, max_depth: int = SAFE_DEPTH, unique_keys: bool = True, unicode_scalars: bool = True
) -> Any:
    """The value of a text that is one JSON value and keeps these rules, else UNREAD.

    If only repeated keys break the rules, REPEATED may be returned instead.
    """
    # Before any reader gets the text: if a caller raised Python's limit, recursion would crash.
    if not _depth_fits(text, 0, max_depth):
        return UNREAD
    if "\\u" not in text:
        try:
            value = _decode(text)
            # Without \u escapes each colon of the text is in the value's own text too, except for
            # those of members that a repeated key has replaced.
            colons = text.count(":") if unique_keys else 0
            if colons < 2 or colons == _encode(value).count(b":"):
                return value
            return REPEATED
        except msgspec.ValidationError:
            pass  # a number beyond a float's range, or an integer of thousands of digits
        except msgspec.DecodeError:
            return UNREAD
        except (ValueError, OverflowError, RecursionError):
            pass  # a lone surrogate, more digits than Python converts, or a caller's full stack
    start = 0 if text[:1] == "{" else len(text) - len(text.lstrip(SPACE))
    found = _scan(text, start, unique_keys)
    if (
        isinstance(found, tuple)
        and (found[1] == len(text) or not text[found[1] :].strip(SPACE))
        and not (unicode_scalars and has_lone_surrogate(text))
    ):
        return found[0]
    return UNREAD


def integer(digits: str) -> int | Decimal:
    """The number that a JSON integer means, whatever Python's limit on digits is."""
    if len(digits) <= _CHUNK:
        return int(digits)
    if len(digits) > INT_DIGITS:
        return Decimal(digits)
    value = 0
    for start in range(digits.startswith("-"), len(digits), _CHUNK):
        chunk = digits[start : start + _CHUNK]
        value = value * 10 ** len(chunk) + int(chunk)
    return -value if digits.startswith("-") else value


class _RepeatedKeyError(ValueError):
    """An object repeats the key that is the argument."""


def _unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(members)
    if len(value) == len(members):
        return value
    seen = set()
    for key, _ in members:
        if key in seen:
            break
        seen.add(key)
    raise _RepeatedKeyError(key)


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _scanners(**options: Any) -> dict[bool, Any]:
    decoder = JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, **options)
    any_keys = JSONDecoder(parse_constant=_no_constant, **options)
    return {True: decoder.scan_once, False: any_keys.scan_once}  # type: ignore[attr-defined]


_SHORT = _scanners()
_LONG = _scanners(parse_int=integer)


def read(
    text: str, start: int = 0, max_depth: int = SAFE_DEPTH, unique_keys: bool = True
) -> tuple[Any, int] | int:
    """The value that begins at `start` and where it ends; or how far the text is known to be valid.

    A number alone only means "not this way": there is no value, or it breaks a rule, or it needs
    more stack than is safe. Objects that close before that offset are known to repeat no key.
    `start` must be where the first token of the text's structure is. Lone surrogates are left to
    the caller.
    """
    return _scan(text, start, unique_keys) if _depth_fits(text, start, max_depth) else 0


def _scan(text: str, start: int, unique_keys: bool) -> tuple[Any, int] | int:
    # A shorter text cannot hold an integer that int() refuses.
    scanner = (_SHORT if len(text) < _CHUNK else _LONG)[unique_keys]
    try:
        found: tuple[Any, int] = scanner(text, start)
    except JSONDecodeError as error:
        return error.pos
    except StopIteration as error:
        return int(error.value)
    except _RepeatedKeyError as error:
        # The object that repeats the key closes behind its second occurrence.
        key = f'"{error.args[0]}"'
        return 0 if "\\" in text else text.find(key, text.find(key, start) + 1)
    except (ValueError, RecursionError):
        return 0
    return found


def _depth_fits(text: str, start: int, max_depth: int) -> bool:
    """Whether the brackets from `start` on go no deeper than `max_depth`, nor than is safe."""
    limit = max_depth if max_depth < SAFE_DEPTH else SAFE_DEPTH
    if text.count("{") + text.count("[") <= limit:
        return True
    outside = _STRINGS.sub("", text[start:]).encode(errors="replace")
    steps = map(_STEP.__getitem__, outside.translate(None, NOT_BRACKETS))
    return max(accumulate(steps), default=0) <= limit


def has_lone_surrogate(text: str) -> bool:
    """Whether a valid JSON text holds half of a surrogate pair, raw or escaped."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return True
    if "\\" not in text:
        return False
    clean = _NO_LONE_ESCAPE.match(text)
    return clean is None or clean.end() != len(text)


def build(text: str) -> Any:
    """The value of a text known to be valid, without recursion and whatever the size."""
    root: list[Any] = []
    stack: list[Any] = [root]
    keys: list[str] = []
    for match in _TOKENS.finditer(text):
        token = match[0]
        if match[1]:
            keys.append(scanstring(token, 1)[0])
            continue
        if token in "]}":
            stack.pop()
            continue
        value: Any = [] if token == "[" else {} if token == "{" else _scalar(token)
        if isinstance(stack[-1], dict):
            stack[-1][keys.pop()] = value
        else:
            stack[-1].append(value)
        if token in "[{":
            stack.append(value)
    return root[0]


def _scalar(token: str) -> Any:
    if token[0] == '"':
        return scanstring(token, 1)[0]
    if token in ("true", "false", "null"):
        return {"true": True, "false": False, "null": None}[token]
    return integer(token) if token.lstrip("-").isdigit() else float(token)
