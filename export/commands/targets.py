"""`reidkit targets`: what every target makes of every network, tried."""

from __future__ import annotations

from pathlib import Path

import click

from reidkit.export import backbones as networks
from reidkit.runtime.commands.shell import ProgressLine, ReidkitCommand, json_option, print_json
from reidkit.runtime.errors import InvalidInput
from reidkit.runtime.files import expect_place, whole_file
from reidkit.targets import Precision, find_target
from reidkit.targets import targets as all_targets

_file = click.Path(dir_okay=False, path_type=Path)


@click.command("targets", cls=ReidkitCommand)
@click.argument("names", metavar="[BACKBONE]...", nargs=-1)
@click.option("--target", "target_names", multiple=True, help="Only this one; may be given several times.")
@click.option("--precision", "precisions", type=click.Choice([*map(str, Precision)]), multiple=True, help="The same.")
@click.option("--crops", type=click.Path(path_type=Path), help="Folder of real crops.  [default: rendered ones]")
@click.option("--measured", type=_file, help="Go on from this file and keep what is found in it: docs/targets.json.")
@click.option("--again", is_flag=True, help="Try also what that file has already.")
@click.option("--table", type=_file, help="Write a Markdown page: docs/targets.md.")
@json_option
def targets(
    names: tuple[str, ...],
    target_names: tuple[str, ...],
    precisions: tuple[str, ...],
    crops: Path | None,
    measured: Path | None,
    again: bool,
    table: Path | None,
    as_json: bool,
) -> None:
    """Export networks to every target in every precision, and say which build and run here.

    Without names the ten listed networks and the embedded one, which takes hours and, for the largest, some 8 GB of
    memory; what --measured has already is not tried again, so that it can be interrupted.
    """
    chosen = [find_target(name) for name in target_names or all_targets()]
    networks.backbones()  # without torch this says so, before anything below imports it

    from dataclasses import asdict

    from reidkit.export.trials import BACKBONES, Trials, try_targets
    from reidkit.export.trials_page import markdown
    from reidkit.runtime.latencies import this_machine

    for option, file in (("--measured", measured), ("--table", table)):
        if file is not None:
            expect_place(file, option=option)
    if precisions and not any(str(each) in precisions for target in chosen for each in target.precisions):
        raise InvalidInput(
            f"{' and '.join(target.name for target in chosen)} offer no {' and no '.join(precisions)}",
            remedy="reidkit doctor says what each target offers",
        )
    cards = [networks.find_backbone(name) for name in names or BACKBONES]
    found = Trials(machine=this_machine(), trials={}) if measured is None else Trials.read(measured)
    with ProgressLine() as line:
        for card in cards:
            wanted = [
                (target, precision)
                for target in chosen
                for precision in Precision
                if precision in target.precisions
                and str(precision) in (precisions or map(str, Precision))
                and (again or (card.name, target.name, str(precision)) not in found.trials)
            ]
            for trial in try_targets(card, wanted, crops=crops, progress=line.write) if wanted else ():
                found = found.with_one(trial, machine=this_machine())
                if measured is not None:
                    found.write(measured)
    page = markdown(found)
    if table is not None:
        with whole_file(table) as temporary:
            temporary.write_text(page, encoding="utf-8")
    if as_json:
        print_json({"machine": found.machine, "trials": [asdict(each) for each in found.trials.values()]})
    elif table is None:
        click.echo(page, nl=False)
    else:
        click.echo(str(table))
