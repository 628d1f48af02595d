"""Commands whose completions come from a server."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from fmtharness.harness.backends.server.reply import BrokenReplyError, Reply, reply_of
from fmtharness.harness.backends.server.stream import whole
from fmtharness.harness.cli import main
from fmtharness.harness.config import load_config
from fmtharness.harness.errors import ConfigError
from tests.fake_server import FakeServer, after, answer, status
from tests.fakes import FAKE_CONFIG, ROOT, import_path, wait_for
from tests.test_light import light

pytest.importorskip("openai", reason="the extra [servers] is not installed")
__all__ = ["light"]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    monkeypatch.setenv("FMTHARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    with FakeServer() as started:
        Path("my.toml").write_text(
            f'[eval]\nbackend = "openai"\nbase_url = "{started.url}"\nmodel = "m"\n'
            f"max_retries = 0\nconcurrency = 2\n"
        )
        yield started


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def evaluate(*arguments: str) -> Result:
    return call("eval", "my.toml", "--evaluator", "json_strict", "--num-prompts", "6", *arguments)


def test_eval(server: FakeServer) -> None:
    done = evaluate("--verdicts", "verdicts.jsonl")
    assert done.exit_code == 0, done.output
    assert f"server {server.url}, model m, 6 prompts of" in done.stdout
    assert "format_success_rate" in done.stdout and "1.000 [" in done.stdout
    assert len(server.requests) == 6
    assert evaluate().exit_code == 0 and len(server.requests) == 6
    assert evaluate("--no-cache").exit_code == 0 and len(server.requests) == 12


def test_an_unanswered_prompt_is_unscored(server: FakeServer) -> None:
    server.script = [status(500, "out of memory")]
    done = evaluate()
    assert done.exit_code == 3
    assert "1 of 6 prompts have no answer" in done.stderr
    assert "status 500 (out of memory)" in done.stderr
    assert evaluate().exit_code == 0
    assert len(server.requests) == 7


def test_a_refusal_is_one_sentence(server: FakeServer) -> None:
    server.reply = lambda _: status(404, "model 'm' not found")
    done = evaluate("--verdicts", "verdicts.jsonl")
    assert done.exit_code == 2 and not done.stdout
    assert done.stderr.splitlines()[-1] == (
        f"error: server {server.url}: status 404 (model 'm' not found); check base_url, which "
        f"often ends in /v1, and model"
    )
    assert not Path("verdicts.jsonl").exists()


def test_without_torch(server: FakeServer, light: Path) -> None:
    done = evaluate()
    assert done.exit_code == 0, done.output


def test_without_the_client(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec

    def found(name: str, package: str | None = None) -> object:
        return None if name == "openai" else find_spec(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", found)
    done = evaluate()
    assert done.exit_code == 2
    assert done.stderr.endswith(
        "error: backend openai needs openai, which is not installed: "
        "pip install 'fmtharness[servers]'\n"
    )


def test_a_runs_folder_chooses_no_server(server: FakeServer) -> None:
    assert load_config(Path("my.toml")).backend.name == "openai"
    with pytest.raises(ConfigError, match="sends prompts and a key to a server, and a run's"):
        load_config(Path("my.toml"), asked=False)


def test_how_it_is_asked_makes_no_completion_old(server: FakeServer, fakes: list[str]) -> None:
    """`run` answers the base arm; the adapter of the other is nothing that a server can load."""
    config = FAKE_CONFIG.replace('backend = "echo"', Path("my.toml").read_text().split("\n", 1)[1])
    Path("run.toml").write_text(config)
    done = call("run", "run.toml")
    assert done.exit_code == 2 and "cannot put the adapter" in done.stderr, done.output
    base = Path("outputs/fake/completions/base.jsonl")
    rows = [json.loads(line) for line in base.read_text().splitlines()]
    assert [row["text"] for row in rows] == ["{}"] * 4 and rows[0]["seconds"] > 0
    asked = len(server.requests)
    again = call("run", "run.toml", "--set", "eval.concurrency=1", "--set", "eval.cache=false")
    assert "completions/base.jsonl is up to date" not in again.stderr
    assert len(server.requests) > asked
    asked = len(server.requests)
    again = call("run", "run.toml", "--set", "eval.concurrency=3", "--set", "eval.cache=false")
    assert "completions/base.jsonl is up to date" in again.stderr
    assert len(server.requests) == asked


def served(server: FakeServer, more: str = "", arms: str = "a") -> Path:
    """A run whose arms are this server, under these names, and whose four prompts are the same."""
    row = json.dumps({"prompt": "Name a city.", "completion": '{"city": "Riga"}'})
    Path("rows.jsonl").write_text(f"{row}\n" * 4)
    others = [{"prompt": f"Name {n} rivers.", "completion": '{"river": "Gauja"}'} for n in range(8)]
    Path("train.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in others))
    config = Path("served.toml")
    config.write_text(
        f"[retention]\nnum_prompts = 0\n"
        f'[data]\ngenerator = "jsonl"\ntrain_file = "train.jsonl"\neval_file = "rows.jsonl"\n'
        f"[eval]\narms = {[f'server:{each}' for each in arms]}\n"
        f'evaluators = ["json_strict"]\n{more}'
        + "".join(
            f'[eval.servers.{each}]\nbase_url = "{server.url}"\nmodel = "{each}"\n'
            f"max_retries = 0\ntemperature = 1.0\nconcurrency = 1\n"
            f"input_price = 2.0\noutput_price = 10.0\n"
            for each in arms
        )
    )
    return config


def texts(out: str) -> list[str]:
    rows = Path(out, "completions/server-a.jsonl").read_text().splitlines()
    return [json.loads(row)["text"] for row in rows]


def column(table: list[str], name: str) -> str:
    """The first arm's cell of a column of "Which cure?"."""
    start = table[2].index(name)
    return table[4][start : start + len(name)].strip()


def test_a_run_asks_again_for_what_has_no_answer(server: FakeServer) -> None:
    """And only for that; what shares a prompt with an answer gets one of its own."""
    numbers = itertools.count()
    server.reply = lambda _: answer(f'{{"n": {next(numbers)}}}')
    server.script = [answer('{"n": "a"}'), status(500), answer('{"n": "b"}'), status(500)]
    config = str(served(server))
    done = call("run", config, "--out", "o")
    assert done.exit_code == 3 and "2 of 4 prompts have no answer" in done.stderr, done.output
    assert "2/2" in done.stdout
    done = call("run", config, "--out", "o")
    assert done.exit_code == 0, done.output
    assert "2 of o/completions/server-a.jsonl have no answer and are asked for again" in done.stderr
    assert texts("o") == ['{"n": "a"}', '{"n": 0}', '{"n": "b"}', '{"n": 1}']
    assert "4/4" in done.stdout and len(server.requests) == 6
    done = call("run", config, "--out", "o")
    assert "server-a.jsonl is up to date" in done.stderr and len(server.requests) == 6


def test_what_was_known_costs_no_time(server: FakeServer) -> None:
    server.reply = lambda _: after(0.05, answer())
    config = str(served(server, "n = 2\n", arms="ab"))
    done = call("run", config, "--out", "o")
    assert done.exit_code == 0, done.output
    table = done.stdout[done.stdout.index("Which cure?") :].splitlines()
    seconds, cost = (column(table, name) for name in ("seconds/prompt", "cost/1,000"))
    assert float(seconds) > 0.1, "of two answers, one after the other"
    assert float(cost) == pytest.approx(2 * 1000 * (12 * 2 + 3 * 10) / 1e6)
    done = call("run", config, "--out", "again")
    assert len(server.requests) == 16 and "requests: 8 answers were known" in done.stderr
    assert "cost/1,000" in done.stdout and "seconds/prompt" not in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_killed_evaluation_asks_nothing_twice(server: FakeServer) -> None:
    server.reply = lambda _: after(0.02, answer())
    command = [sys.executable, "-m", "fmtharness", "eval", "my.toml"]
    command += ["--evaluator", "json_strict", "--num-prompts", "40"]
    environment = os.environ | {"PYTHONPATH": import_path(ROOT)}
    pipe = subprocess.DEVNULL
    process = subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe)
    wait_for(lambda: len(server.requests) >= 10, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    asked = len(server.requests)
    assert asked < 40
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    contents = [json.dumps(each["messages"]) for each in server.requests]
    assert len({*contents}) == 40
    assert len(contents) <= 40 + 2, "only what was open when it was killed is asked again"


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_an_error_ends_the_process_with_requests_open(server: FakeServer) -> None:
    """Its traceback holds them until the interpreter ends, when their thread is gone."""
    import resource

    server.reply = lambda _: after(0.2, answer())
    command = [sys.executable, "-m", "fmtharness", "eval", "my.toml"]
    command += ["--evaluator", "json_strict", "--num-prompts", "40", "--dump-jsonl", "rows.jsonl"]
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": import_path(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500)),
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: ") and "too large" in done.stderr
    assert len(server.requests) < 40


KEYS = ("choices", "message", "delta", "content", "tool_calls", "function", "index", "usage")
ALL_KEYS = (*KEYS, "finish_reason", "error", "arguments", "name", "prompt_tokens")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(ALL_KEYS), inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(max_examples=60)
@given(JSON, JSON)
def test_any_json_is_a_reply_or_broken(message: object, other: object) -> None:
    choices = [{"message": message, "delta": message, "finish_reason": other}]
    for data in (message, {"choices": choices, "usage": other}):
        for read in (reply_of, lambda each: reply_of(whole([each, other], ended=True))):
            try:
                assert isinstance(read(data), Reply)
            except BrokenReplyError as error:
                assert str(error)
