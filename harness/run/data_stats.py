"""Statistics of a data set, and the proof that no two of its splits share anything.

    collect_stats(train, dev, eval)["separation"]["entity_values"]
        ->  {"train": 9312, "dev": 480, "eval": 1480, "shared": {"train/dev": 0, ...}, ...}

Everything is counted in one pass over each split. Memory grows only with dev and eval: their
values and prompts are kept, and those of train are looked up among them. All but the wordings is
read off the Examples themselves, so the proof holds for any generator, whatever it claims.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any, get_args

from msgspec import UNSET

from fmtharness.harness.contracts import Split
from fmtharness.harness.formats import for_example
from fmtharness.harness.judging.tally import TAGS, slices_of
from fmtharness.harness.plugins import component
from fmtharness.harness.records import OPEN, Example
from fmtharness.harness.report.tables import table

MEASURED = {
    "schemas": "the keys of the target at every depth, without order, case and separators",
    "templates": "the ids in tags.templates: one per wording, a hash of its words",
    "entity_values": "strings from 2 characters and numbers from 4 digits in the target",
    "prompts": "the whole prompt",
}
SLICES = (*TAGS.values(), "format")
SPLITS: tuple[Split, ...] = get_args(Split)
PAIRS = tuple(itertools.combinations(SPLITS, 2))
NOT_ENTITIES = frozenset(
    {
        "true", "false", "null", "none", "yes", "no", "monday", "tuesday", "wednesday",
        "thursday", "friday", "saturday", "sunday", "january", "february", "march", "april",
        "may", "june", "july", "august", "september", "october", "november", "december",
    }
)  # fmt: skip
"""Words that are too few to be divided, such as the days of the week."""


class SplitStats:
    """The counts of one split."""

    def __init__(self, known: Mapping[str, SplitStats], *, keeps: bool) -> None:
        self.known = dict(known)
        """The splits to compare with; they are counted to the end."""
        self.keeps = keeps
        """Whether values and prompts are kept, for another split to be compared with."""
        self.examples = 0
        self.slices: dict[str, Counter[str]] = {name: Counter() for name in SLICES}
        self.schemas: Counter[str] = Counter()
        self.templates: Counter[str] = Counter()
        self.values: set[str] = set()
        self.prompts: dict[bytes, str] = {}
        """A hash of each prompt, with the id of the first Example that has it."""
        self.totals = Counter[str]()
        self.shared = {split: {name: set[str]() for name in MEASURED} for split in self.known}
        """What this split has in common with each of the others; prompts by the other's ids."""
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
        self.completion_chars[len(example.completion or "")] += 1
        self.turns[len(example.prompt)] += 1
        known = _value(example)
        structure = schema_of(known)
        templates = example.tags.get("templates", [])
        if structure.strip("[]|"):  # a list of scalars has no keys to share
            self.schemas[structure] += 1
        self.templates.update(templates)
        values = {text for leaf in leaves(known) if (text := entity(leaf)) is not None}
        digest = sha256(prompt.encode(errors="surrogatepass")).digest()[:8]
        self.totals["entity_values"] += len(values)
        if self.keeps:
            self.values |= values
        if example.prompt:  # plain text has none to share
            self.totals["prompts"] += 1
            if self.keeps:
                self.prompts.setdefault(digest, example.id)
        for split, other in self.known.items():
            shared = self.shared[split]
            shared["schemas"].update({structure} & other.schemas.keys())
            shared["templates"].update(set(templates) & other.templates.keys())
            shared["entity_values"].update(values & other.values)
            if example.prompt and digest in other.prompts:
                shared["prompts"].add(other.prompts[digest])

    def size(self, name: str) -> int:
        """How many of a measured thing the split has: different ones, or occurrences."""
        counted = {"schemas": len(self.schemas), "templates": len(self.templates)}
        return counted.get(name, self.totals[name])

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


def collect_stats(
    train: Iterable[Example],
    dev: Iterable[Example],
    eval: Iterable[Example],  # noqa: A002
) -> dict[str, Any]:
    """The mix of each split and the separation between every two, as JSON-ready data.

    `eval` is read to its end before `dev` is begun, and `dev` before `train`.
    """
    counted: dict[str, SplitStats] = {}
    for split, examples in (("eval", eval), ("dev", dev), ("train", train)):
        stats = SplitStats(counted, keeps=split != "train")
        for example in examples:
            stats.add(example)
        counted[split] = stats
    return {
        **{split: counted[split].summary() for split in SPLITS},
        "separation": {name: _separation(name, counted) for name in MEASURED},
    }


def _separation(name: str, counted: Mapping[str, SplitStats]) -> dict[str, Any]:
    """How many of one thing each split has, and how many every two splits share."""
    shared = {f"{one}/{other}": counted[one].shared[other][name] for one, other in PAIRS}
    return {
        **{split: counted[split].size(name) for split in SPLITS},
        "shared": {pair: len(found) for pair, found in shared.items()},
        "shared_first": {pair: sorted(found)[:5] for pair, found in shared.items()},
        "measured": MEASURED[name],
    }


def _value(example: Example) -> Any:
    """What the target means; None if it means nothing. An open row's stands in its completion."""
    if example.value is not UNSET:
        return example.value
    if not example.tags.get(OPEN) or example.completion is None:
        return None
    parsed = for_example(component("formats", example.format)(), example).parse(example.completion)
    return parsed.value if parsed.ok else None


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

    Flags, nulls, numbers of up to three digits (sums recur), the names of days and months, and
    strings of one character are not entities.
    """
    if leaf is None or isinstance(leaf, bool):
        return None
    text = " ".join(str(leaf).casefold().split())
    if re.fullmatch(r"[-+]?[0-9.]+", text):
        return text if sum(character.isdigit() for character in text) >= 4 else None
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
    separation = stats["separation"]
    pairs = [f"{one}/{other}" for one, other in PAIRS]
    shared = {pair: sum(found["shared"][pair] for found in separation.values()) for pair in pairs}
    leaks = [
        f"**{pair.replace('/', ' and ').capitalize()} share {count} thing{'s' * (count > 1)}.**"
        for pair, count in shared.items()
        if count
    ]
    parts = [
        "# Data",
        "## Separation",
        " ".join(leaks) or "No two of train, dev and eval share anything that is measured here.",
        _table(
            ("what", *SPLITS, *pairs, "measured by"),
            [
                (
                    name,
                    *(found[split] for split in SPLITS),
                    *(found["shared"][pair] for pair in pairs),
                    found["measured"],
                )
                for name, found in separation.items()
            ],
        ),
        "A column of one split says how many it has, a column of two how many they share. Schemas "
        "and templates are counted once each; of values and prompts a split has as many as occur.",
    ]
    examples = [stats[split]["examples"] for split in SPLITS]
    for name in SLICES:
        counts = [stats[split][name] for split in SPLITS]
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
        parts += [f"## {name.replace('_', ' ').capitalize()}", _table((name, *SPLITS), rows)]
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
                for split in SPLITS
            ],
        ),
        "## Most common schemas",
        _table(
            ("split", "schema", "examples"),
            [
                (split, schema, count)
                for split in SPLITS
                for schema, count in stats[split]["most_common_schemas"].items()
            ],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _table(headers: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    return table(headers, [[str(cell) for cell in row] for row in rows], markdown=True)


def _share(count: int, total: int) -> str:
    return f" ({count / total:.1%})" if total else ""
