"""The commands that judge what a user brings: eval and check."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from fmtharness.harness.commands.options import FAILED, UNSCORED, file, folder, one_model
from fmtharness.harness.commands.output import echo, echo_json, stdout


@click.command("eval")
@click.argument("config", type=file, required=False)
@click.option("--evaluator", "evaluators", multiple=True, metavar="NAME[:KEY=VALUE,...]")
@click.option("--completions", type=file, help="Judge this JSONL of texts; no model is loaded.")
@click.option("--data", type=file, help="Examples to ask.  [default: data/examples/eval.jsonl]")
@click.option("--model", metavar="REF", help="Folder, GGUF file, hub id or built-in name.")
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
def evaluate(ctx: click.Context, /, slices: bool, as_json: bool, **options: Any) -> None:
    """Judge a model on Examples, or completions that exist already."""
    from fmtharness.harness.commands.eval import evaluate as judge_all
    from fmtharness.harness.report.tables import metrics_json, metrics_table

    one_model(options["model"], options["overrides"])
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


@click.command()
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--dev", type=file, help="Rows that checkpoints are chosen on.")
@click.option("--eval", "held_out", type=file, help="Rows to judge on.")
@click.option("--format", "form_of_targets", metavar="NAME[:KEY=VALUE,...]", help="Of the targets.")
@click.option("--schema", metavar="FILE|PACKAGE.MODULE:MODEL", help="A JSON Schema for targets.")
@click.option("--form", help="The form of the rows; recognised if not given.")
@click.option("--model", metavar="REF", help="Whose tokenizer and template rows are for.")
@click.option("--max-seq-length", type=click.IntRange(8), help="In tokens, as in training.")
@click.option("--show", type=click.IntRange(1), metavar="N", help="Print N rows as a model sees.")
@click.option("--fix", type=file, metavar="OUT.jsonl", help="Write FILE mended, without guesses.")
@click.option("--allow", multiple=True, metavar="CHECK", help="Do not exit with 1 for this.")
@click.option("--processes", type=click.IntRange(1), help="[default: one for each core]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def data(
    ctx: click.Context,
    source: Path,
    dev: Path | None,
    held_out: Path | None,
    form_of_targets: str | None,
    schema: str | None,
    form: str | None,
    model: str | None,
    max_seq_length: int | None,
    show: int | None,
    fix: Path | None,
    allow: tuple[str, ...],
    processes: int | None,
    as_json: bool,
) -> None:
    """What is wrong with rows, before anything is trained on them.

    FILE holds rows, or is a run's folder or a config, whose splits are then looked at. Exits with 1
    if something would teach the wrong thing; with --fix, if something of it is left in OUT.jsonl.
    """
    from fmtharness.harness.commands import data as looking

    read = {"form": form, "format": form_of_targets, "schema": looking.schema_of(schema)}
    stream = stdout()
    color = bool(stream and stream.isatty()) and not os.environ.get("NO_COLOR")
    encoding = getattr(stream, "encoding", None) or "utf-8"
    with looking.opened(source, dev, held_out, read) as rows:
        if show is not None:
            tokens = looking.tokens_of(rows, model)
            text = looking.shown(rows, tokens, show, color=color, encoding=encoding)
            echo(text, err=as_json, colors=color and not as_json)
            echo(err=as_json)
        if fix is not None:
            done, rows = looking.mend(rows, source, fix)
            echo(done, err=as_json)
        looked = looking.looked_at(rows, model, max_seq_length, allow, processes)
        if as_json:
            echo_json(looking.report_json(looked))
        else:
            text = looking.report(looked, color=color, encoding=encoding, hidden=rows.made_in)
            echo(text, colors=color)
    unscored = any(each.check == "unscored" for each in looked.findings)
    ctx.exit(FAILED if looked.stops else UNSCORED if unscored else 0)
