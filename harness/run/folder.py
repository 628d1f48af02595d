"""A run's folder: where each stage's files are, and the manifest that says what made them.

    with RunFolder.open(Path("outputs/quick"), config) as run:
        if not run.is_current("data", inputs): ...; run.record("data", inputs, files)

A stage is current when the hash of its inputs and the hashes of its files are those recorded.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from harness.config import OUTPUTS, Config
from harness.errors import UserError
from harness.files import atomic_file, digest, file_digest

LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "tokenizers", "pluggy")


def default_folder(config: Config) -> Path:
    """`outputs/<name>` in the current folder."""
    return OUTPUTS / config.name


class RunFolder:
    """One run's folder, held by one process at a time."""

    def __init__(self, path: Path, config: Config) -> None:
        self.path = path
        self.config = config
        self.manifest: dict[str, Any] = _read_manifest(path / "manifest.json")

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
            run = cls(path, config)
            with atomic_file(path / "config.toml") as temporary:
                temporary.write_text(config.toml(), encoding="utf-8")
            yield run
        finally:
            lock.release()

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

    @property
    def adapter(self) -> Path:
        return self.path / "adapter"

    def is_current(self, stage: str, inputs: str) -> bool:
        """Whether the stage's files are there, unchanged, and made from these inputs."""
        known = self.manifest.get("stages", {}).get(stage)
        if known is None or known["inputs"] != inputs:
            return False
        files = {self.path / name: sha for name, sha in known["files"].items()}
        return all(path.exists() and file_digest(path) == sha for path, sha in files.items())

    def record(self, stage: str, inputs: str, files: Iterable[Path], **facts: Any) -> None:
        """Note a finished stage, with facts such as its seconds, and save the manifest."""
        made = {path.relative_to(self.path).as_posix(): file_digest(path) for path in files}
        stages = self.manifest.get("stages", {})
        stages[stage] = {"inputs": inputs, "files": made, **facts}
        self.manifest |= {
            "name": self.config.name,
            "seed": self.config.seed,
            "config_sha256": digest(self.config.tables()),
            "versions": versions(),
            "hardware": hardware(),
            "stages": stages,
        }
        with atomic_file(self.path / "manifest.json") as temporary:
            temporary.write_text(json.dumps(self.manifest, indent=1) + "\n", encoding="utf-8")


def _read_manifest(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for stage in manifest.get("stages", {}).values():
            _ = stage["inputs"], stage["files"].items()
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise UserError(
            f"{path}: no manifest ({error}); remove it and every stage runs again"
        ) from error
    return manifest


def versions() -> dict[str, str]:
    """The versions of Python, fmtharness and the libraries that shape a run's numbers."""
    found = {"python": platform.python_version()}
    for library in ("fmtharness", *LIBRARIES):
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """This machine's hardware; the GPU is named only if torch is loaded already."""
    import sys

    found: dict[str, Any] = {"machine": platform.machine(), "cpus": os.cpu_count()}
    if torch := sys.modules.get("torch"):
        found["threads"] = torch.get_num_threads()
        if torch.cuda.is_available():
            found["gpu"] = torch.cuda.get_device_name()
    return found
