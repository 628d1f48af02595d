"""Damaged files: what a number rests on is checked when it is read, and one sentence names it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from fmtharness.harness.cli import main
from fmtharness.harness.config import load_config
from fmtharness.harness.contracts import ModelOptions
from fmtharness.harness.engine import gguf
from fmtharness.harness.engine.gguf import resolve
from fmtharness.harness.engine.models import load_model
from fmtharness.harness.engine.patching import Patches
from fmtharness.harness.engine.weights import is_finite
from fmtharness.harness.errors import DataError, ModelError, UserError
from fmtharness.harness.files import file_digest
from fmtharness.harness.run import data, stages
from fmtharness.harness.run.checked import Made
from fmtharness.harness.run.folder import RunFolder, manifest_digest
from fmtharness.harness.trained_on import trained_on
from tests.fakes import FAKE_CONFIG
from tests.test_training import losses, repeated, rows, same_adapter, trained
from tests.tiny import tiny_config, tiny_model
from tests.tiny_gguf import write_gguf

WEIGHTS = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_config(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def whole(config: Path) -> Path:
    """A finished training of 12 steps, with checkpoints of some of them."""
    return trained(config, config.parent / "whole")


@pytest.fixture
def out(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "out"))


@pytest.fixture
def stopped(out: Path) -> Path:
    """The training as a kill would leave it after its last checkpoint."""
    shutil.rmtree(out / "adapter")
    held = json.loads((out / "manifest.json").read_text())
    held["stages"]["train"] |= {"begun": True, "files": {}}
    held["sha256"] = manifest_digest(held)
    (out / "manifest.json").write_text(json.dumps(held))
    return out


def flip(path: Path, place: int = -1) -> None:
    """Flip one bit of a file; its size stays."""
    held = bytearray(path.read_bytes())
    held[place] ^= 1
    path.write_bytes(held)


def newest(out: Path) -> Path:
    return max((out / "checkpoints").iterdir(), key=lambda each: int(each.name.split("-")[1]))


def said(out: Path) -> str:
    return (out / "said.txt").read_text()


# Checkpoints


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state["progress"].update(step=12741),
        lambda state: state["progress"].update(best_step=2),
        lambda state: state["progress"].update(worse=1),
        lambda state: state["optimizer"].update(step=7),
        lambda state: state.update(step=7),
        lambda state: state["sha256"].clear(),
        lambda state: state.pop("state_sha256"),
        lambda state: state.update(state_sha256=[1]),
    ],
)
def test_a_changed_state_is_passed_over(
    config: Path, whole: Path, stopped: Path, change: Callable[[Any], object]
) -> None:
    last = newest(stopped)
    state = json.loads((last / "state.json").read_text())
    change(state)
    (last / "state.json").write_text(json.dumps(state))
    trained(config, stopped)
    assert f"skipped checkpoint {last}, which is damaged" in said(stopped)
    assert same_adapter(stopped, whole)
    assert losses(stopped) == repeated(losses(whole))


def test_a_checkpoint_under_another_step_s_name_is_passed_over(config: Path, stopped: Path) -> None:
    newest(stopped).rename(stopped / "checkpoints/step-40")
    trained(config, stopped)
    assert "step-40, which is damaged" in said(stopped)


# Scalars and the files of evaluations in training


def damaged_line(out: Path) -> Path:
    path = out / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    lines[3] = lines[3].replace("{", "(", 1)
    path.write_text("".join(lines))
    return path


def changed_number(out: Path) -> Path:
    path = out / "metrics.jsonl"
    path.write_text(path.read_text().replace('"train/loss": ', '"train/loss": 1', 1))
    return path


def cut_off(out: Path) -> Path:
    path = out / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:200])
    return path


@pytest.mark.parametrize("damage", [damaged_line, changed_number, cut_off])
def test_changed_scalars_are_not_gone_on_with(
    config: Path, stopped: Path, damage: Callable[[Path], Path]
) -> None:
    path = damage(stopped)
    before = path.read_bytes()
    trained(config, stopped, code=2)
    assert f"error: {path}: this file was changed or damaged since the checkpoint" in said(stopped)
    assert said(stopped).count("error:") == 1
    assert path.read_bytes() == before
    path.unlink()
    trained(config, stopped)
    assert f"train: {path} is gone, so that its rows begin after step 12" in said(stopped)


def test_rows_after_the_checkpoint_may_be_anything(
    config: Path, whole: Path, stopped: Path
) -> None:
    shutil.rmtree(newest(stopped))
    path = stopped / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-30] + b"\xff\n{")
    trained(config, stopped)
    assert same_adapter(stopped, whole)
    assert [row["step"] for row in rows(stopped)] == [row["step"] for row in rows(whole)]


def test_a_broken_line_leaves_the_others(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from fmtharness.harness.run.scalars import read_metrics

    shutil.copy(whole / "metrics.jsonl", tmp_path)
    path = damaged_line(tmp_path)
    expected = rows(whole)
    del expected[3]
    assert read_metrics(path) == expected
    assert capsys.readouterr().err == f"{path}: left out line 4, no row of scalars\n"


@pytest.mark.parametrize(
    "name", ["metrics.jsonl", "completions/sft-4.jsonl", "verdicts/sft-8.jsonl"]
)
def test_a_finished_training_s_files_are_recorded_and_checked(
    config: Path, out: Path, name: str
) -> None:
    held = json.loads((out / "manifest.json").read_text())["stages"]["train"]["files"]
    assert held[name] == file_digest(out / name)
    steps = (0, 4, 8, 12)
    assert held.keys() == {"adapter", "metrics.jsonl"} | {
        f"{folder}/sft-{step}.jsonl" for folder in ("completions", "verdicts") for step in steps
    }
    flip(out / name, place=30)
    trained(config, out, code=2)
    assert f"error: {out / name}: this file was changed or damaged since the run" in said(out)


# Adapters


def adapter_refused(adapter: Path, base: Path) -> str:
    with Patches() as patches, pytest.raises(ModelError) as error:
        load_model(ModelOptions(name=str(base), quantization="none"), patches, adapter)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", [WEIGHTS, "adapter_config.json", "tokenizer.json"])
@pytest.mark.parametrize("how", ["flip", "remove"])
def test_a_changed_adapter_is_refused(config: Path, out: Path, name: str, how: str) -> None:
    adapter, base = out / "adapter", config.parent / "model"
    told = trained_on(adapter)
    assert told and told.sha256[name] == file_digest(adapter / name)
    if how == "flip":
        flip(adapter / name, place=len((adapter / name).read_bytes()) // 2)
    else:
        (adapter / name).unlink()
    assert f"adapter '{adapter}': {name} is " in adapter_refused(adapter, base)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_weights_of_an_adapter_that_are_no_numbers_are_refused(
    config: Path, out: Path, value: str
) -> None:
    adapter, base = out / "adapter", config.parent / "model"
    (adapter / "fmtharness.json").unlink()
    held = load_file(adapter / WEIGHTS)
    key = sorted(held)[5]
    held[key].view(-1)[3] = float(value)
    save_file(held, adapter / WEIGHTS)
    assert f"adapter '{adapter}': its weight {key} holds values that are no numbers" in (
        adapter_refused(adapter, base)
    )


def test_half_of_an_adapter_s_weights_are_refused(config: Path, out: Path) -> None:
    adapter, base = out / "adapter", config.parent / "model"
    (adapter / "fmtharness.json").unlink()
    held = load_file(adapter / WEIGHTS)
    save_file({key: held[key] for key in sorted(held)[::2]}, adapter / WEIGHTS)
    assert f"its file lacks {len(held) // 2} weights" in adapter_refused(adapter, base)


# Base models


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("quantization", ["none", "nf4"])
@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_weights_of_a_base_that_are_no_numbers_are_refused(
    tmp_path: Path, value: str, quantization: Any, kind: str
) -> None:
    model = tiny_model(tmp_path / "model")
    key = "model.layers.1.mlp.up_proj.weight"
    path = model / "model.safetensors"
    held = load_file(path)
    held[key][5, 7] = float(value)
    if kind == "bin":
        path.unlink()
        path = model / "pytorch_model.bin"
        torch.save(held, path)
    else:
        save_file(held, path, metadata={"format": "pt"})
    with pytest.raises(ModelError) as error:
        load_model(ModelOptions(name=str(model), quantization=quantization), Patches())
    assert f"model '{model}': the weight {key} in {path} holds values that are no numbers" in str(
        error.value
    )


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn]
)
def test_what_is_finite(dtype: torch.dtype) -> None:
    largest = torch.full((3, 100), torch.finfo(dtype).max, dtype=torch.float32)
    assert is_finite(largest.to(dtype))  # though the sum of its values is not
    assert is_finite((-largest).to(dtype))
    assert is_finite(largest.to(dtype)[:0])
    largest[2, 7] = float("nan")
    assert not is_finite(largest.to(dtype))
    assert is_finite(torch.tensor([3, 4]))


# Converted models


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A GGUF file, with a cache of its own."""
    monkeypatch.setenv("FMTHARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(gguf, "_WHOLE", set())
    return write_gguf(tiny_model(tmp_path / "plain"), tmp_path / "tiny.gguf")


@pytest.mark.parametrize("damage", ["flip", "remove", "no hashes", "broken hashes", "none listed"])
def test_a_damaged_conversion_is_made_anew(
    model: Path, damage: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    converted = Path(resolve(str(model)))
    before = {path.name: path.read_bytes() for path in converted.iterdir()}
    assert converted in gguf._WHOLE or resolve(str(model)) == str(converted)
    hashes = converted / "sha256.json"
    assert json.loads(hashes.read_text()).keys() == before.keys() - {hashes.name}
    monkeypatch.setattr(gguf, "_WHOLE", set())  # as in another process
    capsys.readouterr()
    resolve(str(model))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(gguf, "_WHOLE", set())
    if damage == "flip":
        flip(converted / "model.safetensors")
    elif damage == "remove":
        (converted / "tokenizer.json").unlink()
    elif damage == "no hashes":
        hashes.unlink()
    else:
        hashes.write_text("[]" if damage == "broken hashes" else "{}")
    assert resolve(str(model)) == str(converted)
    said = capsys.readouterr().err
    assert f"model: {converted} is damaged, or of an earlier version\n" in said
    assert "converting tiny.gguf" in said
    assert {path.name: path.read_bytes() for path in converted.iterdir()} == before
    assert [path.name for path in converted.parent.iterdir()] == [converted.name]


# What else is read from a run's folder


@pytest.fixture
def run(fakes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("fake.toml").write_text(FAKE_CONFIG)
    again()
    return Path("run")


def again() -> None:
    with RunFolder.open(Path("run"), load_config(Path("fake.toml"))) as opened:
        stages.run_all(opened)


EVERY = (
    *(f"data/{name}" for name in data.DATA_FILES),
    *(f"completions/{arm}.jsonl" for arm in ("base", "sft", "parity")),
    *(f"verdicts/{arm}.jsonl" for arm in ("base", "sft")),
    "metrics.jsonl",
)


def test_every_file_of_a_run_is_tried(run: Path) -> None:
    """Those left out are views of others, or are written anew each time."""
    views = {"config.toml", "manifest.json", "curves.png", ".lock"}
    found = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    adapter = {name for name in found if name.startswith(("adapter/", "tb/"))}
    assert found - views - adapter == {*EVERY}


@pytest.mark.parametrize("name", EVERY)
def test_a_changed_file_is_refused_by_its_name(run: Path, name: str) -> None:
    flip(run / name, place=(run / name).stat().st_size // 2)
    with pytest.raises(UserError, match=r"this file (is|was) changed") as error:
        again()
    assert str(error.value).startswith(f"{run / name}: ")
    assert "\n" not in str(error.value)


def test_a_changed_manifest_is_refused(run: Path) -> None:
    path = run / "manifest.json"
    held = path.read_text()
    assert "3 prompts" not in held
    path.write_text(held.replace("4 prompts", "3 prompts"))
    with pytest.raises(UserError, match=r"manifest\.json: .*it was changed or damaged"):
        again()
    with pytest.raises(DataError, match=r"manifest\.json: damaged"):
        Made(run).file("completions/sft.jsonl")
    path.write_text(held)
    again()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "there is no such file"),
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"stages": {"data": 5}}', "damaged"),
        ('{"stages": {}, "sha256": "0"}', "damaged"),
        ('{"stages": {}}', "is not in manifest.json"),
    ],
)
def test_a_damaged_manifest_vouches_for_nothing(run: Path, text: str | None, told: str) -> None:
    if text is None:
        (run / "manifest.json").unlink()
    else:
        (run / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=told):
        Made(run).file("completions/sft.jsonl")


def test_eval_says_how_many_examples_are_answered(run: Path) -> None:
    rows = (run / "completions/sft.jsonl").read_text().splitlines()
    Path("half.jsonl").write_text("\n".join([*rows[:2], '{"id": "x", "text": "{}"}']))
    command = ["eval", "--completions", "half.jsonl", "--data", "run/data/eval.jsonl"]
    done = CliRunner().invoke(main, [*command, "--evaluator", "json_strict"])
    assert done.exit_code == 0, done.output
    assert "note: 2 of 4 Examples of run/data/eval.jsonl have no answer in half.jsonl" in (
        done.stderr
    )
    assert "note: 1 completion of half.jsonl answers none of them" in done.stderr
