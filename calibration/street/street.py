"""The rendered street: frames, where everybody is in them, and what a detector would make of it.

A street is decided by its `StreetConfig` alone, seed included. Looks, scenery, walks, light and detector draw from
streams of their own, so that another number of frames shows the same people.
"""

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
from reidkit.calibration.street.people import Figure, look_alike, random_figure, unlikeness
from reidkit.calibration.street.scene import SHADOW_LENGTH, SUN, random_scene
from reidkit.calibration.street.sprites import Sprite, Sprites
from reidkit.calibration.street.stage import Placed, Stage
from reidkit.calibration.street.walks import simulate_walks
from reidkit.runtime.detectors.detections import Detections
from reidkit.runtime.errors import InvalidInput

_SEEN = 0.1  # visibility from which a person counts as present
_LIMITS = {"people": (1, 500), "frames": (1, 1_000_000), "width": (64, 7680), "height": (64, 4320), "fps": (1, 240)}


@dataclass(frozen=True, slots=True, kw_only=True)
class StreetConfig:
    """What to render.

    Attributes:
        seed: decides everything that is not said here.
        people: how many, look-alikes included.
        look_alikes: how many of them wear somebody else's clothes.
        frames: how many.
        width, height: of a frame, in pixels.
        fps: frames a second.
        camera: `still`, or `pan` for one that sweeps from side to side.
    """

    seed: int = 0
    people: int = 10
    look_alikes: int = 2
    frames: int = 300
    width: int = 640
    height: int = 480
    fps: float = 15.0
    camera: CameraMotion = "still"

    def __post_init__(self) -> None:
        for name, (low, high) in _LIMITS.items():
            if not low <= getattr(self, name) <= high:
                raise InvalidInput(f"{name} is {getattr(self, name)}", remedy=f"choose between {low} and {high}")
        if self.width > 3 * self.height:
            raise InvalidInput(
                f"a frame of {self.width}x{self.height}", remedy="choose one at most 3 times as wide as high"
            )
        if not 0 <= self.look_alikes <= self.people // 2:
            raise InvalidInput(
                f"{self.look_alikes} look-alikes among {self.people} people",
                remedy=f"choose at most {self.people // 2}: each needs somebody to resemble",
            )
        if self.seed < 0:
            raise InvalidInput(f"seed is {self.seed}", remedy="choose 0 or more")


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


class Street:
    """A street with people; iterate to render it, again and again if need be.

    Attributes:
        config: what was asked for.
        figures: the people, in the order of their ids; the last `look_alikes` resemble the first.
    """

    def __init__(self, config: StreetConfig) -> None:
        self.config = config
        looks, scenery, walks, self._light_seed, self._detector_seed = np.random.SeedSequence(config.seed).spawn(5)
        self.figures = _people(config, _generator(looks))
        self._camera = Camera.facing_street(config.width, config.height)
        edge, _ = self._camera.farthest(config.camera).straight(np.array([config.width]), np.zeros((1, 1)))
        reach = float(edge[0] - self._camera.center_x) / self._camera.focal
        rng = _generator(scenery)
        self._scene = random_scene(rng, reach=reach)
        self._backdrop = Backdrop(self._scene, self._camera, config.camera, rng=rng)
        self._sprites = Sprites(self.figures, seed=config.seed)
        alike = config.look_alikes
        self._walks = simulate_walks(
            self.figures,
            self._scene,
            look_alikes=[(person, config.people - alike + person) for person in range(alike)],
            reach=reach,
            frames=config.frames,
            frame_rate=config.fps,
            rng=_generator(walks),
        )

    def __len__(self) -> int:
        return self.config.frames

    def __iter__(self) -> Iterator[StreetFrame]:
        config = self.config
        light = Light(config.frames / config.fps, rng=_generator(self._light_seed))
        detector = ImaginedDetector(config.width, config.height, rng=_generator(self._detector_seed))
        for frame in range(config.frames):
            time_s = frame / config.fps
            stage = self._stage(frame, sun=light.sun(time_s), camera=self._camera.at(time_s, config.camera))
            image = np.ascontiguousarray(light.shine(stage.picture, time_s)[..., ::-1])
            boxes_xyxy, visibility = stage.boxes_xyxy, stage.visibility()
            ids = np.flatnonzero(visibility >= _SEEN)
            detections = detector.detect(boxes_xyxy, visibility)
            yield StreetFrame(image, ids + 1, boxes_xyxy[ids], visibility[ids], detections)

    def _stage(self, frame: int, *, sun: float, camera: Camera) -> Stage:
        """The frame with everybody in place."""
        stage = Stage(self._backdrop.ground(camera), people=len(self.figures))
        places = self._walks.places[frame]
        seen = camera.project(*places.T)
        pillars = camera.project(*np.array([(pillar.x, pillar.z) for pillar in self._scene.pillars]).T)
        shade = self._scene.shade(*places.T)
        tips = camera.project(*self._shadow_tips(places).T)
        sprites = {}
        for person in np.flatnonzero(_in_sight(seen, camera)).tolist():
            height = self.figures[person].height_m * float(seen.pixels_per_m[person])
            foot, tip = (float(seen.x[person]), float(seen.y[person])), (float(tips.x[person]), float(tips.y[person]))
            sprites[person] = Placed(self._sprite(person, frame, camera, height), foot, height)
            stage.cast_shadow(sprites[person], tip, strength=sun * (1 - float(shade[person])))
        depths = [(float(seen.depth_m[person]), person, True) for person in sprites]
        depths += [(float(depth), index, False) for index, depth in enumerate(pillars.depth_m)]
        for _, index, is_person in sorted(depths, reverse=True):
            if is_person:
                stage.place_person(index, sprites[index], lit=1 - 0.3 * float(shade[index]))
            else:
                stage.place_pillar(self._backdrop.pillar(index, camera))
        return stage

    def _sprite(self, person: int, frame: int, camera: Camera, height: float) -> Sprite:
        """Somebody as the camera sees them walk."""
        walks = self._walks
        (x, z), (ahead_x, ahead_z) = walks.places[frame, person].tolist(), walks.headings[frame, person].tolist()
        away = sqrt(x * x + z * z)
        return self._sprites.sprite(
            person,
            front=-(ahead_x * x + ahead_z * z) / away,
            side=(ahead_x * z - ahead_z * x) / away,
            phase=float(walks.phases[frame, person]),
            stride=float(walks.strides[frame, person]),
            height=height,
        )

    def _shadow_tips(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """(P, 2) where the shadows of their heads fall."""
        heights = np.array([figure.height_m for figure in self.figures])[:, None]
        tips: NDArray[np.float64] = places + heights * SHADOW_LENGTH * np.array(SUN)
        return tips


def _people(config: StreetConfig, rng: np.random.Generator) -> tuple[Figure, ...]:
    """Everybody who will walk here, in clothes of their own but for the look-alikes."""
    figures: list[Figure] = []
    while len(figures) < config.people - config.look_alikes:
        candidates = [random_figure(rng) for _ in range(6)]
        figures.append(max(candidates, key=lambda one: min((unlikeness(one, other) for other in figures), default=0)))
    return (*figures, *(look_alike(figure, rng) for figure in figures[: config.look_alikes]))


def _in_sight(seen: Projected, camera: Camera) -> NDArray[np.bool_]:
    """(P,) who stands before the camera and reaches into its picture."""
    is_before = seen.depth_m > 1
    half = 0.6 * seen.pixels_per_m
    in_sight: NDArray[np.bool_] = is_before & (seen.x + half > 0) & (seen.x - half < camera.width)
    return in_sight


def _generator(seed: np.random.SeedSequence) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))
