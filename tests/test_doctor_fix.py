"""`fmtharness data --fix`: what is mended, that it means the same, and what is left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fmtharness.harness.dataset.fix import MENDS, mended, write_mended
from fmtharness.harness.dataset.forms import recognise
from fmtharness.harness.dataset.reader import Row, Source
from fmtharness.harness.records import Example, Message
from tests.test_doctor import Rows, clean, run, write


def row(target: str, raw: dict[str, Any] | None = None, form: str = "json") -> Row:
    example = Example(id="a", prompt=(Message("user", "?"),), completion=target, format=form)
    return Row(1, raw or {"prompt": "?", "completion": target}, example)


def fixed(
    row: Row, orders: dict[tuple[str, ...], tuple[str, ...]]
) -> tuple[dict[str, Any], list[str]]:
    source = Source("rows.jsonl", recognise(row.raw), row.example.format)
    return mended(row, orders, MENDS, source)[:2]


ORDERS: dict[tuple[str, ...], tuple[str, ...]] = {("a", "b"): ("b", "a")}


@pytest.mark.parametrize(
    ("target", "better", "ways"),
    [
        ('{"a": 1}', '{"a": 1}', []),
        (' {"a": 1}\n', '{"a": 1}', ["outer_space"]),
        ('```json\n{"a": 1}\n```', '{"a": 1}', ["fenced_target"]),
        ('```\r\n{"a": 1}\r\n```\n', '{"a": 1}', ["fenced_target"]),
        ('```json\n{"a": 1,}\n```', '```json\n{"a": 1,}\n```', []),
        ('Here: {"a": 1}', 'Here: {"a": 1}', []),
        ('{\r\n "c": 1\r\n}', '{\n "c": 1\n}', ["line_ends_mixed"]),
        ('{"a": 1.50, "b": [1,  2]}', '{"b": [1,  2], "a": 1.50}', ["key_order_mixed"]),
        ('{"a":1,"b":"x"}', '{"b":"x","a":1}', ["key_order_mixed"]),
        (
            '{\n "a": {\n  "c": 1\n },\n "b": 2\n}',
            '{\n "b": 2,\n "a": {\n  "c": 1\n }\n}',
            ["key_order_mixed"],
        ),
        ('{"a" :1, "b": 2}', '{"a" :1, "b": 2}', []),
        ("", "", []),
    ],
)  # fmt: skip
def test_what_is_mended(target: str, better: str, ways: list[str]) -> None:
    raw, done = fixed(row(target), ORDERS)
    assert (raw["completion"], done) == (better, ways)


@pytest.mark.parametrize(
    "raw",
    [
        {"prompt": "?", "completion": " {} "},
        {"messages": [{"role": role, "content": " {} "} for role in ("user", "assistant")]},
        {"prompt": "?", "chosen": " {} ", "rejected": " {} "},
        {"conversations": [{"from": "human", "value": "?"}, {"from": "gpt", "value": " {} "}]},
        {"instruction": "?", "input": " {} ", "output": " {} "},
        {
            "prompt": "?",
            "completion": [{"role": "assistant", "content": " {} "}],
            "more": [1, None],
        },
        {
            "messages": [
                {"role": "user", "content": "?"},
                {"role": "assistant", "content": " {} "},
            ],
            "raw": " {} ",
        },
        {
            "messages": [
                {"role": "user", "content": "?"},
                {"role": "assistant", "content": " {} "},
                {"role": "assistant", "content": " {} ", "weight": 0},
            ]
        },
    ],
)
def test_only_the_target_of_a_row_is_replaced(raw: dict[str, Any]) -> None:
    new, done = fixed(row(" {} ", raw), {})
    before, after = json.dumps(raw), json.dumps(new)
    assert done == ["outer_space"]
    assert new.keys() == raw.keys()
    assert len(before) - len(after) == 2
    assert raw == json.loads(before)
    if "rejected" in raw:
        assert (new["chosen"], new["rejected"]) == ("{}", " {} ")
    elif "messages" in raw:
        assert new["messages"][1]["content"] == "{}"
    elif "instruction" in raw:
        assert (new["input"], new["output"]) == (" {} ", "{}")


def test_a_target_that_is_no_text_of_the_row_is_left() -> None:
    raw = {"prompt": "?", "answer": {"a": 1}}
    assert fixed(row(' {"a": 1}', raw), {}) == (raw, [])


def test_space_that_means_something_stays() -> None:
    block = "text: |+\n  two\n\n"
    raw, done = fixed(row(block, form="yaml"), {})
    assert (raw["completion"], done) == (block, [])


def faulty() -> Rows:
    rows = clean()
    rows[1]["completion"] += "\n"
    rows[2]["completion"] = f"```json\n{rows[2]['completion']}\n```"
    rows[3]["completion"] = json.dumps(dict(reversed(json.loads(rows[3]["completion"]).items())))
    rows[5] = {**rows[4], "id": "again"}
    return rows


def test_the_command_writes_what_it_mends_and_lists_what_it_left(tmp_path: Path) -> None:
    rows = faulty()
    write(tmp_path / "rows.jsonl", rows)
    before = (tmp_path / "rows.jsonl").read_bytes()
    code, text = run(tmp_path / "rows.jsonl", "--fix", tmp_path / "out.jsonl")
    assert code == 0, text
    assert "out.jsonl: 39 rows; mended: " in text
    for way in ("outer_space 1", "fenced_target 1", "key_order_mixed 1", "duplicate_rows 1"):
        assert way in text
    assert (tmp_path / "rows.jsonl").read_bytes() == before
    expected = clean()
    del expected[5]
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert written == expected

    rows[9]["completion"] = '{"city": '
    write(tmp_path / "rows.jsonl", rows)
    code, text = run(tmp_path / "rows.jsonl", "--fix", tmp_path / "out.jsonl")
    assert code == 1
    assert "out.jsonl, line 9, id row-9" in text
    assert "grave: fails_format: 1 time" in text


def test_nothing_is_written_over(tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl", clean())
    code, text = run(tmp_path / "rows.jsonl", "--fix", tmp_path / "rows.jsonl")
    assert code == 2
    assert "are the same file" in text
    folder = tmp_path / "data"
    folder.mkdir()
    write(folder / "train.jsonl", clean())
    code, text = run(folder, "--fix", tmp_path / "out.jsonl")
    assert code == 2
    assert "--fix mends a file of rows" in text
    assert not (tmp_path / "out.jsonl").exists()


def test_the_schema_gives_the_order(tmp_path: Path) -> None:
    rows = clean()
    for each in rows[:30]:
        each["completion"] = json.dumps(dict(reversed(json.loads(each["completion"]).items())))
    done = write_mended(write(tmp_path / "rows.jsonl", rows), tmp_path / "out.jsonl")
    assert done.counts == {"key_order_mixed": 30}
    texts = [json.loads(line)["completion"] for line in (tmp_path / "out.jsonl").open()]
    assert texts == [each["completion"] for each in clean()]
    for each in rows:
        del each["tags"]
    source: Source = write(tmp_path / "rows.jsonl", rows)
    assert write_mended(source, tmp_path / "out.jsonl").counts == {"key_order_mixed": 10}
