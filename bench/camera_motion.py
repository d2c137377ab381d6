"""Camera motion beside ultralytics' and boxmot's: a real 1080p picture, still and swept about, with noise.

The picture comes from ../shared/data, which is not published. What the camera did is known, so each estimate has an
error: the largest by which it misplaces a corner of the frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.measurement import Clock, medians
from reidkit.runtime.tracking import BotSortConfig
from reidkit.runtime.tracking.camera_motion import camera_motion_of

PICTURE = Path(__file__).parents[2] / "shared/data/mot/MOT17-mini/MOT17-02-FRCNN/img1/000001.jpg"
WARM_UP_FRAMES = 3
Affine = NDArray[np.float64]


@dataclass(frozen=True)
class Frame:
    """A picture, and how the camera moved since the one before."""

    image: NDArray[np.uint8]
    motion: Affine


@dataclass(frozen=True)
class Result:
    """By contender: median milliseconds of a frame, and pixels of error, the median frame's and the worst one's."""

    camera: str
    milliseconds: dict[str, float]
    error_px: dict[str, tuple[float, float]]


def reidkit(method: str) -> Callable[[NDArray[np.uint8]], Affine]:
    motion = camera_motion_of(BotSortConfig(camera_motion=method))
    assert motion is not None
    return motion.estimate


def ultralytics() -> Callable[[NDArray[np.uint8]], Any]:
    from ultralytics.trackers.utils.gmc import GMC

    return GMC(method="sparseOptFlow", downscale=2).apply


def boxmot() -> Callable[[NDArray[np.uint8]], Any]:
    from boxmot.motion.cmc.sof import SOF

    motion = SOF()
    return lambda image: motion.apply(image, None)


def boxmot_at_half_size() -> Callable[[NDArray[np.uint8]], Any]:
    from boxmot.motion.cmc.sof import SOF

    motion = SOF(scale=0.5)
    return lambda image: motion.apply(image, None)


CONTENDERS: dict[str, Callable[[], Callable[[NDArray[np.uint8]], Any]]] = {
    "reidkit, auto": lambda: reidkit("auto"),
    "reidkit, sparse_flow": lambda: reidkit("sparse_flow"),
    "ultralytics": ultralytics,
    "boxmot": boxmot,
    "boxmot at half size": boxmot_at_half_size,
}


def compare(*, frames: int, rounds: int) -> Iterator[Result]:
    """One result for a camera that stands and one for a camera that moves; all in one thread."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        for camera in ("still", "moving"):
            scene = list(filmed(frames, moving=camera == "moving"))
            errors: dict[str, list[float]] = {name: [] for name in CONTENDERS}

            def contender(
                name: str, scene: list[Frame] = scene, errors: dict[str, list[float]] = errors
            ) -> list[float]:
                estimate, times = CONTENDERS[name](), []
                errors[name].clear()
                for frame in scene:
                    clock = Clock.start()
                    found = estimate(frame.image)
                    times.append(clock.milliseconds())
                    errors[name].append(error_px(np.asarray(found, float), frame))
                return times[WARM_UP_FRAMES:]

            milliseconds = medians(
                {name: lambda name=name: contender(name) for name in CONTENDERS},  # type: ignore[misc]
                rounds=rounds,
            )
            quality = {name: (float(np.median(missed)), max(missed)) for name, missed in errors.items()}
            yield Result(camera, milliseconds, quality)
    finally:
        cv2.setNumThreads(threads)


def filmed(count: int, *, moving: bool) -> Iterator[Frame]:
    """Frames of a noisy camera; a moving one swings by up to 12 pixels, a fifth of a degree and half a percent."""
    random = np.random.default_rng(0)
    picture = cv2.imread(str(PICTURE))
    if picture is None:
        raise FileNotFoundError(f"{PICTURE} is not here: the camera motion benchmark needs the project's test data")
    height, width = picture.shape[:2]
    before = np.eye(3)
    for index in range(count):
        swing = np.sin(index * np.array([0.31, 0.23, 0.17, 0.13])) * moving
        now = np.eye(3)
        now[:2] = cv2.getRotationMatrix2D((width / 2, height / 2), 1.2 * swing[2], 1 + 0.04 * swing[3])
        now[:2, 2] += [40 * swing[0], 20 * swing[1]]
        image = cv2.warpAffine(picture, now[:2], (width, height), flags=cv2.INTER_LANCZOS4)
        noisy = (image + random.normal(0, 2, image.shape).astype(np.float32)).clip(0, 255).astype(np.uint8)
        yield Frame(noisy, (now @ np.linalg.inv(before))[:2])
        before = now


def error_px(found: Affine, frame: Frame) -> float:
    """Pixels by which `found` misplaces the corner that it misplaces most."""
    height, width = frame.image.shape[:2]
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], float)
    return float(np.abs(corners @ found.T - corners @ frame.motion.T).max())
