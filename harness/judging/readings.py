"""What a reader made of a text, and how two such values differ.

    undumped(b"{s1:a[i1;n]}")                 -> {"a": [1, None]}
    difference({"a": 1.5}, {"a": 1})          -> Difference("number", "$.a", 1.5, 1)
    difference(2**53 + 1, float(2**53 + 1))   -> Difference("number", "$", ...), as in JavaScript
    difference(1, 1.0)                        -> None: a program would hold the same number

Nothing recurses, since a text may be nested as deeply as it is long.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final, NamedTuple

MOST_DIGITS: Final = 4_000
"""A longer integer is read as Decimal, since Python's int refuses it or takes long."""
_MARK: Final = re.compile(
    rb"(?P<plain>[ntf\[\]{}])|i(?P<whole>-?[0-9]+);|d(?P<bits>[0-9a-f]{16})"
    rb"|(?P<kind>[so])(?P<size>[0-9]+):"
)
_UTC: Final = re.compile(r"(?<=T\d\d:\d\d:\d\d)(\.0+)?(Z|\+00:00)?\Z")
_MIDNIGHT: Final = re.compile(r"(?<=\A\d{4}-\d\d-\d\d)T00:00:00\Z")
_PLAIN: Final[dict[bytes, Any]] = {b"n": None, b"t": True, b"f": False}
_NUMBERS: Final = (int, float, Decimal)


class Other(NamedTuple):
    """A value of a type that JSON lacks, such as a date, by its text."""

    text: str


ABSENT: Final = Other("nothing")
"""What stands at a key that an object lacks."""


class Difference(NamedTuple):
    """The first place where two values differ: number, text, type (of a scalar) or structure."""

    kind: str
    path: str
    one: Any
    other: Any


def undumped(dump: bytes) -> Any:
    """The value of a driver's dump. Raises ValueError if it is not a dump."""
    root: list[Any] = []
    stack: list[tuple[bytes, list[Any]]] = [(b"", root)]
    at = 0
    while at < len(dump):
        mark = _MARK.match(dump, at)
        if mark is None:
            raise ValueError(f"a dump breaks at byte {at}")
        at = mark.end()
        items = stack[-1][1]
        if plain := mark["plain"]:
            if plain in b"[{":
                stack.append((plain, []))
            elif plain in b"]}":
                opened, inner = stack.pop()
                if opened + plain not in (b"[]", b"{}"):
                    raise ValueError(f"a dump closes what it did not open at byte {at}")
                stack[-1][1].append(inner if plain == b"]" else _pairs(inner))
            else:
                items.append(_PLAIN[plain])
        elif whole := mark["whole"]:
            items.append(int(whole) if len(whole) < MOST_DIGITS else Decimal(whole.decode()))
        elif bits := mark["bits"]:
            items.append(struct.unpack(">d", bytes.fromhex(bits.decode()))[0])
        else:
            end = at + int(mark["size"])
            text = dump[at:end].decode("utf-8", "surrogatepass")
            items.append(text if mark["kind"] == b"s" else _other(text))
            at = end
    if len(stack) != 1 or len(root) != 1 or at != len(dump):
        raise ValueError("a dump ends inside a value")
    return root[0]


def _other(text: str) -> Other:
    """A moment is the same whether or not a language has a type for days, and for UTC."""
    return Other(_MIDNIGHT.sub("", _UTC.sub("", text)))


def _pairs(flat: list[Any]) -> dict[Any, Any]:
    """Of a repeated key the first counts: only rapidjson keeps several, and finds the first."""
    if len(flat) % 2:
        raise ValueError("a dump has a key without a value")
    found: dict[Any, Any] = {}
    for key, value in zip(flat[::2], flat[1::2], strict=True):
        found.setdefault(_key(key), value)
    return found


def _key(key: Any) -> Any:
    return key if isinstance(key, str) else (type(key).__name__, repr(key))


def difference(one: Any, other: Any) -> Difference | None:
    """The first difference, depth first; None if both are the same to a program."""
    stack: list[tuple[Any, Any, Any]] = [(one, other, None)]
    while stack:
        a, b, path = stack.pop()
        if a is b:
            continue
        if isinstance(a, (date, datetime, time)):
            a = _other(a.isoformat())
        if isinstance(b, (date, datetime, time)):
            b = _other(b.isoformat())
        if isinstance(a, dict) and isinstance(b, dict):
            a = {_key(key): value for key, value in a.items()}
            b = {_key(key): value for key, value in b.items()}
            if a.keys() != b.keys():
                key = next(each for each in (*a, *b) if not (each in a and each in b))
                both = a.get(key, ABSENT), b.get(key, ABSENT)
                return Difference("structure", _shown((path, key)), *both)
            stack += [(a[key], b[key], (path, key)) for key in reversed(a)]
        elif type(a) is list and type(b) is list:
            if len(a) != len(b):
                return Difference("structure", _shown(path), a, b)
            each = [(x, y, (path, at)) for at, (x, y) in enumerate(zip(a, b, strict=True))]
            stack += reversed(each)
        elif kind := _scalars(a, b):
            return Difference(kind, _shown(path), a, b)
    return None


def _scalars(a: Any, b: Any) -> str:
    """How two values differ that are not both containers of one kind; empty if they do not."""
    if isinstance(a, (list, dict)) or isinstance(b, (list, dict)):
        if isinstance(a, Other) or isinstance(b, Other):
            return "type"
        return "structure"
    if _is_number(a) and _is_number(b):
        same = a == b or (_is_nan(a) and _is_nan(b))
        return "" if same else "number"
    if type(a) is not type(b):
        return "type"
    return "" if a == b else "text"


def _is_number(value: Any) -> bool:
    return isinstance(value, _NUMBERS) and not isinstance(value, bool)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _shown(path: Any) -> str:
    """`$.a[2]`, of nested pairs that lead from a place to the root."""
    return "$" + "".join(reversed([*_steps(path)]))


def _steps(path: Any) -> Iterator[str]:
    while path is not None:
        path, step = path
        if isinstance(step, int):
            yield f"[{step}]"
        else:
            yield f".{step if isinstance(step, str) else step[1]}"
