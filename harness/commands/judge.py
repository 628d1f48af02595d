"""The commands that judge what a user brings: eval and check."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from fmtharness.harness.commands.options import (
    FAILED,
    UNSCORED,
    file,
    folder,
    one_model,
    template_option,
    with_template,
)
from fmtharness.harness.commands.output import echo, echo_json, stdout
from fmtharness.harness.errors import UserError


@click.command("eval")
@click.argument("config", type=file, required=False)
@click.option("--evaluator", "evaluators", multiple=True, metavar="NAME[:KEY=VALUE,...]")
@click.option("--completions", type=file, help="Judge this JSONL of texts; no model is loaded.")
@click.option("--data", type=file, help="Examples to ask.  [default: data/examples/eval.jsonl]")
@click.option("--model", metavar="REF", help="Folder, GGUF file, hub id or built-in name.")
@template_option
@click.option("--adapter", type=folder, help="A peft adapter to put on the model.")
@click.option("--num-prompts", type=click.IntRange(1), help="Use only this many Examples.")
@click.option("--max-new-tokens", type=click.IntRange(1), help="Cut completions off here.")
@click.option("--dump-jsonl", type=file, help="Write prompt, target, text and labels, for reading.")
@click.option("--verdicts", type=file, help="Write one row per completion and evaluator.")
@click.option("--processes", type=click.IntRange(1), help="Processes for --completions.")
@click.option("--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="Override.")
@click.option("--slices/--no-slices", default=True, help="Tables by family, strictness, ...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def evaluate(
    ctx: click.Context, /, slices: bool, as_json: bool, template: str | None, **options: Any
) -> None:
    """Judge a model on Examples, or completions that exist already."""
    from fmtharness.harness.commands.eval import evaluate as judge_all
    from fmtharness.harness.report.tables import metrics_json, metrics_table

    one_model(options["model"], options["overrides"])
    if template is not None and options["completions"] is not None:
        raise UserError("--completions loads no model: leave --template out")
    options["overrides"] = with_template(template, options["overrides"])
    made_with, tally = judge_all(**options)
    echo(made_with, err=as_json)
    if as_json:
        echo_json(metrics_json(tally))
    else:
        echo(metrics_table(tally, slices=slices))
    ctx.exit(UNSCORED if tally.unscored else 0)


@click.command()
@click.argument("arguments", metavar="[TEXT_OR_FILE]...", nargs=-1)
@click.option("--text", "texts", multiple=True, metavar="TEXT", help="A text, never a file's name.")
@click.option("--file", "files", multiple=True, type=click.Path(path_type=Path), help="A file.")
@click.option("--evaluator", "evaluators", multiple=True, metavar="NAME[:KEY=VALUE,...]")
@click.option(
    "--format",
    "formats",
    multiple=True,
    metavar="NAME[:KEY=VALUE,...]",
    help="The same as --evaluator NAME_strict[:...].",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def check(
    ctx: click.Context,
    arguments: tuple[str, ...],
    texts: tuple[str, ...],
    files: tuple[Path, ...],
    evaluators: tuple[str, ...],
    formats: tuple[str, ...],
    as_json: bool,
) -> None:
    """Judge texts without a model, and show where each is broken.

    An argument is a file if one has this name, else it is the text itself; `-` is standard input,
    the default. Without --evaluator or --format, json_strict judges. Exits with 1 if a text
    fails.
    """
    from fmtharness.harness.commands import check as checking

    judges = checking.evaluators(evaluators, formats)
    stdin = sys.stdin.buffer if sys.stdin else None
    checked = checking.check(checking.sources(arguments, texts, files, stdin), judges)
    if as_json:
        echo_json(checking.report_json(checked))
    else:
        stream = stdout()
        color = bool(stream and stream.isatty()) and not os.environ.get("NO_COLOR")
        encoding = getattr(stream, "encoding", None) or "utf-8"
        echo(checking.report(checked, color=color, encoding=encoding), colors=color)
    ctx.exit({"passed": 0, "failed": FAILED, "unscored": UNSCORED}[checking.state(checked)])
