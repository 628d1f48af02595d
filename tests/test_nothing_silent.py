"""Nothing of a user's is overwritten or obeyed silently: what is refused, in which sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from fmtharness.harness.cli import main
from fmtharness.harness.commands.group import Command
from fmtharness.harness.engine.gguf import resolve
from fmtharness.harness.errors import ModelError
from fmtharness.harness.files import near_miss
from fmtharness.harness.records import write_records
from fmtharness.harness.requirements import needs_model
from fmtharness.harness.run.scalars import Scalars
from tests.fakes import FAKE_CONFIG, ROOT, example, import_path
from tests.test_cli import GOOD, call, refused, texts


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


@pytest.fixture
def fake(fakes: list[str]) -> Path:
    """A config of fakes, whose run is outputs/fake."""
    path = Path("fake.toml")
    path.write_text(FAKE_CONFIG)
    return path


def said(*arguments: str | Path) -> str:
    """The error of a command that first says which config it takes."""
    done = call(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    first, error = done.stderr.splitlines()
    assert first.startswith("config: ")
    return error


MANIFEST = '{"name": "", "began": "", "seed": 0, "config_sha256": "", "stages": {}}'


def run_at(name: str) -> Path:
    """What shows that a run has begun in a folder."""
    folder = Path(name)
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(MANIFEST)
    return folder


def adapter_at(name: str) -> Path:
    """What looks like an adapter, without a library."""
    folder = Path(name)
    folder.mkdir(parents=True)
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        (folder / file).write_text("{}")
    return folder


def logs_at(name: str) -> Path:
    Scalars(Path("metrics.jsonl"), Path(name), keep_until=0).close()
    scalars = Scalars(Path("metrics.jsonl"), Path(name), keep_until=0)
    for step in range(3):
        scalars.log(step, {"train/loss": 1 / (step + 1)})
    scalars.close()
    Path("metrics.jsonl").unlink()
    return Path(name)


# --- a folder that is no run's


def test_compare_does_not_begin_a_run_on_a_misspelled_folder() -> None:
    run_at("outputs/quick")
    assert refused("compare", "--out", "outputs/quik") == (
        "error: outputs/quik is no run's folder, since it has no manifest.json, did you mean "
        "'outputs/quick'?; `fmtharness run --out outputs/quik` makes one\n"
    )
    assert "did you mean 'outputs/quick'?" in refused("compare", "--out", "quick")
    assert "did you mean 'outputs/quick'?" in refused("compare", "--out", "outputts/quick")
    Path("no run").mkdir()
    message = refused("compare", "--out", "no run", "--set", "seed=1", "--model", "smollm2")
    assert "did you mean" not in message and "run --out 'no run'` makes one" in message


def test_compare_runs_what_is_missing_where_it_is_told_which_run(fake: Path) -> None:
    done = call("compare", fake, "--out", "new")
    assert done.exit_code == 0, done.output
    assert Path("new/compare.md").is_file()
    assert call("compare", "--out", "new").exit_code == 0
    fake.write_text(FAKE_CONFIG.replace('"fake"', '"quick"'))
    assert call("generate", fake).exit_code == 0
    assert call("compare").exit_code == 0, "the default folder, whose training was missing"
    assert Path("outputs/quick/compare.md").is_file()


# --- an option given twice


def options() -> Iterator[tuple[str, click.Option]]:
    """Every option of every command."""
    for name, command in main.commands.items():
        yield from ((name, each) for each in command.params if isinstance(each, click.Option))


SINGLE = [
    (name, spelling)
    for name, option in options()
    for spelling in option.opts
    if not (option.multiple or option.is_flag)
]


@pytest.mark.parametrize(("command", "option"), SINGLE)
def test_an_option_with_one_value_is_given_once(command: str, option: str) -> None:
    assert refused(command, option, "1", f"{option}=2") == (
        f"error: {option} is given twice; give it once\n"
    )


def test_every_repeated_option_is_told() -> None:
    numbers = ["--num-prompts", "1"] * 3
    message = refused("eval", "--data", "a", *numbers, "--data", "b", lines=2)
    assert "--data is given twice" in message and "--num-prompts is given 3 times" in message


def test_what_may_be_repeated_may_be_repeated() -> None:
    repeatable = {option.opts[0] for _, option in options() if option.multiple}
    judged = {"--evaluator", "--file", "--format", "--set", "--text"}
    assert repeatable == judged | {"--adapter", "--allow", "--arm", "--completions"}
    twice = ["--evaluator", "json_strict", "--evaluator", "extras", "--json", "--json"]
    assert call("eval", *twice, "--completions", texts(GOOD)).exit_code == 0
    # The last --set of a key wins, so that a script can add its own to what it was given.
    sets = ["--set", "seed=1", "--set", "seed=2", "--set", "data.n_train=x"]
    assert 'n_train = "x"' in refused("generate", *sets)
    assert call("eval", "--data", "a", "--data", "b", "--help").exit_code == 0


def test_completion_in_a_shell_minds_nothing() -> None:
    command = main.commands["eval"]
    twice = ["--data", "a", "--data", "b"]
    assert command.make_context("eval", twice, resilient_parsing=True)


def test_every_command_of_the_group_looks_for_it() -> None:
    assert main.command_class is Command
    assert all(isinstance(command, Command) for command in main.commands.values())


@pytest.mark.parametrize("command", ["run", "train", "generate", "compare", "eval"])
def test_the_model_is_named_once(command: str) -> None:
    message = refused(command, "--model", "a/b", "--set", "model.name=c/d")
    assert "--model and --set model.name both name the model; give one of them" in message


# --- plot


def test_plot_draws_a_run_s_folder_into_it() -> None:
    logs_at("outputs/mine/tb")
    run_at("outputs/mine2").rename("outputs/other")
    Path("outputs/other/manifest.json").rename("outputs/mine/manifest.json")
    done = call("plot", "--logdir", "outputs/mine")
    assert done.stdout == "wrote outputs/mine/curves.png: 1 scalars\n"
    assert sorted(path.name for path in Path("outputs").rglob("*.png")) == ["curves.png"]
    assert Path("outputs/mine/curves.png").is_file()


def test_plot_finds_a_run_s_logs_where_its_config_says(fake: Path) -> None:
    assert call("run", fake, "--set", "report.tb_logdir=logs").exit_code == 0
    Path("outputs/fake/curves.png").unlink()
    assert "wrote outputs/fake/curves.png" in call("plot", "--logdir", "outputs/fake").stdout


@pytest.mark.parametrize("logdir", ["logs/mine", "logs", "."])
def test_plot_finds_the_logs_below_a_folder(logdir: str) -> None:
    logs_at("logs/mine")
    assert call("plot", "--logdir", logdir).stdout == "wrote logs/curves.png: 1 scalars\n"
    logs_at("logs/other")
    (Path("logs/curves.png")).unlink()
    if logdir != "logs/mine":
        message = refused("plot", "--logdir", logdir)
        assert "several runs, name one: " in message
        assert "logs/mine" in message and "logs/other" in message


def test_plot_in_the_logs_own_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    logs = logs_at("run/tb").resolve()
    monkeypatch.chdir(logs)
    assert call("plot", "--logdir", ".").exit_code == 0
    assert (logs.parent / "curves.png").is_file()


def test_plot_says_which_folder_is_missing_or_empty() -> None:
    logs_at("outputs/quick/tb")
    Path("outputs/quikc").mkdir()
    way_out = "name a run's folder, or a folder with TensorBoard logs\n"
    assert refused("plot", "--logdir", "outputs/quik/tb") == (
        "error: outputs/quik/tb: there is no such folder, did you mean 'outputs/quick/tb'?; "
        + way_out
    )
    assert refused("plot", "--logdir", "outputs/quikc") == (
        "error: outputs/quikc: no TensorBoard scalars there, did you mean 'outputs/quick'?; "
        + way_out
    )
    assert refused("plot", "--logdir", "x") == f"error: x: there is no such folder; {way_out}"


# --- what is not there is told before a library is loaded


def timed(code: str) -> tuple[subprocess.CompletedProcess[str], float]:
    """A Python process, and its seconds of processor time, of which others take no part."""
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": import_path(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    after = os.times()
    return done, sum(after[2:4]) - sum(before[2:4])


@cache
def seconds_of_loading() -> float:
    """What importing torch and peft takes, which also tells how slow this machine is."""
    done, seconds = timed("import torch, peft")
    assert done.returncode == 0, done.stderr
    return seconds


def quickly(*arguments: str) -> str:
    """The message of a command that fails without torch, in a process of its own."""
    code = f"""
import sys
from fmtharness.harness.cli import main
try:
    main({list(arguments)!r})
except SystemExit as done:
    assert done.code == 2, done.code
heavy = {{"torch", "transformers", "peft", "tensorboard", "matplotlib"}} & sys.modules.keys()
assert not heavy, heavy
"""
    done, seconds = timed(code)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert seconds < max(1.5, seconds_of_loading() / 4)
    (line,) = (line for line in done.stderr.splitlines() if not line.startswith("config: "))
    return line.removeprefix("error: ")


SUCH_AS = "name the folder of an adapter, such as outputs/quick/adapter"
WROTE = "name one that fmtharness train or peft wrote"
BUILT_IN = "the built-in model is smollm2-135m-instruct"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--adapter", "/nope"], f"adapter '/nope': there is no such folder; {SUCH_AS}"),
        (
            ["--adapter", "outputs/quik/adapter"],
            "adapter 'outputs/quik/adapter': there is no such folder, did you mean "
            f"'outputs/quick/adapter'?; {SUCH_AS}",
        ),
        (
            ["--adapter", "outputs/quick"],
            "adapter 'outputs/quick': the folder has no adapter_config.json, did you mean "
            f"'outputs/quick/adapter'?; {WROTE}",
        ),
        (
            ["--adapter", "half"],
            f"adapter 'half': the folder has no adapter_model.safetensors; {WROTE}",
        ),
        (
            ["--data", "row.jsonl"],
            "row.jsonl: cannot be read (No such file or directory), did you mean 'rows.jsonl'?; "
            "check the path",
        ),
        (
            ["--model", "./modle"],
            "model './modle' is not a folder, GGUF file or hub id (owner/name), did you mean "
            f"'model'?; {BUILT_IN}",
        ),
        (
            ["--model", "half"],
            "model 'half': the folder has no config.json, so it is not a transformers model; "
            "check --model or model.name",
        ),
        (
            ["--model", "modle.gguf"],
            "model 'modle.gguf': there is no such GGUF file, did you mean 'model.gguf'?; check "
            "--model or model.name",
        ),
        (
            ["--evaluator", "json_strit"],
            "no evaluator is called 'json_strit', did you mean 'json_strict'?; `fmtharness "
            "plugins` lists them",
        ),
        (["--set", "eval.max_new_tokns=3"], "has no key 'max_new_tokns', did you mean"),
        (
            ["--verdicts", "rows.jsonl/v.jsonl", "--evaluator", "json_strict"],
            "rows.jsonl/v.jsonl: cannot be written",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_eval_tells_what_is_missing_before_it_loads_anything(
    arguments: list[str], message: str
) -> None:
    texts(GOOD)
    adapter_at("outputs/quick/adapter")
    adapter_at("half").joinpath("adapter_model.safetensors").unlink()
    Path("model").mkdir()
    Path("model/config.json").write_text("{}")
    Path("model.gguf").touch()
    assert message in quickly("eval", *arguments)


@pytest.mark.parametrize("command", [["run"], ["train"], ["compare"], ["train", "--out", "begun"]])
def test_a_run_tells_that_its_model_is_missing_before_it_begins(command: list[str]) -> None:
    run_at("begun").joinpath("config.toml").write_text("[model]\nname = 'a/b'\n")
    adapter_at("begun/adapter")
    before = sorted(Path.cwd().rglob("*"))
    message = quickly(*command, "--model", "./missing")
    assert message.startswith("model './missing' is not a folder, GGUF file or hub id")
    assert sorted(Path.cwd().rglob("*")) == before
    assert Path("begun/config.toml").read_text() == "[model]\nname = 'a/b'\n"


@pytest.mark.parametrize("name", ["no", "a/b", "a/b/c", "./no", "~/no", "no.gguf", "full", "empty"])
def test_the_engine_refuses_the_same_models(name: str) -> None:
    for folder in ("full", "empty"):
        Path(folder).mkdir()
    Path("full/config.json").touch()
    messages = []
    for look in (needs_model, resolve):
        try:
            look(name)
            messages.append("")
        except ModelError as error:
            messages.append(str(error).partition(",")[0].partition(";")[0])
    assert messages[0] == messages[1]
    assert bool(messages[0]) == (name not in ("a/b", "full"))


def test_near_miss() -> None:
    run_at("outputs/quick")
    assert near_miss(Path("outputs/quik/manifest.json")) == (
        ", did you mean 'outputs/quick/manifest.json'?"
    )
    for path in ("outputs/quik/other", "zzz", "outputs/quick", ".", "..", "/", "/nope/x"):
        assert near_miss(Path(path)) == "", path


# --- files that are read are not written over


def test_eval_writes_over_nothing_that_it_reads() -> None:
    rows, adapter = texts(GOOD), adapter_at("outputs/quick/adapter")
    Path("outputs/quick/config.toml").write_text("")
    Path("my.toml").write_text("")
    Path("model.gguf").touch()
    write_records(Path("examples.jsonl"), [example()])
    kept = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    completions = ["--completions", str(rows)]
    for option in ("--verdicts", "--dump-jsonl"):
        message = refused("eval", *completions, option, f"../cwd/{rows}")
        same = f"{option} are the same file"
        assert f"--completions and {same}" in message
        asked = ["--data", "examples.jsonl"]
        assert f"--data and {same}" in refused("eval", *asked, option, "examples.jsonl")
        assert f"CONFIG and {same}" in refused("eval", "my.toml", option, "my.toml")
        message = refused("eval", "--model", "model.gguf", option, "model.gguf")
        assert f"the model and {same} model.gguf; name another" in message
        with_adapter = ["eval", "--adapter", str(adapter), option]
        message = refused(*with_adapter, adapter / "adapter_config.json")
        assert (
            f"{option} would overwrite outputs/quick/adapter/adapter_config.json, a file of "
            f"--adapter; name another" in message
        )
        message = refused(*with_adapter, "outputs/quick/config.toml")
        assert f"the config of the adapter's run and {same} outputs/quick/config.toml" in message
    assert kept == {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def test_compare_writes_over_nothing_that_it_reads(fake: Path, fakes: list[str]) -> None:
    assert "CONFIG and --out-md are the same file" in call("compare", fake, "--out-md", fake).stderr
    assert not Path("outputs").exists() and fakes == [] and fake.read_text() == FAKE_CONFIG
    assert call("run", fake).exit_code == 0
    for name in ("config.toml", "manifest.json", "metrics.jsonl"):
        message = said("compare", "--out", "outputs/fake", "--out-md", f"outputs/fake/{name}")
        assert f"the run's {name} and --out-md are the same file outputs/fake/{name}" in message
    for name in ("data/eval.jsonl", "adapter/seen.txt", "verdicts/sft.jsonl"):
        message = said("compare", "--out", "outputs/fake", "--out-md", f"outputs/fake/{name}")
        folder = name.partition("/")[0]
        assert f"--out-md would overwrite outputs/fake/{name}, a file of the run's {folder}" in (
            message
        )
    for target in ("outputs/fake/compare.md", "outputs/fake/mine.md", "mine.md", "mine.md"):
        assert call("compare", "--out", "outputs/fake", "--out-md", target).exit_code == 0


def test_compare_knows_before_the_first_stage_that_it_cannot_write(
    fake: Path, fakes: list[str]
) -> None:
    done = call("compare", fake, "--out-md", "fake.toml/x.md")
    assert done.exit_code == 2 and "x.md: cannot be written" in done.stderr
    assert fakes == []


def test_plot_writes_over_no_log_and_no_file_of_the_run() -> None:
    logs = logs_at("run/tb")
    (event_file,) = logs.iterdir()
    before = event_file.read_bytes()
    message = refused("plot", "--logdir", "run", "--out-png", event_file)
    assert f"the log and --out-png are the same file {event_file}; name another" in message
    assert event_file.read_bytes() == before
    for name in ("manifest.json", "config.toml"):
        (Path("run") / name).write_text(MANIFEST)
    for name in ("manifest.json", "config.toml"):
        for logdir in ("run", "run/tb"):
            message = refused("plot", "--logdir", logdir, "--out-png", f"run/{name}")
            assert f"the run's {name} and --out-png are the same file" in message
    for _ in range(2):
        assert call("plot", "--logdir", "run", "--out-png", "run/tb/x.png").exit_code == 0


SMALL = ["--set", "data.n_train=5", "--set", "data.n_dev=3", "--set", "data.n_eval=4"]


def test_generate_writes_over_no_other_data() -> None:
    assert call("generate", "--to", "a", *SMALL).exit_code == 0
    made = {path: path.read_bytes() for path in Path("a").iterdir()}
    assert call("generate", "--to", "a", *SMALL).exit_code == 0, "equal bytes are fine"
    Path("a/dev.jsonl").unlink()
    assert call("generate", "--to", "a", *SMALL).exit_code == 0, "it writes what is missing"
    Path("a/notes.txt").touch()
    made[Path("a/notes.txt")] = b""
    assert refused("generate", "--to", "a", *SMALL, "--set", "seed=1") == (
        "error: a/train.jsonl: this command would write something else there; move the file away, "
        "or choose another folder with --to\n"
    )
    assert made == {path: path.read_bytes() for path in Path("a").iterdir()}
    Path("b").mkdir()
    Path("b/eval.jsonl").write_text("mine")
    assert "b/eval.jsonl: this command would write something else" in refused(
        "generate", "--to", "b", *SMALL
    )
    assert [path.name for path in Path("b").iterdir()] == ["eval.jsonl"]


@pytest.mark.parametrize("command", ["run", "train", "generate"])
def test_a_config_that_no_run_wrote_is_not_written_over(fake: Path, command: str) -> None:
    Path("mine").mkdir()
    own = Path("mine/config.toml")
    own.write_text("# by hand\n" + FAKE_CONFIG)
    for arguments in ([fake, "--out", "mine"], [own, "--out", "mine"], ["--out", "mine"]):
        done = call(command, *arguments)
        assert done.exit_code == 2
        assert (
            "error: mine/config.toml: this file is not the run's own, and would be overwritten; "
            "move it away, or choose another folder with --out\n" in done.stderr
        )
        assert own.read_text() == "# by hand\n" + FAKE_CONFIG
        assert [*Path("mine").iterdir()] == [own]


@pytest.mark.parametrize(
    "name", ["metrics.jsonl", "curves.png", "compare.md", "tb/events.out.tfevents.1", "adapter/x"]
)
def test_what_no_run_made_is_not_written_over(fake: Path, name: str) -> None:
    path = Path("mine", name)
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    message = refused("compare", fake, "--out", "mine")
    assert f"mine/{name.partition('/')[0]}: this " in message
    assert "is not the run's own, and would be overwritten; move it away" in message
    assert path.read_text() == "mine"


def test_the_config_of_a_run_that_ended_early_is_its_own(fake: Path) -> None:
    assert call("generate", fake, "--out", "mine").exit_code == 0
    for path in sorted(Path("mine").rglob("*"), reverse=True):
        if path.name != "config.toml":
            path.rmdir() if path.is_dir() else path.unlink()
    assert call("run", "--out", "mine").exit_code == 0
    assert call("run", "mine/config.toml", "--out", "mine").exit_code == 0


@pytest.mark.parametrize("what", ["format", "evaluator"])
def test_new_writes_into_no_folder_that_holds_something(what: str) -> None:
    Path("mine").mkdir()
    Path("mine/notes.txt").touch()
    message = refused("new", what, "abc", "--to", "mine")
    assert "mine: is there already; name another folder with --to" in message
