"""What a command needs before it begins: modules of an extra, a model, an adapter.

needs("plot", "matplotlib")   UserError("plot needs matplotlib, which is not installed: pip ...")
needs_model("./modle")        ModelError("model './modle' is not a folder, GGUF file or hub id ...")

All of it is looked up on disk, so that a mistake costs no import of torch and no loaded model.
Whether a hub knows an id shows only when the model is loaded.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fmtharness.harness.errors import ModelError, UserError
from fmtharness.harness.files import is_gguf, near_miss
from fmtharness.harness.text import did_you_mean

if TYPE_CHECKING:
    from fmtharness.harness.contracts import Backend, ModelOptions, Trainer

TRAIN = frozenset(
    {
        "accelerate",
        "bitsandbytes",
        "gguf",
        "jinja2",
        "matplotlib",
        "peft",
        "safetensors",
        "tensorboard",
        "torch",
        "transformers",
    }
)
"""The modules of the extra `[train]`."""
EXTRAS = {"openai": "servers", "llguidance": "constrained", "vllm": "vllm", "ray": "ray"}
"""The extras of other modules."""
LOCAL = ("fmtharness.harness.backends.transformers", "fmtharness.harness.backends.vllm")
"""The backends that load local models."""
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")


class Needing(Protocol):
    """What a config names that may need modules or a model."""

    @property
    def model(self) -> ModelOptions: ...
    @property
    def trainer(self) -> Trainer: ...
    @property
    def trains(self) -> bool: ...
    @property
    def backends(self) -> Sequence[Backend]: ...


def needs(command: str | None, *modules: str) -> None:
    """Raise UserError for the first of the modules that is not installed."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise UserError(_sentence(command, module))


def needs_for_run(command: str | None, config: Needing) -> None:
    """Raise UserError if the built-in trainers or backend lack a module that they import.

    Those of a plugin may need none of them.
    """
    if _loads(config):
        needs(command, "torch", "transformers", "peft")
    if any(getattr(backend, "constrained", False) for backend in config.backends):
        needs(command, "llguidance")


def needs_model_for_run(config: Needing) -> None:
    """Raise ModelError if the built-in trainers or backend would not find the config's model."""
    if _loads(config):
        needs_model(config.model.name)


def _loads(config: Needing) -> bool:
    trainers = [config.trainer] if config.trains else []
    return any(map(loads_models, [*trainers, *config.backends]))


def needs_for_backend(backend: Backend, model: str, adapter: Path | None) -> None:
    """Raise ModelError if the backend would not find the model or the adapter.

    A plugin's backend may call its models as it likes, and have adapters of its own kind.
    """
    if adapter is not None:
        needs_adapter(adapter, peft=loads_models(backend))
    if loads_models(backend):
        needs_model(model)


def needs_model(name: str) -> None:
    """Raise ModelError for what is neither a model on disk nor could be a hub id."""
    from fmtharness.harness.contracts import (
        BUILTIN_MODEL,  # its imports would slow fmtharness --help down
    )

    path = Path(os.path.expanduser(name))  # noqa: PTH111 - leaves ~nobody as it is
    if name == BUILTIN_MODEL:
        return
    if is_gguf(path):
        if not path.is_file():
            near = near_miss(path, lambda each: is_gguf(each) and each.is_file())
            raise ModelError(
                f"model {name!r}: there is no such GGUF file{near}; check --model or model.name"
            )
    elif path.is_dir():
        if not _is_model(path):
            inside = sorted(str(each) for each in path.iterdir() if is_gguf(each))
            near = f", did you mean {inside[0]!r}?" if inside else near_miss(path, _is_model)
            raise ModelError(
                f"model {name!r}: the folder has no config.json, so it is not a transformers "
                f"model{near}; check --model or model.name"
            )
    elif path.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1:
        near = near_miss(path, _is_model) or did_you_mean(name, [BUILTIN_MODEL])
        raise ModelError(
            f"model {name!r} is not a folder, GGUF file or hub id (owner/name){near}; "
            f"the built-in model is {BUILTIN_MODEL}"
        )


def needs_adapter(folder: Path, *, peft: bool = True) -> None:
    """Raise ModelError for a missing folder, and with `peft` for one without an adapter of peft."""
    if not folder.is_dir():
        near = near_miss(folder, _is_adapter if peft else Path.is_dir)
        raise ModelError(
            f"adapter {str(folder)!r}: there is no such folder{near}; name the folder of an "
            f"adapter, such as outputs/quick/adapter"
        )
    if not peft or _is_adapter(folder):
        return
    lacks = ADAPTER_WEIGHTS[0] if (folder / ADAPTER_CONFIG).is_file() else ADAPTER_CONFIG
    inside = folder / "adapter"
    near = f", did you mean {str(inside)!r}?" if _is_adapter(inside) else ""
    raise ModelError(
        f"adapter {str(folder)!r}: the folder has no {lacks}"
        f"{near or near_miss(folder, _is_adapter)}; name one that fmtharness train or peft wrote"
    )


def explained(command: str | None, error: ModuleNotFoundError) -> str:
    """The sentence for a missing module of the extra; raises any other error."""
    module = (error.name or "").partition(".")[0]
    if module not in TRAIN | EXTRAS.keys():
        raise error
    return _sentence(command, module)


def loads_models(component: object) -> bool:
    """Whether it is a built-in trainer or backend that loads local models."""
    module = type(component).__module__
    trains = module.split(".")[:2] == ["fmtharness", "trainers"]
    return trains or module in LOCAL


def _is_model(folder: Path) -> bool:
    return (folder / "config.json").is_file()


def _is_adapter(folder: Path) -> bool:
    held = any((folder / name).is_file() for name in ADAPTER_WEIGHTS)
    return held and (folder / ADAPTER_CONFIG).is_file()


def _sentence(command: str | None, module: str) -> str:
    install = f"pip install 'fmtharness[{EXTRAS.get(module, 'train')}]'"
    return f"{command} needs {module}, which is not installed: {install}"
