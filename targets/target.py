"""What a target is: it turns an exported model into the file that one inference library opens."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Literal, Protocol

from reidkit.runtime.artifact.manifest import Batch
from reidkit.runtime.errors import ExportFailure


class Precision(str, Enum):
    """In what numbers a network computes."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildJob:
    """What is to be built.

    Attributes:
        onnx_path: the checked graph, in the precision to be built, one file.
        folder: the artifact's temporary folder, into which the target writes its files.
        precision: what the user asked for.
        batch: batch sizes the engine must take.
    """

    onnx_path: Path
    folder: Path
    precision: Precision
    batch: Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltEngine:
    """What was built.

    Attributes:
        engine_file: the file to open, relative to the job's folder.
        toolchain: version by library, of all that had a hand in it.
        precision_built: what the engine really computes in.
    """

    engine_file: str
    toolchain: dict[str, str]
    precision_built: Precision


class Target(Protocol):
    """One vendor's compiler. A file of this folder assigns one to ``TARGET``.

    Attributes:
        name: as typed after ``--target``; the file's name.
        engine: the runtime engine that opens what is built.
        consumes: what the target is fed.
        precisions: what it can build.
    """

    name: str
    engine: str
    consumes: Literal["onnx", "exported_program"]
    precisions: frozenset[Precision]

    def available(self) -> str | None:
        """Why it cannot build here, None if it can."""

    def build(self, job: BuildJob) -> BuiltEngine:
        """Write the engine's files into the job's folder and see that the library opens them.

        Raises:
            MissingDependency: the vendor's library is not installed.
            ExportFailure: the precision is not offered, or the library refuses the graph.
        """


def refuse_precision(target: Target, asked: Precision) -> None:
    """Raise `ExportFailure` unless `target` builds in the precision that was asked for."""
    if asked not in target.precisions:
        offered = ", ".join(sorted(target.precisions))
        raise ExportFailure(f"target {target.name} does not build {asked}", remedy=f"it builds {offered}")
