"""A run's folder: where each stage's files are, and the manifest that says what made them.

    with RunFolder.open(Path("outputs/quick"), config) as run:
        if not run.is_current("data", inputs):
            run.begin("data", inputs, [run.path / "data"])
            ...
            run.record("data", inputs, files)

A stage is current when its inputs and the hashes of its files are those recorded. Inputs have
names: `{"seed": "0", "[data]": "5c1f...", "generator tasks": "fmtharness 0.1.0, source 09ab..."}`.
"""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, Self

from fmtharness.harness.config import OUTPUTS, Config
from fmtharness.harness.contracts import ModelOptions
from fmtharness.harness.errors import UserError
from fmtharness.harness.files import atomic_file, digest, file_digest, sweep
from fmtharness.harness.progress import say
from fmtharness.harness.run.provenance import distributions, version

LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "tokenizers", "pluggy")
OF_A_MANIFEST = ("name", "began", "seed", "config_sha256", "stages")
"""Keys that a run's manifest has, and that of another program lacks."""
MODEL_INPUTS = ("model files", "model commit")
"""What a stage knows of a model's contents, where it is on this machine or on the hub."""


def default_folder(config: Config) -> Path:
    """`outputs/<name>` in the current folder."""
    return OUTPUTS / config.name


class RunFolder:
    """One run's folder, held by one process at a time."""

    def __init__(self, path: Path, config: Config) -> None:
        self.path = path
        self.config = config
        self.manifest: dict[str, Any] = read_manifest(path / "manifest.json")
        self.began = str(self.manifest.get("began") or date.today())

    @classmethod
    @contextmanager
    def open(cls, path: Path, config: Config) -> Iterator[Self]:
        """Lock the folder, which is created if missing; a second process is refused.

        Raises UserError if another process holds the lock, or the folder cannot be created.
        """
        import filelock

        lock = filelock.FileLock(path / ".lock", timeout=0)
        try:
            path.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except filelock.Timeout as error:
            raise UserError(
                f"{path}: another process works in this run's folder; wait for it or use --out"
            ) from error
        except OSError as error:
            raise UserError(
                f"{path}: no folder can be made or written there ({error.strerror}); use --out"
            ) from error
        try:
            sweep(path)
            run = cls(path, config)
            with atomic_file(path / "config.toml") as temporary:
                temporary.write_text(config.toml(), encoding="utf-8")
            yield run
        finally:
            lock.release()

    @property
    def model(self) -> ModelOptions:
        """The config's model; a template that writes today's date gets that of the run's start."""
        day = self.config.model.template_date or self.began
        return self.config.model.model_copy(update={"template_date": day})

    @property
    def tb_logdir(self) -> Path:
        """Where TensorBoard's logs go."""
        shared = self.config.report.tb_logdir
        return shared / self.config.name if shared else self.path / "tb"

    def data(self, split: str) -> Path:
        return self.path / "data" / f"{split}.jsonl"

    def completions(self, arm: str) -> Path:
        return self.path / "completions" / f"{arm}.jsonl"

    def verdicts(self, arm: str) -> Path:
        return self.path / "verdicts" / f"{arm}.jsonl"

    def retention(self, arm: str) -> Path:
        """The numbers of an arm on prompts that ask for no format."""
        return self.path / "retention" / f"{arm}.json"

    @property
    def adapter(self) -> Path:
        return self.path / "adapter"

    @property
    def dumps(self) -> list[Path]:
        """Where the rows for reading go, if [eval] dump_jsonl asks for them."""
        name = self.config.eval.dump_jsonl
        return [self.dump(arm.file) for arm in self.config.arms] if name else []

    def dump(self, arm: str) -> Path:
        name = self.config.eval.dump_jsonl or Path("rows.jsonl")
        return self.path / name.with_name(f"{name.stem}.{arm}{name.suffix}")

    @property
    def of_training(self) -> list[Path]:
        """What a training writes: the adapter, its checkpoints, scalars and evaluations."""
        inside = [self.tb_logdir] if self.tb_logdir.is_relative_to(self.path) else []
        rows = [
            path
            for folder in ("completions", "verdicts")
            for path in sorted((self.path / folder).glob("**/sft-*.jsonl"))
        ]
        scalars = [self.path / "metrics.jsonl", *inside]
        return [self.path / "checkpoints", *scalars, *rows, self.adapter]

    def is_current(self, stage: str, inputs: Mapping[str, str]) -> bool:
        """Whether the stage's files are there, unchanged, and made from these inputs."""
        known = self.known(stage)
        if not known or known.get("begun") or not isinstance(known["inputs"], dict):
            return False
        gone = {*MODEL_INPUTS} - {*inputs}  # a model that is no longer there has not changed
        if {name: each for name, each in known["inputs"].items() if name not in gone} != inputs:
            return False
        files = {self.path / name: made for name, made in known["files"].items()}
        return all(path.exists() and held(path) == made for path, made in files.items())

    def why_stale(self, stage: str, inputs: Mapping[str, str]) -> str:
        """Why a recorded stage is not current, for a sentence; empty for one that is."""
        if self.is_current(stage, inputs):
            return ""
        changed = _changes(self.known(stage).get("inputs"), inputs)
        return changed or f"files of the stage {stage} changed"

    def begin(
        self,
        stage: str,
        inputs: Mapping[str, str],
        files: Iterable[Path],
        *,
        note: str = "",
        **facts: Any,
    ) -> None:
        """Note that a stage is about to write these files, and say why if it has been run before.

        `note` goes after what changed; `facts` stay if the stage is cut off. Raises UserError for
        a file that the run did not make, or that was changed since then.
        """
        known = self.known(stage)
        if not known or not known.get("begun"):  # else a stage that was cut off wrote them
            self._refuse_others(known["files"] if known else {}, files)
        if known and (why := _changes(known["inputs"], inputs)):
            say(f"{stage}: runs again, since {why}{note}")
        self._save(stage, {"begun": True, "inputs": dict(inputs), "files": {}, **facts})

    def known(self, stage: str) -> dict[str, Any]:
        """What the manifest holds of a stage that was recorded or begun; empty if neither."""
        known: dict[str, Any] = self.manifest.get("stages", {}).get(stage, {})
        return known

    def set_aside(self, paths: Iterable[Path], name: str) -> Path | None:
        """Move what there is of the paths into `before-<name>`; returns that folder if it did."""
        there = {path.relative_to(self.path): path for path in paths if os.path.lexists(path)}
        place, tries = self.path / f"before-{name}", 1
        while any(os.path.lexists(place / inside) for inside in there):
            tries += 1
            place = self.path / f"before-{name}-{tries}"
        for inside, path in there.items():
            (place / inside).parent.mkdir(parents=True, exist_ok=True)
            path.rename(place / inside)
        return place if there else None

    def _refuse_others(self, made: Mapping[str, Any], files: Iterable[Path]) -> None:
        for path in files:
            if not path.exists():
                continue
            known = made.get(path.relative_to(self.path).as_posix(), {})
            there = {"": held(path)} if path.is_file() else held(path)
            before = known if isinstance(known, dict) else {"": known}
            for name, sha in there.items():
                if before.get(name) != sha:
                    why = "changed since the run made it" if name in before else "not the run's own"
                    raise UserError(
                        f"{path / name}: this file is {why}, and would be overwritten; move it "
                        f"away, or choose another folder with --out"
                    )

    def record(
        self, stage: str, inputs: Mapping[str, str], files: Iterable[Path], **facts: Any
    ) -> None:
        """Note a finished stage, with facts such as its seconds, and save the manifest."""
        made = {path.relative_to(self.path).as_posix(): held(path) for path in files}
        self._save(stage, {"inputs": dict(inputs), "files": made, **facts})

    def _save(self, stage: str, state: dict[str, Any]) -> None:
        stages = self.manifest.get("stages", {})
        stages[stage] = state
        self.manifest |= {
            "name": self.config.name,
            "began": self.began,
            "seed": self.config.seed,
            "config_sha256": digest(self.config.tables()),
            "versions": versions(),
            "plugins": distributions(),
            "hardware": hardware(),
            "stages": stages,
        }
        self.manifest["sha256"] = manifest_digest(self.manifest)
        with atomic_file(self.path / "manifest.json") as temporary:
            temporary.write_text(json.dumps(self.manifest, indent=1) + "\n", encoding="utf-8")


def held(path: Path) -> Any:
    """The SHA-256 of a file, or those of all files in a folder but its README.md, by name."""
    if path.is_file():
        return file_digest(path)
    card = path / "README.md"  # people edit it, and nothing depends on it
    inside = sorted(each for each in path.rglob("*") if each.is_file() and each != card)
    return {each.relative_to(path).as_posix(): file_digest(each) for each in inside}


def _changes(old: Any, new: Mapping[str, str]) -> str:
    """What is new in a stage's inputs, for a sentence; empty if nothing is."""
    if not isinstance(old, dict):
        return "an earlier version of fmtharness made it"
    both = [(name, old.get(name), new.get(name)) for name in sorted({*old, *new})]
    # A hash says nothing; the version of a component, or an option's value, does.
    named = [
        f"{name} ({before} -> {after})"
        if before and after and not re.fullmatch(r"[0-9a-f]{16,}", before)
        else name
        for name, before, after in both
        if before != after
    ]
    return f"{', '.join(named)} changed" if named else ""


def manifest_digest(manifest: Mapping[str, Any]) -> str:
    """A manifest's hash of itself, which it holds as `sha256`."""
    rest = {name: value for name, value in manifest.items() if name != "sha256"}
    return digest(json.loads(json.dumps(rest)))


def intact_manifest(path: Path) -> dict[str, Any]:
    """A manifest that fits its own hash, if it has one. Else raises ValueError, AttributeError."""
    manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if manifest.get("sha256", own := manifest_digest(manifest)) != own:
        raise ValueError("its own hash does not fit: it was changed or damaged")
    return manifest


def read_manifest(path: Path) -> dict[str, Any]:
    """A run's manifest; empty if there is no file. Raises UserError for any other file."""
    if not path.is_file():
        return {}
    try:
        manifest = intact_manifest(path)
        if lacking := [key for key in OF_A_MANIFEST if key not in manifest]:
            raise ValueError(f"it has no {lacking[0]!r}")
        for stage in manifest["stages"].values():
            _ = stage["inputs"], stage["files"].items()
    except (ValueError, AttributeError, TypeError, KeyError, RecursionError) as error:
        raise UserError(
            f"{path}: no manifest of a run ({error}); move it away, or choose another folder with "
            f"--out"
        ) from error
    return manifest


def versions() -> dict[str, str]:
    """The versions of Python, fmtharness and the libraries that shape a run's numbers."""
    found = {library: version(library) for library in ("fmtharness", *LIBRARIES)}
    installed = {library: known for library, known in found.items() if known is not None}
    return {"python": platform.python_version(), **installed}


def hardware() -> dict[str, Any]:
    """This machine's hardware; the GPU is named only if torch is loaded already."""
    import sys

    found: dict[str, Any] = {"machine": platform.machine(), "cpus": os.cpu_count()}
    if torch := sys.modules.get("torch"):
        found["threads"] = torch.get_num_threads()
        if torch.cuda.is_available():
            found["gpu"] = torch.cuda.get_device_name()
    return found
