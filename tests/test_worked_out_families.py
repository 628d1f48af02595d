"""Families that work their answers out: results are right, lists stop, no text is changed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date, timedelta
from random import Random
from typing import Any

import pytest
from msgspec import UNSET

from fmtharness.generators.families import (
    arithmetic_and_dates,
    conversation_summary,
    languages,
    long_list,
    merge_records,
    question_about_passage,
    quotes_and_escapes,
    sort_and_filter,
    unknown_as_null,
)
from fmtharness.generators.sums import UNITS
from fmtharness.generators.tasks import Tasks
from fmtharness.generators.tongues import LANGUAGES, PHRASES, WORDS
from fmtharness.generators.values import surface
from fmtharness.harness.contracts import Split
from fmtharness.harness.records import Example
from fmtharness.harness.run.data_stats import SPLITS, collect_stats

MODULES = {
    "long_list": long_list,
    "question_about_passage": question_about_passage,
    "arithmetic_and_dates": arithmetic_and_dates,
    "unknown_as_null": unknown_as_null,
    "quotes_and_escapes": quotes_and_escapes,
    "languages": languages,
    "sort_and_filter": sort_and_filter,
    "merge_records": merge_records,
    "conversation_summary": conversation_summary,
}
NUMBER = r"\d+(?:\.\d+)?"
DAY = r"\d{4}-\d\d-\d\d"


def rows(family: str, n: int, split: Split = "train", **options: Any) -> Iterator[Example]:
    """Examples without temptations and broken answers."""
    settings: dict[str, Any] = {
        "families": {family: 1.0},
        "hard_negative_prob_train": 0.0,
        "hard_negative_prob_eval": 0.0,
        "fix_bad_output_prob_train": 0.0,
        **options,
    }
    return Tasks(**settings).generate(split, n, Random(3))


def text(example: Example) -> str:
    return "\n".join(turn.content for turn in example.prompt)


def plain(key: str) -> str:
    return re.sub(r"[^a-z0-9]", "", key.lower())


def by_slot(example: Example, slots: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """The values by what their key's label may stand for, and by every such slot."""
    found: dict[str, Any] = {}
    for key, value in json.loads(example.target).items():
        for slot, labels in slots.items():
            if plain(key) in map(plain, labels):
                found[slot] = value
    return found


@pytest.mark.parametrize("family", MODULES)
def test_every_split_has_wordings_and_targets(family: str) -> None:
    asked = MODULES[family].ASK
    assert len(asked["train"]) >= 15 and len(asked["dev"]) >= 5 and len(asked["eval"]) >= 5
    for split in SPLITS:
        for example in rows(family, 60, split):
            assert json.loads(example.target)
            assert not re.search(r"\{(keys|what|n|key|value|order)\}", text(example))


def test_splits_share_nothing() -> None:
    generator = Tasks(families=dict.fromkeys(MODULES, 1.0))
    stats = collect_stats(*(generator.generate(split, 900, Random(5)) for split in SPLITS))
    for name, found in stats["separation"].items():
        assert not any(found["shared"].values()), (name, found["shared_first"])


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        yield value
    for inner in value.values() if isinstance(value, dict) else ():
        yield from leaves(inner)


def test_long_lists_are_as_long_as_asked_and_follow_their_rule() -> None:
    rules = 0
    for example in rows("long_list", 400):
        (items,) = leaves(json.loads(example.target))
        asked = text(example)
        assert 15 < len(items) <= 80
        told = [int(number) for number in re.findall(r"\d+", asked)]
        spelled = any(len(items) == number for number in told)
        first, last = items[0], items[-1]
        assert spelled or (str(first) in asked and str(last) in asked), asked
        if example.value is UNSET:
            assert len({json.dumps(item) for item in items}) > 0.9 * len(items)
        elif all(isinstance(item, int) for item in items):
            seconds = {c - 2 * b + a for a, b, c in zip(items, items[1:], items[2:], strict=False)}
            assert seconds in ({0}, {2})  # an even step, or squares
            rules += 1
    assert rules > 60


def test_long_list_count_is_the_length() -> None:
    counted = [json.loads(example.target) for example in rows("long_list", 300)]
    pairs = [[*value.values()] for value in counted if len(value) == 2]
    assert len(pairs) > 30
    assert all(count == len(items) for items, count in pairs)


def test_sums_of_two_and_several_numbers() -> None:
    checked = 0
    for example in rows("arithmetic_and_dates", 700):
        asked = text(example)
        found = by_slot(example, arithmetic_and_dates.SLOTS)
        two = re.search(r"(?:numbers are|[Tt]ake) (\d+) and (\d+)", asked)
        several = re.search(r"(?:[Ss]cores:|readings|these numbers:) ([\d, ]+\d)", asked)
        numbers = [int(n) for n in re.findall(r"\d+", two.group() if two else "")]
        numbers = numbers or [
            int(n) for n in re.findall(r"\d+", several.group() if several else "")
        ]
        if not numbers:
            continue
        checked += 1
        values = [*json.loads(example.target).values()]
        mean = round(sum(numbers) / len(numbers), 2)
        possible = [sum(numbers), mean, min(numbers), max(numbers), len(numbers)]
        possible += [abs(numbers[0] - numbers[1]), sum(numbers) % 2 == 0]
        assert all(value in possible for value in values), (asked, values)
        assert found
    assert checked > 60


def test_bills() -> None:
    checked = 0
    for example in rows("arithmetic_and_dates", 700):
        asked = text(example)
        lines = re.findall(rf"(\d+) (?:x|of the) [\w-]+(?: at|,) ({NUMBER}) (?:each|apiece)", asked)
        found = by_slot(example, {"total": ("total", "amount due", "bill total", "grand total")})
        if not lines or not found:
            continue
        checked += 1
        assert found["total"] == sum(int(count) * float(price) for count, price in lines)
        change = by_slot(example, {"change": ("change", "money back", "cash back", "returned")})
        given = re.search(rf"(?:pay with|hands over|lays) ({NUMBER})", asked)
        if change and given:
            assert change["change"] == round(float(given.group(1)) - found["total"], 2)
    assert checked > 15


def test_dates_by_the_calendar() -> None:
    weekdays = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
    kinds = set()
    for example in rows("arithmetic_and_dates", 900):
        asked = text(example)
        days = [date.fromisoformat(day) for day in re.findall(DAY, asked)]
        values = [*json.loads(example.target).values()]
        if len(days) == 2 and re.search(r"\b[Bb]orn\b", asked):
            born, today = days
            age = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
            assert all(v in (age, age >= 18, weekdays[born.weekday()]) for v in values), asked
            kinds.add("age")
        elif len(days) == 2:
            gap = (days[1] - days[0]).days
            names = [weekdays[day.weekday()] for day in days]
            assert all(value in (gap, gap // 7, *names) for value in values), asked
            kinds.add("days")
        elif len(days) == 1:
            (number,) = re.findall(r"(\d+) days", asked)
            end = days[0] + timedelta(int(number))
            assert all(v in (str(end), weekdays[days[0].weekday()]) for v in values), asked
            kinds.add("later")
        clock = re.search(r"(\d\d):(\d\d)(?: and lasts|, travel time) (\d+) minutes", asked)
        if clock:
            hours, minutes, lasts = map(int, clock.groups())
            end_minutes = hours * 60 + minutes + lasts
            clocked = f"{end_minutes // 60 % 24:02}:{end_minutes % 60:02}"
            assert all(value in (clocked, end_minutes < 1440) for value in values), asked
            kinds.add("clock")
    assert kinds == {"age", "days", "later", "clock"}


def test_units_and_shares() -> None:
    checked = 0
    for example in rows("arithmetic_and_dates", 700):
        asked = text(example)
        unit = re.search(rf"({NUMBER}) (\w+) (?:have to be|of it)|says ({NUMBER}) (\w+)\.", asked)
        into = re.search(r"the same in (\w+)", asked)
        if into and unit:
            amount = float(unit.group(1) or unit.group(3))
            name = unit.group(2) or unit.group(4)
            direct = UNITS[name][1] if UNITS.get(name, ("",))[0] == into.group(1) else None
            expected = amount * direct if direct else amount / UNITS[into.group(1)][1]
            assert [*json.loads(example.target).values()] == [expected]
            checked += 1
        shared = re.search(r"(\d+) sweets are shared among (\d+)", asked)
        if shared:
            a, b = map(int, shared.groups())
            assert all(v in (a // b, a % b) for v in json.loads(example.target).values())
            checked += 1
    assert checked > 25


def test_what_the_source_does_not_tell_is_null_or_left_out() -> None:
    nulls = left_out = lists = 0
    for example in rows("unknown_as_null", 400, quote_prob=0.0):
        asked, value = text(example), json.loads(example.target)
        source = example.prompt[-1].content
        for key, inner in value.items():
            if isinstance(inner, list):
                lists += not inner
                assert all(str(item) in source for item in inner)
            elif inner is not None:
                told = surface(inner)
                assert told in source, (key, inner)
        nulls += None in value.values()
        if re.search(r"[Ll]eave out|[Oo]mit|drop the rest|[Nn]o key without", asked):
            left_out += 1
            assert None not in value.values()
    assert nulls > 100 and left_out > 30 and lists > 10


def test_gaps_are_no_nulls_where_the_format_has_none() -> None:
    for example in rows("unknown_as_null", 80, format="toml"):
        assert "null" not in text(example).lower()


def test_texts_with_escapes_come_back_whole() -> None:
    seen = set()
    for example in rows("quotes_and_escapes", 400):
        found = by_slot(example, quotes_and_escapes.SLOTS)
        original = found["text"]
        assert original in example.prompt[-1].content
        seen |= {character for character in '"\\\n\t<$' if character in original}
        if "backslashes" in found and isinstance(found["backslashes"], int):
            assert found["backslashes"] == original.count("\\")
        if isinstance(found.get("quotes"), bool):
            assert found["quotes"] == ('"' in original)
    assert seen == {*'"\\\n\t<$'}


def test_evidence_is_a_sentence_of_the_passage_that_holds_the_answer() -> None:
    quoted = missing = 0
    for example in rows("question_about_passage", 300):
        found = by_slot(example, question_about_passage.SLOTS)
        if found.get("evidence"):
            quoted += 1
            assert found["evidence"] in example.prompt[-1].content
            if "answer" in found:
                assert str(found["answer"]) in found["evidence"]
        missing += found.get("found") is False
        assert (found.get("found") is False) <= (found.get("answer") is None)
    assert quoted > 60 and missing > 20


def test_rows_are_sorted_and_filtered() -> None:
    orders = 0
    for example in rows("sort_and_filter", 300):
        (result,) = leaves(json.loads(example.target))
        asked = text(example)
        by = re.search(r"(?:[Ss]ort|[Oo]rder them) by ([\w ]+), (smallest|largest|a|de)", asked)
        if by and isinstance(result[0], dict):
            (key,) = [key for key in result[0] if plain(key) == plain(by.group(1))]
            values = [row[key] for row in result]
            assert values == sorted(values, reverse=by.group(2) in ("largest", "de"))
            orders += 1
        limit = re.search(rf"([\w ]+) (above|below) ({NUMBER})", asked)
        if limit and isinstance(result[0], dict):
            name = limit.group(1).split(" with ")[-1]
            (key,) = [key for key in result[0] if plain(key) == plain(name)]
            high = limit.group(2) == "above"
            assert all((row[key] > float(limit.group(3))) == high for row in result)
            orders += 1
    assert orders > 30


def test_merged_records_follow_the_rule() -> None:
    checked = 0
    for example in rows("merge_records", 300, quote_prob=0.0):
        asked, value = text(example), json.loads(example.target)
        if re.search(r"the second is right|[Bb] overrides|later one wins", asked):
            rival = re.search(r"\nB: (.+)|\nToday: (.+)|Second record:\n(.+)", asked)
            if rival:
                told = next(filter(None, rival.groups()))
                shown = [surface(inner) for inner in value.values()]
                facts = [fact for fact in told.split(", ") if fact]
                assert all(any(fact.endswith(v) for v in shown) for fact in facts), asked
                checked += 1
    assert checked > 30


def test_chats_name_their_speakers_and_tasks() -> None:
    for example in rows("conversation_summary", 150):
        source = example.prompt[-1].content
        for task in next(
            iter(by_slot(example, {"tasks": conversation_summary.SLOTS["tasks"]}).values())
        ):
            assert all(str(inner) in source for inner in task.values())
        found = by_slot(example, {"people": conversation_summary.SLOTS["people"]})
        assert all(name in source for name in found.get("people", []))


def test_the_languages_are_those_asked_for() -> None:
    checked = 0
    for example in rows("languages", 300):
        value = json.loads(example.target)
        record = next(leaves(value), [value])[0]
        for code, language in LANGUAGES.items():
            if code in record:
                assert language in text(example)
                checked += 1
    assert checked > 100


def test_translations_are_the_languages_own() -> None:
    scripts = {"ja": "\u3040-\u30ff\u4e00-\u9fff", "zh": "\u4e00-\u9fff", "ar": "\u0600-\u06ff"}
    scripts |= {"ru": "\u0400-\u04ff", "el": "\u0370-\u03ff"}
    for table in (WORDS, PHRASES):
        assert len(table) >= 10
        for row in table.values():
            assert set(row) == set(LANGUAGES)
            for code, letters in scripts.items():
                assert re.search(f"[{letters}]", row[code]), row[code]
    for phrase in PHRASES.values():
        assert all("{name}" in phrase[code] for code in LANGUAGES)
