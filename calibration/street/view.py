"""What one camera sees of the street: frames, where everybody is in them, and what a detector would make of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.street.backdrop import Backdrop
from reidkit.calibration.street.camera import Camera, CameraMotion, Projected
from reidkit.calibration.street.detecting import ImaginedDetector
from reidkit.calibration.street.light import Light
from reidkit.calibration.street.people import Figure
from reidkit.calibration.street.scene import SHADOW_LENGTH, SUN, Scene, backlight, sidelight
from reidkit.calibration.street.sprites import Sprite, Sprites
from reidkit.calibration.street.stage import Placed, Stage
from reidkit.calibration.street.walks import Walks
from reidkit.runtime.detectors.detections import Detections

_SEEN = 0.1  # visibility from which a person counts as present
_SIDELIT, _BACKLIT = 0.6, 0.15  # how much light from aside shapes a body, and light from behind darkens it


@dataclass(frozen=True, slots=True, eq=False)
class StreetFrame:
    """One frame and the truth about it.

    Attributes:
        image: (H, W, 3) uint8 BGR.
        ids: (P,) int64 who is there, from 1.
        boxes_xyxy: (P, 4) float64 whole bodies, hidden parts included, in pixels; may reach beyond the frame.
        visibility: (P,) float64 share of the body that is seen.
        detections: what the imagined detector found.
    """

    image: NDArray[np.uint8]
    ids: NDArray[np.int64]
    boxes_xyxy: NDArray[np.float64]
    visibility: NDArray[np.float64]
    detections: Detections


@dataclass(frozen=True, slots=True, eq=False)
class Happening:
    """What there is to see, whoever looks.

    Attributes:
        figures: the people.
        sprites: their pictures.
        walks: where they are.
        light: what falls on them.
        frame_rate: moments a second.
    """

    figures: tuple[Figure, ...]
    sprites: Sprites
    walks: Walks
    light: Light
    frame_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StreetView:
    """A street as one camera sees it; iterate to render it, again and again if need be.

    Attributes:
        name: `view1` or `view2`.
        camera: not turned.
        motion: how it moves.
        happening: what there is to see.
        scene: where, as this camera sees it.
        backdrop: the same, painted.
        detector_seed: of what is found in this view.
    """

    name: str
    camera: Camera
    motion: CameraMotion
    happening: Happening
    scene: Scene
    backdrop: Backdrop
    detector_seed: np.random.SeedSequence

    def __len__(self) -> int:
        return len(self.happening.walks.places)

    def __iter__(self) -> Iterator[StreetFrame]:
        light, rng = self.happening.light, np.random.Generator(np.random.PCG64(self.detector_seed))
        detector = ImaginedDetector(self.camera.width, self.camera.height, rng=rng)
        for frame in range(len(self)):
            time_s = frame / self.happening.frame_rate
            camera = self.camera_at(frame)
            stage = self._stage(frame, camera, sun=light.sun(time_s))
            image = np.ascontiguousarray(light.shine(stage.picture, time_s, camera.response)[..., ::-1])
            boxes_xyxy, visibility = stage.boxes_xyxy, stage.visibility()
            ids = np.flatnonzero(visibility >= _SEEN)
            detections = detector.detect(boxes_xyxy, visibility)
            yield StreetFrame(image, ids + 1, boxes_xyxy[ids], visibility[ids], detections)

    def camera_at(self, frame: int) -> Camera:
        """The camera as it is turned in a frame, the first of which is 0."""
        return self.camera.at(frame / self.happening.frame_rate, self.motion)

    def _stage(self, frame: int, camera: Camera, *, sun: float) -> Stage:
        """The frame with everybody in place."""
        figures, places = self.happening.figures, self.happening.walks.places[frame]
        stage = Stage(self.backdrop.ground(camera), people=len(figures))
        seen = camera.project(*places.T)
        pillars = camera.project(*np.array([(pillar.x, pillar.z) for pillar in self.scene.pillars]).T)
        shade, lit = self.scene.shade(*places.T), 1 - _BACKLIT * backlight(camera)
        tips = camera.project(*self._shadow_tips(places).T)
        sprites = {}
        for person in _in_sight(seen, camera, 0.6):
            height = figures[person].height_m * float(seen.pixels_per_m[person])
            foot, tip = (float(seen.x[person]), float(seen.y[person])), (float(tips.x[person]), float(tips.y[person]))
            sprites[person] = Placed(self._sprite(person, frame, height), foot, height)
            stage.cast_shadow(sprites[person], tip, strength=sun * (1 - float(shade[person])))
        depths = [(float(seen.depth_m[person]), person, True) for person in sprites]
        depths += [(float(pillars.depth_m[index]), index, False) for index in _in_sight(pillars, camera, 2.0)]
        for _, index, is_person in sorted(depths, reverse=True):
            if is_person:
                stage.place_person(index, sprites[index], lit=lit * (1 - 0.3 * float(shade[index])))
            else:
                stage.place_pillar(self.backdrop.pillar(index, camera))
        return stage

    def _sprite(self, person: int, frame: int, height: float) -> Sprite:
        """Somebody as the camera sees them walk."""
        walks = self.happening.walks
        (x, z), (ahead_x, ahead_z) = walks.places[frame, person].tolist(), walks.headings[frame, person].tolist()
        x, z = x - self.camera.x, z - self.camera.z
        away = sqrt(x * x + z * z)
        return self.happening.sprites.sprite(
            person,
            front=-(ahead_x * x + ahead_z * z) / away,
            side=(ahead_x * z - ahead_z * x) / away,
            phase=float(walks.phases[frame, person]),
            stride=float(walks.strides[frame, person]),
            sun=_SIDELIT * sidelight(self.camera),
            height=height,
        )

    def _shadow_tips(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """(P, 2) where the shadows of their heads fall."""
        heights = np.array([figure.height_m for figure in self.happening.figures])[:, None]
        tips: NDArray[np.float64] = places + heights * SHADOW_LENGTH * np.array(SUN)
        return tips


def _in_sight(seen: Projected, camera: Camera, half_m: float) -> list[int]:
    """What stands before the camera and, of that half width, reaches into its picture."""
    half = half_m * seen.pixels_per_m
    is_in_sight = (seen.depth_m > 1) & (seen.x + half > 0) & (seen.x - half < camera.width)
    indices: list[int] = np.flatnonzero(is_in_sight).tolist()
    return indices
