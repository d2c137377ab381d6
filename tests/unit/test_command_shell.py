"""What all commands share: where help is to be had, and how they end."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

import pytest
from click.testing import CliRunner

COMMANDS = sorted(entry_points(group="reidkit.commands"), key=lambda entry: entry.name)


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: entry.name)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_command_helps(entry: EntryPoint, option: str) -> None:
    done = CliRunner().invoke(entry.load(), [option])
    assert done.exit_code == 0, done.output
    assert "-h, --help" in done.stdout
