"""Who is where at what time: errands that lead people past, behind and into each other, and away and back.

Everybody follows errands of their own: to cross the street, to stop behind a pillar and come out on either side, to
turn round half way, to leave and return. Encounters, planned beforehand, bring two people to one place at one time, as
often as not behind a pillar, where either may go on or turn back: there motion alone cannot tell who is who.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.street.body import CYCLE
from reidkit.calibration.street.camera import Sight
from reidkit.calibration.street.people import Figure, between, one_of
from reidkit.calibration.street.scene import WALKABLE_Z, Pillar, Scene

Floats = NDArray[np.float64]

_WARM_UP_S = 4.0
_BEHIND_M = 0.75  # between a pillar's surface and whoever hides behind it
_ENCOUNTER_EVERY_S = 6.0  # for each person
_APPROACH_S = 3.5


@dataclass(frozen=True, slots=True, eq=False)
class Walks:
    """What P people do in F frames.

    Attributes:
        places: (F, P, 2) x and z on the ground in metres.
        headings: (F, P, 2) directions of length 1.
        phases: (F, P) 0..1, where in the cycle of two steps.
        strides: (F, P) 0 stands .. 1 walks.
    """

    places: Floats
    headings: Floats
    phases: Floats
    strides: Floats


class _Goal(NamedTuple):
    """Where to go, and how long to stay."""

    x: float
    z: float
    pause_s: float


class _Encounter(NamedTuple):
    """Where to be from `start_s` to `end_s`."""

    start_s: float
    end_s: float
    x: float
    z: float


def simulate_walks(
    figures: Sequence[Figure],
    scene: Scene,
    *,
    look_alikes: Sequence[tuple[int, int]],
    sights: Sequence[Sight],
    frames: int,
    frame_rate: float,
    rng: np.random.Generator,
) -> Walks:
    """Walks of all people for a number of frames.

    Args:
        figures: who walks; the tall and those of quick cadence step differently.
        scene: its pillars are walked round and hidden behind.
        look_alikes: pairs of people who shall meet more often than others.
        sights: what the cameras see; people walk where one does, and leave where none does.
        frames: how many to record.
        frame_rate: of them a second.
        rng: decides everything.
    """
    streams = rng.spawn(len(figures) + 1)
    duration_s = frames / frame_rate + _WARM_UP_S
    encounters = _plan_encounters(len(figures), scene, look_alikes, sights, duration_s, streams[-1])
    crowd = _Crowd(figures, scene, sights, encounters, streams[:-1])
    step_s = 1 / frame_rate
    for _ in range(round(_WARM_UP_S * frame_rate)):
        crowd.step(step_s)
    recorded = []
    for _ in range(frames):
        recorded.append((crowd.places.copy(), crowd.headings.copy(), crowd.phases.copy(), crowd.strides))
        crowd.step(step_s)
    places, headings, phases, strides = (np.stack(column) for column in zip(*recorded, strict=True))
    return Walks(places, headings, phases, strides)


class _Crowd:
    """All people at one time."""

    def __init__(
        self,
        figures: Sequence[Figure],
        scene: Scene,
        sights: Sequence[Sight],
        encounters: Sequence[list[_Encounter]],
        streams: Sequence[np.random.Generator],
    ) -> None:
        self._pillars = scene.pillars
        self._encounters = encounters
        self._errands = [_errands(rng, scene, sights) for rng in streams]
        self._goals = [next(errands) for errands in self._errands]
        self._pauses_s = [goal.pause_s for goal in self._goals]
        self._paces = np.array([between(rng, 1.0, 1.4) for rng in streams])
        self._cycles_m = np.array([CYCLE * figure.height_m / figure.cadence for figure in figures])
        self._time_s = 0.0
        self.places = np.array([_somewhere(rng, sights) for rng in streams])
        self._speeds = np.zeros_like(self.places)
        self.headings = np.tile([1.0, 0.0], (len(figures), 1))
        self.phases = np.array([rng.random() for rng in streams])

    @property
    def strides(self) -> Floats:
        """(P,) 0 stands .. 1 walks."""
        return np.clip(_lengths(self._speeds) / 0.9, 0, 1)

    def step(self, step_s: float) -> None:
        """Let time pass."""
        wishes = np.array([self._wish(person, step_s) for person in range(len(self.places))])
        wishes += self._crowding()
        self._speeds += (wishes - self._speeds) * min(1.0, step_s / 0.3)
        self.places = self._around_pillars(self.places + self._speeds * step_s)
        lengths = _lengths(self._speeds)
        turned = self.headings + self._speeds * np.where(lengths > 0.25, step_s / 0.12, 0)[:, None]
        self.headings = turned / np.maximum(_lengths(turned), 1e-9)[:, None]
        self.phases = (self.phases + lengths * step_s / self._cycles_m) % 1.0
        self._time_s += step_s

    def _wish(self, person: int, step_s: float) -> tuple[float, float]:
        """The velocity that somebody wants to have."""
        x, z = self.places[person].tolist()
        pace = float(self._paces[person])
        due = [meeting for meeting in self._encounters[person] if meeting.start_s <= self._time_s < meeting.end_s]
        if due:
            goal, left_s = due[0], due[0].start_s + _APPROACH_S - self._time_s
            dx, dz = goal.x - x, goal.z - z
            distance = sqrt(dx * dx + dz * dz)
            pace = min(max(distance / max(left_s, 0.2), 0.5), 1.8)
        else:
            errand = self._goals[person]
            dx, dz = errand.x - x, errand.z - z
            distance = sqrt(dx * dx + dz * dz)
            if distance < 0.4:
                self._pauses_s[person] -= step_s
                if self._pauses_s[person] <= 0:
                    self._goals[person] = next(self._errands[person])
                    self._pauses_s[person] = self._goals[person].pause_s
        pace = min(pace, 2.5 * distance)
        return (dx / distance * pace, dz / distance * pace) if distance > 0.05 else (0.0, 0.0)

    def _crowding(self) -> Floats:
        """How people give way to each other, (P, 2) metres a second."""
        apart = self.places[:, None] - self.places[None]
        distances = np.maximum(_lengths(apart), 0.05)
        push = np.clip(0.75 - distances, 0, None) * (distances > 0.06) * 2.2
        # A little to the right as well, or two who meet head on would stand.
        sideways = np.stack([apart[..., 1], -apart[..., 0]], axis=-1)
        return np.asarray(((apart + 0.5 * sideways) / distances[..., None] * push[..., None]).sum(axis=1))

    def _around_pillars(self, places: Floats) -> Floats:
        for pillar in self._pillars:
            middle = np.array([pillar.x, pillar.z])
            away = places - middle
            distances = np.maximum(_lengths(away), 1e-6)
            near = pillar.radius + 0.3 - distances
            sideways = np.stack([away[:, 1], -away[:, 0]], axis=-1)
            shift = (away + 0.3 * sideways) / distances[:, None] * np.clip(near, 0, None)[:, None]
            places = places + shift
        return places


def _errands(rng: np.random.Generator, scene: Scene, sights: Sequence[Sight]) -> Iterator[_Goal]:
    """One goal after another, for ever."""
    side = one_of(rng, [-1, 1])
    while True:
        errand = one_of(rng, ["cross", "cross", "hide", "hide", "turn", "stroll"])
        if errand == "cross":
            side = -side
            yield _outside(rng, side, sights)
        elif errand == "hide":
            yield _Goal(*_behind(one_of(rng, scene.pillars), sights), pause_s=between(rng, 0.5, 1.8))
        elif errand == "turn":
            yield _Goal(*_somewhere(rng, sights), pause_s=between(rng, 0, 0.4))
            yield _outside(rng, side, sights)
        else:
            yield _Goal(*_somewhere(rng, sights), pause_s=between(rng, 0.4, 2.0))


def _outside(rng: np.random.Generator, side: int, sights: Sequence[Sight]) -> _Goal:
    """Just out of all cameras' sight."""
    z = between(rng, *WALKABLE_Z)
    edge = max(side * sight.at(z, side) for sight in sights)
    return _Goal(side * (edge + 0.8), z, between(rng, 0.3, 2.0))


def _behind(pillar: Pillar, sights: Sequence[Sight]) -> tuple[float, float]:
    """Behind a pillar, as seen from the camera that sees it best."""
    sight = _best(sights, pillar.x, pillar.z)
    farther = 1 + (pillar.radius + _BEHIND_M) / sight.away(pillar.z)
    return sight.x + (pillar.x - sight.x) * farther, sight.z + (pillar.z - sight.z) * farther


def _somewhere(rng: np.random.Generator, sights: Sequence[Sight]) -> tuple[float, float]:
    """A place in full view."""
    z = between(rng, *WALKABLE_Z)
    return one_of(rng, sights).at(z, between(rng, -0.85, 0.85)), z


def _best(sights: Sequence[Sight], x: float, z: float) -> Sight:
    """The view in which a place is nearest to the middle."""
    return min(sights, key=lambda sight: sight.aside(x, z))


def _plan_encounters(
    people: int,
    scene: Scene,
    look_alikes: Sequence[tuple[int, int]],
    sights: Sequence[Sight],
    duration_s: float,
    rng: np.random.Generator,
) -> list[list[_Encounter]]:
    """For each person, where to meet somebody and when; never two meetings at once."""
    planned: list[list[_Encounter]] = [[] for _ in range(people)]
    for _ in range(int(duration_s / _ENCOUNTER_EVERY_S * people / 2)):
        pair = (
            one_of(rng, look_alikes) if look_alikes and rng.integers(3) == 0 else rng.permutation(people)[:2].tolist()
        )
        start_s, hold_s = between(rng, 0, max(duration_s - 5, 0.1)), between(rng, 0.2, 1.2)
        x, z = _behind(one_of(rng, scene.pillars), sights) if rng.integers(2) else _somewhere(rng, sights)
        end_s = start_s + _APPROACH_S + hold_s
        if any(start_s < other.end_s and other.start_s < end_s for person in pair for other in planned[person]):
            continue
        sight = _best(sights, x, z)
        for person, depth in zip(pair, (0.0, 0.55), strict=False):
            farther = 1 + depth / sight.away(z)
            there = sight.x + (x - sight.x) * farther, z + sight.side * depth
            planned[person].append(_Encounter(start_s, end_s, *there))
    return planned


def _lengths(vectors: Floats) -> Floats:
    lengths: Floats = np.sqrt(vectors[..., 0] * vectors[..., 0] + vectors[..., 1] * vectors[..., 1])
    return lengths
