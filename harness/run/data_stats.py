"""Statistics of a data set, and the proof that train and eval share nothing.

    collect_stats(train, eval)["separation"]["entity_values"]
        ->  {"train": 9312, "eval": 1480, "shared": 0, "shared_first": [], "measured": "..."}

Everything is counted in one pass over each split. Memory grows only with the eval split: its values
and prompts are kept, and those of train are looked up among them. All but the wordings is read off
the Examples themselves, so the proof holds for any generator, whatever it claims.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any

from tabulate import tabulate

from harness.judging.tally import TAGS, slices_of
from harness.records import Example

MEASURED = {
    "schemas": "the keys of the target at every depth, without order, case and separators",
    "templates": "the ids in tags.templates: one per wording, a hash of its words",
    "entity_values": "strings from 2 characters and numbers from 3 digits in the target",
    "prompts": "the whole prompt",
}
SLICES = (*TAGS.values(), "format")
NOT_ENTITIES = frozenset({"true", "false", "null", "none", "yes", "no"})


class SplitStats:
    """The counts of one split."""

    def __init__(self, known: SplitStats | None = None) -> None:
        self.known = known
        """The split to compare with; its sets are complete."""
        self.examples = 0
        self.slices: dict[str, Counter[str]] = {name: Counter() for name in SLICES}
        self.schemas: Counter[str] = Counter()
        self.templates: Counter[str] = Counter()
        self.values: set[str] = set()
        self.prompts: set[bytes] = set()
        self.totals = Counter[str]()
        self.shared: dict[str, set[str]] = {name: set() for name in MEASURED}
        self.prompt_chars: Counter[int] = Counter()
        self.completion_chars: Counter[int] = Counter()
        self.turns: Counter[int] = Counter()

    def add(self, example: Example) -> None:
        """Count one Example."""
        self.examples += 1
        found = [(TAGS.get(dimension, dimension), value) for dimension, value in slices_of(example)]
        untagged = {*SLICES} - {name for name, _ in found}
        for name, value in (*found, *((name, "None") for name in untagged)):
            self.slices[name][value] += 1
        prompt = "\0".join(f"{turn.role}\0{turn.content}" for turn in example.prompt)
        self.prompt_chars[sum(len(turn.content) for turn in example.prompt)] += 1
        self.completion_chars[len(example.completion)] += 1
        self.turns[len(example.prompt)] += 1
        structure = schema_of(example.value)
        templates = example.tags.get("templates", [])
        if structure.strip("[]|"):  # a list of scalars has no keys to share
            self.schemas[structure] += 1
        self.templates.update(templates)
        values = {text for leaf in leaves(example.value) if (text := entity(leaf)) is not None}
        digest = sha256(prompt.encode()).digest()[:8]
        self.totals["entity_values"] += len(values)
        self.totals["prompts"] += 1
        if self.known is None:
            self.values |= values
            self.prompts.add(digest)
            return
        self.shared["schemas"].update({structure} & self.known.schemas.keys())
        self.shared["templates"].update(set(templates) & self.known.templates.keys())
        self.shared["entity_values"].update(values & self.known.values)
        if digest in self.known.prompts:
            self.shared["prompts"].add(example.id)

    def summary(self) -> dict[str, Any]:
        """The split's part of the stats."""
        return {
            "examples": self.examples,
            **{name: dict(sorted(counts.items())) for name, counts in self.slices.items()},
            "schemas": len(self.schemas),
            "most_common_schemas": dict(
                sorted(self.schemas.items(), key=lambda item: (-item[1], item[0]))[:5]
            ),
            "templates": len(self.templates),
            "prompt_chars": quantiles(self.prompt_chars),
            "completion_chars": quantiles(self.completion_chars),
            "messages": {str(turns): count for turns, count in sorted(self.turns.items())},
        }


def collect_stats(train: Iterable[Example], eval: Iterable[Example]) -> dict[str, Any]:  # noqa: A002
    """The mix of both splits and the separation between them, as JSON-ready data.

    `eval` is read to its end before `train` is begun.
    """
    right = SplitStats()
    for example in eval:
        right.add(example)
    left = SplitStats(known=right)
    for example in train:
        left.add(example)
    sizes = {
        "schemas": (len(left.schemas), len(right.schemas)),
        "templates": (len(left.templates), len(right.templates)),
        "entity_values": (left.totals["entity_values"], right.totals["entity_values"]),
        "prompts": (left.totals["prompts"], right.totals["prompts"]),
    }
    return {
        "train": left.summary(),
        "eval": right.summary(),
        "separation": {
            name: {
                "train": sizes[name][0],
                "eval": sizes[name][1],
                "shared": len(left.shared[name]),
                "shared_first": sorted(left.shared[name])[:5],
                "measured": measured,
            }
            for name, measured in MEASURED.items()
        },
    }


def leaves(value: Any) -> Iterator[Any]:
    """The scalars of a value, depth first."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    else:
        yield value


def entity(leaf: Any) -> str | None:
    """The scalar as a text to compare, or None if it is too small to belong to one split.

    Flags, nulls, one- and two-digit numbers and strings of one character are not entities.
    """
    if leaf is None or isinstance(leaf, bool):
        return None
    text = " ".join(str(leaf).casefold().split())
    if re.fullmatch(r"[-+]?[0-9.]+", text):
        return text if sum(character.isdigit() for character in text) >= 3 else None
    return text if len(text) >= 2 and text not in NOT_ENTITIES else None


def schema_of(value: Any) -> str:
    """The keys of a value at every depth: `{"b": 1, "A": [{"c": 2}]}` gives `a[c],b`."""
    if isinstance(value, dict):
        parts = []
        for key, inner in value.items():
            name = "".join(character for character in str(key).casefold() if character.isalnum())
            parts.append(name + (_nested(inner)))
        return ",".join(sorted(parts))
    return _nested(value)


def _nested(value: Any) -> str:
    if isinstance(value, dict):
        return f"({schema_of(value)})"
    if isinstance(value, list):
        return f"[{'|'.join(sorted({schema_of(item) for item in value}))}]"
    return ""


def quantiles(counts: Counter[int]) -> dict[str, float]:
    """Minimum, quantiles, mean and maximum of a histogram; empty if nothing was counted."""
    total = counts.total()
    if not total:
        return {}
    ordered = sorted(counts.items())

    def quantile(share: float) -> int:
        left = share * total
        for length, count in ordered:
            left -= count
            if left <= 0:
                return length
        return ordered[-1][0]

    mean = sum(length * count for length, count in ordered) / total
    return {
        "min": ordered[0][0],
        "p50": quantile(0.5),
        "mean": round(mean, 1),
        "p95": quantile(0.95),
        "max": ordered[-1][0],
    }


def stats_markdown(stats: dict[str, Any]) -> str:
    """The stats as a page of tables."""
    splits = ("train", "eval")
    shared = sum(found["shared"] for found in stats["separation"].values())
    parts = [
        "# Data",
        "## Separation",
        "Train and eval share nothing that is measured here."
        if not shared
        else f"**Train and eval share {shared} things.**",
        _table(
            ("what", *splits, "shared", "measured by"),
            [
                (name, found["train"], found["eval"], found["shared"], found["measured"])
                for name, found in stats["separation"].items()
            ],
        ),
        "Schemas and templates are counted once each; values and prompts as often as they occur.",
    ]
    examples = [stats[split]["examples"] for split in splits]
    for name in SLICES:
        counts = [stats[split][name] for split in splits]
        rows = [
            (
                item,
                *(
                    f"{count.get(item, 0)}{_share(count.get(item, 0), total)}"
                    for count, total in zip(counts, examples, strict=True)
                ),
            )
            for item in sorted(set().union(*counts))
        ]
        parts += [f"## {name.replace('_', ' ').capitalize()}", _table((name, *splits), rows)]
    columns = ("min", "p50", "mean", "p95", "max")
    parts += [
        "## Lengths in characters",
        _table(
            ("text", "split", *columns),
            [
                (
                    text,
                    split,
                    *(stats[split][f"{text}_chars"].get(column, "") for column in columns),
                )
                for text in ("prompt", "completion")
                for split in splits
            ],
        ),
        "## Most common schemas",
        _table(
            ("split", "schema", "examples"),
            [
                (split, schema, count)
                for split in splits
                for schema, count in stats[split]["most_common_schemas"].items()
            ],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _table(headers: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True)


def _share(count: int, total: int) -> str:
    return f" ({count / total:.1%})" if total else ""
