"""What a target is: it turns an exported model into the file that one inference library opens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.quantization import Layout
from reidkit.runtime.artifact.manifest import BackboneInfo, Batch, Preprocessing
from reidkit.runtime.errors import ExportFailure, InvalidInput, did_you_mean


class Precision(str, Enum):
    """In what numbers a network computes."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A setting that one target has and others have not; its value is given as text.

    Attributes:
        about: what it does and which text it takes.
        read: what that text means; a `ValueError` says that it means nothing.
        precisions: those in which it does something.
        most_batch_sizes: how many sizes it can be had with; None for as many as the target takes.
        without_crops: those of its values with which int8 takes no crops, of a target whose int8 takes them else.
    """

    about: str
    read: Callable[[str], Any]
    precisions: frozenset[Precision] = frozenset(Precision)
    most_batch_sizes: int | None = None
    without_crops: frozenset[str] = frozenset()


NO_OPTIONS: Mapping[str, Option] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildJob:
    """What is to be built.

    Attributes:
        onnx_path: the checked graph, one file, in the precision to be built unless the target computes in it by a hint;
            written only for a target that consumes ONNX.
        program: for a target that consumes the exported program: batch size -> fp32 `torch.export.ExportedProgram` for
            exactly so many crops, or for any number of None, (N, 3, H, W) uint8 -> (N, D) float32 raw embeddings,
            normalisation inside; it raises `ExportFailure`. None for the others.
        backbone, preprocessing: what the network is and takes, for a target whose file says so itself.
        folder: the artifact's temporary folder, into which the target writes its files.
        precision: what the user asked for.
        batch: batch sizes the engine must take.
        options: the target's own settings, by name.
        device: of this box, as the target's engine calls it, for a target that builds for one.
        cache_folder: where a compiler may keep what makes its next build quicker; None for nowhere.
        calibration: crops to calibrate with, (N, 3, H, W) uint8 as the network takes them, for a target that quantises
            by its own tool; see `calibration_crops`. None where none were given.
    """

    onnx_path: Path
    folder: Path
    precision: Precision
    batch: Batch
    options: Mapping[str, str] = field(default_factory=dict)
    device: str = "auto"
    cache_folder: Path | None = None
    program: Callable[[int | None], Any] | None = None
    backbone: BackboneInfo | None = None
    preprocessing: Preprocessing | None = None
    calibration: NDArray[np.uint8] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltEngine:
    """What was built.

    Attributes:
        engine_file: the file to open, relative to the job's folder.
        toolchain: version by library, of all that had a hand in it, and what else the engine is bound to.
        precision_built: what the engine really computes in.
        calibrated: whether the job's crops gave the engine its scales.
        evaluate: what the engine file says, computed without the engine, for where that cannot run: up to the largest
            batch of (N, 3, H, W) uint8 crops -> (N, D) float32 raw embeddings. None where nothing but the engine can.
    """

    engine_file: str
    toolchain: dict[str, str]
    precision_built: Precision
    calibrated: bool = False
    evaluate: Callable[[NDArray[np.uint8]], NDArray[np.float32]] | None = None


class Target(Protocol):
    """One vendor's compiler. A file of this folder assigns one to ``TARGET``.

    Attributes:
        name: as typed after ``--target``; the file's name.
        engine: the runtime engine that opens what is built.
        consumes: what the target is fed: the ONNX graph, or the program that torch exports, always in float32. What is
            fed a program makes each of its precisions itself.
        precisions: what it can build.
        by_hint: those of them in which the library computes because it is told to; it is fed a graph in float32 then.
        int8_layout: of the Q/DQ graph that it is fed in int8; None for a target that quantises by its own tool, or not
            at all.
        calibrates: whether int8 takes crops to be scaled by; an option may say otherwise, see `takes_crops`.
        options: settings of its own, by name.
        most_batch_sizes: how many sizes a build can be made for; None for any number.
        portable: whether its engine can be built on the box later, from the graph and a recipe in the artifact; then
            an export goes on where it cannot build.
    """

    name: str
    engine: str
    consumes: Literal["onnx", "exported_program"]
    precisions: frozenset[Precision]
    by_hint: frozenset[Precision]
    int8_layout: Layout | None
    calibrates: bool
    options: Mapping[str, Option]
    most_batch_sizes: int | None
    portable: bool

    def available(self) -> str | None:
        """Why it cannot build here, None if it can."""

    def build(self, job: BuildJob) -> BuiltEngine:
        """Write the engine's files into the job's folder and see that the library opens them.

        Raises:
            MissingDependency: the vendor's library is not installed.
            ExportFailure: the precision is not offered, or the library refuses the graph.
            InvalidInput: an option is not known or its value means nothing.
        """


def refuse_precision(target: Target, asked: Precision) -> None:
    """Raise `ExportFailure` unless `target` builds in the precision that was asked for."""
    if asked not in target.precisions:
        offered = ", ".join(sorted(target.precisions))
        raise ExportFailure(f"target {target.name} does not build {asked}", remedy=f"it builds {offered}")


def takes_crops(target: Target, given: Mapping[str, str]) -> bool:
    """Whether int8 of `target` is scaled by crops, with those of its options."""
    return target.calibrates and not any(
        text in target.options[name].without_crops for name, text in given.items() if name in target.options
    )


def calibration_crops(job: BuildJob) -> NDArray[np.uint8]:
    """The crops to calibrate with. Raises `InvalidInput` where none were given."""
    if job.calibration is None:
        raise no_calibration()
    return job.calibration


def no_calibration() -> InvalidInput:
    """The error of a job in int8 that has nothing to calibrate with."""
    return InvalidInput(
        "int8 takes crops to calibrate with, none were given",
        remedy="choose some with reidkit calibrate, and name their folder by --calibration",
    )


def read_options(target: Target, given: Mapping[str, str], precision: Precision, batch: Batch) -> dict[str, Any]:
    """The values of the options that were given to `target`, for a build in that precision and those batch sizes.

    Raises:
        InvalidInput: there is no such option, with a suggestion; its value means nothing; or it would do nothing.
    """
    values = {}
    for name, text in given.items():
        if name not in target.options:
            known = did_you_mean(name, target.options) if target.options else "it has none"
            raise InvalidInput(f"target {target.name} has no option '{name}'", remedy=known)
        option = target.options[name]
        try:
            values[name] = option.read(text)
        except ValueError as error:
            raise InvalidInput(
                f"option {name} of target {target.name} cannot be '{text}'", remedy=option.about
            ) from error
        if precision not in option.precisions:
            raise InvalidInput(
                f"option {name} of target {target.name} does nothing in {precision}",
                remedy=f"it is for {', '.join(sorted(option.precisions & target.precisions))}: leave it out",
            )
        if option.most_batch_sizes is not None and len(batch.buckets) > option.most_batch_sizes:
            raise InvalidInput(
                f"option {name} of target {target.name} takes at most {option.most_batch_sizes} batch sizes, found "
                f"{', '.join(map(str, batch.buckets))}",
                remedy="give --batch the size to build for",
            )
    return values


def options_for(target: Target, given: Mapping[str, str], precision: Precision) -> dict[str, str]:
    """Those of the options given that are not for other precisions alone."""
    return {
        name: text
        for name, text in given.items()
        if name not in target.options or precision in target.options[name].precisions
    }


def natural(text: str) -> int:
    """Reads an option that is 0, 1, 2, …."""
    if not text.isdecimal():
        raise ValueError(text)
    return int(text)


def yes_or_no(text: str) -> bool:
    """Reads an option that is on or off."""
    if text not in ("yes", "no"):
        raise ValueError(text)
    return text == "yes"
