"""Writes completions such as models give, one a line, to judge at scale.

    python benchmarks/completions.py rows.jsonl --rows 1000000
    -> {"id":"7","text":"```json\\n{\\"order\\": ...}\\n```","finish_reason":"stop"}, and so on

Most pass; the others are fenced, wrapped in prose, truncated, repeat a key, hold several objects or
have one mistake. The same seed gives the same bytes, and the memory does not grow with the rows.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec

NAMES = ("Ada Lovelace", "Grace Hopper", "José Álvarez", "Amélie Durand", "Li Wei", "Tom O'Neil")
CITIES = ("Lyon", "Zürich", "Osaka", "Porto", "Leeds", "Bergen", "Austin", "Łódź")
WORDS = ("blue", "urgent", "fragile", "paper", "cotton", "spare", "large", "returned", "gift")
NOTES = (
    "Leave at the door.",
    'Marked "fragile" on the box.',
    "Call before delivery;\nring twice.",
    "Paid, see https://example.org/p/81",
    "",
)


def value(rng: Random) -> dict[str, Any]:
    """What a model was asked for: an order, a person or a list of readings."""
    kind = rng.random()
    if kind < 0.4:
        return {
            "order": rng.randrange(10_000, 99_999),
            "customer": rng.choice(NAMES),
            "city": rng.choice(CITIES),
            "paid": rng.random() < 0.7,
            "items": [
                {"sku": f"{rng.choice('ABC')}-{rng.randrange(100)}", "qty": rng.randrange(1, 9)}
                for _ in range(rng.randrange(1, 4))
            ],
            "note": rng.choice(NOTES),
        }
    if kind < 0.8:
        return {
            "name": rng.choice(NAMES),
            "age": rng.randrange(18, 90),
            "email": f"{rng.choice(WORDS)}{rng.randrange(1000)}@example.org",
            "address": {"city": rng.choice(CITIES), "zip": str(rng.randrange(10_000, 99_999))},
            "tags": [rng.choice(WORDS) for _ in range(rng.randrange(4))],
            "manager": None,
            "active": rng.random() < 0.5,
        }
    return {
        "station": rng.choice(CITIES),
        "unit": "celsius",
        "readings": [round(rng.uniform(-20, 40), 2) for _ in range(rng.randrange(3, 12))],
        "valid": True,
    }


def _fenced(text: str, rng: Random) -> str:
    return f"```json\n{text}\n```"


def _prose_before(text: str, rng: Random) -> str:
    return rng.choice(("Here is the JSON:\n", "Sure! ", "Answer: ")) + text


def _prose_behind(text: str, rng: Random) -> str:
    return text + rng.choice(
        ("\n\nLet me know if you need more.", " Done.", "\nI hope this helps!")
    )


def _truncated(text: str, rng: Random) -> str:
    return text[: rng.randrange(1, len(text))]


def _repeated_key(text: str, rng: Random) -> str:
    return text[:-1] + ", " + text[1 : text.index(":")] + ": null}"


def _several(text: str, rng: Random) -> str:
    return text + rng.choice(("", "\n", ", ")) + text


def _mistake(text: str, rng: Random) -> str:
    return rng.choice(
        (text[:-1] + ",}", text.replace("true", "True").replace('"', "'"), text.replace(",", "", 1))
    )


WAYS: tuple[tuple[float, Callable[[str, Random], str]], ...] = (
    (0.08, _fenced),
    (0.04, _prose_before),
    (0.05, _prose_behind),
    (0.05, _truncated),
    (0.02, _repeated_key),
    (0.03, _several),
    (0.03, _mistake),
)
"""The share of the rows that is broken in each way; the rest passes."""


def rows(count: int, seed: int) -> Iterator[bytes]:
    """Yield `count` lines."""
    rng = Random(seed)
    encode = msgspec.json.Encoder().encode
    for number in range(count):
        indent = 2 if rng.random() < 0.1 else None
        text = json.dumps(value(rng), ensure_ascii=False, indent=indent)
        finish_reason = "stop"
        dice = rng.random()
        for share, way in WAYS:
            dice -= share
            if dice < 0:
                text = way(text, rng)
                finish_reason = "length" if way is _truncated else "stop"
                break
        yield encode({"id": str(number), "text": text, "finish_reason": finish_reason}) + b"\n"


def main() -> None:
    """Write the file that the command line names."""
    parser = argparse.ArgumentParser(description="Write completions to judge, as JSONL.")
    parser.add_argument("path", type=Path, help="the file to write")
    parser.add_argument(
        "--rows", type=int, default=1_000_000, help="how many, a million by default"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with options.path.open("wb", buffering=1 << 20) as out:
        size = sum(map(out.write, rows(options.rows, options.seed)))
    sys.stdout.write(f"{options.rows:,} completions, {size / 1e6:.1f} MB, in {options.path}\n")


if __name__ == "__main__":
    main()
