"""Checkpoints of an adapter in training: written atomically, safetensors only.

checkpoints/step-25/  adapter_config.json  adapter_model.safetensors  optimizer.safetensors
                      state.json   step, inputs, progress, the hash of every other file, its own
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from fmtharness.harness.errors import UserError
from fmtharness.harness.files import as_umask, digest, file_digest
from fmtharness.harness.progress import say

FILES = (
    *("adapter_config.json", "adapter_model.safetensors", "optimizer.safetensors", "state.json"),
    ".state.json.tmp",
)
"""What a checkpoint's folder holds."""


class Checkpoint(NamedTuple):
    """A complete and undamaged checkpoint on disk."""

    path: Path
    state: dict[str, Any]
    """`step`, `inputs` (the hash of what the run was made from), and the trainer's own entries."""


def save(
    folder: Path,
    state: Mapping[str, Any],
    model: Any,
    optimizer: Mapping[str, Any],
    *,
    keep: int,
    best: int | None = None,
) -> None:
    """Write `folder/step-<state["step"]>`; keep the newest `keep` checkpoints and that of `best`.

    `optimizer` holds the optimizer's state tensors by name. If the step already has a complete
    checkpoint of the same inputs, only its state is replaced.
    """
    from safetensors.torch import save_file

    step = int(state["step"])
    if known := at(folder, step, state["inputs"]):
        _write_state(known.path, state, known.state["sha256"])
    else:
        with _whole_folder(folder / f"step-{step}") as made:
            _write_weights(made, model)
            tensors = {name: tensor.contiguous() for name, tensor in optimizer.items()}
            save_file(tensors, made / "optimizer.safetensors")
            hashes = {path.name: file_digest(path) for path in sorted(made.iterdir())}
            _write_state(made, state, hashes)
    steps = _by_step(folder)  # newer ones are damaged and do not count
    for old in sorted((each for each in steps if each <= step), reverse=True)[keep:]:
        if old != best:
            _remove(steps[old])


def newest(folder: Path, inputs: str) -> Checkpoint | None:
    """The newest complete checkpoint.

    Raises UserError if it was made from other inputs, since it is not resumed and would be
    overwritten, or if the adapter beside the checkpoints could not be written.
    """
    refuse_no_folder(folder.with_name("adapter"))  # checked now, since it is written at the end
    for _, path in sorted(_by_step(folder).items(), reverse=True):
        state = _verified(path)
        if state is None:
            say(f"train: skipped checkpoint {path}, which is damaged")
        elif state["inputs"] != inputs:
            raise UserError(
                f"train: the checkpoint {path} is of another training, and would be overwritten; "
                f"move {folder} away, or choose another folder with --out"
            )
        else:
            return Checkpoint(path, state)
    return None


def at(folder: Path, step: int, inputs: str) -> Checkpoint | None:
    """The checkpoint of one step; None unless it is complete and made from these inputs."""
    path = folder / f"step-{step}"
    state = _verified(path)
    return Checkpoint(path, state) if state and state["inputs"] == inputs else None


def load_weights(checkpoint: Checkpoint, model: Any) -> None:
    """Load the checkpoint's adapter into the model."""
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    weights = load_file(checkpoint.path / "adapter_model.safetensors")
    set_peft_model_state_dict(model, weights)


def load_adapter(folder: Path, model: Any) -> None:
    """Load the weights of an adapter's folder into the model's adapter.

    Raises UserError if the folder has none, or if its rank, scale or layers differ.
    """
    from peft import get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(folder / "adapter_model.safetensors")
        told = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        rank, scale = told["r"], told["lora_alpha"]
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise UserError(
            f"train: {folder} holds no adapter to start from ({type(error).__name__}: {error}); "
            f"name the folder that a training wrote"
        ) from error
    own = model.peft_config[model.active_adapter]
    for name, theirs, ours in (("r", rank, own.r), ("alpha", scale, own.lora_alpha)):
        if theirs != ours:
            raise UserError(
                f"train: the adapter in {folder} has lora_{name} = {theirs}, and train.lora_{name} "
                f"is {ours}; set it to {theirs}"
            )
    shapes = {name: weight.shape for name, weight in get_peft_model_state_dict(model).items()}
    if shapes != {name: weight.shape for name, weight in weights.items()}:
        raise UserError(
            f"train: the adapter in {folder} is on other layers than this training's; start from "
            f"one of the same model, with its train.target_modules and train.exclude_modules"
        )
    set_peft_model_state_dict(model, weights)


def load_optimizer(checkpoint: Checkpoint, optimizer: Mapping[str, Any]) -> None:
    """Copy the checkpoint's optimizer state into these tensors, by name."""
    from safetensors.torch import load_file

    for name, value in load_file(checkpoint.path / "optimizer.safetensors").items():
        optimizer[name].copy_(value)


def write_adapter(folder: Path, model: Any) -> None:
    """Write the adapter in peft's format; replaces an older one."""
    with _whole_folder(folder) as made:
        _write_weights(made, model)


def _write_state(folder: Path, state: Mapping[str, Any], hashes: Mapping[str, str]) -> None:
    made = folder / ".state.json.tmp"
    told = {**state, "sha256": hashes}
    text = json.dumps({**told, "state_sha256": digest(told)}, indent=1)
    made.write_text(text, encoding="utf-8")
    sync(made)
    made.replace(folder / "state.json")
    sync(folder)


def _write_weights(folder: Path, model: Any) -> None:
    # On the CPU: peft clones tensors that share storage, and the GPU may be full.
    weights = {name: w.cpu() for name, w in model.state_dict().items() if "lora_" in name}
    model.save_pretrained(folder, state_dict=weights, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card
    settings = folder / "adapter_config.json"
    written = json.loads(settings.read_text(encoding="utf-8"))
    for key, value in vars(model.peft_config[model.active_adapter]).items():
        if isinstance(value, set) and key in written:
            written[key] = sorted(value)  # a set's order differs between processes
    settings.write_text(json.dumps(written, indent=2, sort_keys=True), encoding="utf-8")


def refuse_no_folder(target: Path) -> None:
    """Raise UserError if the target is a file or a link where training writes a folder."""
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        what = "link" if target.is_symlink() else "file"
        raise UserError(
            f"{target}: this is a {what}, and training writes a folder there; move it away, or "
            f"choose another folder with --out"
        )


@contextmanager
def _whole_folder(target: Path) -> Iterator[Path]:
    """A temporary folder that replaces the target once it is complete and flushed to disk.

    Files in the target that have other names are kept. Raises UserError if the target is a file or
    a link.
    """
    refuse_no_folder(target)
    made, old = (target.with_name(f".{target.name}.{name}") for name in ("tmp", "old"))
    if old.exists() and not target.exists():
        old.rename(target)  # a kill came between the two renames
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    yield made
    as_umask(made)
    for path in (*made.iterdir(), made):
        sync(path)
    for path in target.iterdir() if target.is_dir() else ():
        kept = made / path.name
        if path.is_dir() and not path.is_symlink() and not kept.exists():
            shutil.copytree(path, kept, symlinks=True)
        elif not kept.exists():
            shutil.copy2(path, kept, follow_symlinks=False)
    if target.is_dir():
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
    made.rename(target)
    sync(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def _remove(checkpoint: Path) -> None:
    """Delete a checkpoint's files; other files, and then the folder, stay."""
    for name in FILES:
        (checkpoint / name).unlink(missing_ok=True)
    with suppress(OSError):
        checkpoint.rmdir()


def sync(path: Path) -> None:
    """Flush a file, or a folder's entries, to disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open folders
    opened = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _by_step(folder: Path) -> dict[int, Path]:
    return {
        int(number): path
        for path in folder.glob("step-*")
        if path.is_dir() and (number := path.name.removeprefix("step-")).isdecimal()
    }


def _verified(path: Path) -> dict[str, Any] | None:
    """A checkpoint's state if all its files, the state included, match their hashes; else None."""
    try:
        state: dict[str, Any] = json.loads((path / "state.json").read_text(encoding="utf-8"))
        own = state.pop("state_sha256")
        complete = (
            own == digest(state)
            and path.name == f"step-{state['step']}"
            and all(file_digest(path / name) == held for name, held in state["sha256"].items())
        )
    except (OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError):
        return None
    return state if complete else None
