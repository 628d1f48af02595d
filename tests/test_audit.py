"""`fmtharness audit`: which promises of a server, or of a local model, its answers break."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner, Result

from fmtharness.harness.backends.llama_server import binary, serving
from fmtharness.harness.cli import main
from fmtharness.harness.contracts import ModelOptions, Options
from fmtharness.harness.engine.gguf import builtin_gguf
from fmtharness.harness.errors import UserError
from fmtharness.harness.records import Completion, Example, Message, encode
from fmtharness.harness.report.audit import (
    Answer,
    Asked,
    Finding,
    audit_table,
    case_rows,
    complete_at_limit,
    counts,
    missing_lines,
    same,
    strict,
    whole,
    within_limit,
    without_reasoning,
)
from fmtharness.harness.run.auditing import audited, with_schemas
from tests.fake_server import MODEL, Act, FakeServer, as_asked, crowded, status
from tests.fakes import example
from tests.tiny import tiny_model

needs_client = pytest.mark.skipif(
    importlib.util.find_spec("openai") is None, reason="the extra [servers] is not installed"
)
needs_server = pytest.mark.skipif(
    binary() is None, reason="llama-server is not built: make servers builds it"
)
GOOD, TWICE, CUT = '{"a": 1}', '{"a": 1, "a": 1}', '{"a": 1'
Reply = Callable[[dict[str, Any]], Act]


def said(text: str = GOOD, reason: Any = "stop", *labels: str, **more: Any) -> Answer:
    """An answer that passes where it has no labels."""
    passed = more.pop("passed", not labels)
    completion = Completion(example_id="x", text=text, finish_reason=reason, **more)
    return Answer(completion, passed, labels)


def asked(*answers: Answer, mode: str = "alone", guarantee: str = "", limit: int = 9) -> Asked:
    return Asked(mode, {f"eval-{n}": each for n, each in enumerate(answers)}, limit, guarantee)


def short(found: Finding) -> tuple[str, int, int]:
    return found.outcome, found.answers, found.broken


def test_two_modes_differ_in_text_reasoning_or_finish_reason() -> None:
    first = asked(said(), said("{}"), said(), said(), said(reason="error"))
    changed = said(reason="length"), said(reasoning="Hm.")
    other = asked(said(), said("[]"), *changed, said(), mode="streamed")
    found = same("same", first, other)
    assert short(found) == ("broken", 4, 3)
    assert found.remarks == "1 text differs; 2 only in reasoning or finish reason"
    assert [case.id for case in found.cases] == ["eval-1", "eval-2", "eval-3"]
    assert [mode for mode, _ in found.cases[0].answers] == ["alone", "streamed"]
    assert same("same", first, other, again=found).remarks.endswith("3 also when asked again")
    assert short(same("same", first, first)) == ("kept", 4, 0)


def test_only_what_said_stop_breaks_a_guarantee() -> None:
    cut = said(CUT, "length", "truncated")
    answers = said(), said(TWICE, "stop", "duplicate_key"), cut, said(GOOD, "length")
    unjudged = Answer(
        Completion(example_id="x", text="", finish_reason="stop"), unscored="it rained"
    )
    found = strict("strict", asked(*answers, unjudged, guarantee="json_object"))
    assert short(found) == ("broken", 2, 1)
    assert found.remarks == (
        "duplicate_key 1; beside them 2 at the limit, of which 1 fail (truncated 1)"
    )
    assert short(strict("strict", asked(cut))) == ("not shown", 0, 0)
    odd = said(TWICE, None, "duplicate_key")
    assert strict("strict", asked(odd, cut)).remarks == (
        "beside them 1 at the limit, of which 1 fail (truncated 1); beside them 1 with neither "
        "`stop` nor `length`, of which 1 fail (duplicate_key 1)"
    )


def test_stop_means_whole_only_under_a_guarantee() -> None:
    half = said(CUT, "stop", "truncated")
    free, held = asked(half, said(), half), asked(half, said(), guarantee="json_object")
    found = whole("whole", [free, held])
    assert short(found) == ("broken", 2, 1)
    assert found.remarks == "without a guarantee 2 of 3"
    assert short(whole("whole", [free, asked(said(), guarantee="grammar")])) == ("kept", 1, 0)


def test_length_and_complete_is_a_note() -> None:
    modes = [asked(said(reason="length"), said(CUT, "length", "truncated"), said())]
    assert short(complete_at_limit("complete", modes)) == ("note", 2, 1)


def test_more_tokens_than_asked_for() -> None:
    modes = [asked(said(completion_tokens=9), said(completion_tokens=10), said())]
    assert short(within_limit("limit", modes)) == ("broken", 2, 1)
    assert within_limit("limit", [asked(said())]).outcome == "not shown"


def test_thinking() -> None:
    plain, thought = asked(said()), asked(said(reasoning="Hm."))
    promise = "no reasoning"
    assert short(without_reasoning(promise, plain, plain)) == ("no difference", 1, 0)
    assert short(without_reasoning(promise, thought, plain)) == ("kept", 1, 0)
    assert short(without_reasoning(promise, thought, thought)) == ("broken", 1, 1)
    other = asked(said("[]"))
    assert "1 of 1 answers differ" in without_reasoning(promise, other, plain).remarks
    refused = Asked("thinking on", {}, 9, refused="refused: no")
    assert without_reasoning(promise, refused, plain).outcome == "not shown"


def test_counts_may_hold_a_stop_token() -> None:
    modes = [asked(*(said("ab", completion_tokens=n) for n in (2, 3, 4, 1)))]
    modes.append(asked(said("ab", completion_tokens=9, reasoning="Hm."), said("ab")))
    found = counts("counts", modes, lambda texts: [len(text) for text in texts])
    assert short(found) == ("note", 4, 2)
    assert found.remarks == "alone 2; -1 to +2 tokens"
    assert counts("counts", modes, lambda texts: None).outcome == "not shown"


def test_what_is_missing_is_told() -> None:
    unjudged = Answer(said().completion, unscored="it rained")
    assert missing_lines([asked(said(), said(reason="error"), unjudged), asked(said())]) == [
        "alone: 2 of 3 answers are missing or unscored, the first because it ended with an error"
    ]


def test_the_schema_of_an_example_or_of_its_value() -> None:
    own = {"type": "object"}
    tagged = example("eval-1")
    tagged.tags[MODEL] = 1  # a tag of another name stays
    examples = [
        example("eval-0"),
        Example(id="eval-1", prompt=tagged.prompt, format="json", tags={"json_schema": own}),
        Example(id="eval-2", prompt=tagged.prompt, format="json"),
        Example(id="eval-3", prompt=tagged.prompt, format="yaml", value={"a": 1}),
    ]
    found, notes = with_schemas(examples)
    assert [each.id for each in found] == ["eval-0", "eval-1"]
    assert found[0].tags["json_schema"]["properties"] == {"a": {"type": "integer"}}
    assert found[1].tags["json_schema"] == own
    assert notes == [
        "json_schema: 1 Examples have a schema of their own, and 1 are held to the one that their "
        "value implies"
    ]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    """A server whose every answer is right, and four Examples to ask it."""
    monkeypatch.setenv("FMTHARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    rows = [encode(example(f"eval-{n}")) for n in range(4)]
    Path("rows.jsonl").write_bytes(b"".join(rows))
    with FakeServer() as started:
        started.reply = lambda request: as_asked(request, GOOD)
        yield started


def audit(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["audit", "--data", "rows.jsonl", *arguments])


def of(server: FakeServer, *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and the findings by their promise."""
    done = audit("--base-url", server.url, "--model", MODEL, "--json", *arguments)
    assert done.exit_code in (0, 1, 3), done.output
    found = json.loads(done.stdout)["findings"]
    return done.exit_code, {each["promise"]: each for each in found}


@needs_client
def test_an_honest_server(server: FakeServer) -> None:
    server.tokens = lambda text: [1, 2]
    code, found = of(server)
    assert code == 0
    outcomes = {promise: (each["outcome"], each["answers"]) for promise, each in found.items()}
    assert outcomes == {
        "same answer when asked again": ("kept", 4),
        "same answer at concurrency 8": ("kept", 4),
        "same answer streamed": ("kept", 4),
        "no reasoning with thinking off": ("no difference", 4),
        "strict under json_object": ("kept", 4),
        "strict under json_object, at most 48 tokens": ("kept", 4),
        "valid under json_schema": ("kept", 4),
        "valid under json_schema, at most 48 tokens": ("kept", 4),
        "stop means whole": ("kept", 16),
        "no more tokens than asked for": ("kept", 44),
        "length, but complete": ("note", 0),
        "token counts that differ from the text": ("note", 44),
    }
    assert len(server.requests) == 44, "nothing comes from a cache"
    held = [each["response_format"] for each in server.requests if "response_format" in each]
    assert [each["type"] for each in held] == ["json_object"] * 8 + ["json_schema"] * 8
    assert {each["temperature"] for each in server.requests} == {0.0}
    assert [each["stream"] for each in server.requests if "stream" in each] == [True] * 4
    given = [each.get("chat_template_kwargs") for each in server.requests]
    switches = [each["enable_thinking"] for each in given if each]
    assert switches == [True] * 4 + [False] * 4


def held(text: str, reason: str = "stop") -> Reply:
    """Answers rightly, but for `json_object`."""

    def reply(request: dict[str, Any]) -> Act:
        kind = request.get("response_format", {}).get("type")
        return as_asked(request, *((text, reason) if kind == "json_object" else (GOOD,)))

    return reply


def streamed(request: dict[str, Any]) -> Act:
    return as_asked(request, "{}" if request.get("stream") else GOOD)


def thinks(request: dict[str, Any]) -> Act:
    return as_asked(request, GOOD, reasoning_content="Hm.")


def busy(request: dict[str, Any]) -> Act:
    right = as_asked(request, GOOD)
    return right if "response_format" in request else crowded(right, as_asked(request, "{}"))


STRICT = "strict under json_object"
FAULTS: Mapping[str, tuple[Reply, str, Mapping[str, int]]] = {
    "concurrency": (busy, "same answer at concurrency 4", {}),
    "streaming": (streamed, "same answer streamed", {}),
    "thinking": (thinks, "no reasoning with thinking off", {}),
    "keys": (held(TWICE), STRICT, {"duplicate_key": 4}),
    "fence": (held(f"```json\n{GOOD}\n```"), STRICT, {"code_fence": 4}),
    "cut off": (held(CUT), "stop means whole", {"truncated": 8}),
}


@needs_client
@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_promise(server: FakeServer, fault: str) -> None:
    server.reply, promise, labels = FAULTS[fault]
    code, found = of(server, "--concurrency", "4", "--dump-jsonl", "cases.jsonl")
    assert code == 1
    assert found[promise]["outcome"] == "broken"
    assert found[promise]["labels"] == labels
    rows = [json.loads(line) for line in Path("cases.jsonl").read_text().splitlines()]
    shown = [each for each in rows if each["promise"] == promise]
    assert [each["id"] for each in shown] == found[promise]["ids"]
    if fault == "concurrency":
        assert 2 <= len(shown) <= 4
        assert {answer["text"] for answer in shown[0]["answers"]} == {GOOD, "{}"}
    others = {name for name, each in found.items() if each["outcome"] == "broken"} - {promise}
    assert all("json_object" in name for name in others), others


@needs_client
def test_an_answer_at_the_limit_breaks_nothing(server: FakeServer) -> None:
    server.reply = held(CUT, "length")
    code, found = of(server)
    assert code == 0
    assert found[STRICT]["outcome"] == "not shown"
    assert found[STRICT]["remarks"] == ("beside them 4 at the limit, of which 4 fail (truncated 4)")
    server.reply = held(GOOD, "length")
    code, found = of(server)
    assert code == 0 and found["length, but complete"]["broken"] == 8


@needs_client
def test_a_mode_that_a_server_refuses_is_not_shown(server: FakeServer) -> None:
    def reply(request: dict[str, Any]) -> Act:
        kind = request.get("response_format", {}).get("type")
        return status(400, "no schemas") if kind == "json_schema" else as_asked(request, GOOD)

    server.reply = reply
    code, found = of(server)
    assert code == 0
    row = found["valid under json_schema"]
    assert row["outcome"] == "not shown" and "status 400 (no schemas)" in row["remarks"]
    assert found[STRICT]["outcome"] == "kept"


@needs_client
def test_a_server_that_refuses_everything_is_a_user_error(server: FakeServer) -> None:
    server.reply = lambda _: status(400, "no such model")
    done = audit("--base-url", server.url, "--model", MODEL)
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: server {server.url}: status 400")


@needs_client
def test_missing_answers(server: FakeServer) -> None:
    def reply(request: dict[str, Any]) -> Act:
        return status(500) if "eval-2" in str(request["messages"]) else as_asked(request, GOOD)

    server.reply = reply
    Path("my.toml").write_text(
        f'[eval.servers.one]\nbase_url = "{server.url}"\nmodel = "m"\nmax_retries = 0\n'
    )
    done = audit("my.toml", "--server", "one")
    assert done.exit_code == 3, done.output
    assert done.stdout.startswith(f"server {server.url}, model m, 4 prompts of rows.jsonl\n")
    assert "json_object: 1 of 4 answers are missing or unscored, the first because" in done.stdout
    assert "same answer streamed" in done.stdout


@needs_client
def test_a_mode_cannot_be_overridden(server: FakeServer) -> None:
    Path("my.toml").write_text(
        f'[eval.servers.one]\nbase_url = "{server.url}"\nmodel = "m"\n'
        f'extra_body = {{ response_format = {{ type = "text" }} }}\n'
    )
    done = audit("my.toml", "--server", "one")
    assert done.exit_code == 2 and not server.requests
    assert "extra_body sets response_format, which the audit sets in each mode" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--server", "one", "--model", "m"], "--server names a server of CONFIG with its model"),
        (["--base-url", "http://127.0.0.1:9/v1"], "--base-url needs --model"),
        (
            ["--base-url", "nowhere", "--model", "m"],
            '--base-url base_url = "nowhere": it must be an address',
        ),
        (["my.toml", "--server", "on"], "[eval.servers.on], did you mean 'one'?"),
        (["--server", "one"], "name the CONFIG whose [eval.servers.one] describes it"),
        (["my.toml", "--concurrency", "4"], "backend 'transformers' has no concurrency"),
    ],
)
def test_options_that_do_not_fit(server: FakeServer, arguments: list[str], told: str) -> None:
    Path("my.toml").write_text(f'[eval.servers.one]\nbase_url = "{server.url}"\nmodel = "m"\n')
    done = audit(*arguments)
    assert done.exit_code == 2
    assert told in done.stderr and done.stderr.count("\n") == 1, done.stderr


class Sloppy(Options):
    """A local backend whose answers change with the batch size, and under a grammar repeat keys."""

    name: ClassVar[str] = "sloppy"
    max_new_tokens: int = 128
    per_device_eval_batch_size: int = 64
    constrained: bool = False

    def complete(
        self, examples: Sequence[Example], model: ModelOptions, adapter: Path | None
    ) -> Iterator[Completion]:
        for each in examples:
            text = GOOD if self.per_device_eval_batch_size < 64 else '{"a": 2}'
            text = TWICE if self.constrained else text
            yield Completion(example_id=each.id, text=text, finish_reason="stop")


def test_a_local_model_whose_answers_change_with_the_batch() -> None:
    pytest.importorskip("llguidance")
    found = audited(Sloppy(), ModelOptions(), [example("eval-0")], near_limit=8).findings
    assert {each.promise: short(each) for each in found} == {
        "same answer at batch size 8": ("kept", 1, 0),
        "same answer at batch size 64": ("broken", 1, 1),
        "strict under grammar": ("broken", 1, 1),
        "strict under grammar, at most 8 tokens": ("broken", 1, 1),
        "stop means whole": ("kept", 2, 0),
        "no more tokens than asked for": ("not shown", 0, 0),
        "length, but complete": ("note", 0, 0),
    }
    assert "duplicate_key 1" in audit_table(found)
    (pair, *_) = case_rows(found)
    assert [answer["text"] for answer in pair["answers"]] == [GOOD, '{"a": 2}']


def test_a_backend_without_modes() -> None:
    class Bare(Options):
        name: ClassVar[str] = "bare"
        max_new_tokens: int = 4

    with pytest.raises(UserError, match="backend 'bare' is neither a server's nor the local one"):
        audited(Bare(), ModelOptions(), [example()], near_limit=4)  # type: ignore[arg-type]


def test_a_local_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("llguidance")
    monkeypatch.chdir(tmp_path)
    rows = [example(f"eval-{n}") for n in range(3)]
    Path("rows.jsonl").write_bytes(b"".join(map(encode, rows)))
    model = str(tiny_model(tmp_path / "model"))
    done = audit("--model", model, "--max-new-tokens", "12", "--near-limit", "4", "--json")
    assert done.exit_code == 0, done.output
    found = {each["promise"]: each for each in json.loads(done.stdout)["findings"]}
    assert found["same answer at batch size 64"]["outcome"] == "kept"
    assert found["no more tokens than asked for"]["answers"] == 15
    assert "strict under grammar, at most 4 tokens" in found


@needs_client
@needs_server
@pytest.mark.model
def test_llama_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a schema the answers are valid; its tokenizer says how many tokens a text has."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    asks = [("eval-0", "Oslo"), ("eval-1", "Riga")]
    rows = [
        Example(
            id=name,
            prompt=(Message("user", f"Give a JSON object with the key city, which is {city}."),),
            completion=json.dumps({"city": city}),
            format="json",
            value={"city": city},
        )
        for name, city in asks
    ]
    Path("rows.jsonl").write_bytes(b"".join(map(encode, rows)))
    with serving(builtin_gguf(), slots=2, threads=1) as url:
        server = FakeServer()
        server.url = f"{url}/v1"
        code, found = of(server, "--max-new-tokens", "24", "--near-limit", "4")
    assert code in (0, 1)
    assert found["valid under json_schema"]["outcome"] == "kept"
    assert found["no reasoning with thinking off"]["broken"] == 0
    assert found["no more tokens than asked for"] | {"ids": []} == {
        "promise": "no more tokens than asked for",
        "answers": 22,
        "broken": 0,
        "outcome": "kept",
        "remarks": "",
        "labels": {},
        "ids": [],
    }
    assert found["token counts that differ from the text"]["answers"] == 22
