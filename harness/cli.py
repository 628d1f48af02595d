"""The command line: each command is a few lines over the stages.

    fmtharness run configs/quick.toml
    fmtharness eval --evaluator json_strict --completions rows.jsonl --json

Exit codes: 0 done, 1 a gate or a check failed, 2 a user error, 3 something could not be scored,
4 an internal error, 130 after Ctrl-C, 141 if the reader of a pipe ended, 143 after SIGTERM.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from fmtharness.harness.commands import audit, judge
from fmtharness.harness.commands.group import Commands
from fmtharness.harness.commands.options import UNSCORED, file, folder, run_options
from fmtharness.harness.commands.output import echo, echo_json
from fmtharness.harness.errors import UserError
from fmtharness.harness.requirements import needs, needs_for_run, needs_model_for_run

if TYPE_CHECKING:
    from fmtharness.harness.config import Config
    from fmtharness.harness.judging.tally import Tally
    from fmtharness.harness.run.folder import RunFolder

# torch's threads wait for each other by spinning, which starves them if other processes need the
# cores: beside two busy ones on two cores, training ran at 143 tokens/s with this and 98 without.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fmtharness", prog_name="fmtharness")
def main() -> None:
    """How often does a small language model break its output format, why, and what cures it?"""


@contextmanager
def _opened(
    config: Path | None,
    overrides: tuple[str, ...],
    out: Path | None,
    *,
    only_data: bool = False,
    out_md: Path | None = None,
    before: Callable[[Path, Config], None] = lambda where, config: None,
) -> Iterator[RunFolder]:
    """The run's folder; without CONFIG, a folder that has a config keeps its own.

    `before` is called before anything is written.
    Raises UserError before the first stage if a later one lacks a library or the model. A run that
    has begun is opened without the libraries, and one that has trained without the model, since a
    finished run needs neither.
    """
    from fmtharness.harness.commands import paths
    from fmtharness.harness.files import on_disk
    from fmtharness.harness.judging import limit
    from fmtharness.harness.run.folder import RunFolder

    where, resolved = _resolved(config, overrides, out)
    limit.limit(resolved.eval.timeout_s)
    begun = paths.is_run(where)
    if not only_data and not begun:
        needs_for_run(click.get_current_context().info_name, resolved)
    trained = (where / "adapter").is_dir() and paths.model_of(where) == resolved.model.name
    if not only_data and not (begun and trained):
        needs_model_for_run(resolved)
    reads = [("CONFIG", config), ("the model", on_disk(resolved.model.name))]
    paths.not_read([*reads, *paths.files_of(where)], [("--out-md", out_md)])
    paths.not_foreign(where, resolved)
    before(where, resolved)
    with RunFolder.open(where, resolved) as run:
        yield run


def _resolved(
    config: Path | None, overrides: tuple[str, ...], out: Path | None
) -> tuple[Path, Config]:
    from fmtharness.harness.config import load_config
    from fmtharness.harness.progress import say
    from fmtharness.harness.run.folder import default_folder

    resolved: Config = load_config(config, overrides=overrides, name=out.name if out else None)
    where = out or default_folder(resolved)
    kept = where / "config.toml"
    if config is None and kept.is_file():
        say(f"config: {kept}")
        resolved = load_config(kept, overrides=overrides, asked=False)
    return where, resolved


def _followed(config: Path | None, overrides: tuple[str, ...], out: Path | None) -> bool:
    """Whether another process leads; this one has then taken part in its training."""
    from fmtharness.harness import processes
    from fmtharness.harness.run import fitting

    if processes.leads():
        return False
    fitting.follow(*_resolved(config, overrides, out))
    return True


@main.command()
@run_options
@click.option("--to", type=folder, help="Write the data here instead of into a run's folder.")
def generate(
    config: Path | None, overrides: tuple[str, ...], out: Path | None, to: Path | None
) -> None:
    """Write train, dev and eval Examples, and the statistics that prove their separation."""
    from fmtharness.harness.commands import generate as generating
    from fmtharness.harness.config import load_config
    from fmtharness.harness.run import stages

    if to is not None and out is not None:
        raise UserError("--to and --out exclude each other: data alone, or a run's folder")
    if to is not None:
        generating.write_data(load_config(config, overrides=overrides), to)
        echo(f"wrote {to}")
        return
    with _opened(config, overrides, out, only_data=True) as run:
        stages.generate(run)
        echo(f"wrote {run.path / 'data'}")


@main.command()
@run_options
def train(config: Path | None, overrides: tuple[str, ...], out: Path | None) -> None:
    """Fine-tune on the train Examples; resumes from the last checkpoint."""
    from fmtharness.harness.run import stages
    from fmtharness.harness.run.faulty_rows import refuse_faulty

    if _followed(config, overrides, out):
        return
    with _opened(config, overrides, out) as run:
        stages.generate(run)
        refuse_faulty(run)
        echo(f"wrote {stages.train(run)}")


main.add_command(judge.evaluate)


@main.command()
@run_options
@click.pass_context
def run(
    ctx: click.Context, config: Path | None, overrides: tuple[str, ...], out: Path | None
) -> None:
    """The whole job: data, the untuned model judged, training, the tuned model judged."""
    from fmtharness.harness.commands.blocks import blocks, rates
    from fmtharness.harness.run import stages

    if _followed(config, overrides, out):
        return
    with _opened(config, overrides, out) as opened:
        tallies = stages.run_all(opened)
        echo(stages.made_with(opened))
        echo(rates(opened))
        for block in blocks(opened):
            echo(f"\n{block}")
        _tell_unscored(tallies)
        echo(f"\nrun folder: {opened.path}")
    ctx.exit(UNSCORED if any(tally.unscored for tally in tallies.values()) else 0)


main.add_command(judge.check)
main.add_command(judge.prompt)
main.add_command(judge.data)
main.add_command(audit.audit)


@main.command()
@run_options
@click.option("--num-prompts", type=click.IntRange(0), default=5, show_default=True)
@click.option("--out-md", type=file, help="The Markdown file.  [default: compare.md in the folder]")
@click.option("--plan", is_flag=True, help="Also say how many prompts would tell the arms apart.")
@click.pass_context
def compare(
    ctx: click.Context,
    config: Path | None,
    overrides: tuple[str, ...],
    out: Path | None,
    num_prompts: int,
    out_md: Path | None,
    plan: bool,
) -> None:
    """The arms on the same Examples: rates, finish reasons, slices, a few texts.

    Stages of the run that are missing are run first, but a finished training is never replaced.
    Without CONFIG, --out is the folder of a run that has begun.
    """
    from fmtharness.harness.commands import compare as comparing
    from fmtharness.harness.commands.paths import has_begun

    if config is None and out is not None:
        has_begun(out)
    guard = comparing.refuse_training
    with _opened(config, overrides, out, out_md=out_md, before=guard) as run:
        target = out_md or run.path / "compare.md"
        shown, tallies = comparing.compare(run, num_prompts, target)
        echo(shown)
        if plan:
            echo(f"\nprompts for a test at p < 0.05 with power 0.8\n{comparing.planned(run)}")
        _tell_unscored(tallies)
        echo(f"\nwrote {target}")
    ctx.exit(UNSCORED if any(tally.unscored for tally in tallies.values()) else 0)


def _tell_unscored(tallies: Mapping[str, Tally]) -> None:
    from fmtharness.harness.report.tables import unscored_lines

    for arm, tally in tallies.items():
        for line in unscored_lines(tally):
            echo(f"\n{arm}: {line}")


@main.command()
@click.option(
    "--logdir",
    type=folder,
    default=Path("outputs/quick/tb"),
    show_default=True,
    help="A run's folder, or one that TensorBoard logs lie below.",
)
@click.option("--out-png", type=file, help="[default: curves.png beside the logs' folder]")
def plot(logdir: Path, out_png: Path | None) -> None:
    """Draw a run's scalars from its TensorBoard logs."""
    from fmtharness.harness.commands import plot as plotting

    needs("plot", "matplotlib", "tensorboard")
    target, count = plotting.plot(logdir, out_png)
    echo(f"wrote {target}: {count} scalars")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def plugins(as_json: bool) -> None:
    """List every component: kind, name, distribution, one line."""
    from fmtharness.harness.plugins import registry
    from fmtharness.harness.report.tables import table

    found = [
        (each.kind.removesuffix("s"), each.name, each.distribution, each.summary)
        for known in registry().values()
        for each in known.values()
    ]
    headers = ("kind", "name", "distribution", "summary")
    if as_json:
        echo_json([dict(zip(headers, row, strict=True)) for row in found])
    else:
        echo(table(headers, found))


@main.command()
@click.argument("what", type=click.Choice(["format", "evaluator"]))
@click.argument("name")
@click.option("--to", type=folder, help="Its folder.  [default: fmtharness-NAME]")
def new(what: Literal["format", "evaluator"], name: str, to: Path | None) -> None:
    """Write a plugin of your own: a package with a format or an evaluator, and its tests."""
    from fmtharness.harness.commands.new import write

    written = write(what, name, to)
    for path in written:
        echo(f"wrote {path}")
    place = next(path.parent for path in written if path.name == "pyproject.toml")
    check = "--format" if what == "format" else "--evaluator"
    echo(f"\nnext: pip install -e {shlex.quote(f'{place}[test]')}")
    echo(f"      python -m pytest {shlex.quote(str(place))}")
    echo(f"      fmtharness check {check} {name} 'city=Oslo'")


@main.command()
def models() -> None:
    """Show the built-in model and the converted models in the cache."""
    from fmtharness.harness.contracts import BUILTIN_MODEL
    from fmtharness.harness.engine.gguf import BUILTIN_PACKAGE, cached_models
    from fmtharness.harness.files import cache_folder
    from fmtharness.harness.report.tables import table

    rows = [[path.name, str(path)] for path in cached_models()]
    echo(f"built-in: {BUILTIN_MODEL} (Apache-2.0, from the package {BUILTIN_PACKAGE})")
    echo(f"cache: {cache_folder()}")
    echo(table(("converted", "folder"), rows) if rows else "nothing converted yet")
