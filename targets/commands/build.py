"""`reidkit build`: a bundle in, an artifact with an engine for this box out."""

from __future__ import annotations

from pathlib import Path

import click

from reidkit.runtime.commands.shell import ReidkitCommand, json_option, print_json
from reidkit.targets._bundle import BuildResult, build_bundle


@click.command("build", cls=ReidkitCommand)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder in which the artifact's own folder is made.  [default: the bundle itself is made one]",
)
@click.option("--device", default="auto", show_default=True, help="Which of this box's to build for, such as cuda:1.")
@click.option("--again", is_flag=True, help="Build even if there is an engine that fits this box.")
@json_option
def build(bundle: Path, output: Path | None, device: str, again: bool, as_json: bool) -> None:
    """Build the engine of an artifact on the box that is to run it.

    Builds nothing where an engine is there that fits this box's library and device. What is built embeds the
    artifact's golden crops, and is kept only if the embeddings are right. What was wrong with an engine that was there
    is said.
    """
    result = build_bundle(bundle, output=output, device=device, again=again)
    if as_json:
        print_json(_report(result))
    else:
        click.echo(_text(result))


def _report(result: BuildResult) -> dict[str, object]:
    manifest = result.manifest
    return {
        "artifact": str(result.artifact),
        "built": result.is_new,
        "because": result.because,
        "engine_file": manifest.engine_file,
        "precision_built": manifest.precision.built,
        "toolchain": manifest.toolchain,
    }


def _text(result: BuildResult) -> str:
    manifest = result.manifest
    size = manifest.files[manifest.engine_file].bytes / 1e6
    state = "built" if result.is_new else "fits this box as it is"
    because = f", since {result.because}" if result.because else ""
    engine = f"{manifest.engine_file}, {manifest.precision.built}, {size:.1f} MB"
    return f"{result.artifact}\n  engine  {engine}: {state}{because}"
