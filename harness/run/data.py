"""The data stage: a generator's Examples into three files, and the statistics of them.

write_data(config, Path("data"))  ->  [data/train.jsonl, data/dev.jsonl, data/eval.jsonl, ...]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from fmtharness.harness.config import ALL, Config
from fmtharness.harness.contracts import Generator, Split
from fmtharness.harness.errors import HarnessError, PluginError, UserError
from fmtharness.harness.files import atomic_file, digest
from fmtharness.harness.plugins import component
from fmtharness.harness.records import (
    Example,
    read_records,
    write_records,
)
from fmtharness.harness.run.answering import answer_inputs, bound_generator
from fmtharness.harness.run.data_stats import SPLITS, collect_stats, stats_markdown
from fmtharness.harness.run.provenance import Maker, made_by

DATA_FILES = ("train.jsonl", "dev.jsonl", "eval.jsonl", "stats.json", "stats.md")


def write_data(config: Config, folder: Path) -> list[Path]:
    """Write the Examples and their statistics into a folder; returns the files' paths.

    Raises PluginError where the generator fails for a split, or has no Example for it.
    """
    train, dev, held_out, stats_json, stats_md = files = [folder / name for name in DATA_FILES]
    with bound_generator(config) as generator:
        for split, path in zip(SPLITS, (train, dev, held_out), strict=True):
            n = getattr(config.data, f"n_{split}") or ALL
            write_split(generator, config.seed, split, n, path)
    stats = collect_stats(*(read_records(path, Example) for path in (train, dev, held_out)))
    with atomic_file(stats_json) as temporary:
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(stats), indent=1) + b"\n")
    with atomic_file(stats_md) as temporary:
        temporary.write_text(stats_markdown(stats), encoding="utf-8", newline="\n")
    return files


def write_split(generator: Generator, seed: int, split: Split, n: int, path: Path) -> None:
    """Write n Examples of a generator, or all that there are.

    Raises PluginError where the generator fails for the split, or has no Example for it.
    """
    name = generator.name
    needed = "a generator must yield Examples for each of train, dev and eval"

    def examples() -> Iterator[Example]:
        try:
            yield from generator.generate(split, n, Random(seed))
        except (HarnessError, ModuleNotFoundError):
            raise
        except Exception as error:  # a plugin may raise anything
            why = f"{type(error).__name__}: {error}"
            raise PluginError(
                f"generator {name!r} fails for the split {split!r} ({why}); {needed}"
            ) from error

    if not write_records(path, examples()):
        raise PluginError(f"generator {name!r} has no Example for the split {split!r}; {needed}")


def data_inputs(config: Config) -> dict[str, str]:
    """What the Examples of [data] are made from."""
    options = {k: v for k, v in config.tables()["data"].items() if k != "allow"}
    return {"[data]": digest(options), "seed": str(config.seed)} | generator_inputs(
        config, config.generator
    )


def generator_inputs(config: Config, generator: Any) -> dict[str, str]:
    """The identity of a generator, of what it draws from, and of the formats that it renders."""
    inputs: dict[str, str] = {}
    makers: list[Maker] = [("generators", generator)]
    for name, part in getattr(generator, "parts", {}).items():
        inputs |= {f"{name}: {key}": of for key, of in getattr(part, "inputs", {}).items()}
        inputs |= {f"{name}: {key}": of for key, of in made_by([("generators", part)]).items()}
    makers += [("formats", component("formats", name)) for name in _formats(generator)]
    packages = ["fmtharness.harness", "fmtharness.harness.dataset"]
    inputs |= getattr(generator, "inputs", {})
    drawn_from = getattr(generator, "parts", {}).values() or [generator]
    if any(hasattr(each, "with_completions") for each in drawn_from):
        inputs |= answer_inputs(config)
    return inputs | made_by(makers, packages=packages)


def _formats(generator: Any) -> Sequence[str]:
    """The formats of a generator's Examples; none if the files that say it are gone."""
    try:
        return [*getattr(generator, "formats", ())]
    except UserError:
        return []
