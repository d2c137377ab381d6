"""`python -m bench.occlusion SCENE TRUTH`: who comes back as whom.

People are cut out of a real sequence for k frames, and the tracker alone is run.

```
 frames   ……………│ 15 before │    k frames without    │ 15 after │
 track id      4  4  4  4  4   (the person's             7  4  4  4   ► majority 4: recovered
                               detections are gone)
```

A case is a ground-truth person and a first frame to cut, one every `STRIDE` frames of each life. It counts if the
detector sees the person in most of the frames before and after, whatever the tracker makes of it. The outcome is

* *recovered*: the majority id of the frames after is the last id before;
* *wrong*: it is an id that had been given out before the person came back: somebody else's;
* else *new*: a new id, or none.

A detection is a person's if they overlap by half and best; what is cut is every detection that overlaps nobody better.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np

from bench.measurement import table
from bench.observe import SeenFrame, read_scene
from reidkit.calibration.metrics import score_tracking
from reidkit.runtime.commands.shell import print_json
from reidkit.runtime.tracking import AppearanceCounts, BotSort, BotSortConfig, Tracks
from reidkit.runtime.video.mot_files import MotTable, read_tracks

AROUND = 15
STRIDE = 20
GAPS = (10, 30, 60, 90)


@dataclass(frozen=True, slots=True)
class Case:
    """A person hidden from frame `start` (an index from 0) on, for `gap` frames."""

    person: int
    start: int
    gap: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many cases of one gap ended how."""

    gap: int
    cases: int
    recovered: int
    wrong: int

    @property
    def recovered_percent(self) -> float:
        """Share of the people who got their id back."""
        return 100 * self.recovered / max(self.cases, 1)

    @property
    def wrong_percent(self) -> float:
        """Share of the people who got somebody else's."""
        return 100 * self.wrong / max(self.cases, 1)


def cases(frames: Sequence[SeenFrame], *, gap: int, high_score: float, stride: int = STRIDE) -> Iterator[Case]:
    """Every case of a sequence, by person and time."""
    seen = [set(frame.people[frame.scores >= high_score].tolist()) - {-1} for frame in frames]
    for person in sorted(set().union(*seen)):
        present = np.array([person in people for people in seen])
        first = int(present.argmax())
        for start in range(first + AROUND, len(frames) - gap - AROUND + 1, stride):
            after = start + gap
            if min(present[start - AROUND : start].sum(), present[after : after + AROUND].sum()) > AROUND // 2:
                yield Case(person, start, gap)


def run_protocol(
    frames: Sequence[SeenFrame], config: BotSortConfig, *, gaps: Sequence[int] = GAPS, stride: int = STRIDE
) -> list[Outcome]:
    """The outcome of every gap for a tracker with `config`."""
    by_start: dict[int, list[Case]] = {}
    for gap in gaps:
        for case in cases(frames, gap=gap, high_score=config.high_score, stride=stride):
            by_start.setdefault(case.start, []).append(case)
    counts = {gap: Counter[str]() for gap in gaps}
    tracker = BotSort(config)
    ids: list[dict[int, int]] = []
    for index, frame in enumerate(frames):
        for case in by_start.get(index, []):
            counts[case.gap][_outcome(frames, case, deepcopy(tracker), ids)] += 1
        ids.append(_ids_of_people(frame, step(tracker, frame)))
    return [Outcome(gap, found.total(), found["recovered"], found["wrong"]) for gap, found in counts.items()]


def step(tracker: BotSort, frame: SeenFrame) -> Tracks:
    """One update with a frame's detections, with the embeddings that the tracker wants."""
    embedded = None
    if frame.embeddings is not None:
        embedded = np.zeros(len(frame.scores), np.bool_)
        embedded[tracker.wanted(frame.boxes_xyxy, frame.scores)] = True
    picture = np.broadcast_to(np.uint8(0), frame.size[::-1])  # of which the tracker looks at the size alone
    return tracker.update(frame.boxes_xyxy, frame.scores, embeddings=frame.embeddings, embedded=embedded, frame=picture)


def _outcome(frames: Sequence[SeenFrame], case: Case, tracker: BotSort, before: Sequence[dict[int, int]]) -> str:
    back = case.start + case.gap
    known = [people[case.person] for people in before[-AROUND:] if case.person in people]
    given = {track for people in before for track in people.values()}
    for frame in frames[case.start : back]:
        given.update(step(tracker, frame.without(case.person)).ids.tolist())
    after: Counter[int] = Counter()
    for frame in frames[back : back + AROUND]:
        after.update([found] if (found := _ids_of_people(frame, step(tracker, frame)).get(case.person)) else [])
    majority = after.most_common(1)[0][0] if after else None
    if known and majority == known[-1]:
        return "recovered"
    return "wrong" if majority in given else "new"


def _ids_of_people(frame: SeenFrame, tracks: Tracks) -> dict[int, int]:
    """Track id of each person who has one in this frame."""
    people = frame.people[tracks.detection_index]
    return {int(person): int(track) for person, track in zip(people, tracks.ids, strict=True) if person >= 0}


@dataclass(frozen=True, slots=True)
class Whole:
    """The sequence tracked as it is.

    Attributes:
        hota: percent.
        idf1: percent.
        newcomers: people who were tracked at all.
        false_recognitions: those of them whose first majority id (of 15 frames) had been another person's before.
        appearance: what appearance did.
    """

    hota: float
    idf1: float
    newcomers: int
    false_recognitions: int
    appearance: AppearanceCounts


def run_whole(frames: Sequence[SeenFrame], config: BotSortConfig, truth: MotTable) -> Whole:
    """HOTA, IDF1 and false re-identifications of people who appear for the first time."""
    tracker = BotSort(config)
    tracked, ids = [], []
    for number, frame in enumerate(frames, 1):
        tracks = step(tracker, frame)
        ids.append(_ids_of_people(frame, tracks))
        tracked.append((number, tracks))
    shares = score_tracking(truth, MotTable.of(tracked)).percentages()
    return Whole(shares["HOTA"], shares["IDF1"], *_false_recognitions(ids), tracker.appearance)


def _false_recognitions(ids: Sequence[dict[int, int]]) -> tuple[int, int]:
    """How many people got an id, and how many of them one that had been somebody else's."""
    first_seen: dict[int, int] = {}
    first_ids: dict[int, list[int]] = {}
    for number, people in enumerate(ids):
        for person, track in people.items():
            first_seen.setdefault(person, number)
            first_ids.setdefault(person, []).append(track)
    false = 0
    for person, given in first_ids.items():
        majority = Counter(given[:AROUND]).most_common(1)[0][0]
        earlier = ids[: first_seen[person]]
        false += any(majority in people.values() for people in earlier)
    return len(first_ids), false


@click.command()
@click.argument("scene", type=click.Path(exists=True, path_type=Path))
@click.argument("truth", type=click.Path(exists=True, path_type=Path))
@click.option("--tracker", "trackers", multiple=True, default=("botsort.yaml", "long_term.yaml"), show_default=True)
@click.option("--frame-rate", type=float, default=30.0, show_default=True, help="Frames/s that seconds mean.")
@click.option("--embeddings", default="embeddings", show_default=True, help="Name of the embeddings in SCENE.")
@click.option("--stride", default=STRIDE, show_default=True, help="Frames between two cases of a person.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def main(
    scene: Path, truth: Path, trackers: tuple[str, ...], frame_rate: float, embeddings: str, stride: int, as_json: bool
) -> None:
    """Hide people in SCENE, as `bench.observe` wrote it, whose ground truth is the file TRUTH."""
    people = read_tracks(truth)
    frames = read_scene(scene, people, embeddings=embeddings)
    configs = {name: BotSortConfig.load(name, frame_rate=frame_rate) for name in trackers}
    wholes = {name: run_whole(frames, config, people) for name, config in configs.items()}
    outcomes = {name: run_protocol(frames, config, stride=stride) for name, config in configs.items()}
    if as_json:
        hidden = {name: [asdict(outcome) for outcome in found] for name, found in outcomes.items()}
        print_json({"whole": {name: asdict(whole) for name, whole in wholes.items()}, "hidden": hidden})
        return
    columns: dict[str, dict[str, str]] = {}
    for name, whole in wholes.items():
        columns.setdefault("HOTA / IDF1", {})[name] = f"{whole.hota:.1f} / {whole.idf1:.1f}"
        columns.setdefault("false", {})[name] = f"{whole.false_recognitions} of {whole.newcomers}"
        for found in outcomes[name]:
            figure = f"{found.recovered_percent:.0f} / {found.wrong_percent:.0f} ({found.cases})"
            columns.setdefault(f"k = {found.gap}", {})[name] = figure
    click.echo(table("recovered / wrong, %", columns))


if __name__ == "__main__":
    main()
