"""Crops straight from a video: a few frames spread over it, and in each the people worth looking at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.crops.crop_set import CropSet
from reidkit.runtime.detectors import Detections, Detector
from reidkit.runtime.errors import InvalidFile, InvalidInput
from reidkit.runtime.native import cut_crops
from reidkit.runtime.video.mot_files import read_detections
from reidkit.runtime.video.sources import Frame, open_source, read_ahead

FRAMES = 150
"""Most frames of a video to look at."""
PERSON = 0
MIN_SCORE = 0.5
MIN_HEIGHT = 56
"""Pixels; fewer show no clothes."""
MIN_ASPECT, MAX_ASPECT = 1.4, 4.5
"""Height over width of somebody who stands."""
MIN_INSIDE = 0.85
"""Share of a box that must lie in the frame."""


def cut_from_video(
    location: Path,
    *,
    height: int,
    width: int,
    detector: Detector | None = None,
    detections: Path | None = None,
    frames: int = FRAMES,
    should_stop: Callable[[], bool] = lambda: False,
) -> CropSet:
    """People of a video, cut from at most `frames` frames spread evenly over it and resized.

    Args:
        location: video file, folder of images, or a MOTChallenge sequence, whose own ``det/det.txt`` is used.
        height: of each crop.
        width: of each crop.
        detector: finds the people where no file tells where they are.
        detections: file of boxes in MOTChallenge's layout.
        frames: most frames to look at.
        should_stop: asked at every frame, and while none comes; what was cut so far is returned.

    Raises:
        InvalidFile: the video cannot be read, or shows nobody who could be cut out.
        InvalidInput: nothing tells where people are.
        Interrupted: `should_stop` said so before the video was open.
    """
    cut: list[NDArray[np.uint8]] = []
    names: list[str] = []
    sightings = people_in(location, detector=detector, detections=detections, frames=frames, should_stop=should_stop)
    for sighting in sightings:
        crops = np.empty((len(sighting.boxes), 3, height, width), np.uint8)
        cut_crops(sighting.frame.image, sighting.boxes, crops, swap_colors=True, antialias=False)
        cut.append(crops)
        names += [f"{location.name}#{sighting.frame.index}.{row}" for row in range(len(crops))]
    if not names and not should_stop():
        raise InvalidFile(f"{location} shows nobody who could be cut out", remedy="leave it out, or check its boxes")
    none = np.empty((0, 3, height, width), np.uint8)
    return CropSet(np.concatenate([none, *cut]), tuple(names))


class Sighting(NamedTuple):
    """A frame and the people worth cutting out of it: (N, 4) float64 whole pixels within the frame."""

    frame: Frame
    boxes: NDArray[np.float64]


def people_in(
    location: Path,
    *,
    detector: Detector | None = None,
    detections: Path | None = None,
    frames: int = FRAMES,
    min_height: int = MIN_HEIGHT,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Sighting]:
    """Frames spread evenly over a video, each with the people in it.

    Args:
        location: video file, folder of images, or a MOTChallenge sequence, whose own ``det/det.txt`` is used.
        detector: finds the people where no file tells where they are.
        detections: file of boxes in MOTChallenge's layout.
        frames: most frames to look at; where nobody knows how many there are, every tenth.
        min_height: of a box, in pixels.
        should_stop: asked at every frame, and while none comes.

    Raises:
        InvalidFile: the video or the file of boxes cannot be read.
        InvalidInput: nothing tells where people are.
        Interrupted: `should_stop` said so before the video was open.
    """
    detect = _detections(location, detector, detections)
    source = open_source(location, should_stop=should_stop)
    step = max(1, -(-source.frame_count // frames)) if source.frame_count else 10
    with closing(source), closing(read_ahead(source, should_stop=should_stop)) as ahead:
        for frame, _ in ahead:
            if should_stop():
                return
            if (frame.index - 1) % step == 0:
                yield Sighting(frame, _worthwhile(detect(frame), frame.image.shape[:2], min_height))


def _detections(location: Path, detector: Detector | None, file: Path | None) -> Callable[[Frame], Detections]:
    own = location / "det" / "det.txt"
    if file is not None or own.is_file():
        by_frame = read_detections(file or own)
        return lambda frame: by_frame.get(frame.index, Detections.none())
    if detector is None:
        raise InvalidInput(
            f"nothing tells where people are in {location}",
            remedy="name a --detector, or its file of boxes by --detections",
        )
    return lambda frame: detector.detect(frame.image)


def _worthwhile(detections: Detections, size: tuple[int, int], min_height: int) -> NDArray[np.float64]:
    """The boxes, cut to the frame, that show a whole standing person large enough to tell clothes."""
    height, width = size
    boxes = detections.boxes_xyxy
    inside = np.trunc(np.clip(boxes, 0, (width, height, width, height)))
    across, tall = (boxes[:, 2:] - boxes[:, :2]).T
    across_inside, tall_inside = (inside[:, 2:] - inside[:, :2]).T
    keep = (
        (detections.classes == PERSON)
        & (detections.scores >= MIN_SCORE)
        & (tall >= min_height)
        & (tall >= MIN_ASPECT * across)
        & (tall <= MAX_ASPECT * across)
        & (across_inside * tall_inside >= MIN_INSIDE * across * tall)
        & (across_inside >= 1)
    )
    worthwhile: NDArray[np.float64] = inside[keep]
    return worthwhile
