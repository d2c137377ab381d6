"""What all commands share: typed errors as one line and an exit code, `--json`, a progress line, a way to stop."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from threading import Event
from traceback import walk_tb
from types import FrameType
from typing import Any, NoReturn, TypeVar

import click
from click.core import ParameterSource

from reidkit.runtime.errors import GateFailure, Interrupted, ReidkitError

INTERRUPTED = Interrupted.exit_code  # also of a command that was asked to stop and kept what it had

Function = TypeVar("Function", bound=Callable[..., Any])

json_option: Callable[[Function], Function] = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object instead of text."
)


class FiniteRange(click.FloatRange):
    """The type of an option that is a number; of click's own ranges nan is a part, and of open ones infinity."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; a value that is none, or not in the range, is a usage error."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return float(number)


class ReidkitCommand(click.Command):
    """A click command that ends an error as one line, or one JSON object, and with the error's exit code; -h helps."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.context_settings.setdefault("help_option_names", ["-h", "--help"])

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """The context of a command line."""
        with errors_told(as_json="--json" in args):
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command's function."""
        with errors_told(as_json=bool(ctx.params.get("as_json"))):
            return super().invoke(ctx)


def refuse_idle(options: Collection[str], why: str) -> None:
    """Raise a usage error if any of the running command's parameters `options` is given: it would change nothing."""
    context = click.get_current_context()
    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name in options and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise click.UsageError(f"{', '.join(given)} can change nothing {why}")


@contextmanager
def errors_told(*, as_json: bool) -> Iterator[None]:
    """Leave with the exit code of an error that a user can meet; where what is printed finds no taker, with 1."""
    try:
        try:
            yield
        except ReidkitError as error:
            _leave(error, as_json=as_json)
        except KeyboardInterrupt:
            _leave(Interrupted("interrupted"), as_json=as_json)
        except click.UsageError as error:
            if not as_json:
                raise
            path = error.ctx.command_path if error.ctx else "reidkit"
            _print_error(type(error).__name__, error.format_message(), remedy=f"see {path} --help")
            raise SystemExit(error.exit_code) from None
    except OSError as error:
        if not _came_of_printing(error):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it once more as it ends
        if not isinstance(error, BrokenPipeError):
            with suppress(OSError):
                click.echo(f"error: cannot write to standard output ({error.strerror})", err=True)
        raise SystemExit(1) from None


def _came_of_printing(error: OSError) -> bool:
    """Whether it was raised where a command prints."""
    *_, (frame, _) = walk_tb(error.__traceback__)
    return frame.f_code is click.echo.__code__


def _leave(error: ReidkitError, *, as_json: bool) -> NoReturn:
    if as_json:
        figures = error.report if isinstance(error, GateFailure) else {}
        _print_error(type(error).__name__, error.message, remedy=error.remedy, **figures)
    else:
        text = " ".join(str(error).split())
        click.echo(text if isinstance(error, Interrupted) else f"error: {text}", err=True)
    raise SystemExit(error.exit_code)


def _print_error(kind: str, message: str, *, remedy: str, **figures: Any) -> None:
    print_json({**figures, "error": {"type": kind, "message": message, "remedy": remedy}})


def print_json(report: dict[str, Any]) -> None:
    """Print one JSON object; a NaN in it is a bug and raises."""
    click.echo(json.dumps(report, indent=2, allow_nan=False))


@contextmanager
def stop_signals() -> Iterator[Event]:
    """An event that is set by Ctrl-C or a request to terminate; a second one ends the process the usual way."""
    stop = Event()

    def stop_soon(_: int, __: FrameType | None) -> None:
        stop.set()
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, stop_soon)
    try:
        yield stop
    finally:
        restore()


class ProgressLine:
    """One line on stderr, written over and over while a ``with`` block runs; nothing where stderr is no terminal.

    Attributes:
        shows: whether there is a terminal to see it.
    """

    def __init__(self) -> None:
        self.shows = sys.stderr is not None and sys.stderr.isatty()  # None where a shell closed it: 2>&-

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        self.write("")

    def write(self, text: str) -> None:
        """Put `text` in place of what stands there."""
        if self.shows:
            click.echo(f"\r\033[K{text}", err=True, nl=False)
