"""What all commands have in common: how errors are shown, and which options are refused.

    fmtharness eval --adapter a --adapter b   ->  error: --adapter is given twice; give it once

A flag may be repeated, and so may options that are meant to be, such as --evaluator.
"""

from __future__ import annotations

import signal
import traceback
from collections import Counter
from typing import Any

import click

from harness.commands.output import echo, reserved
from harness.errors import HarnessError, StoppedError, UserError
from harness.files import is_full
from harness.requirements import explained
from harness.text import printable

USER_ERROR, INTERNAL_ERROR, SIGNALLED = 2, 4, 128
OUT_OF_MEMORY = "raise model.memory_limit, take a smaller model, or end what else uses the GPU"
FULL = "free some space, or choose another disk with --out (FMTHARNESS_CACHE for models)"
INTERNAL = "this is a fault of fmtharness, or of a plugin; please report the lines above"


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
    """Renders every intended error as one sentence on standard error."""

    command_class = Command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except StoppedError as error:
            echo(str(error), err=True)
            ctx.exit(SIGNALLED + error.signal)
        except HarnessError as error:
            for line in str(error).split("\n"):
                echo(f"error: {line}", err=True)
            ctx.exit(USER_ERROR)
        except ModuleNotFoundError as error:
            echo(f"error: {explained(ctx.invoked_subcommand, error)}", err=True)
            ctx.exit(USER_ERROR)
        except click.ClickException as error:
            error.message = printable(error.message)  # type: ignore[misc]
            raise
        except (click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise  # click ends the process by these
        except Exception as error:
            if (sentence := _sentence(error)) is None:
                echo(traceback.format_exc(), err=True)
                echo(f"error: {INTERNAL}", err=True)
                ctx.exit(INTERNAL_ERROR)
            echo(f"error: {sentence}", err=True)
            ctx.exit(USER_ERROR)
        except KeyboardInterrupt:
            echo("interrupted; the same command goes on where this one ended", err=True)
            ctx.exit(SIGNALLED + signal.SIGINT)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order of use, not of the alphabet


def _sentence(error: Exception) -> str | None:
    """What to tell of an error that the machine is the cause of; None for a fault of our own."""
    if type(error).__name__ == "OutOfMemoryError":
        return f"out of GPU memory ({error}); {OUT_OF_MEMORY}"
    where = getattr(error, "filename", None)
    place = f"{where}: " if where else ""
    if is_full(error):
        return f"{place}the disk is full ({error}); {FULL}"
    return f"{place}{error.strerror}" if isinstance(error, OSError) and place else None
