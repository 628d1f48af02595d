"""`fmtharness check`: what counts as a text, what is refused, the shapes and the exit codes."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fmtharness.harness.cli import main
from fmtharness.harness.commands.check import sources
from fmtharness.harness.errors import UserError
from tests.fakes import ROOT, fmtharness, import_path

GOOD, BAD = '{"a": 1}', '{"a": 1,}'
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def call(*arguments: str, stdin: str | bytes | None = None, charset: str = "utf-8") -> Result:
    return CliRunner(charset=charset).invoke(main, ["check", *arguments], input=stdin)


def refused(*arguments: str, stdin: bytes | None = None) -> str:
    """The message of a command that must end as a user error."""
    done = call(*arguments, stdin=stdin)
    assert (done.exit_code, done.stdout) == (2, ""), done.output
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1
    return done.stderr


def names(*arguments: str, **options: Any) -> list[str]:
    document = json.loads(call(*arguments, "--json", **options).stdout)
    return [each["name"] for each in document]


# --- what is judged


def test_a_text() -> None:
    done = call(GOOD)
    assert (done.exit_code, done.output) == (0, "json_strict: passed\n")
    done = call(BAD)
    assert done.exit_code == 1
    assert " --> text:1:8\n" in done.stdout
    assert done.stdout.endswith("json_strict: failed (trailing_comma)\n")
    assert done.stderr == ""


def test_a_file() -> None:
    Path("answer.txt").write_bytes(b'{"a": 1,\r\n"b": None}')
    done = call("answer.txt")
    assert done.exit_code == 1
    assert " --> answer.txt:2:6\n" in done.stdout
    assert call("--file", "answer.txt").stdout == done.stdout
    assert " --> text:1:1\n" in call("--text", "answer.txt").stdout


def test_standard_input() -> None:
    for arguments in ([], ["-"], ["--file", "-"]):
        done = call(*arguments, stdin='{"a": tru\n')
        assert done.exit_code == 1
        assert " --> <stdin>:1:10\n" in done.stdout
    assert call(stdin="").stdout.endswith("failed (empty)\n")
    assert names(GOOD, stdin=BAD) == ["text"], "with an argument, standard input is left alone"


def test_the_order_and_the_names() -> None:
    Path("a.json").write_text(GOOD)
    given = [GOOD, "a.json", "-", BAD, "--file", "a.json", "--text", "x"]
    assert names(*given, stdin=GOOD) == [
        "text-1",
        "a.json",
        "<stdin>",
        "text-2",
        "text-3",
        "a.json",
    ]
    done = call(*given, "--text", GOOD, stdin=GOOD)
    assert done.exit_code == 1
    assert done.stdout.endswith("\n\n7 texts: 5 passed, 2 failed\n")
    assert "[a.json]\njson_strict: passed\n\n[<stdin>]\njson_strict: passed\n" in done.stdout


def test_a_byte_order_mark_stays() -> None:
    Path("a.json").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert "failed (byte_order_mark)" in call("a.json").stdout
    assert "failed (byte_order_mark)" in call(stdin=b"\xef\xbb\xbf{}").stdout


@pytest.mark.parametrize(
    ("text", "noted"),
    [
        ("answers/one", True),
        ("no such.JSON", True),
        ("rows.jsonl", True),
        ("missing.yaml", True),
        ("and/or, it says", False),
        ("Sure.", False),
        ('{"a": "b/c.json', False),
        ("a" * 5000, False),
        ("\x00", False),
    ],
)
def test_a_path_that_is_none(text: str, noted: bool) -> None:
    done = call(text)
    assert done.exit_code == 1
    assert done.stderr == (
        f"note: there is no file {text}, so this is judged as a text\n" if noted else ""
    )
    assert call("--text", text).stderr == ""


# --- what is refused


def test_nothing_to_judge() -> None:
    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

        def read(self, size: int | None = -1) -> bytes:
            raise AssertionError("waits for a person")

    for stdin in (Terminal(), None):
        with pytest.raises(UserError, match="nothing to judge: name a TEXT or a FILE"):
            sources([], [], [], stdin)
        assert [each.text for each in sources([], ["x"], [], stdin)] == ["x"]
    with pytest.raises(UserError, match="closed"):
        sources(["-"], [], [], None)


def test_files_that_cannot_be_read() -> None:
    Path("folder").mkdir()
    Path("a.json").write_bytes(b'{"a": "\xe9"}')
    assert "a.json: is not UTF-8 at byte 7 (" in refused("a.json")
    assert "<stdin>: is not UTF-8 at byte 0 (" in refused(stdin=b"\xff")
    assert "folder: is a folder" in refused("folder")
    assert "no.json: cannot be read (No such file or directory)" in refused("--file", "no.json")
    assert "named twice" in refused("-", "--file", "-")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--format", "jsn"], "no format is called 'jsn', did you mean 'json'?"),
        (["--format", "json:roof=any"], "'json:roof=any': json has no key 'roof'"),
        (["--evaluator", "json_strit"], "did you mean 'json_strict'?"),
        (["--evaluator", "json_match"], "'json_match' compares with an Example"),
        (["--evaluator", "json_strict", "--format", "json:root=any"], "given twice"),
    ],
)
def test_evaluators_that_cannot_judge(arguments: list[str], word: str) -> None:
    assert word in refused(*arguments, GOOD)


# --- the evaluators, and what comes out


def test_evaluators_and_formats() -> None:
    assert call("[1]").exit_code == 1
    assert call("[1]", "--format", "json:root=any").exit_code == 0
    assert call("[1]", "--evaluator", "json_strict:root=array,max_depth=1").exit_code == 0
    done = call(GOOD * 2, "--evaluator", "duplicate_json_objects", "--format", "json")
    assert done.exit_code == 1
    assert "duplicate_json_objects: failed (duplicate_objects)\n" in done.stdout
    assert done.stdout.endswith("json_strict: failed (multiple_roots)\n")


def test_an_evaluator_that_raises(fakes: list[str]) -> None:
    done = call("boom", "--evaluator", "picky")
    assert done.exit_code == 3
    assert done.stdout == "picky: unscored: picky raised RuntimeError: a bad day\n"
    done = call("boom", GOOD, "x" * 11, "--evaluator", "picky")
    assert done.exit_code == 3
    assert done.stdout.endswith("3 texts: 1 passed, 1 failed, 1 unscored\n")
    [checked] = json.loads(call("boom", "--evaluator", "picky", "--json").stdout)
    assert checked["verdicts"][0]["passed"] is None


def test_the_document_has_the_rows_of_eval() -> None:
    text = '{\n"é": “x”}\ud800' + GOOD
    evaluators = ["--evaluator", "duplicate_json_objects", "--evaluator", "json_strict"]
    Path("rows.jsonl").write_text(json.dumps({"id": "text", "text": text}) + "\n")
    given = ["eval", *evaluators, "--completions", "rows.jsonl", "--verdicts", "v.jsonl"]
    assert CliRunner().invoke(main, given).exit_code == 0
    wanted = [json.loads(line) for line in Path("v.jsonl").read_text().splitlines()]

    done = call(text, *evaluators, "--json")
    assert done.exit_code == 1
    assert len(done.stdout.splitlines()) == 1
    [checked] = json.loads(done.stdout)
    assert list(checked) == ["name", "verdicts"]
    problems = [problem for row in checked["verdicts"] for problem in row["problems"]]
    places = {
        problem["label"]: (problem.pop("line"), problem.pop("column")) for problem in problems
    }
    assert places == {
        "smart_quotes": (2, 6),
        "text_after": (2, 10),
        "lone_surrogate": (2, 10),
        "multiple_roots": (2, 11),
    }
    assert checked["verdicts"] == wanted


@pytest.mark.parametrize("charset", ["ascii", "cp1252"])
def test_a_stream_that_lacks_characters(charset: str) -> None:
    done = call('{"日": None}', charset=charset)
    assert done.exit_code == 1
    assert '1 | {"<U+65E5>": None}\n  |              ^^^^ python_literal\n' in done.stdout


def test_the_sample_of_the_readme() -> None:
    [(text, shown)] = re.findall(r'fmtharness check "(.+)"\n\n```text\n(.*?)```', README, re.DOTALL)
    assert call(text).stdout == shown


# --- in a process of its own


def test_a_process() -> None:
    done = fmtharness("check", "{'a': 1}", path=ROOT)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == call("{'a': 1}").stdout


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("more", [{}, {"NO_COLOR": "1"}, {"NO_COLOR": ""}])
def test_colour_on_a_terminal(more: dict[str, str]) -> None:
    ours, theirs = os.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    done = subprocess.run(
        [sys.executable, "-m", "fmtharness", "check", BAD],
        env=environment | {"PYTHONPATH": import_path(ROOT)} | more,
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=120,
    )
    os.set_blocking(ours, False)  # if nothing was written, reading fails and does not wait
    assert (done.returncode, done.stderr) == (1, "")
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    os.close(theirs)
    assert ("\x1b[" in shown) == (not more.get("NO_COLOR"))
    assert "trailing_comma" in shown
