"""`reidkit ranges`: what flows through a network on your camera's crops, as JSON or as TensorRT's calibration cache."""

from __future__ import annotations

from pathlib import Path

import click

from reidkit.calibration.quantization import DEFAULT_OBSERVER, OBSERVERS, CalibrationSet, observe
from reidkit.calibration.quantization.network import Network
from reidkit.calibration.quantization.tensorrt_cache import tensorrt_cache
from reidkit.runtime.artifact.folder import read_artifact
from reidkit.runtime.commands.shell import ReidkitCommand, json_option, print_json, refuse_idle
from reidkit.runtime.errors import InvalidInput
from reidkit.runtime.files import whole_file

_folder = click.Path(file_okay=False, path_type=Path)


@click.command("ranges", cls=ReidkitCommand)
@click.argument("artifact", type=_folder)
@click.option("--calibration", type=_folder, required=True, help="Folder of crops, or a set of reidkit calibrate.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to write.")
@click.option(
    "--tensorrt-cache",
    "tensorrt",
    metavar="VERSION",
    help="Write the calibration cache of this TensorRT, up to 10, in the place of JSON.",
)
@click.option(
    "--observer",
    type=click.Choice(tuple(OBSERVERS)),
    default=DEFAULT_OBSERVER,
    show_default=True,
    help="What decides how far a scale of the cache reaches; the JSON has all of them.",
)
@json_option
def ranges(artifact: Path, calibration: Path, output: Path, tensorrt: str | None, observer: str, as_json: bool) -> None:
    """Observe the float32 ONNX graph of ARTIFACT, of target onnxruntime or a bundle, on a folder of crops.

    `reid-export --precision int8` does it by itself; this is for who quantises by other means.
    """
    if tensorrt is None:
        refuse_idle(["observer"], "without --tensorrt-cache: the JSON has all observers")
    manifest, folder = read_artifact(artifact)
    graphs = [name for name in manifest.files if name.endswith(".onnx")]
    if manifest.precision.built != "fp32" or not graphs:
        raise InvalidInput(
            f"{manifest.name} has no float32 ONNX graph to observe",
            remedy="export one with --target onnxruntime --precision fp32",
        )
    crops = CalibrationSet.read(calibration, manifest.preprocessing)
    seen = observe(Network.read(folder / graphs[0]), crops)
    with whole_file(output) as temporary:
        text = seen.to_json() if tensorrt is None else tensorrt_cache(seen, observer=observer, version=tensorrt)
        temporary.write_text(text, encoding="utf-8")
    if as_json:
        print_json({"output": str(output), "tensors": len(seen.tensors), **crops.to_dict()})
    else:
        click.echo(f"{output}: {len(seen.tensors)} tensors, seen on {len(crops.crops)} crops of {crops.source}")
