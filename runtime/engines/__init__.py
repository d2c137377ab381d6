"""Inference libraries, one file each; the artifact's manifest says which one opens it.

A new engine is one file that assigns ``ENGINE``, a subclass of `EngineBase`, here or behind an entry point of the
group ``reidkit.engines``.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from os import PathLike
from pathlib import Path

from reidkit.runtime.artifact.folder import read_artifact, read_golden
from reidkit.runtime.artifact.recipe import RECIPE_FILE
from reidkit.runtime.artifact.trust import built_here
from reidkit.runtime.discovery import plugins
from reidkit.runtime.engines._cropping import cut
from reidkit.runtime.engines._self_check import self_check
from reidkit.runtime.engines.engine import Engine, EngineBase
from reidkit.runtime.errors import ArtifactInvalid, ArtifactUntrusted, EngineNotBuilt, InvalidInput, did_you_mean
from reidkit.runtime.native.frames import have_pixels

__all__ = [
    "Engine",
    "EngineBase",
    "build_engine",
    "cut",
    "engines",
    "have_pixels",
    "open_artifact",
    "open_unchecked",
    "self_check",
]


def engines() -> dict[str, EntryPoint]:
    """Every engine by name, to be loaded with `EntryPoint.load`."""
    return plugins(__name__, "ENGINE", group="reidkit.engines", besides={"engine"})


def open_artifact(
    path: str | Path, *, device: str = "auto", threads: int | None = None, trusted: bool = False
) -> Engine:
    """An engine that runs the artifact at `path`, after every digest was checked and its golden crops were embedded.

    Args:
        path: the artifact's folder.
        device: ``"auto"``, ``"cpu"``, or another that the engine's library knows.
        threads: processor threads for one batch; None for the library's choice.
        trusted: open it even if that runs native code from a file that was not built here.

    Raises:
        ArtifactInvalid: it is incomplete or altered, or asks for an engine that is not known.
        ArtifactUntrusted: it holds native code that was not built here, and is not `trusted`.
        EngineNotBuilt: it is a bundle, or its engine was built for another version of the library or another device.
        MissingDependency: its engine's library is not installed.
        EngineFailure: the library refuses it, or its golden crops give other embeddings on this box.
        InvalidInput: no such device or thread count.
    """
    engine = open_unchecked(path, device=device, threads=threads, trusted=trusted)
    try:
        self_check(engine, read_golden(engine.manifest, Path(path).resolve()))
    except BaseException:
        engine.close()
        raise
    return engine


def open_unchecked(
    path: str | Path, *, device: str = "auto", threads: int | None = None, trusted: bool = False
) -> EngineBase:
    """`open_artifact` without the golden crops, for whoever judges what it answers."""
    if not isinstance(path, str | PathLike) or not isinstance(device, str):
        raise InvalidInput(f"open_artifact({path!r}, device={device!r})", remedy="give a folder and a device's name")
    manifest, folder = read_artifact(path)
    known = engines()
    if manifest.engine not in known:
        raise ArtifactInvalid(
            f"{manifest.name} asks for the engine '{manifest.engine}'", remedy=did_you_mean(manifest.engine, known)
        )
    if not manifest.is_built:
        raise EngineNotBuilt(
            f"{manifest.name} is a bundle: its {manifest.target} engine is not built yet",
            remedy=f"on the box it is for, run reidkit build {path}",
        )
    kind: type[EngineBase] = known[manifest.engine].load()
    if kind.runs_native_code and not trusted and not built_here(manifest):
        anew = f"build it here with reidkit build {path}, or " if RECIPE_FILE in manifest.files else ""
        raise ArtifactUntrusted(
            f"{manifest.name} holds native code for {manifest.engine} that was built elsewhere and would run here",
            remedy=f"{anew}pass trusted=True or --trust if you know who built it",
        )
    return kind(manifest, folder, device=device, threads=threads)


def build_engine(path: str | Path, *, device: str = "auto") -> str | None:
    """Have the engine of the artifact at `path` built for a device of this box, unless it has one that fits.

    Building is done by a room above this one, which joins through the entry-point group ``reidkit.builders``; see
    `reidkit.targets._bundle.build_bundle` for the errors.

    Returns:
        What was wrong with the engine that was there; None where there was none.
    """
    (builder,) = entry_points(group="reidkit.builders", name="bundle")
    because: str | None = builder.load()(path, device=device).because
    return because
