"""Other people's GGUF files: converted whole, or refused before anything is cached."""

from __future__ import annotations

import os
import random
import shutil
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gguf
import pytest

from fmtharness.harness.contracts import ModelOptions
from fmtharness.harness.engine import gguf as engine_gguf
from fmtharness.harness.engine.gguf import needs_template, resolve
from fmtharness.harness.errors import ModelError
from tests.tiny import tiny_model
from tests.tiny_gguf import write_gguf


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("gguf") / "model")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FMTHARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def refused(path: Path, cache: Path) -> str:
    with pytest.raises(ModelError) as error:
        resolve(str(path), ModelOptions(name=str(path)))
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    folder = cache / "models"
    assert not folder.exists() or not list(folder.iterdir())
    return str(error.value)


@pytest.mark.parametrize("name", ["tiny.gguf", "TINY.GGUF", "Tiny.Gguf"])
def test_a_gguf_is_one_in_small_and_capital_letters(model: Path, tmp_path: Path, name: str) -> None:
    path = write_gguf(model, tmp_path / name)
    converted = Path(resolve(str(path), ModelOptions(name=str(path))))
    assert (converted / "model.safetensors").is_file()
    assert (converted / "chat_template.jinja").is_file()


def test_a_conversion_reads_a_file_once_and_changes_nothing(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_gguf(model, tmp_path / "tiny.gguf")
    options = ModelOptions(name=str(path))
    with monkeypatch.context() as stock:
        stock.setattr(engine_gguf, "_read_once", nullcontext)
        stock.setenv("FMTHARNESS_CACHE", str(tmp_path / "stock"))
        theirs = Path(resolve(str(path), options))
    opened: list[object] = []

    class Counted(gguf.GGUFReader):
        def __init__(self, path: str) -> None:
            opened.append(path)
            super().__init__(path)

    monkeypatch.setattr(gguf, "GGUFReader", Counted)
    ours = Path(resolve(str(path), options))
    assert len(opened) == 1
    assert gguf.GGUFReader is Counted
    assert ours != theirs
    files = sorted(each.name for each in theirs.iterdir())
    assert "model.safetensors" in files and "tokenizer.json" in files
    for name in files:
        assert (ours / name).read_bytes() == (theirs / name).read_bytes()


def test_weights_that_a_gguf_lacks_are_refused(model: Path, tmp_path: Path, cache: Path) -> None:
    path = write_gguf(model, tmp_path / "half.gguf", without=["layers.1.mlp"])
    message = refused(path, cache)
    assert "3 weights are missing from its files and would be random: model.layers.1.mlp" in message


@pytest.mark.parametrize("number", [0, 1])
def test_a_part_of_a_split_gguf_is_refused(
    model: Path, tmp_path: Path, cache: Path, number: int
) -> None:
    path = tmp_path / f"m-0000{number + 1}-of-00002.gguf"
    write_gguf(model, path, without=[f"layers.{1 - number}."], part=(number, 2))
    message = refused(path, cache)
    assert f"part {number + 1} of 2 of a split GGUF" in message
    assert "llama-gguf-split --merge" in message and "m.gguf" in message


def test_a_gguf_without_template_is_refused_before_it_is_converted(
    model: Path, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_gguf(model, tmp_path / "plain.gguf", template=None)
    assert "has no chat template" in refused(path, cache)
    assert "converting" not in capsys.readouterr().err
    assert needs_template([], ModelOptions())
    given: Any = SimpleNamespace(chat_template="chat.jinja")
    assert not needs_template([], given)
    assert not needs_template(["tokenizer.chat_template"], ModelOptions())


def test_a_damaged_gguf_is_one_sentence(model: Path, tmp_path: Path, cache: Path) -> None:
    whole = write_gguf(model, tmp_path / "whole.gguf").read_bytes()
    path = tmp_path / "damaged.gguf"
    for held in (b"", whole[:200], whole[: len(whole) // 2], bytes(5000)):
        path.write_bytes(held)
        assert "this GGUF file is cut off or damaged (" in refused(path, cache)
    draw = random.Random(1)
    for _ in range(8):  # lengths and types in its metadata
        flipped = bytearray(whole)
        for _ in range(5):
            flipped[draw.randrange(8, 3000)] = draw.randrange(256)
        path.write_bytes(flipped)
        refused(path, cache)


def test_a_pointer_of_git_lfs_is_told(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "pointer.gguf"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 5\n")
    assert f"{path} is only Git LFS's pointer to the file" in refused(path, cache)


def test_a_replaced_gguf_of_the_same_size_and_time_is_converted_again(
    model: Path, tmp_path: Path
) -> None:
    path = write_gguf(model, tmp_path / "tiny.gguf")
    before = path.stat()
    first = resolve(str(path))
    other = tiny_model(tmp_path / "other", seed=1)
    write_gguf(other, path)
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert resolve(str(path)) != first
    shutil.copy(path, tmp_path / "moved.gguf")
    assert Path(resolve(str(tmp_path / "moved.gguf"))).is_dir()


def test_a_folder_that_holds_a_gguf_alone_names_it(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = write_gguf(model, folder / "tiny.gguf")
    with pytest.raises(ModelError, match="the folder has no config") as error:
        resolve(str(folder))
    assert f"did you mean {str(path)!r}?" in str(error.value)
