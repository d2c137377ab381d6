"""A bundle, made into an artifact with an engine on the box that is to run it.

    bundle: graph.onnx, recipe.json, golden.npz ─ target ─ engine ─ self-check ─ published in its place, vouched for

Where the library or the device has changed since, the same is done again.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass, replace
from pathlib import Path

from reidkit.runtime.artifact.digests import read_checked, record_files
from reidkit.runtime.artifact.folder import GOLDEN_FILE, read_artifact, read_golden, write_manifest
from reidkit.runtime.artifact.manifest import Manifest
from reidkit.runtime.artifact.publication import publication
from reidkit.runtime.artifact.recipe import RECIPE_FILE, Recipe, read_recipe
from reidkit.runtime.artifact.trust import vouch
from reidkit.runtime.engines import EngineBase, engines, open_artifact, self_check
from reidkit.runtime.errors import (
    ArtifactInvalid,
    ArtifactUntrusted,
    EngineFailure,
    EngineNotBuilt,
    ExportFailure,
    InvalidInput,
    TargetUnavailable,
)
from reidkit.runtime.latencies import processor
from reidkit.targets import find_target
from reidkit.targets.target import BuildJob, Precision, Target, read_options


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """An artifact whose engine fits this box.

    Attributes:
        artifact: its folder.
        manifest: what it says of itself.
        is_new: whether it was built now; otherwise what was there fits.
        because: what is wrong with the engine that was there; None where there was none, or it fits, or nobody asked.
    """

    artifact: Path
    manifest: Manifest
    is_new: bool
    because: str | None = None


def build_bundle(
    path: str | Path, *, output: Path | None = None, device: str = "auto", again: bool = False
) -> BuildResult:
    """Build the engine of the artifact at `path` for a device of this box, unless one is there that fits.

    Args:
        path: the folder of a bundle, or of an artifact that carries its recipe.
        output: folder in which the artifact's own folder is made; None to put it in the place of the bundle.
        device: as for `open_artifact`.
        again: build even if an engine fits.

    Raises:
        ArtifactInvalid: the bundle is incomplete or altered, or of a precision that this version does not know.
        InvalidInput: the artifact carries no recipe, or one with options that the target does not have; or what is at
            `output` is no artifact; or there is no such device.
        TargetUnavailable: the target cannot build here, or what it builds cannot run here.
        ExportFailure: the library refuses the graph, or the result cannot be written.
        InvalidFile: nothing can be written there.
        EngineFailure: what was built gives other embeddings than it should; nothing was published.
    """
    manifest, folder = read_artifact(path)
    recipe = read_recipe(manifest, folder)
    if recipe is None:
        raise InvalidInput(
            f"{manifest.name} carries no recipe to build its engine by", remedy="export it again with reid-export"
        )
    destination = folder if output is None else output / folder.name
    target, precision = _what_builds(manifest, recipe)
    engine: type[EngineBase] = engines()[target.engine].load()
    _expect_possible(manifest, "run", engine.available())
    there, because = (None, None) if again else _fitting(destination, manifest, recipe, device)
    if there:
        return BuildResult(artifact=destination, manifest=there, is_new=False)
    _expect_possible(manifest, "built", target.available())
    try:
        with publication(destination) as new:
            for name in (recipe.graph, RECIPE_FILE, GOLDEN_FILE):
                (new / name).write_bytes(read_checked(folder, manifest, name))
            built = target.build(
                BuildJob(
                    onnx_path=new / recipe.graph,
                    folder=new,
                    precision=precision,
                    batch=manifest.batch,
                    options=recipe.options,
                    device=device,
                    cache_folder=destination.parent,
                )
            )
            manifest = replace(
                manifest,
                engine_file=built.engine_file,
                toolchain={**manifest.toolchain, **built.toolchain},
                precision=replace(manifest.precision, built=str(built.precision_built)),
                built_on=this_machine(),
                files=record_files(new),
            )
            write_manifest(new, manifest)
            with engine(manifest, new, device=device, threads=None) as opened:
                self_check(opened, read_golden(manifest, new))
    except OSError as error:
        raise ExportFailure(f"cannot write {destination} ({error.strerror or error})") from error
    if engine.runs_native_code:
        vouch(manifest)
    return BuildResult(artifact=destination, manifest=manifest, is_new=True, because=because)


def this_machine() -> dict[str, str]:
    """The machine that builds, as the manifest describes it."""
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": processor(),
        "python": platform.python_version(),
    }


def _fitting(destination: Path, manifest: Manifest, recipe: Recipe, device: str) -> tuple[Manifest | None, str | None]:
    """The manifest of an artifact at `destination` that was built by this recipe and opens on `device`.

    Otherwise None, and what is wrong with the engine that is there, if one is.
    """
    if not destination.exists():
        return None, None
    try:
        there, _ = read_artifact(destination)
        if not there.is_built:
            return None, None
        if any(there.files.get(name) != manifest.files[name] for name in (recipe.graph, RECIPE_FILE)):
            return None, f"what is in {destination} was built of another graph, or by another recipe"
        open_artifact(destination, device=device).close()
    except (ArtifactInvalid, ArtifactUntrusted, EngineFailure, EngineNotBuilt) as error:
        return None, error.message
    return there, None


def _what_builds(manifest: Manifest, recipe: Recipe) -> tuple[Target, Precision]:
    """The target, which has the recipe's options, and the precision to build in."""
    built = manifest.precision.built
    if built not in set(Precision):
        raise ArtifactInvalid(f"{manifest.name} is to be built in {built}", remedy="install a newer reidkit")
    target = find_target(manifest.target)
    precision = Precision(built)
    read_options(target, recipe.options, precision, manifest.batch)
    return target, precision


def _expect_possible(manifest: Manifest, what: str, reason: str | None) -> None:
    if reason:
        raise TargetUnavailable(
            f"{manifest.name} cannot be {what} here: {reason}", remedy="run reidkit build on the box it is for"
        )
