"""A run's folder: one process at a time, stages current or not, a manifest that may be damaged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fmtharness.harness.config import Config, load_config
from fmtharness.harness.errors import UserError
from fmtharness.harness.files import digest, file_digest, on_disk
from fmtharness.harness.run.folder import RunFolder, default_folder
from tests.fakes import ROOT

INPUTS = {"seed": "5", "evaluator mine": "plug 1.0, source 0a"}


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config(overrides=["seed=5"], name="mine")


@pytest.fixture
def run(tmp_path: Path, config: Config) -> RunFolder:
    run = RunFolder(tmp_path, config)
    for name in ("a.txt", "deep/b.txt", "deep/c.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    run.record("stage", INPUTS, [tmp_path / "a.txt", tmp_path / "deep"], seconds=1.5)
    return run


def reopened(run: RunFolder) -> RunFolder:
    return RunFolder(run.path, run.config)


def test_the_folder_keeps_the_config(tmp_path: Path, config: Config) -> None:
    with RunFolder.open(tmp_path / "x" / "y", config) as run:
        assert load_config(run.path / "config.toml") == config
    assert default_folder(config) == Path("outputs") / "mine"


def test_a_second_process_is_refused(tmp_path: Path, config: Config) -> None:
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from fmtharness.harness.config import load_config\n"
        "from fmtharness.harness.errors import UserError\n"
        "from fmtharness.harness.run.folder import RunFolder\n"
        "try:\n    with RunFolder.open(Path(sys.argv[1]), load_config()): pass\n"
        "except UserError as error: sys.exit(str(error))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with RunFolder.open(tmp_path, config):
        kept = (tmp_path / "config.toml").read_bytes()
        second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert second.returncode == 1
        assert "another process works in this run's folder" in second.stderr
        assert (tmp_path / "config.toml").read_bytes() == kept
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def test_a_place_that_is_no_folder(tmp_path: Path, config: Config) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(UserError, match="no folder can be made"), RunFolder.open(path, config):
            pass


def test_the_lock_is_given_back_after_a_failure(tmp_path: Path, config: Config) -> None:
    with pytest.raises(RuntimeError), RunFolder.open(tmp_path, config):
        raise RuntimeError
    with RunFolder.open(tmp_path, config):
        pass


def test_current(run: RunFolder) -> None:
    assert run.is_current("stage", INPUTS)
    assert reopened(run).is_current("stage", INPUTS)
    assert not run.is_current("stage", {**INPUTS, "seed": "6"})
    assert not run.is_current("other stage", INPUTS)


@pytest.mark.parametrize("name", ["a.txt", "deep/b.txt"])
def test_a_changed_file_is_not_current(run: RunFolder, name: str) -> None:
    (run.path / name).write_text("changed")
    assert not run.is_current("stage", INPUTS)
    (run.path / name).write_text(name)
    assert run.is_current("stage", INPUTS)
    (run.path / name).unlink()
    assert not run.is_current("stage", INPUTS)


def test_a_new_file_in_a_stage_s_folder_is_not_current(run: RunFolder) -> None:
    (run.path / "deep" / "d.txt").touch()
    assert not run.is_current("stage", INPUTS)


def test_a_stage_that_was_cut_off_writes_its_files_again(run: RunFolder) -> None:
    written = [run.path / "a.txt", run.path / "deep"]
    run.begin("stage", INPUTS, written)
    assert not reopened(run).is_current("stage", INPUTS)
    written[0].write_text("half of it")
    reopened(run).begin("stage", INPUTS, written)


def test_what_the_run_did_not_make_is_not_overwritten(run: RunFolder) -> None:
    (run.path / "mine.txt").touch()
    with pytest.raises(UserError, match=r"mine\.txt: this file is not the run's own"):
        run.begin("other", INPUTS, [run.path / "mine.txt"])
    (run.path / "deep" / "b.txt").write_text("edited")
    with pytest.raises(UserError, match=r"deep/b\.txt: this file is changed since"):
        run.begin("stage", {}, [run.path / "a.txt", run.path / "deep"])
    assert (run.path / "deep" / "b.txt").read_text() == "edited"
    assert "begun" not in reopened(run).manifest["stages"]["stage"]


def test_a_stage_says_why_it_runs_again(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    new = {"seed": "6", "evaluator mine": "plug 1.1, source 0b", "[data]": "1c"}
    run.begin("stage", new, [])
    assert capsys.readouterr().err.strip() == (
        "stage: runs again, since [data], evaluator mine (plug 1.0, source 0a -> plug 1.1, "
        "source 0b), seed (5 -> 6) changed"
    )
    run.manifest["stages"]["old"] = {"inputs": "0123", "files": {}}
    run.begin("old", new, [])
    assert "since an earlier version of fmtharness made it" in capsys.readouterr().err


def test_manifest(run: RunFolder) -> None:
    run.record("second", {}, [])
    manifest = json.loads((run.path / "manifest.json").read_text())
    assert set(manifest["stages"]) == {"stage", "second"}
    assert manifest["stages"]["stage"]["seconds"] == 1.5
    assert set(manifest["stages"]["stage"]["files"]) == {"a.txt", "deep"}
    assert (manifest["name"], manifest["seed"]) == ("mine", 5)
    assert {"python", "fmtharness", "torch", "transformers"} <= set(manifest["versions"])
    assert manifest["hardware"]["cpus"] >= 1
    assert len(manifest["config_sha256"]) == 64


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "5", '{"stages": 5}', '{"stages": {"data": {}}}', '{"stages": [1]}']
)
def test_a_damaged_manifest_names_the_way_out(run: RunFolder, text: str) -> None:
    (run.path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=r"manifest\.json: no manifest .*choose another folder"):
        reopened(run)


def test_digests(tmp_path: Path) -> None:
    assert digest({"b": 1, "a": [Path("x")]}) == digest({"a": [Path("x")], "b": 1})
    assert digest([1]) != digest(["1"])
    (tmp_path / "f").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_digest(tmp_path / "f") == known
    before = file_digest(tmp_path)
    (tmp_path / "f").rename(tmp_path / "g")
    assert file_digest(tmp_path) != before


def test_what_lies_on_disk(tmp_path: Path) -> None:
    assert on_disk(str(tmp_path)) == tmp_path
    for name in ("owner/model", "~no-such-user/model", str(tmp_path / "none")):
        assert on_disk(name) is None
