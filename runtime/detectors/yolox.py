"""YOLOX as its authors export it to ONNX.

The frame is scaled to fit the square input, top left, on grey 114; BGR, 0..255. Each of the strides 8, 16 and 32
answers with one row per cell, ``(x, y, w, h, objectness, class scores...)``: x and y as offsets from the cell in
strides, w and h as logarithms. A file exported with the decoding inside answers in pixels of the input instead.

Source: Ge et al., "YOLOX: Exceeding YOLO Series in 2021", arXiv 2107.08430; Megvii-BaseDetection/YOLOX, Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.detectors.detections import Detections
from reidkit.runtime.detectors.network import Shape, open_network
from reidkit.runtime.detectors.suppression import suppress
from reidkit.runtime.errors import EngineFailure, InvalidFile, InvalidInput
from reidkit.runtime.native import cut_crops

_STRIDES = (8, 16, 32)
_GREY = 114
_PERSON = 0
_MIN_SIZE = 1.0  # pixels of the frame; nothing can be made out in less


class YoloX:
    """A YOLOX network that looks for people, or for other classes if told so.

    Args:
        path: the ONNX file.
        threads: threads for inference; None leaves it to the library.
        min_score: the low floor of what is reported. Trackers set their own thresholds above it.
        max_iou: overlap from which the worse of two boxes of one class is dropped.
        classes: indices of the classes to report; COCO's 0 is a person.

    Raises:
        InvalidFile: the file is no YOLOX network.
    """

    def __init__(
        self,
        path: Path,
        *,
        threads: int | None = None,
        min_score: float = 0.01,
        max_iou: float = 0.45,
        classes: Sequence[int] = (_PERSON,),
    ) -> None:
        self._path = path
        self._network = open_network(path, threads=threads)
        self.library = self._network.library
        self._min_score = min_score
        self._max_iou = max_iou
        self._classes = classes
        self._height, self._width = _input_size(path, self._network.input_shape)
        self._cells, self._strides = _grid(self._height, self._width)
        answer = self._ask(np.full((1, 3, self._height, self._width), _GREY, dtype=np.float32))
        if max(classes) >= answer.shape[1] - 5:
            raise _refusal(path, f"knows {answer.shape[1] - 5} classes and class {max(classes)} was asked for")
        # Offsets are a few strides at most, pixels span the input.
        self._is_decoded = bool(answer[:, :2].max() > min(self._height, self._width) / 2)

    def detect(self, frame: NDArray[np.uint8]) -> Detections:
        """The people in `frame` (H, W, 3) uint8 BGR, best score first."""
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or not frame.size:
            raise InvalidInput(f"a frame is (H, W, 3) uint8, found {frame.shape} {frame.dtype}")
        picture, scale = self._letterbox(frame)
        answer = self._ask(picture)
        objectness, class_scores = answer[:, 4], answer[:, 5:]
        rows = np.flatnonzero(objectness >= self._min_score)
        classes = class_scores[rows].argmax(axis=1)
        scores = objectness[rows] * class_scores[rows, classes]
        chosen = (scores >= self._min_score) & np.isin(classes, self._classes)
        rows, scores, classes = rows[chosen], scores[chosen].astype(np.float64), classes[chosen]
        boxes_xyxy = self._boxes(answer, rows) / scale
        visible = np.all(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2] >= _MIN_SIZE, axis=1)
        boxes_xyxy, scores, classes = boxes_xyxy[visible], scores[visible], classes[visible]
        kept = suppress(boxes_xyxy, scores, classes, max_iou=self._max_iou)
        return Detections(boxes_xyxy[kept], scores[kept], classes[kept])

    def close(self) -> None:
        """Give back what the inference library holds."""
        self._network.close()

    def _letterbox(self, frame: NDArray[np.uint8]) -> tuple[NDArray[np.float32], float]:
        """The frame as network input (1, 3, height, width), and input pixels per frame pixel."""
        height, width = frame.shape[:2]
        scale = min(self._height / height, self._width / width)
        scaled = np.empty((1, 3, max(1, int(height * scale)), max(1, int(width * scale))), dtype=np.float32)
        whole = np.array([[0, 0, width, height]], dtype=np.float64)
        cut_crops(frame, whole, scaled, swap_colors=False, antialias=False, layout="nchw")
        picture = np.full((1, 3, self._height, self._width), _GREY, dtype=np.float32)
        picture[:, :, : scaled.shape[2], : scaled.shape[3]] = scaled
        return picture, scale

    def _ask(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """The answer (cells, 5 + classes) to one picture, checked."""
        outputs = self._network.run(picture)
        if len(outputs) != 1 or outputs[0].ndim != 3 or outputs[0].shape[:2] != (1, len(self._cells)):
            shapes = ", ".join(str(output.shape) for output in outputs)
            raise _refusal(self._path, f"answers {shapes}, YOLOX would with (1, {len(self._cells)}, 5 + classes)")
        answer: NDArray[np.float32] = outputs[0][0]
        if not np.isfinite(answer).all():
            raise EngineFailure(
                f"{self._path} returned NaN or infinity", remedy="do not use this file; export it again"
            )
        return answer

    def _boxes(self, answer: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Boxes (N, 4) xyxy of those rows, in pixels of the network's input."""
        centres, sizes = np.split(answer[rows, :4].astype(np.float64), 2, axis=1)
        if not self._is_decoded:
            centres = (centres + self._cells[rows]) * self._strides[rows]
            sizes = np.exp(sizes) * self._strides[rows]
        return np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)


def _input_size(path: Path, shape: Shape) -> tuple[int, int]:
    """Height and width of the input, or a refusal."""
    match shape:
        case (1 | None, 3, int(height), int(width)) if height % _STRIDES[-1] == 0 and width % _STRIDES[-1] == 0:
            return height, width
    raise _refusal(path, f"takes {shape}, YOLOX a (1, 3, height, width) in multiples of {_STRIDES[-1]}")


def _grid(height: int, width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Column and row of every cell (cells, 2) and its stride (cells, 1), in the order of the network's answer."""
    shapes = [(height // stride, width // stride) for stride in _STRIDES]
    cells = [np.indices(shape, dtype=np.float64)[::-1].reshape(2, -1).T for shape in shapes]
    strides = np.repeat(np.array(_STRIDES, dtype=np.float64), [len(part) for part in cells])
    return np.concatenate(cells), strides[:, None]


def _refusal(path: Path, finding: str) -> InvalidFile:
    return InvalidFile(f"{path} {finding}", remedy="name a YOLOX network as its authors export it to ONNX")


DETECTOR = YoloX
