"""When tracks of two cameras are one person's: the ways between the cameras, and how alike two must be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.errors import InvalidConfig, did_you_mean
from reidkit.runtime.tracking.arguments import is_number, is_whole
from reidkit.runtime.yaml_mapping import read_mapping

DEFAULT_REACH_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A way between two cameras.

    Attributes:
        cameras: the two, in any order.
        min_s: seconds that it takes at least to get from one picture into the other.
        max_s: and at most.
        overlap: whether they may see one person at once.
    """

    cameras: tuple[int, int]
    min_s: float = 0.0
    max_s: float = DEFAULT_REACH_S
    overlap: bool = False

    def __post_init__(self) -> None:
        cameras = self.cameras
        if not isinstance(cameras, tuple) or len(cameras) != 2 or not all(map(is_whole, cameras)):
            raise InvalidConfig(
                f"a passage's cameras are two numbers, found {_shown(cameras)}", remedy="such as [0, 1]"
            )
        if cameras[0] == cameras[1]:
            raise InvalidConfig(f"a passage leads from one camera to another, found {_shown(cameras)}")
        for name in ("min_s", "max_s"):
            _check_number(name, getattr(self, name), 0, 1e9)
        if self.min_s > self.max_s:
            raise InvalidConfig(f"a passage's min_s {self.min_s:g} is above its max_s {self.max_s:g}")
        if not isinstance(self.overlap, bool):
            raise InvalidConfig(f"a passage's overlap is true or false, found {self.overlap!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AcrossCamerasConfig:
    """When tracks of two cameras are one person's.

    Attributes:
        min_cosine: the mean of best and average cosine between their embeddings, at least; -1..1.
        margin: by how much every rival of either must stay below.
        min_sightings: embeddings of a track before it is compared; no more than `history`.
        history: embeddings that are kept of a track, spread over its life.
        interval_s: seconds between comparisons.
        passages: ways between cameras, one for two of them; where none is given every two cameras may see one person at
            once or a minute apart, where some are given there are no others.
        ground: by camera, a (3, 3) homography from pixels to metres on the ground, common to all.
        max_distance_m: between the places of one person whom two cameras with a `ground` see at once.
    """

    min_cosine: float = 0.45
    margin: float = 0.05
    min_sightings: int = 5
    history: int = 50
    interval_s: float = 0.5
    passages: tuple[Passage, ...] = ()
    ground: Mapping[int, NDArray[np.float64]] = field(default_factory=dict)
    max_distance_m: float = 2.0

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            _check_number(name, getattr(self, name), low, high, whole=name in ("min_sightings", "history"))
        if self.min_sightings > self.history:
            raise InvalidConfig(
                f"min_sightings {self.min_sightings} is above history {self.history}: nobody has as many"
            )
        if not all(isinstance(passage, Passage) for passage in self.passages):
            raise InvalidConfig(f"passages must be Passage values, found {self.passages!r}")
        ways = [frozenset(passage.cameras) for passage in self.passages]
        for way in ways:
            if ways.count(way) > 1:
                raise InvalidConfig(f"there are two passages between cameras {_shown(sorted(way))}", remedy="keep one")
        for camera, homography in self.ground.items():
            sound = isinstance(homography, np.ndarray) and homography.shape == (3, 3) and np.isfinite(homography).all()
            if not sound or np.linalg.matrix_rank(homography) < 3:
                raise InvalidConfig(f"the ground of camera {camera} is no finite, invertible (3, 3) homography")

    @staticmethod
    def load(path: str | Path, *, cameras: int | None = None) -> AcrossCamerasConfig:
        """The settings in a YAML file, under the names above; passages are mappings of theirs.

        Args:
            path: the file.
            cameras: how many there are, numbered from 0; None: not known, and any number is one's.

        Raises:
            InvalidFile: there is none, it is no YAML, or it says something twice.
            InvalidConfig: an unknown key, a value of the wrong type or out of range, a camera that there is not.
        """
        given = read_mapping(Path(path), name=path)
        try:
            _refuse_unknown(given, AcrossCamerasConfig)
            if "passages" in given:
                given["passages"] = _passages(given["passages"], cameras)
            if "ground" in given:
                given["ground"] = _ground(given["ground"], cameras)
            return AcrossCamerasConfig(**given)
        except InvalidConfig as error:
            raise InvalidConfig(f"{path}: {error.message}", remedy=error.remedy) from error

    def passage(self, one: int, other: int) -> Passage | None:
        """The way between two cameras, None where there is none."""
        if not self.passages:
            return Passage(cameras=(one, other), overlap=True)
        return next((each for each in self.passages if set(each.cameras) == {one, other}), None)


_RANGES: dict[str, tuple[float, float]] = {
    "min_cosine": (-1, 1),
    "margin": (0, 2),
    "min_sightings": (1, 10_000),
    "history": (1, 10_000),
    "interval_s": (0, 3600),
    "max_distance_m": (1e-6, 1e6),
}


def _passages(given: object, cameras: int | None) -> tuple[Passage, ...]:
    """The ways that a file lists."""
    remedy = "such as [{cameras: [0, 1], min_s: 4, max_s: 30}]"
    if not isinstance(given, list):
        raise InvalidConfig(f"passages are a list, found {given!r}", remedy=remedy)
    found = []
    for number, each in enumerate(given):
        where = f"passages[{number}]"
        if not isinstance(each, dict):
            raise InvalidConfig(f"{where} is {each!r}, no mapping", remedy=remedy)
        try:
            _refuse_unknown(each, Passage)
            if "cameras" not in each:
                raise InvalidConfig("a passage names its two cameras", remedy="add cameras: [0, 1]")
            ends = each["cameras"]
            passage = Passage(**{**each, "cameras": tuple(ends) if isinstance(ends, list) else ends})
            for camera in passage.cameras:
                _check_camera(camera, cameras)
        except InvalidConfig as error:
            raise InvalidConfig(f"{where}: {error.message}", remedy=error.remedy) from error
        found.append(passage)
    return tuple(found)


def _ground(given: object, cameras: int | None) -> dict[int, NDArray[np.float64]]:
    """The homographies that a file gives by camera."""
    remedy = "give three rows of three numbers: 0: [[0.02, 0, -3], [0, 0.05, -9], [0, 0.001, 1]]"
    if not isinstance(given, dict):
        raise InvalidConfig(f"ground is a homography for each camera, found {given!r}", remedy=remedy)
    found = {}
    for camera, rows in given.items():
        if not is_whole(camera):
            raise InvalidConfig(f"ground is by the number of a camera, found {camera!r}", remedy=remedy)
        _check_camera(camera, cameras)
        numbers = [number for row in rows for number in row] if _is_square(rows) else []
        if len(numbers) != 9 or not all(map(is_number, numbers)):
            raise InvalidConfig(f"the ground of camera {camera} is no homography: {rows!r}", remedy=remedy)
        found[camera] = np.array(rows, np.float64)
    return found


def _check_camera(camera: int, cameras: int | None) -> None:
    if camera < 0 or (cameras is not None and camera >= cameras):
        there_are = "0 or more" if cameras is None else f"0 to {cameras - 1}"
        raise InvalidConfig(f"there is no camera {camera}", remedy=f"cameras are numbered in their order, {there_are}")


def _refuse_unknown(given: Mapping[Any, object], settings: type) -> None:
    known = [each.name for each in fields(settings)]
    for key in given:
        if key not in known:
            raise InvalidConfig(f"unknown key {key!r}", remedy=did_you_mean(str(key), known))


def _check_number(name: str, value: object, low: float, high: float, *, whole: bool = False) -> None:
    if not (is_whole(value) if whole else is_number(value)):
        raise InvalidConfig(f"{name} must be {'a whole' if whole else 'a'} number, found {value!r}")
    if not low <= value <= high:  # type: ignore[operator]
        raise InvalidConfig(f"{name} must lie within {low:g} and {high:g}, found {value!r}")


def _is_square(rows: object) -> bool:
    return isinstance(rows, list) and len(rows) == 3 and all(isinstance(row, list) and len(row) == 3 for row in rows)


def _shown(cameras: object) -> str:
    """As a file has them."""
    return str(list(cameras)) if isinstance(cameras, tuple) else repr(cameras)
