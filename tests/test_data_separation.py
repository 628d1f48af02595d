"""No two splits share a schema, wording, entity value or prompt, and a leak would be seen."""

from __future__ import annotations

import importlib
import pkgutil
import re
import tracemalloc
from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec
import pytest

from fmtharness import generators
from fmtharness.generators.context import template_id
from fmtharness.generators.tasks import Tasks
from fmtharness.harness.contracts import Split
from fmtharness.harness.records import OPEN, Example, Message
from fmtharness.harness.run.data_stats import (
    PAIRS,
    SPLITS,
    collect_stats,
    entity,
    schema_of,
    stats_markdown,
)

N = 2000
OPTIONS = Tasks(
    hard_negative_prob_train=0.5,
    hard_negative_prob_eval=0.5,
    fix_bad_output_prob_train=0.2,
    fix_bad_output_prob_eval=0.2,
    eval_strictness="mixed",
)


def rows(split: Split) -> Iterator[Example]:
    return OPTIONS.generate(split, N, Random(11))


@pytest.fixture(scope="module")
def stats() -> dict[str, Any]:
    return collect_stats(*map(rows, SPLITS))


def test_nothing_is_shared_but_single_lists(stats: dict[str, Any]) -> None:
    for name, found in stats["separation"].items():
        assert all(found[split] > 100 for split in SPLITS)
        for pair, shared in found["shared_first"].items():
            if name == "schemas":  # the family `list` and the open families may share one
                shared = [each for each in shared if not re.fullmatch(r"\w+\[\]", each)]
            assert not shared, (name, pair)


def leak(name: str, train: Example, found: Example) -> Example:
    """An Example that takes one thing over from an Example of another split."""
    replace = msgspec.structs.replace
    if name == "schemas":
        return replace(found, value=dict.fromkeys(reversed(list(train.value))))
    if name == "templates":
        return replace(found, tags=found.tags | {"templates": train.tags["templates"][:1]})
    if name == "entity_values":
        taken = next(value for value in train.value.values() if entity(value))
        return replace(
            found, value=found.value | {"taken": taken.upper() if taken == str(taken) else taken}
        )
    return replace(found, prompt=train.prompt)


@pytest.mark.parametrize("pair", PAIRS, ids="/".join)
@pytest.mark.parametrize("name", ["schemas", "templates", "entity_values", "prompts"])
def test_one_leak_is_found(name: str, pair: tuple[Split, Split]) -> None:
    extract = Tasks(families={"extract": 1.0})
    splits = {split: list(extract.generate(split, 50, Random(1))) for split in SPLITS}
    clean = collect_stats(*splits.values())
    one, other = pair
    splits[other][-1] = leak(name, splits[one][3], splits[other][-1])
    leaky = collect_stats(*splits.values())
    none = {f"{left}/{right}": 0 for left, right in PAIRS}
    assert clean["separation"][name]["shared"] == none
    found = leaky["separation"][name]
    assert found["shared"] == none | {f"{one}/{other}": 1}
    assert {pair: len(first) for pair, first in found["shared_first"].items()} == found["shared"]
    page = stats_markdown(leaky)
    assert f"**{one.capitalize()} and {other} share 1 thing" in page
    assert page.count(" share ") == 1
    assert "share anything" in stats_markdown(clean)


def test_rows_without_a_prompt_share_none() -> None:
    plain = [Example(id="x", prompt=(), completion="Moss is soft.", format="none")]
    prompts = collect_stats(plain, plain, plain)["separation"]["prompts"]
    assert {prompts[split] for split in SPLITS} | {*prompts["shared"].values()} == {0}


def test_open_rows_are_counted_by_what_their_completions_hold() -> None:
    def row(name: str, completion: str) -> Example:
        prompt = (Message("user", completion),)
        tags = {OPEN: True}
        return Example(id="x", prompt=prompt, completion=completion, format=name, tags=tags)

    train = [row("json", '{"deadlines": ["Moss at noon"]}')]
    held = [row("yaml", "Deadlines:\n- Fern at dawn\n")]
    own = [row("json", '{"fern": "moss at noon"}'), row("json", "no value")]
    found = collect_stats(train, own, held)["separation"]
    assert found["schemas"]["shared_first"]["train/eval"] == ["deadlines[]"]
    assert found["entity_values"]["shared_first"]["train/dev"] == ["moss at noon"]
    assert [found["schemas"][split] for split in SPLITS] == [1, 1, 1]


def test_memory_does_not_grow_with_train() -> None:
    def examples(n: int) -> Iterator[Example]:
        for i in range(n):
            prompt = (Message("user", f"Which number is {i}?"),)
            value = {"number": f"number {i}"}
            yield Example(id=str(i), prompt=prompt, completion="", format="json", value=value)

    def peak(n: int) -> int:
        tracemalloc.start()
        collect_stats(examples(n), examples(100), examples(100))
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak(100)
    assert peak(4000) - peak(500) < 20_000


def wordings(node: Any) -> Iterator[tuple[str, str]]:
    """Every (split, template) in a tree of wordings."""
    if isinstance(node, dict) and "train" in node:
        assert list(node) == [*SPLITS], node
        for split, templates in node.items():
            yield from ((split, template) for template in templates)
    elif isinstance(node, dict):
        for inner in node.values():
            yield from wordings(inner)


def test_all_wordings_are_disjoint() -> None:
    found: dict[str, set[str]] = {split: set() for split in SPLITS}
    for module in pkgutil.walk_packages(generators.__path__, "fmtharness.generators."):
        if module.name.endswith((".jsonl", ".mix")):  # they read what others worded
            continue
        for name, node in vars(importlib.import_module(module.name)).items():
            if name.isupper():
                own = name if name in ("KEYS", "TOPICS") else ""  # words, and no wordings
                for split, template in wordings(node):
                    found[split].add(own + template_id(template))
    for one, other in PAIRS:
        assert not found[one] & found[other]
    assert min(map(len, found.values())) > 150


def test_template_id_looks_at_words() -> None:
    assert template_id("Use {format}.") == template_id("use   {format}!")
    assert template_id("Use {format}.") != template_id("Give {format}.")
    assert template_id("{label}: {value}") != template_id("{label} = {value}")


@pytest.mark.parametrize(
    ("leaf", "text"),
    [
        ("Ada  Lopez", "ada lopez"),
        ("東京", "東京"),
        (2031, "2031"),
        ("2031", "2031"),
        (12.75, "12.75"),
        (4.5, None),
        (60, None),
        ("60", None),
        (True, None),
        ("true", None),
        (None, None),
        ("x", None),
    ],
)
def test_entity(leaf: Any, text: str | None) -> None:
    assert entity(leaf) == text


def test_schema_of() -> None:
    assert schema_of({"Unit Price": 1, "city": "x"}) == schema_of({"city": "", "unit_price": 2})
    assert schema_of({"b": 1, "A": [{"c": 2}, {"c": 3}], "d": {"e": 1}}) == "a[c],b,d(e)"
    assert schema_of([{"a": 1}]) == "[a]"
    assert schema_of({"a": [1, 2]}) == "a[]"


def test_stats_count_the_mix(stats: dict[str, Any]) -> None:
    for split in SPLITS:
        part = stats[split]
        assert part["examples"] == N
        for name in ("family", "shape", "strictness", "format"):
            assert sum(part[name].values()) == N
        assert 0.15 < 1 - part["bad_outputs"]["none"] / N < 0.25
        assert 0.45 < 1 - part["hard_negatives"]["none"] / N < 0.55
        assert (
            part["prompt_chars"]["min"]
            <= part["prompt_chars"]["p50"]
            <= part["prompt_chars"]["max"]
        )
    page = stats_markdown(stats)
    assert "**Dev and eval share 1 thing.**" in page  # see the test of single lists
    assert "| train/dev | train/eval | dev/eval |" in " ".join(page.split())
    assert "| entity_values " in page and "| classify " in page


def test_stats_of_foreign_examples() -> None:
    """Data without tags and with any value is counted, not refused."""
    example = Example(
        id="0", prompt=(Message("user", "?"),), completion="[1]", format="json", value=[1]
    )
    stats = collect_stats([example], [], [])
    assert stats["train"]["family"] == {"None": 1}
    assert stats["eval"]["prompt_chars"] == {}
    assert "0" in stats_markdown(stats)
