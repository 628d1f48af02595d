"""Mends rows where that needs no guess: outer white space, fences, line ends, order of keys.

write_mended(Source("rows.jsonl"), Path("out.jsonl"))
-> Mended(rows=40, counts=Counter({"outer_space": 2, "fenced_target": 1, "duplicate_rows": 1}))

A row stays in its own form; only its target is replaced. A change is made only if the new text is
strict in its format and means the same.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from fmtharness.harness.dataset.doctor_rows import FENCE, hashed, judged, strict, value_of
from fmtharness.harness.dataset.reader import Row, Source, form_of, rows, target_of
from fmtharness.harness.files import atomic_file
from fmtharness.harness.records import Example, encode

MENDS: Final = (
    "outer_space", "fenced_target", "line_ends_mixed", "key_order_mixed", "duplicate_rows",
)  # fmt: skip
_TARGETS: Final = ("completion", "chosen", "output", "response", "answer", "target")
"""Keys that hold a target where it is a plain text; else the last text that equals it is it."""
_LAYOUTS: Final = ((", ", ": "), (",", ":"), (",", ": "), (" , ", " : "))
_raw: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Mended(NamedTuple):
    """How many rows were written, and how many were mended in which way."""

    rows: int
    counts: Counter[str]


def write_mended(source: Source, path: Path, only: Sequence[str] = MENDS) -> Mended:
    """Write all rows, mended in these ways, as JSONL; a row that occurred before is left out."""
    counts: Counter[str] = Counter()
    orders = _orders(source) if "key_order_mixed" in only else {}
    seen: set[int] = set()
    written = 0
    forced = msgspec.structs.replace(source, form=source.form or form_of(source))
    with atomic_file(path) as temporary, temporary.open("wb") as out:
        for row in rows(source):
            raw, done, target = mended(row, orders, only, forced)
            counts.update(done)
            own = hashed(
                encode((row.example.prompt, row.example.tools))
                + (target or "").encode(errors="surrogatepass")
            )
            if "duplicate_rows" in only and row.example.completion is not None and own in seen:
                counts["duplicate_rows"] += 1
                continue
            seen.add(own)
            out.write(encode(raw))
            written += 1
    return Mended(written, counts)


def mended(
    row: Row, orders: dict[tuple[str, ...], tuple[str, ...]], only: Sequence[str], source: Source
) -> tuple[dict[str, Any], list[str], str | None]:
    """The row with a better target, what was mended, and the target."""
    example, target = row.example, row.example.completion
    if target is None or not target.strip():
        return row.raw, [], target
    done, better = [], target
    for way, mend in (
        ("fenced_target", _unfenced),
        ("outer_space", _stripped),
        ("line_ends_mixed", _with_line_feeds),
    ):
        new = mend(example, better) if way in only else better
        if new != better:
            better = new
            done.append(way)
    if "key_order_mixed" in only and (new := _in_order(example, better, orders)) != better:
        better = new
        done.append("key_order_mixed")
    for place in _places(row.raw, target) if done else ():
        raw = dict(_with(row.raw, place, better))
        # The same text may stand elsewhere in the row, too, and there it is left as it is.
        if target_of(source, row.line, raw) == better:
            return raw, done, better
    return row.raw, [], target


def _unfenced(example: Example, text: str) -> str:
    found = FENCE.fullmatch(text)
    return found[1] if found and not _passes(example, text) and _passes(example, found[1]) else text


def _stripped(example: Example, text: str) -> str:
    return _if_same(example, text, text.strip())


def _with_line_feeds(example: Example, text: str) -> str:
    if "\r\n" not in text or example.format == "csv":
        return text
    return _if_same(example, text, text.replace("\r\n", "\n"))


def _if_same(example: Example, text: str, new: str) -> str:
    """The new text, if it is strict and means the same."""
    if new == text or not _passes(example, new):
        return text
    return (
        new
        if not _passes(example, text) or value_of(example, text) == value_of(example, new)
        else text
    )


def _passes(example: Example, text: str) -> bool:
    verdict = judged(example, text, strict(example.format))
    return verdict is not None and bool(verdict.passed)


def _members(text: str) -> dict[str, str] | None:
    """The members of a JSON object, each value as it is written."""
    try:
        found = _raw.decode(text)
    except (ValueError, RecursionError):
        return None
    return {key: bytes(value).decode() for key, value in found.items()}


def _written(members: dict[str, str], layout: tuple[str, str, str, str]) -> str:
    opens, comma, colon, closes = layout
    inside = comma.join(
        f"{msgspec.json.encode(key).decode()}{colon}{value}" for key, value in members.items()
    )
    return f"{opens}{inside}{closes}"


def _layouts(text: str) -> Iterator[tuple[str, str, str, str]]:
    for comma, colon in _LAYOUTS:
        yield "{", comma, colon, "}"
    if "\n" in text:
        body = text[1:].lstrip("\n")
        indent = "\n" + body[: len(body) - len(body.lstrip(" \t"))]
        for colon in (": ", ":"):
            yield "{" + indent, "," + indent, colon, "\n}"


def _in_order(example: Example, text: str, orders: dict[tuple[str, ...], tuple[str, ...]]) -> str:
    """The JSON object with its keys in the usual order, if its layout can be kept."""
    members = _members(text) if text.startswith("{") and _passes(example, text) else None
    order = orders.get(tuple(sorted(members))) if members else None
    if not members or order is None or tuple(members) == order:
        return text
    for layout in _layouts(text):
        if _written(members, layout) == text:
            return _written({key: members[key] for key in order}, layout)
    return text


def _orders(source: Source) -> dict[tuple[str, ...], tuple[str, ...]]:
    """The order of each set of keys that is written in several: the schema's, else most rows'."""
    counts: dict[tuple[str, ...], Counter[tuple[str, ...]]] = {}
    by_schema: dict[tuple[str, ...], tuple[str, ...]] = {}
    for row in rows(source):
        members = _members(row.example.completion or "")
        if not members:
            continue
        order = tuple(members)
        known = tuple(sorted(order))
        counts.setdefault(known, Counter())[order] += 1
        schema = row.example.tags.get("json_schema")
        named = schema.get("properties") if isinstance(schema, dict) else None
        if isinstance(named, dict) and set(order) <= named.keys():
            by_schema[known] = tuple(key for key in named if key in members)
    found = {}
    for known, several in counts.items():
        (most, count), *others = several.most_common(2)
        if others and (known in by_schema or count > others[0][1]):
            found[known] = by_schema.get(known, most)
    return found


def _places(raw: dict[str, Any], target: str) -> Iterator[tuple[Any, ...]]:
    """Where a text stands in a row, the likely places of a target first."""
    yield from ((key,) for key in _TARGETS if raw.get(key) == target)
    for key in itertools.chain((k for k in _TARGETS if k in raw), reversed(raw)):
        yield from ((key, *inside) for inside in _texts(raw[key], target))


def _texts(node: Any, target: str) -> Iterator[tuple[Any, ...]]:
    """The paths of the texts that are the target, the last first."""
    if node == target:
        yield ()
    steps = (
        list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    )
    for step in reversed(steps):
        yield from ((step, *inside) for inside in _texts(node[step], target))


def _with(node: Any, place: tuple[Any, ...], new: str) -> Any:
    if not place:
        return new
    copy = dict(node) if isinstance(node, dict) else list(node)
    copy[place[0]] = _with(node[place[0]], place[1:], new)
    return copy
