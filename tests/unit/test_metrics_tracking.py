"""Tracking metrics on sequences small enough to be worked out by hand."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from reidkit.calibration.metrics import Benchmark, score_tracking
from reidkit.calibration.metrics.sequence import intersection_over_union
from reidkit.runtime.errors import InvalidInput
from reidkit.runtime.video.mot_files import MotTable

PEDESTRIAN, STATIC_PERSON, NON_MOT_VEHICLE = 1, 7, 6
NO_CLASS = -1


def table(rows: Iterable[tuple[int, int, float]], *, counts: float = 1.0, classes: int = NO_CLASS) -> MotTable:
    """Boxes of 10 x 10 pixels from (frame, id, x)."""
    frames, ids, x = np.array(list(rows), dtype=float).reshape(-1, 3).T
    ten = np.full(len(x), 10.0)
    return MotTable(
        frames=frames.astype(np.int64),
        ids=ids.astype(np.int64),
        boxes_xywh=np.stack([x, ten, ten, ten], axis=1),
        scores=np.full(len(x), counts),
        classes=np.full(len(x), classes),
        visibility=np.ones(len(x)),
    )


def together(*tables: MotTable) -> MotTable:
    names = ("frames", "ids", "boxes_xywh", "scores", "classes", "visibility")
    return MotTable(**{name: np.concatenate([getattr(part, name) for part in tables]) for name in names})


def walk(identity: int, frames: Iterable[int], x: float = 0.0) -> list[tuple[int, int, float]]:
    return [(frame, identity, x) for frame in frames]


def test_perfect_tracks_score_all_and_their_ids_do_not_matter() -> None:
    truth = table(walk(1, range(1, 11)) + walk(2, range(3, 9), 50))
    scores = score_tracking(truth, table(walk(70, range(1, 11)) + walk(8, range(3, 9), 50)))
    assert set(scores.percentages().values()) == {100.0}
    assert scores.counts() == {"IDSW": 0, "Frag": 0, "FP": 0, "FN": 0, "MT": 2, "PT": 0, "ML": 0}


def test_no_tracks_are_misses() -> None:
    scores = score_tracking(table(walk(1, range(1, 11))), table([]))
    assert scores.percentages() == dict.fromkeys(scores.percentages(), 0.0) | {"LocA": 100.0}
    assert scores.counts() == {"IDSW": 0, "Frag": 0, "FP": 0, "FN": 10, "MT": 0, "PT": 0, "ML": 1}


def test_a_track_broken_in_two_halves_association_and_identity() -> None:
    scores = score_tracking(table(walk(1, range(1, 11))), table(walk(1, range(1, 6)) + walk(2, range(6, 11))))
    percentages = scores.percentages()
    assert percentages["DetA"] == 100
    assert percentages["AssA"] == pytest.approx(50)
    assert percentages["HOTA"] == pytest.approx(100 * 0.5**0.5)
    assert percentages["IDF1"] == 50
    assert percentages["MOTA"] == 90
    assert scores.counts()["IDSW"] == 1
    assert scores.counts()["Frag"] == 0


def test_a_gap_is_a_fragmentation_and_no_switch() -> None:
    others = walk(2, range(1, 11), 50)  # frames with no track at all are passed over
    truth = table(walk(1, range(1, 11)) + others)
    scores = score_tracking(truth, table(walk(1, [1, 2, 3, 7, 8]) + others))
    assert scores.counts() == {"IDSW": 0, "Frag": 1, "FP": 0, "FN": 5, "MT": 1, "PT": 1, "ML": 0}


def test_a_pair_of_the_frame_before_is_kept_while_it_overlaps_by_half() -> None:
    truth = table(walk(1, [1, 2]))
    tracks = table([(1, 1, 0.0), (2, 1, 3.0), (2, 2, 0.0)])
    assert score_tracking(truth, tracks).counts()["IDSW"] == 0
    slipped = table([(1, 1, 0.0), (2, 1, 4.0), (2, 2, 0.0)])
    assert score_tracking(truth, slipped).counts()["IDSW"] == 1


def test_thresholds_decide_what_overlap_is_worth() -> None:
    scores = score_tracking(table(walk(1, range(1, 5))), table(walk(1, range(1, 5), 2.5)))
    assert scores.percentages()["LocA"] == pytest.approx(100 * (12 * 0.6 + 7) / 19)  # no match at a threshold counts 1
    assert scores.percentages()["HOTA"] == pytest.approx(100 * 12 / 19)
    assert scores.percentages()["MOTP"] == pytest.approx(60)


def test_boxes_marked_zero_do_not_count() -> None:
    truth = together(table(walk(1, range(1, 11))), table(walk(2, range(1, 11), 50), counts=0.0))
    counts = score_tracking(truth, table(walk(1, range(1, 11)))).counts()
    assert (counts["FP"], counts["FN"], counts["MT"]) == (0, 0, 1)


@pytest.mark.parametrize(
    ("benchmark", "distractor", "false_positives"),
    [
        (Benchmark.MOT17, STATIC_PERSON, 0),
        (Benchmark.MOT17, NON_MOT_VEHICLE, 10),
        (Benchmark.MOT20, NON_MOT_VEHICLE, 0),
        (Benchmark.MOT15, STATIC_PERSON, 10),
    ],
)
def test_following_a_distractor_is_forgiven(benchmark: Benchmark, distractor: int, false_positives: int) -> None:
    frames = range(1, 11)
    truth = together(
        table(walk(1, frames), classes=PEDESTRIAN), table(walk(2, frames, 50), classes=distractor, counts=0.0)
    )
    tracks = table(walk(1, frames) + walk(2, frames, 50))
    counts = score_tracking(truth, tracks, benchmark=benchmark).counts()
    assert (counts["FP"], counts["FN"]) == (false_positives, 0)


def test_the_benchmark_is_told_by_the_class_column() -> None:
    assert Benchmark.of(table(walk(1, [1]))) is Benchmark.MOT15
    assert Benchmark.of(table(walk(1, [1]), classes=PEDESTRIAN)) is Benchmark.MOT17


def test_ground_truth_in_which_nothing_counts_is_refused() -> None:
    with pytest.raises(InvalidInput, match="none of the 2 boxes"):
        score_tracking(table(walk(1, [1, 2]), counts=0.0), table([]))


def test_classes_that_the_benchmark_does_not_know_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"found -1.*mot15"):
        score_tracking(table(walk(1, [1])), table([]), benchmark=Benchmark.MOT17)


def test_tracks_of_cars_are_refused() -> None:
    with pytest.raises(InvalidInput, match="class 3"):
        score_tracking(table(walk(1, [1]), classes=PEDESTRIAN), table(walk(1, [1]), classes=3))


def test_overlap_of_boxes() -> None:
    boxes = np.array([[0.0, 0, 10, 10], [5, 0, 10, 10], [20, 20, 1, 1]])
    np.testing.assert_allclose(intersection_over_union(boxes[:1], boxes), [[1, 1 / 3, 0]])
