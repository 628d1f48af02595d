"""What stays behind: nothing of a killed process, the same bytes twice, and modes by the umask."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from fmtharness.harness.config import load_config
from fmtharness.harness.files import as_umask, atomic_file, file_digest, held_folder, hold, sweep
from fmtharness.harness.run.folder import RunFolder
from tests.fakes import ROOT
from tests.tiny import tiny_config, tiny_model

posix = pytest.mark.skipif(sys.platform == "win32", reason="open files cannot be renamed there")

WRITES = """
import sys, time
from pathlib import Path
from fmtharness.harness.files import atomic_file, held_folder

with atomic_file(Path("rows.jsonl")), held_folder(Path(), "model-0123") as folder:
    (folder / "model").mkdir()
    (folder / "model/weights").write_text("half")
    print("writes", flush=True)
    time.sleep(600)
"""


def writer() -> subprocess.Popen[str]:
    """A process that is about to write rows.jsonl and a folder, in the current folder."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = subprocess.Popen(
        [sys.executable, "-c", WRITES], env=env, stdout=subprocess.PIPE, text=True
    )
    assert started.stdout and started.stdout.readline() == "writes\n"
    return started


@posix
def test_only_what_a_killed_process_left_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    others = [".rows.jsonl.tmp", ".own.abc.tmp", "rows.jsonl.12.tmp", ".vimrc.swp", "step-1.tmp"]
    for name in others:
        Path(name).write_text("a user's")
    started = writer()
    left = sorted({each.name for each in tmp_path.iterdir()} - {*others})
    assert len(left) == 2
    sweep(tmp_path)
    assert sorted({each.name for each in tmp_path.iterdir()} - {*others}) == left
    started.send_signal(signal.SIGKILL)
    started.wait()
    assert sorted({each.name for each in tmp_path.iterdir()} - {*others}) == left
    sweep(tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(others)


@posix
def test_writing_a_file_again_sweeps_what_the_killed_process_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    started = writer()
    started.kill()
    started.wait()
    Path(".other.jsonl.12.tmp").touch()
    with atomic_file(Path("rows.jsonl")) as temporary:
        temporary.write_text("whole")
    names = [each.name for each in tmp_path.iterdir() if not each.name.startswith(".model")]
    assert sorted(names) == [".other.jsonl.12.tmp", "rows.jsonl"]


@posix
def test_opening_a_run_sweeps_it(tmp_path: Path) -> None:
    run = tmp_path / "run"
    left = [
        "data/.train.jsonl.12.tmp",
        ".manifest.json.99.tmp",
        "checkpoints/step-2/.state.json.tmp",
    ]
    for name in (*left, "checkpoints/.step-25.tmp/weights", ".adapter.tmp/weights", "data/.own"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("half")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / ".kept.jsonl.12.tmp").touch()
    (run / "linked").symlink_to(outside)
    (run / ".linked.12.tmp").symlink_to(outside)
    with RunFolder.open(run, load_config()):
        found = sorted(str(each.relative_to(run)) for each in run.rglob("*") if each.is_file())
    assert found == [".lock", "config.toml", "data/.own"]
    assert (outside / ".kept.jsonl.12.tmp").exists() and (run / ".linked.12.tmp").is_symlink()


@posix
def test_a_held_file_is_let_go_at_the_end(tmp_path: Path) -> None:
    for _ in range(50):
        with atomic_file(tmp_path / "a") as temporary:
            temporary.write_text("x")
        with pytest.raises(ZeroDivisionError), atomic_file(tmp_path / "a"):
            _ = 1 / 0
        with held_folder(tmp_path, "b"):
            pass
    open_files = Path("/proc/self/fd")
    if open_files.exists():
        assert not [each for each in open_files.iterdir() if str(tmp_path) in _target(each)]
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def _target(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


@posix
def test_a_file_of_a_living_process_is_not_held_twice(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    held = hold(tmp_path / "a")
    assert held is not None and hold(tmp_path / "a") is None
    os.close(held)
    assert hold(tmp_path / "missing") is None


TRAINS = "from fmtharness.harness.cli import main; main(['train', 'tiny.toml', '--out', '{out}'])"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same training in two processes, with other hashes of strings and other umasks."""
    folder = tmp_path_factory.mktemp("trained")
    config = tiny_config(folder)
    config.write_text(
        config.read_text().replace('trainer = "lora"', 'trainer = "lora"\nsave_total_limit = 1')
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", TRAINS.format(out=f"{seed}/run")],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed},
            umask=umask,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for seed, umask in (("1", 0o022), ("2", 0o027))
    ]
    assert [each.wait() for each in started] == [0, 0]
    return {"1": folder / "1/run", "2": folder / "2/run"}


def test_the_same_training_writes_the_same_adapter_folder(trained: dict[str, Path]) -> None:
    one, two = (
        {each.name: file_digest(each) for each in sorted((run / "adapter").iterdir())}
        for run in trained.values()
    )
    assert {"README.md", "fmtharness.json", "adapter_config.json"} <= one.keys()
    assert one == two
    last = [run / "checkpoints/step-12/adapter_config.json" for run in trained.values()]
    assert last[0].read_bytes() == last[1].read_bytes()


@posix
def test_files_have_the_mode_of_the_umask(trained: dict[str, Path]) -> None:
    for run, mode in ((trained["1"], 0o644), (trained["2"], 0o640)):
        files = [each for name in ("adapter", "checkpoints") for each in (run / name).rglob("*.*")]
        assert len(files) > 8
        wrong = {str(each): oct(each.stat().st_mode) for each in files if each.is_file()}
        assert {value[-3:] for value in wrong.values()} == {oct(mode)[-3:]}, wrong


@posix
def test_modes_of_a_new_folder(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        (tmp_path / "made").mkdir()
    finally:
        os.umask(before)
    weights = tmp_path / "made/weights"
    weights.touch(0o600)
    as_umask(tmp_path / "made")
    assert weights.stat().st_mode & 0o777 == 0o640


@posix
def test_half_a_conversion_is_swept_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fmtharness.harness.engine.gguf import resolve
    from tests.tiny_gguf import write_gguf

    monkeypatch.setenv("FMTHARNESS_CACHE", str(tmp_path / "cache"))
    half = tmp_path / "cache/models/.tiny-0123456789ab.abcd_123.tmp"
    (half / "model").mkdir(parents=True)
    converted = Path(resolve(str(write_gguf(tiny_model(tmp_path / "model"), tmp_path / "t.gguf"))))
    assert [each.name for each in converted.parent.iterdir()] == [converted.name]
    modes = {each.name: each.stat().st_mode & 0o777 for each in converted.iterdir()}
    usual = modes["config.json"]
    assert modes == dict.fromkeys(modes, usual)


@pytest.mark.parametrize("kind", ["file", "link", "dangling link", "adapter link"])
def test_a_checkpoint_or_adapter_that_is_no_folder(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fmtharness.harness.errors import UserError
    from fmtharness.trainers.resume import checkpoints

    folder, other = tmp_path / "checkpoints", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    (other / "kept").write_text("not the run's own")
    if kind == "file":
        (folder / "step-4").touch()
    elif kind == "adapter link":
        (tmp_path / "adapter").symlink_to(other)
    else:
        (folder / "step-4").symlink_to(other if kind == "link" else tmp_path / "nowhere")
    place = "adapter" if kind == "adapter link" else "step-4"
    with pytest.raises(UserError, match=f"{place}: this is a (file|link)"):
        if place == "adapter":
            checkpoints.newest(folder, "inputs")
        else:
            checkpoints.save(folder, {"step": 4, "inputs": "inputs"}, None, {}, keep=1)
    assert (other / "kept").exists()


FIXED = {"filelock": "3.20.3", "jinja2": "3.1.6", "torch": "2.6", "tqdm": "4.66.3"}
"""The version in which each package's last fault of security that it published was mended."""


def test_no_version_with_a_known_fault_is_taken() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = project["dependencies"] + project["optional-dependencies"]["train"]
    floors = dict(each.split(">=") for each in named)
    for name, fixed in FIXED.items():
        assert _numbers(floors[name]) >= _numbers(fixed), name


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def test_locked_requirements_are_the_constraints_with_hashes() -> None:
    text = (ROOT / "requirements-locked.txt").read_text(encoding="utf-8")
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", constraints, re.MULTILINE))
    assert {name: pinned[name] for name in locked if name in pinned} == {
        name: version for name, version in locked.items() if name in pinned
    }
    entries = re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]
    assert len(entries) >= len(locked) > 50
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", each) for each in entries)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = project["dependencies"] + project["optional-dependencies"]["train"]
    assert {each.partition(">=")[0] for each in named} <= locked.keys()
