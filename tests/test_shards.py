"""Shards without a cluster: blocks, rows that fail, what a rerun does, the sums."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner, Result

from fmtharness.harness import plugins
from fmtharness.harness.cli import main
from fmtharness.harness.commands import sharded
from fmtharness.harness.contracts import ModelOptions, Options
from fmtharness.harness.errors import ConfigError, DataError, HarnessError
from fmtharness.harness.plugins import Registered
from fmtharness.harness.records import Completion, Example, encode
from fmtharness.harness.run.shards import Block, Done, Job, Worker, answers, cut
from tests.fakes import example

ASKED: list[list[str]] = []
"""The ids of each call of the backend."""


class Shaky(Options):
    """A backend that answers in reverse, raises on the prompt of `boom`, and dies on `dead`."""

    name: ClassVar[str] = "shaky"
    mood: str = "calm"
    max_new_tokens: int = 8

    def complete(
        self, examples: Sequence[Example], model: ModelOptions, adapter: Path | None
    ) -> Iterator[Completion]:
        ASKED.append([each.id for each in examples])
        if self.mood == "refused":
            raise ConfigError("the key is wrong; set another")
        for each in reversed(examples):
            if each.id.startswith("boom") and self.mood != "better":
                raise RuntimeError("a bad prompt")
            if each.id.startswith("dead") and self.mood != "better":
                raise KeyboardInterrupt  # nothing else passes through a worker
            yield Completion(example_id=each.id, text='{"a": 1}', finish_reason="stop")


@pytest.fixture
def work(fakes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The backend, and workers in this process in place of a cluster; gives the blocks' numbers."""
    plugins.registry()["backends"]["shaky"] = Registered("backends", "shaky", "fmtharness", Shaky)
    worked: list[int] = []

    def here(job: Job, blocks: Sequence[Block], **_: Any) -> Iterator[Done]:
        worker = Worker(job)
        for block in blocks:
            worked.append(block.number)
            done = worker(block)
            if done.fault:
                raise HarnessError(done.fault)
            yield done

    monkeypatch.setattr(sharded, "on_ray", here)
    monkeypatch.setattr(sharded, "needs", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    ASKED.clear()
    return worked


def rows(*names: str, broken: Sequence[int] = ()) -> Path:
    path = Path("rows.jsonl")
    lines = [encode(example(name)) for name in names]
    for at in broken:
        lines.insert(at, b'{"id": \n')
    path.write_bytes(b"".join(lines))
    return path


def call(path: Path, *more: str, mood: str = "calm", size: int = 4) -> Result:
    given = ["--data", str(path), "--out", "out", "--shard-rows", str(size), "--json"]
    settings = ["--set", "eval.backend=shaky", "--set", f"eval.mood={mood}"]
    return CliRunner().invoke(main, ["eval", "--engine", "ray", *given, *settings, *more])


def written(folder: str = "completions") -> list[dict[str, Any]]:
    parts = sorted(Path("out", folder).glob("part-*.jsonl"))
    return [json.loads(line) for part in parts for line in part.read_text().splitlines()]


NAMES = [f"e{at}" for at in range(10)]


def test_blocks_hold_every_line_once(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf\n{}\n\n{}\n{}\n   \n{}\n{}")
    blocks, _ = cut(path, 2)
    assert [(block.first, block.rows) for block in blocks] == [(1, 2), (5, 2), (8, 1)]
    data = path.read_bytes()
    assert b"".join(data[each.offset :][: each.size] for each in blocks) == data
    first, digest = cut(path, 2, 3)
    assert [block.rows for block in first] == [2, 1]
    assert digest == cut(path, 5, 3)[1] != cut(path, 5)[1]
    with pytest.raises(DataError, match="cannot be read"):
        cut(tmp_path / "none.jsonl", 2)


def test_each_row_is_answered_once_and_in_order(work: list[int]) -> None:
    done = call(rows(*NAMES))
    assert done.exit_code == 0, done.output
    assert work == [0, 1, 2]
    assert [row["example_id"] for row in written()] == NAMES
    judged = json.loads(done.stdout)["json_strict"]
    assert (judged["scored"], judged["unscored"], judged["labels"]) == (10, 0, {})
    assert sorted(itertools.chain(*ASKED)) == sorted(NAMES)


def test_a_rerun_makes_only_what_is_missing(work: list[int]) -> None:
    first = call(rows(*NAMES))
    before = written(), written("verdicts")
    Path("out/completions/part-00001.jsonl").unlink()
    work.clear()
    ASKED.clear()
    again = call(rows(*NAMES))
    assert (work, ASKED) == ([1], [NAMES[4:8]])
    assert (written(), written("verdicts")) == before
    assert json.loads(again.stdout) == json.loads(first.stdout)
    work.clear()
    assert json.loads(call(rows(*NAMES)).stdout) == json.loads(first.stdout)
    assert work == []


def test_a_bad_row_is_unscored_and_the_others_are_not(work: list[int]) -> None:
    path = rows("e0", "boom", "e2", "e3", "e4", "e5", broken=[5])
    done = call(path)
    assert done.exit_code == 3, done.output
    errors = {row["example_id"]: row["error"] for row in written() if row["error"]}
    assert errors.keys() == {"boom", "6"}
    assert errors["boom"] == "backend 'shaky' raised RuntimeError: a bad prompt"
    assert "line 6" in errors["6"]
    document = json.loads(done.stdout)["json_strict"]
    assert document["unscored"] == 2
    assert len(written()) == 7


def test_what_failed_is_asked_again_and_nothing_else(work: list[int]) -> None:
    path = rows("e0", "boom", "e2", "e3", "e4", "e5", broken=[5])
    call(path)
    work.clear()
    ASKED.clear()
    assert call(path).exit_code == 3
    assert (work, ASKED) == ([0], [["boom"]])


def test_what_cannot_be_read_is_told_and_not_promised_another_time(work: list[int]) -> None:
    done = call(rows("e0", "e1", broken=[1]))
    assert "out: 1 rows cannot be read, and their Completions say why" in done.stderr
    assert "asks again" not in done.stderr
    shutil.rmtree("out")
    done = call(rows("e0", "boom", "e2", broken=[1]))
    assert "1 rows have no answer; the same command asks again" in done.stderr


def test_several_completions_of_a_prompt_are_refused(work: list[int]) -> None:
    done = call(rows("e0"), "--set", "eval.n=3")
    assert done.exit_code == 2 and work == []
    assert "asks for one completion of a prompt, and [eval] n is 3" in done.stderr


def test_the_first_row_may_be_broken(work: list[int]) -> None:
    done = call(rows("e0", "e1", broken=[0]))
    assert done.exit_code == 3, done.output
    assert [row["error"] is None for row in written()] == [False, True, True]


def test_what_ends_the_process_is_found_and_left_out(work: list[int]) -> None:
    path = rows("e0", "e1", "dead", "e3")
    for _ in range(4):
        assert call(path).exit_code == 130
    done = call(path)
    assert done.exit_code == 3, done.output
    assert {row["example_id"]: row["error"] for row in written() if row["error"]} == {
        "dead": "the process ended while it was asked"
    }
    assert not [*Path("out/attempts").iterdir()]


def test_a_fault_of_the_whole_ends_it_with_one_sentence(work: list[int]) -> None:
    done = call(rows(*NAMES), mood="refused")
    assert (done.exit_code, work) == (2, [0])
    assert "error: the key is wrong; set another" in done.stderr
    assert len(ASKED) == 1
    assert not Path("out/completions").exists()


def test_completions_of_other_options_are_refused(work: list[int]) -> None:
    call(rows(*NAMES))
    before = written()
    done = call(rows(*NAMES), mood="better")
    assert done.exit_code == 2
    assert "out: its completions were made with another [eval]; choose another --out" in done.stderr
    done = call(rows(*NAMES), size=5)
    assert "made with another --shard-rows" in done.stderr
    assert written() == before


def test_other_evaluators_judge_the_same_completions(work: list[int]) -> None:
    call(rows(*NAMES))
    ASKED.clear()
    done = call(rows(*NAMES), "--evaluator", "json_strict:root=array")
    assert ASKED == []
    assert "judged again" in done.stderr
    assert {row["passed"] for row in written("verdicts")} == {False}


def test_a_folder_of_other_files_is_refused(work: list[int]) -> None:
    Path("out").mkdir()
    Path("out/mine.txt").write_text("mine")
    done = call(rows(*NAMES))
    assert done.exit_code == 2
    assert "it holds files that are no shards" in done.stderr


def test_a_shard_with_too_few_rows_is_told(work: list[int]) -> None:
    call(rows(*NAMES))
    part = Path("out/completions/part-00002.jsonl")
    part.write_bytes(part.read_bytes().splitlines(keepends=True)[0])
    done = call(rows(*NAMES))
    assert done.exit_code == 2
    assert "part-00002.jsonl: it has 1 of 2 rows" in done.stderr


def test_an_id_of_two_shards_is_told(work: list[int]) -> None:
    path = Path("rows.jsonl")
    row = json.dumps({"id": "a", "prompt": "Give JSON.", "completion": "{}"})
    path.write_text(f"{row}\n" * 5)
    done = call(path)
    assert "note: 1 rows have the id of another shard's row" in done.stderr
    assert len(written()) == 5


def test_a_column_of_the_wrong_type_is_one_rows_fault(work: list[int]) -> None:
    path = Path("rows.jsonl")
    good = {"prompt": "Give JSON.", "completion": "{}"}
    bad = [{**good, "prompt": 4}, {"other": 1}, [good], "x"]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in [good, *bad, good]))
    done = call(path)
    assert done.exit_code == 3, done.output
    assert [row["error"] is None for row in written()] == [True, False, False, False, False, True]
    assert written()[1]["error"].count("line 2") == 1


def test_halves_find_the_rows_that_raise() -> None:
    calls = 0

    def ask(some: Sequence[Example]) -> list[Completion]:
        nonlocal calls
        calls += 1
        if any(each.id == "e13" for each in some):
            raise ValueError("no")
        return [Completion(example_id=each.id, text="{}") for each in some]

    found = answers(ask, [example(f"e{at}") for at in range(64)], "b")
    assert [name for name, each in found.items() if each.error] == ["e13"]
    assert len(found) == 64
    assert calls <= 13


def test_a_backend_that_leaves_one_out_is_told() -> None:
    found = answers(lambda some: [], [example("e0"), example("e1")], "b")
    assert {each.error for each in found.values()} == {"backend 'b' gave no Completion for it"}


def test_options_of_the_other_way_are_refused(work: list[int]) -> None:
    assert (
        "--verdicts goes without --engine ray" in call(rows(*NAMES), "--verdicts", "v.jsonl").stderr
    )
    done = CliRunner().invoke(main, ["eval", "--concurrency", "3"])
    assert (done.exit_code, "--concurrency goes with --engine ray" in done.stderr) == (2, True)


def test_what_is_no_json_lines_is_refused(work: list[int]) -> None:
    path = Path("rows.csv")
    path.write_text("prompt,completion\nGive JSON.,{}\n")
    done = call(path)
    assert (done.exit_code, "cuts JSON Lines into blocks" in done.stderr) == (2, True)


def test_without_ray_one_sentence_says_so(
    fakes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = CliRunner().invoke(main, ["eval", "--engine", "ray", "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "pip install 'fmtharness[ray]'" in done.stderr
