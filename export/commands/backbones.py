"""`reidkit backbones`: what every network costs, measured."""

from __future__ import annotations

from pathlib import Path

import click

from reidkit.export import backbones as networks
from reidkit.runtime.commands.shell import ProgressLine, ReidkitCommand, json_option, print_json
from reidkit.runtime.files import whole_file

_file = click.Path(dir_okay=False, path_type=Path)


@click.command("backbones", cls=ReidkitCommand)
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--table", type=_file, help="Write a Markdown page, e.g. docs/backbones.md.")
@click.option("--measured", type=_file, help="Write what the catalogue reads: export/catalogue/measured.json.")
@click.option("--no-export", is_flag=True, help="Only count, without ONNX sizes and times: a matter of seconds.")
@json_option
def backbones(
    names: tuple[str, ...], table: Path | None, measured: Path | None, no_export: bool, as_json: bool
) -> None:
    """Measure parameters, multiplications, width, ONNX size and export time of every backbone.

    Weights are random. The largest needs some 8 GB of memory, all of them some minutes; name a few to measure only
    those.
    """
    cards = [networks.find_backbone(name) for name in names] or list(networks.backbones().values())

    from reidkit.export.survey import markdown, survey

    with ProgressLine() as line:
        found = survey(cards, export=not no_export, progress=lambda name: line.write(f"{name} …"))
    if measured is not None:
        found.write(measured)
    page = markdown(found)
    if table is not None:
        with whole_file(table) as temporary:
            temporary.write_text(page, encoding="utf-8")
    if as_json:
        print_json(found.to_dict())
    elif table is None:
        click.echo(page, nl=False)
    else:
        click.echo(str(table))
