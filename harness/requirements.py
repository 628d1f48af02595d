"""Checks for modules of the extra `[train]`, which the default install leaves out.

needs("plot", "matplotlib")   UserError("plot needs matplotlib, which is not installed: pip ...")
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from harness.errors import UserError

if TYPE_CHECKING:
    from harness.config import Config

TRAIN = frozenset(
    {
        "accelerate",
        "bitsandbytes",
        "gguf",
        "matplotlib",
        "peft",
        "safetensors",
        "tensorboard",
        "torch",
        "transformers",
    }
)
"""The modules of the extra."""


def needs(command: str | None, *modules: str) -> None:
    """Raise UserError for the first of the modules that is not installed."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise UserError(_sentence(command, module))


def needs_for_run(command: str | None, config: Config) -> None:
    """Raise UserError if the built-in trainers or backend lack a module that they import.

    Those of a plugin may need none of them.
    """
    trainer, backend = (type(each).__module__ for each in (config.trainer, config.backend))
    if trainer.partition(".")[0] == "trainers" or backend == "harness.backends.transformers":
        needs(command, "torch", "transformers", "peft")


def explained(command: str | None, error: ModuleNotFoundError) -> str:
    """The sentence for a missing module of the extra; raises any other error."""
    module = (error.name or "").partition(".")[0]
    if module not in TRAIN:
        raise error
    return _sentence(command, module)


def _sentence(command: str | None, module: str) -> str:
    install = "pip install 'fmtharness[train]'"
    return f"{command} needs {module}, which is not installed: {install}"
