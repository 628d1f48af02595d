"""The five hooks. Each returns component classes; none changes anything."""

from __future__ import annotations

from collections.abc import Sequence

import pluggy

from fmtharness.harness.contracts import Backend, Evaluator, Format, Generator, Trainer

hookspec = pluggy.HookspecMarker("fmtharness")


@hookspec
def fmtharness_formats() -> Sequence[type[Format]]:  # type: ignore[empty-body]
    """Output formats: how to ask for one, render it, parse it strictly, and break it."""


@hookspec
def fmtharness_generators() -> Sequence[type[Generator]]:  # type: ignore[empty-body]
    """Sources of Examples."""


@hookspec
def fmtharness_evaluators() -> Sequence[type[Evaluator]]:  # type: ignore[empty-body]
    """Judges of Completions."""


@hookspec
def fmtharness_trainers() -> Sequence[type[Trainer]]:  # type: ignore[empty-body]
    """Ways to fine-tune a model on Examples."""


@hookspec
def fmtharness_backends() -> Sequence[type[Backend]]:  # type: ignore[empty-body]
    """Ways to produce Completions for Examples."""
