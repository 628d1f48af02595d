"""Nothing is deleted or written over that the run did not make."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fmtharness.harness.cli import main
from fmtharness.harness.config import load_config
from fmtharness.harness.errors import ConfigError
from fmtharness.harness.run.folder import manifest_digest
from fmtharness.harness.run.scalars import Scalars
from fmtharness.trainers.resume import checkpoints
from tests.fakes import FAKE_CONFIG
from tests.test_checkpoints import Training, names, save, start
from tests.test_training import trained
from tests.tiny import tiny_config

EVENTS = "events.out.tfevents.1700000000.host.1.0"
MANIFESTS = (
    "{}",
    "[]",
    "",
    '{"stages": {}}',
    '{"name": "My web app", "version": "1.0", "manifest_version": 3}',
    '{"name": "x", "began": "", "seed": 0, "config_sha256": "", "stages": {"train": {}}}',
)


def call(*arguments: str | Path, settings: tuple[str, ...] = ()) -> Result:
    chosen = [part for setting in settings for part in ("--set", setting)]
    return CliRunner().invoke(main, [*map(str, arguments), *chosen])


def files(*folders: Path) -> dict[Path, bytes]:
    """All files below the folders, but the lock, which holds nothing."""
    found = [path for folder in folders for path in folder.rglob("*")]
    return {path: path.read_bytes() for path in found if path.is_file() and path.name != ".lock"}


@pytest.fixture
def fake(fakes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = Path("fake.toml")
    path.write_text(FAKE_CONFIG)
    return path


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    return path


# --- a folder that was never a run


@pytest.mark.parametrize("command", ["run", "train", "generate", "compare"])
@pytest.mark.parametrize("text", MANIFESTS)
def test_a_manifest_of_something_else_is_no_run_s(fake: Path, command: str, text: str) -> None:
    mine = Path("mine")
    for name in ("adapter/weights", "metrics.jsonl", f"tb/{EVENTS}", "config.toml", "data/a"):
        put(mine / name)
    (mine / "manifest.json").write_text(text)
    before = files(mine)
    for config in ([fake], []):
        done = call(command, *config, "--out", mine)
        assert done.exit_code == 2
        lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1 and "Traceback" not in done.stderr
    assert files(mine) == before
    shutil.rmtree(mine)
    mine.mkdir()
    (mine / "manifest.json").write_text(text)
    done = call(command, fake, "--out", mine)
    assert done.exit_code == 2
    assert "mine/manifest.json: no manifest of a run (" in done.stderr
    assert done.stderr.endswith("move it away, or choose another folder with --out\n")
    assert names(mine) == ["manifest.json"]


@pytest.mark.parametrize(
    "name",
    [
        *("adapter/README.md", "checkpoints/step-1/x", "completions/base.jsonl", "verdicts/x"),
        *("data/train.jsonl", "metrics.jsonl", f"tb/{EVENTS}", "config.toml", "rows.base.jsonl"),
        *("rows.sft.jsonl", "curves.png", "compare.md", f"../logs/fake/{EVENTS}"),
    ],
)
def test_what_is_in_the_way_is_named(fake: Path, name: str) -> None:
    mine = Path("mine")
    mine.mkdir()
    put(mine / name)
    logs = 'report.tb_logdir="logs"' if "logs" in name else "seed=0"
    done = call("run", fake, "--out", mine, settings=("eval.dump_jsonl=rows.jsonl", logs))
    assert done.exit_code == 2
    way = "; set another name" if "logs" in name else ", and would be overwritten; move it away"
    assert f"is not the run's own{way}" in done.stderr
    assert (mine / name).read_text() == "mine"
    assert list(files(mine)) in ([mine / name], [])


def test_a_link_to_nowhere_is_in_the_way(fake: Path) -> None:
    Path("mine").mkdir()
    Path("mine/metrics.jsonl").symlink_to("../elsewhere.jsonl")
    assert call("run", fake, "--out", "mine").exit_code == 2
    assert not Path("elsewhere.jsonl").exists()


# --- a run that has begun, and files that others put there


@pytest.mark.parametrize(
    "name",
    [
        *("metrics.jsonl", f"tb/{EVENTS}", "checkpoints/step-1/x", "completions/sft-4.jsonl"),
        *("verdicts/sft-4.jsonl", "adapter/weights", "completions/base.jsonl", "rows.base.jsonl"),
    ],
)
def test_a_training_writes_over_nothing_that_was_there_before(fake: Path, name: str) -> None:
    assert call("generate", fake, "--out", "mine").exit_code == 0
    path = put(Path("mine") / name)
    done = call("run", fake, "--out", "mine", settings=("eval.dump_jsonl=rows.jsonl",))
    assert done.exit_code == 2
    assert f"error: {path}: this file is not the run's own, and would be over" in done.stderr
    assert path.read_text() == "mine"


def test_rows_for_reading_are_written_again_and_others_are_not(fake: Path) -> None:
    settings = ("eval.dump_jsonl=read/rows.jsonl",)
    for more in ((), ("eval.num_prompts=2",), ("eval.num_prompts=2",)):
        done = call("run", fake, "--out", "mine", settings=(*settings, *more))
        assert done.exit_code == 0, done.output
    rows = Path("mine/read/rows.sft.jsonl")
    assert rows.read_text().count("\n") == 2
    rows.write_text("mine")
    done = call("run", fake, "--out", "mine", settings=settings)
    assert "rows.sft.jsonl: this file is changed since the run made it" in done.stderr
    assert rows.read_text() == "mine"


@pytest.mark.parametrize(
    "path", ["/tmp/x", "../x", "a/../../x", "..", "", ".", "C:\\x", "\\\\host\\x", "..\\x"]
)
def test_rows_for_reading_stay_in_the_folder(fake: Path, path: str) -> None:
    setting = f"eval.dump_jsonl={json.dumps(path)}"
    with pytest.raises(ConfigError, match="it must be a file below the run's folder") as caught:
        load_config(fake, overrides=[setting])
    assert str(caught.value).startswith("fake.toml: [eval] dump_jsonl = ")
    assert str(caught.value).count("\n") == 0
    inside = load_config(fake, overrides=["eval.dump_jsonl=read/rows..jsonl"])
    assert inside.eval.dump_jsonl == Path("read/rows..jsonl")


def test_logs_of_others_stay_beside_the_run_s_own(fake: Path) -> None:
    for out in ("a/run", "b/run"):
        done = call("run", fake, "--out", out, settings=('report.tb_logdir="logs"',))
        assert done.exit_code == (0 if out == "a/run" else 2)
    logs = Path("logs/fake")
    foreign = put(logs / EVENTS)
    (kept,) = (path for path in logs.iterdir() if path != foreign)
    Scalars(Path("b/metrics.jsonl"), logs, keep_until=0).close()
    assert foreign.read_text() == "mine" and kept.exists() and len(names(logs)) == 3
    Scalars(Path("b/metrics.jsonl"), logs, keep_until=0).close()
    assert len(names(logs)) == 3, "its own are replaced"


def test_a_run_that_was_moved_knows_its_own_logs(tmp_path: Path) -> None:
    Scalars(tmp_path / "a/metrics.jsonl", tmp_path / "a/tb", keep_until=0).close()
    (tmp_path / "a").rename(tmp_path / "b")
    Scalars(tmp_path / "b/metrics.jsonl", tmp_path / "b/tb", keep_until=0).close()
    assert len(names(tmp_path / "b/tb")) == 1


# --- comparing


@pytest.mark.parametrize(
    ("setting", "why"),
    [("seed=3", "seed (0 -> 3)"), ("train.learning_rate=2.0", "learning_rate (1.0 -> 2.0)")],
)
def test_comparing_never_trains_over_a_finished_run(
    fake: Path, fakes: list[str], setting: str, why: str
) -> None:
    assert call("run", fake, "--out", "mine").exit_code == 0
    assert call("compare", "--out", "mine").exit_code == 0
    before = files(Path("mine"))
    fakes.clear()
    for config in ([fake], []):
        done = call("compare", *config, "--out", "mine", settings=(setting,))
        assert done.exit_code == 2
        error = done.stderr.splitlines()[-1]
        assert error.startswith("error: mine: its training is finished and of another config (")
        assert f"{why} changed), and comparing never trains over it; `fmtharness run`" in error
    assert (files(Path("mine")), fakes) == (before, [])
    assert call("run", fake, "--out", "mine", settings=(setting,)).exit_code == 0
    assert call("compare", fake, "--out", "mine", settings=(setting,)).exit_code == 0
    put(Path("mine/adapter/more"))
    done = call("compare", fake, "--out", "mine", settings=(setting,))
    assert "(files of the stage train changed)" in done.stderr


def test_comparing_may_ask_for_other_completions(fake: Path, fakes: list[str]) -> None:
    assert call("run", fake, "--out", "mine").exit_code == 0
    fakes.clear()
    done = call("compare", "--out", "mine", settings=("eval.max_new_tokens=5",))
    assert done.exit_code == 0, done.output
    assert "train" not in fakes and "complete sft" in fakes


# --- an adapter, its card, and checkpoints


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_config(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def half(config: Path) -> Path:
    return trained(config, config.parent / "half", "train.num_train_epochs=0.5")


@pytest.mark.parametrize("how", ["edited", "removed"])
def test_a_card_is_its_reader_s(config: Path, half: Path, tmp_path: Path, how: str) -> None:
    out = Path(shutil.copytree(half, tmp_path / "out"))
    card = out / "adapter/README.md"
    assert card.is_file()
    card.write_text("mine") if how == "edited" else card.unlink()
    before = files(out / "adapter")
    trained(config, out, "train.num_train_epochs=0.5")
    assert "is up to date" in (out / "said.txt").read_text()
    assert files(out / "adapter") == before


def test_what_a_person_put_into_an_unfinished_adapter_stays(
    config: Path, half: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(half, tmp_path / "out"))
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["stages"]["train"] |= {"begun": True, "files": {}}
    manifest["sha256"] = manifest_digest(manifest)
    (out / "manifest.json").write_text(json.dumps(manifest))
    for name in ("adapter/README.md", "adapter/notes/a.txt", "checkpoints/step-2/notes.txt"):
        put(out / name)
    trained(config, out, "train.num_train_epochs=0.5")
    for name in ("adapter/README.md", "adapter/notes/a.txt", "checkpoints/step-2/notes.txt"):
        assert (out / name).read_text() == "mine"
    weights = "adapter/adapter_model.safetensors"
    assert (out / weights).read_bytes() == (half / weights).read_bytes()


def test_only_a_checkpoint_s_own_files_are_dropped(tmp_path: Path) -> None:
    training = start(0)
    save(tmp_path, 1, training)
    put(tmp_path / "step-1/notes.txt")
    put(tmp_path / "step-0/notes.txt")
    for step in (2, 3):
        save(tmp_path, step, training, keep=1)
    assert names(tmp_path) == ["step-0", "step-1", "step-3"]
    assert [names(tmp_path / f"step-{step}") for step in (0, 1)] == [["notes.txt"]] * 2


def test_a_folder_that_a_link_leads_to_is_not_emptied(tmp_path: Path) -> None:
    training = start(0)
    put(tmp_path / "elsewhere/weights")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/step-1").symlink_to(tmp_path / "elsewhere")
    save(tmp_path / "run", 2, training, keep=1)
    assert (tmp_path / "elsewhere/weights").read_text() == "mine"


def test_a_damaged_checkpoint_is_replaced_and_its_notes_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training: Training = start(0)
    save(tmp_path, 1, training)
    put(tmp_path / "step-1/notes.txt")
    (tmp_path / "step-1/optimizer.safetensors").write_bytes(b"")
    save(tmp_path, 1, training)
    assert (tmp_path / "step-1/notes.txt").read_text() == "mine"
    assert checkpoints.newest(tmp_path, "same")


def test_a_kill_between_two_renames_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training, adapter, rename = start(0), tmp_path / "adapter", Path.rename
    checkpoints.write_adapter(adapter, training.model)
    put(adapter / "notes.txt")

    def killed(path: Path, target: Path) -> Path:
        if path.name == ".adapter.tmp":
            raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            checkpoints.write_adapter(adapter, training.model)
    assert not adapter.exists()
    checkpoints.write_adapter(adapter, training.model)
    assert (adapter / "notes.txt").read_text() == "mine"
    assert names(tmp_path) == ["adapter"]


@pytest.mark.parametrize("path", ["adapter/README.md", "Data/train.jsonl", "tb/rows.jsonl"])
def test_dump_jsonl_is_in_none_of_the_run_s_folders(fake: Path, path: str) -> None:
    with pytest.raises(ConfigError, match="in a run's folder is the run's own; name another"):
        load_config(fake, overrides=[f"eval.dump_jsonl={json.dumps(path)}"])
