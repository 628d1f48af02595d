"""Options that several commands share, and their exit codes."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from fmtharness.harness.errors import UserError

FAILED, UNSCORED = 1, 3
file = click.Path(path_type=Path, dir_okay=False)
folder = click.Path(path_type=Path, file_okay=False)


OF_RAY = ("out", "concurrency", "ray_address", "shard_rows")
HERE = ("verdicts", "dump_jsonl", "processes", "consumers")
"""OF_RAY: the options of `eval` for --engine ray; HERE: those for work without it."""
template_option = click.option(
    "--template",
    metavar="FILE|chatml|plain",
    help="The chat template, in place of the model's or for one that has none.",
)


cache_option = click.option(
    "--no-cache",
    "uncached",
    is_flag=True,
    help="Ask a server again, whatever it has answered before.",
)


def run_options(command: Callable[..., None]) -> Callable[..., None]:
    """CONFIG, --set, --model, --template, --no-cache, --out: options over a run's folder."""

    @click.argument("config", type=file, required=False)
    @click.option("--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="Override.")
    @click.option("--model", metavar="REF", help="Folder, GGUF file, hub id or built-in name.")
    @template_option
    @cache_option
    @click.option("--out", type=folder, help="The run's folder.  [default: outputs/<name>]")
    @functools.wraps(command)
    def wrapped(
        *args: Any,
        model: str | None,
        template: str | None,
        uncached: bool,
        overrides: tuple[str, ...],
        **kwargs: Any,
    ) -> None:
        one_model(model, overrides)
        if model is not None:
            overrides = (*overrides, f"model.name={json.dumps(model)}")
        overrides = without_cache(uncached, with_template(template, overrides))
        command(*args, overrides=overrides, **kwargs)

    return wrapped


def one_model(model: str | None, overrides: Iterable[str]) -> None:
    names = {each.partition("=")[0].strip() for each in overrides}
    if model is not None and "model.name" in names:
        raise UserError("--model and --set model.name both name the model; give one of them")


def of_engine(engine: str | None, options: dict[str, Any]) -> dict[str, Any]:
    """The options without those for the other way of working. Raises UserError if one is given."""
    other = OF_RAY if engine is None else HERE
    for name in other:
        if options[name]:
            told = "goes with" if engine is None else "goes without"
            raise UserError(f"--{name.replace('_', '-')} {told} --engine ray")
    return {name: value for name, value in options.items() if name not in other}


def with_template(template: str | None, overrides: tuple[str, ...]) -> tuple[str, ...]:
    """The overrides, with --template as one. Raises UserError if they name another."""
    key = "model.chat_template"
    if template is None:
        return overrides
    if key in {each.partition("=")[0].strip() for each in overrides}:
        raise UserError(f"--template and --set {key} both name a template; give one of them")
    return (*overrides, f"{key}={json.dumps(template)}")


def without_cache(uncached: bool, overrides: tuple[str, ...]) -> tuple[str, ...]:
    """The overrides, with --no-cache as one."""
    return (*overrides, "eval.cache=false") if uncached else overrides
