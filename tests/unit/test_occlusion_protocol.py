"""The occlusion protocol of bench/ on a generated sequence, in which it is known who should come back as whom."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from conftest import REPOSITORY

from reidkit.runtime import BotSortConfig
from reidkit.runtime.video.mot_files import MotTable

FRAMES = 130
SIZE = (1000, 400)
LOOKS = np.eye(4, dtype=np.float32)
CLASSIC = BotSortConfig()
LONG_TERM = BotSortConfig(long_term_min_cosine=0.6, long_term_lost_frames=200, long_term_reentry=False)
GAPS = (10, 60)


@pytest.fixture
def protocol(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(REPOSITORY)
    return importlib.import_module("bench.occlusion")


def box_of(person: int, frame: int) -> list[float]:
    """Person 1 walks to and fro by 60 pixels, everybody else stands."""
    x = 150.0 * person + (abs(frame % 60 - 30) * 2 if person == 1 else 0)
    return [x, 100, x + 50, 250]


def scene(lives: dict[int, range], looks: Any) -> tuple[list[Any], MotTable]:
    """Frames with whoever lives, looking as `looks(person, frame)` says, and the ground truth."""
    rows = [(frame, person) for frame in range(FRAMES) for person, life in lives.items() if frame in life]
    boxes = np.array([box_of(person, frame) for frame, person in rows])
    ones = np.ones(len(rows))
    truth = MotTable(
        frames=np.array([frame + 1 for frame, _ in rows]),
        ids=np.array([person for _, person in rows]),
        boxes_xywh=np.column_stack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]),
        scores=ones,
        classes=np.full(len(rows), -1),
        visibility=ones,
    )
    observe = importlib.import_module("bench.observe")
    frames = []
    for frame in range(FRAMES):
        here = [number for number, row in enumerate(rows) if row[0] == frame]
        embeddings = np.stack([LOOKS[looks(rows[number][1], frame)] for number in here])
        frames.append(
            observe.seen_frame(boxes[here], np.full(len(here), 0.9), embeddings, truth, frame=frame + 1, size=SIZE)
        )
    return frames, truth


def test_a_hidden_persons_detections_are_gone_and_nobody_elses(protocol: ModuleType) -> None:
    frames, _ = scene({1: range(FRAMES), 2: range(FRAMES)}, lambda person, frame: person)
    hidden = frames[7].without(1)
    assert (frames[7].people.tolist(), hidden.people.tolist()) == ([1, 2], [2])
    np.testing.assert_array_equal(hidden.boxes_xyxy, [box_of(2, 7)])
    np.testing.assert_array_equal(hidden.embeddings, LOOKS[[2]])


def test_a_case_needs_its_person_before_and_after(protocol: ModuleType) -> None:
    frames, _ = scene({1: range(FRAMES), 2: range(40, 100)}, lambda person, frame: person)
    cases = list(protocol.cases(frames, gap=30, high_score=0.6, stride=1))
    assert [case.start for case in cases if case.person == 1] == list(range(15, FRAMES - 44))
    # Eight of fifteen frames after the gap: the last of them is at most 30 + 7 frames from the end of the life.
    assert [case.start for case in cases if case.person == 2] == list(range(55, 63))


def test_long_gaps_end_the_classic_path_and_not_the_long_term_stage(protocol: ModuleType) -> None:
    frames, _ = scene({person: range(FRAMES) for person in (1, 2, 3)}, lambda person, frame: person)
    short, long = protocol.run_protocol(frames, CLASSIC, gaps=GAPS, stride=10)
    assert short.recovered == short.cases > 0
    assert (long.recovered, long.wrong, long.cases > 0) == (0, 0, True)
    for outcome in protocol.run_protocol(frames, LONG_TERM, gaps=GAPS, stride=10):
        assert (outcome.recovered_percent, outcome.wrong_percent) == (100, 0)


def test_somebody_elses_id_is_a_wrong_one(protocol: ModuleType) -> None:
    """From frame 50 on person 1 looks like person 2, who has gone by then."""
    frames, _ = scene(
        {1: range(FRAMES), 2: range(40), 3: range(FRAMES)},
        lambda person, frame: 2 if person == 1 and frame >= 50 else person,
    )
    (outcome,) = protocol.run_protocol(frames, LONG_TERM, gaps=(60,), stride=30)
    cases = list(protocol.cases(frames, gap=60, high_score=0.6, stride=30))
    fooled = [case for case in cases if case.person == 1 and case.start < 50]
    assert outcome.wrong == len(fooled) > 0
    assert outcome.recovered == len(cases) - len(fooled)


@pytest.mark.parametrize(("looks_like", "false"), [(2, 1), (3, 0)])
def test_a_newcomer_with_a_known_id_is_a_false_recognition(protocol: ModuleType, looks_like: int, false: int) -> None:
    frames, truth = scene(
        {1: range(FRAMES), 2: range(40), 3: range(80, FRAMES)},
        lambda person, frame: looks_like if person == 3 else person,
    )
    whole = protocol.run_whole(frames, LONG_TERM, truth)
    assert (whole.newcomers, whole.false_recognitions) == (3, false)
    assert (whole.idf1 > 98) == (not false)
