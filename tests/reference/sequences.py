"""Detection sequences that try a tracker: `generate(seed)` gives the same one every time.

A sequence is a few scenes played at once in front of one camera. Each scene puts people into the world (see the
functions under "Scenes"); `generate` films them, frame by frame, as a detector would see them.

Where a scene wants an exact tie, everything about it is a small integer or a power of two (boxes, mirrored offsets,
embeddings), the people stand still and the camera does not turn or zoom: then the tied costs are small fractions, which
stay tied under any order of summation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reference.botsort_reference import Parameters

WIDTH, HEIGHT = 640, 480


class Frame(NamedTuple):
    """The arguments of `ReferenceBotSort.update`, in its order."""

    boxes_xyxy: NDArray[np.float64]
    scores: NDArray[np.float64]
    classes: NDArray[np.int64]
    embeddings: NDArray[np.float32] | None
    embedded: NDArray[np.bool_] | None
    camera_motion: NDArray[np.float64] | None


@dataclass(frozen=True)
class Sequence:
    """What `generate` returns; `traits` names the scenes and circumstances in it."""

    seed: int
    parameters: Parameters
    frames: tuple[Frame, ...]
    traits: frozenset[str]


@dataclass
class Person:
    """One actor, in world pixels; where `score` is 0 nobody sees them."""

    centre: NDArray[np.float64]  # (F, 2)
    size: NDArray[np.float64]  # (F, 2)
    score: NDArray[np.float64]  # (F,)
    embedding: NDArray[np.float64]  # (D,)
    class_id: int = 0
    exact: bool = False  # the detector adds no jitter to box and embedding


@dataclass
class Stage:
    """What the scenes share."""

    random: np.random.Generator
    frames: int
    embedding_dim: int
    parameters: Parameters
    faces: list[NDArray[np.float64]] = field(default_factory=list)

    def face(self) -> NDArray[np.float64]:
        """An identity's embedding: new, or (every other time) more or less like an earlier one."""
        face = self.random.normal(size=self.embedding_dim)
        if self.faces and self.random.random() < 0.5:
            face = self.faces[self.random.integers(len(self.faces))] + self.random.uniform(0.2, 2) * face
        self.faces.append(face)
        return face

    def exact_face(self) -> NDArray[np.float64]:
        """One of three whose cosines are 0, 1/4 and 3/4, whatever the order of summation."""
        face = np.zeros(self.embedding_dim)
        face[self.random.choice([(0, 1, 2, 3), (0, 1, 2, 4), (3, 5, 6, 7)])] = 2
        return face

    def scores(self) -> NDArray[np.float64]:
        """Mostly sure, with dips, and now and then exactly on a threshold."""
        p = self.parameters
        score = np.round(self.random.uniform(0.72, 0.98, self.frames), 2)
        dip = self.random.random(self.frames) < 0.12
        score[dip] = np.round(self.random.uniform(0.05, 0.7, dip.sum()), 2)
        edge = self.random.random(self.frames) < 0.06
        score[edge] = self.random.choice([p.track_low, p.track_high, p.new_track], edge.sum())
        return score

    def place(self) -> NDArray[np.float64]:
        """Whole pixels, well inside the image."""
        return np.array([self.random.integers(100, WIDTH - 100), self.random.integers(100, HEIGHT - 100)], float)

    def standing(self, centre: NDArray[np.float64], size: tuple[int, int], face: NDArray[np.float64]) -> Person:
        """Somebody who does not move and is always seen with the same score, without jitter."""
        return Person(
            np.tile(centre, (self.frames, 1)),
            np.tile(np.array(size, float), (self.frames, 1)),
            np.full(self.frames, 0.875),
            face,
            exact=True,
        )

    def gap_frames(self) -> int:
        """How long somebody is hidden: any length, preferably about the longest that is remembered."""
        longest = self.parameters.max_lost_frames
        if longest < self.frames / 2 and self.random.random() < 0.5:
            return max(1, longest + int(self.random.integers(-1, 4)))
        return int(self.random.integers(1, 12))


# --- Scenes ----------------------------------------------------------------------------------------------------------


def wanderers(stage: Stage) -> list[Person]:
    """People who come, walk (growing or shrinking a little), are hidden for a while, and go."""
    random, people = stage.random, []
    for _ in range(random.integers(1, 9)):
        time = np.arange(stage.frames)[:, None]
        size = random.uniform([25, 60], [70, 180]) * np.exp(random.normal(0, 0.01) * time)
        steps = random.normal(random.normal(0, 5, 2), 1, (stage.frames, 2))
        centre = stage.place() + np.cumsum(steps, axis=0)
        score = stage.scores()
        if random.random() < 0.5:
            score[: random.integers(stage.frames)] = 0
        if random.random() < 0.3:
            score[random.integers(stage.frames) :] = 0
        for _ in range(random.integers(0, 3)):
            hidden = random.integers(stage.frames)
            score[hidden : hidden + stage.gap_frames()] = 0
        people.append(Person(centre, size, score, stage.face(), int(random.integers(3))))
    return people


def crowd(stage: Stage) -> list[Person]:
    """People of one size who sway in one place, half hidden by each other: overlap says little, appearance much."""
    random, people = stage.random, []
    place, size = stage.place(), random.uniform([30, 70], [60, 150])
    for _ in range(random.integers(2, 6)):
        sway = np.cumsum(random.normal(0, random.uniform(0.5, 4), (stage.frames, 2)), axis=0)
        person = Person(
            place + random.normal(0, 15, 2) + sway, np.tile(size, (stage.frames, 1)), stage.scores(), stage.face()
        )
        for _ in range(random.integers(1, 4)):
            hidden = random.integers(stage.frames)
            person.score[hidden : hidden + stage.gap_frames()] = 0
        people.append(person)
    return people


def crossing(stage: Stage) -> list[Person]:
    """Two people of one size pass each other; one may be hidden while they meet, and they may look alike."""
    random = stage.random
    meeting_frame = stage.frames * random.uniform(0.3, 0.7)
    meeting, size = stage.place(), random.uniform([30, 70], [60, 150])
    faces = [stage.face(), stage.face()]
    if random.random() < 0.4:
        faces[1] = faces[0] + 0.3 * random.normal(size=stage.embedding_dim)
    velocity = np.array([random.uniform(3, 9), random.normal(0, 0.5)])
    time = (np.arange(stage.frames) - meeting_frame)[:, None]
    people = [
        Person(meeting + direction * velocity * time, np.tile(size, (stage.frames, 1)), stage.scores(), face)
        for direction, face in zip((1, -1), faces, strict=True)
    ]
    if random.random() < 0.6:
        hidden_frames = stage.gap_frames()
        first = max(0, int(meeting_frame - hidden_frames / 2))
        people[1].score[first : first + hidden_frames] = 0
    return people


def mirrored(stage: Stage) -> list[Person]:
    """Exact ties: people who stand still give way, for a frame, to others at equal distances left and right.

    With one in the middle seen as two at the sides the columns tie; with two at the sides seen as one in the middle
    the rows do, of whom one may be lost by then. An offset of a third of the width is an IoU of exactly 1/2.
    """
    random = stage.random
    third = int(random.integers(8, 20))
    size, middle = (3 * third, 6 * third), stage.place()
    offset = np.array([random.choice([third, third, third // 2]), 0.0])
    face = stage.exact_face()
    faces = [face, face if random.random() < 0.5 else stage.exact_face()]
    random.shuffle(faces)
    one = [stage.standing(middle, size, face)]
    two = [stage.standing(middle + side * offset, size, other) for side, other in zip((-1, 1), faces, strict=True)]
    usual, unusual = (one, two) if random.random() < 0.5 else (two, one)
    for person in unusual:
        person.score[:] = 0
    for exchange in random.integers(1, stage.frames, random.integers(2, 6)):
        for person in unusual:
            person.score[exchange] = 0.875
        for person in usual:
            person.score[exchange] = 0
        away = usual[random.integers(len(usual))]
        away.score[max(0, exchange - random.integers(0, 4)) : exchange] = 0
    return [*one, *two]


def doubled(stage: Stage) -> list[Person]:
    """One who stands still and is reported twice for a while: equal rows, equal columns, then duplicates."""
    random = stage.random
    centre, face = stage.place(), stage.exact_face()
    size = (2 * int(random.integers(20, 40)), 2 * int(random.integers(40, 80)))
    people = [stage.standing(centre, size, face) for _ in range(random.integers(2, 4))]
    for echo in people[1:]:
        first = random.integers(stage.frames)
        last = first + random.integers(1, 10)
        echo.score[:first] = 0
        echo.score[last:] = 0
        people[0].score[last : last + random.integers(0, 3)] = 0
    random.shuffle(people)
    return people


def shadowed(stage: Stage) -> list[Person]:
    """One vanishes for good, and another of the same size walks to exactly that place, being as old or nearly."""
    random = stage.random
    place, life = stage.place(), int(random.integers(2, 12))
    gone = stage.standing(place, (60, 120), stage.face())
    gone.score[life + 1 :] = 0
    birth = int(random.integers(1, 5))
    arrival = birth + life + int(random.integers(-1, 2))
    time = np.minimum(np.arange(stage.frames) - arrival, 0)[:, None]
    walker = stage.standing(place, (60, 120), stage.face())
    walker.centre += np.array([12.0, 2.0]) * time
    walker.exact = False
    walker.score[:birth] = 0
    return [gone, walker]


def flickering(stage: Stage) -> list[Person]:
    """False alarms: here for one frame or two, perhaps again later in the same place."""
    random, people = stage.random, []
    for _ in range(random.integers(1, 4)):
        person = stage.standing(stage.place(), (50, 110), stage.face())
        person.exact = False
        person.score[:] = np.where(random.random(stage.frames) < random.uniform(0.1, 0.6), stage.scores(), 0)
        people.append(person)
    return people


def fading(stage: Stage) -> list[Person]:
    """People whose scores sink below the high threshold and come back, again and again, some exactly on the edges."""
    random, p, people = stage.random, stage.parameters, []
    edges = [p.track_low, p.track_high, p.new_track, 0.9]
    for _ in range(random.integers(1, 4)):
        time = np.arange(stage.frames)
        score = 0.5 + 0.45 * np.sin(time * random.uniform(0.2, 1.0) + random.uniform(0, 6))
        on_edge = random.random(stage.frames) < 0.4
        score[on_edge] = random.choice(edges, on_edge.sum())
        centre = stage.place() + random.normal(0, 3, 2) * time[:, None]
        people.append(Person(centre, np.tile([45.0, 115.0], (stage.frames, 1)), np.maximum(score, 0), stage.face()))
    return people


SCENES: tuple[Callable[[Stage], list[Person]], ...] = (
    mirrored,
    doubled,
    wanderers,
    crowd,
    crossing,
    shadowed,
    flickering,
    fading,
)
EXACT = (mirrored, doubled)


# --- Filming ---------------------------------------------------------------------------------------------------------


def generate(seed: int) -> Sequence:
    """A sequence of 20 to 60 frames of up to 15 people, echoes of one person counted.

    Half of the sequences have the default parameters (but for `max_lost_frames`), every fifth no appearance.
    """
    random = np.random.default_rng(seed)
    parameters = _parameters(random)
    stage = Stage(random, int(random.integers(20, 61)), int(random.integers(8, 33)), parameters)

    camera = str(random.choice(["still", "still", "still", "pan", "zoom", "turn"]))
    playable = [scene for scene in SCENES if camera in ("still", "pan") or scene not in EXACT]
    # The scenes take turns as the first one, so that a range of seeds has them all.
    scenes = [playable[seed % len(playable)]]
    scenes += [playable[i] for i in random.integers(len(playable), size=random.integers(0, 6))]
    people = [person for scene in scenes for person in scene(stage)][:15]
    traits = {camera} | {scene.__name__ for scene in scenes}

    if random.random() < 0.15:
        traits.add("late start")
        for person in people:
            person.score[: random.integers(1, 4)] = 0
    if random.random() < 0.25:
        traits.add("empty frames")
        first = random.integers(stage.frames)
        for person in people:
            person.score[first : first + stage.gap_frames()] = 0
    if random.random() < 0.03:
        traits.add("nobody")
        people = []

    coverage = "none" if not parameters.with_reid else str(random.choice(["full", "full", "masked", "partial"]))
    traits.add(f"{coverage} embeddings")
    frames = tuple(_film(stage, people, camera, coverage))
    return Sequence(seed, parameters, frames, frozenset(traits))


def _parameters(random: np.random.Generator) -> Parameters:
    remembered = int(random.choice([0, 1, 3, 5, 8, 15, 30]))
    with_reid = bool(random.random() < 0.8)
    if random.random() < 0.5:
        return Parameters(max_lost_frames=remembered, with_reid=with_reid)
    return Parameters(
        track_high=float(random.choice([0.5, 0.6])),
        track_low=float(random.choice([0.1, 0.2])),
        new_track=float(random.choice([0.6, 0.7, 0.8])),
        max_lost_frames=remembered,
        match=float(random.choice([0.7, 0.8, 0.9])),
        second=float(random.choice([0.3, 0.5])),
        unconfirmed=float(random.choice([0.4, 0.7])),
        proximity=float(random.choice([0.25, 0.5, 0.75])),
        min_cosine=float(random.choice([0.2, 0.5, 0.6])),
        appearance_cost_scale=float(random.choice([0.5, 1.0])),
        alpha=float(random.choice([0.5, 0.9])),
        fuse_score=bool(random.random() < 0.5),
        with_reid=with_reid,
    )


def _film(stage: Stage, people: list[Person], camera: str, coverage: str) -> Iterator[Frame]:
    """The frames, with detections in random order, jitter, and the camera's motion since the frame before."""
    random, threshold = stage.random, stage.parameters.track_high
    view = np.eye(2, 3)
    jitter = random.uniform(0, 2)
    whole_pixels = random.random() < 0.3
    for frame in range(stage.frames):
        motion = None if frame == 0 else _camera_step(random, camera)
        if motion is not None:
            view = motion[:, :2] @ view
            view[:, 2] += motion[:, 2]
        linear, translation = view[:, :2], view[:, 2]
        scale = math.sqrt(abs(np.linalg.det(linear))) if camera in ("zoom", "turn") else 1.0

        seen = [person for person in people if person.score[frame] > 0]
        random.shuffle(seen)
        boxes = np.zeros((len(seen), 4))
        for index, person in enumerate(seen):
            centre, size = linear @ person.centre[frame] + translation, scale * person.size[frame]
            box = np.concatenate([centre - size / 2, centre + size / 2])
            if not person.exact:
                box += random.normal(0, jitter, 4)
                box = np.round(box) if whole_pixels else box
            box[2:] = np.maximum(box[2:], box[:2] + 1)
            boxes[index] = box
        scores = np.array([person.score[frame] for person in seen])
        classes = np.array([person.class_id for person in seen], np.int64)
        high = scores >= threshold
        returning = np.array([frame > 0 and person.score[frame - 1] == 0 for person in seen], bool)
        views = _views(random, seen, poor=~high | returning & (random.random(len(seen)) < 0.5))
        embeddings, embedded = _masked(random, views.reshape(-1, stage.embedding_dim), high, coverage)
        yield Frame(boxes, scores, classes, embeddings, embedded, motion)


def _camera_step(random: np.random.Generator, camera: str) -> NDArray[np.float64] | None:
    """The affine from the last image to this one; None where the camera rests and nobody says so."""
    if camera == "still" or random.random() < 0.1:
        return None if random.random() < 0.8 else np.eye(2, 3)
    motion = np.eye(2, 3)
    motion[:, 2] = random.integers(-12, 13, 2)
    if camera in ("zoom", "turn"):
        angle = random.normal(0, 0.05) if camera == "turn" else 0.0
        zoom = math.exp(random.normal(0, 0.04))
        motion[:, :2] = zoom * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        pivot = np.array([WIDTH / 2, HEIGHT / 2])
        motion[:, 2] += pivot - motion[:, :2] @ pivot
    return motion


def _views(random: np.random.Generator, seen: list[Person], *, poor: NDArray[np.bool_]) -> NDArray[np.float32]:
    """What an engine would say of each detection: (N, D); poor views say little."""
    blur = random.choice([0.2, 0.8])
    views = [
        person.embedding + (0 if person.exact else 2 if is_poor else blur) * random.normal(size=len(person.embedding))
        for person, is_poor in zip(seen, poor, strict=True)
    ]
    return np.array(views, np.float32)


def _masked(
    random: np.random.Generator, views: NDArray[np.float32], high: NDArray[np.bool_], coverage: str
) -> tuple[NDArray[np.float32] | None, NDArray[np.bool_] | None]:
    """The embeddings that are given, and the mask that says which they are.

    `full`: all, low ones too, and no mask. `masked`: those of the high ones. `partial`: some high ones are missing and
    some low ones given. `none`: nothing at all. Rows the mask leaves out are NaN.
    """
    if coverage == "none":
        return None, None
    if coverage == "full":
        return views, None
    embedded = high if coverage == "masked" else random.random(len(high)) < np.where(high, 0.6, 0.2)
    views[~embedded] = np.nan
    return views, embedded
