"""What all commands share: typed errors as one line and an exit code, `--json`, a progress line, a way to stop."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType
from typing import Any, NoReturn, TypeVar

import click

from reidkit.runtime.errors import GateFailure, ReidkitError

INTERRUPTED = 130  # exit code of a command that was asked to stop and kept what it had

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
    """A click command that ends a `ReidkitError` as one line (or one JSON object) and the error's exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command's function."""
        try:
            return super().invoke(ctx)
        except ReidkitError as error:
            _leave(error, as_json=bool(ctx.params.get("as_json")))
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(1) from None


def _leave(error: ReidkitError, *, as_json: bool) -> NoReturn:
    if as_json:
        report = {"type": type(error).__name__, "message": error.message, "remedy": error.remedy}
        figures = error.report if isinstance(error, GateFailure) else {}
        print_json({**figures, "error": report})
    else:
        click.echo(f"error: {' '.join(str(error).split())}", err=True)
    raise SystemExit(error.exit_code)


def print_json(report: dict[str, Any]) -> None:
    """Print one JSON object; a NaN in it is a bug and raises."""
    click.echo(json.dumps(report, indent=2, allow_nan=False))


@contextmanager
def stop_signals() -> Iterator[Event]:
    """An event that is set by Ctrl-C or a request to terminate; a second one ends the process the usual way."""
    stop = Event()

    def stop_soon(number: int, _: FrameType | None) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, stop_soon)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class ProgressLine:
    """One line on stderr, written over and over while a ``with`` block runs; nothing where stderr is no terminal.

    Attributes:
        shows: whether there is a terminal to see it.
    """

    def __init__(self) -> None:
        self.shows = sys.stderr.isatty()

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        self.write("")

    def write(self, text: str) -> None:
        """Put `text` in place of what stands there."""
        if self.shows:
            click.echo(f"\r\033[K{text}", err=True, nl=False)
