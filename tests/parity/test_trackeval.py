"""HOTA, CLEAR and identity metrics equal TrackEval's, run live on real sequences with real and spoilt tracks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from reidkit.calibration.metrics import Benchmark, score_tracking
from reidkit.calibration.metrics.sequence import intersection_over_union
from reidkit.runtime.video.mot_files import MotTable, read_detections, read_tracks

trackeval = pytest.importorskip("trackeval", reason="the oracle of these tests, TrackEval 1.3.0, is not installed")


def follow_detections(truth: MotTable, det: Path) -> MotTable:
    """A trivial tracker: each detection continues the track whose last box it overlaps most, best first."""
    rows: list[tuple[float, ...]] = []
    tracks: dict[int, NDArray[np.float64]] = {}
    last_id = 0
    for frame, detections in read_detections(det).items():
        boxes_xyxy = detections.boxes_xyxy[detections.scores > 0.5]
        boxes = np.concatenate([boxes_xyxy[:, :2], boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]], axis=1)
        ids = np.zeros(len(boxes), np.int64)
        if tracks:
            known = np.array(list(tracks))
            overlap = intersection_over_union(np.stack(list(tracks.values())), boxes)
            while overlap.size and overlap.max() > 0.3:
                row, column = np.unravel_index(np.argmax(overlap), overlap.shape)
                ids[column] = known[row]
                overlap[row], overlap[:, column] = 0, 0
        born = ids == 0
        ids[born] = last_id + 1 + np.arange(born.sum())
        last_id += int(born.sum())
        tracks = dict(zip(ids.tolist(), boxes, strict=True))
        rows += [(frame, identity, *box) for identity, box in zip(ids, boxes, strict=True)]
    return table_of(np.array(rows))


def spoil_truth(truth: MotTable, det: Path) -> MotTable:
    """The truth with a fifth of its boxes dropped, ids swapped and renewed, boxes shaken, and false alarms."""
    random = np.random.default_rng(7)
    keep = random.random(len(truth)) > 0.2
    frames, ids, boxes = truth.frames[keep], truth.ids[keep].copy(), truth.boxes_xywh[keep].copy()
    middle = np.median(frames)
    pair = np.unique(ids)[:2]
    swapped = (frames > middle) & np.isin(ids, pair)
    ids[swapped] = pair.sum() - ids[swapped]
    ids[(frames > middle) & (ids % 3 == 0)] += 5000
    boxes[:, :2] += random.normal(0, 0.12, (len(boxes), 2)) * boxes[:, 2:]
    boxes[:, 2:] *= random.uniform(0.8, 1.25, (len(boxes), 2))
    alarms = random.choice(len(boxes), len(boxes) // 10, replace=False)
    displaced = boxes[alarms]
    displaced[:, :2] += random.uniform(-1.5, 1.5, (len(alarms), 2)) * displaced[:, 2:]
    frames = np.concatenate([frames, frames[alarms]])
    ids = np.concatenate([ids, 10000 + alarms // 40])
    boxes = np.round(np.concatenate([boxes, displaced]))  # whole pixels: overlaps tie now and then
    return table_of(np.column_stack([frames, ids, boxes]))


def table_of(rows: NDArray[np.float64]) -> MotTable:
    """Frames, ids and boxes as tracks; of two rows of one id in a frame, the first."""
    rows = rows[np.sort(np.unique(rows[:, :2], axis=0, return_index=True)[1])]
    count = len(rows)
    return MotTable(
        frames=rows[:, 0].astype(np.int64),
        ids=rows[:, 1].astype(np.int64),
        boxes_xywh=rows[:, 2:6],
        scores=np.ones(count),
        classes=np.full(count, -1),
        visibility=np.ones(count),
    )


@dataclass(frozen=True)
class Case:
    """A real sequence, judged by a benchmark's rules."""

    gt: str
    det: str
    benchmark: Benchmark

    def __str__(self) -> str:
        return f"{Path(self.det).parent.parent.name}-{self.benchmark.value}"


def mot15(name: str) -> Case:
    return Case(f"mot/MOT15/{name}/gt/gt.txt", f"mot/MOT15/{name}/det/det.txt", Benchmark.MOT15)


MOT17_02 = ("mot/MOT17-02-full-gt/gt.txt", "mot/MOT17-mini/MOT17-02-FRCNN/det/det.txt")
CASES = [
    mot15("PETS09-S2L1"),
    mot15("ETH-Bahnhof"),
    mot15("KITTI-17"),
    Case(*MOT17_02, Benchmark.MOT17),
    Case(*MOT17_02, Benchmark.MOT20),
]


@pytest.mark.parametrize("tracker", [follow_detections, spoil_truth])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_scores_equal_trackeval(
    case: Case, tracker: Callable[[MotTable, Path], MotTable], shared_data: Path, tmp_path: Path
) -> None:
    gt, tracks = shared_data / case.gt, tmp_path / "tracks.txt"
    write(tracker(read_tracks(gt), shared_data / case.det), tracks)
    assert_equal_scores(gt, tracks, case.benchmark)


def test_scores_of_no_tracks_equal_trackeval(shared_data: Path, tmp_path: Path) -> None:
    tracks = tmp_path / "tracks.txt"
    tracks.touch()
    assert_equal_scores(shared_data / CASES[0].gt, tracks, Benchmark.MOT15)


def assert_equal_scores(gt: Path, tracks: Path, benchmark: Benchmark) -> None:
    scores = score_tracking(read_tracks(gt), read_tracks(tracks), benchmark=benchmark)
    expected = run_trackeval(gt, tracks, benchmark)
    hota, clear, identity = scores.hota, scores.clear, scores.identity
    shares = {
        "HOTA": hota.hota,
        "DetRe": hota.detection_recall,
        "DetPr": hota.detection_precision,
        "DetA": hota.detection_accuracy,
        "AssRe": hota.association_recall,
        "AssPr": hota.association_precision,
        "AssA": hota.association_accuracy,
        "LocA": hota.localization_accuracy,
        "MOTA": clear.mota,
        "MOTP": clear.motp,
        "IDF1": identity.idf1,
        "IDP": identity.precision,
        "IDR": identity.recall,
    }
    for name, share in shares.items():
        np.testing.assert_allclose(share, expected[name], rtol=1e-9, err_msg=name)
        if name in scores.percentages():
            assert scores.percentages()[name] == pytest.approx(100 * np.mean(expected[name]), rel=1e-9)
    assert scores.counts() == {name: expected[name] for name in scores.counts()}


def write(table: MotTable, path: Path) -> None:
    columns = [table.frames, table.ids, *table.boxes_xywh.T, table.scores, *[np.full(len(table), -1)] * 3]
    np.savetxt(path, np.column_stack(columns), fmt=["%d", "%d", *["%.9g"] * 5, "%d", "%d", "%d"], delimiter=",")


def run_trackeval(gt: Path, tracks: Path, benchmark: Benchmark) -> dict[str, Any]:
    """TrackEval's own results of one sequence, by the names it gives them."""
    root = tracks.parent
    (root / "truth").mkdir(exist_ok=True)
    (root / "truth" / "sequence.txt").write_text(gt.read_text())
    (root / "trackers" / "tracker" / "data").mkdir(parents=True, exist_ok=True)
    (root / "trackers" / "tracker" / "data" / "sequence.txt").write_text(tracks.read_text())
    length = int(max(read_tracks(gt).frames.max(), read_tracks(tracks).frames.max(initial=1)))
    dataset = trackeval.datasets.MotChallenge2DBox(
        {
            "GT_FOLDER": str(root / "truth"),
            "GT_LOC_FORMAT": "{gt_folder}/{seq}.txt",
            "TRACKERS_FOLDER": str(root / "trackers"),
            "SKIP_SPLIT_FOL": True,
            "SEQ_INFO": {"sequence": length},
            "BENCHMARK": benchmark.name,
            "PRINT_CONFIG": False,
        }
    )
    data = dataset.get_preprocessed_seq_data(dataset.get_raw_seq_data("tracker", "sequence"), "pedestrian")
    metrics = [
        trackeval.metrics.HOTA(),
        trackeval.metrics.CLEAR({"PRINT_CONFIG": False}),
        trackeval.metrics.Identity({"PRINT_CONFIG": False}),
    ]
    results = {name: value for metric in metrics for name, value in metric.eval_sequence(data).items()}
    return {**results, "FP": results["CLR_FP"], "FN": results["CLR_FN"]}
