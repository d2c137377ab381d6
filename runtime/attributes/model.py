"""A model of attributes: an ONNX file, and a YAML file beside it that says what goes in and what comes out.

# helmet.onnx has helmet.yaml beside it:
preprocessing: rgb-imagenet-128x64      # or the keys of a manifest's preprocessing
outputs:                                # by the names of the graph's outputs
  helmet: {classes: ["no", "yes"], softmax: true}
  age: {unit: years, confidence: age_confidence, shift: 50, scale: 95}
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidkit.runtime.artifact.manifest import Preprocessing
from reidkit.runtime.artifact.preprocessing import parse_preprocessing
from reidkit.runtime.artifact.strict import Mismatch, build
from reidkit.runtime.engines import cut
from reidkit.runtime.engines._cropping import crop_shape
from reidkit.runtime.engines.onnxruntime import DTYPES
from reidkit.runtime.errors import EngineFailure, InvalidConfig, InvalidFile
from reidkit.runtime.inference_libraries import import_onnxruntime
from reidkit.runtime.yaml_mapping import read_mapping

_CROPS_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Classes:
    """An output of one score for each class, (N, C).

    Attributes:
        classes: their names.
        softmax: whether scores are logits; else they are probabilities.
    """

    classes: list[str]
    softmax: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """An output of one number, (N,) or (N, 1).

    Attributes:
        unit: of the value as told.
        scale: what the output is multiplied by,
        shift: and what is added then.
        confidence: output that says how sure it is, in [0, 1]; empty: always sure.
    """

    unit: str
    scale: float = 1.0
    shift: float = 0.0
    confidence: str = ""


@dataclass(frozen=True, slots=True)
class _Description:
    preprocessing: Preprocessing
    outputs: dict[str, Classes | Value]


class Estimate(NamedTuple):
    """Of (N) crops: (N, C) probabilities or (N, 1) values, and (N,) confidences in [0, 1]."""

    values: NDArray[np.float64]
    confidences: NDArray[np.float64]


class AttributeModel:
    """An open model. Made by `open_attributes`.

    Attributes:
        outputs: what it estimates, by name.
    """

    def __init__(self, path: Path, description: _Description, session: Any) -> None:
        self._path, self._session = path, session
        self._preprocessing = description.preprocessing
        self.outputs = description.outputs
        (taken,) = session.get_inputs()
        self._input = taken.name
        self._fixed_batch = next((size for size in taken.shape[:1] if isinstance(size, int)), None)

    def estimate(self, frame: NDArray[np.uint8], boxes_xyxy: ArrayLike) -> dict[str, Estimate]:
        """Every attribute of boxes in a frame.

        Args:
            frame: (H, W, 3) uint8 BGR.
            boxes_xyxy: (N, 4) pixels, each with a pixel in the frame; N may be 0.

        Raises:
            InvalidInput: the frame or a box is none.
            EngineFailure: the model failed, or gave NaN or another shape than its description says.
        """
        crops = cut(self._preprocessing, frame, boxes_xyxy, color="bgr")
        wanted = _read_from(self.outputs)
        if not len(crops):
            return {name: Estimate(np.zeros((0, _width(kind))), np.zeros(0)) for name, kind in self.outputs.items()}
        count, at_once = len(crops), self._fixed_batch or _CROPS_AT_ONCE
        if self._fixed_batch:  # the last crop once more, until the last batch is full
            crops = np.concatenate([crops, np.repeat(crops[-1:], -count % at_once, axis=0)])
        try:
            parts = [
                self._session.run(wanted, {self._input: crops[start : start + at_once]})
                for start in range(0, len(crops), at_once)
            ]
        except Exception as error:  # ONNX Runtime's exceptions have no base of their own
            raise EngineFailure(f"{self._path} failed: {error}") from error
        raw = {name: np.concatenate(each) for name, each in zip(wanted, zip(*parts, strict=True), strict=True)}
        read = {name: self._read(name, kind, raw, len(crops)) for name, kind in self.outputs.items()}
        return {name: Estimate(each.values[:count], each.confidences[:count]) for name, each in read.items()}

    def _read(self, name: str, kind: Classes | Value, raw: dict[str, NDArray[Any]], count: int) -> Estimate:
        values = _rows(self._path, name, raw[name], (count, _width(kind)))
        if isinstance(kind, Classes):
            if kind.softmax:
                values = np.exp(values - values.max(axis=1, keepdims=True))
                values /= values.sum(axis=1, keepdims=True)
            return Estimate(values, values.max(axis=1))
        sure = np.ones(count)
        if kind.confidence:
            sure = _rows(self._path, kind.confidence, raw[kind.confidence], (count, 1))[:, 0].clip(0, 1)
        return Estimate(kind.shift + kind.scale * values, sure)


def open_attributes(path: Path, *, threads: int | None = None) -> AttributeModel:
    """The model in an ONNX file, described by the YAML file of its name beside it.

    Raises:
        InvalidFile: a file is missing or cannot be read, or is no such model.
        InvalidConfig: the description has an unknown key or does not fit the model.
        MissingDependency: ONNX Runtime is not installed.
    """
    description = _described(path.with_suffix(".yaml"))
    onnxruntime = import_onnxruntime(f"Opening {path}")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads or 0
    try:
        session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except OSError as error:
        raise InvalidFile(f"cannot read {path} ({error.strerror})") from error
    except Exception as error:
        raise InvalidFile(f"{path} is no model that ONNX Runtime opens ({error})") from error
    there = {output.name for output in session.get_outputs()}
    if missing := sorted(set(_read_from(description.outputs)) - there):
        raise InvalidConfig(f"{path} has no output {missing[0]!r}", remedy=f"it has {', '.join(sorted(there))}")
    if len(session.get_inputs()) != 1:
        raise InvalidConfig(f"{path} has {len(session.get_inputs())} inputs", remedy="a model of attributes has one")
    _expect_crops(path, description.preprocessing, session.get_inputs()[0])
    return AttributeModel(path, description, session)


def _expect_crops(path: Path, how: Preprocessing, taken: Any) -> None:
    """Hold the model's input to its description."""
    dtype, crop = DTYPES.get(taken.type, taken.type), crop_shape(how)
    shape = taken.shape or ["N", None, None, None]  # a graph may leave all of it open, or give sizes names
    fits = len(shape) == 4 and all(
        size == told or not isinstance(size, int) for size, told in zip(shape[1:], crop, strict=True)
    )
    if dtype != how.dtype or not fits:
        raise InvalidConfig(
            f"{path} takes {dtype} {taken.shape}, its description says {how.dtype} of (N, {', '.join(map(str, crop))})",
            remedy=f"correct preprocessing in {path.with_suffix('.yaml').name}",
        )


def _described(path: Path) -> _Description:
    raw = read_mapping(path, name=path)
    if set(raw) != {"preprocessing", "outputs"} or not isinstance(raw["outputs"], dict):
        raise InvalidConfig(f"{path} must have the keys preprocessing and outputs, and no other")
    told = raw["preprocessing"]
    try:
        preprocessing = (
            parse_preprocessing(told) if isinstance(told, str) else build(Preprocessing, told, "preprocessing")
        )
        outputs = {str(name): _kind(kind, f"outputs.{name}") for name, kind in raw["outputs"].items()}
    except Mismatch as error:
        raise InvalidConfig(f"{path}: {error}") from error
    if not outputs or any(isinstance(kind, Classes) and len(kind.classes) < 2 for kind in outputs.values()):
        raise InvalidConfig(f"{path} must name an output, and two classes at least of each that has classes")
    return _Description(preprocessing, outputs)


def _kind(raw: object, where: str) -> Classes | Value:
    if isinstance(raw, dict) and "classes" in raw:
        return build(Classes, raw, where)
    return build(Value, raw, where)


def _width(kind: Classes | Value) -> int:
    return len(kind.classes) if isinstance(kind, Classes) else 1


def _read_from(outputs: dict[str, Classes | Value]) -> list[str]:
    """The graph's outputs that are needed."""
    return [*outputs, *(kind.confidence for kind in outputs.values() if isinstance(kind, Value) and kind.confidence)]


def _rows(path: Path, name: str, found: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.float64]:
    if found.size != shape[0] * shape[1] or len(found) != shape[0]:
        raise EngineFailure(f"{path} gave {name} of shape {found.shape}, its description says {shape}")
    rows = found.reshape(shape).astype(np.float64)
    if not np.isfinite(rows).all():
        raise EngineFailure(f"{path} gave {name} that is not finite")
    return rows
