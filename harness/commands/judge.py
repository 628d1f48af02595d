"""The commands that judge what a user brings: eval, check, prompt and data."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from fmtharness.harness.commands.group import Command
from fmtharness.harness.commands.options import (
    FAILED,
    UNSCORED,
    cache_option,
    file,
    folder,
    of_engine,
    one_model,
    template_option,
    with_template,
    without_cache,
)
from fmtharness.harness.commands.output import echo, echo_json, stdout
from fmtharness.harness.errors import UserError
from fmtharness.harness.text import one_line

SCHEMA = "FILE|MODULE:MODEL"
EXIT = {"passed": 0, "failed": FAILED, "unscored": UNSCORED}
SPEC = "NAME[:KEY=VALUE,...]"
evaluator_option = click.option("--evaluator", "evaluators", multiple=True, metavar=SPEC)
format_option = click.option(
    "--format",
    "formats",
    multiple=True,
    metavar=SPEC,
    help="The same as --evaluator NAME_strict[:...].",
)


@click.command("eval", cls=Command)
@click.argument("config", type=file, required=False)
@evaluator_option
@click.option(
    "--completions",
    type=file,
    multiple=True,
    help="Judge this JSONL of texts; no model is loaded.",
)
@click.option("--data", type=file, help="Rows to ask.  [default: data/examples/eval.jsonl]")
@click.option("--form", metavar="NAME[:KEY=COLUMN,...]", help="The form of --data's rows.")
@click.option(
    "--format",
    "target_format",
    metavar=SPEC,
    help="The format of --data's targets, or of the texts.",
)
@click.option("--schema", metavar=SCHEMA, help="Also judge by this JSON Schema.")
@click.option("--model", metavar="REF", help="Folder, GGUF file, hub id or built-in name.")
@template_option
@click.option(
    "--adapter",
    "adapters",
    type=folder,
    multiple=True,
    help="A peft adapter to put on the model; two are compared.",
)
@click.option(
    "--arm",
    "arms",
    multiple=True,
    metavar="NAME=WHAT",
    help="Compare: base, an adapter's or a run's folder, or a JSONL of texts.",
)
@click.option("--num-prompts", type=click.IntRange(1), help="Use only this many Examples.")
@click.option("--max-new-tokens", type=click.IntRange(1), help="Cut completions off here.")
@click.option("--dump-jsonl", type=file, help="Write prompt, target, text and labels, for reading.")
@click.option("--verdicts", type=file, help="Write one row per completion and evaluator.")
@click.option("--processes", type=click.IntRange(1), help="Processes for --completions.")
@click.option("--engine", type=click.Choice(["ray"]), help="Work on a cluster, into --out.")
@click.option("--out", type=folder, help="With --engine: the folder of shards, resumed.")
@click.option("--concurrency", type=click.IntRange(1), help="With --engine: how many workers.")
@click.option("--ray-address", metavar="ADDRESS", help="The cluster.  [default: this machine]")
@click.option("--shard-rows", type=click.IntRange(1), help="Rows of a shard.  [default: 500]")
@cache_option
@click.option("--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="Override.")
@click.option("--slices/--no-slices", default=True, help="Tables by family, strictness, ...")
@click.option("--consumers", is_flag=True, help="Ask real readers too, in several languages.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def evaluate(
    ctx: click.Context,
    /,
    arms: tuple[str, ...],
    adapters: tuple[Path, ...],
    completions: tuple[Path, ...],
    template: str | None,
    uncached: bool,
    slices: bool,
    as_json: bool,
    engine: str | None,
    **options: Any,
) -> None:
    """Judge a model on Examples, or completions that exist already.

    Several arms are compared with the first of them on the same Examples; each --adapter and each
    --completions is an arm, too.
    """
    from fmtharness.harness.commands.arms import of_options
    from fmtharness.harness.commands.eval import evaluate as judge_here
    from fmtharness.harness.commands.sharded import evaluate as judge_on_ray
    from fmtharness.harness.report.arms import arms_json, arms_table
    from fmtharness.harness.report.consumers import consumers_json, consumers_table
    from fmtharness.harness.report.tables import metrics_json, metrics_table

    one_model(options["model"], options["overrides"])
    if completions and (adapters or template):
        raise UserError(
            "--completions loads no model: leave --model, --template, --adapter and the like out; "
            "--arm NAME=... compares a file with a model"
        )
    overrides = with_template(template, options["overrides"])
    options["overrides"] = without_cache(uncached, overrides)
    options = of_engine(engine, options)
    judge_all = judge_here if engine is None else judge_on_ray
    made_with, found = judge_all(of_options(arms, adapters, completions), **options)
    tallies = [arm.tally for arm in found.values()]
    several = len(tallies) > 1
    echo(made_with, err=as_json)
    asked = {name: arm.consumers for name, arm in found.items() if arm.consumers}
    if as_json:
        document = dict(arms_json(found) if several else metrics_json(tallies[0]))
        if asked:
            plain = {name: consumers_json(read) for name, read in asked.items()}
            document["consumers"] = plain if several else next(iter(plain.values()))
        echo_json(document)
    else:
        if several:
            echo(arms_table(found, slices=slices))
        else:
            echo(metrics_table(tallies[0], slices=slices))
        for name, read in asked.items():
            echo(f"\n{one_line(name)}:" if several else "")
            echo(consumers_table(read))
    ctx.exit(UNSCORED if any(tally.unscored for tally in tallies) else 0)


@click.command(cls=Command)
@click.argument("arguments", metavar="[TEXT_OR_FILE]...", nargs=-1)
@click.option("--text", "texts", multiple=True, metavar="TEXT", help="A text, never a file's name.")
@click.option("--file", "files", multiple=True, type=click.Path(path_type=Path), help="A file.")
@evaluator_option
@format_option
@click.option("--schema", metavar=SCHEMA, help="A JSON Schema, or a Pydantic model.")
@click.option("--consumers", is_flag=True, help="Ask real readers too, in several languages.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def check(
    ctx: click.Context,
    arguments: tuple[str, ...],
    texts: tuple[str, ...],
    files: tuple[Path, ...],
    evaluators: tuple[str, ...],
    formats: tuple[str, ...],
    schema: str | None,
    consumers: bool,
    as_json: bool,
) -> None:
    """Judge texts without a model, and show where each is broken.

    An argument is a file if one has this name, else it is the text itself; `-` is standard input,
    the default. Without --evaluator or --format, json_strict judges, and with --schema also
    json_schema. Exits with 1 if a text fails.
    """
    from fmtharness.harness.commands import check as checking
    from fmtharness.harness.report.consumers import consumers_table

    judges = checking.evaluators(evaluators, formats, schema)
    stdin = sys.stdin.buffer if sys.stdin else None
    checked = checking.check(checking.sources(arguments, texts, files, stdin), judges)
    asked = checking.consumed(checked, judges) if consumers else None
    if as_json:
        echo_json(checking.report_json(checked, asked))
    else:
        style = _style()
        echo(checking.report(checked, **style), colors=style["color"])
        if asked:
            echo()
            echo(consumers_table(asked.found))
    ctx.exit(EXIT[checking.state(checked)])


@click.command(cls=Command)
@click.argument("prompt", required=False)
@click.option("--system", metavar="TEXT", help="A system message before it.")
@click.option("--arms", metavar="base,sft", help="Which arms; sft is the run's adapter.")
@click.option(
    "--adapter",
    "adapters",
    type=folder,
    multiple=True,
    help="A peft adapter to put on the model; each is an arm.",
)
@click.option("--model", metavar="REF", help="Folder, GGUF file, hub id or built-in name.")
@template_option
@click.option("--out", type=folder, help="The run's folder of sft.  [default: outputs/quick]")
@evaluator_option
@format_option
@click.option("--schema", metavar=SCHEMA, help="Also judge by this JSON Schema.")
@click.option("--max-new-tokens", type=click.IntRange(1), help="Cut completions off here.")
@click.option("--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="Override.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def prompt(
    ctx: click.Context, /, prompt: str | None, template: str | None, as_json: bool, **options: Any
) -> None:
    """Ask one prompt, and judge the answer of each arm.

    Without PROMPT, or with `-`, standard input is the prompt. Without --arms, the arms are those of
    --adapter, with --out base and sft, else base. Exits with 1 if an arm fails.
    """
    from fmtharness.harness.commands import prompt as prompting
    from fmtharness.harness.commands.check import state

    one_model(options["model"], options["overrides"])
    options["overrides"] = with_template(template, options["overrides"])
    text = prompting.text_of(prompt, sys.stdin.buffer if sys.stdin else None)
    asked = prompting.messages_of(text, options.pop("system"))
    answers = []
    for answer in prompting.ask(asked, **options):
        answers.append(answer)
        if not as_json:
            style = _style()
            echo(prompting.shown(answer, **style), colors=style["color"])
    if as_json:
        echo_json(prompting.as_json(asked, answers))
    ctx.exit(EXIT[state(answer.checked for answer in answers)])


@click.command(cls=Command)
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--dev", type=file, help="Rows that checkpoints are chosen on.")
@click.option("--eval", "held_out", type=file, help="Rows to judge on.")
@click.option("--format", "form_of_targets", metavar=SPEC, help="Of the targets.")
@click.option("--schema", metavar="FILE|PACKAGE.MODULE:MODEL", help="A JSON Schema for targets.")
@click.option("--form", metavar="NAME[:KEY=COLUMN,...]", help="Of the rows, if not recognised.")
@click.option("--model", metavar="REF", help="Whose tokenizer and template rows are for.")
@template_option
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
    template: str | None,
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
    style = _style()
    color = style["color"]
    with looking.opened(source, dev, held_out, read) as rows:
        if show is not None:
            tokens = looking.tokens_of(rows, model, template)
            text = looking.shown(rows, tokens, show, **style)
            echo(text, err=as_json, colors=color and not as_json)
            echo(err=as_json)
        if fix is not None:
            done, rows = looking.mend(rows, source, fix)
            echo(done, err=as_json)
        looked = looking.looked_at(rows, model, max_seq_length, allow, processes, template)
        if as_json:
            echo_json(looking.report_json(looked))
        else:
            text = looking.report(looked, **style, hidden=rows.made_in)
            echo(text, colors=color)
    unscored = any(each.check == "unscored" for each in looked.findings)
    ctx.exit(FAILED if looked.stops else UNSCORED if unscored else 0)


def _style() -> dict[str, Any]:
    """Whether standard output shows colors, and its encoding."""
    stream = stdout()
    color = bool(stream and stream.isatty()) and not os.environ.get("NO_COLOR")
    return {"color": color, "encoding": getattr(stream, "encoding", None) or "utf-8"}
