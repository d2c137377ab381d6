"""The crops that shall stand for a camera: unlike each other, from all its hours, distances and lights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.crops.cutting import people_in
from reidkit.calibration.crops.folder import find_crops, read_image
from reidkit.calibration.crops.sampler import FarthestFirst
from reidkit.runtime.detectors import Detector
from reidkit.runtime.native import cut_crops

MIN_HEIGHT = 32
"""Pixels; a tracker embeds far smaller people than a network could learn from."""
FOLDER_CROPS = 4096
"""Most images of a folder to choose from."""
_THIRDS = 3
_THUMBNAIL = (16, 8)


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A crop that may be chosen.

    Attributes:
        source: file or folder it is from.
        name: of the image, or of the frame and the box in it.
        image: (H, W, 3) uint8 BGR, as large as it was found.
        time: place within its source, in [0, 1]; None where images are in no order of time.
    """

    source: str
    name: str
    image: NDArray[np.uint8]
    time: float | None

    @property
    def light(self) -> float:
        """Mean level, in 0…255."""
        return float(self.image.mean())


def candidates_of_folder(folder: Path) -> Iterator[Candidate]:
    """Images of a folder, spread evenly over it where they are many. Raises `InvalidFile` as `find_crops` does."""
    for path in find_crops(folder, limit=FOLDER_CROPS):
        yield Candidate(folder.name, str(path.relative_to(folder)), read_image(path), None)


def candidates_of_video(
    location: Path,
    *,
    detector: Detector | None,
    detections: Path | None,
    frames: int,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Candidate]:
    """People of a video or a MOTChallenge sequence; arguments and errors are those of `people_in`."""
    sightings = people_in(
        location,
        detector=detector,
        detections=detections,
        frames=frames,
        min_height=MIN_HEIGHT,
        should_stop=should_stop,
    )
    found = [
        (sighting.frame.index, row, sighting.frame.image[top:bottom, left:right].copy())
        for sighting in sightings
        for row, (left, top, right, bottom) in enumerate(sighting.boxes.astype(np.int64).tolist())
    ]
    last = found[-1][0] if found else 1
    for index, row, image in found:
        yield Candidate(location.name, f"{location.name}#{index}.{row}", image, index / last)


def thumbnails(candidates: Iterable[Candidate]) -> NDArray[np.float32]:
    """(N, 384) float32: what is where in which colour, for whoever has no network at hand; compared by cosine."""
    rows = []
    for candidate in candidates:
        small = np.empty((1, 3, *_THUMBNAIL), np.float32)
        whole = np.array([[0, 0, *candidate.image.shape[1::-1]]], np.float64)
        cut_crops(candidate.image, whole, small, swap_colors=False, antialias=True, mean=(127.3,) * 3)
        rows.append(small.ravel())
    return np.stack(rows)


def balanced_choice(
    candidates: list[Candidate], embeddings: NDArray[np.floating], count: int, *, seed: int
) -> NDArray[np.int64]:
    """Rows of candidates, chosen one after another: of the group that has the fewest so far, the least like all chosen.

    A group shares source and third of time, of size and of light.

    Args:
        candidates: to choose from, at least one.
        embeddings: (N, D) floating, finite, no row of zeros; compared by cosine.
        count: how many to choose; all N where there are fewer.
        seed: decides between equals.
    """
    shuffled = np.random.default_rng(seed).permutation(len(candidates))
    groups: dict[tuple[object, ...], list[int]] = {}
    for row, key in zip(shuffled.tolist(), _groups([candidates[row] for row in shuffled]), strict=True):
        groups.setdefault(key, []).append(row)
    choice = FarthestFirst(embeddings)
    taken: Counter[tuple[object, ...]] = Counter(dict.fromkeys(groups, 0))
    chosen: list[int] = []
    while groups and len(chosen) < count:
        key = min(groups, key=taken.__getitem__)
        chosen.append(choice.take(groups[key]))
        taken[key] += 1
        if not groups[key]:
            del groups[key]
    return np.array(chosen, np.int64)


def _groups(candidates: list[Candidate]) -> Iterator[tuple[object, ...]]:
    """Of each candidate, what it shares with its group."""
    sizes = _thirds([candidate.image.shape[0] for candidate in candidates])
    lights = _thirds([candidate.light for candidate in candidates])
    for candidate, size, light in zip(candidates, sizes, lights, strict=True):
        third = None if candidate.time is None else min(int(candidate.time * _THIRDS), _THIRDS - 1)
        yield candidate.source, third, size, light


def _thirds(values: list[float]) -> list[int]:
    """Into which third of all values each falls."""
    limits = np.quantile(values, [step / _THIRDS for step in range(1, _THIRDS)])
    thirds: list[int] = np.searchsorted(limits, values).tolist()
    return thirds
