"""Core ML: opens the artifacts of the target ``coreml``, on a Mac. **Not run on a device**."""

from __future__ import annotations

import sys
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.artifact.digests import read_checked
from reidkit.runtime.engines.engine import EngineBase
from reidkit.runtime.errors import EngineFailure, InvalidInput, MissingDependency, ReidkitError, TargetUnavailable

_UNITS = {"auto": "ALL", "cpu": "CPU_ONLY", "gpu": "CPU_AND_GPU", "ane": "CPU_AND_NE"}
"""Core ML's names; it alone decides which operator runs where, of the units that it may use."""


class CoreMlEngine(EngineBase):
    """An ML Program, which takes arrays in batches of enumerated sizes, or pictures one by one.

    A batch is padded to the next size that the program takes; pictures go to Core ML all at once. Grey levels are
    handed over as float32, which is all that Core ML's arrays hold of them. Devices are ``auto``, any unit, ``cpu``,
    ``gpu`` and ``ane``, the Neural Engine, the last two with the processor for what they lack. `threads` means nothing
    here.
    """

    @classmethod
    def available(cls) -> str | None:
        """Why it can run nothing here, None where nothing is known against it."""
        return None if sys.platform == "darwin" else "Core ML predicts on macOS alone"

    def _load(self, folder: Path, *, device: str, threads: int | None) -> None:
        if reason := self.available():
            raise TargetUnavailable(
                f"{self.manifest.name} cannot run here: {reason}",
                remedy="open it on a Mac, or export the network for another target",
            )
        try:
            import coremltools
            import PIL  # noqa: F401  # of which Core ML's pictures are made
        except ModuleNotFoundError as error:
            raise MissingDependency(
                error.name or "", extra="coreml", purpose=f"Opening {self.manifest.name}"
            ) from error
        if device not in _UNITS:
            raise InvalidInput(f"the coreml engine has no device '{device}'", remedy=f"use {', '.join(_UNITS)}")
        self.device = device
        self._package = TemporaryDirectory(prefix="reidkit-")
        try:
            package = self._checked_copy(folder)
            with_units = coremltools.ComputeUnit[_UNITS[device]]
            self._model = coremltools.models.MLModel(str(package), compute_units=with_units)
        except ReidkitError:
            self._package.cleanup()
            raise
        except Exception as error:  # its exceptions have no base of their own
            self._package.cleanup()
            raise EngineFailure(
                f"Core ML, by coremltools {coremltools.__version__}, refuses {self.manifest.name}: {error}"
            ) from error
        description = self._model.get_spec().description
        self._output = description.output[0].name
        self._input, self._sizes, crop = taken_by(description)
        self._expect_tensors([(str(self._dtype), [None, *crop])], [[None, self.embedding_dim]])

    def _run(self, batch: NDArray[Any]) -> NDArray[Any]:
        try:
            if self._sizes is None:
                crops = pictures(batch, color=self.manifest.preprocessing.color)
                answers = self._model.predict([{self._input: picture} for picture in crops])
                return np.concatenate([answer[self._output] for answer in answers])
            size = min(size for size in self._sizes if size >= len(batch))
            padded = np.zeros((size, *self._crop_shape), np.float32)
            padded[: len(batch)] = batch
            answer: NDArray[Any] = self._model.predict({self._input: padded})[self._output]
            return answer[: len(batch)]
        except Exception as error:  # as above
            raise EngineFailure(f"Core ML cannot run {len(batch)} crops of {self.manifest.name}: {error}") from error

    def _release(self) -> None:
        del self._model
        self._package.cleanup()

    def _checked_copy(self, folder: Path) -> Path:
        """The package anew, of the bytes that were checked: Core ML reads by path what may have changed meanwhile."""
        inside = PurePosixPath(self.manifest.engine_file).parent
        for name in self.manifest.files:
            if PurePosixPath(name).is_relative_to(inside):
                copy = Path(self._package.name, name)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(read_checked(folder, self.manifest, name))
        return Path(self._package.name, inside)


def pictures(batch: NDArray[np.uint8], *, color: str) -> list[Any]:
    """Crops (N, 3, H, W), in that order of colours, as Pillow's RGB images: Core ML orders colours itself."""
    from PIL import Image

    rgb = batch[:, ::-1] if color == "bgr" else batch
    return [Image.fromarray(np.ascontiguousarray(crop.transpose(1, 2, 0))) for crop in rgb]


def taken_by(description: Any) -> tuple[str, list[int] | None, list[int]]:
    """What a model's description says that it takes: the input's name, sizes of a batch, shape of a crop.

    The sizes ascend; they are None for a model that takes one picture at a time.
    """
    (given,) = description.input
    if given.type.WhichOneof("Type") == "imageType":
        return given.name, None, [3, given.type.imageType.height, given.type.imageType.width]
    array = given.type.multiArrayType
    shapes = [list(each.shape) for each in array.enumeratedShapes.shapes] or [list(array.shape)]
    return given.name, sorted(shape[0] for shape in shapes), shapes[0][1:]


ENGINE = CoreMlEngine
