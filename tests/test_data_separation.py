"""Train and eval share no schema, wording, entity value or prompt, and a leak would be seen."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec
import pytest

import generators
from generators.context import template_id
from generators.tasks import Tasks
from harness.contracts import Split
from harness.records import Example, Message
from harness.run.data_stats import collect_stats, entity, schema_of, stats_markdown

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
    return collect_stats(rows("train"), rows("eval"))


def test_nothing_is_shared(stats: dict[str, Any]) -> None:
    for name, found in stats["separation"].items():
        assert found["shared"] == 0, (name, found)
        assert found["train"] > 100 and found["eval"] > 100


def leak(name: str, train: Example, found: Example) -> Example:
    """An eval Example that takes one thing over from a train Example."""
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


@pytest.mark.parametrize("name", ["schemas", "templates", "entity_values", "prompts"])
def test_one_leak_is_found(name: str) -> None:
    train = list(Tasks(families={"extract": 1.0}).generate("train", 50, Random(1)))
    found = list(Tasks(families={"extract": 1.0}).generate("eval", 50, Random(1)))
    clean = collect_stats(train, found)["separation"]
    leaky = collect_stats(train, [*found[:-1], leak(name, train[3], found[-1])])["separation"]
    assert clean[name]["shared"] == 0
    assert leaky[name]["shared"] == 1 and len(leaky[name]["shared_first"]) == 1
    assert "share 1 thing" in stats_markdown(collect_stats(train, [leak(name, train[3], found[0])]))


def wordings(node: Any) -> Iterator[tuple[str, str]]:
    """Every (split, template) in a tree of wordings."""
    if isinstance(node, dict) and set(node) == {"train", "eval"}:
        for split, templates in node.items():
            yield from ((split, template) for template in templates)
    elif isinstance(node, dict):
        for inner in node.values():
            yield from wordings(inner)


def test_all_wordings_are_disjoint() -> None:
    found: dict[str, set[str]] = {"train": set(), "eval": set()}
    for module in pkgutil.walk_packages(generators.__path__, "generators."):
        for name, node in vars(importlib.import_module(module.name)).items():
            if name.isupper():
                for split, template in wordings(node):
                    found[split].add(template_id(template))
    assert not found["train"] & found["eval"]
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
    for split in ("train", "eval"):
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
    assert "Train and eval share nothing that is measured here." in page
    assert "| entity_values " in page and "| classify " in page


def test_stats_of_foreign_examples() -> None:
    """Data without tags and with any value is counted, not refused."""
    example = Example(
        id="0", prompt=(Message("user", "?"),), completion="[1]", format="json", value=[1]
    )
    stats = collect_stats([example], [])
    assert stats["train"]["family"] == {"None": 1}
    assert stats["eval"]["prompt_chars"] == {}
    assert "0" in stats_markdown(stats)
