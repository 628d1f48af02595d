"""Imports by the names of earlier versions, such as harness.contracts, until the next version.

A user's own package of such a name goes first: an old name stands for what nothing else has.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

NAMES = ("harness", "evaluators", "generators", "trainers")


class OldNames(MetaPathFinder, Loader):
    """Finds an old name and loads the very module that has the new one.

    It stands first in sys.meta_path, else Python would load what is below an old name twice.
    """

    def __init__(self) -> None:
        self.specs: dict[str, ModuleSpec | None] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        top, below, _ = name.partition(".")
        if top not in NAMES:
            return None
        if below and sys.modules[top] is not sys.modules.get(f"fmtharness.{top}"):
            return None
        new = importlib.util.find_spec(f"fmtharness.{name}")
        if new is None or (not below and self._is_users(name, new)):
            return None
        return ModuleSpec(name, self, is_package=True)

    def _is_users(self, name: str, new: ModuleSpec) -> bool:
        """Whether another package has the name; in the root of a checkout it is the same one."""
        others = [each for each in sys.meta_path if each is not self]
        found = next(filter(None, (each.find_spec(name, None) for each in others)), None)
        if found is None or new.origin is None:
            return False
        return found.origin is None or not Path(found.origin).samefile(new.origin)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(f"fmtharness.{spec.name}")
        self.specs[module.__name__] = module.__spec__  # the import system is about to replace it
        if spec.name in NAMES:
            warnings.warn(
                f"{spec.name} is called fmtharness.{spec.name} now; import it by this name, since "
                f"the next version will not know the old one",
                FutureWarning,
                stacklevel=2,
            )
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.specs.pop(module.__name__)
