"""What can be built and run on this box, and for all that cannot, why and what to do about it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from reidkit.runtime.box import Nvidia
from reidkit.runtime.box.libraries import Library, extras_with, libraries_of
from reidkit.runtime.engines import EngineBase, engines
from reidkit.targets import find_target, targets
from reidkit.targets.target import Target

_BUNDLE = "export as it is: that writes a bundle, which reidkit build finishes on the box it is for"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether something can be done here; otherwise why not, and what to do."""

    possible: bool
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineReport:
    """An inference library: what it needs, and whether it runs here."""

    libraries: list[Library]
    run: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetReport:
    """A target: what it can build, whether it builds here, and whether what it builds runs here."""

    engine: str
    precisions: list[str]
    build: Verdict
    run: Verdict


def examine_export() -> tuple[list[Library], Verdict]:
    """What making ONNX of weights needs, and whether it can be done here."""
    libraries = libraries_of("export")
    reason = _unfit(libraries)
    return libraries, _verdict(reason, f"{_pip('export')}, or export on another machine")


def examine_engines(nvidia: Nvidia) -> dict[str, EngineReport]:
    """Every engine by name, none of their libraries loaded but CUDA's."""
    reports = {}
    for name, entry in engines().items():
        engine: type[EngineBase] = entry.load()
        libraries = libraries_of(name)
        if _needs_gpu(libraries) and not nvidia.present:
            run = _verdict("there is no NVIDIA GPU with a driver here", "run it on a box that has one")
        else:
            reason = engine.available() or _unfit(libraries)
            run = _verdict(reason, _remedy(reason, extra=name, nvidia=nvidia))
        reports[name] = EngineReport(libraries=libraries, run=run)
    return reports


def examine_targets(nvidia: Nvidia, known_engines: dict[str, EngineReport]) -> dict[str, TargetReport]:
    """Every target by name; `known_engines` as `examine_engines` found them."""
    reports = {}
    for name in targets():
        target: Target = find_target(name)
        libraries = libraries_of(name)
        reason = target.available() or _unfit([library for library in libraries if library.version])
        remedy = _remedy(reason, extra=name, nvidia=nvidia)
        if target.portable and _needs_gpu(libraries) and not nvidia.present:
            remedy = f"{remedy}; or {_BUNDLE}" if remedy else _BUNDLE
        reports[name] = TargetReport(
            engine=target.engine,
            precisions=sorted(target.precisions),
            build=_verdict(reason, remedy),
            run=known_engines[target.engine].run,
        )
    return reports


def _verdict(reason: str | None, remedy: str) -> Verdict:
    return Verdict(possible=False, reason=reason, remedy=remedy) if reason else Verdict(possible=True)


def _unfit(libraries: list[Library]) -> str | None:
    return next((library.reason for library in libraries if library.reason), None)


def _needs_gpu(libraries: list[Library]) -> bool:
    """Whether they speak to an NVIDIA GPU."""
    return any(library.name == "cuda-bindings" for library in libraries)


def _remedy(reason: str | None, *, extra: str, nvidia: Nvidia) -> str:
    """What to do where a target or an engine, for which there is that extra, says `reason`; empty if nothing helps."""
    if reason and (library := re.match(r"(\S+) (?:\S+ )?is (?:not )?installed", reason)):
        name = library[1]
        if name == "tensorrt" and (nvidia.is_jetson or nvidia.tensorrt):
            version = f" {nvidia.tensorrt}" if nvidia.tensorrt else ""
            return (
                f"make the environment with python3 -m venv --system-site-packages: TensorRT{version} is the system's"
            )
        bringing = extras_with(name)
        if not bringing and not reason.startswith(f"{name} is not"):
            return f"pip install --upgrade {name}"  # another build of the library, which no extra names
        return _pip(extra if extra in bringing or not bringing else bringing[0])
    if reason and reason.startswith("CUDA") and nvidia.present:
        return f"update the driver {nvidia.driver or ''}, which is for CUDA {nvidia.cuda or 'of an unknown version'}"
    if reason and reason.startswith("Core ML"):
        return "run it on a Mac"
    return ""


def _pip(extra: str) -> str:
    return f"pip install 'reidkit[{extra}]'"
