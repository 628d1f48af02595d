"""The files of a run, read only as the run made them: each against its hash in the manifest.

made = Made(Path("outputs/quick"))
made.file("completions/sft.jsonl")      its path; DataError if it was changed since
made.asked("sft")                       the eval Examples that this arm was asked
refuse_changed(run, "train")            UserError if a file of a finished stage was changed
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from fmtharness.harness.config import file_of
from fmtharness.harness.errors import DataError, UserError
from fmtharness.harness.files import digest, file_digest
from fmtharness.harness.records import Example, encode
from fmtharness.harness.run.folder import RunFolder, intact_manifest
from fmtharness.harness.run.sources import known_examples

MANIFEST = "manifest.json"


class Made:
    """What a run's manifest says of its files; the folder is only read.

    Raises DataError if the folder has no manifest, or a damaged one.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        path = run / MANIFEST
        try:
            stages = intact_manifest(path)["stages"]
            self._inputs = {stage: held["inputs"] for stage, held in stages.items()}
            self._files: dict[str, Any] = {}
            for held in stages.values():
                self._files |= held["files"]
        except FileNotFoundError:
            raise DataError(
                f"{path}: there is no such file, which says what a run made; name a run's folder, "
                f"or the file of its completions"
            ) from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path}: damaged, so that nothing says what the run made; run it again in "
                f"another folder"
            ) from error

    def file(self, name: str) -> Path:
        """The path of a file that is as the run made it, or that is missing.

        Raises DataError if its hash is not the one in the manifest, or if none is there.
        """
        path = self.run / name
        if path.is_file() and (known := self._files.get(name)) != file_digest(path):
            why = (
                f"changed or damaged since the run made it, as {MANIFEST} says"
                if known
                else f"not in {MANIFEST}: a finished stage did not make it"
            )
            raise DataError(f"{path}: this file is {why}; restore it, or run again to make it")
        return path

    def asked(self, arm: str) -> dict[str, Example]:
        """The eval Examples that the arm was asked, by id, as config.toml and the manifest say.

        Raises DataError if the two differ.
        """
        config = self.run / "config.toml"
        try:
            limit = tomllib.loads(config.read_text(encoding="utf-8"))["eval"].get("num_prompts")
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise DataError(f"{config}: no config of a run: {error}; restore it") from error
        examples = known_examples(self.file("data/eval.jsonl"), limit)
        inputs = self._inputs.get(f"completions/{file_of(arm)}")
        known = inputs.get("Examples") if isinstance(inputs, dict) else None
        if known and known != digest([encode(each).decode() for each in examples.values()]):
            raise DataError(
                f"{config}: by its num_prompts other Examples were asked than those of "
                f"completions/{arm}.jsonl; run it again, or restore this file"
            )
        return examples


def refuse_changed(run: RunFolder, stage: str) -> None:
    """Raise UserError if one of the stage's files, except those in folders, was changed since."""
    for name, known in run.known(stage).get("files", {}).items():
        path = run.path / name
        if isinstance(known, str) and path.is_file() and file_digest(path) != known:
            raise UserError(
                f"{path}: this file was changed or damaged since the run made it; restore it, or "
                f"choose another folder with --out"
            )
