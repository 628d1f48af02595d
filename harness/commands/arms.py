"""The arms that `eval` and `prompt` ask or judge, and the config that each is asked with.

    of_options(["base", "gpt=answers.jsonl"], [Path("outputs/quick/adapter")], [])
    -> [Arm("base"), Arm("gpt", completions=answers.jsonl), Arm("sft", outputs/quick/adapter)]

The first arm is the one that the others are compared with. The untuned base is loaded as the first
adapter wants it: the same weights, quantization, template and decoding.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fmtharness.harness.commands.paths import MANIFEST
from fmtharness.harness.config import Config
from fmtharness.harness.errors import UserError
from fmtharness.harness.requirements import ADAPTER_CONFIG, needs_for_backend
from fmtharness.harness.run.sources import config_for

BASE, TUNED, ADAPTER = "base", "sft", "adapter"


class Arm(NamedTuple):
    """One way of producing completions: the base, with an adapter, or a file that holds them."""

    name: str
    adapter: Path | None = None
    completions: Path | None = None
    option: str = "--arm"
    """How the user named it."""


def of_options(
    given: Sequence[str], adapters: Sequence[Path], completions: Sequence[Path]
) -> list[Arm]:
    """The arms of --arm, --adapter and --completions, in this order; the base if there is none.

    Raises UserError for a spec that is not understood, and for a name that two of them have.
    """
    arms = [_arm(spec) for spec in given]
    arms += of_adapters(adapters)
    for name, path in zip(_names(completions, _of_file), completions, strict=True):
        arms.append(Arm(name, completions=path, option="--completions"))
    return named_once(arms) or [Arm(BASE)]


def of_adapters(adapters: Sequence[Path]) -> list[Arm]:
    """One adapter is the arm `sft`; several are called by their folders, or their runs' folders."""
    names = [TUNED] if len(adapters) == 1 else _names(adapters, _of_folder)
    return [Arm(name, path, option="--adapter") for name, path in zip(names, adapters, strict=True)]


def named_once(arms: list[Arm]) -> list[Arm]:
    """The same arms; a UserError if two have the same name."""
    twice = [name for name, count in Counter(arm.name for arm in arms).items() if count > 1]
    if twice:
        raise UserError(f"two arms are called {twice[0]!r}; name them with --arm NAME=...")
    return arms


def _arm(spec: str) -> Arm:
    name, equals, what = spec.partition("=")
    if spec == BASE or (name and what == BASE):
        return Arm(name)
    if not (name.strip() and equals and what):
        raise UserError(
            f"--arm {spec!r} is not NAME=base, NAME=FOLDER (of an adapter or a run) or "
            f"NAME=FILE.jsonl of completions"
        )
    path = Path(what)
    if path.is_file() or (not path.exists() and path.suffix):
        return Arm(name, completions=path)
    adapter = adapter_in(path)
    if (path / MANIFEST).is_file() and not (adapter / ADAPTER_CONFIG).is_file():
        raise UserError(
            f"--arm {spec!r}: the run {path} has no adapter; `fmtharness run --out "
            f"{shlex.quote(str(path))}` trains it"
        )
    return Arm(name, adapter)


def adapter_in(folder: Path) -> Path:
    """The folder of an adapter: this one, or that of the run that this one is."""
    inside = folder / ADAPTER
    return inside if inside.is_dir() and not (folder / ADAPTER_CONFIG).is_file() else folder


def _of_folder(path: Path) -> tuple[str, ...]:
    parts = path.resolve().parts
    return parts[:-1] if parts[-1] == ADAPTER else parts


def _of_file(path: Path) -> tuple[str, ...]:
    return path.resolve().with_suffix("").parts


def _names(paths: Sequence[Path], parts_of: Callable[[Path], tuple[str, ...]]) -> list[str]:
    """As much of the end of each path as tells them apart."""
    parts = [parts_of(path) for path in paths]
    for length in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(each[-length:]) for each in parts]
        if len({*names}) == len(names):
            return names
    if paths:
        raise UserError(f"{paths[0]} is compared with itself; name two that differ")
    return []


def configs_of(
    arms: Sequence[Arm],
    config: Path | None,
    overrides: Sequence[str],
    model: str | None,
    max_new_tokens: int | None,
    *,
    like: Path | None = None,
) -> dict[str, Config]:
    """The config of each arm by name; `like` is an adapter that the base follows if no arm has one.

    Raises UserError before anything is loaded if an arm lacks its model, adapter or library.
    """
    first = next((arm.adapter for arm in arms if arm.adapter), like)
    known: dict[Path | None, Config] = {}
    found = {}
    for arm in arms:
        follows = None if arm.completions else arm.adapter or first
        if follows not in known:
            resolved = config_for(config, follows, overrides, model=model)
            cut = max_new_tokens is not None and not arm.completions
            known[follows] = _cut_off(resolved, max_new_tokens) if cut else resolved
        found[arm.name] = known[follows]
    for arm in arms:
        if arm.completions is None:
            resolved = found[arm.name]
            needs_for_backend(resolved.backend, resolved.model.name, arm.adapter)
    return found


def _cut_off(config: Config, max_new_tokens: int | None) -> Config:
    backend: Any = config.backend
    if "max_new_tokens" not in type(backend).model_fields:
        raise UserError(f"backend {backend.name!r} has no max_new_tokens")
    cut = backend.model_copy(update={"max_new_tokens": max_new_tokens})
    return dataclasses.replace(config, backend=cut)
