"""Checkpoints of an adapter in training: written whole or not at all, safetensors only.

checkpoints/step-25/  adapter_config.json  adapter_model.safetensors  optimizer.safetensors
                      state.json   step, inputs, scheduler, and the hash of every other file
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.progress import say
from harness.run_folder import file_digest


def save(
    folder: Path, step: int, inputs: str, model: Any, optimizer: Any, scheduler: Any, *, keep: int
) -> None:
    """Write `folder/step-<step>` and remove all but the newest `keep`."""
    from safetensors.torch import save_file

    with _whole_folder(folder / f"step-{step}") as made:
        _write_weights(made, model)
        tensors = {
            f"{index}.{name}": value
            for index, values in optimizer.state_dict()["state"].items()
            for name, value in values.items()
        }
        save_file(tensors, made / "optimizer.safetensors")
        state = {
            "step": step,
            "inputs": inputs,
            "scheduler": scheduler.state_dict(),
            "sha256": {path.name: file_digest(path) for path in sorted(made.iterdir())},
        }
        (made / "state.json").write_text(json.dumps(state, indent=1), encoding="utf-8")
    for old in _newest_first(folder)[keep:]:
        shutil.rmtree(old)


def restore(folder: Path, inputs: str, model: Any, optimizer: Any, scheduler: Any) -> int:
    """Load the newest whole checkpoint of the same inputs and return its step, 0 for none."""
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    for path in _newest_first(folder):
        state = _verified(path)
        if state is None:
            say(f"train: checkpoint {path} is damaged and is skipped")
            continue
        if state["inputs"] != inputs:
            shutil.rmtree(path)
            continue
        set_peft_model_state_dict(model, load_file(path / "adapter_model.safetensors"))
        kept: dict[int, dict[str, Any]] = {}
        for key, value in load_file(path / "optimizer.safetensors").items():
            index, _, name = key.partition(".")
            kept.setdefault(int(index), {})[name] = value
        optimizer.load_state_dict(optimizer.state_dict() | {"state": kept})
        scheduler.load_state_dict(state["scheduler"])
        for group, rate in zip(optimizer.param_groups, scheduler.get_last_lr(), strict=True):
            group["lr"] = rate
        say(f"train: going on from step {state['step']} ({path})")
        return int(state["step"])
    return 0


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
    for path in made.iterdir():
        with path.open("r+b") as file:
            os.fsync(file.fileno())
    shutil.rmtree(target, ignore_errors=True)
    made.rename(target)


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
        whole = state.keys() >= {"step", "inputs", "scheduler", "sha256"} and all(
            file_digest(path / name) == digest for name, digest in state["sha256"].items()
        )
    except (OSError, ValueError, AttributeError):
        return None
    return state if whole else None
