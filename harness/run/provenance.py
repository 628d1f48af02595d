"""What a stage's files are made by: components with their versions and sources, and options.

made_by([("evaluators", JsonStrict())], packages=["fmtharness.harness.judging"])
    {"evaluator json_strict": "fmtharness 0.1.0, source 3fb2...",
     "package fmtharness.harness.judging": "5e07..."}

A stage whose inputs hold this runs again when a plugin is upgraded or edited, when a file that a
component reads has changed, and when built-in code changes, package by package.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from fmtharness.harness import plugins
from fmtharness.harness.config import Config
from fmtharness.harness.contracts import BUILTIN_MODEL
from fmtharness.harness.files import digest, file_digest, on_disk, quick_digest
from fmtharness.harness.plugins import Kind
from fmtharness.harness.requirements import loads_models

Maker = tuple[Kind, Any]
"""A component, as an instance or a class, and its kind."""
LEVELS = {
    "fmtharness.evaluators": 3,
    "fmtharness.generators": 2,
    "fmtharness.harness": 3,
    "fmtharness.trainers": 2,
}
"""How many parts of a module's name count: a change in TOML's code leaves JSON's results alone."""
SOURCES = ("*.py", "*.c", "*.toml", "*.json")


def made_by(components: Iterable[Maker], packages: Iterable[str] = ()) -> dict[str, str]:
    """The identity of components, instances or classes, of the files they read, and of packages."""
    found: dict[str, str] = {}
    for kind, each in components:
        what = f"{kind.removesuffix('s')} {each.name}"
        found[what] = identity(kind, each.name)
        for option, path in files_of(each):
            found[f"{what}: {option}"] = file_digest(path)
    return found | {f"package {name}": source_digest(name) for name in packages}


def identity(kind: Kind, name: str) -> str:
    """A registered component's distribution and version, and a hash of its package's source."""
    known = plugins.registry()[kind][name]
    source = source_digest(_package(known.component.__module__))
    return f"{known.distribution} {version(known.distribution) or 'unknown'}, source {source}"


def distributions() -> dict[str, str]:
    """The distributions that bring components, with their versions."""
    names = {each.distribution for known in plugins.registry().values() for each in known.values()}
    return {name: version(name) or "unknown" for name in sorted(names)}


def version(distribution: str) -> str | None:
    """A distribution's version; None if it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def source_digest(package: str) -> str:
    """The first 16 digits of the SHA-256 of a module's file, or of a package's source files.

    `fmtharness.harness` stands for its own modules, without its subpackages.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return "unknown"
    place = Path(spec.origin)
    if place.name != "__init__.py":
        return file_digest(place)[:16]
    folder = place.parent
    search = folder.glob if package == "fmtharness.harness" else folder.rglob
    files = sorted({path for pattern in SOURCES for path in search(pattern)})
    return digest({path.relative_to(folder).as_posix(): file_digest(path) for path in files})[:16]


def _package(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[: LEVELS.get(".".join(parts[:2]), 1)])


@functools.cache
def hub_commit(name: str, revision: str | None) -> str | None:
    """The commit of a hub model, as loading would find it: on the hub, else in the cache.

    None where neither knows the model.
    """
    try:
        from huggingface_hub import hf_hub_download
    except ModuleNotFoundError:
        return None
    with suppress(Exception):  # loading tells what is wrong with the name or the network
        return Path(hf_hub_download(name, "config.json", revision=revision)).parent.name
    return None


def model_inputs(config: Config) -> dict[str, str]:
    """The model's options, the files that they name, and what its weights and tokenizer are."""
    model = config.model
    found = {"[model]": digest(config.tables()["model"])}
    found |= {f"model.{option}": file_digest(path) for option, path in files_of(model)}
    if model.name == BUILTIN_MODEL:
        return found
    if (local := on_disk(model.name)) is not None:
        found["model files"] = quick_digest(local)
    elif loads_models(config.trainer) or loads_models(config.backend):
        commit = hub_commit(model.name, model.revision)
        found |= {"model commit": commit} if commit else {}
    return found


def files_of(component: Any) -> Iterator[tuple[str, Path]]:
    """The options of a component that name a file or a folder which exists, with their paths.

    A plain text counts where it names a file, since a plugin may read it.
    """
    for option in () if isinstance(component, type) else type(component).model_fields:
        found = [path for path in _paths(getattr(component, option)) if path.exists()]
        for path in found:
            yield (option if len(found) == 1 else f"{option} {path}"), path


def _paths(value: Any) -> Iterator[Path]:
    if isinstance(value, Path):
        yield value
    elif isinstance(value, str):
        with suppress(OSError, ValueError):  # too long for a name, or with a null character
            if (path := Path(value)).is_file():
                yield path
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _paths(each)
    elif isinstance(value, tuple | list | set | frozenset):
        for each in value:
            yield from _paths(each)
