"""The `reidkit` command: a group whose members register in the entry-point group `reidkit.commands`."""

from __future__ import annotations

from importlib.metadata import entry_points, version

import click

from reidkit.runtime.commands.shell import errors_told


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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments begin with; one that there is not is a usage error."""
        with errors_told(as_json="--json" in args):
            return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("reidkit"), prog_name="reidkit")
def main() -> None:
    """Compile person re-identification models for edge boxes, prove them, and track people with them."""
