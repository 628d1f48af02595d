"""Hostile strings at every place that prints or writes a document."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fmtharness.harness.cli import main
from fmtharness.harness.commands.output import echo
from fmtharness.harness.config import load_config
from fmtharness.harness.gates.gate_file import read_gate
from fmtharness.harness.gates.outcomes import judge_gate
from fmtharness.harness.judging.tally import tally
from fmtharness.harness.options import build
from fmtharness.harness.progress import say
from fmtharness.harness.records import Completion, Example, Message, Problem, Verdict, write_records
from fmtharness.harness.report.comparison import Answered, diffs, slices_side_by_side
from fmtharness.harness.report.tables import metrics_table, table
from fmtharness.harness.run.adapter_folder import _card
from fmtharness.harness.run.data_stats import collect_stats, stats_markdown
from fmtharness.harness.run.scalars import Scalars
from fmtharness.harness.text import Shown, json_line, markdown, one_line, printable
from fmtharness.harness.trained_on import TrainedOn
from tests.fakes import ROOT

HOSTILE = {
    "escape": "a\x1b[2J\x1b]0;title\x07b",
    "c1": "a\x9b2J\x85b",
    "controls": "a\x00\x08\x7f\rb",
    "github": "a\n::error file=x.py,line=1::b",
    "github, indented": "a\n  ::set-output name=x::b",
    "github, old": "##[error]b",
    "azure": "a ##vso[task.setvariable variable=x]b",
    "bidi": "a\u202eb\u2066c",
    "zero width": "a\u200bb\ufeff",
    "separators": "a\u2028b\x0bc\x0cd\x1ce",
    "surrogate": "a\ud800b",
    "long": "a" * 100_000,
    "markdown": "<script>x</script>|`[b](http://c) ![d](e)&lt;",
    "fence": "````````\n# b",
}
FORBIDDEN = re.compile(r"[^\n -~\u00a1-\u200a\u2010-\u2027\u2030-\u205e\u2070-\ud7ff\ue000-\ufefe]")
COMMAND = re.compile(r"^\s*::|##\w*\[", re.MULTILINE)


def is_harmless(text: str) -> bool:
    """Whether neither a terminal, a log nor a CI service obeys anything in the text."""
    assert not FORBIDDEN.findall(text)
    assert not COMMAND.findall(text)
    assert max(map(len, text.split("\n"))) < 5_000 or text.startswith(("{", "["))  # JSON is whole
    return True


@pytest.fixture(params=HOSTILE)
def hostile(request: pytest.FixtureRequest) -> str:
    return HOSTILE[request.param]


STRICT = build("evaluators", "json_strict")


def verdict(name: str, passed: bool | None, problem: Problem) -> Verdict:
    return Verdict(
        id=name, evaluator="json_strict", passed=passed, labels=(name,), problems=(problem,)
    )


def judged(hostile: str) -> tuple[list[Example], Answered]:
    """Two Examples whose every field is hostile, and their Completions and Verdicts."""
    examples, completions, verdicts = [], [], []
    for name in (hostile, hostile + "2"):
        tags = {"family": name, "shape": [name]}
        prompt = (Message(role="user", content=name),)
        examples.append(
            Example(id=name, prompt=prompt, completion=name, format="json", value=None, tags=tags)
        )
        completions.append(Completion(example_id=name, text=name))
        problem = Problem(name, name, 0, len(name))
        verdicts.append(verdict(name, False, problem))
    verdicts[1] = verdict(hostile + "2", None, problem)
    return examples, Answered(completions, verdicts)


def test_printable_itself(hostile: str) -> None:
    assert is_harmless(printable(hostile))
    assert "\n" not in one_line(hostile)
    assert "\n" not in markdown(hostile)
    assert is_harmless(one_line(hostile))
    assert not re.search(r"<\w|(?<!\\)[`|]|\]\(", markdown(hostile))
    assert is_harmless(json_line({"a": hostile, hostile: 1}))
    assert json.loads(json_line({"a": hostile})) == {"a": hostile}
    printable(hostile, "cp1252").encode("cp1252")
    assert len(hostile) > 4_000 or printable(printable(hostile)) == printable(hostile)


def test_a_cut_says_how_long_the_text_was() -> None:
    assert one_line("a" * 100_000).endswith("a... (100,000 characters)")
    assert printable("b\n" + "a" * 100_000).endswith("a... (100,000 characters)")


def test_colors_stay_and_nothing_else() -> None:
    assert printable("\x1b[1;31mx\x1b[0m\x1b[2J", colors=True) == "\x1b[1;31mx\x1b[0m␛[2J"


def test_lines_to_both_streams(hostile: str, capsys: pytest.CaptureFixture[str]) -> None:
    say(f"note: {hostile}")
    echo(f"note: {hostile}")
    echo(hostile, err=True)
    Shown(sys.stderr).write(hostile.replace("\r", ""))
    said = capsys.readouterr()
    assert is_harmless(said.out)
    assert is_harmless(said.err)


@pytest.mark.parametrize("as_markdown", [False, True])
def test_tables(hostile: str, as_markdown: bool) -> None:
    examples, arm = judged(hostile)
    known = {example.id: example for example in examples}
    sums = tally([STRICT], arm.verdicts, known, arm.completions)
    assert is_harmless(metrics_table(sums, markdown=as_markdown))
    drawn = table([hostile], [[hostile], [hostile]], markdown=as_markdown)
    assert is_harmless(drawn)
    assert drawn.count("\n") == 3
    sides = slices_side_by_side([STRICT], examples, arm, arm, markdown=as_markdown)
    assert is_harmless(sides)


@pytest.mark.parametrize("as_markdown", [False, True])
def test_texts_of_a_comparison(hostile: str, as_markdown: bool) -> None:
    examples, arm = judged(hostile)
    shown = diffs(examples, arm, arm, 2, markdown=as_markdown)
    assert is_harmless(shown)
    if as_markdown:
        outside = re.sub(r"^(`{4,})text\n.*?^\1$", "", shown, flags=re.MULTILINE | re.DOTALL)
        assert "<script" not in outside and "](" not in outside
        assert "# b" not in outside.split("\n")


def ran(*arguments: str, **kwargs: Any) -> str:
    done = CliRunner().invoke(main, arguments, **kwargs)
    assert not isinstance(done.exception, Exception) or isinstance(done.exception, SystemExit)
    assert is_harmless(done.stderr)
    assert is_harmless(done.stdout)
    return done.stdout


def test_commands(hostile: str, tmp_path: Path) -> None:
    clean = hostile.replace("\x00", "")
    file, data = tmp_path / "rows.jsonl", tmp_path / "data.jsonl"
    examples, arm = judged(hostile)
    # A lone surrogate is in no file of UTF-8, but its JSON escape is.
    rows = [{"id": c.example_id, "text": c.text, "finish_reason": hostile} for c in arm.completions]
    rows.append({"id": hostile, "text": "", "finish_reason": "error", "error": hostile})
    file.write_text("".join(json.dumps(row) + "\n" for row in rows) + json.dumps(hostile) + "\n")
    write_records(data, examples)
    ran("eval", "--completions", str(file))
    ran("eval", "--completions", str(file), "--data", str(data))
    assert json.loads(ran("eval", "--completions", str(file), "--data", str(data), "--json"))
    ran("check", "--text", hostile)
    assert json.loads(ran("check", "--text", hostile, "--json"))
    if "\ud800" not in clean:
        ran("check", "--file", str(tmp_path / clean[:50].replace("/", "")))
        ran("eval", "--completions", str(tmp_path / clean[:50].replace("/", "")))
    for arguments in (["check", "--evaluator", clean], ["eval", f"--x{clean}"], [f"x{clean}"]):
        ran(*arguments)


def test_pages_of_a_run(hostile: str, tmp_path: Path) -> None:
    """The statistics of its data, the card of its adapter, and the tags of its scalars."""
    examples, _ = judged(hostile)
    keyed = [msgspec.structs.replace(each, value={hostile: hostile}) for each in examples]
    page = stats_markdown(collect_stats(keyed, keyed, keyed))
    assert is_harmless(page)
    assert "<script" not in page
    config = load_config(overrides=[f"data.n_train={len(keyed)}"])
    told = TrainedOn(
        base=hostile,
        revision=hostile,
        quantization="none",
        precision="bfloat16",
        template_sha256="",
        stop_token=hostile,
    )
    card = _card(replace(config, name=hostile), told, {"stop_token": hostile}, {})
    assert is_harmless(card)
    code = r"```.*?```|`[^`]*`|^base_model: .*$"
    assert "<script>" not in re.sub(code, "", card, flags=re.DOTALL | re.MULTILINE)
    scalars = Scalars(tmp_path / "metrics.jsonl", tmp_path / "tb", keep_until=0)
    scalars.log(1, {hostile: 0.5})
    scalars.close()
    read = EventAccumulator(str(tmp_path / "tb")).Reload()
    for tag in read.Tags()["scalars"]:
        assert is_harmless(tag)


def test_a_gate(hostile: str, tmp_path: Path) -> None:
    row = json.dumps({"id": hostile, "text": hostile})
    (tmp_path / "rows.jsonl").write_text(f"{row}\n{row}\n")
    gate = tmp_path / "a.fmt.toml"
    gate.write_text('completions = "rows.jsonl"\n[thresholds.json_strict]\n')
    with gate.open("a") as more:
        more.write("format_success_rate = { min = 0.5 }\n[regression]\nagainst = 'rows.jsonl'\n")
        more.write("max_drop = { json_strict = 0.1 }\n")
    for text in (gate.read_text(), gate.read_text().partition("[regression]")[0]):
        gate.write_text(text)
        outcomes = judge_gate(read_gate(gate, "a"))
        assert any(outcome.failure for outcome in outcomes.values())
        for outcome in outcomes.values():
            assert is_harmless(outcome.failure)


def test_the_pytest_fixture(hostile: str, assert_format: Any) -> None:
    with pytest.raises(pytest.fail.Exception) as failed:
        assert_format(hostile)
    assert is_harmless(str(failed.value))


def test_a_terminal_sees_no_control_character(tmp_path: Path) -> None:
    """Commands under a pseudo-terminal: nothing but line ends and the colors of `check`."""
    every = "\n".join(HOSTILE.values())
    examples, arm = judged(every)
    data, file = tmp_path / "data.jsonl", tmp_path / "rows.jsonl"
    write_records(data, examples)
    rows = [{"id": c.example_id, "text": c.text} for c in arm.completions]
    filler = [{"id": every, "text": "x" * 1_000}] * 1_500  # enough for a progress bar
    file.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *filler, every]))
    text = tmp_path / "\x1b[2Jtext"
    text.write_bytes(every.replace("\ud800", "").encode())
    evaluate = ["eval", "--completions", str(file), "--data", str(data), "--processes", "1"]
    for arguments in (
        evaluate,
        ["check", "--file", str(text)],
        ["check", "--evaluator", "\x1b[2J"],
    ):
        shown = on_a_terminal(arguments).replace("\r\n", "\n")
        plain = re.sub(r"\x1b\[(1;31|1;34|32|33|0)m", "", shown) if "--file" in arguments else shown
        # The bar returns to the line's start; its blocks are ordinary characters.
        assert is_harmless(plain.replace("\r", "\n").replace("\x1b[A", ""))


def on_a_terminal(arguments: list[str]) -> str:
    """What a terminal is sent by a command."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "fmtharness", *arguments]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT) as running:
        os.close(theirs)
        sent = b""
        while running.poll() is None or select.select([ours], [], [], 0)[0]:
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    part = os.read(ours, 65_536)
                except OSError:  # the other side is closed
                    break
                sent += part
        assert running.wait() in (1, 2, 3)
    os.close(ours)
    return sent.decode()
