"""`reid-export`: a weights file in, an artifact out that has proved itself, or an error and nothing."""

from __future__ import annotations

import sys
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reidkit.calibration.gates.judging import Evidence
from reidkit.calibration.gates.limits import read_limits
from reidkit.calibration.gates.tracking import Recording
from reidkit.calibration.metrics import read_gallery
from reidkit.calibration.quantization import DEFAULT_OBSERVER, OBSERVERS
from reidkit.calibration.quantization.calibration_set import FEW_CROPS, MOST_CROPS
from reidkit.export.backbones import backbones, card_of_factory, find_backbone, use_backbones_of
from reidkit.export.catalogue.known_weights import backbone_of, known_weights
from reidkit.runtime.commands.shell import FiniteRange, ReidkitCommand, json_option, print_json
from reidkit.runtime.files import expect_place
from reidkit.targets import Precision, find_target, targets
from reidkit.targets.target import no_calibration

if TYPE_CHECKING:
    from reidkit.export.choosing import Chosen
    from reidkit.export.ensembles import Ensemble
    from reidkit.export.ensembles.worth import Worth
    from reidkit.export.pipeline import ExportResult

AUTO = "auto"
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
def export(
    model: str | None,
    backbones_file: Path | None,
    module: str | None,
    onnx: Path | None,
    preprocessing: str | None,
    weights: tuple[Path, ...],
    random_weights: bool,
    target: str,
    precision: str,
    output: Path,
    name: str | None,
    batch: tuple[int, ...],
    options: dict[str, str],
    crops: Path | None,
    calibration: Path | None,
    observer: str,
    budget_s: float,
    gate: Path | None,
    sequence: Path | None,
    detections: Path | None,
    thresholds: Path | None,
    allow_slower: bool,
    report: Path | None,
    ensemble_weights: tuple[float, ...] | None,
    width: int | None,
    gallery: Path | None,
    as_json: bool,
) -> None:
    """Compile a re-identification model, compare it with torch, and publish it as an artifact."""
    names = model.split("+") if model else []
    parts = len(names or ([] if module or onnx else weights))
    if sum(given is not None for given in (model, module, onnx)) > 1:
        raise click.UsageError("give one of --model, --module and --onnx")
    if "" in names:
        raise click.UsageError(f"--model {model}: a name is missing beside the +")
    if onnx is not None and (weights or random_weights or backbones_file is not None):
        raise click.UsageError("an --onnx file has its weights inside: give it alone, with --preprocessing")
    if weights and random_weights:
        raise click.UsageError("give --weights FILE or --random-weights, not both")
    if random_weights and model is None and module is None:
        raise click.UsageError("--random-weights needs --model or --module")
    if preprocessing is not None and (parts > 1 or (model is None and module is None and onnx is None)):
        raise click.UsageError("--preprocessing is for --module, --onnx and --model timm:NAME")
    if parts < 2 and len(weights) > 1:
        raise click.UsageError("one network has one --weights FILE; an ensemble is --model NAME+NAME")
    if parts < 2 and (ensemble_weights is not None or width is not None or gallery is not None):
        raise click.UsageError("--ensemble-weights, --width and --gallery are for ensembles: --model NAME+NAME")
    if width is not None and crops is None:
        raise click.UsageError("--width needs --crops FOLDER, along whose axes embeddings are projected")
    if calibration is not None and precision in ("fp32", "fp16", "bf16"):
        raise click.UsageError(f"--calibration is for --precision int8, not {precision}")
    if calibration is not None and not find_target(target).calibrates:
        raise click.UsageError(f"--calibration is not for target {target}: its int8 is scaled by the weights alone")
    if calibration is None and precision == Precision.INT8 and find_target(target).int8_layout is not None:
        raise click.UsageError(str(no_calibration()))
    if detections is not None and sequence is None:
        raise click.UsageError("--detections are of a --sequence")
    if gate is not None:
        read_gallery(gate)  # what is wrong with it is told now, and not after the work
    if report is not None:
        expect_place(report, option="--report")
    evidence = Evidence(
        gallery=gate,
        recording=None if sequence is None else Recording.find(sequence, detections=detections),
        limits=read_limits(thresholds),
        allow_slower=allow_slower,
    )
    if precision == AUTO and parts > 1:
        raise click.UsageError("--precision auto is for one network: name an ensemble's")
    backbones()  # without torch this says so, before anything below imports it
    if backbones_file is not None:
        use_backbones_of(backbones_file)

    from reidkit.export.choosing import export_quickest
    from reidkit.export.ensembles import Ensemble, export_ensemble, find_gallery, load_parts
    from reidkit.export.originals import Original, onnx_original, random_original, trained_original
    from reidkit.export.pipeline import ExportJob
    from reidkit.export.pipeline import export as run
    from reidkit.export.quantizing import Int8Settings

    @cache
    def ensemble() -> Ensemble:
        cards = [find_backbone(backbone_of(name)) for name in names]
        loaded = Ensemble.of(load_parts(cards, weights, names=names, random=random_weights), weights=ensemble_weights)
        return loaded if width is None or crops is None else loaded.projected_on(crops, width=width)

    def original() -> Original:
        if parts > 1:
            return ensemble().original()
        if onnx is not None:
            return onnx_original(onnx, preprocessing=preprocessing)
        card = card_of_factory(module, preprocessing=preprocessing) if module else None
        if model is not None:
            card = find_backbone(backbone_of(model), preprocessing=preprocessing)
        if card is not None and random_weights:
            return random_original(card)
        if model is not None and not weights:
            return trained_original(card, known_weights(model))
        return trained_original(card, *weights)

    job = ExportJob(
        original=original,
        target=target,
        precision=Precision.FP32 if precision == AUTO else Precision(precision),
        output=output,
        name=name,
        batch_sizes=batch,
        options=options,
        crops=crops,
        calibration=calibration,
        int8=Int8Settings(observer=observer, budget_s=budget_s),
        evidence=evidence,
        report=report,
    )
    worth: Worth | None = None
    chosen: Chosen | None = None
    if precision == AUTO:
        chosen = export_quickest(job, progress=_tell)
        result = chosen.result
    elif parts > 1:
        labelled = find_gallery(gallery, crops=crops)
        result, worth = export_ensemble(job, ensemble, count=parts, gallery=labelled, progress=_tell)
    else:
        result = run(job, progress=_tell)
    if as_json:
        about_parts = {} if worth is None else {"ensemble": worth.to_dict()}
        about_choice = {} if chosen is None else {"auto": chosen.to_dict()}
        print_json({**result.to_dict(), **about_parts, **about_choice})
    else:
        more = worth or chosen
        click.echo("\n".join([_summary(result), *(more.lines() if more else [])]))


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
