"""One person, one id, whichever camera sees them: the tracks of all cameras of a session, matched by appearance.

    camera 0 ─ BotSort ─ tracks ─┐
    camera 1 ─ BotSort ─ tracks ─┼─ galleries ─ who may be whom? ─ who is alike? ─ ids of people
    camera 2 ─ BotSort ─ tracks ─┘                times, places       mutual best

A track begins as a person of its own. Once enough has been seen of it, it is compared with the people of the other
cameras: those who can have come from there in the time, or stand at the same place where two cameras see it both. The
best of both sides by a margin become one person, under the lower id. Cameras see colours and light each in their own
way, so what all people have in common in a camera is taken off before they are compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from threading import Lock

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidkit.runtime.errors import InvalidInput
from reidkit.runtime.tracking.arguments import array_of, seconds
from reidkit.runtime.tracking.likeness import IMPOSSIBLE, certain_pairs, likeness
from reidkit.runtime.tracking.passages import DEFAULT_REACH_S, AcrossCamerasConfig, Passage
from reidkit.runtime.tracking.tracks import Tracks

__all__ = ["AcrossCameras", "AcrossCamerasConfig", "Passage"]

_FOOTPRINTS = 200
"""Places on the ground that are kept of a track."""
_MEAN_OF = 4
"""A camera's mean counts half once it is of so many tracks."""
_TRACKS_IN_MEAN = 500
"""The latest; light changes."""


class AcrossCameras:
    """Gives the tracks of several cameras ids of people. Cameras may call from threads of their own.

    Who has come by is forgotten, so that a session may last; of whom two ids were given, `joined` keeps both for good.

    Args:
        config: when two are one.
    """

    def __init__(self, config: AcrossCamerasConfig | None = None) -> None:
        if config is not None and not isinstance(config, AcrossCamerasConfig):
            raise InvalidInput(
                f"config must be an AcrossCamerasConfig, found {config!r}",
                remedy="read a file with AcrossCamerasConfig.load(path)",
            )
        self.config = config or AcrossCamerasConfig()
        self._lock = Lock()
        self._people: dict[int, _Person] = {}
        self._owner: dict[tuple[int, int], int] = {}
        self._means: dict[int, _Mean] = {}
        self._embedding_dim: int | None = None
        self._next_id = 1
        self._now_s: dict[int, float] = {}
        self._next_comparison_s: dict[int, float] = {}
        self._reach_s = max([DEFAULT_REACH_S, *(passage.max_s for passage in self.config.passages)])
        self._memory_s = self._reach_s
        self.joined: dict[int, int] = {}

    def remember_for(self, memory_s: float) -> None:
        """Forget nobody who was seen within so many seconds, `BotSort.longest_kept_s` of the trackers.

        Without a word, nobody of the last minute, or within the longest of the passages, is forgotten.
        """
        with self._lock:
            self._memory_s = max(self._memory_s, memory_s)

    def observe(
        self,
        camera: int,
        tracks: Tracks,
        embeddings: ArrayLike | None,
        *,
        embedded: ArrayLike | None = None,
        timestamp_s: float,
    ) -> Tracks:
        """A camera's tracks under the ids of people.

        Args:
            camera: its number.
            tracks: (T) of the frame.
            embeddings: (N, D) of the frame's detections, of any length but zero; None: none. D is the same for all.
            embedded: (N,) bool, which rows are set; None: all. Other rows, and those of no track, are never read.
            timestamp_s: when the frame was taken, by a clock that all cameras share.

        Returns:
            The same tracks, by ascending id. A track may get another id later, once it is recognised; see `resolve`.

        Raises:
            InvalidInput: the timestamp is not finite, the arrays do not fit each other, an embedding is zero or not
                finite. Nothing has changed then.
        """
        if not np.isfinite(timestamp_s := seconds(timestamp_s, "timestamp_s")):
            raise InvalidInput(f"timestamp_s must be finite, found {timestamp_s!r}")
        rows, known = _seen_rows(tracks, embeddings, embedded)
        with self._lock:
            if known.any():
                self._expect_width(rows.shape[1])
            sightings = [self._sighting(camera, track, timestamp_s) for track in tracks.ids.tolist()]
            self._part(sightings)
            for position, (sighting, box) in enumerate(zip(sightings, tracks.boxes_xyxy, strict=True)):
                sighting.see(timestamp_s, self._place(camera, box))
                if known[position]:
                    sighting.remember(rows[position], self.config.history)
            self._now_s[camera] = max(timestamp_s, self._now_s.get(camera, timestamp_s))
            if timestamp_s >= self._next_comparison_s.get(camera, timestamp_s):
                self._compare(timestamp_s)
            ids = np.array([self._owner[camera, track] for track in tracks.ids.tolist()], np.int64)
        return tracks.renamed(ids)

    def resolve(self, ids: ArrayLike) -> NDArray[np.int64]:
        """The people that ids given earlier have turned out to be."""

        def now(identity: int) -> int:
            while identity in self.joined:
                identity = self.joined[identity]
            return identity

        given = np.asarray(ids, np.int64)
        with self._lock:
            return np.array([now(identity) for identity in given.ravel().tolist()], np.int64).reshape(given.shape)

    def _expect_width(self, width: int) -> None:
        """Hold all cameras to one width of embeddings."""
        if self._embedding_dim not in (None, width):
            raise InvalidInput(
                f"embeddings have width {width}, those before had {self._embedding_dim}",
                remedy="use the same artifact for all cameras",
            )
        self._embedding_dim = width

    def _sighting(self, camera: int, track: int, now_s: float) -> _Sighting:
        """What is known of a track; a new one is somebody new."""
        if (owner := self._owner.get((camera, track))) is None:
            return self._newcomer(_Sighting(camera, track, now_s, now_s))
        person = self._people[owner]
        return next(each for each in person.sightings if (each.camera, each.track) == (camera, track))

    def _newcomer(self, sighting: _Sighting) -> _Sighting:
        self._people[self._next_id] = _Person([sighting])
        self._owner[sighting.camera, sighting.track] = self._next_id
        self._next_id += 1
        return sighting

    def _part(self, sightings: Sequence[_Sighting]) -> None:
        """Who is seen twice in one frame is two after all: a track that was lost came back beside its successor."""
        latest: dict[int, _Sighting] = {}
        for sighting in sorted(sightings, key=lambda each: each.last_s, reverse=True):
            owner = self._owner[sighting.camera, sighting.track]
            if latest.setdefault(owner, sighting) is not sighting:
                self._people[owner].sightings.remove(sighting)
                self._newcomer(sighting)

    def _place(self, camera: int, box: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Where somebody stands, (2,) metres; None where the camera knows no ground, or they are at its horizon."""
        if (homography := self.config.ground.get(camera)) is None:
            return None
        x, y, w = homography @ ((box[0] + box[2]) / 2, box[3], 1.0)
        return np.array([x / w, y / w]) if abs(w) > 1e-9 * max(abs(x), abs(y)) else None

    def _compare(self, now_s: float) -> None:
        """Forget what is long gone and join who is certain, until nobody is."""
        for camera, seen_s in self._now_s.items():
            # Cameras that keep step compare once for all; one that lags goes by its own clock.
            in_step = abs(now_s - seen_s) < self.config.interval_s
            self._next_comparison_s[camera] = (now_s if in_step else seen_s) + self.config.interval_s
        self._forget()
        waiting = [
            (identity, person)
            for identity, person in self._people.items()
            if person.embeddings >= self.config.min_sightings and self._seen_within(person, self._reach_s)
        ]
        means = self._camera_means(person for _, person in waiting)
        galleries = [person.gallery(means) for _, person in waiting]
        alike = np.full((len(waiting), len(waiting)), IMPOSSIBLE)

        def compare(row: int, column: int) -> None:
            (identity, one), (_, other) = waiting[row], waiting[column]
            may_be_one = identity not in other.beside and self._may_be_one(one, other)
            found = _likeness(galleries[row], galleries[column]) if may_be_one else IMPOSSIBLE
            alike[row, column] = alike[column, row] = found

        for row, column in combinations(range(len(waiting)), 2):
            compare(row, column)
        while pairs := certain_pairs(alike, min_cosine=self.config.min_cosine, margin=self.config.margin):
            first, second = max(pairs, key=lambda pair: float(alike[pair]))  # of equals the lowest id, which is kept
            kept, gone = waiting[first], waiting[second]
            self._join(*kept, *gone)
            del waiting[second], galleries[second]
            galleries[first] = kept[1].gallery(means)
            alike = np.delete(np.delete(alike, second, axis=0), second, axis=1)
            for other in range(len(waiting)):
                if other != first:
                    compare(min(first, other), max(first, other))

    def _forget(self) -> None:
        """Drop tracks that their own camera has not seen for long, and people who have no others.

        That two people were once seen at once, each by themselves, is kept for as long as both are.
        """
        going = [
            (identity, person, sighting)
            for identity, person in self._people.items()
            for sighting in person.sightings
            if not self._is_recent(sighting, self._memory_s)
        ]
        for identity, person, sighting in going:
            for other_identity, other in self._people.items():
                if other is not person and any(self._are_two(sighting, each) for each in other.sightings):
                    person.beside.add(other_identity)
                    other.beside.add(identity)
        for identity, person, sighting in going:
            person.sightings.remove(sighting)
            del self._owner[sighting.camera, sighting.track]
            if not person.sightings:
                del self._people[identity]
                for other in self._people.values():
                    other.beside.discard(identity)

    def _join(self, identity: int, person: _Person, other_identity: int, other: _Person) -> None:
        """Two are one, under the first one's id."""
        person.sightings.extend(other.sightings)
        person.beside |= other.beside
        for sighting in other.sightings:
            self._owner[sighting.camera, sighting.track] = identity
        for third in (self._people[each] for each in other.beside):
            third.beside.discard(other_identity)
            third.beside.add(identity)
        self.joined[other_identity] = identity
        del self._people[other_identity]

    def _seen_within(self, person: _Person, seconds_ago: float) -> bool:
        return any(self._is_recent(sighting, seconds_ago) for sighting in person.sightings)

    def _is_recent(self, sighting: _Sighting, seconds_ago: float) -> bool:
        """By its own camera's clock."""
        return sighting.last_s >= self._now_s[sighting.camera] - seconds_ago

    def _camera_means(self, people: Iterable[_Person]) -> dict[int, NDArray[np.float64]]:
        """What everybody has in common in each camera."""
        for person in people:
            for sighting in person.sightings:
                if (mean := sighting.mean()) is not None:
                    self._means.setdefault(sighting.camera, _Mean()).set(sighting.track, mean)
        return {camera: mean.value() for camera, mean in self._means.items()}

    def _may_be_one(self, one: _Person, other: _Person) -> bool:
        """Whether times and places allow it."""
        nearest: tuple[float, bool] | None = None
        for first in one.sightings:
            for second in other.sightings:
                if self._are_two(first, second):
                    return False
                if first.camera == second.camera:
                    continue
                apart_s = first.apart_s(second)
                passage = self.config.passage(first.camera, second.camera)
                allowed = apart_s <= 0 or (passage is not None and passage.min_s <= apart_s <= passage.max_s)
                if nearest is None or apart_s < nearest[0]:
                    nearest = apart_s, allowed
        return nearest is not None and nearest[1]

    def _are_two(self, first: _Sighting, second: _Sighting) -> bool:
        """Whether they were seen at once, and not by cameras that overlap, at one place."""
        if first.apart_s(second) > 0:
            return False
        if first.camera == second.camera:
            return True
        passage = self.config.passage(first.camera, second.camera)
        return passage is None or not passage.overlap or not self._at_one_place(first, second)

    def _at_one_place(self, one: _Sighting, other: _Sighting) -> bool:
        """Whether two who are seen at once stand together, as far as the ground is known."""
        if not one.places or not other.places:
            return True
        times, places = one.path()
        other_times, other_places = other.path()
        common = (times >= other_times[0]) & (times <= other_times[-1])
        if not common.any():
            return True
        there = np.stack([np.interp(times[common], other_times, axis) for axis in other_places.T], axis=1)
        distances = np.linalg.norm(places[common] - there, axis=1)
        return float(np.median(distances)) <= self.config.max_distance_m


@dataclass(slots=True, eq=False)
class _Sighting:
    """A camera's track, as long as it lasts."""

    camera: int
    track: int
    first_s: float
    last_s: float
    places: list[tuple[float, NDArray[np.float64]]] = field(default_factory=list)
    embeddings: list[NDArray[np.float64]] = field(default_factory=list)
    _offered: int = 0
    _stride: int = 1

    def apart_s(self, other: _Sighting) -> float:
        """Seconds between the two; 0 or less where they were seen at once."""
        return max(self.first_s, other.first_s) - min(self.last_s, other.last_s)

    def see(self, now_s: float, place: NDArray[np.float64] | None) -> None:
        """It is seen again."""
        self.last_s = now_s
        if place is not None:
            self.places.append((now_s, place))
            if len(self.places) > _FOOTPRINTS:
                del self.places[0]

    def remember(self, embedding: NDArray[np.float64], history: int) -> None:
        """Keep embeddings spread evenly over the track's life, `history` at most."""
        if self._offered % self._stride == 0:
            self.embeddings.append(embedding)
            if len(self.embeddings) > history:
                self.embeddings = self.embeddings[::2]
                self._stride *= 2
        self._offered += 1

    def mean(self) -> NDArray[np.float64] | None:
        return np.mean(self.embeddings, axis=0) if self.embeddings else None

    def path(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Times (K,) and places (K, 2)."""
        return np.array([time for time, _ in self.places]), np.stack([place for _, place in self.places])


@dataclass(slots=True, eq=False)
class _Person:
    """Tracks that are one person's.

    Attributes:
        sightings: those that are remembered.
        beside: ids of people who were seen at once with one that is forgotten.
    """

    sightings: list[_Sighting]
    beside: set[int] = field(default_factory=set)

    @property
    def embeddings(self) -> int:
        """How many there are."""
        return sum(len(sighting.embeddings) for sighting in self.sightings)

    def gallery(self, means: Mapping[int, NDArray[np.float64]]) -> dict[int, NDArray[np.float64]]:
        """By camera, (K, D) unit embeddings without what everybody has in common there."""
        gallery: dict[int, list[NDArray[np.float64]]] = {}
        for sighting in self.sightings:
            if sighting.embeddings:
                gallery.setdefault(sighting.camera, []).append(np.stack(sighting.embeddings) - means[sighting.camera])
        return {camera: _units(np.concatenate(parts)) for camera, parts in gallery.items()}


class _Mean:
    """The mean over a camera's tracks, drawn to zero while there are few."""

    def __init__(self) -> None:
        self._by_track: dict[int, NDArray[np.float64]] = {}
        self._sum: NDArray[np.float64] = np.zeros(0)

    def set(self, track: int, mean: NDArray[np.float64]) -> None:
        """What a track looks like by now."""
        before = self._by_track.get(track)
        self._sum = self._sum + mean if self._by_track else mean
        if before is not None:
            self._sum = self._sum - before
        self._by_track[track] = mean
        if len(self._by_track) > _TRACKS_IN_MEAN:
            self._sum = self._sum - self._by_track.pop(next(iter(self._by_track)))

    def value(self) -> NDArray[np.float64]:
        """(D,)."""
        return self._sum / (len(self._by_track) + _MEAN_OF)


def _seen_rows(
    tracks: Tracks, embeddings: ArrayLike | None, embedded: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(T, D) unit embeddings of the tracks, and (T,) which of them there are."""
    if embeddings is None:
        return np.zeros((len(tracks), 0)), np.zeros(len(tracks), np.bool_)
    given = array_of(embeddings, "embeddings", "(N, D) floats")
    if given.ndim != 2 or given.dtype.kind != "f" or tracks.detection_index.max(initial=-1) >= len(given):
        raise InvalidInput(
            f"embeddings must be (N, D) floats of the tracks' N detections, found {given.shape} {given.dtype}"
        )
    there = np.ones(len(given), np.bool_) if embedded is None else array_of(embedded, "embedded", "(N,) bool")
    if there.shape != given.shape[:1] or there.dtype != np.bool_:
        raise InvalidInput(f"embedded must be ({len(given)},) bool, found {there.shape} {there.dtype}")
    index = tracks.detection_index
    known = (index >= 0) & there[index] if len(given) else np.zeros(len(tracks), np.bool_)
    chosen = given[index[known]].astype(np.float64)
    with np.errstate(over="ignore"):
        lengths = np.linalg.norm(chosen, axis=1)
    if not (good := np.isfinite(lengths) & (lengths > 0)).all():
        raise InvalidInput(
            f"the embedding of detection {index[known][~good][0]} is zero or not finite: it cannot be compared",
            remedy="mark in embedded= which rows are set, or leave the artifact that gave it",
        )
    rows = np.zeros((len(tracks), given.shape[1]))
    rows[known] = chosen / lengths[:, None]
    return rows, known


def _likeness(one: Mapping[int, NDArray[np.float64]], other: Mapping[int, NDArray[np.float64]]) -> float:
    """How alike what different cameras saw is."""
    pairs = [one[a] @ other[b].T for a in one for b in other if a != b]
    return float(likeness(np.concatenate([pair.ravel() for pair in pairs]))) if pairs else IMPOSSIBLE


def _units(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    units: NDArray[np.float64] = rows / np.where(lengths > 0, lengths, 1)
    return units
