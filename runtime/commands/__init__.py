"""The `reidkit` command: a group whose members register in the entry-point group `reidkit.commands`."""

from __future__ import annotations

from importlib.metadata import entry_points, version

import click


class _Commands(click.Group):
    """Commands found among the installed entry points, each imported only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all registered commands."""
        return sorted(entry.name for entry in entry_points(group="reidkit.commands"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        for entry in entry_points(group="reidkit.commands", name=cmd_name):
            command: click.Command = entry.load()
            return command
        return None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("reidkit"), prog_name="reidkit")
def main() -> None:
    """Compile person re-identification models for edge boxes, prove them, and track people with them."""
