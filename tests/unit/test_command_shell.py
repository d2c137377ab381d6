"""What all commands share: where help is to be had, and how they end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from importlib.metadata import EntryPoint, entry_points

import click
import pytest
from click.testing import CliRunner

from reidkit.runtime.commands.shell import ReidkitCommand, json_option, stop_signals
from reidkit.runtime.errors import Interrupted

COMMANDS = sorted(entry_points(group="reidkit.commands"), key=lambda entry: entry.name)


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: entry.name)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_command_helps(entry: EntryPoint, option: str) -> None:
    done = CliRunner().invoke(entry.load(), [option])
    assert done.exit_code == 0, done.output
    assert "-h, --help" in done.stdout


@pytest.mark.parametrize(
    ("error", "message", "remedy"),
    [(None, "interrupted", ""), (Interrupted("stopped at once", remedy="let it run"), "stopped at once", "let it run")],
    ids=str,
)
def test_ctrl_c_is_told_as_every_end_is(error: Interrupted | None, message: str, remedy: str) -> None:
    @click.command(cls=ReidkitCommand)
    @json_option
    def command(as_json: bool) -> None:
        if error is not None:
            raise error
        signal.raise_signal(signal.SIGINT)

    done = CliRunner().invoke(command)
    assert (done.exit_code, done.stdout) == (130, "")
    assert done.stderr == ": ".join(filter(None, [message, remedy])) + "\n"
    done = CliRunner().invoke(command, ["--json"])
    assert (done.exit_code, done.stderr) == (130, "")
    assert json.loads(done.stdout) == {"error": {"type": "Interrupted", "message": message, "remedy": remedy}}


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_at_once_whichever_was_the_first(first: signal.Signals) -> None:
    with stop_signals() as stop:
        signal.raise_signal(first)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_shell_may_close_the_error_output() -> None:
    program = "from reidkit.runtime.commands.shell import ProgressLine\nwith ProgressLine() as line: print(line.shows)"
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, program], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "False\n")
