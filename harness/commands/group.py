"""What all commands have in common: how errors are shown, and which options are refused.

    fmtharness eval --data a --data b   ->  error: --data is given twice; give it once

A flag may be repeated, and so may options that are meant to be, such as --evaluator.
"""

from __future__ import annotations

import importlib.metadata
import io
import os
import platform
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from fmtharness.harness.commands.output import echo, reserved
from fmtharness.harness.errors import HarnessError, StoppedError, UserError
from fmtharness.harness.files import cache_folder, is_full
from fmtharness.harness.requirements import explained
from fmtharness.harness.text import printable, visible

USER_ERROR, INTERNAL_ERROR, SIGNALLED, PIPE = 2, 4, 128, 13
OUT_OF_MEMORY = "raise model.memory_limit, take a smaller model, or end what else uses the GPU"
FULL = "free some space, or choose another disk with --out (FMTHARNESS_CACHE for models)"
OUT_OF_CPU_MEMORY = "take a smaller model or batch, or end what else uses the memory"
INTERNAL = "a fault of fmtharness, or of a plugin"
LENGTH = 500
"""Characters of an unforeseen error that its sentence shows."""


class Command(click.Command):
    """Refuses an option that is given twice, where the first would be dropped silently."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        _, _, given = self.make_parser(ctx).parse_args(list(args))
        options = [each for each in given if isinstance(each, click.Option)]
        helps = ctx.resilient_parsing or any(each.is_eager for each in options)
        if not helps:  # --help and completion in a shell work whatever else is given
            counts = Counter(each for each in options if _is_single(each))
            faults = [_repeated(each, count) for each, count in counts.items() if count > 1]
            if faults:
                raise UserError("\n".join(faults))
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        with reserved():
            return super().invoke(ctx)


def _is_single(option: click.Option) -> bool:
    return not (option.multiple or option.is_flag or option.count)


def _repeated(option: click.Option, count: int) -> str:
    times = "twice" if count == 2 else f"{count} times"
    return f"{max(option.opts, key=len)} is given {times}; give it once"


class Commands(click.Group):
    """Renders every error as one sentence on standard error, and gives each its exit code."""

    command_class = Command

    def main(self, *args: Any, **extra: Any) -> Any:
        _prepare_streams()
        with _told(self):
            _needs_streams()
            return super().main(*args, **extra)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with _told(self):
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _told(self, ctx):
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order of use, not of the alphabet


@contextmanager
def _told(group: click.Group, ctx: click.Context | None = None) -> Iterator[None]:
    """Inside: whatever is raised ends the process with a sentence and a code of its own."""
    try:
        yield
        return
    except click.ClickException as error:
        error.message = printable(error.message)  # type: ignore[misc]
        raise
    except (click.Abort, click.exceptions.Exit):
        raise  # click ends the process by these
    except Exception as error:
        ended: BaseException = error
        code, sentences = _explained(error, ctx.invoked_subcommand if ctx else group.name)
    except KeyboardInterrupt as error:
        ended = error
        code = SIGNALLED + signal.SIGINT
        sentences = ["interrupted; the same command goes on where this one ended"]
    with suppress(OSError):  # standard error may be what is broken
        for each in sentences:
            echo(each, err=True)
    _let_go(ended)
    _drop_broken_streams()
    raise SystemExit(code)


def _let_go(error: BaseException) -> None:
    """Close what the error's frames hold, else the interpreter would wait for its processes."""
    errors, seen = [error], set[int]()
    while errors:
        each = errors.pop()
        if id(each) not in seen:
            seen.add(id(each))
            traceback.clear_frames(each.__traceback__)
            errors += [one for one in (each.__cause__, each.__context__) if one is not None]


def _explained(error: Exception, command: str | None) -> tuple[int, list[str]]:
    """The exit code of an error, and what to say about it."""
    if isinstance(error, StoppedError):
        return SIGNALLED + error.signal, [str(error)]
    if isinstance(error, HarnessError):
        return USER_ERROR, [f"error: {line}" for line in str(error).splitlines()]
    if isinstance(error, BrokenPipeError):
        return SIGNALLED + PIPE, []  # the reader, such as `head`, has seen enough
    if isinstance(error, ModuleNotFoundError):
        with suppress(ModuleNotFoundError):
            return USER_ERROR, [f"error: {explained(command, error)}"]
    if (sentence := _sentence(error)) is not None:
        return USER_ERROR, [f"error: {sentence}"]
    said = visible(" ".join(f"{type(error).__name__}: {error}".split()))
    short = said if len(said) <= LENGTH else f"{said[:LENGTH]}..."
    return INTERNAL_ERROR, [f"error: {INTERNAL} ({short}); {_details(error)}"]


def _sentence(error: Exception) -> str | None:
    """The sentence for an error that the machine caused; None for a fault of our own."""
    if type(error).__name__ == "OutOfMemoryError":
        return f"out of GPU memory ({error}); {OUT_OF_MEMORY}"
    if isinstance(error, MemoryError) or "DefaultCPUAllocator: can't allocate" in str(error):
        return f"out of memory; {OUT_OF_CPU_MEMORY}"
    where = getattr(error, "filename", None)
    place = f"{visible(os.fsdecode(where))}: " if isinstance(where, str | bytes) else ""
    if is_full(error):
        return f"{place}the disk is full ({error}); {FULL}"
    return f"{place}{error.strerror}" if isinstance(error, OSError) and place else None


def _details(error: Exception) -> str:
    """Write the traceback to a file, and say to which; with $FMTHARNESS_TRACEBACK it is shown."""
    versions = f"fmtharness {_version()}, Python {platform.python_version()}, {sys.platform}\n"
    text = versions + "".join(traceback.format_exception(error))
    if not os.environ.get("FMTHARNESS_TRACEBACK"):
        name = f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
        for folder in (cache_folder() / "crashes", Path(tempfile.gettempdir())):
            with suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(text, encoding="utf-8", errors="backslashreplace")
                return f"please report it with {folder / name}"
    with suppress(OSError):
        echo(text, err=True)
    return "please report it with the lines above"


def _version() -> str:
    try:
        return importlib.metadata.version("fmtharness")
    except importlib.metadata.PackageNotFoundError:
        return "of a checkout"


def _prepare_streams() -> None:
    """Occupy closed standard streams, and let others show what their encoding cannot hold.

    A file opened later would otherwise get the number of a closed stream, and what is meant for
    the terminal would be written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - until the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _needs_streams() -> None:
    """Raise UserError if standard output is closed, or the current folder is gone."""
    if sys.stdout is None:
        raise UserError("standard output is closed, so that results would be lost; open it again")
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise UserError("the current folder was removed; change to another") from error


def _drop_broken_streams() -> None:
    """Discard what a broken stream still holds; it would break the exit, too."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
