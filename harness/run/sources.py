"""Where Examples, Completions and configs come from: files, a run's folder, a model.

known_examples(Path("eval.jsonl"))                      {"eval-0": Example(...), ...}
completions_by(backend, model, adapter, examples, arm="sft")   Completions of the arm `sft`
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from harness.config import Config, load_config
from harness.contracts import Backend, ModelOptions
from harness.errors import DataError
from harness.files import shipped
from harness.records import Completion, Example, read_records

EXAMPLES = "data/examples/eval.jsonl"


def config_for(path: Path | None, adapter: Path | None, overrides: Sequence[str] = ()) -> Config:
    """The given config, else the one of the run that the adapter lies in, else the defaults."""
    if path is None and adapter is not None and (adapter.parent / "config.toml").is_file():
        path = adapter.parent / "config.toml"
    return load_config(path, overrides=overrides, trains=path is not None)


def known_examples(data: Path | None, limit: int | None = None) -> dict[str, Example]:
    """The first Examples of a file, or of the committed ones, by id.

    Raises DataError if there is none or two share an id.
    """
    path = data or shipped(EXAMPLES)
    known: dict[str, Example] = {}
    for example in itertools.islice(read_records(path, Example), limit):
        if example.id in known:
            raise DataError(f"{path}: two Examples have the id {example.id!r}; ids must be unique")
        known[example.id] = example
    if not known:
        raise DataError(f"{path}: there is no Example in it")
    return known


def completions_by(
    backend: Backend,
    model: ModelOptions,
    adapter: Path | None,
    examples: Sequence[Example],
    *,
    arm: str,
) -> Iterator[Completion]:
    """The backend's Completions, each with the name of its arm, which the run sets."""
    for completion in backend.complete(examples, model, adapter):
        yield msgspec.structs.replace(completion, arm=arm)


def check_answers(
    path: Path,
    last_id: str | None,
    examples: Mapping[str, Example],
    data: Path | None,
    *,
    fits: bool,
) -> None:
    """Raise DataError for a file without a completion (no `last_id`), or if no id `fits`."""
    if last_id is None:
        raise DataError(f"{path}: there is no completion in it")
    if not fits:
        where = f" in {data}" if data else ""
        raise DataError(
            f"{path}: no row's id ({last_id!r}, ...) is an Example's id{where} "
            f"({next(iter(examples))!r}, ...); a row without id or example_id has its line number"
        )
