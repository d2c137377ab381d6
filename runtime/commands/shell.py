"""What all commands share: typed errors as one line and an exit code, and `--json` for machines."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import click

from reidkit.runtime.errors import GateFailure, ReidkitError

Function = TypeVar("Function", bound=Callable[..., Any])

json_option: Callable[[Function], Function] = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object instead of text."
)


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
