"""A vendor's model file as a teacher: what its input wants to be is told by name, as the file itself rarely does.

bgr-0-255-256x128       grey levels as they are, blue first          Intel's person-reidentification-retail
rgb-0-1-256x128         divided by 255
rgb-imagenet-256x128    divided by 255, then ImageNet's mean and deviation
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.artifact.digests import sha256_of
from reidkit.runtime.artifact.manifest import Normalization, Preprocessing, Resize
from reidkit.runtime.errors import EngineFailure, InvalidConfig, InvalidFile, MissingDependency

BATCH = 16
REQUESTS = 2
_NAME = re.compile(r"(?P<color>rgb|bgr)-(?P<range>0-255|0-1|imagenet)-(?P<height>[1-9]\d{0,3})x(?P<width>[1-9]\d{0,3})")
_IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def parse_preprocessing(name: str) -> Preprocessing:
    """What a name such as ``bgr-0-255-256x128`` says of a vendor's input. Raises `InvalidConfig`."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise InvalidConfig(
            f"'{name}' names no preprocessing",
            remedy="COLOUR-RANGE-HEIGHTxWIDTH with rgb or bgr and 0-255, 0-1 or imagenet, e.g. bgr-0-255-256x128",
        )
    mean, std = _IMAGENET if match["range"] == "imagenet" else ([0.0] * 3, [1.0] * 3)
    order = 1 if match["color"] == "rgb" else -1
    return Preprocessing(
        height=int(match["height"]),
        width=int(match["width"]),
        color=cast(Literal["rgb", "bgr"], match["color"]),
        layout="nchw",
        dtype="float32",
        resize=Resize(kernel="bilinear", antialias=False),
        normalization=Normalization(
            where="runtime", scale=1.0 if match["range"] == "0-255" else 1 / 255, mean=mean[::order], std=std[::order]
        ),
    )


def model_input(crops: NDArray[np.float32], preprocessing: Preprocessing) -> NDArray[Any]:
    """(N, 3, H, W) float32 RGB in 0…255 -> the tensor that a model of that preprocessing takes, C-contiguous."""
    how = preprocessing.normalization
    values = crops if preprocessing.color == "rgb" else crops[:, ::-1]
    if how.where == "runtime":
        mean, std = (np.asarray(channels, np.float32)[:, None, None] for channels in (how.mean, how.std))
        values = (values * np.float32(how.scale) - mean) / std
    if preprocessing.layout == "nhwc":
        values = values.transpose(0, 2, 3, 1)
    if preprocessing.dtype == "uint8":
        values = values.round()
    return np.ascontiguousarray(values, np.dtype(preprocessing.dtype))


class VendorModel:
    """A `Teacher` from an OpenVINO IR or an ONNX file, run by OpenVINO, in bfloat16 where the processor has it."""

    def __init__(self, path: Path, preprocessing: Preprocessing) -> None:
        try:
            import openvino
        except ModuleNotFoundError as error:
            raise MissingDependency("openvino", extra="openvino", purpose=f"Asking {path.name}") from error
        parts = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
        if missing := [part for part in parts if not part.is_file()]:
            raise InvalidFile(f"there is no teacher file {missing[0]}")
        core = openvino.Core()
        self.name = path.name
        self.size = (preprocessing.height, preprocessing.width)
        self.precision = "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
        self.sha256 = "+".join(sha256_of(part) for part in parts)
        self.identity = f"{self.sha256} {preprocessing} {self.precision}"
        self._preprocessing = preprocessing
        how = {
            "INFERENCE_PRECISION_HINT": self.precision,
            "PERFORMANCE_HINT": "THROUGHPUT",
            "NUM_STREAMS": REQUESTS,
        }
        try:
            model = core.read_model(path)
            model.reshape([BATCH, 3, *self.size])
            self._queue = openvino.AsyncInferQueue(core.compile_model(model, "CPU", how), REQUESTS)
        except RuntimeError as error:
            raise InvalidFile(
                f"OpenVINO cannot run {path} on {self.size[0]}x{self.size[1]} crops ({_last_line(error)})",
                remedy="check the file and --teacher-preprocessing",
            ) from error

    def embed(self, crops: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 3, *size) float32 RGB in 0…255 -> (N, E) float32 raw embeddings."""
        answers: dict[int, NDArray[np.float32]] = {}

        def keep(request: Any, start: int) -> None:
            answers[start] = request.get_output_tensor(0).data.reshape(BATCH, -1).astype(np.float32)

        self._queue.set_callback(keep)
        try:
            for start in range(0, len(crops), BATCH):
                batch = model_input(crops[start : start + BATCH], self._preprocessing)
                padding = np.zeros((BATCH - len(batch), *batch.shape[1:]), np.float32)
                self._queue.start_async({0: np.concatenate([batch, padding])}, start)
            self._queue.wait_all()
        except RuntimeError as error:
            raise EngineFailure(f"OpenVINO failed while asking {self.name} ({_last_line(error)})") from error
        return np.concatenate([answers[start] for start in sorted(answers)])[: len(crops)]


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]
