"""`cut_crops` beside boxmot's crop path, OpenCV's blobs, plain OpenCV with NumPy, and a bare copy of the result.

A 1080p frame in BGR becomes a batch of N x 3 x 256 x 128 in RGB, float32 and normalised. Ours also as bytes, which an
engine takes that has the normalisation in its graph. Ours are written where engines' slots begin, at a cache line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.measurement import Clock, Contender, medians
from reidkit.runtime.native import cut_crops
from reidkit.runtime.native.memory import aligned_empty

COUNTS = (20, 100)
CROP_HEIGHT, CROP_WIDTH = 256, 128
MEAN, DEVIATION = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
CALLS_A_ROUND = 10


@dataclass(frozen=True)
class Result:
    """Median milliseconds to cut so many crops, by contender."""

    crops: int
    milliseconds: dict[str, float]


def compare(*, rounds: int) -> Iterator[Result]:
    """One result for each number of crops."""
    frame = picture()
    for count in COUNTS:
        boxes = people(count, seed=count)
        contenders = {
            "reidkit, bytes": reidkit(frame, boxes, np.uint8),
            "reidkit, float16": reidkit(frame, boxes, np.float16),
            "reidkit, float32": reidkit(frame, boxes, np.float32),
            "boxmot": boxmot(frame, boxes),
            "blobFromImagesWithParams": opencv_blobs(frame, boxes),
            "resize, NumPy, stack": opencv_numpy(frame, boxes),
            "copy of the bytes": copy(count, np.uint8),
            "copy of the float32": copy(count, np.float32),
        }
        turns = {name: _repeated(work) for name, work in contenders.items()}
        yield Result(count, medians(turns, rounds=rounds))


def picture() -> NDArray[np.uint8]:
    """(1080, 1920, 3): waves of many lengths with some grain, as little compressible as a street."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:1080, :1920]
    waves = sum(np.sin(x * random.uniform(0, 0.5) + y * random.uniform(0, 0.5)) for _ in range(6))
    return np.clip(128 + 20 * waves[..., None] + random.normal(0, 8, (1080, 1920, 3)), 0, 255).astype(np.uint8)


def people(count: int, *, seed: int) -> NDArray[np.float32]:
    """(N, 4) xyxy, inside the frame, 80 to 400 pixels high."""
    random = np.random.default_rng(seed)
    size = random.uniform(80, 400, (count, 1)) * [0.4, 1.0]
    corner = random.uniform(0, [1920, 1080] - size)
    return np.concatenate([corner, corner + size], axis=1).astype(np.float32)


def reidkit(frame: NDArray[np.uint8], boxes: NDArray[np.float32], dtype: type) -> Callable[[], Any]:
    out = aligned_empty((len(boxes), 3, CROP_HEIGHT, CROP_WIDTH), dtype)
    levels = {"scale": 1 / 255, "mean": MEAN.tolist(), "std": DEVIATION.tolist()}
    return lambda: cut_crops(frame, boxes, out, swap_colors=True, antialias=False, **levels)


def boxmot(frame: NDArray[np.uint8], boxes: NDArray[np.float32]) -> Callable[[], Any]:
    import cv2
    import torch
    from boxmot.reid.core.crops import build_crop_batch

    torch.set_num_threads(1)
    settings = {
        "input_shape": (CROP_HEIGHT, CROP_WIDTH),
        "device": torch.device("cpu"),
        "half": False,
        "preprocess_fn": lambda crop, shape: cv2.resize(crop, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR),
        "mean": torch.from_numpy(MEAN).view(1, 3, 1, 1),
        "std": torch.from_numpy(DEVIATION).view(1, 3, 1, 1),
    }
    return lambda: build_crop_batch(boxes, frame, **settings)


def opencv_blobs(frame: NDArray[np.uint8], boxes: NDArray[np.float32]) -> Callable[[], Any]:
    import cv2

    cv2.setNumThreads(1)
    settings = cv2.dnn.Image2BlobParams()
    settings.size = (CROP_WIDTH, CROP_HEIGHT)
    settings.swapRB = True
    settings.mean = tuple(float(value) for value in 255 * MEAN)
    settings.scalefactor = tuple(float(value) for value in 1 / (255 * DEVIATION))
    return lambda: cv2.dnn.blobFromImagesWithParams(_cuts(frame, boxes), settings)


def opencv_numpy(frame: NDArray[np.uint8], boxes: NDArray[np.float32]) -> Callable[[], Any]:
    import cv2

    def work() -> NDArray[np.float32]:
        crops = []
        for cut in _cuts(frame, boxes):
            crop = cv2.cvtColor(cv2.resize(cut, (CROP_WIDTH, CROP_HEIGHT)), cv2.COLOR_BGR2RGB)
            crops.append(((crop.astype(np.float32) / 255 - MEAN) / DEVIATION).transpose(2, 0, 1))
        return np.stack(crops)

    return work


def copy(count: int, dtype: type) -> Callable[[], Any]:
    """What no way of making the batch can beat: writing it."""
    source = np.ones((count, 3, CROP_HEIGHT, CROP_WIDTH), dtype)
    out = np.empty_like(source)
    return lambda: np.copyto(out, source)


def _cuts(frame: NDArray[np.uint8], boxes: NDArray[np.float32]) -> list[NDArray[np.uint8]]:
    return [frame[y1:y2, x1:x2] for x1, y1, x2, y2 in boxes.astype(int).tolist()]


def _repeated(work: Callable[[], Any]) -> Contender:
    def run() -> list[float]:
        times = []
        for _ in range(CALLS_A_ROUND):
            clock = Clock.start()
            work()
            times.append(clock.milliseconds())
        return times

    return run
