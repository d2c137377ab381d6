"""`reid-export`: a weights file in, an artifact out that has proved itself, or an error and nothing."""

from __future__ import annotations

import sys
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reidkit.calibration.quantization import DEFAULT_OBSERVER, OBSERVERS
from reidkit.calibration.quantization.calibration_set import FEW_CROPS, MOST_CROPS
from reidkit.export.backbones import backbones, use_backbones_of
from reidkit.export.request import AUTO, Request
from reidkit.runtime.commands.shell import FiniteRange, ReidkitCommand, json_option, print_json
from reidkit.targets import Precision, targets

if TYPE_CHECKING:
    from reidkit.export.choosing import Chosen
    from reidkit.export.ensembles.worth import Worth
    from reidkit.export.pipeline import ExportResult

_LARGEST_BATCH = 4096
_file = click.Path(path_type=Path)


def _batch_sizes(_: click.Context, parameter: click.Parameter, text: str) -> tuple[int, ...]:
    sizes = tuple(int(size) if size.isdecimal() else 0 for size in text.split(","))
    if sizes[0] < 1 or sizes[-1] > _LARGEST_BATCH or any(size >= following for size, following in pairwise(sizes)):
        asked = f"give a number from 1 to {_LARGEST_BATCH}, or several, ascending: 1,8,32"
        raise click.BadParameter(asked, param=parameter)
    return sizes


def _options(_: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    given = [text.partition("=") for text in texts]
    if wrong := [name for name, equals, _ in given if not (name and equals)]:
        raise click.BadParameter(f"'{wrong[0]}' is not of the form NAME=VALUE", param=parameter)
    return {name: value for name, _, value in given}


def _numbers(_: click.Context, parameter: click.Parameter, text: str | None) -> tuple[float, ...] | None:
    try:
        return None if text is None else tuple(float(number) for number in text.split(","))
    except ValueError as error:
        raise click.BadParameter("give a number for each part: 1,0.5", param=parameter) from error


@click.command("export", cls=ReidkitCommand)
@click.option(
    "--model",
    help="Backbone, or a model of reid-models, or timm:NAME; several, joined by +, for an ensemble; may be left out "
    "where the weights tell it.",
)
@click.option(
    "--backbones", "backbones_file", type=_file, help="A .py file of yours that defines CARDS: more backbones."
)
@click.option("--module", help="A network of yours: package.module:function, which returns it.")
@click.option("--onnx", type=_file, help="A network of yours that is an ONNX file already.")
@click.option(
    "--preprocessing",
    help="What the input of a --module, --onnx or timm network holds: a .json or .yaml file, or e.g. "
    "rgb-imagenet-256x128, bgr-0-255-256x128.",
)
@click.option(
    "--weights",
    type=_file,
    multiple=True,
    help="Checkpoint: .pt, .pth, .pth.tar or .safetensors; of an ensemble one for each part, in their order.  "
    "[default: those of the model, embedded or downloaded]",
)
@click.option("--random-weights", is_flag=True, help="No checkpoint: random weights, to try a target out.")
@click.option("--target", required=True, help=f"What to build for: {', '.join(targets())}.")
@click.option(
    "--precision",
    type=click.Choice([*map(str, Precision), AUTO]),
    metavar="PRECISION",
    default=str(Precision.FP32),
    show_default=True,
    help="What the engine computes in, if the target offers it; auto: what passes the gates and is quickest here.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder in which the artifact's own folder is made.",
)
@click.option("--name", help="Name of the artifact's folder.  [default: MODEL-TARGET-PRECISION]")
@click.option(
    "--batch",
    callback=_batch_sizes,
    metavar="N[,N…]",
    default="8",
    show_default=True,
    help="Most crops taken at once, or the sizes to build for: for TensorRT MIN,OPT,MAX.",
)
@click.option(
    "--option",
    "options",
    callback=_options,
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of the target's own. coreml: input=array|image; litert: int8=full|dynamic; openvino: "
    "performance=latency|throughput; tensorrt: workspace_mib=N, dla=CORE, version_compatible=yes, "
    "hardware_compatible=yes; tensorrt_rtx: workspace_mib=N, compute_capability=8.6,8.9.",
)
@click.option(
    "--crops", type=click.Path(path_type=Path), help="Folder of real crops to check with.  [default: rendered ones]"
)
@click.option(
    "--calibration",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of your camera's crops, or a set of reidkit calibrate, by which int8 is scaled.",
)
@click.option(
    "--observer",
    type=click.Choice(tuple(OBSERVERS)),
    default=DEFAULT_OBSERVER,
    show_default=True,
    help="What decides how far int8 reaches, for targets that are fed our graph.",
)
@click.option(
    "--budget",
    "budget_s",
    type=FiniteRange(min=0),
    default=600,
    show_default=True,
    metavar="SECONDS",
    help="Most time to search for layers that have to stay in float.",
)
@click.option(
    "--gate",
    "gate",
    type=click.Path(path_type=Path),
    help="Folder of crops named as Market-1501's: refuse what finds fewer of its people again.",
)
@click.option(
    "--sequence",
    type=click.Path(path_type=Path),
    help="Video or MOTChallenge folder: refuse what makes the tracker decide otherwise in it.",
)
@click.option("--detections", type=click.Path(path_type=Path), help="People in --sequence.  [default: its det/det.txt]")
@click.option(
    "--thresholds", type=click.Path(path_type=Path), help="YAML file with other limits than the packaged ones."
)
@click.option("--allow-slower", is_flag=True, help="Do not refuse int8 that is slower than float on this box.")
@click.option(
    "--report", type=click.Path(path_type=Path), help="Also write a page to look at: one self-contained HTML file."
)
@click.option(
    "--ensemble-weights",
    callback=_numbers,
    metavar="W,W…",
    help="What each part of an ensemble counts.  [default: 1 each]",
)
@click.option(
    "--width", type=click.IntRange(min=1), help="Project an ensemble's embedding to this width, along axes of --crops."
)
@click.option(
    "--gallery",
    type=click.Path(path_type=Path),
    help="Labelled crops, to compare an ensemble with its parts.  [default: --crops, where names tell who it is]",
)
@json_option
def export(as_json: bool, **given: Any) -> None:
    """Compile a re-identification model, compare it with torch, and publish it as an artifact."""
    request = Request(**given)
    request.expect_consistent()
    evidence = request.evidence()
    backbones()  # without torch this says so, before anything below imports it
    if request.backbones_file is not None:
        use_backbones_of(request.backbones_file)

    from reidkit.export.choosing import export_quickest
    from reidkit.export.ensembles import export_ensemble, find_gallery
    from reidkit.export.pipeline import export as run

    more: dict[str, Chosen | Worth] = {}
    if request.is_auto:
        more["auto"] = chosen = export_quickest(request.job(request.original, evidence), progress=_tell)
        result = chosen.result
    elif request.parts > 1:
        ensemble = cache(request.ensemble)
        job = request.job(lambda: ensemble().original(), evidence)
        gallery = find_gallery(request.gallery, crops=request.crops)
        result, more["ensemble"] = export_ensemble(job, ensemble, count=request.parts, gallery=gallery, progress=_tell)
    else:
        result = run(request.job(request.original, evidence), progress=_tell)
    if as_json:
        print_json({**result.to_dict(), **{key: about.to_dict() for key, about in more.items()}})
    else:
        click.echo("\n".join([_summary(result), *(line for about in more.values() for line in about.lines())]))


def _tell(stage: str) -> None:
    if sys.stderr is not None and sys.stderr.isatty():
        click.secho(f"  {stage} …", err=True, dim=True)


def _summary(result: ExportResult) -> str:
    manifest, parity = result.manifest, result.manifest.parity
    backbone, weights = manifest.backbone, manifest.backbone.weights
    source = {"file": "", "random": "random weights"}.get(weights.source, f"{weights.source} ") + (weights.file or "")
    dropped = f", without its {', '.join(weights.dropped_keys)}" if weights.dropped_keys else ""
    size = sum(file.bytes for file in manifest.files.values())
    batches = " and ".join(str(batch) for batch in parity["batches"])
    unbuilt = "" if manifest.is_built else "; its engine is built on the box, by reidkit build"
    scaled = manifest.calibration
    few = f": few, {MOST_CROPS} of many people are better" if scaled and scaled["crops"] < FEW_CROPS else ""
    judged = {"engine": "", "graph": " (the ONNX graph: no engine was run here)"}
    unrun = judged.get(parity["judged"], f" (its {parity['judged']})")
    return "\n".join(
        [
            str(result.artifact),
            f"  model   {backbone.name} from {source}{dropped}",
            f"          {backbone.parameters / 1e6:.2f} M parameters, embeddings {manifest.embedding.dim} wide",
            f"  {'engine' if manifest.is_built else 'bundle'}  {manifest.target} {manifest.precision.built}, "
            f"up to {manifest.batch.max} crops at once, {size / 1e6:.1f} MB{unbuilt}",
            f"  parity  {parity['crops']} crops ({parity['source']}), {batches} at a time: worst cosine "
            f"{parity['cosine_min']:.7f}, lengths within {parity['norm_ratio_max_deviation']:.1g}{unrun}",
            *([f"  int8    scaled by {scaled['crops']} crops of {scaled['source']}{few}"] if scaled else []),
            *result.verdict.lines(),
        ]
    )
