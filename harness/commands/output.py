"""What a command prints: only `echo` and `echo_json` write to standard output.

    with reserved():
        print("from a plugin")      goes to standard error
        echo("1 text: passed")      goes to standard output

All of it is printable: nothing from a file, a model or a plugin reaches a terminal unescaped.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any, TextIO

import click

from fmtharness.harness.text import Shown, json_line, printable

STDOUT = ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
_reserved: list[TextIO] = []


def stdout() -> TextIO | None:
    """Standard output, which is None if it is closed."""
    return _reserved[-1] if _reserved else sys.stdout


def echo(text: str = "", *, err: bool = False, colors: bool = False) -> None:
    """Print a text of ours, whatever it quotes."""
    stream = sys.stderr if err else stdout()
    encoding = getattr(stream, "encoding", None) or "utf-8"
    click.echo(printable(text, encoding, colors=colors), file=stream, color=colors or None)


def echo_json(document: Any) -> None:
    """Print one JSON document."""
    click.echo(json_line(document), file=stdout())


def opened_as(path: Path) -> Path:
    """The path of a file to write; /dev/stdout is standard output even while that is reserved."""
    stream = stdout()
    if stream is None or stream is sys.stdout or str(path) not in STDOUT:
        return path
    return Path(f"/dev/fd/{stream.fileno()}")


@contextmanager
def reserved() -> Iterator[None]:
    """Inside, what anyone else prints goes to standard error, also what a process started here."""
    if sys.stdout is None or sys.stderr is None:
        yield
        return
    shown: Any = Shown(sys.stderr)
    with _own_file(sys.stdout) as own, redirect_stdout(shown), redirect_stderr(shown):
        _reserved.append(own)
        try:
            yield
        finally:
            _reserved.pop()


@contextmanager
def _own_file(stream: TextIO) -> Iterator[TextIO]:
    """Standard output's file under another number, with 1 for standard error meanwhile."""
    if stream is not sys.__stdout__ or sys.stderr is not sys.__stderr__:
        yield stream  # a test or a notebook has replaced it
        return
    stream.flush()
    saved = os.dup(1)
    os.dup2(2, 1)
    own = os.fdopen(saved, "w", encoding=stream.encoding, errors=stream.errors)
    try:
        yield own
    finally:
        with suppress(OSError):  # nobody reads any more
            own.flush()
        os.dup2(saved, 1)
        with suppress(OSError):
            own.close()
