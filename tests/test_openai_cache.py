"""Backend `openai`: nothing is asked twice, and nothing else is taken for the same."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from fmtharness.harness.backends.server.cache import RequestCache
from fmtharness.harness.run.sources import sampled
from tests.asking import ask, ask_one, backend, cache, server, waits
from tests.fake_server import FakeServer, answer, chunks, status
from tests.fakes import example

pytest.importorskip("openai", reason="the extra [servers] is not installed")
__all__ = ["cache", "server", "waits"]


def test_nothing_is_asked_twice(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.script = [answer('"\\ud83d"')]
    first = ask_one(backend(server))
    again = ask_one(backend(server, concurrency=2, input_price=1.0, output_price=1.0))
    assert (again.text, again.seconds) == (first.text, first.seconds)
    assert first.cost is None and again.cost == pytest.approx(15e-6)
    assert len(server.requests) == 1
    assert (first.cached, again.cached) == (False, True)
    assert "requests: 1 answers were known" in capsys.readouterr().err
    assert ask_one(backend(server), example("other")).example_id == "other"


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.5},
        {"seed": 1},
        {"max_new_tokens": 5},
        {"stop": ("x",)},
        {"response_format": "json_object"},
        {"extra_body": {"top_k": 1}},
        {"stream": True},
        {"cache": False},
    ],
    ids=str,
)
def test_what_shapes_an_answer_is_asked_anew(server: FakeServer, options: Any) -> None:
    server.reply = lambda asked: chunks({"content": "{}"}) if asked.get("stream") else answer()
    ask_one(backend(server))
    ask_one(backend(server, **options))
    assert len(server.requests) == 2
    ask_one(backend(server, **options))
    assert len(server.requests) == (3 if "cache" in options else 2)


def test_samples_of_one_prompt(server: FakeServer) -> None:
    texts = iter("abcdef")
    server.reply = lambda _: answer(next(texts))
    asked = backend(server, seed=7, concurrency=1)
    four = [example() for _ in range(4)]
    first = ask(asked, *sampled(four[:3], 1))
    assert [each.text for each in first] == ["a", "b", "c"]
    assert [each["seed"] for each in server.requests] == [7, 8, 9]
    assert [each.text for each in ask(asked, *sampled(four, 1))] == ["a", "b", "c", "d"]
    assert [each.text for each in ask(asked, *sampled(four, 1)[2:])] == ["c", "d"], "not a and b"


def test_a_sample_has_its_own_seed_and_cache_entry_also_when_asked_alone(
    server: FakeServer,
) -> None:
    texts = iter("abcdef")
    server.reply = lambda _: answer(next(texts))
    asked = backend(server, seed=7, temperature=0.5, concurrency=1)
    samples = [structs.replace(example(), sample=k) for k in range(3)]
    first = ask(asked, samples[0], samples[2])
    assert sorted((each.sample, each.text) for each in first) == [(0, "a"), (2, "b")]
    again = ask(asked, samples[1], samples[2])
    assert sorted((each.sample, each.text) for each in again) == [(1, "c"), (2, "b")]
    assert [each["seed"] for each in server.requests] == [7, 9, 8]


@pytest.mark.usefixtures("waits")
def test_errors_are_not_kept(server: FakeServer) -> None:
    server.script = [status(500)]
    assert ask_one(backend(server, max_retries=0)).error
    assert ask_one(backend(server, max_retries=0)).text == "{}"


def test_a_broken_cache_costs_a_line(
    server: FakeServer, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = cache / "requests" / "answers.sqlite"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"no database at all, but long enough to be read as one" * 20)
    assert ask_one(backend(server)).text == "{}"
    assert "cannot be used" in capsys.readouterr().err


@pytest.mark.parametrize("leave", ["closed", "raised"])
def test_the_cache_outlives_the_requests(
    server: FakeServer, leave: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[bool] = []

    def close(_: RequestCache) -> None:
        closed.append(any(each.name == "requests" for each in threading.enumerate()))

    monkeypatch.setattr(RequestCache, "close", close)
    answers = backend(server, concurrency=3)._answers([example(f"eval-{n}") for n in range(20)])
    next(answers)
    if leave == "closed":
        answers.close()  # type: ignore[attr-defined]
    else:
        with pytest.raises(KeyboardInterrupt):
            answers.throw(KeyboardInterrupt)  # type: ignore[attr-defined]
    assert closed == [False]


def test_the_order_of_a_schemas_keys_shapes_an_answer(server: FakeServer) -> None:
    asked = backend(server, response_format="json_schema")
    for names in ("ab", "ba", "ab"):
        schema = {"type": "object", "properties": {name: {"type": "string"} for name in names}}
        ask_one(asked, structs.replace(example(), tags={"json_schema": schema}))
    assert len(server.requests) == 2


def test_each_fault_of_the_cache_has_its_way_out(
    server: FakeServer, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask_one(backend(server))
    file = cache / "requests" / "answers.sqlite"
    kept = RequestCache()
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    kept._give_up(error)
    said = capsys.readouterr().err
    assert "another process is writing to it" in said and "remove" not in said
    with sqlite3.connect(file) as opened:
        opened.execute("UPDATE answers SET answer = 7")
    assert ask_one(backend(server)).text == "{}"
    assert len(server.requests) == 2
    (cache / "requests").rename(cache / "elsewhere")
    (cache / "requests").write_text("no folder")
    assert ask_one(backend(server)).text == "{}"
    assert "check its folder, its permissions" in capsys.readouterr().err
