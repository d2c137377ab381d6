"""`reid-export`: a weights file in, an artifact out that has proved itself, or an error and nothing."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reidkit.export.backbones import backbones, find_backbone
from reidkit.runtime.commands.shell import ReidkitCommand, json_option, print_json
from reidkit.targets import Precision, targets

if TYPE_CHECKING:
    from reidkit.export.pipeline import ExportResult


@click.command("export", cls=ReidkitCommand)
@click.option("--model", help="Backbone; may be left out where the weights tell it.  [default: osnet_x0_25]")
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    help="Checkpoint: .pt, .pth, .pth.tar or .safetensors.  [default: embedded]",
)
@click.option("--random-weights", is_flag=True, help="No checkpoint: random weights, to try a target out.")
@click.option("--target", required=True, help=f"What to build for: {', '.join(targets())}.")
@click.option(
    "--precision",
    type=click.Choice([str(precision) for precision in Precision]),
    metavar="PRECISION",
    default=str(Precision.FP32),
    show_default=True,
    help="What the engine computes in, if the target offers it.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder in which the artifact's own folder is made.",
)
@click.option("--name", help="Name of the artifact's folder.  [default: MODEL-TARGET-PRECISION]")
@click.option("--batch", type=click.IntRange(min=1), default=8, show_default=True, help="Most crops taken at once.")
@click.option(
    "--crops", type=click.Path(path_type=Path), help="Folder of real crops to check with.  [default: rendered ones]"
)
@json_option
def export(
    model: str | None,
    weights: Path | None,
    random_weights: bool,
    target: str,
    precision: str,
    output: Path,
    name: str | None,
    batch: int,
    crops: Path | None,
    as_json: bool,
) -> None:
    """Compile a re-identification model, compare it with torch, and publish it as an artifact."""
    if weights is not None and random_weights:
        raise click.UsageError("give --weights FILE or --random-weights, not both")
    if model is None and random_weights:
        raise click.UsageError("--random-weights needs --model")
    backbones()  # without torch this says so, before anything below imports it
    card = find_backbone(model) if model is not None else None

    from reidkit.export.originals import random_original, trained_original
    from reidkit.export.pipeline import ExportJob
    from reidkit.export.pipeline import export as run

    job = ExportJob(
        original=partial(random_original, card)
        if card and random_weights
        else partial(trained_original, card, weights),
        target=target,
        precision=Precision(precision),
        output=output,
        name=name,
        max_batch=batch,
        crops=crops,
    )
    result = run(job, progress=_tell)
    if as_json:
        print_json(result.to_dict())
    else:
        click.echo(_summary(result))


def _tell(stage: str) -> None:
    if sys.stderr.isatty():
        click.secho(f"  {stage} …", err=True, dim=True)


def _summary(result: ExportResult) -> str:
    manifest, parity, gate = result.manifest, result.verdict.parity, result.verdict.gate
    backbone, weights = manifest.backbone, manifest.backbone.weights
    source = {"file": weights.file, "embedded": f"embedded {weights.file}", "random": "random weights"}[weights.source]
    dropped = f", without its {', '.join(weights.dropped_keys)}" if weights.dropped_keys else ""
    size = sum(file.bytes for file in manifest.files.values())
    batches = " and ".join(str(batch) for batch in manifest.parity["batches"])
    return "\n".join(
        [
            str(result.artifact),
            f"  model   {backbone.name} from {source}{dropped}",
            f"          {backbone.parameters / 1e6:.2f} M parameters, embeddings {manifest.embedding.dim} wide",
            f"  engine  {manifest.target} {manifest.precision.built}, up to {manifest.batch.max} crops at once, "
            f"{size / 1e6:.1f} MB",
            f"  parity  {parity.crops} crops ({manifest.parity['source']}), {batches} at a time: worst cosine "
            f"{parity.cosine_min:.7f}, lengths within {parity.norm_ratio_max_deviation:.1g}",
            f"  gate    {gate.name} {gate.status}: {gate.measure} at least {gate.limit:g}",
        ]
    )
