"""The rendered street: what happens on it, and the cameras that see it.

A street is decided by its `StreetConfig` alone, seed included. Looks, scenery, walks, light and detectors draw from
streams of their own, so that another number of frames, or of cameras, shows the same people.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from reidkit.calibration.street.backdrop import Backdrop
from reidkit.calibration.street.camera import Camera, CameraMotion
from reidkit.calibration.street.light import Light
from reidkit.calibration.street.people import Figure, look_alike, random_figure, unlikeness
from reidkit.calibration.street.scene import random_row, random_scene
from reidkit.calibration.street.sprites import Sprites
from reidkit.calibration.street.view import Happening, StreetFrame, StreetView
from reidkit.calibration.street.walks import simulate_walks
from reidkit.runtime.errors import InvalidInput

_CAMERAS = Camera.facing_street, Camera.from_opposite
_LIMITS = {
    "people": (1, 500),
    "frames": (1, 1_000_000),
    "width": (64, 7680),
    "height": (64, 4320),
    "fps": (1, 240),
    "views": (1, len(_CAMERAS)),
}


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
        views: how many cameras: 1, or 2 that see a part of the street both.
    """

    seed: int = 0
    people: int = 10
    look_alikes: int = 2
    frames: int = 300
    width: int = 640
    height: int = 480
    fps: float = 15.0
    camera: CameraMotion = "still"
    views: int = 1

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


class Street:
    """A street with people; iterate to render its first view, again and again if need be.

    Attributes:
        config: what was asked for.
        figures: the people, in the order of their ids; the last `look_alikes` resemble the first.
        views: what each camera sees, at the same moments.
    """

    def __init__(self, config: StreetConfig) -> None:
        self.config = config
        looks, scenery, walks, light, detector = np.random.SeedSequence(config.seed).spawn(5)
        self.figures = _people(config, _generator(looks))
        cameras = [camera(config.width, config.height) for camera in _CAMERAS[: config.views]]
        sights = [camera.sight(config.camera) for camera in cameras]
        rngs = [_generator(seed) for seed in _branches(scenery, config.views)]
        scene = random_scene(rngs[0], sights)
        alike = config.look_alikes
        happening = Happening(
            figures=self.figures,
            sprites=Sprites(self.figures, seed=config.seed),
            walks=simulate_walks(
                self.figures,
                scene,
                look_alikes=[(person, config.people - alike + person) for person in range(alike)],
                sights=sights,
                frames=config.frames,
                frame_rate=config.fps,
                rng=_generator(walks),
            ),
            light=Light(config.frames / config.fps, rng=_generator(light)),
            frame_rate=config.fps,
        )
        others = (replace(scene, row=random_row(rng, sight)) for rng, sight in zip(rngs[1:], sights[1:], strict=True))
        self.views = tuple(
            StreetView(
                name=f"view{number}",
                camera=camera,
                motion=config.camera,
                happening=happening,
                scene=seen,
                backdrop=Backdrop(seen, camera, config.camera, rng=rng),
                detector_seed=seed,
            )
            for number, (camera, seen, rng, seed) in enumerate(
                zip(cameras, (scene, *others), rngs, _branches(detector, config.views), strict=True), 1
            )
        )

    def __len__(self) -> int:
        return self.config.frames

    def __iter__(self) -> Iterator[StreetFrame]:
        return iter(self.views[0])


def _people(config: StreetConfig, rng: np.random.Generator) -> tuple[Figure, ...]:
    """Everybody who will walk here, in clothes of their own but for the look-alikes."""
    figures: list[Figure] = []
    while len(figures) < config.people - config.look_alikes:
        candidates = [random_figure(rng) for _ in range(6)]
        figures.append(max(candidates, key=lambda one: min((unlikeness(one, other) for other in figures), default=0)))
    return (*figures, *(look_alike(figure, rng) for figure in figures[: config.look_alikes]))


def _generator(seed: np.random.SeedSequence) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def _branches(seed: np.random.SeedSequence, views: int) -> list[np.random.SeedSequence]:
    """A seed for each view; the first one's is the same however many there are."""
    return [seed, *seed.spawn(views - 1)]
