"""Exit codes: what can be foreseen is one sentence and 2, what cannot is one sentence and 4."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fmtharness.harness.cli import main
from fmtharness.harness.commands.group import Commands
from fmtharness.harness.contracts import ModelOptions
from fmtharness.harness.errors import ModelError, UserError
from fmtharness.harness.judging.rows import BLOCK_BYTES
from fmtharness.harness.records import Completion, Example
from tests.fakes import FAKE_CONFIG, ROOT, Echo

DIGITS = "1" * 5000
PLAIN = "seed = 0\n"
DEEP = "[" * 100_000
COMMAND = f"{shlex.quote(sys.executable)} -m fmtharness"
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FMTHARNESS_CACHE", str(tmp_path / "cache"))
    Path("rows.jsonl").write_text('{"text": "{}"}\n{"text": "x"}\n')
    Path("plain.toml").write_text(PLAIN)


def shell(
    line: str, env: Mapping[str, str] | None = None, *, first: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """What a shell makes of a line, in which FMT is the command; `first` goes before the path."""
    path = os.pathsep.join(str(each) for each in (first, ROOT) if each)
    return subprocess.run(
        ["bash", "-c", line.replace("FMT", COMMAND)],
        env={**os.environ, "PYTHONPATH": path, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=120,
    )


def refused(done: subprocess.CompletedProcess[str], *words: str) -> str:
    """The one sentence of a foreseen fault."""
    assert done.returncode == 2, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(said) == 1 and "Traceback" not in done.stderr, done.stderr
    assert len(said[0]) < 600
    for word in words:
        assert word in said[0]
    return said[0]


@posix
@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"FMT generate plain.toml --to d --set seed={DIGITS}", ("digits",)),
        (f"FMT generate plain.toml --to d --set data.n_train={DIGITS}", ("digits",)),
        (f"FMT check --evaluator json_strict:max_depth={DIGITS} x", ("digits",)),
        (f"FMT generate plain.toml --to d --set seed={'1' * 4000}", ("less than",)),
        ("FMT generate int.toml --to d", ("int.toml", "digits")),
        ("FMT generate deep.toml --to d", ("deep.toml", "nested too deeply")),
        (f"FMT generate plain.toml --to d --set seed={DEEP[:20_000]}", ("nested too deeply",)),
        (f"FMT check --evaluator json_strict:root={DEEP[:20_000]} x", ("nested too deeply",)),
        ("FMT run plain.toml --out r --set seed=20261129023259", ("seed", "less than 4294967296")),
        ("FMT run plain.toml --out r --set seed=-1", ("seed", "greater than or equal to 0")),
    ],
)
def test_numbers_and_nesting_without_end(line: str, words: tuple[str, ...]) -> None:
    Path("int.toml").write_text(f"seed = {DIGITS}\n")
    Path("deep.toml").write_text(f"x = {DEEP}\n")
    refused(shell(line), *words)
    assert not Path("r").exists() and not Path("d").exists()


@posix
def test_manifest_and_config_of_a_run_nested_too_deeply() -> None:
    for name, other in (("manifest.json", DEEP), ("config.toml", f"x = {DEEP}")):
        run = Path(f"run-{name}")
        run.mkdir()
        (run / "manifest.json").write_text('{"stages": {}}')
        (run / "config.toml").write_text(PLAIN)
        (run / name).write_text(other)
        refused(shell(f"FMT compare --out {run}"), name)


@posix
def test_closed_standard_output_is_refused_before_the_work() -> None:
    for line in ("check {}", "eval --completions rows.jsonl", "plugins", "--help"):
        refused(shell(f"FMT {line} >&-"), "standard output is closed")
    assert shell("FMT eval --completions rows.jsonl >&- 2>&-").returncode == 2


@posix
def test_closed_standard_error_changes_neither_result_nor_code() -> None:
    Path("broken.jsonl").write_text('{"text": "{}"}\n{\n')
    for line in ("eval --completions rows.jsonl", "eval --completions broken.jsonl", "check x"):
        usual, closed = shell(f"FMT {line}"), shell(f"FMT {line} 2>&-")
        assert (closed.returncode, closed.stdout) == (usual.returncode, usual.stdout)
    for line in ("eval --completions nowhere.jsonl", "eval --nope"):
        closed = shell(f"FMT {line} 2>&-")
        assert (closed.returncode, closed.stdout) == (2, "")


@posix
def test_a_file_never_gets_the_number_of_a_closed_stream() -> None:
    shell("FMT eval --completions rows.jsonl --verdicts v.jsonl <&- 2>&-")
    assert len([json.loads(line) for line in Path("v.jsonl").read_text().splitlines()]) == 6


@posix
def test_a_reader_that_ends_early_is_no_failed_gate() -> None:
    for line in ("eval --completions rows.jsonl", "check x", "plugins", "--help"):
        done = shell(f"FMT {line} | true; echo ${{PIPESTATUS[0]}}")
        assert done.stdout.split()[-1] in ("141", "0" if line == "--help" else "141"), done
        assert done.stderr == ""
    read = shell("FMT eval --completions rows.jsonl | head -1 >/dev/null; echo ${PIPESTATUS[0]}")
    assert read.stderr == "" and read.stdout.strip() in ("0", "141")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_standard_streams() -> None:
    for line in ("eval --completions rows.jsonl", "check {}", "plugins", "--help"):
        refused(shell(f"FMT {line} >/dev/full"), "full")
    for line in ("eval --completions nowhere.jsonl", "eval --nope"):
        assert shell(f"FMT {line} 2>/dev/full").returncode == 2


@posix
def test_full_disk() -> None:
    for line in ("generate plain.toml --out r", "eval --completions many.jsonl --verdicts v.jsonl"):
        Path("many.jsonl").write_text('{"text": "some text"}\n' * 2000)
        refused(shell(f"ulimit -f 1; FMT {line}"), "disk is full")
    assert not Path("v.jsonl").exists()


@posix
def test_verdicts_may_go_into_a_pipe() -> None:
    done = shell("FMT eval --completions rows.jsonl --verdicts /dev/stdout | cat")
    assert done.stdout.count('"evaluator"') == 6, done.stderr


@posix
@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_characters_that_the_terminal_does_not_have(encoding: str) -> None:
    for text in ("\u65e5\u2603", "\\ud800"):
        Path("text.json").write_text(f'{{"a": "{text}"}} x', encoding="utf-8")
        for line in ("check --file text.json", "check --json --file text.json"):
            done = shell(f"FMT {line}", {"PYTHONIOENCODING": encoding})
            assert done.returncode == 1 and done.stderr == ""
    odd = shell(
        "FMT check --file \u65e5\u2603", {"PYTHONIOENCODING": encoding, "LC_ALL": "C.UTF-8"}
    )
    refused(odd, "cannot be read")


NO_SEMAPHORES = """
import _multiprocessing

class SemLock:
    SEM_VALUE_MAX = 1
    def __init__(self, *arguments):
        raise FileNotFoundError(2, "No such file or directory")

_multiprocessing.SemLock = SemLock
"""
"""What a machine without /dev/shm answers."""


@posix
def test_several_processes_without_semaphores() -> None:
    Path("site").mkdir()
    Path("site/sitecustomize.py").write_text(NO_SEMAPHORES)
    row = json.dumps({"text": "x" * 4000})
    Path("many.jsonl").write_text(f"{row}\n" * (3 * BLOCK_BYTES // len(row)))
    command = "FMT eval --completions many.jsonl --processes"
    for processes in (1, 2):
        assert shell(f"{command} {processes}", first=Path("site").resolve()).returncode == 0


@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv")
@pytest.mark.parametrize(
    "line",
    [
        "check rows.jsonl",
        "check --file rows.jsonl",
        "eval --completions rows.jsonl",
        "generate plain.toml --to closed/d",
        "eval --completions good.jsonl --verdicts closed/v.jsonl",
        "run plain.toml --out closed/r",
        "new format abc --to closed/abc",
    ],
)
def test_unreadable_files_and_folders(line: str) -> None:
    shutil.copy("rows.jsonl", "good.jsonl")
    Path("rows.jsonl").chmod(0)
    Path("closed").mkdir(mode=0o555)
    drop = "-dac_override,-dac_read_search"  # what lets root read and write everything
    able = f"setpriv --bounding-set={drop} --inh-caps={drop} FMT {line}"
    done = shell(able if os.geteuid() == 0 else f"FMT {line}")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert sum("rror: " in text for text in done.stderr.splitlines()) == 1


@posix
def test_current_folder_that_was_removed() -> None:
    done = shell("mkdir gone; cd gone; rmdir ../gone; FMT eval --completions ../rows.jsonl")
    refused(done, "the current folder was removed")


@pytest.mark.parametrize(
    "offline", [True, pytest.param(False, marks=[pytest.mark.model, pytest.mark.slow])]
)
def test_a_missing_hub_model_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    """Without a network the hub's library tries for most of a minute, so one is not asked."""
    if offline:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    command = ["eval", "--model", "nobody/nothing-at-all", "--evaluator", "json_strict"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert "nobody/nothing-at-all" in result.output
    assert "Traceback" not in result.output


@click.group(cls=Commands, name="app")
def app() -> None:
    """A command line of its own, whose commands fail as no command is known to."""


def failing(error: BaseException) -> int:
    """The exit code of a command that raises this."""

    @app.command("fail")
    def fail() -> None:
        raise error

    return CliRunner().invoke(app, ["fail"]).exit_code


class OddError(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OddError("what nobody\nforesaw \x1b[31m" + "x" * 5000), 4),
        (RecursionError("maximum recursion depth exceeded"), 4),
        (ModuleNotFoundError("No module named 'nowhere'", name="nowhere"), 4),
        (OSError("without a number"), 4),
        (AssertionError(), 4),
        (MemoryError(), 2),
        (PermissionError(13, "Permission denied", "some/file"), 2),
        (PermissionError(13, "Permission denied", b"some/file"), 2),
        (UserError("set one"), 2),
        (BrokenPipeError(32, "Broken pipe"), 141),
        (KeyboardInterrupt(), 130),
    ],
)
def test_no_error_has_the_code_of_a_failed_gate(error: BaseException, code: int) -> None:
    assert failing(error) == code


def test_the_unforeseen_is_one_sentence_and_a_file(tmp_path: Path) -> None:
    @app.command("break")
    def fail() -> None:
        raise OddError("what nobody\nforesaw \x1b[31m")

    done = CliRunner().invoke(app, ["break"])
    said = done.stderr.splitlines()
    assert len(said) == 1 and said[0].startswith("error: ") and "\x1b" not in said[0]
    (kept,) = (tmp_path / "cache/crashes").iterdir()
    assert str(kept) in said[0] and "what nobody foresaw" in said[0]
    assert "raise OddError" in kept.read_text() and kept.read_text().startswith("fmtharness ")

    shown = CliRunner().invoke(app, ["break"], env={"FMTHARNESS_TRACEBACK": "1"})
    assert shown.exit_code == 4 and "raise OddError" in shown.stderr
    assert len(list((tmp_path / "cache/crashes").iterdir())) == 1


def test_the_unforeseen_where_the_cache_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "other"))
    assert failing(OddError()) == 4
    assert len(list((tmp_path / "other").iterdir())) == 1


@pytest.mark.parametrize("charset", ["cp1252", "utf-8"])
def test_compare_shows_and_writes_what_no_encoding_holds(
    charset: str, fakes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def answers(
        self: Echo, examples: Sequence[Example], model: ModelOptions, adapter: Path | None
    ) -> Iterator[Completion]:
        for each in examples:
            yield Completion(example_id=each.id, text="half \ud800 \u65e5", finish_reason="stop")

    monkeypatch.setattr(Echo, "complete", answers)
    Path("fake.toml").write_text(FAKE_CONFIG)
    done = CliRunner(charset=charset).invoke(main, ["compare", "fake.toml", "--out", "r"])
    assert done.exit_code == 0, done.output
    assert "half <U+D800> " in done.stdout
    assert "half <U+D800> \u65e5" in Path("r/compare.md").read_text(encoding="utf-8")


def test_weights_that_cannot_be_opened(tmp_path: Path) -> None:
    from fmtharness.harness.engine.weights import unloadable

    (tmp_path / "model/model.safetensors").mkdir(parents=True)
    options = ModelOptions(name=str(tmp_path / "model"))
    said = unloadable(options, OSError("No such device (os error 19)"))
    assert isinstance(said, ModelError) and "model.safetensors" in str(said)


def test_settings_of_an_adapter_nested_too_deeply(tmp_path: Path) -> None:
    from fmtharness.harness.engine.adapters import _settings

    (tmp_path / "adapter_config.json").write_text(DEEP)
    with pytest.raises(ModelError, match="not the settings of a peft adapter"):
        _settings(tmp_path)


def test_a_state_nested_too_deeply_is_a_damaged_checkpoint(tmp_path: Path) -> None:
    from fmtharness.trainers.resume import checkpoints

    (tmp_path / "step-4").mkdir()
    (tmp_path / "step-4/state.json").write_text(DEEP)
    assert checkpoints.newest(tmp_path, "inputs") is None


def test_a_manifest_of_another_shape(fakes: list[str]) -> None:
    Path("fake.toml").write_text(FAKE_CONFIG)
    stages = {"data": {"inputs": "one hash, as of an earlier version", "files": {}}}
    Path("r").mkdir()
    held = {"name": "fake", "began": "2026-01-01", "seed": 0, "config_sha256": "", "stages": stages}
    Path("r/manifest.json").write_text(json.dumps(held))
    done = CliRunner().invoke(main, ["compare", "fake.toml", "--out", "r"])
    assert done.exit_code == 0 and "an earlier version of fmtharness made it" in done.stderr
