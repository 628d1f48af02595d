"""Checkpoints of an adapter in training: written whole or not at all, safetensors only.

checkpoints/step-25/  adapter_config.json  adapter_model.safetensors  optimizer.safetensors
                      state.json   step, inputs, progress, and the hash of every other file
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from harness.progress import say
from harness.run_folder import file_digest


class Checkpoint(NamedTuple):
    """A whole checkpoint on the disk."""

    path: Path
    state: dict[str, Any]
    """`step`, `inputs`, and what the trainer put there."""


def save(
    folder: Path,
    state: Mapping[str, Any],
    model: Any,
    optimizer: Mapping[str, Any],
    *,
    keep: int,
    best: int | None = None,
) -> None:
    """Write `folder/step-<state["step"]>`; remove all but the newest `keep` and the step `best`.

    `optimizer` holds the tensors of its state by name.
    """
    from safetensors.torch import save_file

    with _whole_folder(folder / f"step-{state['step']}") as made:
        _write_weights(made, model)
        tensors = {name: tensor.contiguous() for name, tensor in optimizer.items()}
        save_file(tensors, made / "optimizer.safetensors")
        hashes = {path.name: file_digest(path) for path in sorted(made.iterdir())}
        text = json.dumps({**state, "sha256": hashes}, indent=1)
        (made / "state.json").write_text(text, encoding="utf-8")
    for old in _newest_first(folder)[keep:]:
        if old.name != f"step-{best}":
            shutil.rmtree(old)


def newest(folder: Path, inputs: str) -> Checkpoint | None:
    """The newest whole checkpoint of these inputs; those of others are removed."""
    for path in _newest_first(folder):
        state = _verified(path)
        if state is None:
            say(f"train: checkpoint {path} is damaged and is skipped")
        elif state["inputs"] != inputs:
            shutil.rmtree(path)
        else:
            return Checkpoint(path, state)
    return None


def at(folder: Path, step: int, inputs: str) -> Checkpoint | None:
    """The checkpoint of one step, where it is whole and of these inputs."""
    path = folder / f"step-{step}"
    state = _verified(path)
    return Checkpoint(path, state) if state and state["inputs"] == inputs else None


def load_weights(checkpoint: Checkpoint, model: Any) -> None:
    """Put the checkpoint's adapter into the model."""
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    weights = load_file(checkpoint.path / "adapter_model.safetensors")
    set_peft_model_state_dict(model, weights)


def load_optimizer(checkpoint: Checkpoint, optimizer: Mapping[str, Any]) -> None:
    """Fill the tensors of the optimizer's state with the checkpoint's."""
    from safetensors.torch import load_file

    for name, value in load_file(checkpoint.path / "optimizer.safetensors").items():
        optimizer[name].copy_(value)


def write_adapter(folder: Path, model: Any) -> None:
    """Write the adapter as peft reads it, in place of an older one."""
    with _whole_folder(folder) as made:
        _write_weights(made, model)


def _write_weights(folder: Path, model: Any) -> None:
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card


@contextmanager
def _whole_folder(target: Path) -> Iterator[Path]:
    """A temporary folder that takes the target's place once it is complete and on the disk."""
    made = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    yield made
    for path in (*made.iterdir(), made):
        _sync(path)
    shutil.rmtree(target, ignore_errors=True)
    made.rename(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders
    opened = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _newest_first(folder: Path) -> list[Path]:
    found = {
        int(number): path
        for path in folder.glob("step-*")
        if path.is_dir() and (number := path.name.removeprefix("step-")).isdecimal()
    }
    return [found[number] for number in sorted(found, reverse=True)]


def _verified(path: Path) -> dict[str, Any] | None:
    try:
        state: dict[str, Any] = json.loads((path / "state.json").read_text(encoding="utf-8"))
        whole = state.keys() >= {"step", "inputs", "sha256"} and all(
            file_digest(path / name) == digest for name, digest in state["sha256"].items()
        )
    except (OSError, ValueError, AttributeError):
        return None
    return state if whole else None
