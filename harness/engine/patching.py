"""What is replaced in a loaded model, with the reason, and put back on exit.

    with Patches() as patches:
        patches.replace(norm, "forward", fused, "one kernel instead of six")
        patches.table()     [Patched("LlamaRMSNorm", "forward", "one kernel instead of six", 1)]

Only behavior is put back, and the layout of weights that `changed` was told of. Weights that were
concatenated or sharded stay where they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial, reduce
from types import TracebackType
from typing import Any, NamedTuple

from fmtharness.harness.engine.quiet import quiet_transformers


class Patched(NamedTuple):
    """One row of the table: `attribute` is replaced in this many modules of the class."""

    of: str
    attribute: str
    why: str
    modules: int


class Patches:
    """The replaced attributes of loaded models; leaving the context undoes them, last first."""

    def __init__(self) -> None:
        self._made: list[tuple[str, str, str]] = []
        self._undo: list[Callable[[], object]] = []

    def replace(self, module: Any, attribute: str, new: Any, why: str) -> None:
        """Set an attribute of a module or, with a dotted name, of what it holds, as its config."""
        *path, name = attribute.split(".")
        target = reduce(getattr, path, module)
        if name in vars(target):
            self._undo.append(partial(setattr, target, name, vars(target)[name]))
        else:
            self._undo.append(partial(delattr, target, name))
        self._made.append((type(module).__name__, attribute, why))
        setattr(target, name, new)

    def attend_by(self, model: Any, name: str, why: str) -> None:
        """Choose an attention function of transformers' AttentionInterface by its name."""
        before = model.config._attn_implementation
        _attend_by(model, name)
        self._undo.append(partial(_attend_by, model, before))
        self._made.append((type(model).__name__, "config._attn_implementation", why))

    def changed(self, module: Any, attribute: str, undo: Callable[[], object], why: str) -> None:
        """Note what was changed in place, and how to put it back."""
        self._undo.append(undo)
        self._made.append((type(module).__name__, attribute, why))

    def table(self) -> list[Patched]:
        """What is replaced now, by class, attribute and reason."""
        return [Patched(*row, count) for row, count in Counter(self._made).items()]

    def __len__(self) -> int:
        return len(self._undo)

    def undo(self, keep: int = 0) -> None:
        """Put back what was there, but for the first `keep` replacements."""
        del self._made[keep:]
        while len(self._undo) > keep:
            self._undo.pop()()

    def __enter__(self) -> Patches:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.undo()


def _attend_by(model: Any, name: str) -> None:
    with quiet_transformers():  # it logs which parts of a model keep their own
        model.set_attn_implementation(name)
