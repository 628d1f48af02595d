"""`fmtharness prompt`: one prompt, several arms, their Verdicts, and the exit codes."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner, Result

from fmtharness.harness import plugins
from fmtharness.harness.cli import main
from fmtharness.harness.commands.prompt import text_of
from fmtharness.harness.contracts import ModelOptions, Options
from fmtharness.harness.errors import UserError
from fmtharness.harness.plugins import Registered
from fmtharness.harness.records import Completion, Example
from tests.tiny import tiny_model

SEEN: list[tuple[Any, ...]] = []


class Talker(Options):
    """A backend that answers with the adapter's file `answer`, and without one bad JSON."""

    name: ClassVar[str] = "talker"
    max_new_tokens: int = 128
    error: str | None = None
    reasoning: str | None = None

    def complete(
        self, examples: Sequence[Example], model: ModelOptions, adapter: Path | None
    ) -> Iterator[Completion]:
        for asked in examples:
            turns = [(turn.role, turn.content) for turn in asked.prompt]
            SEEN.append((turns, model.name, self.max_new_tokens))
            text = (adapter / "answer").read_text() if adapter else '{"city": Oslo}'
            yield Completion(
                example_id=asked.id,
                text="" if self.error else text,
                reasoning=self.reasoning,
                finish_reason="error" if self.error else "stop",
                completion_tokens=0 if self.error else 7,
                prompt_tokens=3,
                error=self.error,
            )


@pytest.fixture(autouse=True)
def _talker(fakes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known: Any = plugins.registry()["backends"]
    known["talker"] = Registered("backends", "talker", "fmtharness", Talker)
    monkeypatch.chdir(tmp_path)
    SEEN.clear()


def call(*arguments: str | Path, stdin: str | bytes | None = None) -> Result:
    command = ["prompt", "--set", "eval.backend=talker", *map(str, arguments)]
    return CliRunner().invoke(main, command, input=stdin)


def refused(*arguments: str | Path, stdin: str | None = None) -> str:
    done = call(*arguments, stdin=stdin)
    assert (done.exit_code, done.stdout) == (2, ""), done.output
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr.removeprefix("error: ").rstrip()


def adapter(name: str, answer: str = '{"city": "Oslo"}') -> Path:
    folder = Path(name)
    folder.mkdir(parents=True)
    (folder / "answer").write_text(answer)
    return folder


def test_the_base_alone_with_the_span() -> None:
    done = call("Give a JSON object with the key city.")
    assert done.exit_code == 1
    heading, text, problem, verdict, end = done.stdout.split("\n\n")
    assert re.fullmatch(r"== base: 7 tokens, \d+\.\d s, finish_reason stop", heading)
    assert text == '{"city": Oslo}'
    assert " --> base:1:10\n" in problem and "^^^^" in problem
    assert verdict.startswith("json_strict: failed (") and end == ""
    assert SEEN[0][0] == [("user", "Give a JSON object with the key city.")]


def test_arms_one_under_the_other() -> None:
    adapter("outputs/quick/adapter")
    done = call("Hi", "--arms", "base,sft", "--system", "Be brief.", "--max-new-tokens", "9")
    assert done.exit_code == 1, "one of them fails"
    assert done.stdout.index("== base: ") < done.stdout.index("== sft: ")
    assert done.stdout.endswith('{"city": "Oslo"}\n\njson_strict: passed\n\n')
    assert SEEN == [([("system", "Be brief."), ("user", "Hi")], "smollm2-135m-instruct", 9)] * 2
    assert call("Hi", "--arms", "sft").exit_code == 0


def test_which_arms(tmp_path: Path) -> None:
    adapter("outputs/quick/adapter"), adapter("outputs/hard/adapter"), adapter("mine", "{}")

    def arms(*arguments: str) -> list[tuple[str, str]]:
        found = json.loads(call("Hi", *arguments, "--json").stdout)
        return [(each["arm"], each["text"]) for each in found["arms"]]

    good, bad = '{"city": "Oslo"}', '{"city": Oslo}'
    assert arms() == [("base", bad)]
    assert arms("--out", "outputs/hard") == [("base", bad), ("sft", good)]
    assert arms("--adapter", "mine") == [("sft", "{}")]
    assert arms("--adapter", "mine", "--arms", "base,sft") == [("base", bad), ("sft", "{}")]
    assert arms("--adapter", "mine", "--arms", "base") == [("base", bad), ("sft", "{}")]
    two = arms("--adapter", "mine", "--adapter", "outputs/hard/adapter")
    assert two == [("mine", "{}"), ("hard", good)]
    for arguments, message in {
        ("--arms", "bsae"): "--arms 'bsae' is neither base nor sft, did you mean 'base'?",
        ("--arms", ","): "--arms names none; name base, sft or both",
        ("--arms", "base,base"): "two arms are called 'base'",
        ("--out", "outputs/none"): "outputs/none: it has no adapter for the arm sft",
        ("--adapter", "nope"): "adapter 'nope': there is no such folder",
    }.items():
        assert message in refused("Hi", *arguments)


def test_standard_input() -> None:
    for arguments in ([], ["-"]):
        SEEN.clear()
        assert call(*arguments, stdin="Two\nlines\r\n").exit_code == 1
        assert SEEN[0][0] == [("user", "Two\nlines")]
    for prompt in (["--json"], ["-"]):
        assert refused(*prompt, stdin=" \n").startswith("the prompt is empty: name a PROMPT")
    assert refused("").startswith("the prompt is empty: ")
    assert "is not UTF-8" in CliRunner().invoke(main, ["prompt"], input=b"\xff").stderr


def test_a_terminal_with_nothing_piped() -> None:
    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    for stdin in (None, Terminal()):
        with pytest.raises(UserError, match="there is no prompt: name a PROMPT"):
            text_of(None, stdin)
    assert text_of("-", Terminal(b"typed\n")) == "typed"


def test_who_judges() -> None:
    done = call("Hi", "--adapter", adapter("y", "a: 1"), "--format", "yaml")
    assert done.exit_code == 0 and "yaml_strict: passed" in done.stdout
    found = json.loads(
        call("Hi", "--evaluator", "extras", "--evaluator", "json_strict:root=any", "--json").stdout
    )
    judged = [each["evaluator"] for each in found["arms"][0]["verdicts"]]
    assert judged == ["extras", "json_strict"]
    assert "compares with an Example" in refused("Hi", "--evaluator", "json_match")
    assert "no format is called 'josn'" in refused("Hi", "--format", "josn")


def test_a_schema() -> None:
    pytest.importorskip("fmtharness.harness.schemas")
    Path("s.json").write_text(json.dumps({"required": ["nights"]}))
    done = call("Hi", "--adapter", adapter("a"), "--schema", "s.json")
    assert done.exit_code == 1
    assert "json_strict: passed" in done.stdout and "json_schema: failed" in done.stdout
    assert "no.json" in refused("Hi", "--schema", "no.json")


def test_one_document() -> None:
    done = call("Hi", "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert found["prompt"] == [{"role": "user", "content": "Hi"}]
    [arm] = found["arms"]
    assert arm.pop("seconds") >= 0
    [verdict] = arm.pop("verdicts")
    assert (verdict["passed"], verdict["problems"][0]["column"]) == (False, 10)
    assert arm == {
        "arm": "base",
        "text": '{"city": Oslo}',
        "reasoning": None,
        "unclosed": False,
        "finish_reason": "stop",
        "error": None,
        "prompt_tokens": 3,
        "completion_tokens": 7,
    }


def test_reasoning_stands_in_front_of_the_answer() -> None:
    done = call("Hi", "--adapter", adapter("a"), "--set", "eval.reasoning=Oslo \x1b[2J is one.")
    assert done.exit_code == 0
    *_, text, verdict, end = done.stdout.split("\n\n")
    assert "\n\nreasoning, not judged:\nOslo ␛[2J is one.\n\nanswer:\n\n" in done.stdout
    assert (text, verdict, end) == ('{"city": "Oslo"}', "json_strict: passed", "")
    found = json.loads(call("Hi", "--set", "eval.reasoning=So.", "--json").stdout)
    assert found["arms"][0]["reasoning"] == "So."
    assert "reasoning" not in call("Hi", "--set", "eval.reasoning=").stdout  # an empty pair


def test_no_answer_is_unscored() -> None:
    done = call("Hi", "--set", "eval.error=its prompt is too long")
    assert done.exit_code == 3
    assert "== base: 0 tokens" in done.stdout
    assert "json_strict: unscored: its prompt is too long" in done.stdout


def test_hostile_text_is_written_out() -> None:
    done = call("Hi", "--adapter", adapter("a", "\x1b[2J::error::"))
    assert "\x1b" not in done.output and "␛[2J" in done.stdout
    named = call("Hi", "--adapter", "a", "--adapter", adapter("b\x1b[2J"))
    assert "\x1b" not in named.output


def test_real_models(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "model")
    command = ["prompt", "Hi", "--max-new-tokens", "4", "--model", str(model)]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 1, done.output
    assert re.match(
        r"== base: 4 tokens, \d+\.\d s with loading, finish_reason length\n", done.stdout
    )
    (model / "chat_template.jinja").unlink()
    done = CliRunner().invoke(main, command)
    assert done.exit_code in (2, 3) and "template" in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
