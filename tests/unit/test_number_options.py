"""Numbers on the command line: what click takes for one and nobody can compute with is refused at the door."""

from __future__ import annotations

from importlib.metadata import entry_points

import click
import pytest
from click.testing import CliRunner

from reidkit.runtime.commands.explain import explain_settings
from reidkit.runtime.commands.shell import FiniteRange

COMMANDS = sorted(entry_points(group="reidkit.commands"), key=lambda entry: entry.name)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "-1", "ten"])
def test_what_is_no_number_in_the_range_is_a_usage_error(text: str) -> None:
    with pytest.raises(click.BadParameter, match=text):
        FiniteRange(min=0).convert(text, None, None)
    result = CliRunner().invoke(explain_settings, ["--fps", text])
    assert result.exit_code == 2
    assert "--fps" in result.output


def test_a_number_in_the_range_is_itself() -> None:
    assert FiniteRange(min=0, max=1).convert("0.25", None, None) == 0.25


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: entry.name)
def test_every_range_of_every_command_is_finite(entry: object) -> None:
    command = entry.load()  # type: ignore[attr-defined]
    ranges = {option.name: type(option.type) for option in command.params if isinstance(option.type, click.FloatRange)}
    assert ranges == dict.fromkeys(ranges, FiniteRange)
